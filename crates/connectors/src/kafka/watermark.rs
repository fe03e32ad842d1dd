//! Up to where one partition may be committed.
//!
//! Messages settle in any order, and a committed offset says that everything before it is done. What counts is the order
//! in which messages were delivered, not their offsets: compaction and the markers of transactions leave gaps that no
//! message will ever fill, and a gap must not hold anything up.

use std::collections::VecDeque;

/// Which delivery of a partition, counted from zero.
pub(super) type Ticket = u64;

/// The messages of one partition that were delivered and may not be committed yet.
#[derive(Debug, Default)]
pub(super) struct Watermark {
    /// The ticket of the first entry.
    first: Ticket,
    /// Offsets in the order of delivery; the bitwise complement of one says that it has finished.
    waiting: VecDeque<i64>,
    /// Entries of `waiting` that have finished.
    finished: usize,
    /// The offset behind everything that has finished without a gap in the deliveries.
    next: Option<i64>,
}

impl Watermark {
    /// A message was delivered; offsets grow within a partition.
    pub(super) fn delivered(&mut self, offset: i64) -> Ticket {
        self.waiting.push_back(offset);
        self.first + self.waiting.len() as u64 - 1
    }

    /// A delivered message has finished. Says whether the partition may be committed further than before.
    pub(super) fn finished(&mut self, ticket: Ticket) -> bool {
        let place = usize::try_from(ticket.wrapping_sub(self.first)).unwrap_or(usize::MAX);
        match self.waiting.get_mut(place) {
            Some(offset) if *offset >= 0 => *offset = !*offset,
            _ => return false,
        }
        self.finished += 1;
        let before = self.first;
        while let Some(done) = self.waiting.front().map(|offset| !*offset).filter(|offset| *offset >= 0) {
            self.waiting.pop_front();
            self.first += 1;
            self.finished -= 1;
            self.next = Some(done + 1);
        }
        self.first > before
    }

    /// The offset to commit: that of the next message to read, if any has finished.
    pub(super) fn next(&self) -> Option<i64> {
        self.next
    }

    /// Messages that have finished, but cannot be committed because an earlier one has not.
    pub(super) fn uncommitted(&self) -> usize {
        self.finished
    }

    /// Whether nothing is unfinished.
    pub(super) fn is_level(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_follows_the_deliveries_and_not_the_offsets() {
        let mut mark = Watermark::default();
        let tickets: Vec<_> = [5, 6, 40, 99].map(|offset| mark.delivered(offset)).into();
        assert_eq!((mark.next(), mark.is_level()), (None, false));
        assert!(!mark.finished(tickets[1]) && !mark.finished(tickets[2]));
        assert_eq!((mark.next(), mark.uncommitted()), (None, 2));
        assert!(mark.finished(tickets[0]));
        assert_eq!((mark.next(), mark.uncommitted()), (Some(41), 0), "the gap before 40 holds nothing up");
        assert!(mark.finished(tickets[3]) && mark.is_level());
        assert_eq!(mark.next(), Some(100));
    }

    #[test]
    fn what_finished_twice_or_never_came_changes_nothing() {
        let mut mark = Watermark::default();
        let first = mark.delivered(0);
        let second = mark.delivered(1);
        assert!(!mark.finished(second) && !mark.finished(second) && !mark.finished(17));
        assert_eq!(mark.uncommitted(), 1);
        assert!(mark.finished(first) && !mark.finished(first));
        assert_eq!((mark.next(), mark.uncommitted()), (Some(2), 0));
    }

    /// A list that is searched from the start for every answer.
    #[derive(Default)]
    struct Naive(Vec<(i64, bool)>);

    impl Naive {
        fn next(&self) -> Option<i64> {
            let done = self.0.iter().take_while(|(_, finished)| *finished).count();
            done.checked_sub(1).map(|last| self.0[last].0 + 1)
        }
        fn uncommitted(&self) -> usize {
            self.0.iter().skip_while(|(_, finished)| *finished).filter(|(_, finished)| *finished).count()
        }
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_list(steps in proptest::collection::vec((any::<bool>(), 0..60_u64, 1..5_i64), 0..200)) {
            let (mut mark, mut naive, mut offset) = (Watermark::default(), Naive::default(), 0);
            for (deliver, ticket, gap) in steps {
                if deliver {
                    offset += gap;
                    prop_assert_eq!(mark.delivered(offset), naive.0.len() as u64);
                    naive.0.push((offset, false));
                } else {
                    let before = naive.next();
                    if let Some(entry) = naive.0.get_mut(ticket as usize) {
                        entry.1 = true;
                    }
                    prop_assert_eq!(mark.finished(ticket), naive.next() != before);
                }
                prop_assert_eq!(mark.next(), naive.next());
                prop_assert_eq!(mark.uncommitted(), naive.uncommitted());
                prop_assert_eq!(mark.is_level(), naive.0.iter().all(|(_, finished)| *finished));
            }
        }
    }
}
