//! The properties of an MQTT 5 message, read in place.
//!
//! Only the content type and the user properties mean anything to an event. They are walked over twice at most: once to
//! see that everything is well formed, and, for a binary CloudEvent, once more to read the attributes.

use std::str::from_utf8;

use bytes::{BufMut, Bytes, BytesMut};

use super::wire::{variable_integer, write_variable_integer};
use crate::kept;
use crate::normalise::Hop;

const CONTENT_TYPE: u8 = 3;
const REASON: u8 = 31;
const USER: u8 = 38;

/// The properties of one message, all of them well formed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Properties<'p> {
    raw: &'p [u8],
    /// The media type of the payload.
    pub(super) content_type: Option<&'p str>,
    /// Whether a user property says that the message is a CloudEvent in binary mode.
    pub(super) binary: bool,
    /// The trace context among the user properties; that of the hop, unless they are attributes.
    pub(super) hop: Hop<'p>,
}

/// What is wrong with the properties of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Flaw {
    #[error("a property ends before it is whole")]
    Short,
    #[error("property {0} does not belong to a message")]
    Unknown(u8),
    #[error("a property is not UTF-8 text")]
    Text,
    #[error("a topic alias is used, which this client never allowed")]
    Alias,
}

/// One property.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Property<'p> {
    ContentType(&'p str),
    User(&'p str, &'p str),
    Other,
}

impl<'p> Properties<'p> {
    /// Checks and reads.
    ///
    /// # Errors
    /// The first [`Flaw`].
    pub(super) fn read(raw: &'p [u8]) -> Result<Properties<'p>, Flaw> {
        let mut properties = Properties { raw, ..Properties::default() };
        let mut rest = raw;
        while !rest.is_empty() {
            match next(&mut rest)? {
                Property::ContentType(text) => properties.content_type = Some(text),
                Property::User("specversion", _) => properties.binary = true,
                Property::User(name, value) => properties.hop.note(name.as_bytes(), value.as_bytes()),
                Property::Other => {}
            }
        }
        Ok(properties)
    }

    /// The user properties in the order in which they were sent.
    pub(super) fn user(&self) -> impl Iterator<Item = (&'p str, &'p str)> + Clone + use<'p> {
        let mut rest = self.raw;
        std::iter::from_fn(move || {
            while !rest.is_empty() {
                // Reading went well once, so it goes well again.
                match next(&mut rest) {
                    Ok(Property::User(name, value)) => return Some((name, value)),
                    Ok(_) => {}
                    Err(_) => return None,
                }
            }
            None
        })
    }
}

/// What a message says of itself besides its payload: its properties as they stand, if they cannot be read.
pub(super) fn kept(properties: &[u8]) -> kept::Headers {
    let mut kept = kept::Headers::default();
    match Properties::read(properties) {
        Ok(read) => {
            if let Some(content_type) = read.content_type {
                kept.add(b"content-type", Some(content_type.as_bytes()));
            }
            read.user().for_each(|(name, value)| kept.add(name.as_bytes(), Some(value.as_bytes())));
        }
        Err(_) => kept.add(b"properties", Some(properties)),
    }
    kept
}

/// The properties of a message, with their length in front of them: its media type and its user properties. Each text is
/// one without what [`super::text_flaw`] finds.
pub fn properties<'u>(content_type: Option<&str>, user: impl Iterator<Item = (&'u str, impl AsRef<str>)>) -> Bytes {
    let mut body = BytesMut::with_capacity(256);
    let text = |text: &str, body: &mut BytesMut| {
        body.put_u16(text.len() as u16);
        body.put_slice(text.as_bytes());
    };
    if let Some(content_type) = content_type {
        body.put_u8(CONTENT_TYPE);
        text(content_type, &mut body);
    }
    for (name, value) in user {
        body.put_u8(USER);
        text(name, &mut body);
        text(value.as_ref(), &mut body);
    }
    let mut whole = BytesMut::with_capacity(body.len() + 4);
    write_variable_integer(body.len(), &mut whole);
    whole.extend_from_slice(&body);
    whole.freeze()
}

/// The broker's own words in the properties of a confirmation, which begin with their length.
pub(super) fn reason(raw: &[u8]) -> Option<String> {
    let (length, digits) = variable_integer(raw).ok()??;
    let mut rest = raw.get(digits..digits + length)?;
    while let Some((identifier, after)) = rest.split_first() {
        rest = after;
        match *identifier {
            REASON => return text(&mut rest).ok().map(str::to_owned).filter(|reason| !reason.is_empty()),
            USER => {
                prefixed(&mut rest).ok()?;
                prefixed(&mut rest).ok()?;
            }
            _ => return None,
        }
    }
    None
}

fn next<'p>(rest: &mut &'p [u8]) -> Result<Property<'p>, Flaw> {
    let identifier = take(rest, 1)?[0];
    Ok(match identifier {
        CONTENT_TYPE => Property::ContentType(text(rest)?),
        USER => Property::User(text(rest)?, text(rest)?),
        // Payload format, expiry.
        1 => skip(rest, 1)?,
        2 => skip(rest, 4)?,
        // Response topic, correlation data.
        8 | 9 => {
            prefixed(rest)?;
            Property::Other
        }
        // Subscription identifier.
        11 => {
            let (_, digits) = variable_integer(rest).ok().flatten().ok_or(Flaw::Short)?;
            skip(rest, digits)?
        }
        35 => return Err(Flaw::Alias),
        unknown => return Err(Flaw::Unknown(unknown)),
    })
}

fn skip<'p>(rest: &mut &'p [u8], count: usize) -> Result<Property<'p>, Flaw> {
    take(rest, count).map(|_| Property::Other)
}

fn take<'p>(rest: &mut &'p [u8], count: usize) -> Result<&'p [u8], Flaw> {
    let (taken, after) = rest.split_at_checked(count).ok_or(Flaw::Short)?;
    *rest = after;
    Ok(taken)
}

fn prefixed<'p>(rest: &mut &'p [u8]) -> Result<&'p [u8], Flaw> {
    let length = take(rest, 2)?;
    take(rest, usize::from(u16::from_be_bytes([length[0], length[1]])))
}

fn text<'p>(rest: &mut &'p [u8]) -> Result<&'p str, Flaw> {
    from_utf8(prefixed(rest)?).map_err(|_| Flaw::Text)
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use mqtt5::mqttbytes::{QoS, v5};
    use proptest::prelude::*;

    use super::*;
    use crate::mqtt::wire::{Decoder, Frame};

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn raw(properties: v5::PublishProperties) -> Vec<u8> {
        let mut out = BytesMut::new();
        let publish = v5::Publish::new("t", QoS::AtMostOnce, "p", Some(properties));
        v5::Packet::Publish(publish).write(&mut out, None).unwrap();
        match Decoder::new(true, 1 << 20).next(&mut out).unwrap() {
            Some(Frame::Publish(publish)) => publish.properties.to_vec(),
            other => panic!("{other:?}"),
        }
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn every_property_of_a_message_is_passed_over_or_read() {
        let raw = raw(v5::PublishProperties {
            payload_format_indicator: Some(1),
            message_expiry_interval: Some(60),
            topic_alias: None,
            response_topic: Some("r/t".into()),
            correlation_data: Some("c".into()),
            user_properties: vec![pair("specversion", "1.0"), pair("id", "e-1"), pair("traceparent", PARENT)],
            subscription_identifiers: vec![300],
            content_type: Some("application/json".into()),
        });
        let properties = Properties::read(&raw).unwrap();
        assert_eq!((properties.content_type, properties.binary), (Some("application/json"), true));
        let user = [("specversion", "1.0"), ("id", "e-1"), ("traceparent", PARENT)];
        assert_eq!(properties.user().collect::<Vec<_>>(), user);
        assert_eq!(properties.hop.trace().map(|trace| trace.parent()), Some(PARENT));
        assert_eq!(Properties::read(b"").unwrap(), Properties::default());
    }

    #[test]
    fn a_confirmation_brings_the_brokers_words() {
        let written = |reason_string: Option<&str>| {
            let user_properties = vec![pair("a", "b")];
            let properties = v5::PubAckProperties { reason_string: reason_string.map(str::to_owned), user_properties };
            let mut out = BytesMut::new();
            v5::Packet::PubAck(v5::PubAck::new(7, Some(properties))).write(&mut out, None).unwrap();
            reason(&out[5..])
        };
        assert_eq!(written(Some("no room")).as_deref(), Some("no room"));
        assert_eq!(written(Some("")), None);
        assert_eq!(written(None), None);
        // Only user properties, nothing at all, and torn ones.
        for raw in [&b"\x07\x26\x00\x01a\x00\x01b"[..], b"\x00", b"", b"\x09\x1f\x00", b"\x03\x1f\x00\x09"] {
            assert_eq!(reason(raw), None, "{raw:?}");
        }
    }

    #[test]
    fn flaws_are_named() {
        for (raw, flaw) in [
            (&b"\x03\x00\x05ab"[..], Flaw::Short),
            (&b"\x0b\xff"[..], Flaw::Short),
            (&b"\x03\x00\x02\xff\xfe"[..], Flaw::Text),
            (&b"\x23\x00\x01"[..], Flaw::Alias),
            (&b"\x63"[..], Flaw::Unknown(99)),
        ] {
            assert_eq!(Properties::read(raw), Err(flaw), "{raw:?}");
        }
    }

    proptest! {
        #[test]
        fn reading_agrees_with_the_crate(
            pairs in prop::collection::vec(("[a-zé]{0,8}", "[ -~é]{0,20}"), 0..6),
            content_type in prop::option::of("[a-z/+]{0,20}"),
        ) {
            let properties = v5::PublishProperties {
                user_properties: pairs.clone(),
                content_type: content_type.clone(),
                ..v5::PublishProperties::default()
            };
            let raw = raw(properties);
            let read = Properties::read(&raw).unwrap();
            prop_assert_eq!(read.content_type, content_type.as_deref());
            let user: Vec<_> = read.user().map(|(name, value)| pair(name, value)).collect();
            prop_assert_eq!(user, pairs);
        }

        #[test]
        fn what_is_written_is_what_the_crate_writes(
            pairs in prop::collection::vec(("[a-z0-9]{1,20}", "[ -~é]{0,60}"), 0..9),
            content_type in prop::option::of("[a-z/+]{0,20}"),
        ) {
            let written = properties(content_type.as_deref(), pairs.iter().map(|(name, value)| (name.as_str(), value)));
            let expected = raw(v5::PublishProperties {
                user_properties: pairs.clone(),
                content_type,
                ..v5::PublishProperties::default()
            });
            let (length, digits) = variable_integer(&written).unwrap().unwrap();
            prop_assert_eq!(length, written.len() - digits);
            prop_assert_eq!(Properties::read(&written[digits..]).unwrap().content_type, Properties::read(&expected).unwrap().content_type);
            prop_assert_eq!(written.len() - digits, expected.len());
            let user: Vec<_> = Properties::read(&written[digits..]).unwrap().user().map(|(name, value)| pair(name, value)).collect();
            prop_assert_eq!(user, pairs);
        }

        #[test]
        fn no_bytes_make_it_panic(raw in prop::collection::vec(any::<u8>(), 0..60)) {
            reason(&raw);
            if let Ok(properties) = Properties::read(&raw) {
                properties.user().count();
            }
        }
    }
}
