//! How much of one kind may be kept, and what happens beyond it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What happens to a write for which there is no room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFull {
    /// It waits.
    #[default]
    Block,
    /// The oldest records go, and are counted. Only where keys are in the order of age.
    DropOldest,
}

/// How much one table may hold, in bytes of live records, keys included. What a file takes on the disk is more: free
/// pages are used again and not given back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// Bytes at most.
    pub max_bytes: Option<u64>,
    /// Records older than this go, and are counted. Only where keys are in the order of age.
    pub max_age: Option<Duration>,
    /// What happens beyond [`Quota::max_bytes`].
    pub on_full: OnFull,
}

/// What a table holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Usage {
    /// Records.
    pub rows: u64,
    /// Their bytes, keys included.
    pub bytes: u64,
    /// Records that a quota has removed since the store was opened.
    pub dropped: u64,
}

/// What a table holds, kept by the writer and read by everybody.
#[derive(Debug, Default)]
pub(super) struct Gauge {
    rows: AtomicU64,
    bytes: AtomicU64,
    /// Bytes that are accepted and not yet committed.
    coming: AtomicU64,
    dropped: AtomicU64,
}

impl Gauge {
    pub(super) fn read(&self) -> Usage {
        Usage {
            rows: self.rows.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
        }
    }

    /// Takes over what a commit left.
    pub(super) fn set(&self, rows: u64, bytes: u64, dropped: u64) {
        self.rows.store(rows, Ordering::Relaxed);
        self.bytes.store(bytes, Ordering::Relaxed);
        self.dropped.fetch_add(dropped, Ordering::Relaxed);
    }

    pub(super) fn expect(&self, bytes: u64) {
        self.coming.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn arrived(&self, bytes: u64) {
        self.coming.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Whether `more` bytes fit. What finds the table empty fits however large it is, else it could never be written.
    pub(super) fn fits(&self, quota: &Quota, more: u64) -> bool {
        let (Some(max), OnFull::Block) = (quota.max_bytes, quota.on_full) else { return true };
        let taken = self.bytes.load(Ordering::Relaxed) + self.coming.load(Ordering::Relaxed);
        more == 0 || taken == 0 || taken + more <= max
    }
}
