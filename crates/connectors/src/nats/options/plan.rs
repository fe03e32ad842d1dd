//! A checked NATS source: what it can promise, and how it is opened.

use std::time::Duration;

use engine::config::{AckPoint, Secret};
use engine::event::Text;
use engine::port::Source;
use engine::registry::{Entrance, OpenError, Sending, Setup, SourceFacts, SourcePlan};

use super::Reading;
use crate::capture::{Filters, escaped};
use crate::credentials::reveal;
use crate::nats::address::Address;
use crate::nats::auth::Identity;
use crate::nats::connection::Terms;
use crate::nats::source::{Ingredients, Receiver};
use crate::normalise::{Ids, Template};
use crate::tls::Files;
use crate::trust::Trust;

/// A checked NATS source.
pub(super) struct Plan {
    pub(super) url: Secret,
    pub(super) identity: Identity,
    pub(super) tls: Files,
    pub(super) keep_alive: Duration,
    pub(super) subjects: Filters,
    pub(super) template: Template,
    pub(super) ack: AckPoint,
    pub(super) reading: Reading,
}

impl Plan {
    fn limits(&self) -> Vec<String> {
        let sentences: &[&str] = match &self.reading {
            Reading::Core(_) => &[
                "core nats delivers at most once: what arrives while this engine is away or full is lost; write stream: and \
                 durable: to receive from JetStream",
                "core nats keeps the order of one publisher only, and a queue group none between engines",
            ],
            Reading::Stream(_) => &[
                "JetStream delivers the events of one stream in order, but what comes again after ack_wait comes late, and \
                 engines that share a durable take turns",
                "max_ack_pending of the consumer (1000 unless it is set) must be at least seats x replicas, or the server \
                 stops delivering there without a word",
                "a stream with max_age, max_bytes or max_msgs drops what was never delivered; nats-server warns nobody",
                "each message is acknowledged by itself, so a crash repeats at most the events in seats",
            ],
        };
        sentences.iter().map(|sentence| (*sentence).to_owned()).collect()
    }
}

impl SourcePlan for Plan {
    fn facts(&self) -> SourceFacts {
        SourceFacts {
            ack: self.ack,
            redelivers: matches!(self.reading, Reading::Stream(_)) && self.ack != AckPoint::Received,
            // A CloudEvent can always bring its own key.
            keyed: true,
            in_order: false,
            captures: self.subjects.names().iter().map(|name| Text::new(name.as_str())).collect(),
            limits: self.limits(),
        }
    }

    fn entrance(&self, sending: &Sending<'_>) -> Result<Entrance, String> {
        let subject = self.subjects.place(sending.to)?;
        let stored = matches!(self.reading, Reading::Stream(_));
        Ok(Entrance {
            shared: &["url", "user", "password", "token", "nkey", "credentials", "tls"],
            own: vec![
                ("subject", escaped(subject).into()),
                ("jetstream", stored.into()),
                ("timeout", sending.timeout()),
            ],
            place: format!("subject '{subject}'"),
        })
    }

    fn open(&self, setup: Setup) -> Result<Box<dyn Source>, OpenError> {
        let address = Address::parse(&reveal("nats.url", &self.url)?)
            .map_err(|flaw| OpenError { message: format!("nats.{}; {}", flaw.message, flaw.help), cause: None })?;
        let terms = Terms {
            trust: address.is_tls().then(|| Trust::load(&self.tls)).transpose()?,
            proof: self.identity.reveal()?,
            address,
            keep_alive: self.keep_alive,
            name: format!("tidemill-{}-{}", setup.name, setup.instance).into(),
        };
        Ok(Box::new(Receiver::new(Ingredients {
            name: setup.name,
            terms,
            reading: self.reading.clone(),
            subjects: self.subjects.clone(),
            template: self.template.clone(),
            ids: Ids::new(fastrand::u64(..)),
            ack: self.ack,
            link: setup.link,
        })))
    }
}
