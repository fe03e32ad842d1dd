//! The dead letters of a running engine, as its admin API shows and removes them.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use super::{DeadLetterStatus, Engine};
use crate::dead_letter::{Archive, Selection};
use crate::store::Error;

impl Engine {
    /// The dead letters, to look into. Reading blocks for as long as the disk takes.
    #[must_use]
    pub fn dead_letters(&self) -> &Archive {
        &self.letters
    }

    /// Removes the dead letters that are meant and are there now, and answers how many.
    ///
    /// # Errors
    /// As [`Archive::purge`].
    pub async fn purge(&self, selection: &Selection) -> Result<u64, Error> {
        let purged = self.letters.purge(selection).await?;
        self.purged.fetch_add(purged, Ordering::Relaxed);
        tracing::info!(purged, "dead letters were removed as somebody asked");
        Ok(purged)
    }

    pub(super) fn dead_letter_status(&self) -> DeadLetterStatus {
        let usage = self.letters.usage();
        DeadLetterStatus {
            stored: usage.rows,
            bytes: usage.bytes,
            max_bytes: self.letters.quota().max_bytes,
            full: self.letters.is_full(),
            dropped: BTreeMap::from([("quota", usage.dropped)]),
            purged: self.purged.load(Ordering::Relaxed),
        }
    }
}
