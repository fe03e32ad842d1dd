//! What somebody puts into the archive by hand: letters of an export, and another event in a letter's place.
//!
//! Decisions: **a letter that comes back keeps its name**, so that bringing an export twice changes nothing; and an edit
//! **says which version it is of**, so that of two at once one is told.

use tokio::task::spawn_blocking;

use super::Archive;
use crate::dead_letter::shown::is_ours;
use crate::dead_letter::{Content, Id, Letter, send};
use crate::event::Event;
use crate::store::{Batch, Error, Stamp};

/// What became of letters that somebody brought.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Imported {
    /// Were added.
    pub imported: u64,
    /// Were there already, and are as they were.
    pub duplicates: u64,
}

/// No letter was added.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A line is no letter.
    #[error("line {line} is no dead letter as 'tidemill dlq export' writes it: {why}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
    /// It would be mixed up with letters to come.
    #[error("dead letter '{0}' is of the future; set the clock right, or wait")]
    Future(Id),
    /// There are more than there may be.
    #[error(
        "there are as many dead letters as there may be; 'tidemill dlq purge' makes room, or raise state.quotas.deadLetters.maxBytes"
    )]
    Full,
    /// The file cannot be read or written.
    #[error(transparent)]
    Store(#[from] Error),
}

/// A letter was not edited.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// There is none of this name.
    #[error("there is no dead letter '{0}'; it may have been removed")]
    Unknown(Id),
    /// It is no event.
    #[error("dead letter '{0}' is no event, and stays as it came")]
    Raw(Id),
    /// Somebody else has edited it since.
    #[error("dead letter '{0}' was edited by somebody else meanwhile; look at it again")]
    Changed(Id),
    /// Letters are being replayed or purged.
    #[error("dead letters are being replayed or purged; edit when that is done")]
    Busy,
    /// The file cannot be read or written.
    #[error(transparent)]
    Store(#[from] Error),
}

impl Archive {
    /// Adds the letters of an export, a line each, all or none; empty lines count for nothing. `now` is the time.
    ///
    /// # Errors
    /// [`ImportError`].
    pub async fn import(&self, lines: &str, now: Stamp) -> Result<Imported, ImportError> {
        if self.is_full() {
            return Err(ImportError::Full);
        }
        let mut letters = Vec::new();
        for (number, line) in lines.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let (id, letter) = Letter::read_json(line).map_err(|why| ImportError::Line { line: number + 1, why })?;
            if !id.is_before(now) {
                return Err(ImportError::Future(id));
            }
            letters.push((id, letter));
        }
        // The same one twice in one piece is the same as one that is there.
        letters.sort_by_key(|(id, _)| *id);
        let brought = letters.len();
        letters.dedup_by_key(|(id, _)| *id);
        let archive = self.clone();
        let fresh = spawn_blocking(move || archive.strangers(letters)).await;
        let fresh = fresh.map_err(|panic| self.store.unreadable(&panic.to_string()))??;
        let (imported, mut batch) = (fresh.len(), Batch::default());
        fresh.iter().for_each(|(id, letter)| self.add(&mut batch, *id, letter));
        self.write(&mut batch).await?;
        Ok(Imported { imported: imported as u64, duplicates: (brought - imported) as u64 })
    }

    /// Those that are not there.
    fn strangers(&self, letters: Vec<(Id, Letter)>) -> Result<Vec<(Id, Letter)>, Error> {
        let mut fresh = Vec::with_capacity(letters.len());
        for (id, letter) in letters {
            if self.store.get(self.table, &id.key())?.is_none() {
                fresh.push((id, letter));
            }
        }
        Ok(fresh)
    }

    /// Puts `event` in the place of a letter's own, if that was edited `edits` times until now; answers how often it was
    /// edited by then. Attributes that an earlier death has left stay. Nobody removes letters meanwhile.
    ///
    /// # Errors
    /// [`EditError`].
    pub async fn edit(&self, id: Id, edits: u32, mut event: Event) -> Result<u32, EditError> {
        let archive = self.clone();
        let found = spawn_blocking(move || archive.store.get(archive.table, &id.key())).await;
        let found = found.map_err(|panic| self.store.unreadable(&panic.to_string()))??;
        let (_, value) = found.ok_or(EditError::Unknown(id))?;
        let damaged = || self.store.damaged(self.table, id.key().to_vec());
        let mut letter = Letter::unpack(&value).map_err(|_| damaged())?;
        let Content::Event(before) = &letter.content else { return Err(EditError::Raw(id)) };
        if letter.edits != edits {
            return Err(EditError::Changed(id));
        }
        event.edit().remove_extensions(is_ours);
        for (name, value) in before.extensions().iter().filter(|(name, _)| is_ours(name.as_str())) {
            event.edit().extension(name.clone(), value.clone());
        }
        letter.edits = edits.saturating_add(1);
        letter.content = Content::Event(event);
        let mut batch = Batch::default();
        // Not to its output again, if it is there: only what was given up goes there, and that once.
        batch.put(self.table, &id.key(), letter.last, |into| letter.pack(into));
        self.write(&mut batch).await?;
        Ok(letter.edits)
    }

    async fn write(&self, batch: &mut Batch) -> Result<(), Error> {
        if batch.is_empty() {
            return Ok(());
        }
        let ticket = send(&self.store, batch).await?;
        self.store.confirmations().reach(ticket).await
    }
}
