//! Who may begin: a delivery stands in its key's lane until its turn, and then until there is room under the rule's limits.
//!
//! Decision: what waits here is a number in a queue and nothing else; it keeps its seat, so that a limit that is always
//! reached is back-pressure. What waits for another attempt leaves its room to others, and takes its turn again when it is due.

use super::super::delivery::Ended;
use super::super::lanes::{Entered, Left};
use super::telling::Book;
use super::{Key, Line};
use crate::account::End;
use crate::delivery::Outcome;

impl Line {
    /// Begins with a delivery, or lets it stand until its turn comes and there is room.
    pub(super) fn enter(&mut self, key: Key) {
        if !self.has_turn(key) {
            return;
        }
        if self.turns.is_empty() && !self.is_held && !self.guarded && self.may_begin() {
            self.attempt(key);
        } else {
            self.turns.push_back(key);
        }
    }

    /// Whether one more may be called or published now; it is then counted against the rate.
    pub(super) fn may_begin(&mut self) -> bool {
        if self.active >= self.options.max_in_flight {
            return false;
        }
        let Some(limiter) = &self.limiter else { return true };
        self.hushed = limiter.begin().err();
        self.hushed.is_none()
    }

    /// Whether a delivery that has arrived may begin; otherwise it stands behind others of its key.
    pub(super) fn has_turn(&mut self, key: Key) -> bool {
        !self.options.ordered || self.stands(key) == Entered::First
    }

    /// How a delivery that has arrived stands among those of its key.
    pub(super) fn stands(&mut self, key: Key) -> Entered {
        if !self.options.ordered {
            return Entered::First;
        }
        let Some(delivery) = self.table.get(key) else { return Entered::Behind };
        let Some(named) = delivery.event.key() else { return Entered::First };
        let (place, entered) = self.lanes.enter(&named, key);
        delivery.lane = Some(place);
        if entered == Entered::BehindParked {
            match self.retired {
                true => self.orphan(key),
                false => self.park_followers(place),
            }
        }
        entered
    }

    /// Begins those whose turn has come, as far as there is room. Some end at once, and others have theirs.
    pub(super) fn take_turns(&mut self) {
        while let Some(&key) = self.turns.front() {
            if self.stop.is_some() {
                if !self.put_off(key) {
                    return;
                }
                self.turns.pop_front();
                continue;
            }
            let is_new = self.table.get(key).map(|delivery| delivery.is_new());
            if self.is_held && is_new == Some(true) {
                self.held.extend(self.turns.pop_front());
                continue;
            }
            if self.guarded && (self.expires(key) || self.stays(key)) {
                self.turns.pop_front();
                continue;
            }
            if self.guarded && is_new.is_some() && self.shut().is_some() {
                if !self.waits_for_circuit(key) {
                    return;
                }
                self.turns.pop_front();
                continue;
            }
            // Some have gone meanwhile, and cost nothing.
            if is_new.is_some() && !self.may_begin() {
                return;
            }
            // Another line's delivery may be quicker.
            if self.guarded && is_new.is_some() && !self.admitted(key) {
                continue;
            }
            self.turns.pop_front();
            self.attempt(key);
        }
    }

    /// Nobody works on the delivery any more, and another one may begin.
    pub(super) fn rest(&mut self, key: Key) {
        if let Some(delivery) = self.table.get(key)
            && std::mem::take(&mut delivery.active)
        {
            self.active -= 1;
            if !self.probes.is_empty() {
                self.probes.release(key);
            }
            if delivery.era != self.era {
                let era = delivery.era;
                self.left_behind(era);
            }
        }
    }

    /// Ends a delivery; says whether it was there. The next of its key has its turn, though not from in here: a lane of
    /// events that all end at once must not grow the stack.
    pub(super) fn settle(&mut self, key: Key, outcome: Outcome, end: End) -> bool {
        let mut book = Book { now: self.now(), era: self.era, pen: &mut self.options.pen, earlier: &mut self.earlier };
        let ended = self.table.settle(key, outcome, |delivery| book.record(delivery, end));
        let Some(Ended { lane, active, era, row, beside }) = ended else { return false };
        if let Some(beside) = beside {
            self.done_beside(*beside);
        }
        self.active -= usize::from(active);
        if !self.probes.is_empty() {
            self.probes.release(key);
        }
        if active && era != self.era {
            self.left_behind(era);
        }
        if let Some((stored, kept)) = row {
            self.leave_row(key, lane, &stored, kept);
        } else if let Some(place) = lane {
            let left = self.lanes.leave(place, key, None, |follower| self.table.has(follower));
            if let Left::Next(next) = left {
                self.turns.push_back(next);
            }
        }
        true
    }

    /// Begins nothing new for now.
    pub(super) fn hold(&mut self) {
        self.is_held = true;
        self.last_error = Some(
            "nothing new is begun, because there are more dead letters than there may be; purge some, or raise \
             'state.quotas.deadLetters.maxBytes'"
                .to_owned(),
        );
    }

    /// What was held back has its turn, before what came later, now that there is room for its dead letters.
    pub(super) fn begin_held(&mut self) {
        self.is_held = false;
        self.held.append(&mut self.turns);
        std::mem::swap(&mut self.held, &mut self.turns);
    }
}
