//! What a line tells the account: how each delivery has ended, and everything that went wrong before.
//!
//! Decision: **the time is read once for each turn**, and a delivery keeps the low half of its
//! milliseconds, so that what ends well costs a record and nothing else.

use super::super::delivery::{Delivery, Stage};
use super::{Earlier, Key, Line, renewal};
use crate::account::{End, Facts, Pen, Trouble, UNKNOWN, What};
use crate::event::Text;
use crate::store::Stamp;

/// Milliseconds between two times of which the low halves are known; 0 where the clock was set back.
pub(super) fn between(earlier: u32, later: u64) -> u32 {
    let length = (later as u32).wrapping_sub(earlier);
    if length > i32::MAX as u32 { 0 } else { length }
}

/// Where the ends of deliveries are written down.
pub(super) struct Book<'l> {
    pub(super) now: u64,
    /// The number of the present configuration, and who writes under it and under earlier ones.
    pub(super) era: u32,
    pub(super) pen: &'l mut Pen,
    pub(super) earlier: &'l mut [Earlier],
}

impl Book<'_> {
    /// A delivery ends.
    #[inline]
    pub(super) fn record(&mut self, delivery: &Delivery, end: End) {
        let mut facts = Facts {
            ended: self.now,
            took: between(delivery.arrived, self.now),
            last: between(delivery.began, self.now),
            attempts: delivery.attempts,
            calls: 0,
            results: delivery.results,
        };
        if delivery.is_troubled() {
            troubled(delivery, &mut facts);
        }
        let pen = match delivery.active && delivery.era != self.era {
            true => renewal::pen(self.earlier, delivery.era),
            false => None,
        };
        pen.unwrap_or(self.pen).record(&delivery.event, end, facts);
    }
}

impl Line {
    /// A turn begins.
    #[inline]
    pub(super) fn begin_turn(&mut self) {
        self.time = self.options.postbox.now().0;
        self.table.turn(self.time);
    }

    /// When the present turn is, in milliseconds since 1970.
    #[inline]
    pub(super) fn now(&self) -> u64 {
        self.time
    }

    /// That long after the present turn.
    pub(super) fn after(&self, delay: std::time::Duration) -> Stamp {
        Stamp(self.now().saturating_add(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX)))
    }

    /// Something went wrong with a delivery, which is still there.
    pub(super) fn tell(&mut self, key: Key, what: What, code: Option<Text>, message: &str) {
        let time = self.now();
        let Some(delivery) = self.table.get(key) else { return };
        // What waits in its seat, and what is kept nowhere, is written nowhere else.
        let force = match what {
            What::Failed(_) => !matches!(delivery.stage, Stage::Park),
            What::GivenUp(_) => false,
            What::Dropped(_) => true,
        };
        let trouble = Trouble {
            time: Stamp(time),
            id: delivery.event.id().clone(),
            source: delivery.event.source().clone(),
            rule: self.options.rule.clone(),
            what,
            publishing: is_publishing(delivery),
            attempt: delivery.attempts,
            of: self.options.retry.max_attempts,
            took: between(delivery.began, time),
            redrives: delivery.redrives(),
            code,
            message: message.into(),
        };
        self.options.pen.trouble(&trouble, force);
    }

    /// What is left goes back to its sources, and what has a row stays.
    pub(super) fn tell_handed_back(&mut self) {
        let now = self.now();
        let pen = &mut self.options.pen;
        for (_, delivery) in self.table.iter().filter(|(_, delivery)| delivery.stored().is_none()) {
            let facts = Facts {
                ended: now,
                took: between(delivery.arrived, now),
                last: between(delivery.began, now),
                attempts: delivery.attempts,
                calls: delivery.calls(),
                results: delivery.results,
            };
            pen.record(&delivery.event, End::HandedBack, facts);
        }
        pen.flush();
    }
}

/// Whether its results are being published, or were to be when it was put aside.
fn is_publishing(delivery: &Delivery) -> bool {
    delivery.results > 0 || matches!(delivery.stage, Stage::Publish(_))
}

/// What few need. One that was parked arrived before it came back: nobody knows when, unless it has failed by then.
#[cold]
fn troubled(delivery: &Delivery, facts: &mut Facts) {
    facts.calls = delivery.calls();
    if delivery.stored().is_some() {
        let since = delivery.failed().map(|failed| facts.ended.saturating_sub(failed.0));
        facts.took = since.map_or(UNKNOWN, |since| u32::try_from(since).unwrap_or(UNKNOWN));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_right_over_the_end_of_the_low_half_and_never_negative() {
        let end = u64::from(u32::MAX);
        assert_eq!(between(end as u32 - 1, end + 5), 6);
        assert_eq!(between(1000, 2000), 1000);
        assert_eq!(between(2000, 1000), 0, "the clock was set back");
    }
}
