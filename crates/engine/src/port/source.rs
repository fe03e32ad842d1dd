//! Where messages come from.

use super::{Bell, BoxFuture, Shutdown};
use crate::delivery::Inbox;

/// A connection that receives messages and hands them to the engine as events.
///
/// One call of [`Source::run`] is one run with one inbox. The loop every source has, settlements before reading:
///
/// ```text
/// loop biased select {
///     some pairs of settlements.next()  => acknowledge each seat's message, in as few writes as possible
///     stop.requested()                  => drop the intake; go on until settlements.next() answers false; flush; end
///     seats of intake.reserve(n), then what the broker has ready => normalise, seats.deliver / seats.reject
/// }
/// ```
///
/// A source whose broker numbers its messages hands over with
/// [`Seats::deliver_at`](crate::delivery::Seats::deliver_at), so that its dead letter says where it stood, and what is parked of it runs no second time when it is delivered again; it names
/// each stream once, with [`Seats::stream`](crate::delivery::Seats::stream), and says up to where its broker has accepted that
/// messages are settled, with [`Settlements::accepted`](crate::delivery::Settlements::accepted).
///
/// A source keeps what it acknowledges with in an array indexed by [`Seat`](crate::delivery::Seat). It acknowledges on
/// `Ack` and `Reject`, and on `Retry` leaves the message with its broker, which delivers it again. Where a broker takes away
/// what is held for too long, it asks for the event in time ([`Settlements::recall`](crate::delivery::Settlements::recall)).
/// A broker that is away
/// is no error: the source reports it through its [`Setup`](crate::registry::Setup) and reconnects with back-off.
pub trait Source: Send {
    /// Receives until `stop` is requested and everything in flight has settled. Both halves of `inbox` have to be dropped
    /// when this returns, tasks that it spawned included: the next run counts its seats in the same books.
    ///
    /// # Errors
    /// [`SourceError`] when this run cannot go on; what is in flight stays with the broker.
    fn run<'a>(&'a mut self, inbox: Inbox, stop: Shutdown) -> BoxFuture<'a, Result<(), SourceError>>;

    /// By which one more event can be asked for now; nothing for a source whose events come from elsewhere. Asked for once,
    /// before the first run.
    fn bell(&self) -> Option<Bell> {
        None
    }
}

/// Why a run ended; the variant decides what the supervisor does.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Run it again after a back-off.
    #[error("{0}")]
    Restart(String, #[source] Option<Box<dyn std::error::Error + Send + Sync>>),
    /// Starting again cannot help: somebody has to change something. The engine goes on without the source and says so.
    #[error("{0}")]
    Fatal(String, #[source] Option<Box<dyn std::error::Error + Send + Sync>>),
}
