//! A source's wish to have events back that have not settled.
//!
//! A broker may take messages away from a consumer that holds one of them for too long, and close what the others came on.
//! So a source can ask for an event back, by its seat, and hands the message to its broker when the seat has settled.
//!
//! Decision: the wish goes the way of the events, through the queue of every line and behind everything that its source has
//! handed over before. So whoever reads it knows every event that is meant, the next owner of a seat cannot be mistaken for
//! the one before, and an event that nobody asks for pays nothing.

use super::receipt::Receipt;
use super::seat::{Seat, Table};
use crate::sync::Arc;

/// Whom a source's wishes are told, in the order in which events were handed over.
pub type Recaller = Box<dyn Fn(&Recall) + Send + Sync>;

/// Which events a source wants back; see [`Settlements::recall`](super::Settlements::recall).
#[derive(Clone, Debug)]
pub struct Recall {
    table: Arc<Table>,
    /// In ascending order.
    seats: Vec<Seat>,
}

impl Recall {
    pub(super) fn new(table: Arc<Table>, seats: &[Seat]) -> Recall {
        let mut seats = seats.to_vec();
        seats.sort_unstable();
        Recall { table, seats }
    }

    /// Whether this receipt is of an event that is meant.
    #[must_use]
    pub fn covers(&self, receipt: &Receipt) -> bool {
        receipt.seat_in(&self.table).is_some_and(|seat| self.seats.binary_search(&seat).is_ok())
    }
}
