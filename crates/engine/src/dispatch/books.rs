//! The books of one rule: where every delivery of it is.
//!
//! The line's task keeps the figures and, at the end of each turn, puts a copy where anybody can read it without waiting
//! for the task. `in_flight` is the size of the task's table and `parked` what its lot counts, so the conservation law can be
//! wrong and is worth checking.

use std::sync::Arc;

use parking_lot::Mutex;
use serde::Serialize;

use crate::event::Text;
use crate::store::Stamp;

/// Why a delivery was dropped and kept nowhere; each is counted by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DropReason {
    /// The function did not want it.
    Function,
    /// Every attempt failed, under a rule that wants nothing kept of that.
    Exhausted,
    /// Its message was delivered again, and the delivery is parked, or has ended after it was, or beside one that was.
    Duplicate,
}

impl DropReason {
    /// Every reason.
    pub const ALL: [DropReason; 3] = [DropReason::Function, DropReason::Exhausted, DropReason::Duplicate];

    /// Its name in figures.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            DropReason::Function => "function",
            DropReason::Exhausted => "exhausted",
            DropReason::Duplicate => "duplicate",
        }
    }
}

/// One rule's figures since the engine started, in deliveries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Books {
    /// Taken over from the router.
    pub matched: u64,
    /// Parked by an earlier run of the engine.
    pub recovered: u64,
    /// Taken over from the dead letters.
    pub replayed: u64,
    /// Taken over from the router as results of rules.
    pub looped: u64,
    /// Ended well.
    pub done: u64,
    /// Given up and kept, by [`Reason`](crate::dead_letter::Reason) in the order of
    /// [`Reason::OF_RULES`](crate::dead_letter::Reason::OF_RULES).
    pub dead_lettered: [u64; 4],
    /// Given up and kept nowhere, by [`DropReason`] in the order of [`DropReason::ALL`].
    pub dropped: [u64; DropReason::ALL.len()],
    /// Left with the source: when the engine ended, or because the source wanted it back.
    pub handed_back: u64,
    /// On the disk now, until their next attempt or their turn, and nowhere else.
    pub parked: u64,
    /// In the line's table now.
    pub in_flight: u64,
    /// Calls and publishes that failed.
    pub failed_attempts: u64,
}

impl Books {
    /// Whether matched + recovered + replayed + looped = done + dead-lettered + dropped + handed back + parked + in flight.
    #[must_use]
    pub fn balance(&self) -> bool {
        let given_up: u64 = self.dead_lettered.iter().chain(&self.dropped).sum();
        let here = self.parked + self.in_flight;
        self.matched + self.recovered + self.replayed + self.looped == self.done + given_up + self.handed_back + here
    }
}

/// Where a line leaves its books for readers.
#[derive(Clone, Debug, Default)]
pub struct Reading(Arc<Mutex<Published>>);

#[derive(Debug, Default)]
struct Published {
    books: Books,
    last_error: Option<String>,
    /// Of what is parked, and of what is in the table.
    oldest: [Option<Stamp>; 2],
    paused: Paused,
    held: Held,
}

/// Why what comes for a rule waits although it is not paused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Of what the circuit is that lets nothing through: `output 'alerts'`.
    pub circuit: Option<Text>,
    /// Whether it has its share of the seats.
    pub seats: bool,
}

impl Held {
    /// In a few words, if it is.
    #[must_use]
    pub fn words(&self) -> Option<Text> {
        let seats = self.seats.then(|| Text::new_static("maxSeats"));
        self.circuit.as_ref().map(|name| format!("circuit of {name}").into()).or(seats)
    }
}

/// What of a rule runs only when somebody says so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Paused {
    /// Since when the whole rule is paused, if it is.
    pub rule: Option<Stamp>,
    /// How many keys are paused.
    pub keys: usize,
    /// Since when the first of all that is paused.
    pub oldest: Option<Stamp>,
}

impl Reading {
    pub(super) fn publish(
        &self,
        books: &Books,
        (oldest, paused, held): ([Option<Stamp>; 2], Paused, Held),
        error: &mut Option<String>,
    ) {
        let mut published = self.0.lock();
        published.books = *books;
        published.oldest = oldest;
        published.paused = paused;
        published.held = held;
        if error.is_some() {
            published.last_error = error.take();
        }
    }

    /// The books at the end of the line's last turn.
    #[must_use]
    pub fn books(&self) -> Books {
        self.0.lock().books
    }

    /// Since when the oldest that is parked has failed, as far as that is known without reading the disk.
    #[must_use]
    pub fn oldest(&self) -> Option<Stamp> {
        self.0.lock().oldest[0]
    }

    /// Since when the oldest that is in flight is here, to the second.
    #[must_use]
    pub fn oldest_in_flight(&self) -> Option<Stamp> {
        self.0.lock().oldest[1]
    }

    /// What of the rule is paused.
    #[must_use]
    pub fn paused(&self) -> Paused {
        self.0.lock().paused
    }

    /// Why what comes for the rule waits, if it does.
    #[must_use]
    pub fn held(&self) -> Held {
        self.0.lock().held.clone()
    }

    /// The last failure of a call or a publish.
    #[must_use]
    pub fn last_error(&self) -> Option<String> {
        self.0.lock().last_error.clone()
    }
}
