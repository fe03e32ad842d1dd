//! What is to go to outputs besides, beside the letters themselves: for each output an index of the letters that wait for it,
//! and one table of what became of the others.
//!
//! Decisions: a letter and its place in the index are **written together**, so that none is forgotten, whoever is killed when;
//! the index holds names only, so that whoever forwards reads what waits and nothing else; and forwarding **never writes a
//! letter**, so that one which is removed meanwhile cannot come back. What outlives its letter is found where it is come upon.

use std::ops::ControlFlow;
use std::sync::Arc;

use tokio::sync::Notify;

use super::{Archive, PAGE_BYTES, Page, TABLE};
use crate::dead_letter::{Id, Letter, Progress};
use crate::event::Text;
use crate::store::{Batch, Error, Quota, Spec, Stamp, Store, Table};

/// What the tables of outputs begin with.
const WAITING: &str = "outbox/";
/// The table of what does not wait any more.
const MARKS: &str = "forwarded";

/// Letters that wait for one output.
#[derive(Clone, Debug)]
pub(crate) struct Outbox {
    output: Text,
    table: Table,
    /// Told when a letter was added.
    news: Arc<Notify>,
}

/// A letter that waits.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) id: Id,
    /// When it was given up.
    pub(crate) last: Stamp,
    /// Nothing if it has been removed; the sentence of one that cannot be read.
    pub(crate) letter: Option<Result<Letter, String>>,
}

/// What became of a letter that waited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is not there any more.
    Gone,
    /// It waits no more.
    Over(Progress),
}

impl Outbox {
    /// Waits for a letter that was added since this was last asked. Cancel safe.
    pub(crate) async fn news(&self) {
        self.news.notified().await;
    }
}

impl Archive {
    /// What has to be asked of a store that holds dead letters, some of which go to these outputs.
    #[must_use]
    pub fn specs<'o>(quota: Quota, outputs: impl IntoIterator<Item = &'o Text>) -> Vec<Spec> {
        let letters = Spec { name: Text::new_static(TABLE), quota };
        // As old as their letters, and never more.
        let beside = Quota { max_age: quota.max_age, ..Quota::default() };
        let marks = Spec { name: Text::new_static(MARKS), quota: beside };
        let waiting = |output: &Text| Spec { name: format!("{WAITING}{output}").into(), quota: beside };
        let waiting: Vec<Spec> = outputs.into_iter().map(waiting).collect();
        [letters, marks].into_iter().chain(waiting).collect()
    }

    /// The dead letters in a store that was opened with [`Archive::specs`] for these outputs.
    #[must_use]
    pub fn of<'o>(store: &Store, quota: Quota, outputs: impl IntoIterator<Item = &'o Text>) -> Option<Archive> {
        let outbox = |output: &Text| {
            let table = store.table(&format!("{WAITING}{output}"))?;
            Some(Outbox { output: output.clone(), table, news: Arc::default() })
        };
        let outboxes = outputs.into_iter().map(outbox).collect::<Option<Arc<[Outbox]>>>()?;
        let (table, marks) = (store.table(TABLE)?, store.table(MARKS)?);
        Some(Archive { store: store.clone(), table, marks, outboxes, quota })
    }

    /// Outputs that nobody opened the store for, and how many letters wait for each.
    #[must_use]
    pub fn stranded(&self) -> Vec<(Text, u64)> {
        let strangers = self.store.strangers().iter().filter(|(_, rows)| *rows > 0);
        strangers.filter_map(|(name, rows)| Some((name.strip_prefix(WAITING)?.into(), *rows))).collect()
    }

    pub(crate) fn outbox(&self, output: &str) -> Option<&Outbox> {
        self.outboxes.iter().find(|outbox| outbox.output == output)
    }

    /// How many letters wait for this output, as of the last transaction.
    #[must_use]
    pub fn waiting(&self, output: &str) -> u64 {
        self.outbox(output).map_or(0, |outbox| self.store.usage(outbox.table).rows)
    }

    /// Adds a letter to what is to be written, and to what waits.
    pub(in crate::dead_letter) fn add(&self, batch: &mut Batch, id: Id, letter: &Letter) {
        batch.put(self.table, &id.key(), letter.last, |into| letter.pack(into));
        if let Some(outbox) = letter.forward.as_ref().and_then(|forward| self.outbox(&forward.output)) {
            batch.put(outbox.table, &id.key(), letter.last, |_| ());
        }
    }

    /// Says that a letter for this output is on the disk.
    pub(in crate::dead_letter) fn wake(&self, output: &str) {
        if let Some(outbox) = self.outbox(output) {
            outbox.news.notify_one();
        }
    }

    /// Takes everything of a letter away.
    pub(super) fn take_away(&self, batch: &mut Batch, id: Id, output: Option<&str>) {
        batch.delete(self.table, &id.key());
        if let Some(output) = output {
            batch.delete(self.marks, &id.key());
            if let Some(outbox) = self.outbox(output) {
                batch.delete(outbox.table, &id.key());
            }
        }
    }

    /// Fills in how far the letters of a page are.
    pub(super) fn look_up(&self, page: &mut Page) -> Result<(), Error> {
        for (id, letter) in &mut page.letters {
            let Some(forward) = &mut letter.forward else { continue };
            let key = id.key();
            if let Some((_, value)) = self.store.get(self.marks, &key)? {
                forward.progress =
                    Progress::unpack(&value).map_err(|_| self.store.damaged(self.marks, key.to_vec()))?;
            }
        }
        Ok(())
    }

    /// The next letters that wait, the oldest first; fewer where they are large. Blocks for as long as the disk takes.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Unreadable`] or [`Error::Away`].
    pub(crate) fn next(&self, outbox: &Outbox, limit: usize) -> Result<Vec<Found>, Error> {
        let mut waiting = Vec::new();
        self.store.scan(outbox.table, &[], None, |key, record| {
            waiting.extend(Id::of(key).map(|id| (id, record.stamp)));
            if waiting.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        let (mut found, mut bytes) = (Vec::with_capacity(waiting.len()), 0);
        for (id, last) in waiting {
            let letter = match self.store.get(self.table, &id.key()) {
                Ok(None) => None,
                Ok(Some((_, value))) => {
                    bytes += value.len();
                    let damaged = || self.store.damaged(self.table, id.key().to_vec()).to_string();
                    Some(Letter::unpack(&value).map_err(|_| damaged()))
                }
                Err(error @ Error::Damaged { .. }) => Some(Err(error.to_string())),
                Err(error) => return Err(error),
            };
            found.push(Found { id, last, letter });
            if bytes >= PAGE_BYTES {
                break;
            }
        }
        Ok(found)
    }

    /// Adds to what is to be written what became of letters that waited.
    pub(crate) fn settle(&self, batch: &mut Batch, outbox: &Outbox, id: Id, last: Stamp, fate: &Fate) {
        batch.delete(outbox.table, &id.key());
        if let Fate::Over(progress) = fate {
            batch.put(self.marks, &id.key(), last, |into| progress.pack(into));
        }
    }

    /// Takes away what is known of letters that a quota has removed, or somebody while they were on their way. Blocks for as
    /// long as the disk takes, which is rarely asked for.
    ///
    /// # Errors
    /// As [`Archive::next`], or [`Error::Ended`].
    pub(crate) fn sweep(&self) -> Result<(), Error> {
        if self.store.usage(self.marks).rows <= self.usage().rows {
            return Ok(());
        }
        let mut oldest = None;
        self.store.scan(self.table, &[], None, |key, _| {
            oldest = Some(key.to_vec());
            ControlFlow::Break(())
        })?;
        let oldest = oldest.or_else(|| Some(self.newest()?.behind().to_vec())).unwrap_or_default();
        let mut batch = Batch::default();
        batch.delete_range(self.marks, &[], &oldest);
        self.store.free(&mut batch).map(drop)
    }
}
