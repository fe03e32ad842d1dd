//! Where results go. An output answers only once the far side has confirmed, so that a delivery is never done too early.
//!
//! The decision embodied here: **a confirmation costs no future and no allocation**. Whoever publishes gives every event an
//! [`Offer`]; an output that does not know at once what becomes of the event takes the offer's [`Ticket`](super::Ticket),
//! keeps it with the event in whatever window it has, and answers it from any thread. What has been answered is collected in
//! batches.
//!
//! A ticket that is dropped is an answer too: [`PublishError::Retry`]. So an output can lose nothing by forgetting it, and
//! nobody waits for ever for a task that has died.
//!
//! An output whose far side confirms what it was sent by number, as most brokers do:
//!
//! ```
//! use std::collections::VecDeque;
//! use std::sync::Mutex;
//!
//! use engine::event::Event;
//! use engine::port::{Confirm, Offer, Output, Ticket, confirmed};
//!
//! /// What was sent and is not confirmed, in the order of sending.
//! #[derive(Default)]
//! struct Window(Mutex<VecDeque<Ticket>>);
//!
//! impl Output for Window {
//!     fn publish(&self, event: &Event, offer: Offer<'_>) -> Confirm {
//!         let (ticket, later) = offer.accept();
//!         let mut open = self.0.lock().expect("no panic");
//!         // Here the event's bytes would be encoded and put on their way, as number `open.len()`.
//!         let _ = event.data();
//!         open.push_back(ticket);
//!         later
//!     }
//! }
//!
//! impl Window {
//!     /// The far side says that it has the first `count` of them.
//!     fn confirmed(&self, count: usize) {
//!         let mut open = self.0.lock().expect("no panic");
//!         Ticket::answer_all(&mut open.drain(..count).map(|ticket| (ticket, Ok(()))).collect());
//!     }
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let (window, event) = (Window::default(), Event::new("1".into(), "/a".into(), "t".into()).expect("valid"));
//! let waiting = confirmed(&window, &event);
//! window.confirmed(1);
//! assert_eq!(waiting.await, Ok(()));
//! let waiting = confirmed(&window, &event);
//! drop(window);
//! assert!(waiting.await.is_err(), "it was given up");
//! # });
//! ```

use std::time::Duration;

use super::BoxFuture;
use super::ticket::{Confirmations, Offer, Promise};
use crate::event::Event;

/// A binding that publishes an event and answers once the far side has confirmed it.
pub trait Output: Send + Sync {
    /// Begins to publish `event`. Encodes what it needs before it returns; never waits. The answer is returned, or promised
    /// by taking the ticket of `offer`. Several rules may share an output, and each ticket knows its own.
    fn publish(&self, event: &Event, offer: Offer<'_>) -> Confirm;

    /// Flushes and closes after the last publish of the engine's life. Tickets that are not answered by its end are dropped
    /// with the output.
    ///
    /// # Errors
    /// What could not be flushed.
    fn close(&self) -> BoxFuture<'_, Result<(), PublishError>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// What an output says of an event when it has taken it.
#[derive(Debug)]
pub enum Confirm {
    /// The far side's confirmation is known already.
    Now(Result<(), PublishError>),
    /// The ticket of this promise will be answered; see [`Offer::accept`].
    Later(Promise),
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

/// Publishes one event, which happens before this returns, and resolves when it is confirmed: for whoever has a single one,
/// such as a test of an output. Dropping the future gives up waiting, and not the publishing.
///
/// # Errors
/// What the output answered.
pub fn confirmed(output: &dyn Output, event: &Event) -> impl Future<Output = Result<(), PublishError>> + Send + use<> {
    let mut confirmations = Confirmations::default();
    let known = match output.publish(event, confirmations.offer()) {
        Confirm::Now(result) => Some(result),
        Confirm::Later(promise) => {
            confirmations.expect(&promise, ());
            None
        }
    };
    async move {
        if let Some(result) = known {
            return result;
        }
        let mut answers = Vec::with_capacity(1);
        while answers.is_empty() {
            confirmations.next(&mut answers).await;
        }
        answers.pop().map_or(Ok(()), |((), result)| result)
    }
}
