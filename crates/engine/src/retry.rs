//! When a failed delivery is tried again. Pure: the caller brings the attempt number and the randomness.

use std::time::Duration;

/// A rule's retry policy. Attempts are counted in total, the first one included.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Attempts in total, at least 1.
    pub max_attempts: u32,
    /// How delays grow.
    pub backoff: Backoff,
    /// The first delay.
    pub delay: Duration,
    /// No delay is longer, whoever asks for it.
    pub max_delay: Duration,
    /// Each delay is moved by up to this share of itself in either direction, 0 to 1.
    pub jitter: f64,
    /// Where a delivery waits meanwhile.
    pub hold: Hold,
    /// How old a delivery may become, in wall time since its event was first received here; one that is older is given up
    /// when it would be tried. Nothing is no bound.
    pub max_age: Option<Duration>,
    /// What becomes of a delivery whose last attempt has failed.
    pub exhausted: Exhausted,
    /// How many may wait on the disk.
    pub room: Room,
}

/// How many deliveries of a rule wait on the disk at most. What is there already is written again whatever this says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// In all.
    pub rule: u64,
    /// Of one key.
    pub key: u32,
}

impl Room {
    /// As many as there are.
    pub const ENDLESS: Room = Room { rule: u64::MAX, key: u32::MAX };
}

impl Default for Room {
    fn default() -> Room {
        Room::ENDLESS
    }
}

/// What becomes of a delivery whose last attempt has failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Exhausted {
    /// It becomes a dead letter, and the next of its key has its turn.
    #[default]
    DeadLetter,
    /// It stays first of its key, and nothing of the key runs until somebody says so.
    PauseKey,
    /// It stays, and nothing of the rule runs until somebody says so.
    PauseRule,
    /// It is counted and kept nowhere.
    Drop,
}

/// Where a delivery waits for its next attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Hold {
    /// On the disk, so that it holds no seat and survives a restart.
    #[default]
    State,
    /// In its seat, so that its source still has it.
    Source,
}

/// How delays grow from attempt to attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Backoff {
    /// Doubles: d, 2d, 4d, ...
    Exponential,
    /// Grows by the first delay: d, 2d, 3d, ...
    Linear,
    /// Stays: d, d, d, ...
    Constant,
}

impl Default for Policy {
    /// Five attempts, from 100 ms to 5 s, doubling, with a fifth of jitter: short, because what stands behind a
    /// delivery of its key waits with it.
    fn default() -> Policy {
        Policy {
            max_attempts: 5,
            backoff: Backoff::Exponential,
            delay: Duration::from_millis(100),
            max_delay: Duration::from_secs(5),
            jitter: 0.2,
            hold: Hold::State,
            max_age: None,
            exhausted: Exhausted::DeadLetter,
            room: Room::ENDLESS,
        }
    }
}

impl Policy {
    /// How long to wait after `attempts` failed attempts, or `None` when they are spent. The far side's `wish` counts
    /// where it is longer, up to the longest delay. `random` is uniform in 0..1.
    #[must_use]
    pub fn next(&self, attempts: u32, wish: Option<Duration>, random: f64) -> Option<Duration> {
        if attempts >= self.max_attempts {
            return None;
        }
        let steps = match self.backoff {
            Backoff::Exponential => 2f64.powi(i32::try_from(attempts.saturating_sub(1)).unwrap_or(i32::MAX)),
            Backoff::Linear => f64::from(attempts),
            Backoff::Constant => 1.0,
        };
        let spread = 1.0 + self.jitter * (2.0 * random - 1.0);
        let longest = self.max_delay.as_secs_f64();
        let seconds = (self.delay.as_secs_f64() * steps).min(longest) * spread;
        let own = Duration::from_secs_f64(seconds.clamp(0.0, longest));
        Some(wish.map_or(own, |wish| wish.max(own).min(self.max_delay)))
    }

    /// The least time from the first attempt to the last, if every one fails at once.
    #[must_use]
    pub fn window(&self) -> Duration {
        (1..self.max_attempts).filter_map(|attempts| self.next(attempts, None, 0.0)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delays(backoff: Backoff) -> Vec<Option<u64>> {
        let policy = Policy { backoff, jitter: 0.0, ..Policy::default() };
        (1..=5).map(|attempts| policy.next(attempts, None, 0.3).map(|delay| delay.as_millis() as u64)).collect()
    }

    #[test]
    fn delays_grow_as_named_and_end_with_the_last_attempt() {
        assert_eq!(delays(Backoff::Exponential), [Some(100), Some(200), Some(400), Some(800), None]);
        assert_eq!(delays(Backoff::Linear), [Some(100), Some(200), Some(300), Some(400), None]);
        assert_eq!(delays(Backoff::Constant), [Some(100), Some(100), Some(100), Some(100), None]);
    }

    #[test]
    fn the_shortest_way_to_the_last_attempt_is_known() {
        let policy = Policy { jitter: 0.5, ..Policy::default() };
        assert_eq!(policy.window(), Duration::from_millis(750), "half of 100, 200, 400 and 800 ms");
        assert_eq!(Policy { max_attempts: 1, ..policy }.window(), Duration::ZERO);
    }

    #[test]
    fn no_delay_is_longer_than_the_longest() {
        let policy = Policy { max_attempts: u32::MAX, ..Policy::default() };
        for attempts in [7, 100, u32::MAX - 1] {
            assert_eq!(policy.next(attempts, None, 1.0), Some(Duration::from_secs(5)), "{attempts}");
        }
        assert_eq!(policy.next(1, Some(Duration::from_secs(3600)), 0.5), Some(Duration::from_secs(5)));
    }

    #[test]
    fn jitter_moves_both_ways_and_a_wish_only_up() {
        let policy = Policy::default();
        assert_eq!(policy.next(1, None, 0.0), Some(Duration::from_millis(80)));
        assert_eq!(policy.next(1, None, 1.0), Some(Duration::from_millis(120)));
        assert_eq!(policy.next(1, Some(Duration::from_secs(1)), 0.5), Some(Duration::from_secs(1)));
        assert_eq!(policy.next(1, Some(Duration::from_millis(1)), 0.5), Some(Duration::from_millis(100)));
    }
}
