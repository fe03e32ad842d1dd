//! One finished delivery in 32 bytes: what happened to which event, and when.

use super::print::Print;
use crate::dead_letter::Reason;
use crate::dispatch::DropReason;
use crate::store::Stamp;

/// How a delivery ended, or that an event had none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Well, and what it resulted in is confirmed.
    Done,
    /// As a dead letter.
    DeadLettered(Reason),
    /// Kept nowhere.
    Dropped(DropReason),
    /// Left with its source.
    HandedBack,
    /// No rule wanted the event.
    Unmatched,
}

impl End {
    /// Its number in files, which never changes: what, and below that why.
    #[inline]
    pub(super) fn number(self) -> u8 {
        match self {
            End::Done => 0x20,
            End::DeadLettered(reason) => 0x40 | reason.number(),
            End::Dropped(reason) => 0x60 | reason as u8,
            End::HandedBack => 0x80,
            End::Unmatched => 0xa0,
        }
    }

    /// What has this number.
    pub(super) fn of(number: u8) -> Option<End> {
        let reasons = Reason::ALL.map(End::DeadLettered).into_iter();
        let drops = DropReason::ALL.map(End::Dropped).into_iter();
        let plain = [End::Done, End::HandedBack, End::Unmatched].into_iter();
        plain.chain(reasons).chain(drops).find(|end| end.number() == number)
    }
}

/// What is known of a delivery at its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// When it ended, in milliseconds since 1970.
    pub ended: u64,
    /// Milliseconds from its arrival to its end, or from the first failure of one that was parked; [`UNKNOWN`] if nobody knows.
    pub took: u32,
    /// Milliseconds of its last attempt.
    pub last: u32,
    /// Attempts of its last stage.
    pub attempts: u32,
    /// Calls before it published anything, where it took more than one.
    pub calls: u32,
    /// Results that each output has confirmed; 255 for that many or more.
    pub results: u8,
}

/// A length of time that is not known.
pub const UNKNOWN: u32 = u32::MAX;

/// Bytes of a record.
pub(super) const SIZE: usize = 32;

const TIME: u64 = (1 << 48) - 1;

/// One finished delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record([u64; 4]);

impl Record {
    /// The record of a delivery of the rule with this number.
    #[inline]
    pub(super) fn new(print: Print, rule: u16, end: End, facts: Facts) -> Record {
        let (attempts, calls) = (facts.attempts.min(255), facts.calls.min(255));
        let head = u64::from(rule) << 32 | u64::from(end.number()) << 48 | u64::from(attempts) << 56;
        Record([
            print.id,
            u64::from(print.source) | head,
            facts.ended & TIME | u64::from(facts.results) << 48 | u64::from(calls) << 56,
            u64::from(facts.took) | u64::from(facts.last) << 32,
        ])
    }

    /// Whose it is.
    #[must_use]
    pub fn print(&self) -> Print {
        Print { id: self.0[0], source: self.0[1] as u32 }
    }

    /// The number of its rule among the names of its run.
    pub(super) fn rule(&self) -> u16 {
        (self.0[1] >> 32) as u16
    }

    /// How it ended; nothing for what only a newer version knows.
    #[must_use]
    pub fn end(&self) -> Option<End> {
        End::of((self.0[1] >> 48) as u8)
    }

    /// When it ended.
    #[must_use]
    pub fn ended(&self) -> Stamp {
        Stamp(self.0[2] & TIME)
    }

    /// What is known of it; of attempts and calls no more than that they were 255 or more.
    #[must_use]
    pub fn facts(&self) -> Facts {
        Facts {
            ended: self.0[2] & TIME,
            took: self.0[3] as u32,
            last: (self.0[3] >> 32) as u32,
            attempts: (self.0[1] >> 56) as u32,
            calls: (self.0[2] >> 56) as u32,
            results: (self.0[2] >> 48) as u8,
        }
    }

    /// As it lies in a file.
    #[inline]
    pub(super) fn bytes(&self) -> [u8; SIZE] {
        let [print, head, times, lengths] = self.0.map(u64::to_le_bytes);
        let mut bytes = [0; SIZE];
        bytes[..8].copy_from_slice(&print);
        bytes[8..16].copy_from_slice(&head);
        bytes[16..24].copy_from_slice(&times);
        bytes[24..].copy_from_slice(&lengths);
        bytes
    }

    pub(super) fn read(bytes: &[u8; SIZE]) -> Record {
        let (words, _) = bytes.as_chunks::<8>();
        let word = |place: usize| words.get(place).copied().map_or(0, u64::from_le_bytes);
        Record([word(0), word(1), word(2), word(3)])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_numbers_of_ends_never_change() {
        let all = [
            (End::Done, 0x20),
            (End::DeadLettered(Reason::Exhausted), 0x41),
            (End::DeadLettered(Reason::Rejected), 0x42),
            (End::DeadLettered(Reason::Undecodable), 0x43),
            (End::Dropped(DropReason::Function), 0x60),
            (End::HandedBack, 0x80),
            (End::Unmatched, 0xa0),
        ];
        for (end, number) in all {
            assert_eq!((end.number(), End::of(number)), (number, Some(end)));
        }
        assert_eq!(End::of(0), None);
        assert_eq!(size_of::<Record>(), SIZE);
    }

    proptest! {
        #[test]
        fn a_record_comes_back(id: u64, source: u32, rule: u16, ended in 0..=TIME, took: u32, last: u32,
            attempts in 0..600u32, calls in 0..600u32, results: u8) {
            let print = Print { id, source };
            let facts = Facts { ended, took, last, attempts, calls, results };
            let record = Record::new(print, rule, End::DeadLettered(Reason::Rejected), facts);
            let back = Record::read(&record.bytes());
            prop_assert_eq!(back, record);
            prop_assert_eq!((back.print(), back.rule(), back.ended()), (print, rule, Stamp(ended)));
            prop_assert_eq!(back.end(), Some(End::DeadLettered(Reason::Rejected)));
            prop_assert_eq!(back.facts(), Facts { attempts: attempts.min(255), calls: calls.min(255), ..facts });
        }
    }
}
