//! One parked delivery, and how it lies in the file: everything that its next attempt needs, and why it needs one.
//!
//! The event is packed as it is in a spool and in a dead letter, byte for byte, and so are results that are not confirmed.

use bytes::Bytes;

use crate::delivery::Position;
use crate::event::{Event, Text, Unreadable, beginning, pack_text, unpack_text};
use crate::store::Stamp;

/// Bytes of a message that are kept.
const MESSAGE_MAX: usize = 1024;

/// One parked delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// `trigger/rule`.
    pub(crate) rule: Text,
    /// Attempts of the present stage that have failed; 0 for what only waits for its turn.
    pub(crate) attempts: u32,
    /// How often it was given up before and sent on its way again.
    pub(crate) redrives: u32,
    /// When it is tried again; nothing for what stands behind another of its key.
    pub(crate) due: Option<Stamp>,
    /// When an attempt failed first.
    pub(crate) failed: Option<Stamp>,
    /// When its event was received here, as well as that is known; nothing in rows of older versions.
    pub(crate) received: Option<Stamp>,
    /// Where its message stands at its broker, if that is known.
    pub(crate) position: Option<Position>,
    /// Whether its key orders it.
    pub(crate) laned: bool,
    /// Whether it has had every attempt that it may have, and waits for somebody to say what becomes of it.
    pub(crate) spent: bool,
    /// What kind of failure the last one was, where it has a name.
    pub(crate) code: Option<Text>,
    /// What was said last, of bounded length.
    pub(crate) message: Text,
    /// The event.
    pub(crate) event: Event,
    /// Results that are not confirmed, each with the name of its output; where there are none, the function has to judge.
    pub(crate) results: Vec<(Text, Event)>,
}

const LANED: u8 = 1;
const DUE: u8 = 2;
const FAILED: u8 = 4;
const CODE: u8 = 8;
const RECEIVED: u8 = 16;
const SPENT: u8 = 32;
const POSITION: u8 = 64;
const KNOWN: u8 = 127;

/// A message of bounded length.
pub(crate) fn bounded(message: &str) -> Text {
    beginning(message, MESSAGE_MAX).into()
}

impl Row {
    /// Appends the row as it lies in the file.
    pub(super) fn pack(&self, into: &mut Vec<u8>) {
        let flags = [
            (LANED, self.laned),
            (DUE, self.due.is_some()),
            (FAILED, self.failed.is_some()),
            (CODE, self.code.is_some()),
            (RECEIVED, self.received.is_some()),
            (SPENT, self.spent),
            (POSITION, self.position.is_some()),
        ];
        into.push(flags.iter().filter(|(_, there)| *there).fold(0, |flags, (flag, _)| flags | flag));
        into.extend_from_slice(&self.attempts.to_le_bytes());
        into.extend_from_slice(&self.redrives.to_le_bytes());
        for time in [self.due, self.failed, self.received].into_iter().flatten() {
            into.extend_from_slice(&time.0.to_le_bytes());
        }
        if let Some(Position { source, stream, made, sequence }) = &self.position {
            into.extend_from_slice(&sequence.to_le_bytes());
            [source, stream, made].into_iter().for_each(|text| pack_text(text, into));
        }
        pack_text(&self.rule, into);
        self.code.iter().for_each(|code| pack_text(code, into));
        pack_text(&self.message, into);
        pack_event(&self.event, into);
        for (output, event) in &self.results {
            pack_text(output, into);
            pack_event(event, into);
        }
    }

    /// Reads what [`Row::pack`] wrote.
    ///
    /// # Errors
    /// [`Unreadable`] for other bytes, as far as that can be told.
    pub(super) fn unpack(value: &[u8]) -> Result<Row, Unreadable> {
        // Payloads share these bytes.
        let whole = Bytes::copy_from_slice(value);
        let rest = &mut &whole[..];
        let [flags] = chunk::<1>(rest)?;
        if flags & !KNOWN != 0 {
            return Err(Unreadable);
        }
        let (attempts, redrives) = (u32::from_le_bytes(chunk(rest)?), u32::from_le_bytes(chunk(rest)?));
        let mut time =
            |flag| if flags & flag == 0 { Ok(None) } else { chunk(rest).map(|t| Some(Stamp(u64::from_le_bytes(t)))) };
        let (due, failed, received) = (time(DUE)?, time(FAILED)?, time(RECEIVED)?);
        let position = if flags & POSITION == 0 { None } else { Some(unpack_position(rest)?) };
        let rule = unpack_text(rest)?.into();
        let code = if flags & CODE == 0 { None } else { Some(unpack_text(rest)?.into()) };
        let message = unpack_text(rest)?.into();
        let event = unpack_event(&whole, rest)?;
        let mut results = Vec::new();
        while !rest.is_empty() {
            results.push((unpack_text(rest)?.into(), unpack_event(&whole, rest)?));
        }
        let (laned, spent) = (flags & LANED != 0, flags & SPENT != 0);
        Ok(Row {
            rule,
            attempts,
            redrives,
            due,
            failed,
            received,
            position,
            laned,
            spent,
            code,
            message,
            event,
            results,
        })
    }
}

fn unpack_position(rest: &mut &[u8]) -> Result<Position, Unreadable> {
    let sequence = u64::from_le_bytes(chunk(rest)?);
    let mut text = || unpack_text(rest).map(Text::from);
    Ok(Position { source: text()?, stream: text()?, made: text()?, sequence })
}

fn pack_event(event: &Event, into: &mut Vec<u8>) {
    let start = into.len();
    into.extend_from_slice(&[0; 4]);
    event.pack(into);
    let length = u32::try_from(into.len() - start - 4).unwrap_or(u32::MAX);
    into[start..start + 4].copy_from_slice(&length.to_le_bytes());
}

fn unpack_event(whole: &Bytes, rest: &mut &[u8]) -> Result<Event, Unreadable> {
    let length = u32::from_le_bytes(chunk(rest)?) as usize;
    let start = whole.len() - rest.len();
    let (_, after) = rest.split_at_checked(length).ok_or(Unreadable)?;
    *rest = after;
    Event::unpack(&whole.slice(start..start + length))
}

fn chunk<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], Unreadable> {
    let (chunk, after) = rest.split_first_chunk::<N>().ok_or(Unreadable)?;
    *rest = after;
    Ok(*chunk)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fake::event;

    fn full() -> Row {
        Row {
            rule: "t/r".into(),
            attempts: 3,
            redrives: 7,
            due: Some(Stamp(1_700_000_000_123)),
            failed: Some(Stamp(1_699_999_000_000)),
            received: Some(Stamp(1_699_998_000_000)),
            position: Some(Position {
                source: "fleet".into(),
                stream: "TELEMETRY".into(),
                made: "2026-11-21T06:58:00Z".into(),
                sequence: 1 << 40,
            }),
            laned: true,
            spent: true,
            code: Some("timeout".into()),
            message: "it said \"no\"".into(),
            event: event("1").with_data(b"{\"speed\":1.10,\n\xff"[..].into(), Some("application/json".into())),
            results: vec![("a".into(), event("2").with_data(b""[..].into(), None)), ("b".into(), event("3"))],
        }
    }

    fn packed(row: &Row) -> Vec<u8> {
        let mut bytes = Vec::new();
        row.pack(&mut bytes);
        bytes
    }

    #[test]
    fn a_row_comes_back_with_its_payloads_byte_for_byte() {
        let bare = Row {
            due: None,
            failed: None,
            received: None,
            position: None,
            laned: false,
            spent: false,
            code: None,
            results: Vec::new(),
            ..full()
        };
        for row in [full(), bare] {
            assert_eq!(Row::unpack(&packed(&row)), Ok(row));
        }
    }

    #[test]
    fn a_message_is_bounded() {
        assert_eq!(bounded(&format!("a{}", "ä".repeat(MESSAGE_MAX))).len(), MESSAGE_MAX - 1);
        assert_eq!(bounded("short"), "short");
    }

    proptest! {
        #[test]
        fn half_a_row_is_none(cut in any::<proptest::sample::Index>()) {
            let row = Row { results: Vec::new(), ..full() };
            let bytes = packed(&row);
            prop_assert_eq!(Row::unpack(&bytes[..cut.index(bytes.len())]), Err(Unreadable));
        }

        #[test]
        fn no_bytes_are_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Row::unpack(&bytes);
        }
    }
}
