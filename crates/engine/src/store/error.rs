//! What can be wrong with a file, each with what to do about it.

use std::path::PathBuf;
use std::sync::Arc;

use crate::event::Text;

/// A file cannot be opened. Its sentence names the file and what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The operating system refused.
    #[error("cannot open the state file '{}': {why}; make it writable, or name another folder with 'state: {{ dir: ... }}'", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        why: Arc<str>,
    },
    /// It is damaged, of another kind, or of a newer version.
    #[error(
        "cannot open the state file '{0}': {why}; 'tidemill state check {0}' looks closer, 'tidemill state salvage {0}' copies what can be read",
        path.display()
    )]
    Refused {
        /// The file.
        path: PathBuf,
        /// Why.
        why: Arc<str>,
    },
    /// No thread is left.
    #[error("cannot start the thread that writes '{}'", path.display())]
    Thread {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
}

/// Something was not read or written; but for [`Error::Away`], trying again will not help.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// A record is not what was written.
    #[error(
        "a record of table '{table}' in '{name}' is damaged; stop the engine, and 'tidemill state salvage' copies what can be read"
    )]
    Damaged {
        /// The file.
        name: Arc<str>,
        /// The table.
        table: Text,
        /// The record's key.
        key: Vec<u8>,
    },
    /// The file cannot be read for now: after a failed write it is being opened anew. Trying again helps.
    #[error("cannot read '{name}' for now: {why}")]
    Away {
        /// The file.
        name: Arc<str>,
        /// Why.
        why: Arc<str>,
    },
    /// The file cannot be read.
    #[error("cannot read '{name}': {why}")]
    Unreadable {
        /// The file.
        name: Arc<str>,
        /// Why.
        why: Arc<str>,
    },
    /// It was closed, or ended after a failure.
    #[error("'{name}' takes no more writes: {why}")]
    Ended {
        /// The file.
        name: Arc<str>,
        /// Why.
        why: Arc<str>,
    },
}
