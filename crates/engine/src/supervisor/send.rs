//! Handing one event to a running source's triggers by hand, as if the source had received it.

use super::{Engine, UnknownSource};
use crate::delivery::{Inbox, Ledger, Outcome};
use crate::event::Event;

/// An event that was sent by hand was not taken over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// There is no such running source.
    #[error(transparent)]
    Unknown(#[from] UnknownSource),
    /// It was handed back unfinished.
    #[error("the engine is ending and did not finish the event; send it again")]
    HandedBack,
}

impl Engine {
    /// Routes `event` as one of source `name` and waits until every delivery of it has ended. It is counted where it
    /// matches and not at the source, which has not received it; a pause does not hold it up. Giving up waiting changes
    /// nothing.
    ///
    /// # Errors
    /// [`SendError`]; a rule that fails is no error of sending, its own delivery settings say what becomes of the event.
    pub async fn send(&self, name: &str, event: Event) -> Result<(), SendError> {
        let source = self.source(name)?;
        // Books of its own: the source's are about messages that its broker knows.
        let (mut intake, mut settlements) = Inbox::new(1, Ledger::default(), (source.route)()).split();
        let delivered = match intake.reserve(1).await {
            Ok(mut seats) => seats.deliver(event).is_ok(),
            Err(_) => false,
        };
        drop(intake);
        let mut settled = Vec::new();
        settlements.next(&mut settled).await;
        match settled.first() {
            Some((_, Outcome::Ack | Outcome::Reject)) if delivered => Ok(()),
            _ => Err(SendError::HandedBack),
        }
    }
}
