//! What waits in the schedule: the next sample of a vehicle, or a message that was held back.
//!
//! Decision: a held-back message is its trip, number and kind, 40 bytes with its place in the queue. It is written when it
//! is due; a fleet of ten thousand can have a million messages on the way.

use std::cmp::Ordering;
use std::sync::Arc;

use super::drive::Trip;

/// A place in the queue.
#[derive(Debug)]
pub(super) struct Entry {
    /// Simulated nanoseconds.
    pub(super) due: u64,
    /// Entries of one moment come out as they went in.
    pub(super) entered: u64,
    pub(super) what: What,
}

/// What happens then.
#[derive(Debug)]
pub(super) enum What {
    /// The vehicle takes its next sample.
    Sample(u32),
    /// A message that was held back is sent.
    Send(Parcel),
}

/// A message to be written when it is due.
#[derive(Debug)]
pub(super) struct Parcel {
    pub(super) trip: Arc<Trip>,
    pub(super) seq: u32,
    pub(super) as_text: bool,
    pub(super) kind: Kind,
}

/// Why a message is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Direct,
    Late,
    Overtaken,
    Backfill,
    Duplicate { backfill: bool },
    Malformed(u64),
}

impl Parcel {
    /// The same sample, sent for another reason.
    pub(super) fn sent_as(&self, kind: Kind) -> Parcel {
        Parcel { trip: Arc::clone(&self.trip), seq: self.seq, as_text: self.as_text, kind }
    }
}

// The order is that of a queue: due time, then turn. No two entries share a turn.
impl Ord for Entry {
    fn cmp(&self, other: &Entry) -> Ordering {
        (self.due, self.entered).cmp(&(other.due, other.entered))
    }
}
impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Entry) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl PartialEq for Entry {
    fn eq(&self, other: &Entry) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Entry {}
