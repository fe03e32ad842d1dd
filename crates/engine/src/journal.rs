//! A durable log of JSON lines: append, group commit, fsync, rotate, repair.
//!
//! The decision embodied here: **one thread of its own per journal does all file I/O**, so that no tokio worker ever
//! waits for a disk. While that thread is in `fsync`, everything that is appended gathers in the next batch, which is one
//! write and one `fsync` however many lines it holds. A line costs its appender one short lock and one copy; all lines
//! of a batch share one confirmation.
//!
//! What a confirmed line survives is the policy's [`Sync`]. A batch fails as a whole: its lines are cut off the file
//! again, every appender learns the error, and the next batch is tried afresh, so a full disk recovers by itself. After a
//! failure in the middle of a rotation some of its lines may stay in an older file, and are there twice if the appender
//! tries again.
//!
//! ```
//! use engine::journal::{Journal, Policy};
//! use engine::metric::Link;
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let folder = tempfile::tempdir().expect("a folder");
//! let path = folder.path().join("events.jsonl");
//! let journal = Journal::open(&path, Policy::default(), Link::default()).expect("opened");
//! journal.append(b"{\"a\":1}").await.expect("on disk");
//! journal.append(b"{\"a\":2}").then(|result| assert!(result.is_ok()));
//! journal.close().await.expect("closed");
//! assert_eq!(std::fs::read_to_string(&path).expect("readable").lines().count(), 2);
//! # });
//! ```

mod commit;
mod file;
mod lines;
#[cfg(test)]
mod tests;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub use commit::Commit;
pub use file::Reading;
pub use lines::{Lines, Sink};

use crate::metric::Link;
use crate::registry::OpenError;
use file::Rotating;

/// When lines are forced to the disk, and with that what a confirmation means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// Before they are confirmed: a confirmed line survives a power failure.
    Always,
    /// At this interval, and at rotation and closing. They are confirmed once written: a confirmed line survives a crash
    /// of this process, and a power failure takes at most this much time's worth.
    Interval(Duration),
    /// When the operating system likes. A confirmed line survives a crash of this process.
    Never,
}

/// How a journal keeps its lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// When lines are forced to the disk.
    pub sync: Sync,
    /// A file does not grow beyond this many bytes, except by one line that is longer alone.
    pub size: u64,
    /// How many full files are kept beside the current one, as `NAME.1` (the newest) to `NAME.keep`.
    pub keep: usize,
}

impl Default for Policy {
    /// Every line is on the disk before it is confirmed; 64 MiB per file, four full ones kept.
    fn default() -> Policy {
        Policy { sync: Sync::Always, size: 64 << 20, keep: 4 }
    }
}

/// Lines were not written. Trying again may help, except after [`Error::Closed`].
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused; such as a full disk.
    #[error("cannot {step} '{name}'")]
    Io {
        /// What was tried, such as `write to`.
        step: &'static str,
        /// The file.
        name: Arc<str>,
        /// The reason.
        #[source]
        cause: Arc<io::Error>,
    },
    /// Too much waits to be written already.
    #[error("more than {limit} bytes wait to be written to '{name}', which is too slow for what is sent to it")]
    Full {
        /// The file.
        name: Arc<str>,
        /// How much may wait.
        limit: usize,
    },
    /// It was closed, or its thread is gone.
    #[error("'{name}' is closed")]
    Closed {
        /// The file.
        name: Arc<str>,
    },
}

impl Error {
    /// An operating system's refusal of `step` on the thing called `name`.
    #[must_use]
    pub fn io(step: &'static str, name: &Arc<str>, cause: io::Error) -> Error {
        Error::Io { step, name: Arc::clone(name), cause: Arc::new(cause) }
    }

    /// The error with its cause, for a message.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self {
            Error::Io { cause, .. } => format!("{self}: {cause}"),
            Error::Full { .. } | Error::Closed { .. } => self.to_string(),
        }
    }
}

/// How much may wait to be written beside what is being written: a slow disk is back-pressure, not a growing heap.
const WAITING_MAX: usize = 32 << 20;

/// A durable log of JSON lines in one file and its rotated predecessors.
#[derive(Debug)]
pub struct Journal {
    lines: Lines,
    counters: Arc<file::Counters>,
}

impl Journal {
    /// Opens the journal at `path`, creating the file but not its folder, and starts its thread. A last line that a crash
    /// left unfinished is cut off, counted and logged. `link` is told when writing fails and when it works again.
    ///
    /// # Errors
    /// [`OpenError`] when the folder is missing, the file cannot be written, is no file of JSON lines, or is held open by
    /// another journal.
    pub fn open(path: &Path, policy: Policy, link: Link) -> Result<Journal, OpenError> {
        let counters = Arc::default();
        let file = Rotating::open(path, policy, link, Arc::clone(&counters))?;
        let lines = Lines::start(file.name(), WAITING_MAX, Box::new(file))
            .map_err(|cause| OpenError { message: "cannot start a thread".to_owned(), cause: Some(cause.into()) })?;
        Ok(Journal { lines, counters })
    }

    /// Appends one JSON text, without a line break at its end. Never waits. Line breaks inside, which JSON allows only
    /// between its tokens, become spaces. The line is written even if the answer is dropped.
    pub fn append(&self, line: &[u8]) -> Commit {
        self.lines.append(line)
    }

    /// Writes what waits, forces it to the disk unless the policy is [`Sync::Never`], closes the file and ends the
    /// thread. Appending fails from now on.
    pub fn close(&self) -> Commit {
        self.lines.close()
    }

    /// What was counted since it was opened.
    #[must_use]
    pub fn read(&self) -> Reading {
        self.counters.read()
    }
}
