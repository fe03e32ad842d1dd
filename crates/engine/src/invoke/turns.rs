//! How many threads user code may occupy at once.
//!
//! A function that blocks its thread cannot be interrupted. The runtime of user code has one thread more than there are
//! turns, so that deadlines are kept and other functions are called however many block. Connections live elsewhere; where
//! they do not (`Housing::Here`), they have that thread too. A turn is held during one poll only, over several calls if
//! they are ready at once.

use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

/// A counted right to run user code on a thread of the runtime.
#[derive(Debug)]
pub struct Turns {
    limit: usize,
    taken: AtomicUsize,
    waiting: Mutex<Vec<Waker>>,
    /// The length of `waiting`, so that giving a turn back costs no lock when nobody waits.
    waiters: AtomicUsize,
}

impl Turns {
    /// At most `limit` polls at once, at least one.
    #[must_use]
    pub fn new(limit: usize) -> Turns {
        Turns {
            limit: limit.max(1),
            taken: AtomicUsize::new(0),
            waiting: Mutex::new(Vec::new()),
            waiters: AtomicUsize::new(0),
        }
    }

    /// Turns that are taken now.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// Waits for a turn. It has to be used and dropped in the poll in which it comes.
    pub(crate) async fn turn(&self) -> Turn<'_> {
        poll_fn(|context| self.poll_turn(context)).await
    }

    /// A turn if one is free; otherwise the task is woken when one is given back.
    pub(crate) fn poll_turn(&self, context: &Context<'_>) -> Poll<Turn<'_>> {
        if !self.acquire() {
            self.wait(context);
            if !self.acquire() {
                return Poll::Pending;
            }
        }
        Poll::Ready(Turn(self))
    }

    fn acquire(&self) -> bool {
        let step = |taken| (taken < self.limit).then_some(taken + 1);
        self.taken.fetch_update(Ordering::SeqCst, Ordering::SeqCst, step).is_ok()
    }

    fn wait(&self, context: &Context<'_>) {
        let mut waiting = self.waiting.lock();
        // A call that is polled again and again while it waits must not fill the list.
        if !waiting.iter().any(|waker| waker.will_wake(context.waker())) {
            waiting.push(context.waker().clone());
        }
        // Sequentially consistent with `give_back`: either it sees this waiter, or we see its turn.
        self.waiters.store(waiting.len(), Ordering::SeqCst);
    }

    fn give_back(&self) {
        self.taken.fetch_sub(1, Ordering::SeqCst);
        if self.waiters.load(Ordering::SeqCst) == 0 {
            return;
        }
        let mut waiting = self.waiting.lock();
        let woken = std::mem::take(&mut *waiting);
        self.waiters.store(0, Ordering::SeqCst);
        drop(waiting);
        // All of them: one that has been dropped meanwhile would swallow a single wake-up.
        woken.into_iter().for_each(Waker::wake);
    }
}

/// The right to run user code until it is dropped, which may wake another task.
#[derive(Debug)]
pub(crate) struct Turn<'a>(&'a Turns);

impl<'a> Turn<'a> {
    /// Whose turn this is, for the next one.
    pub(super) fn turns(&self) -> &'a Turns {
        self.0
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.give_back();
    }
}
