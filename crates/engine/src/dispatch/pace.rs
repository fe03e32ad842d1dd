//! When a thread that serves many events rests for a moment, so that what comes meanwhile is taken together.
//!
//! A broker that writes messages one by one wakes whoever waits for them as often, and a wake-up with its read and its
//! acknowledgement costs several times what the event itself costs. So a home that is woken again and again for a few
//! events each time waits [`REST`] before it looks for more: the same as a network card's interrupt moderation, and the
//! same bargain, a bounded delay against CPU time.
//!
//! It rests only with empty hands. While a delivery is in flight, somebody's answer is waited for, and an order by key or a
//! confirmation would wait with it. A home that gets much at a time or is woken rarely never rests.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// How long a rest is.
const REST: Duration = Duration::from_micros(500);

/// So many events since the last rest make up for what a wake-up costs.
const ENOUGH: usize = 16;

/// The pace of one home: how much its lines hold, and when it rested last. Lines tell it; its thread asks it before it
/// waits for something to do.
#[derive(Debug)]
pub struct Pace {
    /// Deliveries in the tables of all lines.
    held: AtomicUsize,
    /// Deliveries that have arrived since the last rest.
    arrived: AtomicUsize,
    /// When the thread was last idle with empty hands.
    idle: Mutex<Option<Instant>>,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace { held: AtomicUsize::new(0), arrived: AtomicUsize::new(0), idle: Mutex::new(None) }
    }
}

impl Pace {
    /// A line's turn is over: so many deliveries arrived in it, and its table held `before` at its end of the last turn
    /// and `after` now.
    pub(super) fn turn(&self, arrived: usize, before: usize, after: usize) {
        // Only the home's own thread writes and reads, so that no order between the two is needed.
        self.arrived.fetch_add(arrived, Ordering::Relaxed);
        if after >= before {
            self.held.fetch_add(after - before, Ordering::Relaxed);
        } else {
            self.held.fetch_sub(before - after, Ordering::Relaxed);
        }
    }

    /// Holds the calling thread for a moment if that is due.
    pub(crate) fn rest(&self) {
        if self.is_due(Instant::now()) {
            #[expect(
                clippy::disallowed_methods,
                reason = "holding the thread is the point: it waits for more to come"
            )]
            std::thread::sleep(REST);
            *self.idle.lock() = Some(Instant::now());
        }
    }

    /// Whether the thread, which has nothing to do at `now`, should rest.
    fn is_due(&self, now: Instant) -> bool {
        if self.held.load(Ordering::Relaxed) > 0 {
            return false;
        }
        let arrived = self.arrived.swap(0, Ordering::Relaxed);
        let before = self.idle.lock().replace(now);
        (1..ENOUGH).contains(&arrived) && before.is_some_and(|before| now - before < 2 * REST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets `arrived` deliveries come and go, and asks at `now`.
    fn served(pace: &Pace, arrived: usize, now: Instant) -> bool {
        pace.turn(arrived, 0, arrived);
        pace.turn(0, arrived, 0);
        pace.is_due(now)
    }

    #[test]
    fn who_is_woken_again_and_again_for_little_rests() {
        let (pace, began) = (Pace::default(), Instant::now());
        assert!(!served(&pace, 1, began), "the first message of all is no stream");
        assert!(served(&pace, 1, began + REST));
        assert!(!pace.is_due(began + REST), "nothing came, so nothing is waited for");
    }

    #[test]
    fn who_is_woken_rarely_does_not_rest() {
        let (pace, began) = (Pace::default(), Instant::now());
        for number in 0..4 {
            assert!(!served(&pace, 1, began + 2 * REST * number));
        }
    }

    #[test]
    fn who_gets_much_at_a_time_does_not_rest() {
        let (pace, began) = (Pace::default(), Instant::now());
        served(&pace, 1, began);
        assert!(!served(&pace, ENOUGH, began + REST / 2));
        assert!(served(&pace, ENOUGH - 1, began + REST));
    }

    #[test]
    fn who_has_something_in_hand_does_not_rest() {
        let (pace, began) = (Pace::default(), Instant::now());
        served(&pace, 1, began);
        pace.turn(3, 0, 3);
        pace.turn(0, 3, 1);
        assert!(!pace.is_due(began + REST / 2));
        pace.turn(0, 1, 0);
        assert!(pace.is_due(began + REST), "with its last answer it is free to rest");
    }
}
