//! How many threads user code may occupy at once.
//!
//! A function that blocks its thread cannot be interrupted. The runtime has one thread more than there are turns, so that
//! sources keep answering their brokers however many functions block. A turn is held during one poll only.

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

    /// Runs `poll` if a turn is free; otherwise the task is woken when one is given back. Sets `woke` if giving this turn
    /// back has woken somebody.
    pub(super) fn take<T>(
        &self,
        context: &mut Context<'_>,
        woke: &mut bool,
        poll: impl FnOnce(&mut Context<'_>) -> T,
    ) -> Poll<T> {
        if !self.acquire() {
            self.wait(context);
            if !self.acquire() {
                return Poll::Pending;
            }
        }
        let turn = Turn { turns: self, woke };
        let answer = poll(context);
        drop(turn);
        Poll::Ready(answer)
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

    /// Answers whether somebody waited for the turn.
    fn give_back(&self) -> bool {
        self.taken.fetch_sub(1, Ordering::SeqCst);
        if self.waiters.load(Ordering::SeqCst) == 0 {
            return false;
        }
        let mut waiting = self.waiting.lock();
        let woken = std::mem::take(&mut *waiting);
        self.waiters.store(0, Ordering::SeqCst);
        drop(waiting);
        let any = !woken.is_empty();
        // All of them: one that has been dropped meanwhile would swallow a single wake-up.
        woken.into_iter().for_each(Waker::wake);
        any
    }
}

struct Turn<'a> {
    turns: &'a Turns,
    woke: &'a mut bool,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.woke |= self.turns.give_back();
    }
}
