//! Where results go. An output answers only once the far side has confirmed, so that a delivery is never done too early.

use std::fmt;
use std::time::Duration;

use super::BoxFuture;
use crate::event::Event;

/// A binding that publishes an event and answers once the far side has confirmed it.
pub trait Output: Send + Sync {
    /// Begins to publish `event`. Encodes what it needs before it returns; the confirmation may come later. Dropping a
    /// [`Confirm::Later`] gives up waiting, not necessarily publishing.
    fn publish(&self, event: &Event) -> Confirm;

    /// Flushes and closes after the last publish of the engine's life.
    ///
    /// # Errors
    /// What could not be flushed.
    fn close(&self) -> BoxFuture<'_, Result<(), PublishError>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// The far side's confirmation. An output that knows at once pays for no future.
pub enum Confirm {
    /// Known already.
    Now(Result<(), PublishError>),
    /// Known once this resolves.
    Later(BoxFuture<'static, Result<(), PublishError>>),
}

impl fmt::Debug for Confirm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Confirm::Now(result) => f.debug_tuple("Now").field(result).finish(),
            Confirm::Later(_) => f.write_str("Later"),
        }
    }
}

/// An event was not confirmed; the variant decides what becomes of the delivery.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// May work later.
    #[error("{error}")]
    Retry {
        /// The far side's wish, bounded by the rule's policy.
        after: Option<Duration>,
        /// What happened, to which object, lower case.
        error: String,
    },
    /// This event will never be accepted.
    #[error("{reason}")]
    Reject {
        /// What happened, to which object, lower case.
        reason: String,
    },
}
