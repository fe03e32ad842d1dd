//! `amqp`: every event a persistent message of an exchange, confirmed once the broker has it in every queue that it reached.
//!
//! Every message is mandatory: one that reached no queue comes back and counts as a failure, instead of vanishing with a
//! confirmation. The broker returns and confirms by different means, so a message that came back is told by what it holds
//! ([`window`]). The connection is the output's own, because a broker that is short of memory stops everybody who
//! publishes, and a source must not stand still with them.
//!
//! | what happened | what becomes of the event |
//! |---|---|
//! | the broker confirmed it | done |
//! | no queue is bound, a queue refused it, no broker or exchange or permission, `timeout` over | tried again by the rule's policy |
//! | too large, or its attributes do not fit into one frame | rejected |
//! | the broker closed the channel or the connection over it | rejected, or tried again by the rule's policy ([`care`]) |
//! | an attribute that `routingKey` needs is absent | rejected |
//! | the broker has blocked publishing | waits, and `timeout` waits with it |

mod care;
mod options;
mod parcel;
mod publisher;
#[cfg(test)]
mod tests;
mod window;

use connectors::amqp::Access;
use engine::config::Check;
use engine::event::{Event, Text};
use engine::port::{BoxFuture, Confirm, Offer, Output, PublishError};
use engine::registry::{OpenError, OutputKind, OutputPlan, Setup};

pub use options::Options;
use parcel::Form;
use publisher::{Publisher, Terms};

/// The kind `amqp`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Amqp;

impl OutputKind for Amqp {
    type Options = Options;
    const NAME: &'static str = "amqp";

    fn check(&self, options: Options, check: &mut Check) -> Option<Box<dyn OutputPlan>> {
        options.meaning(check).map(|plan| Box::new(plan) as _)
    }
}

/// A checked output.
struct Plan {
    access: Access,
    exchange: Text,
    form: Form,
    window: usize,
    timeout: std::time::Duration,
}

impl OutputPlan for Plan {
    fn durable(&self) -> bool {
        true
    }

    fn open(&self, setup: Setup) -> Result<Box<dyn Output>, OpenError> {
        let terms = Terms {
            access: self.access.open()?,
            client: format!("tidemill-{}-{}", setup.name, setup.instance).into(),
            name: setup.name,
            exchange: self.exchange.clone(),
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
