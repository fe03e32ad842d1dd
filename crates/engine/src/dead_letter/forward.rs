//! Where a letter goes besides, and how far that is.

use crate::event::{Text, Unreadable, pack_text, unpack_text};
use crate::store::Stamp;

/// An output that is to have a letter, which is kept all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    /// The output's name.
    pub output: Text,
    /// How far that is.
    pub progress: Progress,
}

/// How far a letter is on its way to an output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It is tried until the output has confirmed.
    Waiting,
    /// The output has confirmed it then.
    Forwarded(Stamp),
    /// The output will never take it, as it said then; nobody tries again.
    Refused(Stamp, Text),
}

const FORWARDED: u8 = 1;
const REFUSED: u8 = 2;

impl Forward {
    /// On its way to this output.
    #[must_use]
    pub fn to(output: Text) -> Forward {
        Forward { output, progress: Progress::Waiting }
    }
}

impl Progress {
    /// Its name where it is shown.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Progress::Waiting => "waiting",
            Progress::Forwarded(_) => "forwarded",
            Progress::Refused(..) => "refused",
        }
    }

    /// When that was, if it is over.
    #[must_use]
    pub fn time(&self) -> Option<Stamp> {
        match self {
            Progress::Waiting => None,
            Progress::Forwarded(at) | Progress::Refused(at, _) => Some(*at),
        }
    }

    /// What the output said, if it refused.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        match self {
            Progress::Refused(_, error) => Some(error),
            Progress::Waiting | Progress::Forwarded(_) => None,
        }
    }

    /// Appends the end of a way as it lies in the file; what waits has no record.
    pub(super) fn pack(&self, into: &mut Vec<u8>) {
        let (number, at, error) = match self {
            Progress::Waiting => return,
            Progress::Forwarded(at) => (FORWARDED, at, ""),
            Progress::Refused(at, error) => (REFUSED, at, error.as_str()),
        };
        into.push(number);
        into.extend_from_slice(&at.0.to_le_bytes());
        pack_text(error, into);
    }

    /// Reads what [`Progress::pack`] wrote.
    ///
    /// # Errors
    /// [`Unreadable`] for other bytes, as far as that can be told.
    pub(super) fn unpack(value: &[u8]) -> Result<Progress, Unreadable> {
        let (number, rest) = value.split_first().ok_or(Unreadable)?;
        let (at, rest) = rest.split_first_chunk::<8>().ok_or(Unreadable)?;
        let (at, rest) = (Stamp(u64::from_le_bytes(*at)), &mut &*rest);
        let error = unpack_text(rest)?;
        match (*number, rest.is_empty()) {
            (FORWARDED, true) => Ok(Progress::Forwarded(at)),
            (REFUSED, true) => Ok(Progress::Refused(at, error.into())),
            _ => Err(Unreadable),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_way_comes_back_and_half_of_it_does_not() {
        for end in [Progress::Forwarded(Stamp(17)), Progress::Refused(Stamp(18), "too large".into())] {
            let mut bytes = Vec::new();
            end.pack(&mut bytes);
            assert_eq!(Progress::unpack(&bytes), Ok(end));
            for cut in 0..bytes.len() {
                assert_eq!(Progress::unpack(&bytes[..cut]), Err(Unreadable));
            }
            bytes[0] = 9;
            assert_eq!(Progress::unpack(&bytes), Err(Unreadable));
        }
        let mut nothing = Vec::new();
        Progress::Waiting.pack(&mut nothing);
        assert!(nothing.is_empty());
    }
}
