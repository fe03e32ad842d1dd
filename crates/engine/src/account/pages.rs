//! The newest records in memory: pages that are taken when they are needed, and a bound.

use std::collections::VecDeque;

use super::record::Record;

/// Records of a page; 32 KiB.
const PAGE: usize = 1024;

/// The newest records, numbered from 0 on.
#[derive(Debug)]
pub(super) struct Ring {
    pages: VecDeque<Vec<Record>>,
    capacity: usize,
    /// The number of the first that is there, and of the next that comes.
    first: u64,
    next: u64,
}

impl Ring {
    /// A ring of this many records at least, and of less than a page more.
    pub(super) fn new(capacity: usize) -> Ring {
        Ring { pages: VecDeque::new(), capacity: capacity.max(1), first: 0, next: 0 }
    }

    /// Takes records in, for which the oldest go.
    pub(super) fn push(&mut self, mut records: &[Record]) {
        while !records.is_empty() {
            let room = self.pages.back().map_or(0, |page| PAGE - page.len());
            if room == 0 {
                let page = self.free().unwrap_or_else(|| Vec::with_capacity(PAGE));
                self.pages.push_back(page);
                continue;
            }
            let (now, later) = records.split_at(room.min(records.len()));
            if let Some(page) = self.pages.back_mut() {
                page.extend_from_slice(now);
            }
            self.next += now.len() as u64;
            records = later;
        }
    }

    /// The oldest page, once the others are enough.
    fn free(&mut self) -> Option<Vec<Record>> {
        if self.len() < self.capacity + PAGE {
            return None;
        }
        let mut page = self.pages.pop_front()?;
        self.first += page.len() as u64;
        page.clear();
        Some(page)
    }

    pub(super) fn len(&self) -> usize {
        (self.next - self.first) as usize
    }

    /// The number of the oldest that is there.
    pub(super) fn first(&self) -> u64 {
        self.first
    }

    /// The number of the next that comes.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// All of them, the oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Record> {
        self.pages.iter().flatten()
    }

    /// Some from this number on, or from the oldest that is there; with the number of the first.
    pub(super) fn some(&self, from: u64) -> (u64, &[Record]) {
        let from = from.max(self.first);
        let place = (from - self.first) as usize;
        let page = self.pages.get(place / PAGE).map_or(&[][..], Vec::as_slice);
        (from, page.get(place % PAGE..).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::print::Print;
    use super::super::record::{End, Facts};
    use super::*;

    fn record(number: u64) -> Record {
        Record::new(Print { id: number, source: 0 }, 0, End::Done, Facts::default())
    }

    #[test]
    fn an_empty_ring_holds_no_memory() {
        let ring = Ring::new(1_000_000);
        assert_eq!((ring.pages.capacity(), ring.len(), ring.iter().count()), (0, 0, 0));
        assert!(ring.some(0).1.is_empty());
    }

    proptest! {
        /// Beside a list of everything.
        #[test]
        fn the_newest_are_there_in_their_order(
            capacity in 1..5000usize,
            batches in vec(0..3000usize, 1..12),
            from: proptest::sample::Index,
        ) {
            let (mut ring, mut all) = (Ring::new(capacity), Vec::new());
            for batch in batches {
                let batch: Vec<Record> = (all.len()..all.len() + batch).map(|number| record(number as u64)).collect();
                ring.push(&batch);
                all.extend(batch);
                prop_assert_eq!(ring.next(), all.len() as u64);
                prop_assert!(ring.len() >= capacity.min(all.len()), "no fewer than the capacity");
                prop_assert!(ring.len() < capacity + 2 * PAGE, "hardly more than the capacity");
                prop_assert!(ring.iter().eq(&all[ring.first() as usize..]));
                let mut next = from.index(all.len() + 1) as u64;
                let wanted = next.max(ring.first());
                let mut read = Vec::new();
                while let (number, some @ [_, ..]) = ring.some(next) {
                    prop_assert_eq!(number, next.max(ring.first()));
                    read.extend_from_slice(some);
                    next = number + some.len() as u64;
                }
                prop_assert!(read == all[wanted as usize..]);
            }
        }
    }
}
