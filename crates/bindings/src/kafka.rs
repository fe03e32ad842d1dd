//! `kafka`: every event a message of a topic, confirmed once the brokers have it on enough disks.
//!
//! The producer is idempotent and waits for all in-sync replicas, so a confirmed event is neither lost with a broker nor
//! written twice by a retry. Confirmations come back through librdkafka's delivery report with the number of a place in a
//! window, and not through a channel for each event: that costs less than half. They are told in batches ([`producer`]). What librdkafka has no room for waits in
//! order beside it and is sent as soon as a delivery makes room.
//!
//! | what happened | what becomes of the event |
//! |---|---|
//! | the brokers confirmed it | done |
//! | no broker, no leader, no permission, no such topic, `timeout` over | tried again by the rule's policy |
//! | the producer failed for good | tried again by the rule's policy, with another one |
//! | too large, not a legal topic, refused by the topic's rules | rejected |
//! | an attribute that `topic` needs is absent | rejected |

mod desk;
mod options;
mod producer;
mod record;
#[cfg(test)]
mod tests;
mod window;

use std::sync::Arc;
use std::time::Duration;

use connectors::kafka::{Access, Reports};
use engine::config::Check;
use engine::event::Event;
use engine::port::{BoxFuture, Confirm, Offer, Output, PublishError};
use engine::registry::{OpenError, OutputKind, OutputPlan, Setup};

pub use options::{Compression, Options};
use producer::Producer;
use record::Form;

/// The kind `kafka`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Kafka;

/// What librdkafka may hold, in bytes: what is published beyond it waits as events, which share their bytes.
const HELD: u64 = 64 << 20;

/// How long what was published may take to be confirmed once the engine ends.
const FLUSH: Duration = Duration::from_secs(20);

impl OutputKind for Kafka {
    type Options = Options;
    const NAME: &'static str = "kafka";

    fn check(&self, options: Options, check: &mut Check) -> Option<Box<dyn OutputPlan>> {
        options.meaning(check).map(|plan| Box::new(plan) as _)
    }
}

/// A checked output.
struct Plan {
    access: Access,
    form: Form,
    compression: Compression,
    linger: Duration,
    timeout: Duration,
    largest: u64,
}

impl OutputPlan for Plan {
    fn durable(&self) -> bool {
        true
    }

    fn open(&self, setup: Setup) -> Result<Box<dyn Output>, OpenError> {
        let opened = self.access.open(setup.clock)?;
        let mut config = opened.config;
        config
            .set("client.id", format!("tidemill-{}", setup.instance))
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("compression.type", self.compression.name())
            .set("linger.ms", self.linger.as_millis().to_string())
            .set("delivery.timeout.ms", self.timeout.as_millis().to_string())
            .set("request.timeout.ms", self.timeout.as_millis().min(30_000).to_string())
            .set("message.max.bytes", self.largest.to_string())
            // It has to have room for the largest message: one that fits nowhere would stand before all others for ever.
            .set("queue.buffering.max.kbytes", (HELD.max(2 * self.largest) >> 10).to_string())
            .set("partitioner", "murmur2_random")
            .set("statistics.interval.ms", "1000");
        let reports = Reports::new(setup.name, opened.address, setup.link, opened.tokens);
        Ok(Box::new(Sender { producer: Producer::start(&config, reports, self.form.clone())? }))
    }
}

struct Sender {
    producer: Arc<Producer>,
}

impl Output for Sender {
    fn publish(&self, event: &Event, offer: Offer<'_>) -> Confirm {
        self.producer.publish(event, offer)
    }

    fn close(&self) -> BoxFuture<'_, Result<(), PublishError>> {
        let producer = Arc::clone(&self.producer);
        Box::pin(async move {
            let flushed = tokio::task::spawn_blocking(move || producer.close(FLUSH)).await;
            flushed.unwrap_or_else(|cause| Err(PublishError::Retry { after: None, error: cause.to_string() }))
        })
    }
}
