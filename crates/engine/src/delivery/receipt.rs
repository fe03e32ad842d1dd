//! The right, and the duty, to settle one fork of a message.

use std::fmt;
use std::time::Duration;

use super::outcome::Outcome;
use super::position::{Position, Spot};
use super::seat::{Seat, Table};
use crate::sync::Arc;

/// One open fork of a message. Settle it; dropping it is a failure, [`Outcome::Retry`] without delay.
#[must_use = "a receipt that is dropped counts as a failed attempt"]
pub struct Receipt {
    table: Arc<Table>,
    seat: Seat,
    open: bool,
}

impl Receipt {
    /// The first fork of a seat that was just occupied.
    pub(super) fn first(table: Arc<Table>, seat: Seat) -> Receipt {
        Receipt { table, seat, open: true }
    }

    /// One more fork of the same message; the message settles when all of them have.
    pub fn fork(&self) -> Receipt {
        self.table.fork(self.seat);
        Receipt { table: Arc::clone(&self.table), seat: self.seat, open: true }
    }

    /// Its seat, if that is one of `table`.
    pub(super) fn seat_in(&self, table: &Arc<Table>) -> Option<Seat> {
        Arc::ptr_eq(&self.table, table).then_some(self.seat)
    }

    /// Where its message stands at its broker, if that numbers messages.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        self.spot().map(|spot| spot.position())
    }

    /// The same, as the engine knows it.
    pub(crate) fn spot(&self) -> Option<Spot> {
        self.table.spot(self.seat)
    }

    /// Whether the message may be a copy of one that was delivered before.
    #[inline]
    pub(crate) fn is_again(&self) -> bool {
        self.table.is_again(self.seat)
    }

    /// This fork, of the rule with this number, ends for good. Says whether another fork of the message was parked: then that
    /// one does not know it.
    #[inline]
    pub(crate) fn ends_beside(&self, rule: Option<u32>) -> bool {
        self.table.ends_beside(self.seat, rule)
    }

    /// This fork is parked; answers the bits of the rules whose forks were done by then.
    pub(crate) fn parks(&self) -> u64 {
        self.table.parks(self.seat)
    }

    /// Whether the message is on the disk here, so that handing it back leaves it to nobody else.
    #[must_use]
    pub fn is_durable(&self) -> bool {
        self.table.is_durable()
    }

    /// Whether nobody hears how this settles: the run of its source has ended, and the message is counted as handed back.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.table.is_abandoned()
    }

    /// Settles this fork. The greatest outcome of all forks becomes the message's.
    pub fn settle(mut self, outcome: Outcome) {
        self.open = false;
        self.table.settle(self.seat, outcome);
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        if self.open {
            self.table.settle(self.seat, Outcome::Retry { after: Duration::ZERO });
        }
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receipt").field("seat", &self.seat).finish_non_exhaustive()
    }
}
