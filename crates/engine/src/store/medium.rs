//! What a store needs of whatever keeps its tables. Decision: **two verbs and a way back**, so that redb stays behind one
//! file and what is built on a store never sees it.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::batch::Batch;
use super::quota::Quota;
use super::record::Stamp;
use crate::event::Text;

/// A table that a store shall have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// Its name, unique in its file.
    pub name: Text,
    /// How much it may hold.
    pub quota: Quota,
}

/// What one transaction does: removals first, of records that were durable before, then writes.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) frees: Batch,
    pub(super) puts: Batch,
    pub(super) trims: Vec<Trim>,
}

/// The oldest records of a table go until it is within its bounds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trim {
    pub(super) table: u16,
    pub(super) max_bytes: u64,
    pub(super) older_than: Stamp,
}

/// What a table holds after a transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Records.
    pub(super) rows: u64,
    /// Their bytes, keys included.
    pub(super) bytes: u64,
    /// The largest key that was ever written, for whoever numbers its records and must never use a number twice.
    pub(super) highest: Vec<u8>,
}

/// What a transaction has changed in one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// The table's number.
    pub(super) table: u16,
    /// What it holds now.
    pub(super) counts: Counts,
    /// Records that were removed for a quota's sake.
    pub(super) dropped: u64,
}

/// Why a transaction or a read did not happen; the variant decides what the store does.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Failure {
    /// There is no room on the disk: it is tried again.
    #[error("no space is left: {0}")]
    Full(Arc<str>),
    /// The operating system refused for another reason: it is tried again.
    #[error("{0}")]
    Io(Arc<str>),
    /// What is on the disk can no longer be trusted: the store ends.
    #[error("{0}")]
    Broken(Arc<str>),
}

/// A key and the bytes under it, checksum included.
pub(super) type Visit<'v> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'v;

/// Keeps tables of bytes, ordered by key. Called from one writing thread and any number of readers.
pub(super) trait Medium: fmt::Debug + Send + Sync + 'static {
    /// Does all of `group` or nothing. When it is `durable`, it and everything before it survives a power failure once
    /// this returns; otherwise the next durable one makes it so, and a crash in between undoes it.
    ///
    /// # Errors
    /// Nothing of it counts as done; it may be there nevertheless.
    fn commit(&self, group: &Group, durable: bool) -> Result<Vec<Change>, Failure>;

    /// Shows the records of table `number` from the key `from` on, up to and without `to`, in the order of keys, as one
    /// moment has them. Does not wait for a file that is being opened.
    ///
    /// # Errors
    /// What was shown before is right.
    fn scan(&self, number: u16, from: &[u8], to: Option<&[u8]>, visit: &mut Visit<'_>) -> Result<(), Failure>;

    /// Begins anew after a failure, from what is on the disk. Answers whether that is all that was committed; if it is not,
    /// nothing can be read before the next commit, which has to bring the rest.
    ///
    /// # Errors
    /// It can be tried again.
    fn reopen(&self) -> Result<bool, Failure>;

    /// Lets go of what it keeps, for good.
    ///
    /// # Errors
    /// What was not durable may be lost.
    fn close(&self) -> Result<(), Failure>;

    /// The largest key that was ever written to table `number`; empty if none was.
    fn highest(&self, number: u16) -> Vec<u8>;
}
