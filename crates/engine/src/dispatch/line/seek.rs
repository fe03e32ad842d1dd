//! Where an event is in a line, for whoever asks: every delivery of it that has not ended.
//!
//! Decision: **whoever asks pays**. Nothing is kept for the sake of an answer; the table is looked through, which has at most as
//! many deliveries as there are seats and rows out.

use std::cmp::Reverse;
use std::time::Duration;

use tokio::time::Instant;

use super::super::delivery::{Delivery, Stage};
use super::{Key, Line, Stop};
use crate::account::Wanted;
use crate::event::{Event, Text};
use crate::store::Stamp;

/// One delivery that has not ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Sighting {
    /// The event, whole.
    pub event: Event,
    /// What it does or waits for.
    pub whereabouts: Whereabouts,
    /// Since when it is here.
    pub arrived: Stamp,
    /// Attempts of its present stage that have begun, and how many there may be.
    pub attempts: u32,
    /// How many there may be.
    pub of: u32,
    /// Whether its results are to be published; else its function is to judge it.
    pub publishing: bool,
    /// How often it was given up before and sent on its way again.
    pub redrives: u32,
    /// What kind of failure the last one was, where it has a name.
    pub code: Option<Text>,
    /// What was said last; empty before anything has failed.
    pub message: Text,
}

/// What a delivery does or waits for.
#[derive(Clone, Debug, PartialEq)]
pub enum Whereabouts {
    /// Its function has it, or it waits for a worker, since then.
    Called(Stamp),
    /// Its results are on their way to these outputs, since then.
    Publishing(Stamp, Vec<Text>),
    /// It stands behind another one of its key.
    Behind,
    /// It waits until the rule's limits let it begin.
    Turn,
    /// It has not begun, because there are more dead letters than there may be.
    Held,
    /// The whole rule is paused since then, or else its key is.
    Paused {
        /// Since when.
        since: Stamp,
        /// Whether it is the whole rule.
        rule: bool,
    },
    /// It waits in its seat for its next attempt.
    Waiting(Stamp),
    /// It is being put aside: its row is on its way to the disk.
    Parking,
    /// It is given up: its dead letter is on its way to the disk.
    Keeping,
}

impl Line {
    /// Where this event is.
    pub(super) fn seek(&mut self, wanted: &Wanted) -> Vec<Sighting> {
        let now = self.now();
        let found = self.table.iter().filter(|(_, delivery)| wanted.takes(&delivery.event));
        let see = |(key, delivery): (Key, &Delivery)| {
            let (code, message) =
                delivery.known_past().last.map(|fault| (fault.code, fault.message)).unwrap_or_default();
            Sighting {
                event: delivery.event.clone(),
                whereabouts: self.whereabouts(key, delivery, now),
                arrived: full(delivery.arrived, now),
                attempts: delivery.attempts,
                of: self.options.retry.max_attempts,
                publishing: matches!(delivery.stage, Stage::Publish(_)),
                redrives: delivery.redrives(),
                code,
                message,
            }
        };
        found.map(see).collect()
    }

    fn whereabouts(&self, key: Key, delivery: &Delivery, now: u64) -> Whereabouts {
        let began = full(delivery.began, now);
        match &delivery.stage {
            Stage::Park => Whereabouts::Parking,
            Stage::Keep(_) => Whereabouts::Keeping,
            Stage::Call if delivery.active => Whereabouts::Called(began),
            Stage::Publish(_) if delivery.active => Whereabouts::Publishing(
                began,
                self.options.outputs.results().iter().map(|(name, _)| name.clone()).collect(),
            ),
            Stage::Call | Stage::Publish(_) => self.at_rest(key, delivery, now),
        }
    }

    fn at_rest(&self, key: Key, delivery: &Delivery, now: u64) -> Whereabouts {
        if let Some(Stop { since, .. }) = self.stop {
            return Whereabouts::Paused { since, rule: true };
        }
        let lane = delivery.lane.and_then(|place| self.lanes.paused_since(place));
        // One that is spent has found no room on the disk so far.
        if let Some(since) = lane.or_else(|| delivery.is_spent().then(|| full(delivery.began, now))) {
            return Whereabouts::Paused { since, rule: false };
        }
        if let Some(Reverse((due, _))) = self.waiting.iter().find(|Reverse((_, waiting))| *waiting == key) {
            let left = due.saturating_duration_since(Instant::now());
            return Whereabouts::Waiting(Stamp(now.saturating_add(millis(left))));
        }
        if self.held.contains(&key) || (self.is_held && self.turns.contains(&key)) {
            return Whereabouts::Held;
        }
        if self.turns.contains(&key) { Whereabouts::Turn } else { Whereabouts::Behind }
    }
}

fn millis(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}

/// The time of which the low half is known, as the last one before `now`.
fn full(low: u32, now: u64) -> Stamp {
    Stamp(now.saturating_sub(u64::from(super::telling::between(low, now))))
}
