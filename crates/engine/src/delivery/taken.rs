//! Which forks of a stream's messages need not run again when their message is delivered again: the store has taken them over,
//! or they were done beside one that it took over.
//!
//! Decision: **it is kept until the broker has accepted that the message is settled**, whatever becomes of the delivery
//! meanwhile, and a message that is newer than every one before is not looked up at all. A mark may be forgotten at any time, for
//! then a copy runs as it would without; so their number has a bound, and whoever makes a stream anew loses nothing: a mark is
//! one of an event, and a copy of another event is none.

use std::collections::BTreeMap;

use smallvec::SmallVec;

use crate::event::{Event, Text};

/// Marks of one stream at most, in messages.
const MOST: usize = 1 << 16;

/// What tells an event from another one at the same place.
pub(crate) type Print = u64;

/// The print of an event: its id, its source and its payload.
pub(crate) fn print(event: &Event) -> Print {
    let parts = [event.id().as_bytes(), event.source().as_bytes()];
    let sum = parts.iter().fold(0, |sum, part| {
        let sum = crc32c::crc32c_append(sum, part);
        crc32c::crc32c_append(sum, &(part.len() as u64).to_le_bytes())
    });
    let data = event.data().map_or(&[][..], |data| data);
    let sum = crc32c::crc32c_append(sum, data);
    u64::from(sum) << 32 | data.len() as u64 & u64::from(u32::MAX)
}

/// How far a fork has been taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// Its row is on its way to the disk.
    Coming,
    /// For good.
    Over,
}

/// One fork.
#[derive(Clone, Debug)]
struct Mark {
    rule: Text,
    print: Print,
    taken: Taken,
}

/// The marks of one stream.
#[derive(Debug, Default)]
pub(super) struct Marks {
    /// Every message below is settled at its broker.
    accepted: u64,
    marks: BTreeMap<u64, SmallVec<[Mark; 1]>>,
}

impl Marks {
    /// Notes that a fork is taken over. Says whether that is of use, and not known already.
    pub(super) fn note(&mut self, sequence: u64, rule: &Text, print: Print, taken: Taken) -> bool {
        if sequence < self.accepted || self.taken(sequence, rule, print) == Some(Taken::Over) {
            return false;
        }
        let marks = self.marks.entry(sequence).or_default();
        marks.retain(|mark| mark.rule != *rule);
        marks.push(Mark { rule: rule.clone(), print, taken });
        true
    }

    /// How far this fork has been taken over.
    pub(super) fn taken(&self, sequence: u64, rule: &str, print: Print) -> Option<Taken> {
        let mark = self.marks.get(&sequence)?.iter().find(|mark| mark.rule == rule)?;
        (mark.print == print).then_some(mark.taken)
    }

    /// The row of this fork is on the disk.
    pub(super) fn confirm(&mut self, sequence: u64, rule: &str) {
        let marks = self.marks.get_mut(&sequence).into_iter().flatten();
        marks.filter(|mark| mark.rule == rule).for_each(|mark| mark.taken = Taken::Over);
    }

    /// A rule has another name.
    pub(super) fn rename(&mut self, before: &str, now: &Text) {
        let marks = self.marks.values_mut().flatten();
        marks.filter(|mark| mark.rule == before).for_each(|mark| mark.rule = now.clone());
    }

    /// Every message below is settled at its broker. Says whether something was forgotten.
    pub(super) fn accept(&mut self, below: u64) -> bool {
        if below <= self.accepted {
            return false;
        }
        self.accepted = below;
        let kept = self.marks.split_off(&below);
        !std::mem::replace(&mut self.marks, kept).is_empty()
    }

    /// How many messages there are.
    pub(super) fn len(&self) -> usize {
        self.marks.len()
    }

    /// Forgets what is too much; answers below which message.
    pub(super) fn bound(&mut self) -> Option<u64> {
        if self.marks.len() <= MOST {
            return None;
        }
        // A whole part of them, so that it is done rarely.
        let below = *self.marks.keys().nth(MOST / 8)?;
        self.marks = self.marks.split_off(&below);
        Some(below)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::event;

    #[test]
    fn a_mark_is_one_of_its_rule_and_its_event_until_the_broker_has_accepted() {
        let (mut marks, rule, other) = (Marks::default(), Text::from("t/r"), Text::from("t/s"));
        let (one, two) = (print(&event("1")), print(&event("2")));
        assert!(marks.note(7, &rule, one, Taken::Coming) && marks.note(7, &other, one, Taken::Over));
        assert_eq!((marks.taken(7, "t/r", one), marks.taken(7, "t/s", one)), (Some(Taken::Coming), Some(Taken::Over)));
        marks.confirm(7, "t/r");
        assert_eq!(marks.taken(7, "t/r", one), Some(Taken::Over));
        assert_eq!((marks.taken(7, "t/r", two), marks.taken(8, "t/r", one)), (None, None), "that is another message");
        marks.rename("t/r", &"t/q".into());
        assert_eq!((marks.taken(7, "t/r", one), marks.taken(7, "t/q", one)), (None, Some(Taken::Over)));
        assert!(!marks.accept(7) && marks.taken(7, "t/q", one).is_some(), "it is not below");
        assert!(marks.accept(8) && marks.taken(7, "t/q", one).is_none());
        assert!(!marks.accept(3) && !marks.note(7, &rule, one, Taken::Over), "it never comes again");
    }

    #[test]
    fn what_is_known_is_not_noted_again() {
        let (mut marks, rule) = (Marks::default(), Text::from("t/r"));
        assert!(marks.note(7, &rule, 1, Taken::Coming) && marks.note(7, &rule, 1, Taken::Over));
        assert!(!marks.note(7, &rule, 1, Taken::Coming), "it was on its way, and is there");
        assert!(marks.note(7, &rule, 2, Taken::Coming), "that is another event");
    }

    #[test]
    fn the_oldest_are_forgotten_where_there_are_too_many() {
        let (mut marks, rule) = (Marks::default(), Text::from("t/r"));
        for sequence in 0..=MOST as u64 {
            assert_eq!(marks.bound(), None);
            marks.note(sequence, &rule, 1, Taken::Over);
        }
        let below = MOST as u64 / 8;
        assert_eq!(marks.bound(), Some(below));
        assert_eq!((marks.taken(below - 1, &rule, 1), marks.taken(below, &rule, 1)), (None, Some(Taken::Over)));
    }

    #[test]
    fn a_print_tells_events_apart_and_is_the_same_in_every_run() {
        let full = event("1").with_data(b"ab"[..].into(), None);
        let prints =
            [event("1"), event("2"), full.clone(), event("1").with_data(b"ac"[..].into(), None)].map(|e| print(&e));
        assert!((0..4).all(|at| !prints[at + 1..].contains(&prints[at])), "{prints:?}");
        assert_eq!(print(&full), print(&full.clone()));
    }
}
