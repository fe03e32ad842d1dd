//! A checked Kafka source: what it can promise, and how it is opened.

use std::time::Duration;

use engine::config::AckPoint;
use engine::event::Text;
use engine::port::Source;
use engine::registry::{Entrance, OpenError, Sending, Setup, SourceFacts, SourcePlan};

use crate::capture::escaped;
use crate::kafka::access::{Access, Reports};
use crate::kafka::lag::{Group, ProbeError};
use crate::kafka::source::{Ingredients, Initial, Reader};
use crate::kafka::topics::Topics;
use crate::normalise::Template;

/// How long librdkafka waits when its own queue is full. Its default of a second makes a drain fifty times slower.
const FULL_QUEUE: &str = "5";

/// The least that librdkafka may be told to fetch in one answer, in bytes.
const ANSWER_MIN: usize = 1_000_000;

/// A checked Kafka source.
pub(super) struct Plan {
    pub(super) access: Access,
    pub(super) topics: Topics,
    pub(super) template: Template,
    pub(super) group: String,
    pub(super) initial: Initial,
    pub(super) committed_only: bool,
    pub(super) max_uncommitted: usize,
    pub(super) limit: usize,
    pub(super) prefetch: usize,
    pub(super) session: Duration,
    pub(super) ack: AckPoint,
}

impl Plan {
    fn limits(&self) -> Vec<String> {
        let mut limits = vec![
            "kafka keeps order within a partition; what was in flight when a partition moved to another member is repeated"
                .to_owned(),
            "what a topic's retention deletes before it is read is gone".to_owned(),
        ];
        match self.ack {
            AckPoint::Received => {
                limits.push("ack received: what was in flight when the engine died is lost".to_owned());
            }
            _ => limits.push(format!(
                "a crash repeats at most {} finished events of each partition, and those of the last second",
                self.max_uncommitted
            )),
        }
        match self.initial {
            Initial::Latest => {
                limits.push(
                    "initialOffset latest: what was produced before the group first joined is not read".to_owned(),
                );
            }
            Initial::Since(_) => {
                limits.push("initialOffset: what was produced before that time is not read".to_owned());
            }
            Initial::Earliest => {}
        }
        limits
    }

    fn ingredients(&self, setup: &Setup) -> Result<Ingredients, OpenError> {
        let opened = self.access.open(std::sync::Arc::clone(&setup.clock))?;
        let mut config = opened.config;
        // librdkafka takes no limit of an answer below what it takes for the largest message, which only a producer obeys.
        let answer = self.prefetch.max(ANSWER_MIN).to_string();
        config
            .set("client.id", format!("tidemill-{}", setup.instance))
            .set("group.id", &self.group)
            .set("group.instance.id", format!("{}-{}", setup.name, setup.instance))
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", self.session.as_millis().to_string())
            .set("heartbeat.interval.ms", (self.session.as_millis() / 4).min(3000).to_string())
            .set("allow.auto.create.topics", "false")
            .set("auto.offset.reset", "earliest")
            .set("enable.auto.commit", "true")
            .set("auto.commit.interval.ms", "1000")
            .set("enable.auto.offset.store", "false")
            .set("isolation.level", if self.committed_only { "read_committed" } else { "read_uncommitted" })
            .set("statistics.interval.ms", "1000")
            .set("fetch.queue.backoff.ms", FULL_QUEUE)
            .set("queued.max.messages.kbytes", (self.prefetch / 1024).to_string())
            .set("fetch.message.max.bytes", self.prefetch.min(1 << 20).to_string())
            // A message that is larger than all of this is read all the same, alone, and then refused by us.
            .set("fetch.max.bytes", answer)
            .set("receive.message.max.bytes", "2000000000");
        let (name, link) = (setup.name.clone(), setup.link.clone());
        Ok(Ingredients {
            config,
            reports: std::sync::Arc::new(move || {
                Reports::new(name.clone(), opened.address.clone(), link.clone(), opened.tokens.clone())
            }),
            topics: self.topics.clone(),
            template: self.template.clone(),
            ack: self.ack,
            initial: self.initial,
            before: None,
            max_uncommitted: self.max_uncommitted,
            limit: self.limit,
        })
    }

    /// The source's group as it is looked at from outside.
    ///
    /// # Errors
    /// When something on this machine is missing, or no client can be made.
    pub(super) fn group(&self, setup: &Setup) -> Result<Group, ProbeError> {
        let parts = self.ingredients(setup).map_err(|cause| ProbeError { message: cause.message, cause: None })?;
        Group::new(parts.config, (parts.reports)(), self.topics.clone(), self.initial)
    }
}

impl SourcePlan for Plan {
    fn facts(&self) -> SourceFacts {
        SourceFacts {
            ack: self.ack,
            redelivers: self.ack != AckPoint::Received,
            keyed: true,
            in_order: true,
            captures: self.topics.names().iter().map(|name| Text::new(name.as_str())).collect(),
            limits: self.limits(),
        }
    }

    fn entrance(&self, sending: &Sending<'_>) -> Result<Entrance, String> {
        let topic = self.topics.place(sending.to)?;
        Ok(Entrance {
            shared: &["brokers", "tls", "sasl"],
            own: vec![("topic", escaped(topic).into()), ("timeout", sending.timeout())],
            place: format!("topic '{topic}'"),
        })
    }

    fn open(&self, setup: Setup) -> Result<Box<dyn Source>, OpenError> {
        Ok(Box::new(Reader::new(self.ingredients(&setup)?)))
    }
}
