//! Events that were published and are not confirmed yet.
//!
//! Each has a place, whose number goes through librdkafka with the message and comes back with its delivery report. Whoever
//! waits for the confirmation holds a future of two words; there is one lock for all of them, held for a few instructions.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use engine::port::PublishError;
use parking_lot::Mutex;
use slab::Slab;

type Outcome = Result<(), PublishError>;

/// The places of one producer.
#[derive(Debug, Default)]
pub(super) struct Window(Mutex<Slab<Place>>);

#[derive(Debug)]
enum Place {
    /// Not confirmed yet; whoever waits, if somebody has looked already.
    Open(Option<Waker>),
    /// Known, and not fetched yet.
    Known(Outcome),
    /// Nobody waits any more.
    Left,
}

/// Waits for the confirmation in one place.
#[derive(Debug)]
pub(super) struct Awaited {
    window: Arc<Window>,
    number: usize,
    fetched: bool,
}

impl Window {
    /// Takes a place.
    pub(super) fn open(&self) -> usize {
        self.0.lock().insert(Place::Open(None))
    }

    /// What waits for the confirmation in a place.
    pub(super) fn awaited(self: &Arc<Window>, number: usize) -> Awaited {
        Awaited { window: Arc::clone(self), number, fetched: false }
    }

    /// The far side has answered.
    pub(super) fn settle(&self, number: usize, outcome: Outcome) {
        let mut places = self.0.lock();
        let Some(place) = places.get_mut(number) else { return };
        if matches!(place, Place::Left) {
            places.remove(number);
            return;
        }
        let before = std::mem::replace(place, Place::Known(outcome));
        drop(places);
        if let Place::Open(Some(waker)) = before {
            waker.wake();
        }
    }

    /// Places that are not confirmed yet.
    pub(super) fn unconfirmed(&self) -> usize {
        self.0.lock().iter().filter(|(_, place)| !matches!(place, Place::Known(_))).count()
    }
}

impl Future for Awaited {
    type Output = Outcome;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        let this = self.get_mut();
        let mut places = this.window.0.lock();
        match places.get_mut(this.number) {
            Some(Place::Open(waker)) => {
                match waker {
                    Some(waker) => waker.clone_from(context.waker()),
                    None => *waker = Some(context.waker().clone()),
                }
                Poll::Pending
            }
            Some(Place::Known(_)) => {
                this.fetched = true;
                match places.remove(this.number) {
                    Place::Known(outcome) => Poll::Ready(outcome),
                    Place::Open(_) | Place::Left => Poll::Pending,
                }
            }
            Some(Place::Left) | None => Poll::Pending,
        }
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        if self.fetched {
            return;
        }
        let mut places = self.window.0.lock();
        match places.get_mut(self.number) {
            // The message still carries the number, so the place may not be another's yet.
            Some(place @ Place::Open(_)) => *place = Place::Left,
            Some(Place::Known(_)) => drop(places.remove(self.number)),
            Some(Place::Left) | None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn confirmations_reach_those_who_wait() {
        let window = Arc::new(Window::default());
        let (first, second) = (window.open(), window.open());
        let waiting = tokio::spawn(window.awaited(first));
        tokio::task::yield_now().await;
        let refused = Err(PublishError::Reject { reason: "too large".into() });
        window.settle(second, refused.clone());
        window.settle(first, Ok(()));
        assert_eq!(waiting.await.unwrap(), Ok(()));
        assert_eq!(window.awaited(second).await, refused);
        assert!(window.0.lock().is_empty());
    }

    #[tokio::test]
    async fn a_place_is_not_given_away_while_its_message_is_on_the_way() {
        let window = Arc::new(Window::default());
        let number = window.open();
        drop(window.awaited(number));
        assert_ne!(window.open(), number);
        assert_eq!(window.unconfirmed(), 2);
        window.settle(number, Ok(()));
        assert_eq!(window.unconfirmed(), 1);
        let known = window.open();
        window.settle(known, Ok(()));
        drop(window.awaited(known));
        assert_eq!(window.0.lock().len(), 1);
    }
}
