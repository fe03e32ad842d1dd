//! What went wrong with a delivery, in full: a failed attempt, its being given up or dropped.

use crate::dead_letter::Reason;
use crate::dispatch::DropReason;
use crate::event::{Text, Unreadable, beginning, pack_text, unpack_text};
use crate::store::Stamp;

/// Bytes of a message that are kept; the dead letter says more.
const MESSAGE_MAX: usize = 512;
/// Bytes of an id, and of a source; what is longer is compared by its beginning.
const NAME_MAX: usize = 1024;

/// One thing that went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// When.
    pub time: Stamp,
    /// The event's id, and its source attribute; the beginnings of very long ones.
    pub id: Text,
    /// The event's source attribute.
    pub source: Text,
    /// `trigger/rule`.
    pub rule: Text,
    /// What.
    pub what: What,
    /// Whether its results were being published; else its function was to judge it.
    pub publishing: bool,
    /// The attempt that failed, of its stage, and how many there may be.
    pub attempt: u32,
    /// How many attempts there may be.
    pub of: u32,
    /// Milliseconds that the attempt took.
    pub took: u32,
    /// How often it was given up before and sent on its way again.
    pub redrives: u32,
    /// What kind of failure it was, where it has a name.
    pub code: Option<Text>,
    /// What was said.
    pub message: Text,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// It is tried again then; or, without a time, when its source brings it again or somebody lets go on what is paused.
    Failed(Option<Stamp>),
    /// It became a dead letter.
    GivenUp(Reason),
    /// It is kept nowhere.
    Dropped(DropReason),
}

const FAILED: u8 = 1;
const AGAIN: u8 = 2;
const GIVEN_UP: u8 = 3;
const DROPPED: u8 = 4;
const PUBLISHING: u8 = 1;
const CODE: u8 = 2;

/// As much of an id or a source as is kept.
pub(super) fn name(text: &str) -> &str {
    beginning(text, NAME_MAX)
}

impl Trouble {
    pub(super) fn write(&self, into: &mut Vec<u8>) {
        let (what, detail) = match self.what {
            What::Failed(None) => (FAILED, 0),
            What::Failed(Some(due)) => (AGAIN, due.0),
            What::GivenUp(reason) => (GIVEN_UP, u64::from(reason.number())),
            What::Dropped(reason) => (DROPPED, reason as u64),
        };
        let code = if self.code.is_some() { CODE } else { 0 };
        into.extend_from_slice(&self.time.0.to_le_bytes());
        into.extend_from_slice(&[what, code | (u8::from(self.publishing) * PUBLISHING)]);
        into.extend_from_slice(&detail.to_le_bytes());
        for number in [self.attempt, self.of, self.took, self.redrives] {
            into.extend_from_slice(&number.to_le_bytes());
        }
        pack_text(name(&self.id), into);
        pack_text(name(&self.source), into);
        pack_text(&self.rule, into);
        pack_text(beginning(&self.message, MESSAGE_MAX), into);
        self.code.iter().for_each(|code| pack_text(code, into));
    }

    pub(super) fn read(bytes: &[u8]) -> Result<Trouble, Unreadable> {
        let rest = &mut { bytes };
        let time = Stamp(u64::from_le_bytes(chunk(rest)?));
        let [what, flags] = chunk(rest)?;
        let detail = u64::from_le_bytes(chunk(rest)?);
        let mut number = || chunk(rest).map(u32::from_le_bytes);
        let (attempt, of, took, redrives) = (number()?, number()?, number()?, number()?);
        let mut text = || unpack_text(rest).map(Text::from);
        let (id, source, rule, message) = (text()?, text()?, text()?, text()?);
        let code = if flags & CODE == 0 { None } else { Some(text()?) };
        let what = match what {
            FAILED => What::Failed(None),
            AGAIN => What::Failed(Some(Stamp(detail))),
            GIVEN_UP => {
                let known = Reason::ALL.into_iter().find(|reason| u64::from(reason.number()) == detail);
                What::GivenUp(known.ok_or(Unreadable)?)
            }
            DROPPED => {
                let known = DropReason::ALL.into_iter().find(|reason| *reason as u64 == detail);
                What::Dropped(known.ok_or(Unreadable)?)
            }
            _ => return Err(Unreadable),
        };
        let publishing = flags & PUBLISHING != 0;
        Ok(Trouble { time, id, source, rule, what, publishing, attempt, of, took, redrives, code, message })
    }
}

pub(super) fn chunk<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], Unreadable> {
    let (chunk, after) = rest.split_first_chunk::<N>().ok_or(Unreadable)?;
    *rest = after;
    Ok(*chunk)
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(in super::super) fn trouble(id: &str, what: What) -> Trouble {
        Trouble {
            time: Stamp(1_700_000_000_123),
            id: id.into(),
            source: "/s".into(),
            rule: "t/r".into(),
            what,
            publishing: true,
            attempt: 2,
            of: 5,
            took: 17,
            redrives: 3,
            code: Some("timeout".into()),
            message: "no answer".into(),
        }
    }

    #[test]
    fn it_comes_back() {
        let bare = Trouble { code: None, publishing: false, ..trouble("1", What::Failed(None)) };
        let given_up = Reason::ALL.map(|reason| trouble("2", What::GivenUp(reason))).into_iter();
        let dropped = DropReason::ALL.map(|reason| trouble("3", What::Dropped(reason))).into_iter();
        let again = trouble("4", What::Failed(Some(Stamp(7))));
        for trouble in given_up.chain(dropped).chain([bare, again]) {
            let mut bytes = Vec::new();
            trouble.write(&mut bytes);
            assert_eq!(Trouble::read(&bytes), Ok(trouble.clone()));
            for length in 0..bytes.len() {
                assert_eq!(Trouble::read(&bytes[..length]), Err(Unreadable), "{length} bytes of it");
            }
        }
    }

    #[test]
    fn its_texts_are_bounded() {
        let long = "ä".repeat(2000);
        let mut bytes = Vec::new();
        Trouble { message: long.as_str().into(), ..trouble(&long, What::Failed(None)) }.write(&mut bytes);
        let back = Trouble::read(&bytes).unwrap();
        assert_eq!((back.id.len(), back.message.len()), (NAME_MAX, MESSAGE_MAX));
    }

    proptest! {
        #[test]
        fn no_bytes_are_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Trouble::read(&bytes);
        }
    }
}
