//! The end of a spool that takes events in, and those who hear on its behalf what is on the disk and where there is room.

use std::sync::Arc;

use tokio::time::sleep;

use super::state::Admission;
use super::{Append, Books, Entry, Shared, entry};
use crate::event::Event;
use crate::store::{Batch, Confirmations, Error};

/// The end that takes events in.
#[derive(Debug)]
pub struct Inlet {
    shared: Arc<Shared>,
    staged: Batch,
    commits: Commits,
}

impl Inlet {
    pub(super) fn of(shared: &Arc<Shared>) -> Inlet {
        Inlet { shared: Arc::clone(shared), staged: Batch::default(), commits: Commits::of(shared) }
    }

    /// Stages one event; `origin` says for people where it came from, such as a topic. Never waits. With
    /// [`OnFull::DropOldest`](super::OnFull::DropOldest) it may read a page from the disk to learn what to drop.
    pub fn append(&mut self, event: Event, origin: &str) -> Append {
        let now = self.shared.now();
        let mut state = self.shared.state.lock();
        let sequence = state.next();
        self.staged.put(self.shared.table, &sequence.to_be_bytes(), now, |into| entry::write(&event, origin, into));
        let size = self.staged.last_bytes();
        match state.admit(&self.shared, size, now) {
            Admission::Yes => {
                state.append(Entry { sequence, event, origin: origin.into(), received: now }, size);
                Append::Accepted(sequence)
            }
            Admission::Never => {
                self.staged.undo();
                Append::Dropped
            }
            Admission::Later => {
                self.staged.undo();
                Append::Full(event)
            }
        }
    }

    /// Sends what is staged on its way to the disk. Cancel safe: what was not sent stays staged.
    ///
    /// # Errors
    /// [`Error::Ended`].
    pub async fn flush(&mut self) -> Result<(), Error> {
        if self.staged.is_empty() {
            return Ok(());
        }
        let ticket = self.shared.store.write(&mut self.staged).await?;
        self.shared.state.lock().sent(ticket);
        self.shared.ready.notify_waiters();
        Ok(())
    }

    /// [`Inlet::flush`] without waiting; answers whether nothing is staged any more.
    ///
    /// # Errors
    /// [`Error::Ended`].
    pub fn try_flush(&mut self) -> Result<bool, Error> {
        if self.staged.is_empty() {
            return Ok(true);
        }
        let Some(ticket) = self.shared.store.try_write(&mut self.staged)? else { return Ok(false) };
        self.shared.state.lock().sent(ticket);
        self.shared.ready.notify_waiters();
        Ok(true)
    }

    /// [`Commits::next`] for somebody who has nobody else wait for it.
    ///
    /// # Errors
    /// [`Error::Ended`]: what is not confirmed by now never will be.
    pub async fn confirmed(&mut self) -> Result<u64, Error> {
        self.commits.next().await
    }

    /// Who hears of confirmations while the inlet is in other hands.
    #[must_use]
    pub fn commits(&self) -> Commits {
        Commits::of(&self.shared)
    }

    /// Who hears of room while the inlet is in other hands.
    #[must_use]
    pub fn space(&self) -> Space {
        Space(Arc::clone(&self.shared))
    }

    /// The first sequence that is not known to be confirmed.
    #[must_use]
    pub fn confirmed_below(&self) -> u64 {
        let mut state = self.shared.state.lock();
        state.advance(&self.commits.confirmations);
        state.end()
    }

    /// [`Space::room`].
    pub async fn room(&self) {
        self.space().room().await;
    }

    /// What the spool has done.
    #[must_use]
    pub fn books(&self) -> Books {
        self.shared.state.lock().books()
    }
}

/// Hears which appends are on the disk.
#[derive(Debug)]
pub struct Commits {
    shared: Arc<Shared>,
    confirmations: Confirmations,
    /// What was answered last.
    told: u64,
}

impl Commits {
    fn of(shared: &Arc<Shared>) -> Commits {
        let told = shared.state.lock().end();
        Commits { shared: Arc::clone(shared), confirmations: shared.store.confirmations(), told }
    }

    /// Waits until more of what was flushed is confirmed; answers the first sequence that is not. For ever, if nothing was
    /// flushed. Cancel safe.
    ///
    /// # Errors
    /// [`Error::Ended`]: what is not confirmed by now never will be.
    pub async fn next(&mut self) -> Result<u64, Error> {
        loop {
            let ready = self.shared.ready.notified();
            tokio::pin!(ready);
            ready.as_mut().enable();
            let (end, oldest) = {
                let mut state = self.shared.state.lock();
                state.advance(&self.confirmations);
                (state.end(), state.oldest_ticket())
            };
            if end > self.told {
                self.told = end;
                self.shared.ready.notify_waiters();
                return Ok(end);
            }
            match oldest {
                Some(ticket) => self.confirmations.reach(ticket).await?,
                None => ready.await,
            }
        }
    }
}

/// Hears when what was refused may find room.
#[derive(Clone, Debug)]
pub struct Space(Arc<Shared>);

impl Space {
    /// Waits until there is room for what was refused last with [`Append::Full`], or until the oldest that waits has grown
    /// too old and would make some. Cancel safe.
    pub async fn room(&self) {
        loop {
            let room = self.0.room.notified();
            tokio::pin!(room);
            room.as_mut().enable();
            // What made room between the refusal and now is seen here.
            let expiry = {
                let state = self.0.state.lock();
                if state.roomy() {
                    return;
                }
                state.expiry(self.0.now())
            };
            match expiry {
                None => room.await,
                Some(expiry) => tokio::select! {
                    () = room => {}
                    () = sleep(expiry) => return,
                },
            }
        }
    }

    /// [`Store::moved`](crate::store::Store::moved), after [`Inlet::try_flush`] has refused.
    pub fn moved(&self) -> impl Future<Output = ()> + '_ {
        self.0.store.moved()
    }
}
