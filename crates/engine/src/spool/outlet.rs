//! The end of a spool that hands events out, and who reads its books meanwhile.

use std::sync::Arc;

use super::state::Drawn;
use super::{Books, Entry, Shared};
use crate::store::{Batch, Confirmations, Error, Stamp, Ticket};

/// Reads what a spool is about while its ends are in other hands.
#[derive(Clone, Debug)]
pub struct Gauge(Arc<Shared>);

/// One reading of a spool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Where every event is.
    pub books: Books,
    /// Bytes of events that are not settled, as they lie in the file.
    pub bytes: u64,
    /// Bytes that there may be.
    pub max_bytes: u64,
    /// When the oldest event that is not settled was appended, as far as it is known without reading the disk.
    pub oldest: Option<Stamp>,
    /// The size of an event that waits until nothing else is there, because it is larger than [`Reading::max_bytes`].
    pub alone: Option<u64>,
}

impl Gauge {
    /// One reading.
    #[must_use]
    pub fn read(&self) -> Reading {
        let mut state = self.0.state.lock();
        let (bytes, max_bytes) = state.bytes();
        Reading { books: state.books(), bytes, max_bytes, oldest: state.oldest(), alone: state.alone() }
    }
}

/// The end that hands events out.
#[derive(Debug)]
pub struct Outlet {
    pub(super) shared: Arc<Shared>,
    frees: Batch,
    confirmations: Confirmations,
}

impl Outlet {
    pub(super) fn of(shared: Arc<Shared>) -> Outlet {
        let confirmations = shared.store.confirmations();
        Outlet { shared, frees: Batch::default(), confirmations }
    }

    /// Waits for at least one event and appends at most `up_to`, the oldest first, to `into`. They are in flight until
    /// they are settled or handed back. Cancel safe.
    ///
    /// # Errors
    /// [`Error`]: something that should be there is damaged or missing, or the store has ended.
    pub async fn next(&mut self, up_to: usize, into: &mut Vec<Entry>) -> Result<(), Error> {
        let shared = Arc::clone(&self.shared);
        loop {
            let ready = shared.ready.notified();
            tokio::pin!(ready);
            ready.as_mut().enable();
            let drawn = {
                let now = self.shared.now();
                let mut state = self.shared.state.lock();
                state.advance(&self.confirmations);
                state.draw(self.shared.table, up_to, now, into, &mut self.frees)
            };
            if !self.frees.is_empty() {
                self.free()?;
            }
            match drawn {
                Drawn::Some => return Ok(()),
                Drawn::Behind(span) => {
                    if let Some(span) = span {
                        shared.fetch(span);
                    }
                    ready.await;
                }
                Drawn::Broken(error) => return Err(error),
                Drawn::Level(Some(ticket)) => tokio::select! {
                    reached = self.confirmations.reach(ticket) => reached?,
                    () = ready => {}
                },
                Drawn::Level(None) => ready.await,
            }
        }
    }

    /// These events have had their effect: they are removed, soon. Answers below which every one has by now, and with which
    /// ticket that is on the disk.
    ///
    /// # Errors
    /// [`Error::Ended`]: they come again after the next start.
    pub fn settle(&mut self, sequences: &[u64]) -> Result<(u64, Ticket), Error> {
        let below = {
            let mut state = self.shared.state.lock();
            state.settle(self.shared.table, sequences, &mut self.frees);
            state.floor()
        };
        Ok((below, self.free()?))
    }

    /// Whether what has this ticket is on the disk.
    #[must_use]
    pub fn has(&self, ticket: Ticket) -> bool {
        self.confirmations.has(ticket)
    }

    fn free(&mut self) -> Result<Ticket, Error> {
        let ticket = self.shared.store.free(&mut self.frees)?;
        self.shared.room.notify_waiters();
        Ok(ticket)
    }

    /// These events stay and come again after the next start.
    pub fn hand_back(&mut self, sequences: &[u64]) {
        self.shared.state.lock().hand_back(sequences);
    }

    /// Everything that was taken and is not settled stays and comes again after the next start.
    pub fn hand_back_all(&mut self) {
        self.shared.state.lock().hand_back_all();
    }

    /// Who reads the books while the outlet is in other hands.
    #[must_use]
    pub fn gauge(&self) -> Gauge {
        Gauge(Arc::clone(&self.shared))
    }

    /// What the spool has done.
    #[must_use]
    pub fn books(&self) -> Books {
        self.shared.state.lock().books()
    }

    /// When the oldest event that is not settled was appended, as far as it is known without reading the disk.
    #[must_use]
    pub fn oldest(&self) -> Option<Stamp> {
        self.shared.state.lock().oldest()
    }
}
