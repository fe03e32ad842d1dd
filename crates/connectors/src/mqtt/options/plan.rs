//! A checked MQTT source: what it can promise, and how it is opened.

use engine::config::AckPoint;
use engine::event::Text;
use engine::port::Source;
use engine::registry::{Entrance, OpenError, Sending, Setup, SourceFacts, SourcePlan};

use crate::capture::{Filters, escaped};
use crate::mqtt::access::Access;
use crate::mqtt::client::Session;
use crate::mqtt::order;
use crate::mqtt::record::Record;
use crate::mqtt::source::{Ingredients, Subscriber};
use crate::mqtt::text::topic_flaw;
use crate::mqtt::topic;
use crate::mqtt::version::Version;
use crate::normalise::{Ids, Template};

/// The least room for staged messages; it grows with the packet size.
const STAGED: usize = 16 << 20;

/// A checked MQTT source.
pub(super) struct Plan {
    pub(super) access: Access,
    pub(super) quality: u8,
    pub(super) share: Option<String>,
    pub(super) expiry: u32,
    pub(super) limit: usize,
    pub(super) ack: AckPoint,
    pub(super) ack_order: order::AckOrder,
    pub(super) topics: Filters,
    pub(super) template: Template,
}

impl Plan {
    fn limits(&self) -> Vec<String> {
        let mut limits = Vec::new();
        if self.quality == 0 {
            limits.push("mqtt qos 0: what arrives while this engine is away or full is lost".to_owned());
            return limits;
        }
        limits.push(
            "mosquitto drops qos 1 messages of a slow or absent subscriber beyond max_queued_messages (1000 by default) \
             without a word; set max_queued_messages 0 there"
                .to_owned(),
        );
        limits.push("a broker that is killed forgets what it accepted after it last saved its state".to_owned());
        limits.push("mqtt keeps the order of events only between crashes and reconnects".to_owned());
        match self.access.version() {
            Version::Five if self.expiry == 0 => {
                limits.push("sessionExpiry 0s: what arrives while the connection is lost is not kept".to_owned());
            }
            Version::Five => limits.push(format!(
                "the broker keeps messages for {} while this engine is away (sessionExpiry)",
                period(self.expiry)
            )),
            Version::ThreeOneOne => {
                limits.push(
                    "mqtt 3.1.1 cannot bound what a broker sends; a full engine stops reading instead".to_owned(),
                );
            }
        }
        if self.share.is_some() {
            limits.push("a shared subscription gets no retained messages".to_owned());
        }
        limits
    }
}

/// Seconds as people write them.
fn period(seconds: u32) -> String {
    match seconds {
        u32::MAX => "ever".to_owned(),
        whole if whole % 86_400 == 0 => format!("{}d", whole / 86_400),
        whole if whole % 3600 == 0 => format!("{}h", whole / 3600),
        whole if whole % 60 == 0 => format!("{}m", whole / 60),
        other => format!("{other}s"),
    }
}

impl SourcePlan for Plan {
    fn facts(&self) -> SourceFacts {
        let kept = self.access.version() == Version::ThreeOneOne || self.expiry > 0;
        SourceFacts {
            ack: self.ack,
            redelivers: self.quality == 1 && self.ack != AckPoint::Received && kept,
            // A CloudEvent can always bring its own key.
            keyed: true,
            in_order: false,
            captures: self.topics.names().iter().map(|name| Text::new(name.as_str())).collect(),
            limits: self.limits(),
        }
    }

    fn entrance(&self, sending: &Sending<'_>) -> Result<Entrance, String> {
        let topic = self.topics.place(sending.to)?;
        if let Some(flaw) = topic_flaw(topic) {
            return Err(format!("the topic '{topic}' {flaw}"));
        }
        Ok(Entrance {
            shared: &["url", "version", "keepAlive", "user", "password", "tls"],
            own: vec![("topic", escaped(topic).into()), ("timeout", sending.timeout())],
            place: format!("topic '{topic}'"),
        })
    }

    fn open(&self, setup: Setup) -> Result<Box<dyn Source>, OpenError> {
        let access = self.access.open(&format!("tidemill-{}", setup.name), &setup.instance)?;
        let client_id = access.client_id.clone();
        let session = Session {
            name: setup.name.clone(),
            access,
            expiry: self.expiry,
            filters: topic::wire(&self.topics, self.share.as_deref()),
            quality: self.quality,
            limit: self.limit,
            window: setup.seats.min(usize::from(u16::MAX)),
        };
        Ok(Box::new(Subscriber::new(Ingredients {
            session,
            topics: self.topics.clone(),
            template: self.template.clone(),
            ids: Ids::new(fastrand::u64(..)),
            ack: self.ack,
            ack_order: self.ack_order,
            staged: STAGED.max(2 * self.limit),
            record: Record::new(setup.state, &setup.name, &client_id),
            link: setup.link,
        })))
    }
}
