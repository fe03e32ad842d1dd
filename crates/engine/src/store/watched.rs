//! A file under redb whose failures are remembered: what redb reports may be only that something failed before.

use std::io;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use redb::{BackendError, StorageBackend};

/// What has failed, and how much was read.
#[derive(Debug, Default)]
pub(super) struct Faults {
    /// A sync. For good.
    pub(super) unsynced: AtomicBool,
    /// Anything, because the disk is full; since the file was last opened.
    pub(super) full: AtomicBool,
    /// Bytes that were read: all of a file while it is opened.
    pub(super) read: Arc<AtomicU64>,
}

/// Passes everything on, and notes what fails.
#[derive(Debug)]
pub(super) struct Watched {
    inner: Box<dyn StorageBackend>,
    faults: Arc<Faults>,
}

impl Watched {
    pub(super) fn new(inner: Box<dyn StorageBackend>, faults: Arc<Faults>) -> Watched {
        Watched { inner, faults }
    }

    /// Notes it if the disk is full.
    fn note(&self, cause: &io::Error) {
        if matches!(cause.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
            self.faults.full.store(true, Ordering::Relaxed);
        }
    }
}

impl StorageBackend for Watched {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.faults.read.fetch_add(out.len() as u64, Ordering::Relaxed);
        self.inner.read(offset, out)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.inner.set_len(length).inspect_err(|cause| self.note(cause))
    }

    fn sync_data(&self) -> io::Result<()> {
        // For want of room too: some file systems find that out here only, and forget then what they could not write.
        self.inner.sync_data().inspect_err(|_| self.faults.unsynced.store(true, Ordering::Relaxed))
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.inner.write(offset, data).inspect_err(|cause| self.note(cause))
    }

    fn close(&self) -> io::Result<()> {
        self.inner.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.query_lock_range(start, end)
    }
}
