//! What is remembered of one vehicle: its latest starts, and when it was last heard of.
//!
//! Decision: distance is kept per start, as the span between the lowest and the highest odometer. The span only grows, by
//! the same amount in any order, and an instrument that was replaced while the vehicle stood changes nothing.

use std::sync::Arc;

use super::fleet::Fleet;
use super::seen::{Mark, Seen};
use super::telemetry::{Refused, Sample};

/// So many starts of one vehicle are told apart; samples of earlier ones are stale.
pub const BOOTS: usize = 4;
/// A sample that arrives more than so many milliseconds after it was taken is late.
pub const LATE_AFTER: i64 = 60_000;
/// Metres that one start of a vehicle can plausibly drive. What is beyond is another instrument or a broken one.
const FARTHEST: u32 = 10_000_000;

/// One vehicle.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) fleet: Arc<Fleet>,
    /// Arrival of the last event, milliseconds since the Unix epoch.
    pub(super) heard: i64,
    /// Whether its newest sample showed it moving.
    pub(super) moving: bool,
    boots: Vec<Boot>,
}

#[derive(Debug)]
struct Boot {
    number: u64,
    seen: Seen,
    odometer: Option<Span>,
}

#[derive(Clone, Copy, Debug)]
struct Span {
    low: u32,
    high: u32,
}

/// What becomes of a sample; the label `result`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// New, in order and in time.
    Ok,
    /// New, but taken more than [`LATE_AFTER`] ago.
    Late,
    /// New, in time, but a newer one was here before.
    OutOfOrder,
    /// Counted before.
    Duplicate,
    /// Older than what is remembered: nobody can say whether it was counted.
    Stale,
}

/// What a sample adds to the totals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) standing: Standing,
    /// Metres that nobody knew of.
    pub(super) metres: u32,
    /// Whether it is the first of its trip to arrive.
    pub(super) trip: bool,
}

impl Record {
    /// A vehicle that was never heard of.
    pub(super) fn new(fleet: Arc<Fleet>) -> Record {
        Record { fleet, heard: 0, moving: false, boots: Vec::new() }
    }

    /// Adds a sample that arrived at `arrived` and says what it changes. Nothing is remembered of a refused one.
    pub(super) fn add(&mut self, sample: &Sample, arrived: i64) -> Result<Change, Refused> {
        self.heard = arrived;
        let latest = self.boots.iter().all(|boot| boot.number <= sample.boot);
        let known = self.boots.iter().position(|boot| boot.number == sample.boot);
        let Some(index) = known.or_else(|| self.begin(sample)) else {
            return Ok(Change { standing: Standing::Stale, metres: 0, trip: false });
        };
        let boot = &mut self.boots[index];
        let metres = boot.stretch(sample.odometer)?;
        let mark = boot.seen.mark(sample.seq);
        if latest && mark == Mark::Newest {
            self.moving = sample.speed.is_some_and(|speed| speed > 0.0);
        }
        let late = sample.time.is_some_and(|taken| arrived.saturating_sub(taken) > LATE_AFTER);
        let standing = match mark {
            Mark::Unknown => Standing::Stale,
            Mark::Again => Standing::Duplicate,
            Mark::Newest | Mark::Overtaken if late => Standing::Late,
            Mark::Newest if latest => Standing::Ok,
            Mark::Newest | Mark::Overtaken => Standing::OutOfOrder,
        };
        Ok(Change { standing, metres, trip: known.is_none() })
    }

    /// Makes room for another start, the oldest going first; none if the sample's is older than all that are kept.
    fn begin(&mut self, sample: &Sample) -> Option<usize> {
        if self.boots.len() == BOOTS {
            let oldest = self.boots.iter().enumerate().min_by_key(|(_, boot)| boot.number);
            let (index, number) = oldest.map(|(index, boot)| (index, boot.number))?;
            if sample.boot < number {
                return None;
            }
            self.boots.swap_remove(index);
        }
        self.boots.push(Boot { number: sample.boot, seen: Seen::from(sample.seq), odometer: None });
        Some(self.boots.len() - 1)
    }
}

impl Boot {
    /// Stretches the span to hold `metres` and says by how much.
    fn stretch(&mut self, metres: Option<u32>) -> Result<u32, Refused> {
        let Some(metres) = metres else { return Ok(0) };
        let Some(Span { low, high }) = self.odometer else {
            self.odometer = Some(Span { low: metres, high: metres });
            return Ok(0);
        };
        let stretched = Span { low: low.min(metres), high: high.max(metres) };
        if stretched.high - stretched.low > FARTHEST {
            return Err(Refused::OtherOdometer { metres, low, high });
        }
        self.odometer = Some(stretched);
        Ok((stretched.high - stretched.low) - (high - low))
    }
}

impl Standing {
    /// All of them, in the order of their labels.
    pub(super) const ALL: [Standing; 5] =
        [Standing::Ok, Standing::Late, Standing::OutOfOrder, Standing::Duplicate, Standing::Stale];

    /// The value of the label `result`.
    pub(super) fn label(self) -> &'static str {
        match self {
            Standing::Ok => "ok",
            Standing::Late => "late",
            Standing::OutOfOrder => "out_of_order",
            Standing::Duplicate => "duplicate",
            Standing::Stale => "stale",
        }
    }

    /// Whether the sample is counted here for the first time.
    pub(super) fn is_new(self) -> bool {
        matches!(self, Standing::Ok | Standing::Late | Standing::OutOfOrder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(boot: u64, seq: u64, odometer: u32) -> Sample {
        Sample { boot, seq, time: Some(0), speed: Some(1.0), odometer: Some(odometer) }
    }

    fn record() -> Record {
        Record::new(Arc::new(Fleet::new("demo")))
    }

    fn add(record: &mut Record, boot: u64, seq: u64, odometer: u32) -> (Standing, u32) {
        let change = record.add(&sample(boot, seq, odometer), 0).unwrap();
        (change.standing, change.metres)
    }

    #[test]
    fn distance_is_the_span_in_any_order() {
        for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2]] {
            let mut record = record();
            let metres: u32 = order.iter().map(|seq| add(&mut record, 1, *seq, 100 + 10 * *seq as u32).1).sum();
            assert_eq!(metres, 30, "{order:?}");
        }
    }

    #[test]
    fn a_sample_counts_once_however_often_it_comes() {
        let mut record = record();
        assert_eq!(add(&mut record, 1, 0, 100), (Standing::Ok, 0));
        assert_eq!(add(&mut record, 1, 2, 120), (Standing::Ok, 20));
        assert_eq!(add(&mut record, 1, 1, 110), (Standing::OutOfOrder, 0));
        assert_eq!(add(&mut record, 1, 1, 110), (Standing::Duplicate, 0));
        assert_eq!(add(&mut record, 1, 2, 120), (Standing::Duplicate, 0));
    }

    #[test]
    fn lateness_goes_before_order() {
        let mut record = record();
        let late = record.add(&sample(1, 0, 100), LATE_AFTER + 1).unwrap();
        assert_eq!((late.standing, late.trip), (Standing::Late, true));
        assert_eq!(record.add(&sample(1, 1, 100), LATE_AFTER).unwrap().standing, Standing::Ok);
    }

    #[test]
    fn starts_overlap_and_the_oldest_is_forgotten() {
        let mut record = record();
        for boot in [1, 3, 2, 4] {
            assert!(record.add(&sample(boot, 0, 100), 0).unwrap().trip);
        }
        assert_eq!(add(&mut record, 1, 0, 100), (Standing::Duplicate, 0));
        assert_eq!(add(&mut record, 1, 1, 110), (Standing::OutOfOrder, 10));
        assert_eq!(add(&mut record, 5, 0, 100), (Standing::Ok, 0));
        assert_eq!(add(&mut record, 1, 2, 120), (Standing::Stale, 0));
        assert_eq!(record.boots.len(), BOOTS);
    }

    #[test]
    fn an_instrument_replaced_at_rest_adds_nothing_and_one_in_motion_is_refused() {
        let mut record = record();
        add(&mut record, 1, 0, 48_000_000);
        assert_eq!(add(&mut record, 2, 0, 5), (Standing::Ok, 0));
        let error = record.add(&sample(2, 1, 48_000_000), 0).unwrap_err();
        assert!(matches!(error, Refused::OtherOdometer { metres: 48_000_000, low: 5, high: 5 }));
        // The number of the refused sample is still free.
        assert_eq!(add(&mut record, 2, 1, 15), (Standing::Ok, 10));
    }

    #[test]
    fn only_the_newest_sample_says_whether_it_moves() {
        let mut record = record();
        let mut stopped = sample(2, 5, 100);
        stopped.speed = Some(0.0);
        record.add(&sample(2, 4, 100), 0).unwrap();
        assert!(record.moving);
        record.add(&stopped, 0).unwrap();
        record.add(&sample(2, 3, 100), 0).unwrap();
        record.add(&sample(1, 9, 100), 0).unwrap();
        assert!(!record.moving);
    }
}
