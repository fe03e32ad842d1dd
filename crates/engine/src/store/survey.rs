//! Looking at a file that no engine runs on: what is in it, what of it is damaged, and a new file with what is not.
//!
//! Decision: **looking changes nothing**. redb writes to a file that it opens, if only to say that it is open, and repairs
//! one that was not closed; all of that goes into memory here ([`overlay`]), so that a damaged file stays as it was found.

mod overlay;
mod walk;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Serialize, Serializer};

use super::batch::{Batch, Table};
use super::disk::{self, Disk};
use super::medium::{Failure, Group, Medium, Spec};
use super::record::{self, Stamp};
use super::{Quota, Schema};

/// What was found in one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The file.
    pub path: PathBuf,
    /// `spool` or `deliveries`, as the file says; nothing where that cannot be read.
    pub kind: Option<String>,
    /// The version of its format.
    pub version: Option<u32>,
    /// What is wrong with the file as a whole.
    pub damage: Vec<String>,
    /// Its tables, by name.
    pub tables: Vec<TableReport>,
}

/// What was found in one table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TableReport {
    /// Its name, such as `spool/fleet`.
    pub name: String,
    /// Records that are as they were written.
    pub rows: u64,
    /// Their bytes, keys included.
    pub bytes: u64,
    /// Records whose checksum is wrong.
    pub damaged: u64,
    /// Records that the file says it has; nothing where that cannot be read.
    pub expected: Option<u64>,
    /// When the oldest was written.
    #[serde(serialize_with = "timestamp")]
    pub oldest: Option<Stamp>,
    /// When the newest was written.
    #[serde(serialize_with = "timestamp")]
    pub newest: Option<Stamp>,
    /// Why reading stopped before the end, if it did.
    pub broken: Option<String>,
}

fn timestamp<S: Serializer>(stamp: &Option<Stamp>, serializer: S) -> Result<S::Ok, S::Error> {
    stamp.map(written).serialize(serializer)
}

/// A time as people read it.
#[must_use]
pub fn written(stamp: Stamp) -> String {
    DateTime::<Utc>::from(stamp.time()).to_rfc3339_opts(SecondsFormat::Millis, true)
}

impl Report {
    /// Whether everything is as it was written.
    #[must_use]
    pub fn sound(&self) -> bool {
        self.damage.is_empty() && self.tables.iter().all(TableReport::sound)
    }
}

impl TableReport {
    /// Whether everything is as it was written.
    #[must_use]
    pub fn sound(&self) -> bool {
        self.lost() == 0 && self.damaged == 0 && self.broken.is_none()
    }

    /// Records that should be there and cannot be read; those that are damaged among them.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.expected.map_or(self.damaged, |expected| expected.saturating_sub(self.rows).max(self.damaged))
    }

    fn saw(&mut self, key: &[u8], bytes: &[u8]) -> Option<Stamp> {
        let Some(record) = record::read(record::seed(&self.name), key, bytes) else {
            self.damaged += 1;
            return None;
        };
        self.rows += 1;
        self.bytes += (key.len() + bytes.len()) as u64;
        self.oldest = Some(self.oldest.map_or(record.stamp, |oldest| oldest.min(record.stamp)));
        self.newest = self.newest.max(Some(record.stamp));
        Some(record.stamp)
    }
}

/// A file cannot be looked at, or its copy not be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused.
    #[error("cannot {step} '{}'", path.display())]
    Io {
        /// What was tried.
        step: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// An engine has it open.
    #[error("'{}' is in use by a running engine; stop that first", .0.display())]
    Held(PathBuf),
    /// Nothing can be read from it.
    #[error("nothing can be read from '{}' ({why}); move it away, and the engine begins with an empty one", path.display())]
    Hopeless {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// There is something already where the copy shall be.
    #[error("'{}' is there already; move it away first", .0.display())]
    Taken(PathBuf),
    /// The copy cannot be written.
    #[error("cannot write '{}': {why}", path.display())]
    Copy {
        /// The copy.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

/// Reads every record of the file at `path`, which stays as it is.
///
/// # Errors
/// [`Error`]; damage is no error but what the report is for, as long as the file can be opened at all.
pub fn check(path: &Path) -> Result<Report, Error> {
    walk::walk(path, &mut |_, _, _, _| Ok(())).map(|(report, _)| report)
}

/// The path of the copy that [`salvage`] writes.
#[must_use]
pub fn salvaged(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".salvaged");
    name.into()
}

/// Copies every record of the file at `path` that is as it was written into a new file beside it; both stay.
///
/// # Errors
/// [`Error`]; an unfinished copy is removed.
pub fn salvage(path: &Path) -> Result<Report, Error> {
    let target = salvaged(path);
    if target.exists() {
        return Err(Error::Taken(target));
    }
    // Once to learn which tables there are, and once to copy them.
    let (report, highest) = walk::walk(path, &mut |_, _, _, _| Ok(()))?;
    let kind = report.kind.as_deref().or_else(|| path.file_name().and_then(|name| name.to_str()));
    let known = Schema::ALL.into_iter().find(|schema| Some(schema.kind) == kind);
    let Some(schema) = known else {
        let why = "neither its name nor what is in it says what it is for".to_owned();
        return Err(Error::Hopeless { path: path.to_owned(), why });
    };
    let schema = Schema { version: report.version.unwrap_or(schema.version), migrations: &[], ..schema };
    let copied = Copy::begin(&target, schema, &report).and_then(|mut copy| {
        let (report, _) = walk::walk(path, &mut |table, key, stamp, value| copy.take(table, key, stamp, value))?;
        copy.finish(&highest)?;
        Ok(report)
    });
    if copied.is_err() {
        let _ = fs::remove_file(&target);
    }
    copied
}

/// A file that is being filled.
struct Copy {
    path: PathBuf,
    disk: Disk,
    names: Vec<String>,
    group: Group,
}

/// Bytes in one transaction of a copy.
const PIECE: usize = 8 << 20;

impl Copy {
    fn begin(path: &Path, schema: Schema, report: &Report) -> Result<Copy, Error> {
        let names: Vec<String> = report.tables.iter().map(|table| table.name.clone()).collect();
        let specs = names.iter().map(|name| Spec { name: name.into(), quota: Quota::default() });
        let specs: Arc<[Spec]> = specs.collect();
        let disk = Disk::open(disk::file(path), schema, specs).map_err(|failure| unwritten(path, &failure))?;
        Ok(Copy { path: path.to_owned(), disk, names, group: Group::default() })
    }

    fn table(&self, name: &str) -> Option<Table> {
        let number = self.names.iter().position(|known| known == name)?;
        Some(Table { number: u16::try_from(number).ok()?, seed: record::seed(name) })
    }

    fn take(&mut self, table: &str, key: &[u8], stamp: Stamp, value: &[u8]) -> Result<(), Error> {
        if let Some(table) = self.table(table) {
            self.group.puts.put(table, key, stamp, |into| into.extend_from_slice(value));
        }
        if self.group.puts.bytes() < PIECE { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.disk.commit(&self.group, true).map_err(|failure| unwritten(&self.path, &failure))?;
        self.group.puts.clear();
        Ok(())
    }

    /// Numbers that were used once stay used, even where their records are gone.
    fn finish(mut self, highest: &[(String, Vec<u8>)]) -> Result<(), Error> {
        self.flush()?;
        let reached: Batch = highest.iter().fold(Batch::default(), |mut batch, (name, key)| {
            if let Some(table) = self.table(name).filter(|table| *key > self.disk.highest(table.number)) {
                batch.put(table, key, Stamp::default(), |_| ());
                batch.delete(table, key);
            }
            batch
        });
        self.group.puts = reached;
        self.flush()?;
        self.disk.close().map_err(|failure| unwritten(&self.path, &failure))
    }
}

fn unwritten(path: &Path, failure: &Failure) -> Error {
    Error::Copy { path: path.to_owned(), why: failure.to_string() }
}
