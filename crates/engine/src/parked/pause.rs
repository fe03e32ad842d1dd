//! What is written down of a rule, or of a lane of it, that has come to a stop: since when, and why.
//!
//! Decision: **a pause is a record of its own** beside the rows, put and removed in the transactions that put and remove what
//! it is about. So a start knows what is paused without reading a row, and somebody who asks what is wrong reads no more than
//! that.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Serialize, Serializer};

use crate::event::{Text, Unreadable, pack_text, unpack_text};
use crate::store::Stamp;

/// Why something is paused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cause {
    /// Attempts that have failed; 0 where somebody has paused it.
    pub attempts: u32,
    /// What kind of failure the last one was, where it has a name.
    pub code: Option<Text>,
    /// What was said last, of bounded length.
    pub message: Text,
}

/// One thing that is paused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pause {
    /// The key whose lane it is; nothing for the whole rule.
    pub key: Option<Text>,
    /// Since when.
    #[serde(serialize_with = "time")]
    pub since: Stamp,
    /// Why.
    #[serde(flatten)]
    pub cause: Cause,
}

fn time<S: Serializer>(stamp: &Stamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&DateTime::<Utc>::from(stamp.time()).to_rfc3339_opts(SecondsFormat::Millis, true))
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Record {
    /// It is paused.
    Paused(Cause),
    /// The rule goes on, and gives up what was spent among the rows below this sequence.
    Skips(u64),
}

const PAUSED: u8 = 1;
const CODED: u8 = 2;
const SKIPS: u8 = 3;

impl Record {
    /// Appends the record as it lies in the file.
    pub(super) fn pack(&self, into: &mut Vec<u8>) {
        match self {
            Record::Paused(Cause { attempts, code, message }) => {
                into.push(if code.is_some() { CODED } else { PAUSED });
                into.extend_from_slice(&attempts.to_le_bytes());
                code.iter().for_each(|code| pack_text(code, into));
                pack_text(message, into);
            }
            Record::Skips(below) => {
                into.push(SKIPS);
                into.extend_from_slice(&below.to_le_bytes());
            }
        }
    }

    /// Reads what [`Record::pack`] wrote.
    ///
    /// # Errors
    /// [`Unreadable`] for other bytes.
    pub(super) fn unpack(value: &[u8]) -> Result<Record, Unreadable> {
        let (kind, rest) = value.split_first().ok_or(Unreadable)?;
        if *kind == SKIPS {
            return rest.try_into().map(|below| Record::Skips(u64::from_le_bytes(below))).map_err(|_| Unreadable);
        }
        let (attempts, mut rest) = rest.split_first_chunk::<4>().ok_or(Unreadable)?;
        let code = match *kind {
            PAUSED => None,
            CODED => Some(unpack_text(&mut rest)?.into()),
            _ => return Err(Unreadable),
        };
        let message = unpack_text(&mut rest)?.into();
        let cause = Cause { attempts: u32::from_le_bytes(*attempts), code, message };
        if rest.is_empty() { Ok(Record::Paused(cause)) } else { Err(Unreadable) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_record_comes_back_and_half_of_it_is_none() {
        let cause = Cause { attempts: 5, code: Some("timeout".into()), message: "it was silent".into() };
        let bare = Cause { code: None, ..cause.clone() };
        for record in [Record::Paused(cause), Record::Paused(bare), Record::Skips(1 << 40)] {
            let mut bytes = Vec::new();
            record.pack(&mut bytes);
            for cut in 0..bytes.len() {
                assert_eq!(Record::unpack(&bytes[..cut]), Err(Unreadable), "{record:?} up to {cut}");
            }
            assert_eq!(Record::unpack(&bytes), Ok(record));
        }
    }

    #[test]
    fn a_pause_is_shown_with_its_cause_beside_it() {
        let cause = Cause { attempts: 5, code: None, message: "not now".into() };
        let shown =
            serde_json::to_value(Pause { key: Some("a".into()), since: Stamp(1_700_000_000_123), cause }).unwrap();
        let since = "2023-11-14T22:13:20.123Z";
        let expected =
            serde_json::json!({ "key": "a", "since": since, "attempts": 5, "code": null, "message": "not now" });
        assert_eq!(shown, expected);
    }

    proptest! {
        #[test]
        fn no_bytes_are_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = Record::unpack(&bytes);
        }
    }
}
