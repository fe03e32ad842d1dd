//! How old the oldest delivery of a table is, without looking at any: deliveries that arrive within a second share a bucket, and a
//! bucket is a count.
//!
//! Decision: **a delivery costs an addition and a subtraction**. There are as many buckets as a delivery's byte can name; where
//! something stays in each, newer ones share the newest, and the oldest stays exact, which is all that anybody asks.

/// Buckets.
const COUNT: usize = 256;
/// How long a bucket is open, in milliseconds.
const WIDTH: u64 = 1000;

/// Since when the deliveries of a table are there.
#[derive(Debug)]
pub(super) struct Ages {
    counts: Box<[u32; COUNT]>,
    /// Since when each bucket is open, in milliseconds since 1970.
    since: Box<[u64; COUNT]>,
    newest: u8,
    oldest: u8,
}

impl Default for Ages {
    fn default() -> Ages {
        Ages { counts: Box::new([0; COUNT]), since: Box::new([0; COUNT]), newest: 0, oldest: 0 }
    }
}

impl Ages {
    /// What arrives from here on arrives then.
    pub(super) fn turn(&mut self, now: u64) {
        let newest = usize::from(self.newest);
        let is_open = now.saturating_sub(self.since[newest]) < WIDTH && now >= self.since[newest];
        if self.counts[newest] == 0 {
            self.since[newest] = now;
        } else if !is_open && let Some(free) = self.counts.iter().position(|count| *count == 0) {
            self.since[free] = now;
            self.newest = free as u8;
        }
    }

    /// One more is there; answers its bucket.
    pub(super) fn enter(&mut self) -> u8 {
        self.counts[usize::from(self.newest)] += 1;
        self.newest
    }

    /// One of this bucket is there no more.
    pub(super) fn leave(&mut self, bucket: u8) {
        self.counts[usize::from(bucket)] -= 1;
    }

    /// Since when the oldest is there, to the second; nothing if none is.
    pub(super) fn oldest(&mut self) -> Option<u64> {
        if self.counts[usize::from(self.oldest)] == 0 {
            let live = (0..COUNT).filter(|bucket| self.counts[*bucket] > 0);
            self.oldest = live.min_by_key(|bucket| self.since[*bucket])? as u8;
        }
        Some(self.since[usize::from(self.oldest)])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Beside a list of arrivals.
        #[test]
        fn the_oldest_is_known_to_the_second(
            turns in proptest::collection::vec((0..3000u64, 0..4usize, any::<proptest::sample::Index>(), 0..5usize), 1..600),
        ) {
            let (mut ages, mut there, mut now) = (Ages::default(), Vec::new(), 1_000_000);
            for (pause, arrivals, index, leaving) in turns {
                now += pause;
                ages.turn(now);
                (0..arrivals).for_each(|_| there.push((now, ages.enter())));
                for _ in 0..leaving.min(there.len()) {
                    let (_, bucket) = there.remove(index.index(there.len()));
                    ages.leave(bucket);
                }
                let oldest = there.iter().map(|(arrived, _)| *arrived).min();
                let known = ages.oldest();
                prop_assert_eq!(known.is_some(), oldest.is_some());
                if let (Some(known), Some(oldest)) = (known, oldest) {
                    prop_assert!(known <= oldest && oldest - known < WIDTH, "{known} {oldest}");
                }
            }
        }
    }

    #[test]
    fn more_seconds_than_buckets_share_the_newest_and_the_oldest_stays_exact() {
        let mut ages = Ages::default();
        let buckets: Vec<u8> = (0..1000)
            .map(|second| {
                ages.turn(5_000 + second * WIDTH);
                ages.enter()
            })
            .collect();
        assert_eq!(ages.oldest(), Some(5_000));
        for (second, bucket) in buckets.iter().enumerate() {
            assert!(ages.oldest().unwrap() <= 5_000 + second as u64 * WIDTH);
            ages.leave(*bucket);
        }
        assert_eq!(ages.oldest(), None);
    }

    #[test]
    fn a_clock_that_is_set_back_is_borne() {
        let mut ages = Ages::default();
        ages.turn(9_000);
        let late = ages.enter();
        ages.turn(2_000);
        ages.enter();
        assert_eq!(ages.oldest(), Some(9_000), "the first is looked for when it has gone");
        ages.leave(late);
        assert_eq!(ages.oldest(), Some(2_000));
    }
}
