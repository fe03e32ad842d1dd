//! Handing one event to a running source's triggers by hand, as if the source had received it.

use std::sync::Arc;

use super::{Engine, UnknownSource};
use crate::delivery::{Inbox, Ledger, Outcome};
use crate::event::Event;

/// An event that was sent by hand was not taken over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// There is no such running source.
    #[error(transparent)]
    Unknown(#[from] UnknownSource),
    /// Too many of them are not finished.
    #[error("{SENDS_MAX} events that were sent by hand are not finished; 'tidemill status' shows which rule is stuck")]
    Full,
    /// It was handed back unfinished, or not taken at all.
    #[error("the engine is ending and did not finish the event; send it again")]
    HandedBack,
}

/// Events that were sent by hand and are not finished, at most.
pub(super) const SENDS_MAX: usize = 64;

impl Engine {
    /// Takes `event` as one of source `name`, and waits until every delivery of it has ended or, where the source has a
    /// spool, until it is durable there. It is counted where it matches and in the spool, and not at the source, which has
    /// not received it; a pause does not hold it up. Giving up waiting changes nothing.
    ///
    /// # Errors
    /// [`SendError`]; a rule that fails is no error of sending, its own delivery settings say what becomes of the event.
    pub async fn send(&self, name: &str, event: Event) -> Result<(), SendError> {
        let source = self.source(name)?;
        let route = source.route.upgrade().filter(|_| !self.is_draining());
        let route = route.ok_or(SendError::HandedBack)?;
        let place = Arc::clone(&self.sends).try_acquire_owned().map_err(|_| SendError::Full)?;
        // Books of its own: the source's are about messages that its broker knows.
        let (mut intake, mut settlements) = Inbox::new(1, Ledger::default(), route()).split();
        drop(route);
        let delivered = match intake.reserve(1).await {
            Ok(mut seats) => seats.deliver(event).is_ok(),
            Err(_) => false,
        };
        drop(intake);
        // A task of its own: the place is free once the event is done, whether somebody waits for that or not.
        let outcome = tokio::spawn(async move {
            let mut settled = Vec::new();
            settlements.next(&mut settled).await;
            drop(place);
            settled.first().map(|(_, outcome)| *outcome)
        });
        match outcome.await {
            Ok(Some(Outcome::Ack | Outcome::Reject)) if delivered => Ok(()),
            _ => Err(SendError::HandedBack),
        }
    }
}
