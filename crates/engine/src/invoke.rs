//! One call of user code: under a deadline, with panics contained, and never on every thread at once.
//!
//! A call that is ready at once costs no timer. A deadline runs from the moment the function was really called, so that
//! waiting for a [`Turns`] never spends an attempt. Every line of user code runs within a turn, also the part of a call
//! that comes before its future.

mod turns;

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::OnceLock;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

pub use turns::Turns;

use crate::event::{Event, Text};
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

/// What one call is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    /// The events to judge.
    pub(crate) events: &'a [Event],
    /// `trigger/rule` on whose behalf.
    pub(crate) rule: &'a Text,
    /// 1 for the first attempt.
    pub(crate) attempt: u32,
    /// How long the function may take.
    pub(crate) timeout: Duration,
    /// Where the worker reads it; empty before the call.
    pub(crate) call: &'a OnceLock<Call>,
}

/// A call on its way.
pub(crate) struct Invocation<'a> {
    worker: &'a dyn Worker,
    request: Request<'a>,
    turns: &'a Turns,
    /// The time at which the call begins, unless it has to wait for a turn.
    now: Option<Instant>,
    /// `None` before the first turn.
    future: Option<BoxFuture<'a, Verdicts>>,
    timer: Option<Pin<Box<Sleep>>>,
    /// Whether the end of a turn has woken somebody.
    woke: bool,
}

/// Calls `worker` once a turn is free; `now` spares a look at the clock.
pub(crate) fn invoke<'a>(
    worker: &'a dyn Worker,
    request: Request<'a>,
    turns: &'a Turns,
    now: Instant,
) -> Invocation<'a> {
    Invocation { worker, request, turns, now: Some(now), future: None, timer: None, woke: false }
}

impl Invocation<'_> {
    /// Whether this call has woken another task, which may now wait behind whatever this thread does next.
    pub(crate) fn woke(&self) -> bool {
        self.woke
    }

    /// Ends the call. What user code does when it is dropped may panic like the rest of it.
    fn end(&mut self, answer: Result<Verdicts, Failure>) -> Poll<Result<Verdicts, Failure>> {
        let future = self.future.take();
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(future)));
        Poll::Ready(dropped.map_err(|payload| panicked(payload.as_ref())).and(answer))
    }
}

impl Future for Invocation<'_> {
    type Output = Result<Verdicts, Failure>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let Invocation { worker, request, turns, now, future, woke, .. } = this;
        let polled = turns.take(context, woke, |context| {
            let begin = || {
                let begun = now.unwrap_or_else(Instant::now);
                let call =
                    || Call { rule: request.rule.clone(), attempt: request.attempt, deadline: begun + request.timeout };
                worker.call(request.events, request.call.get_or_init(call))
            };
            catch_unwind(AssertUnwindSafe(|| future.get_or_insert_with(begin).as_mut().poll(context)))
        });
        match polled {
            // Other functions occupy every thread that user code may have.
            Poll::Pending if this.future.is_none() => {
                this.now = None;
                return Poll::Pending;
            }
            Poll::Pending | Poll::Ready(Ok(Poll::Pending)) => {}
            Poll::Ready(Ok(Poll::Ready(verdicts))) => return this.end(Ok(verdicts)),
            Poll::Ready(Err(payload)) => return this.end(Err(panicked(payload.as_ref()))),
        }
        let Some(call) = this.request.call.get() else { return Poll::Pending };
        let timer = this.timer.get_or_insert_with(|| Box::pin(sleep_until(call.deadline)));
        ready!(timer.as_mut().poll(context));
        this.end(Err(Failure::Timeout))
    }
}

/// What a panic said.
pub(crate) fn panic_text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

fn panicked(payload: &(dyn Any + Send)) -> Failure {
    Failure::Panicked(panic_text(payload))
}

#[cfg(test)]
mod tests;
