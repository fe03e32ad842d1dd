//! From an event to a message of the Kafka protocol binding.

use std::cell::RefCell;

use connectors::normalise::is_kafka_fact;
use engine::event::{Event, json};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::BaseRecord;

use crate::message::{self, Mode, STRUCTURED, Template};

/// The longest name of a topic.
const LONGEST: usize = 249;
/// A buffer that one large event has grown beyond this is given back.
const BODY_KEPT: usize = 64 << 10;

/// How events become messages.
#[derive(Clone, Debug)]
pub(super) struct Form {
    pub(super) topic: Template,
    pub(super) key: Template,
    pub(super) mode: Mode,
}

/// Where a message is put together, so that no event pays for an allocation of its own.
#[derive(Default)]
struct Desk {
    topic: String,
    key: String,
    body: Vec<u8>,
    name: String,
}

thread_local! {
    static DESK: RefCell<Desk> = RefCell::default();
}

/// Whether a topic may hold it.
pub(super) fn is_legal(sign: char) -> bool {
    sign.is_ascii_alphanumeric() || matches!(sign, '.' | '_' | '-')
}

impl Form {
    /// Puts the message of an event together and gives it to `send`, with the number that its confirmation will have.
    ///
    /// # Errors
    /// Why this event can never be a message.
    pub(super) fn with_record<T>(
        &self,
        event: &Event,
        number: usize,
        send: impl FnOnce(BaseRecord<'_, [u8], [u8], usize>) -> T,
    ) -> Result<T, String> {
        DESK.with_borrow_mut(|desk| {
            let Desk { topic, key, body, name } = desk;
            let topic = self.topic.fill(event, topic).map_err(|cause| format!("{cause}, which topic: needs"))?;
            if topic.len() > LONGEST || matches!(topic, "." | "..") || !topic.chars().all(is_legal) {
                let shown: String = topic.chars().take(120).collect();
                return Err(format!("'{shown}' is no legal topic; use letters, digits, dots, dashes and underscores"));
            }
            let mut record = BaseRecord::with_opaque_to(topic, number);
            // An event that has no key goes to any partition.
            if let Ok(key) = self.key.fill(event, key) {
                record = record.key(key.as_bytes());
            }
            body.clear();
            let data = event.data().map(AsRef::as_ref);
            let (headers, payload) = match self.mode {
                Mode::Binary => (Some(headers(event, name)), data),
                Mode::Structured => {
                    json::encode(event, body);
                    let said = Header { key: "content-type", value: Some(STRUCTURED) };
                    let headers = OwnedHeaders::new_with_capacity(1).insert(said);
                    (Some(traced(headers, event)), Some(body.as_slice()))
                }
                Mode::Payload => (event.trace().map(|_| traced(OwnedHeaders::new_with_capacity(2), event)), data),
            };
            if let Some(headers) = headers {
                record = record.headers(headers);
            }
            if let Some(payload) = payload {
                record = record.payload(payload);
            }
            let sent = send(record);
            body.shrink_to(BODY_KEPT);
            Ok(sent)
        })
    }
}

/// The attributes of a binary message, but for those that say where another message stood.
fn headers(event: &Event, name: &mut String) -> OwnedHeaders {
    let mut headers = OwnedHeaders::new_with_capacity(8 + event.extensions().len());
    for (attribute, value) in message::attributes(event).filter(|(name, _)| !is_kafka_fact(name)) {
        name.clear();
        name.push_str("ce_");
        name.push_str(attribute);
        headers = headers.insert(Header { key: name, value: Some(value.as_ref()) });
    }
    if let Some(content_type) = message::content_type(event) {
        headers = headers.insert(Header { key: "content-type", value: Some(content_type) });
    }
    traced(headers, event)
}

/// Headers with those that carry the trace on.
fn traced(headers: OwnedHeaders, event: &Event) -> OwnedHeaders {
    message::hop(event).fold(headers, |headers, (key, value)| headers.insert(Header { key, value: Some(value) }))
}
