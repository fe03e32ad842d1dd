//! What was begun and what was finished, remembered over restarts, where the file wants missed runs to be run.
//!
//! Written before a run is handed over and after it has ended. A run that is open in the record when the source starts had
//! begun when the engine died, and begins again with the same id.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The record of one source; without a state folder it remembers nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Record {
    path: Option<PathBuf>,
}

/// What a record says, in seconds since the beginning of 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entries {
    /// The last nominal time that was begun or skipped; nothing before the first start.
    pub(super) until: Option<i64>,
    /// The nominal times that were begun and have not ended.
    pub(super) open: BTreeSet<i64>,
}

impl Record {
    /// The record of the source `name` in the state folder.
    pub(super) fn new(state: Option<PathBuf>, name: &str) -> Record {
        let safe: String = name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect();
        Record { path: state.map(|folder| folder.join(format!("cron-{safe}.json"))) }
    }

    /// What it says.
    ///
    /// # Errors
    /// When the file is there and cannot be read, or is no record.
    pub(super) fn read(&self) -> io::Result<Entries> {
        let Some(path) = &self.path else { return Ok(Entries::default()) };
        match std::fs::read(path) {
            Ok(text) => Ok(serde_json::from_slice(&text)?),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(Entries::default()),
            Err(cause) => Err(cause),
        }
    }

    /// Remembers `entries`, on the disk when this returns. Blocks.
    ///
    /// # Errors
    /// When it cannot be written; the record is then what it was.
    pub(super) fn write(&self, entries: &Entries) -> io::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let fresh = path.with_extension("json.new");
        let mut file = std::fs::File::create(&fresh)?;
        file.write_all(&serde_json::to_vec(entries)?)?;
        file.sync_all()?;
        std::fs::rename(&fresh, path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let record = Record::new(Some(folder.path().into()), "night/ly");
        assert_eq!(record.read().unwrap(), Entries::default());
        let entries = Entries { until: Some(7200), open: [3600, 7200].into() };
        record.write(&entries).unwrap();
        assert_eq!(record.read().unwrap(), entries);
        std::fs::write(folder.path().join("cron-night_ly.json"), "{").unwrap();
        assert!(record.read().is_err());
        let nowhere = Record::default();
        nowhere.write(&entries).unwrap();
        assert_eq!(nowhere.read().unwrap(), Entries::default());
    }
}
