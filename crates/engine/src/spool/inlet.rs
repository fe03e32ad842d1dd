//! The end of a spool that takes events in, and those who hear on its behalf what is on the disk and where there is room.

use std::sync::Arc;

use tokio::time::sleep;

use super::state::{Admission, Pause};
use super::{Append, Books, Entry, Shared, entry};
use crate::event::Event;
use crate::store::{Batch, Confirmations, Error};

/// The end that takes events in.
#[derive(Debug)]
pub struct Inlet {
    pub(super) shared: Arc<Shared>,
    staged: Batch,
    commits: Commits,
}

impl Inlet {
    pub(super) fn of(shared: &Arc<Shared>) -> Inlet {
        Inlet { shared: Arc::clone(shared), staged: Batch::default(), commits: Commits::of(shared) }
    }

    /// Stages one event; `origin` says for people where it came from, such as a topic. Never waits, and reads nothing from
    /// the disk: where something has to go that lies there only, there is no room before [`Space::room`] has seen to it.
    pub fn append(&mut self, mut event: Event, origin: &str) -> Append {
        let now = self.shared.now();
        let mut gone = Batch::default();
        let mut state = self.shared.state.lock();
        let sequence = state.next();
        self.staged.put(self.shared.table, &sequence.to_be_bytes(), now, |into| entry::write(&event, origin, into));
        let size = self.staged.last_bytes();
        let mut admission = state.admit(size, now, self.shared.table, &mut gone);
        if !gone.is_empty() && self.shared.store.free(&mut gone).is_err() {
            // The store has ended, and nothing that is appended would be confirmed.
            admission = Admission::Later { news: false };
        }
        if admission == Admission::Yes {
            event.received_at(now);
            state.append(Entry { sequence, event, origin: origin.into(), received: now }, size);
            return Append::Accepted(sequence);
        }
        self.staged.undo();
        let too_large = match admission {
            Admission::Later { news } => {
                (news && state.alone().is_some()).then_some("waits until nothing else is there")
            }
            _ => state.is_first_oversized(size).then_some("is dropped, as each one will be"),
        };
        if let Some(fate) = too_large {
            let (spool, max_bytes) = (self.shared.store.name(self.shared.table), state.bytes().1);
            let id = event.id();
            tracing::warn!(%spool, %id, size, max_bytes, "an event larger than 'maxBytes' {fate}; make 'maxBytes' larger");
        }
        if admission == Admission::Never { Append::Dropped } else { Append::Full(event) }
    }

    /// What was refused last is not offered again.
    pub fn withdraw(&mut self) {
        self.shared.state.lock().withdraw();
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
    /// flushed and the store does not end. Cancel safe.
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
                None => tokio::select! {
                    () = ready => {}
                    ended = self.confirmations.ended() => return Err(ended),
                },
            }
        }
    }
}

/// Hears when what was refused may find room.
#[derive(Clone, Debug)]
pub struct Space(Arc<Shared>);

impl Space {
    /// Waits until it is worth while to try again what was refused last with [`Append::Full`]: there is room, or something
    /// can go for it, which may have to be read from the disk or to grow too old before. What may go has to be confirmed, of
    /// which [`Commits`] tells. Cancel safe.
    pub async fn room(&self) {
        loop {
            let room = self.0.room.notified();
            tokio::pin!(room);
            room.as_mut().enable();
            // What made room between the refusal and now is seen here.
            let pause = self.0.state.lock().pause(self.0.now());
            match pause {
                None => return,
                Some(Pause::Change(Some(expiry))) => tokio::select! {
                    () = room => {}
                    () = sleep(expiry) => return,
                },
                Some(Pause::Change(None)) => room.await,
                Some(Pause::Page(span)) => {
                    self.0.fetch(span);
                    room.await;
                }
            }
        }
    }

    /// [`Store::moved`](crate::store::Store::moved), after [`Inlet::try_flush`] has refused.
    pub fn moved(&self) -> impl Future<Output = ()> + '_ {
        self.0.store.moved()
    }
}
