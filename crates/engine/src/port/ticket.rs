//! How an output's answers come back: a numbered ticket for each publish, and one queue of answers for whoever collects.
//!
//! Decision: the collector keeps what it waits for in places of its own and hands out their numbers, so that a publish costs
//! a place and no allocation. An answer is put into the collector's queue under a lock that is held for a few instructions;
//! only the first one of an empty queue wakes the collector, which then takes everything by exchanging two vectors. Outputs
//! that learn of many at once answer them together ([`Ticket::answer_all`]): one lock, and at most one wake-up.

#[cfg(all(test, tidemill_loom))]
mod model;
#[cfg(not(tidemill_loom))]
#[cfg(test)]
mod tests;

use std::fmt;
use std::task::Poll;

use slab::Slab;

use super::output::{Confirm, PublishError};
use crate::sync::{Arc, AtomicWaker, Mutex};

/// What became of one publish.
type Outcome = Result<(), PublishError>;

/// A place and which of its owners, so that a late answer is not taken for one to the next owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Number {
    place: usize,
    serial: u64,
}

/// The right to a ticket for one publish, which costs nothing until it is taken up.
#[derive(Debug)]
pub struct Offer<'c> {
    queue: &'c Arc<Queue>,
    number: Number,
}

/// The duty to say what became of one publish, from whatever thread. Dropping it says that it failed for now.
#[must_use = "whoever drops a ticket says that its event was not confirmed"]
pub struct Ticket {
    /// Nothing, once it is answered.
    queue: Option<Arc<Queue>>,
    number: Number,
}

/// That the ticket of one publish is in somebody's hands. Only [`Offer::accept`] makes one.
#[derive(Debug)]
pub struct Promise(Number);

/// Whoever publishes and waits for the answers; `T` is what it wants to know again when one comes. Dropping it gives up
/// waiting: answers that come later go nowhere.
#[derive(Debug)]
pub struct Confirmations<T> {
    places: Slab<(u64, T)>,
    serial: u64,
    queue: Arc<Queue>,
    /// Emptied and exchanged with the queue's.
    taken: Vec<(Number, Outcome)>,
}

/// Answers on their way to one collector.
#[derive(Debug, Default)]
struct Queue {
    answers: Mutex<Answers>,
    waiter: AtomicWaker,
}

#[derive(Debug, Default)]
struct Answers {
    list: Vec<(Number, Outcome)>,
    /// Nobody collects any more.
    abandoned: bool,
}

impl Offer<'_> {
    /// Takes the ticket up; the second half is what [`Output::publish`](super::Output::publish) returns then.
    pub fn accept(self) -> (Ticket, Confirm) {
        let ticket = Ticket { queue: Some(Arc::clone(self.queue)), number: self.number };
        (ticket, Confirm::Later(Promise(self.number)))
    }
}

impl Ticket {
    /// Says what became of the event.
    pub fn answer(mut self, outcome: Result<(), PublishError>) {
        if let Some(queue) = self.queue.take() {
            queue.put([(self.number, outcome)]);
        }
    }

    /// Answers many and leaves the vector empty; those that follow each other and belong to the same collector wake it once.
    pub fn answer_all(answers: &mut Vec<(Ticket, Result<(), PublishError>)>) {
        let mut answers = answers.drain(..).peekable();
        while let Some((mut first, outcome)) = answers.next() {
            let Some(queue) = first.queue.take() else { continue };
            let is_same = |ticket: &Ticket| ticket.queue.as_ref().is_some_and(|other| Arc::ptr_eq(other, &queue));
            let same = std::iter::from_fn(|| {
                let (mut ticket, outcome) = answers.next_if(|(ticket, _)| is_same(ticket))?;
                ticket.queue = None;
                Some((ticket.number, outcome))
            });
            queue.put([(first.number, outcome)].into_iter().chain(same));
        }
    }

    /// Whether nobody waits for the answer any more, so that publishing would be in vain.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.queue.as_ref().is_none_or(|queue| queue.answers.lock().abandoned)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(queue) = self.queue.take() {
            let error = "it gave up without an answer".to_owned();
            queue.put([(self.number, Err(PublishError::Retry { after: None, error }))]);
        }
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Ticket").field(&self.number).finish()
    }
}

impl Queue {
    fn put(&self, answers: impl IntoIterator<Item = (Number, Outcome)>) {
        let mut queue = self.answers.lock();
        if queue.abandoned {
            answers.into_iter().for_each(drop);
            return;
        }
        let was_empty = queue.list.is_empty();
        queue.list.extend(answers);
        drop(queue);
        if was_empty {
            self.waiter.wake();
        }
    }

    /// Exchanges the answers with an empty vector; whether there are any.
    fn take(&self, empty: &mut Vec<(Number, Outcome)>) -> bool {
        std::mem::swap(&mut self.answers.lock().list, empty);
        !empty.is_empty()
    }
}

impl<T> Default for Confirmations<T> {
    fn default() -> Confirmations<T> {
        let queue = Arc::new(Queue::default());
        Confirmations { places: Slab::new(), serial: 0, queue, taken: Vec::new() }
    }
}

impl<T> Confirmations<T> {
    /// For the next publish.
    pub fn offer(&mut self) -> Offer<'_> {
        self.serial += 1;
        Offer { queue: &self.queue, number: Number { place: self.places.vacant_key(), serial: self.serial } }
    }

    /// Waits for the answer of the ticket that was taken of the last offer. The promise of another publish is answered at
    /// once, as a failure: nobody else would answer it.
    pub fn expect(&mut self, promise: &Promise, what: T) {
        let place = self.places.insert((self.serial, what));
        let number = Number { place, serial: self.serial };
        if promise.0 != number {
            let error = "it returned the promise of another publish".to_owned();
            self.queue.put([(number, Err(PublishError::Retry { after: None, error }))]);
        }
    }

    /// Whether nothing is waited for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// How many answers are waited for.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Waits until something was answered, and takes all of it. What it takes may turn out to be answers of publishes that
    /// nobody expected, and nothing. Cancel safe.
    pub async fn next(&mut self, into: &mut Vec<(T, Result<(), PublishError>)>) {
        let Confirmations { places, queue, taken, .. } = self;
        std::future::poll_fn(|context| {
            if queue.take(taken) {
                return Poll::Ready(());
            }
            queue.waiter.register(context.waker());
            if queue.take(taken) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        for (Number { place, serial }, outcome) in taken.drain(..) {
            if places.get(place).is_some_and(|(owner, _)| *owner == serial) {
                into.push((places.remove(place).1, outcome));
            }
        }
    }
}

impl<T> Drop for Confirmations<T> {
    fn drop(&mut self) {
        let mut answers = self.queue.answers.lock();
        answers.abandoned = true;
        let late = std::mem::take(&mut answers.list);
        // Whoever answers at this moment does not wait for memory to be given back.
        drop(answers);
        drop(late);
    }
}
