//! What an adapter implements: sources, functions, outputs, and the clock.
//!
//! Ports have one or two methods, and their errors are decisions that the engine takes. Arrows point here: the engine
//! knows no adapter. A new connector, binding or runtime is one folder and one line in the root's `builtin.rs`.
//!
//! Sources and outputs are opened, run and closed on a single-threaded runtime that they share with others
//! ([`Housing`](crate::supervisor::Housing)): they spawn tasks freely with `tokio::spawn` and must not hold the thread
//! (`tokio::task::block_in_place` panics there); what blocks goes to `spawn_blocking` or to a thread of its own. Functions
//! are started and called on the runtime of user code.

mod bell;
mod clock;
mod function;
mod output;
mod source;
mod stop;
mod ticket;

use std::future::Future;
use std::pin::Pin;

pub use bell::{Bell, Ring, Rings};
pub use clock::{Clock, SystemClock};
pub use function::{Call, Function, StartError, Verdict, Verdicts, Worker};
pub use output::{Confirm, Output, PublishError, confirmed};
pub use source::{Source, SourceError};
pub use stop::{Shutdown, Stop, Trigger};
pub use ticket::{Confirmations, Offer, Promise, Ticket};

/// A future behind a pointer, as trait objects need it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
