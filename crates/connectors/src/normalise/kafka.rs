//! The Kafka protocol binding of CloudEvents.
//!
//! A binary message has its attributes in headers with the prefix `ce_`, in UTF-8 and not percent-encoded, and the media
//! type of its payload in `content-type`; a structured one has a media type of CloudEvents there. The headers `traceparent`
//! and `tracestate`, which have no prefix, belong to the hop. A message without a payload (a tombstone) is an event without
//! data, one whose payload is empty is an event whose data is empty.
//!
//! Where it stood is added to every event: `kafkatopic`, `kafkapartition`, `kafkaoffset`, and its key as `kafkakey`. A key
//! is bytes: one that is not UTF-8 is `kafkakeybase64` instead, in the standard alphabet with padding. An event that names
//! no `partitionkey` is ordered by its message's key.

use std::borrow::Cow;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use engine::event::{Event, Invalid, Name, Text};
use smallvec::SmallVec;

use super::{Hop, NoEvent, Received, Template};

const PREFIX: &str = "ce_";
const CONTENT_TYPE: &str = "content-type";

/// Names that no sender's attribute may keep, because they say where this message stands.
static NAMES: LazyLock<Option<Names>> = LazyLock::new(|| {
    let name = |text| Name::new(text).ok();
    Some(Names {
        topic: name("kafkatopic")?,
        partition: name("kafkapartition")?,
        offset: name("kafkaoffset")?,
        key: name("kafkakey")?,
        key_base64: name("kafkakeybase64")?,
        partition_key: name("partitionkey")?,
    })
});

struct Names {
    topic: Name,
    partition: Name,
    offset: Name,
    key: Name,
    key_base64: Name,
    partition_key: Name,
}

/// A message as Kafka delivers it. `H` gives its headers in order, names and values; a value can be null.
#[derive(Clone, Debug)]
pub struct Record<'m, H> {
    /// Its topic.
    pub topic: &'m Text,
    /// Its partition, as text.
    pub partition: &'m Text,
    /// Its offset.
    pub offset: i64,
    /// What the topic's captures are, in the order of the template.
    pub captured: &'m [Option<&'m str>],
    /// Its key; null is none, and an empty one is a key that orders nothing.
    pub key: Option<&'m [u8]>,
    /// Its headers.
    pub headers: H,
    /// Its payload; null is none.
    pub payload: Option<Bytes>,
}

impl Template {
    /// The event that a Kafka message is, or that this template makes of it; then `id` is its id, unless a field holds it.
    ///
    /// # Errors
    /// [`NoEvent`] when it claims to be an event and is none, or the template cannot make one.
    pub fn kafka<'m, H>(&self, record: Record<'m, H>, id: impl FnOnce() -> Text) -> Result<Event, NoEvent>
    where
        H: Iterator<Item = (&'m str, Option<&'m [u8]>)>,
    {
        let headers = Headers::read(record.headers)?;
        let empty = record.payload.as_ref().is_some_and(Bytes::is_empty);
        let received = Received {
            whole: record.topic,
            captured: record.captured,
            content_type: headers.content_type,
            binary: headers.binary,
            attributes: headers.attributes.into_iter().map(|(name, value)| {
                let value = utf8(name, value).map_err(|NotUtf8 { name, at }| NoEvent::Header {
                    name: format!("{PREFIX}{name}").into(),
                    problem: format!("it is not UTF-8 from byte {at} on"),
                })?;
                Ok((name, Cow::Borrowed(value)))
            }),
            hop: Some(&headers.hop),
            payload: record.payload.unwrap_or_default(),
        };
        let mut event = self.receive(received, id)?;
        if empty && event.data().is_none() {
            let media_type = event.datacontenttype().cloned();
            event = event.with_data(Bytes::new(), media_type);
        }
        Ok(with_facts(event, record.topic, record.partition, record.offset, record.key))
    }
}

/// What the headers of a message say.
struct Headers<'m> {
    content_type: Option<&'m str>,
    binary: bool,
    /// Without the prefix; a null value is an attribute that is absent.
    attributes: SmallVec<[(&'m str, &'m [u8]); 10]>,
    hop: Hop<'m>,
}

impl<'m> Headers<'m> {
    fn read(headers: impl Iterator<Item = (&'m str, Option<&'m [u8]>)>) -> Result<Headers<'m>, NoEvent> {
        let mut read = Headers { content_type: None, binary: false, attributes: SmallVec::new(), hop: Hop::default() };
        for (name, value) in headers {
            let Some(value) = value else { continue };
            if let Some(attribute) = name.strip_prefix(PREFIX) {
                // What an earlier Kafka said of an earlier message is not true of this one.
                if !attribute.starts_with("kafka") || !is_fact(attribute) {
                    read.binary |= attribute == "specversion";
                    read.attributes.push((attribute, value));
                }
            } else if name.eq_ignore_ascii_case(CONTENT_TYPE) {
                let value = utf8(name, value).map_err(|NotUtf8 { name, at }| NoEvent::Header {
                    name: name.into(),
                    problem: format!("it is not UTF-8 from byte {at} on"),
                })?;
                if read.content_type.is_some_and(|before| before != value) {
                    return Err(Invalid::Duplicate(CONTENT_TYPE.into()).into());
                }
                read.content_type = Some(value);
            } else {
                read.hop.note(name.as_bytes(), value);
            }
        }
        Ok(read)
    }
}

/// A value that is not UTF-8, and from where on.
struct NotUtf8<'m> {
    name: &'m str,
    at: usize,
}

fn utf8<'m>(name: &'m str, value: &'m [u8]) -> Result<&'m str, NotUtf8<'m>> {
    std::str::from_utf8(value).map_err(|cause| NotUtf8 { name, at: cause.valid_up_to() })
}

/// Whether an extension says where a message stood in Kafka, which is not true of any other message.
#[must_use]
pub fn is_fact(name: &str) -> bool {
    matches!(name, "kafkatopic" | "kafkapartition" | "kafkaoffset" | "kafkakey" | "kafkakeybase64")
}

/// Adds where the message stood. The event is looked at once for all of it.
fn with_facts(mut event: Event, topic: &Text, partition: &Text, offset: i64, key: Option<&[u8]>) -> Event {
    let Some(names) = NAMES.as_ref() else { return event };
    let ordered = event.key().is_some();
    // What a structured event says of another message is not true of this one.
    let clear = event.extensions().iter().all(|(name, _)| !name.as_str().starts_with("kafka"));
    let mut edit = event.edit();
    if !clear {
        edit.remove_extensions(is_fact);
    }
    let mut add = |name: &Name, value: Text| edit.absent_extension(name.clone(), value);
    add(&names.topic, topic.clone());
    add(&names.partition, partition.clone());
    add(&names.offset, decimal(offset));
    let Some(key) = key else { return event };
    let (name, text) = match std::str::from_utf8(key) {
        Ok(text) => (&names.key, Text::new(text)),
        Err(_) => (&names.key_base64, Text::new(BASE64_STANDARD.encode(key))),
    };
    add(name, text.clone());
    if !text.is_empty() && !ordered {
        edit.extension(names.partition_key.clone(), text);
    }
    event
}

/// A number that is not negative, without an allocation.
fn decimal(number: i64) -> Text {
    let (mut digits, mut at) = ([0; 20], 20);
    let mut rest = number.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            return Text::new(std::str::from_utf8(&digits[at..]).unwrap_or_default());
        }
    }
}

#[cfg(test)]
mod tests;
