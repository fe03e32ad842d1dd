//! User code, whatever runs it, and the one verdict protocol.

use std::time::Duration;

use smallvec::SmallVec;
use tokio::time::Instant;

use super::BoxFuture;
use crate::event::{Event, Text};

/// Something that can start workers: a name in a native registry, a component, a command, an endpoint.
pub trait Function: Send + Sync {
    /// Starts one worker. May take long; the pool backs off after a failure.
    ///
    /// # Errors
    /// [`StartError`] when no worker could be started.
    fn start(&self) -> BoxFuture<'_, Result<Box<dyn Worker>, StartError>>;
}

/// One running copy of a function. It is called by as many callers at once as the pool's `concurrency` says.
pub trait Worker: Send + Sync {
    /// Judges `events`, at least one, and answers one verdict for each in the same order. The engine stops waiting at
    /// `call.deadline` and counts missing verdicts as failures; a panic is contained and counts as one too.
    fn call<'a>(&'a self, events: &'a [Event], call: &'a Call) -> BoxFuture<'a, Verdicts>;
}

/// One verdict per event of a call.
pub type Verdicts = SmallVec<[Verdict; 1]>;

/// What goes with the events of one call.
#[derive(Clone, Debug)]
pub struct Call {
    /// `trigger/rule` on whose behalf.
    pub rule: Text,
    /// 1 for the first attempt; of a batch the highest.
    pub attempt: u32,
    /// When the engine stops waiting.
    pub deadline: Instant,
}

/// What a function says of one event.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Handled; these events go to the rule's outputs.
    Done(Vec<Event>),
    /// Failed now, may work later.
    Retry {
        /// The function's own wish, bounded by the rule's policy; `None` leaves it to the policy.
        after: Option<Duration>,
        /// Why, lower case.
        error: String,
    },
    /// Will never work: the event is put aside with this reason.
    Reject {
        /// Why, lower case.
        reason: String,
    },
    /// Nobody wants it: counted, not kept.
    Drop,
}

/// A worker did not start.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct StartError {
    /// What happened and what to do, lower case.
    pub message: String,
    /// The cause.
    #[source]
    pub cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}
