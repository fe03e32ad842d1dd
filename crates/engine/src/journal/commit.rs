//! The confirmation that all lines of one batch share.

use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

use super::Error;
use crate::port::{PublishError, Ticket};

type Callback = Box<dyn FnOnce(Result<(), Error>) + Send>;

/// What becomes of one batch, known to everybody who has a line in it.
pub(super) struct Batch(Mutex<Progress>);

enum Progress {
    Waiting(Vec<Waiter>),
    Finished(Result<(), Error>),
}

enum Waiter {
    Task(Waker),
    Call(Callback),
    Ticket(Ticket),
}

impl Batch {
    pub(super) fn new() -> Arc<Batch> {
        Arc::new(Batch(Mutex::new(Progress::Waiting(Vec::new()))))
    }

    /// Tells everybody; only the first result counts.
    pub(super) fn finish(&self, result: &Result<(), Error>) {
        let mut progress = self.0.lock();
        let Progress::Waiting(waiters) = &mut *progress else { return };
        let waiters = mem::take(waiters);
        *progress = Progress::Finished(result.clone());
        // Waiters run without the lock: they may ask for the result again.
        drop(progress);
        let mut tickets = Vec::new();
        for waiter in waiters {
            match waiter {
                Waiter::Task(waker) => waker.wake(),
                Waiter::Call(callback) => callback(result.clone()),
                Waiter::Ticket(ticket) => tickets.push((ticket, answer(result))),
            }
        }
        Ticket::answer_all(&mut tickets);
    }
}

/// Resolves once the appended lines are written as the policy says. Dropping it does not take the lines back.
#[must_use = "what was appended is only confirmed once this resolves"]
pub struct Commit(State);

enum State {
    Known(Result<(), Error>),
    Shared { batch: Arc<Batch>, slot: Option<usize> },
}

impl Commit {
    pub(super) fn known(result: Result<(), Error>) -> Commit {
        Commit(State::Known(result))
    }

    pub(super) fn shared(batch: Arc<Batch>) -> Commit {
        Commit(State::Shared { batch, slot: None })
    }

    /// Calls `done` instead of resolving: on the writing thread, which waits meanwhile, or at once if the result is known
    /// already. It must neither block nor panic.
    pub fn then(self, done: impl FnOnce(Result<(), Error>) + Send + 'static) {
        let result = match self.0 {
            State::Known(result) => result,
            State::Shared { batch, .. } => {
                let mut progress = batch.0.lock();
                match &mut *progress {
                    Progress::Waiting(waiters) => return waiters.push(Waiter::Call(Box::new(done))),
                    Progress::Finished(result) => result.clone(),
                }
            }
        };
        done(result);
    }

    /// Answers an output's ticket instead of resolving: what was not written is to be tried again.
    pub fn answer(self, ticket: Ticket) {
        let result = match self.0 {
            State::Known(result) => result,
            State::Shared { batch, .. } => {
                let mut progress = batch.0.lock();
                match &mut *progress {
                    Progress::Waiting(waiters) => return waiters.push(Waiter::Ticket(ticket)),
                    Progress::Finished(result) => result.clone(),
                }
            }
        };
        ticket.answer(answer(&result));
    }
}

/// What an output says of an event whose line was written, or was not.
fn answer(result: &Result<(), Error>) -> Result<(), PublishError> {
    result.as_ref().map_err(|error| PublishError::Retry { after: None, error: error.sentence() }).copied()
}

impl Future for Commit {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let (batch, slot) = match &mut self.0 {
            State::Known(result) => return Poll::Ready(result.clone()),
            State::Shared { batch, slot } => (batch, slot),
        };
        let mut progress = batch.0.lock();
        match &mut *progress {
            Progress::Finished(result) => Poll::Ready(result.clone()),
            Progress::Waiting(waiters) => {
                match slot.and_then(|slot| waiters.get_mut(slot)) {
                    Some(Waiter::Task(waker)) => waker.clone_from(task.waker()),
                    Some(Waiter::Call(_) | Waiter::Ticket(_)) | None => {
                        *slot = Some(waiters.len());
                        waiters.push(Waiter::Task(task.waker().clone()));
                    }
                }
                Poll::Pending
            }
        }
    }
}

impl fmt::Debug for Commit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            State::Known(result) => f.debug_tuple("Commit").field(result).finish(),
            State::Shared { .. } => f.write_str("Commit(..)"),
        }
    }
}
