//! Publishes to NATS: into JetStream with an acknowledgement for each event, or on core subjects.
//!
//! Decisions. An event is confirmed when a stream has stored it; a bounded number may be on its way ([`publisher`]). It
//! waits out a lost connection up to `timeout`, so that a server's restart spends no attempts. Every message has an id
//! (`Nats-Msg-Id`) made of the event's identity, the subject and the output, so that what is published again within the
//! stream's window is stored once, while the same event on another subject is another message.

mod options;
mod parcel;
mod publisher;

use engine::config::Check;
use engine::event::Event;
use engine::port::{BoxFuture, Confirm, Offer, Output, PublishError};
use engine::registry::{OpenError, OutputKind, OutputPlan, Setup};

use options::Meaning;
pub use options::Options;
use parcel::Form;
use publisher::Publisher;

use crate::courier::Courier;

/// The kind `nats`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nats;

impl OutputKind for Nats {
    type Options = Options;
    const NAME: &'static str = "nats";

    fn check(&self, options: Options, check: &mut Check) -> Option<Box<dyn OutputPlan>> {
        options.meaning(check).map(|meaning| Box::new(Plan(meaning)) as _)
    }
}

struct Plan(Meaning);

impl OutputPlan for Plan {
    fn durable(&self) -> bool {
        self.0.form.jetstream
    }

    fn open(&self, setup: Setup) -> Result<Box<dyn Output>, OpenError> {
        let publisher = Publisher::open(&self.0, &setup)?;
        Ok(Box::new(Subject { form: self.0.form.clone(), name: setup.name, publisher, courier: Courier::default() }))
    }
}

/// One subject, or as many as a template makes of events.
struct Subject {
    form: Form,
    name: engine::event::Text,
    publisher: Publisher,
    courier: Courier,
}

impl Output for Subject {
    fn publish(&self, event: &Event, offer: Offer<'_>) -> Confirm {
        match self.form.parcel(&self.name, event) {
            Ok(parcel) => self.courier.send(offer, self.publisher.deliver(parcel)),
            Err(reason) => Confirm::Now(Err(PublishError::Reject { reason })),
        }
    }

    fn close(&self) -> BoxFuture<'_, Result<(), PublishError>> {
        Box::pin(async {
            self.courier.close().await;
            self.publisher.close().await
        })
    }
}
