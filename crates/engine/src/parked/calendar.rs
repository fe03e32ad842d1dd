//! Which rows wait for a time, the next one first, in bounded memory.
//!
//! What comes next is near: in memory. The rest is far: in the index on the disk only, from the `edge` on, and comes near in
//! pages, in the same order. What is added while a page is read may or may not be on it, so it is remembered until then.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};

use tokio::time::Instant;

/// A row's time in the index, in milliseconds since 1970, and its sequence: the order of the index.
pub(super) type Mark = (u64, u64);

/// So many rows are near at most.
pub(super) const NEAR: usize = 8192;
/// With fewer of them near, more are read.
const LOW: usize = NEAR / 4;
/// Rows on a page.
pub(super) const PAGE: usize = NEAR / 4;

/// A row that waits: when it is due, where that stands in the index, and since when it has failed, in milliseconds since 1970.
pub(super) type Due = (Instant, Mark, u64);

/// The times of one rule's rows.
#[derive(Debug, Default)]
pub(super) struct Calendar {
    near: BinaryHeap<Reverse<Due>>,
    /// Nothing that is near stands here or behind; nothing if all are near.
    edge: Option<Mark>,
    /// How many are far.
    far: u64,
    /// Where the page begins that is being read, and what was added since that may be on it.
    reading: Option<(Mark, Vec<Due>)>,
}

impl Calendar {
    /// One row more.
    pub(super) fn add(&mut self, due: Due) {
        let mark = due.1;
        if self.edge.is_some_and(|edge| mark >= edge) {
            self.far += 1;
            if let Some((_, meanwhile)) = &mut self.reading {
                meanwhile.push(due);
            }
            return;
        }
        self.near.push(Reverse(due));
        if self.near.len() > NEAR {
            self.cut();
        }
    }

    /// Leaves the later half to the disk.
    fn cut(&mut self) {
        let mut all = std::mem::take(&mut self.near).into_vec();
        all.sort_unstable_by_key(|Reverse((_, mark, _))| *mark);
        let later = all.split_off(all.len() / 2);
        self.edge = later.first().map(|Reverse((_, mark, _))| *mark);
        self.far += later.len() as u64;
        self.near = all.into();
        // The page that is being read begins behind what is far now: it is of no use.
        self.reading = None;
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.near.peek().map(|Reverse((at, ..))| *at)
    }

    /// Since when the oldest that is near has failed. Looks at each.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.near.iter().map(|Reverse((.., since))| *since).min()
    }

    /// Takes one that is due.
    pub(super) fn take(&mut self, now: Instant) -> Option<Due> {
        if self.next()? > now {
            return None;
        }
        self.near.pop().map(|Reverse(due)| due)
    }

    /// Where the next page begins, if one is wanted; whoever asks owes it to [`Calendar::turn`].
    pub(super) fn wants(&mut self) -> Option<Mark> {
        let edge = self.edge.filter(|_| self.reading.is_none() && self.near.len() < LOW)?;
        self.reading = Some((edge, Vec::new()));
        Some(edge)
    }

    /// Takes over a page that begins at `from`: marks, each with since when it has failed, and whether it is the last. `is_stale` tells marks that were taken before.
    /// Answers how many are missing that should have been there.
    pub(super) fn turn(
        &mut self,
        from: Mark,
        page: &[(Mark, u64)],
        last: bool,
        at: impl Fn(Mark) -> Instant,
        is_stale: impl Fn(&Mark) -> bool,
    ) -> u64 {
        if self.reading.as_ref().is_none_or(|(asked, _)| *asked != from) {
            return 0;
        }
        let Some((_, meanwhile)) = self.reading.take() else { return 0 };
        let edge = page.last().filter(|_| !last).map(|((due, sequence), _)| (*due, sequence + 1));
        let on_page: HashSet<&Mark> = page.iter().map(|(mark, _)| mark).collect();
        let read = page.iter().filter(|(mark, _)| !is_stale(mark)).map(|(mark, since)| (at(*mark), *mark, *since));
        let added = meanwhile.into_iter().filter(|(_, mark, _)| edge.is_none_or(|edge| *mark < edge));
        let added = added.filter(|(_, mark, _)| !on_page.contains(mark));
        let before = self.near.len();
        self.near.extend(read.chain(added).map(Reverse));
        self.far = self.far.saturating_sub((self.near.len() - before) as u64);
        self.edge = edge;
        let missing = if edge.is_none() { std::mem::take(&mut self.far) } else { 0 };
        if self.near.len() > NEAR {
            self.cut();
        }
        missing
    }

    /// The page could not be read: it is wanted again.
    pub(super) fn unread(&mut self) {
        self.reading = None;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    /// What is on a page, and whether it is the last.
    type Page = (Vec<(Mark, u64)>, bool);

    /// A page of the disk.
    fn page(disk: &BTreeSet<Mark>, from: Mark) -> Page {
        let page: Vec<_> = disk.range(from..).take(PAGE).map(|mark| (*mark, mark.1)).collect();
        let last = page.len() < PAGE;
        (page, last)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// The disk has what was added; what is added while a page is read is on it or not, as the dice fall.
        #[test]
        fn every_row_comes_once_and_in_its_time(seed: u64) {
            let mut dice = fastrand::Rng::with_seed(seed);
            let began = Instant::now();
            let at = |(due, _): Mark| began + Duration::from_millis(due);
            let (mut calendar, mut disk, mut sequence) = (Calendar::default(), BTreeSet::new(), 0);
            let (mut time, mut taken) = (0, Vec::new());
            let mut reading: Option<(Mark, Page)> = None;
            for _ in 0..200 {
                let most = if dice.bool() { 2 } else { 800 };
                for _ in 0..dice.usize(..most) {
                    sequence += 1;
                    let mark = (time + dice.u64(1..5_000), sequence);
                    disk.insert(mark);
                    calendar.add((at(mark), mark, mark.1));
                    if reading.is_none() && let Some(from) = calendar.wants() {
                        reading = Some((from, page(&disk, from)));
                    }
                }
                if let Some((from, (page, last))) = reading.take_if(|_| dice.u8(..3) > 0) {
                    prop_assert_eq!(calendar.turn(from, &page, last, at, |mark| !disk.contains(mark)), 0);
                }
                time += dice.u64(..300);
                let oldest = calendar.near.iter().map(|Reverse((_, mark, _))| mark.1).min();
                prop_assert_eq!(calendar.oldest(), oldest);
                while let Some((_, mark, since)) = calendar.take(began + Duration::from_millis(time)) {
                    prop_assert!(disk.remove(&mark), "{:?} came twice", mark);
                    prop_assert_eq!(since, mark.1);
                    taken.push(mark);
                }
                prop_assert!(calendar.near.len() <= NEAR + PAGE);
            }
            time += 10_000;
            while !disk.is_empty() {
                let late = reading.take();
                if let Some((from, (page, last))) =
                    late.or_else(|| calendar.wants().map(|from| (from, page(&disk, from))))
                {
                    prop_assert_eq!(calendar.turn(from, &page, last, at, |mark| !disk.contains(mark)), 0);
                }
                let before = disk.len();
                while let Some((_, mark, _)) = calendar.take(began + Duration::from_millis(time)) {
                    prop_assert!(disk.remove(&mark), "{:?} came twice", mark);
                }
                prop_assert!(disk.len() < before || calendar.edge.is_some(), "{} never come", disk.len());
            }
            prop_assert_eq!((calendar.far, calendar.next()), (0, None));
        }
    }

    #[test]
    fn a_page_that_lacks_something_says_so() {
        let (mut calendar, began) = (Calendar::default(), Instant::now());
        for sequence in 0..=NEAR as u64 {
            calendar.add((began, (7, sequence), 5));
        }
        while calendar.take(began).is_some() {}
        let from = calendar.wants().expect("the later half is far");
        assert_eq!(calendar.wants(), None, "one page at a time");
        assert_eq!(calendar.turn(from, &[(from, 5)], true, |_| began, |_| false), NEAR as u64 / 2);
        assert_eq!((calendar.take(began), calendar.edge, calendar.far), (Some((began, from, 5)), None, 0));
    }
}
