//! A rule's share of its sources' seats: what comes beyond it is put aside, so that a rule that is slow, rather than failing,
//! leaves its siblings theirs.
//!
//! Decision: **what has a seat keeps it, and what comes goes to the disk**, with no attempt spent, and comes back at once as far as
//! the window of rows has room: then it waits for its turn without a seat. What stands behind another one of its key goes there,
//! too, in their order; its head is written down and keeps its seat, so that a crash leaves them in order. Once the share is reached, what comes is put aside until
//! a quarter of it is free, so that rows are written in groups and not one for each seat that falls free.

use std::time::Duration;

use super::super::delivery::Stage;
use super::super::lanes::{Entered, Place};
use super::parking::LANES;
use super::{Key, Line};

impl Line {
    /// What the rule may have again before it goes on as before, once it had its share.
    fn low(&self) -> usize {
        let share = self.options.max_seats;
        share - share.div_ceil(4)
    }

    /// A delivery has come that may be beyond the rule's share of the seats; says whether it is entered, and put aside if there
    /// is room.
    #[cold]
    pub(super) fn makes_way(&mut self, key: Key) -> bool {
        // Deliveries that have a row hold no seat. It is counted itself.
        if self.table.seated() <= self.limit || self.lot.as_ref().is_none_or(|lot| !lot.takes()) || self.retired {
            return false;
        }
        self.limit = self.low();
        match self.stands(key) {
            Entered::First => {
                if !self.put_aside(key, Duration::ZERO) {
                    self.turns.push_back(key);
                }
            }
            Entered::Behind => {
                let place = self.table.get(key).and_then(|delivery| delivery.lane);
                if let Some(place) = place.filter(|place| self.writes_head(*place)) {
                    self.park_followers(place);
                }
            }
            Entered::BehindParked => {}
        }
        true
    }

    /// Writes the head of a lane down, which stays where it is, so that what stands behind it can go to the disk in its order;
    /// says whether it is there.
    fn writes_head(&mut self, place: Place) -> bool {
        if self.lanes.parked() >= LANES {
            return false;
        }
        let Some(head) = self.lanes.live_head(place) else { return false };
        let is_called = self.options.function.is_some();
        let Some(delivery) = self.table.get(head) else { return false };
        let (active, calls) = (delivery.active, delivery.calls().max(1));
        let publishes = match delivery.stage {
            Stage::Call => false,
            Stage::Publish(_) => true,
            Stage::Keep(_) | Stage::Park => return false,
        };
        let Some(mut parking) = self.parking(head, None) else { return false };
        if active {
            // What a crash interrupts is the same attempt once more. Which results are confirmed by then is not known, so
            // its function is called again.
            parking.results.clear();
            parking.attempts = if publishes && is_called { calls } else { parking.attempts }.saturating_sub(1);
        }
        let Some(stored) = self.lot.as_mut().and_then(|lot| lot.keep(parking)) else { return false };
        if let Some(delivery) = self.table.get(head) {
            delivery.keep(stored);
        }
        self.lanes.shelve(place);
        true
    }

    /// The rule has room again.
    pub(super) fn breathe(&mut self) {
        if self.limit < self.options.max_seats && self.table.seated() <= self.limit {
            self.limit = self.options.max_seats;
        }
    }
}
