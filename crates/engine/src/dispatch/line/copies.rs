//! What its source delivers again: a copy of a delivery that is parked, or has ended after it was, or beside one that was.
//!
//! Decision: **a copy settles as soon as what it is a copy of is safe**, and is neither run nor parked. So nothing that waits on
//! the disk runs twice for a crash, nor do its siblings that were done; and an event that its source never delivered before pays
//! one look at its seat.

use super::super::books::DropReason;
use super::{Key, Line, Stage};
use crate::account::End;
use crate::delivery::{Outcome, Print, Spot, Taken, print};

impl Line {
    /// Whether a delivery is a copy. Then it is out of the way: it settles, at once if what it is a copy of is on the disk, and
    /// else with that.
    pub(super) fn is_copy(&mut self, key: Key) -> bool {
        let Some(lot) = &mut self.lot else { return false };
        let Some(delivery) = self.table.get(key) else { return false };
        let Some(receipt) = delivery.receipt().filter(|receipt| receipt.is_again()) else { return false };
        let Some(spot) = receipt.spot() else { return false };
        let print = print(&delivery.event);
        let Some(taken) = lot.taken(&spot, print) else { return false };
        // Of this message, too, siblings that are done are not to run again.
        let done = lot.rules(receipt.parks());
        match taken {
            Taken::Over => {
                lot.done(&spot, print, &done);
                self.end_copy(key);
            }
            Taken::Coming if !lot.follow(key, &spot, print) => return false,
            Taken::Coming => {
                lot.done(&spot, print, &done);
                delivery.stage = Stage::Park;
            }
        }
        true
    }

    /// A copy settles.
    pub(super) fn end_copy(&mut self, key: Key) {
        if self.settle(key, Outcome::Ack, End::Dropped(DropReason::Duplicate)) {
            self.books.dropped[DropReason::Duplicate as usize] += 1;
        }
    }

    /// A delivery has ended beside a sibling that was parked before.
    #[cold]
    pub(super) fn done_beside(&mut self, (spot, print): (Spot, Print)) {
        if let Some(lot) = &mut self.lot {
            let rule = lot.rule().clone();
            lot.done(&spot, print, &[rule]);
        }
    }
}
