//! An event as bytes for our own files: lean, lossless, and cheap both ways.
//!
//! Every attribute is kept as it was received, the payload byte for byte, and the context of the hop that brought it;
//! unpacking shares the payload with the bytes it is read from. It is no exchange format: whoever reads it is a version of the engine that wrote it, or a newer one.

use std::sync::Arc;

use bytes::Bytes;

use super::trace::Hop;
use super::{Event, Extensions, Name, Text, Trace, Value};

/// Bytes that are no packed event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the bytes are no packed event")]
pub struct Unreadable;

const SUBJECT: u8 = 1;
const TIME: u8 = 2;
const DATACONTENTTYPE: u8 = 4;
const DATASCHEMA: u8 = 8;
const DATA: u8 = 16;
const HOP: u8 = 32;
const HOP_STATE: u8 = 64;
const KNOWN: u8 = 127;

const STRING: u8 = 0;
const INTEGER: u8 = 1;
const FALSE: u8 = 2;
const TRUE: u8 = 3;

impl Event {
    /// Appends the packed event to `into`. It has no length of its own: it ends where the bytes end.
    pub fn pack(&self, into: &mut Vec<u8>) {
        let parts = &*self.0;
        let optional = [
            (SUBJECT, parts.subject.as_ref()),
            (TIME, parts.time.as_ref()),
            (DATACONTENTTYPE, parts.datacontenttype.as_ref()),
            (DATASCHEMA, parts.dataschema.as_ref()),
        ];
        let hop = parts.hop.as_ref().map(|hop| hop.trace());
        let further = [
            (DATA, parts.data.is_some()),
            (HOP, hop.is_some()),
            (HOP_STATE, hop.is_some_and(|hop| hop.state().is_some())),
        ];
        let present = optional.iter().map(|(flag, text)| (*flag, text.is_some())).chain(further);
        into.push(present.filter(|(_, present)| *present).fold(0, |flags, (flag, _)| flags | flag));
        for text in
            [&parts.id, &parts.source, &parts.r#type].into_iter().chain(optional.into_iter().filter_map(|o| o.1))
        {
            pack_text(text, into);
        }
        pack_number(parts.extensions.len() as u64, into);
        for (name, value) in &parts.extensions {
            pack_text(name.as_str(), into);
            match value {
                Value::String(text) => {
                    into.push(STRING);
                    pack_text(text, into);
                }
                Value::Integer(number) => {
                    into.push(INTEGER);
                    into.extend_from_slice(&number.to_le_bytes());
                }
                Value::Boolean(truth) => into.push(if *truth { TRUE } else { FALSE }),
            }
        }
        for (_, text) in hop.into_iter().flat_map(Trace::headers) {
            pack_text(text, into);
        }
        into.extend_from_slice(parts.data.as_deref().unwrap_or_default());
    }

    /// Reads what [`Event::pack`] wrote.
    ///
    /// # Errors
    /// [`Unreadable`] for other bytes, as far as that can be told.
    pub fn unpack(packed: &Bytes) -> Result<Event, Unreadable> {
        let mut rest = &packed[..];
        let flags = byte(&mut rest)?;
        if flags & !KNOWN != 0 {
            return Err(Unreadable);
        }
        let (id, source, kind) = (text(&mut rest)?, text(&mut rest)?, text(&mut rest)?);
        let mut event = Event::new(id.into(), source.into(), kind.into()).map_err(|_| Unreadable)?;
        let parts = event.parts();
        let mut optional =
            |flag| if flags & flag == 0 { Ok(None) } else { text(&mut rest).map(|t| Some(Text::from(t))) };
        parts.subject = optional(SUBJECT)?;
        parts.time = optional(TIME)?;
        parts.datacontenttype = optional(DATACONTENTTYPE)?;
        parts.dataschema = optional(DATASCHEMA)?;
        parts.extensions = extensions(&mut rest)?;
        parts.hop = hop(flags, &mut rest)?;
        if flags & DATA != 0 {
            parts.data = Some(packed.slice(packed.len() - rest.len()..));
        } else if !rest.is_empty() {
            return Err(Unreadable);
        }
        Ok(event)
    }
}

fn hop(flags: u8, rest: &mut &[u8]) -> Result<Option<Arc<Hop>>, Unreadable> {
    if flags & HOP == 0 {
        return if flags & HOP_STATE == 0 { Ok(None) } else { Err(Unreadable) };
    }
    let parent = text(rest)?;
    let state = if flags & HOP_STATE == 0 { None } else { Some(text(rest)?) };
    let trace = Trace::read(parent, state).filter(|trace| trace.state() == state).ok_or(Unreadable)?;
    Ok(Some(Arc::new(Hop::new(trace))))
}

fn extensions(rest: &mut &[u8]) -> Result<Extensions, Unreadable> {
    let count = number(rest)?;
    let mut extensions = Extensions::new();
    for _ in 0..count {
        let name = Name::new(text(rest)?).map_err(|_| Unreadable)?;
        let value = match byte(rest)? {
            STRING => Value::String(text(rest)?.into()),
            INTEGER => {
                let (bytes, after) = rest.split_first_chunk::<8>().ok_or(Unreadable)?;
                *rest = after;
                Value::Integer(i64::from_le_bytes(*bytes))
            }
            FALSE => Value::Boolean(false),
            TRUE => Value::Boolean(true),
            _ => return Err(Unreadable),
        };
        extensions.push((name, value));
    }
    Ok(extensions)
}

/// Appends a text with its length before it.
pub(crate) fn pack_text(text: &str, into: &mut Vec<u8>) {
    pack_number(text.len() as u64, into);
    into.extend_from_slice(text.as_bytes());
}

/// Reads what [`pack_text`] wrote, and leaves what follows.
pub(crate) fn text<'p>(rest: &mut &'p [u8]) -> Result<&'p str, Unreadable> {
    let length = usize::try_from(number(rest)?).map_err(|_| Unreadable)?;
    let (text, after) = rest.split_at_checked(length).ok_or(Unreadable)?;
    *rest = after;
    std::str::from_utf8(text).map_err(|_| Unreadable)
}

/// Seven bits a byte, the lowest first: most lengths are one byte.
fn pack_number(mut number: u64, into: &mut Vec<u8>) {
    while number >= 0x80 {
        into.push(number as u8 | 0x80);
        number >>= 7;
    }
    into.push(number as u8);
}

fn number(rest: &mut &[u8]) -> Result<u64, Unreadable> {
    let mut number = 0;
    for shift in (0..63).step_by(7) {
        let byte = byte(rest)?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(Unreadable)
}

fn byte(rest: &mut &[u8]) -> Result<u8, Unreadable> {
    let (byte, after) = rest.split_first().ok_or(Unreadable)?;
    *rest = after;
    Ok(*byte)
}

#[cfg(test)]
mod tests {
    use proptest::option;
    use proptest::prelude::*;

    use super::super::arbitrary::events;
    use super::*;

    fn packed(event: &Event) -> Bytes {
        let mut bytes = Vec::new();
        event.pack(&mut bytes);
        bytes.into()
    }

    #[test]
    fn it_is_lean() {
        let event = Event::new("1".into(), "/a".into(), "t".into()).unwrap();
        assert_eq!(packed(&event).len(), 1 + 2 + 3 + 2 + 1);
        assert_eq!(Event::unpack(&packed(&event)), Ok(event.clone()));
        let empty = event.with_data(Bytes::new(), None);
        assert_eq!(Event::unpack(&packed(&empty)).unwrap().data(), Some(&Bytes::new()), "an empty payload is one");
    }

    #[test]
    fn a_hop_that_is_none_is_unreadable() {
        let bare = packed(&Event::new("1".into(), "/a".into(), "t".into()).unwrap());
        let with = |flags: u8, texts: &[&str]| {
            let mut bytes = bare.to_vec();
            bytes[0] |= flags;
            texts.iter().for_each(|text| pack_text(text, &mut bytes));
            Event::unpack(&bytes.into())
        };
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(with(HOP, &[parent]).unwrap().trace().unwrap().parent(), parent);
        for (flags, texts) in [
            (HOP, &["nonsense"][..]),
            (HOP, &[]),
            (HOP_STATE, &["a=1"]),
            (HOP | HOP_STATE, &[parent, "nonsense"]),
            (HOP | HOP_STATE, &[parent]),
            (128, &[]),
        ] {
            assert_eq!(with(flags, texts), Err(Unreadable), "{flags} {texts:?}");
        }
    }

    #[test]
    fn the_payload_is_shared() {
        let event = Event::new("1".into(), "/a".into(), "t".into()).unwrap().with_data(Bytes::from(vec![7; 100]), None);
        let bytes = packed(&event);
        let data = Event::unpack(&bytes).unwrap().data().cloned().unwrap();
        assert!(bytes.as_ptr_range().contains(&data.as_ptr()));
    }

    proptest! {
        #[test]
        fn every_event_comes_back(mut event in events(), own in any::<bool>(), state in option::of(Just("rojo=1"))) {
            if own {
                event = event.with_extension(Name::TRACESTATE, "of its own");
            }
            event.carried_by(Trace::read("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", state).unwrap());
            prop_assert_eq!(event.0.hop.is_some(), own);
            prop_assert_eq!(Event::unpack(&packed(&event)), Ok(event));
        }

        #[test]
        fn no_bytes_are_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Event::unpack(&bytes.into());
        }

        #[test]
        fn half_an_event_is_none(event in events(), cut in any::<proptest::sample::Index>()) {
            let bytes = packed(&event);
            let head = bytes.len() - event.data().map_or(0, Bytes::len);
            prop_assert_eq!(Event::unpack(&bytes.slice(..cut.index(head))), Err(Unreadable));
        }

        #[test]
        fn numbers_come_back(number in any::<u64>().prop_map(|n| n >> 1)) {
            let mut bytes = Vec::new();
            pack_number(number, &mut bytes);
            prop_assert_eq!(super::number(&mut &bytes[..]), Ok(number));
        }
    }
}
