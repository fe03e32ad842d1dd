//! Which jobs of a line are called off, told to whoever has them.
//!
//! A job that a pool was given is in its queue, in a worker's hands, or in a call that waits for something, and goes from one
//! to the other without its line. So the line writes down what it calls off, and the job is looked up here wherever it could
//! go on: before its call begins, when it is put back into the queue, and whenever its call has to wait. Whichever comes
//! first in one lock, the writing or the waiting, a call that waits learns of it, and one that has answered has answered.
//!
//! As long as nothing is called off, a job pays one look at a number.

#[cfg(all(test, tidemill_loom))]
mod model;
#[cfg(not(tidemill_loom))]
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::task::{Context, Poll, Waker};

use slab::Slab;

use super::Key;
use crate::sync::{AtomicU32, Mutex, Ordering};

/// What one line has called off.
#[derive(Debug)]
pub(crate) struct CalledOff {
    /// The number of keys in the book.
    count: AtomicU32,
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    keys: HashSet<Key>,
    /// Calls that wait for something, and how to wake them.
    waiting: Slab<(Key, Waker)>,
}

impl CalledOff {
    pub(super) fn new() -> CalledOff {
        CalledOff { count: AtomicU32::new(0), book: Mutex::default() }
    }

    /// Calls these off, and wakes those that wait.
    pub(super) fn add(&self, keys: impl IntoIterator<Item = Key>) {
        let mut book = self.book.lock();
        let Book { keys: known, waiting } = &mut *book;
        known.extend(keys);
        self.count.store(u32::try_from(known.len()).unwrap_or(u32::MAX), Ordering::Relaxed);
        let wakers: Vec<_> =
            waiting.iter().filter(|(_, (key, _))| known.contains(key)).map(|(_, (_, waker))| waker.clone()).collect();
        drop(book);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// These have been answered.
    pub(super) fn forget(&self, keys: impl IntoIterator<Item = Key>) {
        if !self.is_empty() {
            let mut book = self.book.lock();
            for key in keys {
                book.keys.remove(&key);
            }
            self.count.store(u32::try_from(book.keys.len()).unwrap_or(u32::MAX), Ordering::Relaxed);
        }
    }

    /// Whether this one is called off. Whoever has learned of it through a lock is not told otherwise.
    pub(super) fn has(&self, key: Key) -> bool {
        !self.is_empty() && self.book.lock().keys.contains(&key)
    }

    fn is_empty(&self) -> bool {
        self.count.load(Ordering::Relaxed) == 0
    }

    /// For a call that has to wait.
    pub(super) fn watch(&self, key: Key) -> Watch<'_> {
        Watch { called_off: self, key, place: None }
    }
}

/// Learns whether one call is called off, for as long as it waits.
#[derive(Debug)]
pub(crate) struct Watch<'c> {
    called_off: &'c CalledOff,
    key: Key,
    /// Where the waker is.
    place: Option<usize>,
}

impl Watch<'_> {
    /// Ready once the call is called off; wakes the task then.
    pub(crate) fn poll(&mut self, context: &Context<'_>) -> Poll<()> {
        let mut book = self.called_off.book.lock();
        if book.keys.contains(&self.key) {
            return Poll::Ready(());
        }
        match self.place.and_then(|place| book.waiting.get_mut(place)) {
            Some((_, waker)) => waker.clone_from(context.waker()),
            None => self.place = Some(book.waiting.insert((self.key, context.waker().clone()))),
        }
        Poll::Pending
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if let Some(place) = self.place.take() {
            drop(self.called_off.book.lock().waiting.try_remove(place));
        }
    }
}
