//! How often a rule's deliveries begin.
//!
//! governor decides (a leaky bucket, no timer for what may begin at once), on tokio's clock so that tests can move it. A timer
//! is late by a millisecond or so: a burst of at least [`LEAST`] worth of the rate keeps that from making the rate smaller.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use tokio::time::Instant;

/// How much of the rate may begin at once, at least.
pub const LEAST: Duration = Duration::from_millis(20);

/// So many calls and publishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// From one to the next, on average.
    pub period: Duration,
    /// How many may begin at once after a rest.
    pub burst: NonZeroU32,
}

impl Rate {
    /// So many per second, and the burst that keeps a timer's lateness from mattering. Nothing for what is no rate: zero and
    /// less, and more than one per nanosecond.
    #[must_use]
    pub fn per_second(rate: f64) -> Option<Rate> {
        let period = Duration::try_from_secs_f64(1.0 / rate).ok().filter(|period| !period.is_zero())?;
        let burst = (LEAST.as_nanos().div_ceil(period.as_nanos())).min(u128::from(u32::MAX));
        Some(Rate { period, burst: NonZeroU32::new(burst as u32)? })
    }
}

/// Keeps to a rate.
#[derive(Debug)]
pub(super) struct Limiter(RateLimiter<NotKeyed, InMemoryState, Tokio, NoOpMiddleware<Duration>>);

impl Limiter {
    pub(super) fn new(rate: Rate) -> Option<Limiter> {
        let quota = Quota::with_period(rate.period)?.allow_burst(rate.burst);
        Some(Limiter(RateLimiter::direct_with_clock(quota, Tokio(Instant::now()))))
    }

    /// Begins one more.
    ///
    /// # Errors
    /// When it may begin at the earliest.
    pub(super) fn begin(&self) -> Result<(), Instant> {
        let until =
            |refused: governor::NotUntil<Duration>| Instant::now() + refused.wait_time_from(self.0.clock().now());
        self.0.check().map_err(until)
    }
}

/// Tokio's clock, from when the limiter was made.
#[derive(Clone, Debug)]
struct Tokio(Instant);

impl Clock for Tokio {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_brings_the_burst_that_a_timer_needs() {
        let rate = |per_second| Rate::per_second(per_second).map(|rate| (rate.period, rate.burst.get()));
        assert_eq!(rate(0.5), Some((Duration::from_secs(2), 1)));
        assert_eq!(rate(50.0), Some((Duration::from_millis(20), 1)));
        assert_eq!(rate(10_000.0), Some((Duration::from_micros(100), 200)));
        for nothing in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e10, 1e-300] {
            assert_eq!(rate(nothing), None, "{nothing}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_rest_allows_a_burst_and_no_more() {
        let rate = Rate { period: Duration::from_millis(100), burst: NonZeroU32::new(3).unwrap() };
        let limiter = Limiter::new(rate).unwrap();
        for _ in 0..2 {
            for _ in 0..3 {
                assert_eq!(limiter.begin(), Ok(()));
            }
            assert_eq!(limiter.begin(), Err(Instant::now() + rate.period));
            tokio::time::advance(Duration::from_secs(10)).await;
        }
    }
}
