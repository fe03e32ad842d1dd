//! The ledger of a run: what has been handed out so far, by kind.
//!
//! Decision: it counts at the moment a message is handed out, never when one is planned, so at any time
//! `messages = samples + duplicates + malformed` is exact, and a driver can hold the far side against it.

use serde::Serialize;

use super::parcel::Kind;

/// Counts of what a simulator has handed out. `late`, `out_of_order`, `backfilled` and `as_text` say how some of the
/// `samples` travelled; each sample is in at most one of the first three.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Ledger {
    /// Everything handed out.
    pub messages: u64,
    /// True samples, each counted once, however often it was sent.
    pub samples: u64,
    /// Copies of true samples beyond the first.
    pub duplicates: u64,
    /// Payloads that are no samples.
    pub malformed: u64,
    /// Samples held back for minutes.
    pub late: u64,
    /// Samples that a few later ones have overtaken.
    pub out_of_order: u64,
    /// Samples of a silence, sent after it on the back-fill topic.
    pub backfilled: u64,
    /// Samples whose numbers were written as text.
    pub as_text: u64,
    /// Trips of which a sample was handed out.
    pub trips: u64,
    /// Bytes of all payloads.
    pub bytes: u64,
}

impl Ledger {
    /// Counts one message that is being handed out.
    pub(super) fn count(&mut self, kind: Kind, seq: u32, as_text: bool, bytes: usize) {
        self.messages += 1;
        self.bytes += bytes as u64;
        match kind {
            Kind::Malformed(_) => return self.malformed += 1,
            Kind::Duplicate { .. } => return self.duplicates += 1,
            Kind::Direct => {}
            Kind::Late => self.late += 1,
            Kind::Overtaken => self.out_of_order += 1,
            Kind::Backfill => self.backfilled += 1,
        }
        self.samples += 1;
        self.trips += u64::from(seq == 0);
        self.as_text += u64::from(as_text);
    }
}
