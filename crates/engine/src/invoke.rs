//! One call of user code: under a deadline, with panics contained, and never on every thread at once.
//!
//! A call that is ready at once costs no timer, nor a look at the clock; so its time counts from where it first waits for
//! something, which is the first moment at which it could be ended. Every line of a call runs within a turn, also the part
//! that comes before its future; so a turn is taken before the deadline is set, and waiting for it spends no attempt. A
//! call that is ready at once gives its turn on to the next one.

mod turns;

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Sleep, sleep};

pub(crate) use turns::Turn;
pub use turns::Turns;

use crate::event::Event;
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
    /// The call was dropped because the event's source wanted it back.
    #[error(
        "called off, because its source can hold the event no longer; make the function faster, or raise the source's limit"
    )]
    CalledOff,
    /// The event's source wanted it back before its call began, so that this was no attempt.
    #[error("its source wanted the event back before the call began")]
    NotBegun,
    /// The worker ended with the event in its hands.
    #[error("the worker ended before it answered")]
    Lost,
    /// Fewer verdicts than events.
    #[error("the function answered without a verdict for this event")]
    Silent,
}

impl Failure {
    /// Its name in dead letters.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Failure::Timeout => "timeout",
            Failure::Panicked(_) => "panicked",
            Failure::CalledOff => "calledOff",
            Failure::NotBegun => "notBegun",
            Failure::Lost => "lost",
            Failure::Silent => "silent",
        }
    }
}

/// A call on its way.
pub(crate) struct Invocation<'a, 't> {
    worker: &'a dyn Worker,
    events: &'a [Event],
    call: &'a Call,
    timeout: Duration,
    turns: &'t Turns,
    /// Present before the first poll, and again once the call has answered.
    turn: Option<Turn<'t>>,
    /// `None` before the first poll.
    future: Option<BoxFuture<'a, Verdicts>>,
    timer: Option<Pin<Box<Sleep>>>,
}

/// Calls `worker`, beginning within `turn`: the first poll has to come before anything else is awaited. The call is ended
/// when it has waited for `timeout`.
pub(crate) fn invoke<'a, 't>(
    worker: &'a dyn Worker,
    events: &'a [Event],
    call: &'a Call,
    timeout: Duration,
    turn: Turn<'t>,
) -> Invocation<'a, 't> {
    Invocation { worker, events, call, timeout, turns: turn.turns(), turn: Some(turn), future: None, timer: None }
}

impl<'t> Invocation<'_, 't> {
    /// The turn in which the call has answered, unless it ended at its deadline.
    pub(crate) fn into_turn(self) -> Option<Turn<'t>> {
        self.turn
    }

    /// Ends the call before it has answered.
    pub(crate) fn call_off(&mut self) -> Result<Verdicts, Failure> {
        self.end(Err(Failure::CalledOff))
    }

    /// Ends the call. What user code does when it is dropped may panic like the rest of it.
    fn end(&mut self, answer: Result<Verdicts, Failure>) -> Result<Verdicts, Failure> {
        let future = self.future.take();
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(future)));
        dropped.map_err(|payload| panicked(payload.as_ref())).and(answer)
    }
}

impl Future for Invocation<'_, '_> {
    type Output = Result<Verdicts, Failure>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if this.turn.is_none() {
            this.turn = match this.turns.poll_turn(context) {
                Poll::Ready(turn) => Some(turn),
                Poll::Pending => None,
            };
        }
        if this.turn.is_some() {
            let Invocation { worker, events, call, future, .. } = this;
            let begin = || worker.call(events, call);
            let poll = || future.get_or_insert_with(begin).as_mut().poll(context);
            match catch_unwind(AssertUnwindSafe(poll)) {
                Ok(Poll::Ready(verdicts)) => return Poll::Ready(this.end(Ok(verdicts))),
                Err(payload) => return Poll::Ready(this.end(Err(panicked(payload.as_ref())))),
                Ok(Poll::Pending) => this.turn = None,
            }
        }
        let timeout = this.timeout;
        let timer = this.timer.get_or_insert_with(|| Box::pin(sleep(timeout)));
        ready!(timer.as_mut().poll(context));
        Poll::Ready(this.end(Err(Failure::Timeout)))
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
