//! How long to wait before the next attempt to connect.
//!
//! Delays double from a tenth of a second to half a minute, each drawn from its upper half, so that many engines do not
//! return at once. Only a connection that has lasted makes the next delay short again: a broker that accepts and closes
//! at once must not be hammered.

use std::time::Duration;

/// The first delay.
const FIRST: Duration = Duration::from_millis(100);
/// The longest delay.
const LONGEST: Duration = Duration::from_secs(30);
/// A connection that lived this long was a good one.
pub const GOOD: Duration = Duration::from_secs(10);

/// What the last failure says about the next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// It may pass by itself, such as a broker that restarts.
    Short,
    /// Somebody has to change something, such as a password.
    Long,
}

/// The delays of one connection.
#[derive(Debug)]
pub struct Backoff {
    next: Duration,
}

impl Backoff {
    /// Starts with the shortest delay.
    #[must_use]
    pub fn new() -> Backoff {
        Backoff { next: FIRST }
    }

    /// The last connection was a good one that lasted `lived`.
    pub fn connected_for(&mut self, lived: Duration) {
        if lived >= GOOD {
            self.next = FIRST;
        }
    }

    /// The delay before the next attempt; `draw` is a random number in `0.0..1.0`.
    pub fn delay(&mut self, patience: Patience, draw: f64) -> Duration {
        if patience == Patience::Long {
            self.next = LONGEST;
        }
        let full = self.next;
        self.next = (full * 2).min(LONGEST);
        full.mul_f64(0.5 + draw.clamp(0.0, 1.0) / 2.0)
    }
}

/// The delay before attempt `number` of a series that starts at zero, for clients that count themselves; `draw` as above.
#[must_use]
pub fn nth(number: usize, draw: f64) -> Duration {
    let doublings = u32::try_from(number.min(16)).unwrap_or(16);
    let full = (FIRST * 2_u32.pow(doublings)).min(LONGEST);
    full.mul_f64(0.5 + draw.clamp(0.0, 1.0) / 2.0)
}

impl Default for Backoff {
    fn default() -> Backoff {
        Backoff::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_longest() {
        let mut backoff = Backoff::new();
        let delays: Vec<_> = (0..11).map(|_| backoff.delay(Patience::Short, 1.0).as_millis()).collect();
        assert_eq!(delays, [100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000]);
    }

    #[test]
    fn a_series_is_the_same_when_somebody_else_counts() {
        let mut backoff = Backoff::new();
        assert!((0..40).all(|number| nth(number, 0.5) == backoff.delay(Patience::Short, 0.5)));
    }

    #[test]
    fn a_draw_takes_at_most_half_off() {
        assert_eq!(Backoff::new().delay(Patience::Short, 0.0), Duration::from_millis(50));
        assert_eq!(Backoff::new().delay(Patience::Short, 7.0), Duration::from_millis(100));
    }

    #[test]
    fn only_a_lasting_connection_shortens_the_next_delay() {
        let mut backoff = Backoff::new();
        backoff.delay(Patience::Short, 1.0);
        backoff.connected_for(GOOD - Duration::from_millis(1));
        assert_eq!(backoff.delay(Patience::Short, 1.0), Duration::from_millis(200));
        backoff.connected_for(GOOD);
        assert_eq!(backoff.delay(Patience::Short, 1.0), Duration::from_millis(100));
    }

    #[test]
    fn what_needs_a_person_waits_longest_at_once() {
        assert_eq!(Backoff::new().delay(Patience::Long, 1.0), LONGEST);
    }
}
