//! Where dead letters lie: a table of a state file, to look into and to remove from, in a running engine or in the folder of
//! one that is stopped.
//!
//! Decision: **it never waits for a quota**. What dies is written however much there is; where the quota says that nothing is
//! dropped, whoever writes too much is told, and begins nothing new until there is room.

mod outbox;
mod tending;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use super::{Id, Letter, Selection};
use crate::event::Text;
use crate::store::{Batch, Error, OnFull, OpenError, Quota, Schema, Settings, Stamp, Store, Table, Usage};
pub use outbox::{Addressees, Post};
pub(super) use outbox::{Fate, Found, Outbox};
pub use tending::{EditError, ImportError, Imported};

/// The file in a state folder.
pub const FILE: &str = Schema::DELIVERIES.kind;
/// The table in it.
const TABLE: &str = "deadLetters";
/// Letters that one scan takes into memory at most, in bytes of their records: payloads may be large.
const PAGE_BYTES: usize = 8 << 20;
/// Removals in one write.
const PIECE: usize = 4096;

/// The dead letters of one state folder.
#[derive(Clone, Debug)]
pub struct Archive {
    store: Store,
    table: Table,
    /// What became of letters that an output was to have besides.
    marks: Table,
    outboxes: Arc<[Outbox]>,
    quota: Quota,
}

/// A piece of a list, the oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The letters that are meant.
    pub letters: Vec<(Id, Letter)>,
    /// Where to go on, if there may be more.
    pub next: Option<Id>,
}

/// What is counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Those that died for the same reason.
    Reason,
    /// Those of the same rule; those of none are counted under their source.
    Rule,
    /// Those of the same function.
    Function,
}

/// Letters that have something in common.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Group {
    /// What they have in common; nothing where it is that they have none.
    pub name: Option<Text>,
    /// How many there are.
    pub count: u64,
    /// When the oldest was given up, RFC 3339.
    pub oldest: String,
    /// When the newest was.
    pub newest: String,
}

impl By {
    /// Reads `reason`, `rule` or `function`.
    ///
    /// # Errors
    /// A sentence that says what to write.
    pub fn read(text: &str) -> Result<By, String> {
        match text {
            "reason" => Ok(By::Reason),
            "rule" => Ok(By::Rule),
            "function" => Ok(By::Function),
            _ => Err(format!("'{}' groups nothing; write reason, rule or function", text.escape_debug())),
        }
    }

    fn of(self, letter: &Letter) -> Option<Text> {
        match self {
            By::Reason => Some(Text::new_static(letter.reason.name())),
            By::Rule => letter.rule.clone().or_else(|| Some(format!("source {}", letter.source.as_deref()?).into())),
            By::Function => letter.function.clone(),
        }
    }
}

impl Archive {
    /// Opens the file of a stopped engine, whose folder the caller has locked.
    ///
    /// # Errors
    /// [`OpenError`] when it cannot be used.
    pub fn open(folder: &Path) -> Result<Archive, OpenError> {
        let path = folder.join(FILE);
        let store = Store::open(
            &path,
            Schema::DELIVERIES,
            Archive::specs(Quota::default(), &Addressees::default()),
            Settings::default(),
        )?;
        let why = "it has no table of dead letters".into();
        Archive::of(&store, Quota::default(), &Addressees::default()).ok_or(OpenError::Refused { path, why })
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    /// Writes what waits and closes the file.
    ///
    /// # Errors
    /// [`Error::Ended`] when something that was accepted could not be written.
    pub async fn close(&self) -> Result<(), Error> {
        self.store.close().await
    }

    /// How much there is, and how much the quota has dropped.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.store.usage(self.table)
    }

    /// How much there may be.
    #[must_use]
    pub fn quota(&self) -> Quota {
        self.quota
    }

    /// Whether there is more than there may be, and nothing may be dropped for it.
    #[must_use]
    pub fn is_full(&self) -> bool {
        let max = self.quota.max_bytes.filter(|_| self.quota.on_full == OnFull::Block);
        max.is_some_and(|max| self.usage().bytes + self.untold() >= max)
    }

    /// Waits until [`Archive::is_full`] says no. Cancel safe.
    pub async fn room(&self) {
        loop {
            // Listens before it looks.
            let moved = self.store.moved();
            if !self.is_full() {
                return;
            }
            moved.await;
        }
    }

    /// The name that was given last.
    #[must_use]
    pub fn newest(&self) -> Option<Id> {
        Id::of(&self.store.highest(self.table))
    }

    /// Shows letters that are meant, from the key `from` on, until `visit` breaks. Blocks for as long as the disk takes.
    fn scan(
        &self,
        selection: &Selection,
        from: &[u8],
        mut visit: impl FnMut(Id, Letter, usize) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let mut unreadable = None;
        let mut each = |key: &[u8], value: &[u8]| match (Id::of(key), Letter::unpack(value)) {
            (Some(id), Ok(letter)) if selection.takes(id, &letter) => visit(id, letter, key.len() + value.len()),
            (Some(_), Ok(_)) => ControlFlow::Continue(()),
            _ => {
                unreadable = Some(key.to_vec());
                ControlFlow::Break(())
            }
        };
        match selection.ids() {
            None => self.store.scan(self.table, from, None, |key, record| each(key, record.value))?,
            Some(ids) => {
                for key in ids.into_iter().map(Id::key).filter(|key| key.as_slice() >= from) {
                    if let Some((_, value)) = self.store.get(self.table, &key)?
                        && each(&key, &value).is_break()
                    {
                        break;
                    }
                }
            }
        }
        unreadable.map_or(Ok(()), |key| Err(self.store.damaged(self.table, key)))
    }

    /// At most `limit` of the letters that are meant, the oldest first, behind `after`; fewer where they are large. Blocks for
    /// as long as the disk takes.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Unreadable`] or [`Error::Away`].
    pub fn page(&self, selection: &Selection, after: Option<Id>, limit: usize) -> Result<Page, Error> {
        let (mut page, mut bytes) = (Page::default(), 0);
        let from = after.map_or([0; 8], Id::behind);
        self.scan(selection, &from, |id, letter, size| {
            page.letters.push((id, letter));
            bytes += size;
            if page.letters.len() < limit && bytes < PAGE_BYTES {
                return ControlFlow::Continue(());
            }
            page.next = Some(id);
            ControlFlow::Break(())
        })?;
        self.look_up(&mut page)?;
        Ok(page)
    }

    /// Counts the letters that are meant by what they have in common, the largest group first. Blocks for as long as the disk
    /// takes.
    ///
    /// # Errors
    /// As [`Archive::page`].
    pub fn groups(&self, selection: &Selection, by: By) -> Result<Vec<Group>, Error> {
        let mut groups: BTreeMap<Option<Text>, (u64, Stamp, Stamp)> = BTreeMap::new();
        self.scan(selection, &[], |_, letter, _| {
            let (count, oldest, newest) = groups.entry(by.of(&letter)).or_insert((0, letter.last, letter.last));
            *count += 1;
            (*oldest, *newest) = ((*oldest).min(letter.last), (*newest).max(letter.last));
            ControlFlow::Continue(())
        })?;
        let written = super::shown::timestamp;
        let group =
            |(name, (count, oldest, newest))| Group { name, count, oldest: written(oldest), newest: written(newest) };
        let mut groups: Vec<Group> = groups.into_iter().map(group).collect();
        groups.sort_by_key(|group| std::cmp::Reverse(group.count));
        Ok(groups)
    }

    /// How many letters are meant. Blocks for as long as the disk takes.
    ///
    /// # Errors
    /// As [`Archive::page`].
    pub fn count(&self, selection: &Selection) -> Result<u64, Error> {
        let mut count = 0;
        self.scan(selection, &[], |_, _, _| {
            count += 1;
            ControlFlow::Continue(())
        })?;
        Ok(count)
    }

    /// Removes these letters, of which it is said what output they were to go to besides, and answers once that is on the
    /// disk.
    ///
    /// # Errors
    /// [`Error::Ended`].
    pub(crate) async fn remove(&self, letters: &[(Id, Option<Text>)]) -> Result<(), Error> {
        if letters.is_empty() {
            return Ok(());
        }
        let mut batch = Batch::default();
        letters.iter().for_each(|(id, output)| self.take_away(&mut batch, *id, output.as_deref()));
        let ticket = self.store.free(&mut batch)?;
        self.store.confirmations().reach(ticket).await
    }

    /// Removes the letters that are meant and are there now, and answers how many, once that is on the disk. Reading is done
    /// by tokio's blocking threads.
    ///
    /// # Errors
    /// As [`Archive::page`], or [`Error::Ended`]; what was removed before is removed.
    pub async fn purge(&self, selection: &Selection) -> Result<u64, Error> {
        let (mut purged, mut after) = (0, None);
        // What dies meanwhile, perhaps because there is room again, was not meant.
        let Some(newest) = self.newest() else { return Ok(0) };
        loop {
            let (archive, selection) = (self.clone(), selection.clone());
            let found = tokio::task::spawn_blocking(move || archive.names(&selection, after, newest)).await;
            let names = found.map_err(|panic| self.store.unreadable(&panic.to_string()))??;
            let Some((last, _)) = names.last() else { return Ok(purged) };
            after = Some(*last);
            self.remove(&names).await?;
            purged += names.len() as u64;
        }
    }

    /// A piece of the names of those that are meant, behind `after` and up to `newest`.
    fn names(&self, selection: &Selection, after: Option<Id>, newest: Id) -> Result<Vec<(Id, Option<Text>)>, Error> {
        let mut names = Vec::new();
        let from = after.map_or([0; 8], Id::behind);
        self.scan(selection, &from, |id, letter, _| {
            if id > newest {
                return ControlFlow::Break(());
            }
            names.push((id, letter.forward.map(|forward| forward.output)));
            if names.len() < PIECE { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        Ok(names)
    }
}
