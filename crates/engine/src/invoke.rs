//! One call of user code: under a deadline, with panics contained, and never on every thread at once.
//!
//! A call that is ready at once costs no timer. A deadline runs from the moment the function was really polled first, so
//! that waiting for a [`Turns`] never spends an attempt.

mod turns;

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

pub use turns::Turns;

use crate::port::{BoxFuture, Call, Verdicts, Worker};

/// Why a call brought no verdicts. Each of them is a failed attempt.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The deadline passed; the call was dropped.
    #[error("no answer within its timeout; make the function faster or raise `timeout`")]
    Timeout,
    /// The function panicked.
    #[error("the function panicked: {0}")]
    Panicked(String),
    /// The worker ended with the event in its hands.
    #[error("the worker ended before it answered")]
    Lost,
    /// Fewer verdicts than events.
    #[error("the function answered without a verdict for this event")]
    Silent,
}

/// A call on its way.
pub(crate) struct Invocation<'a> {
    call: BoxFuture<'a, Verdicts>,
    turns: &'a Turns,
    deadline: Instant,
    timeout: Duration,
    /// Whether the function had to wait before it was polled at all.
    held: bool,
    timer: Option<Pin<Box<Sleep>>>,
}

/// Calls `worker`, which has until `call.deadline`, `timeout` from now.
pub(crate) fn invoke<'a>(
    worker: &'a dyn Worker,
    events: &'a [std::sync::Arc<crate::event::Event>],
    call: &'a Call,
    timeout: Duration,
    turns: &'a Turns,
) -> Result<Invocation<'a>, Failure> {
    // The part of a call before its first suspension may panic too.
    let future = catch_unwind(AssertUnwindSafe(|| worker.call(events, call))).map_err(panicked)?;
    Ok(Invocation { call: future, turns, deadline: call.deadline, timeout, held: false, timer: None })
}

impl Future for Invocation<'_> {
    type Output = Result<Verdicts, Failure>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let polled = this.turns.take(context, |context| {
            let call = this.call.as_mut();
            catch_unwind(AssertUnwindSafe(|| call.poll(context)))
        });
        match polled {
            // Other functions occupy every thread that user code may have.
            Poll::Pending if this.timer.is_none() => {
                this.held = true;
                return Poll::Pending;
            }
            Poll::Pending | Poll::Ready(Ok(Poll::Pending)) => {}
            Poll::Ready(Ok(Poll::Ready(verdicts))) => return Poll::Ready(Ok(verdicts)),
            Poll::Ready(Err(payload)) => return Poll::Ready(Err(panicked(payload))),
        }
        if std::mem::take(&mut this.held) {
            this.deadline = Instant::now() + this.timeout;
        }
        let deadline = this.deadline;
        let timer = this.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        ready!(timer.as_mut().poll(context));
        Poll::Ready(Err(Failure::Timeout))
    }
}

fn panicked(payload: Box<dyn Any + Send>) -> Failure {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    Failure::Panicked(text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".into()))
}

#[cfg(test)]
mod tests;
