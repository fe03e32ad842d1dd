//! AMQP 0-9-1, for which CloudEvents has no binding: that of AMQP 1.0, with application headers in the place of
//! application properties.
//!
//! A binary message has its attributes in headers with the prefix `cloudEvents:`, or `cloudEvents_`, and the media type of
//! its payload in the property `content_type`; a structured one has a media type of CloudEvents there. The prefix `ce-`,
//! which Knative's binding for RabbitMQ has and CloudEvents' SDK for Python writes, is read too. A value is text, a
//! boolean, an integer, a timestamp or bytes; an attribute has no other type, so that a message with a table, an array, a
//! decimal or a floating-point number for one is no event. An integer `time` is milliseconds since 1970, as timestamps of
//! AMQP 1.0 are: the same SDK hands it to clients so. Headers without the prefix belong to the message;
//! `traceparent` and `tracestate` among them to the hop.
//!
//! Where it stood is added to every event: `amqpexchange` (absent for the default exchange), `amqproutingkey` and
//! `amqpredelivered`.

use std::borrow::Cow;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use engine::event::{Event, Name, Text, Value};
use smallvec::SmallVec;

use super::{Hop, Ids, NoEvent, Received, Template};

const PREFIXES: [&[u8]; 3] = [b"cloudEvents:", b"cloudEvents_", b"ce-"];

/// Names that no sender's attribute may keep, because they say where this message stands.
static NAMES: LazyLock<Option<[Name; 3]>> = LazyLock::new(|| {
    let name = |text| Name::new(text).ok();
    Some([name(EXCHANGE)?, name(ROUTING_KEY)?, name(REDELIVERED)?])
});
const EXCHANGE: &str = "amqpexchange";
const ROUTING_KEY: &str = "amqproutingkey";
const REDELIVERED: &str = "amqpredelivered";

/// A value of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field<'m> {
    /// A string, which can hold any bytes.
    Text(&'m [u8]),
    /// A byte array.
    Bytes(&'m [u8]),
    /// Any of the integers.
    Integer(i64),
    /// A boolean.
    Boolean(bool),
    /// Seconds since 1970.
    Timestamp(u64),
    /// Nothing.
    Void,
    /// What no attribute can be, in words.
    Other(&'static str),
}

impl<'m> Field<'m> {
    /// The value as it is shown to people; nothing for void. Of what no attribute can be only the type is shown.
    #[must_use]
    pub fn shown(self) -> Option<Cow<'m, [u8]>> {
        Some(match self {
            Field::Text(bytes) | Field::Bytes(bytes) => Cow::Borrowed(bytes),
            Field::Integer(number) => Cow::Owned(number.to_string().into_bytes()),
            Field::Boolean(truth) => Cow::Owned(truth.to_string().into_bytes()),
            Field::Timestamp(seconds) => Cow::Owned(seconds.to_string().into_bytes()),
            Field::Void => return None,
            Field::Other(kind) => Cow::Owned(format!("({kind})").into_bytes()),
        })
    }
}

/// A message as AMQP delivers it. `H` gives its headers in order.
#[derive(Clone, Debug)]
pub struct Posted<'m, H> {
    /// The exchange it was published to, empty for the default one.
    pub exchange: &'m str,
    /// Its routing key.
    pub routing_key: &'m str,
    /// Whether the broker may have delivered it before.
    pub redelivered: bool,
    /// What the routing key's captures are, in the order of the template.
    pub captured: &'m [Option<&'m str>],
    /// Its content type.
    pub content_type: Option<&'m [u8]>,
    /// Its headers.
    pub headers: H,
    /// Its payload.
    pub payload: Bytes,
}

impl Template {
    /// The event that an AMQP message is, or that this template makes of it.
    ///
    /// # Errors
    /// [`NoEvent`] when it claims to be an event and is none, or the template cannot make one.
    pub fn amqp<'m, H>(&self, ids: &mut Ids, message: Posted<'m, H>) -> Result<Event, NoEvent>
    where
        H: Iterator<Item = (&'m [u8], Field<'m>)>,
    {
        let Posted { exchange, routing_key, redelivered, .. } = message;
        let (mut binary, mut hop) = (false, Hop::default());
        let mut attributes = SmallVec::<[(&'m str, Field<'m>); 10]>::new();
        for (name, value) in message.headers {
            if let Field::Text(value) | Field::Bytes(value) = value {
                hop.note(name, value);
            }
            let name = PREFIXES.iter().find_map(|prefix| name.strip_prefix(*prefix));
            // What is no text is no attribute's name, and a void value is an attribute that is absent. What an earlier
            // broker said of an earlier message is not true of this one.
            let name = name.and_then(|name| std::str::from_utf8(name).ok());
            if let Some(name) = name.filter(|name| value != Field::Void && !is_fact(name)) {
                binary |= name == "specversion";
                attributes.push((name, value));
            }
        }
        let received = Received {
            whole: routing_key,
            captured: message.captured,
            content_type: message.content_type.map(|value| text("content_type", value)).transpose()?,
            binary,
            attributes: attributes.into_iter().map(|(name, value)| Ok((name, attribute(name, value)?))),
            hop: Some(&hop),
            payload: message.payload,
        };
        let mut event = self.receive(received, || ids.draw())?;
        if let Some([exchange_name, routing_key_name, redelivered_name]) = NAMES.as_ref() {
            let mut edit = event.edit();
            // What a structured event says of another message is not true of this one.
            edit.remove_extensions(is_fact);
            if !exchange.is_empty() {
                edit.extension(exchange_name.clone(), Text::new(exchange));
            }
            edit.extension(routing_key_name.clone(), Text::new(routing_key));
            edit.extension(redelivered_name.clone(), Value::Boolean(redelivered));
        }
        Ok(event)
    }
}

/// Whether an extension says how a message came over AMQP, which is not true of any other message.
#[must_use]
pub fn is_fact(name: &str) -> bool {
    matches!(name, EXCHANGE | ROUTING_KEY | REDELIVERED)
}

fn text<'m>(name: &str, value: &'m [u8]) -> Result<&'m str, NoEvent> {
    std::str::from_utf8(value).map_err(|cause| NoEvent::Header {
        name: name.into(),
        problem: format!("it is not UTF-8 from byte {} on", cause.valid_up_to()),
    })
}

/// An attribute's value with its type, as far as CloudEvents has it: an integer of more than 32 bits is the text of it, and
/// bytes are their base64.
fn attribute(name: &str, value: Field<'_>) -> Result<Value, NoEvent> {
    let header = || Text::new(format!("cloudEvents:{name}"));
    Ok(match value {
        Field::Text(bytes) => text(&header(), bytes)?.into(),
        Field::Boolean(truth) => Value::Boolean(truth),
        Field::Integer(number) if name == "time" => instant(number).ok_or_else(|| NoEvent::Header {
            name: header(),
            problem: format!("{number} ms since 1970 is no time between the years 1970 and 9999"),
        })?,
        Field::Integer(number) if i32::try_from(number).is_ok() => Value::Integer(number),
        Field::Integer(number) => Text::new(number.to_string()).into(),
        Field::Bytes(bytes) => Text::new(BASE64_STANDARD.encode(bytes)).into(),
        Field::Timestamp(seconds) => match date(seconds) {
            Some(text) => Text::new(text).into(),
            None => {
                return Err(NoEvent::Header {
                    name: header(),
                    problem: format!("{seconds} s since 1970 is beyond the year 9999"),
                });
            }
        },
        Field::Void => "".into(),
        Field::Other(kind) => {
            let problem = format!("it is {kind}; an attribute is text, a boolean, an integer, a timestamp or bytes");
            return Err(NoEvent::Header { name: header(), problem });
        }
    })
}

/// RFC 3339 in UTC of milliseconds since 1970, up to the year 9999.
fn instant(milliseconds: i64) -> Option<Value> {
    let milliseconds = u64::try_from(milliseconds).ok()?;
    let mut text = date(milliseconds / 1000)?;
    let rest = milliseconds % 1000;
    if rest > 0 {
        text.truncate(text.len() - 1);
        text.push_str(&format!(".{rest:03}Z"));
    }
    Some(Text::new(text).into())
}

/// RFC 3339 in UTC of seconds since 1970, up to the year 9999.
fn date(seconds: u64) -> Option<String> {
    const LAST: u64 = 253_402_300_799;
    if seconds > LAST {
        return None;
    }
    let (days, clock) = (seconds / 86_400, seconds % 86_400);
    // Years begin in March here, so that the leap day is the last of one; eras are of 400 years.
    let day = days + 719_468;
    let (era, day) = (day / 146_097, day % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    let (hour, minute, second) = (clock / 3600, clock / 60 % 60, clock % 60);
    Some(format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"))
}

#[cfg(test)]
mod tests;
