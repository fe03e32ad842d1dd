//! One dead letter: what was given up, and everything that is known of why; and how that lies in the file.
//!
//! Decision: **the original is kept as it was**, an event with its payload byte for byte and the context of the hop that
//! brought it, a message that is no event with its raw bytes and the facts of its transport. What is known of its death
//! stands beside it and is put into attributes only where it is shown.

use bytes::Bytes;

use super::Forward;
use crate::event::{Event, Text, Unreadable, beginning, pack_text, unpack_text};
use crate::store::Stamp;

/// Bytes of a message that are kept; what says more says it in a log.
const MESSAGE_MAX: usize = 4096;

/// Why something was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// Every attempt failed.
    Exhausted,
    /// The function or an output refused it for good.
    Rejected,
    /// It was older than its rule lets it become, before it was done.
    Expired,
    /// Its rule is not in the configuration any more.
    Orphaned,
    /// It is no event.
    Undecodable,
    /// No rule of its trigger took it.
    Unmatched,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Reason; 6] = [
        Reason::Exhausted,
        Reason::Rejected,
        Reason::Expired,
        Reason::Orphaned,
        Reason::Undecodable,
        Reason::Unmatched,
    ];
    /// Those for which a rule gives up a delivery.
    pub const OF_RULES: [Reason; 4] = [Reason::Exhausted, Reason::Rejected, Reason::Expired, Reason::Orphaned];

    /// Its name in figures, filters and attributes.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Reason::Exhausted => "exhausted",
            Reason::Rejected => "rejected",
            Reason::Expired => "expired",
            Reason::Orphaned => "orphaned",
            Reason::Undecodable => "undecodable",
            Reason::Unmatched => "unmatched",
        }
    }

    /// Its number in files, which never changes.
    pub(crate) fn number(self) -> u8 {
        match self {
            Reason::Exhausted => 1,
            Reason::Rejected => 2,
            Reason::Undecodable => 3,
            Reason::Expired => 4,
            Reason::Unmatched => 5,
            Reason::Orphaned => 6,
        }
    }
}

/// What was given up, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// Why.
    pub reason: Reason,
    /// Attempts of the stage that failed, the first included; 0 for what no rule has tried.
    pub attempts: u32,
    /// How often it was sent on its way again.
    pub redrives: u32,
    /// How often somebody has put something else in its event's place.
    pub edits: u32,
    /// `trigger/rule` that gave it up, or the trigger of which no rule took it; nothing for what is no event.
    pub rule: Option<Text>,
    /// The rule's function, if it has one.
    pub function: Option<Text>,
    /// The source that received it, where that is known.
    pub source: Option<Text>,
    /// What kind of failure the last one was, where it has a name, such as `timeout`.
    pub code: Option<Text>,
    /// What was said last, of bounded length.
    pub message: Text,
    /// When an attempt failed first.
    pub first: Stamp,
    /// When it was given up.
    pub last: Stamp,
    /// Where it stood at its source, if it did.
    pub position: Option<Text>,
    /// The output that it goes to besides, and whether it is there; as it lies in the file, the output only.
    pub forward: Option<Forward>,
    /// What it is.
    pub content: Content,
}

/// What was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// An event, as it came.
    Event(Event),
    /// A message that is none.
    Raw {
        /// Its bytes, or as many of them as its source has read.
        raw: Bytes,
        /// What its transport said of it, such as its topic and its headers.
        facts: Vec<(Text, Text)>,
    },
}

const RULE: u8 = 1;
const FUNCTION: u8 = 2;
const SOURCE: u8 = 4;
const CODE: u8 = 8;
const POSITION: u8 = 16;
const RAW: u8 = 32;
const FORWARD: u8 = 64;
const EDITED: u8 = 128;

/// A message of bounded length.
pub(super) fn bounded(message: &str) -> Text {
    beginning(message, MESSAGE_MAX).into()
}

impl Letter {
    /// What is given up at this moment, as far as nothing else is known of it.
    pub(super) fn new(reason: Reason, message: &str, now: Stamp, content: Content) -> Letter {
        Letter {
            reason,
            attempts: 0,
            redrives: 0,
            edits: 0,
            rule: None,
            function: None,
            source: None,
            code: None,
            message: bounded(message),
            first: now,
            last: now,
            position: None,
            forward: None,
            content,
        }
    }

    fn options(&self) -> [(u8, Option<&Text>); 6] {
        [
            (RULE, self.rule.as_ref()),
            (FUNCTION, self.function.as_ref()),
            (SOURCE, self.source.as_ref()),
            (CODE, self.code.as_ref()),
            (POSITION, self.position.as_ref()),
            (FORWARD, self.forward.as_ref().map(|forward| &forward.output)),
        ]
    }

    /// Appends the letter as it lies in the file.
    pub(super) fn pack(&self, into: &mut Vec<u8>) {
        let raw = if matches!(self.content, Content::Raw { .. }) { RAW } else { 0 };
        let raw = if self.edits > 0 { raw | EDITED } else { raw };
        let there = self.options().iter().filter(|(_, text)| text.is_some()).fold(raw, |flags, (flag, _)| flags | flag);
        into.extend_from_slice(&[self.reason.number(), there]);
        into.extend_from_slice(&self.attempts.to_le_bytes());
        into.extend_from_slice(&self.redrives.to_le_bytes());
        if self.edits > 0 {
            into.extend_from_slice(&self.edits.to_le_bytes());
        }
        into.extend_from_slice(&self.first.0.to_le_bytes());
        into.extend_from_slice(&self.last.0.to_le_bytes());
        pack_text(&self.message, into);
        self.options().iter().filter_map(|(_, text)| *text).for_each(|text| pack_text(text, into));
        match &self.content {
            Content::Event(event) => event.pack(into),
            Content::Raw { raw, facts } => {
                into.extend_from_slice(&u32::try_from(facts.len()).unwrap_or(u32::MAX).to_le_bytes());
                for (name, value) in facts {
                    pack_text(name, into);
                    pack_text(value, into);
                }
                into.extend_from_slice(raw);
            }
        }
    }

    /// Reads what [`Letter::pack`] wrote.
    ///
    /// # Errors
    /// [`Unreadable`] for other bytes, as far as that can be told.
    pub(super) fn unpack(value: &[u8]) -> Result<Letter, Unreadable> {
        let rest = &mut &value[..];
        let [reason, flags] = chunk::<2>(rest)?;
        let reason = Reason::ALL.into_iter().find(|known| known.number() == reason).ok_or(Unreadable)?;
        let (attempts, redrives) = (u32::from_le_bytes(chunk(rest)?), u32::from_le_bytes(chunk(rest)?));
        let edits = if flags & EDITED == 0 { 0 } else { u32::from_le_bytes(chunk(rest)?) };
        let (first, last) = (u64::from_le_bytes(chunk(rest)?), u64::from_le_bytes(chunk(rest)?));
        let message = unpack_text(rest)?.into();
        let mut option =
            |flag| if flags & flag == 0 { Ok(None) } else { unpack_text(rest).map(|t| Some(Text::from(t))) };
        let (rule, function, source) = (option(RULE)?, option(FUNCTION)?, option(SOURCE)?);
        let (code, position) = (option(CODE)?, option(POSITION)?);
        let forward = option(FORWARD)?.map(Forward::to);
        let content = if flags & RAW == 0 {
            Content::Event(Event::unpack(&Bytes::copy_from_slice(rest))?)
        } else {
            let count = u32::from_le_bytes(chunk(rest)?);
            let mut facts = Vec::new();
            for _ in 0..count {
                facts.push((unpack_text(rest)?.into(), unpack_text(rest)?.into()));
            }
            Content::Raw { raw: Bytes::copy_from_slice(rest), facts }
        };
        let (first, last) = (Stamp(first), Stamp(last));
        let known = Letter {
            reason,
            attempts,
            redrives,
            edits,
            rule,
            function,
            source,
            code,
            message,
            first,
            last,
            position,
            forward,
            content,
        };
        Ok(known)
    }
}

fn chunk<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], Unreadable> {
    let (chunk, after) = rest.split_first_chunk::<N>().ok_or(Unreadable)?;
    *rest = after;
    Ok(*chunk)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{exhausted, undecodable};
    use super::*;
    use crate::fake::event;

    fn packed(letter: &Letter) -> Vec<u8> {
        let mut bytes = Vec::new();
        letter.pack(&mut bytes);
        bytes
    }

    #[test]
    fn a_letter_comes_back_with_its_payload_byte_for_byte() {
        let payload = &b"{\"speed\":1.10,\n\"big\":12345678901234567890123,\xff"[..];
        let full = exhausted(event("1").with_data(payload.into(), Some("application/json".into())));
        let bare = Letter { rule: None, function: None, code: None, message: "".into(), ..full.clone() };
        let placed = Letter { position: Some("orders/3/17".into()), redrives: 7, edits: 2, ..full.clone() };
        let bound = Letter { forward: Some(Forward::to("dead".into())), ..bare.clone() };
        for letter in [full, bare, placed, bound, undecodable(b"\xff\x00{")] {
            assert_eq!(Letter::unpack(&packed(&letter)), Ok(letter));
        }
    }

    #[test]
    fn a_message_is_bounded() {
        let text = "ä".repeat(MESSAGE_MAX);
        assert_eq!(bounded(&text).len(), MESSAGE_MAX);
        assert_eq!(bounded(&format!("a{text}")).len(), MESSAGE_MAX - 1, "no character is cut in half");
        assert_eq!(bounded("short"), "short");
    }

    proptest! {
        #[test]
        fn half_a_letter_is_none(cut in any::<proptest::sample::Index>()) {
            let bytes = packed(&exhausted(event("1")));
            prop_assert_eq!(Letter::unpack(&bytes[..cut.index(bytes.len())]), Err(Unreadable));
        }

        #[test]
        fn no_bytes_are_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Letter::unpack(&bytes);
        }
    }
}
