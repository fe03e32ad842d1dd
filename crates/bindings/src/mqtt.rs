//! `mqtt`: every event a message of MQTT 5 or 3.1.1, confirmed once the broker has taken it over.
//!
//! Connections of the output's own publish ([`publisher`]): one, and more of them only where the broker allows fewer
//! unconfirmed messages on each (its receive maximum) than the output has to publish. What a broker answers is read with its
//! reason ([`verdict`]), and what it would end the connection over is never sent: a topic that is none, a text that is no
//! string of MQTT, a packet that is larger than it takes.
//!
//! | what happened | what becomes of the event |
//! |---|---|
//! | the broker confirmed it (with quality of service 0: it has left) | done |
//! | nobody has subscribed to its topic | done: that is no failure in MQTT |
//! | no broker, no permission, a quota, `timeout` over | tried again by the rule's policy |
//! | no topic, a topic or payload that the broker calls invalid, too large for the broker | rejected |

mod options;
mod parcel;
mod publisher;
#[cfg(test)]
mod tests;
mod verdict;
mod window;

use std::time::Duration;

use connectors::mqtt::{Access, Manner, Version};
use engine::config::Check;
use engine::event::Event;
use engine::port::{BoxFuture, Confirm, Offer, Output, PublishError};
use engine::registry::{OpenError, OutputKind, OutputPlan, Setup};

pub use options::Options;
use parcel::Form;
use publisher::{Publisher, Terms};

/// The kind `mqtt`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mqtt;

impl OutputKind for Mqtt {
    type Options = Options;
    const NAME: &'static str = "mqtt";

    fn check(&self, options: Options, check: &mut Check) -> Option<Box<dyn OutputPlan>> {
        options.meaning(check).map(|plan| Box::new(plan) as _)
    }
}

/// A checked output.
struct Plan {
    access: Access,
    form: Form,
    manner: Manner,
    connections: usize,
    window: usize,
    timeout: Duration,
}

impl OutputPlan for Plan {
    fn durable(&self) -> bool {
        self.manner.quality > 0
    }

    fn limits(&self) -> Vec<String> {
        let mut limits = Vec::new();
        if self.manner.quality == 0 {
            limits.push("mqtt qos 0 is at most once: what is on its way when the connection breaks is lost".to_owned());
        }
        if self.access.version() == Version::ThreeOneOne && self.manner.quality > 0 {
            let text = "mqtt 3.1.1 has no reasons: many brokers confirm what this client may not publish, and drop it";
            limits.push(text.to_owned());
        }
        limits
    }

    fn open(&self, setup: Setup) -> Result<Box<dyn Output>, OpenError> {
        let terms = Terms {
            // No name of a source holds an underscore, so that no source of this engine has the same client id.
            access: self.access.open(&format!("tidemill_{}", setup.name), &setup.instance)?,
            name: setup.name,
            manner: self.manner,
            connections: self.connections,
            window: self.window,
            timeout: self.timeout,
            link: setup.link,
        };
        Ok(Box::new(Sender { form: self.form.clone(), publisher: Publisher::start(terms) }))
    }
}

struct Sender {
    form: Form,
    publisher: Publisher,
}

impl Output for Sender {
    fn publish(&self, event: &Event, offer: Offer<'_>) -> Confirm {
        match self.form.parcel(event) {
            Ok(parcel) => {
                let (ticket, later) = offer.accept();
                self.publisher.publish(parcel, ticket);
                later
            }
            Err(reason) => Confirm::Now(Err(PublishError::Reject { reason })),
        }
    }

    fn close(&self) -> BoxFuture<'_, Result<(), PublishError>> {
        Box::pin(self.publisher.close())
    }
}
