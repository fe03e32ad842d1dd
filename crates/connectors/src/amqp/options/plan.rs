//! A checked AMQP source: what it can promise, and how it is opened.

use std::time::Duration;

use engine::config::{AckPoint, Span, Spanned};
use engine::event::Text;
use engine::port::Source;
use engine::registry::{Entrance, OpenError, Sending, Setup, SourceFacts, SourcePlan};

use crate::amqp::access::Access;
use crate::amqp::queue::Queue;
use crate::amqp::source::{Consumer, Ingredients, asked};
use crate::capture::{Filters, escaped};
use crate::normalise::{Ids, Template};

/// A checked AMQP source.
pub(super) struct Plan {
    pub(super) access: Access,
    pub(super) queue: Queue,
    pub(super) routing_keys: Filters,
    pub(super) template: Template,
    pub(super) timeout: Duration,
    /// Where that is written, if it is.
    pub(super) written: Option<Span>,
    pub(super) limit: u64,
    pub(super) ack: AckPoint,
}

impl Plan {
    fn limits(&self) -> Vec<String> {
        let acks = match self.ack {
            AckPoint::Received => "ack received: what was in flight when the engine died is lost",
            _ => "each message is acknowledged by itself, so a crash repeats at most the events in seats",
        };
        let sentences = [
            acks,
            "amqp keeps the order of a queue between crashes and reconnects only: what was in flight comes again, late",
            "an event that waits or runs for nine tenths of consumerTimeout (the broker's consumer_timeout) is handed back \
             and comes again; a call is dropped for it, but for one that blocks its thread, which may run twice",
            "a quorum queue with a delivery limit counts what is handed back; beyond it the broker drops or dead-letters it",
            "a queue with a length limit or a message TTL drops what was never delivered",
        ];
        sentences.map(str::to_owned).into()
    }
}

impl SourcePlan for Plan {
    fn facts(&self) -> SourceFacts {
        SourceFacts {
            ack: self.ack,
            redelivers: self.ack != AckPoint::Received,
            // A CloudEvent can always bring its own key.
            keyed: true,
            in_order: false,
            captures: self.routing_keys.names().iter().map(|name| Text::new(name.as_str())).collect(),
            limits: self.limits(),
        }
    }

    fn lease(&self) -> Option<Spanned<Duration>> {
        self.written.filter(|_| self.ack != AckPoint::Received).map(|span| Spanned::new(asked(self.timeout), span))
    }

    fn entrance(&self, sending: &Sending<'_>) -> Result<Entrance, String> {
        let queue = &*self.queue.name;
        if sending.to.is_some() {
            return Err(format!("it receives from one queue, '{queue}'; leave --to out"));
        }
        // The broker's own exchange takes the name of a queue as the routing key.
        let picky = self.routing_keys.wire().next().is_some();
        if picky && self.routing_keys.first(queue).is_none() {
            let keys = self.routing_keys.wire().collect::<Vec<_>>().join(", ");
            return Err(format!(
                "what is sent straight to its queue has the routing key '{queue}', which it refuses (routingKeys: {keys}); \
                 publish to an exchange that the queue is bound to"
            ));
        }
        Ok(Entrance {
            shared: &["url", "user", "password", "tls"],
            own: vec![("exchange", "".into()), ("routingKey", escaped(queue).into()), ("timeout", sending.timeout())],
            place: format!("queue '{queue}'"),
        })
    }

    fn open(&self, setup: Setup) -> Result<Box<dyn Source>, OpenError> {
        Ok(Box::new(Consumer::new(Ingredients {
            terms: self.access.open()?,
            client: format!("tidemill-{}-{}", setup.name, setup.instance).into(),
            name: setup.name,
            queue: self.queue.clone(),
            routing_keys: self.routing_keys.clone(),
            template: self.template.clone(),
            ids: Ids::new(fastrand::u64(..)),
            timeout: self.timeout,
            limit: self.limit,
            ack: self.ack,
            link: setup.link,
        })))
    }
}
