//! What is too old to be tried.
//!
//! Decision: age is looked at when a delivery would be tried, and at no other time. What waits for another attempt waits no
//! longer than until it is too old; what stands behind another one, or in the store of a rule that is at a stop, ends when
//! its turn comes.

use std::time::Duration;

use super::super::delivery::Fault;
use super::{Key, Line};
use crate::config::Period;
use crate::dead_letter::Reason;
use crate::store::Stamp;

impl Line {
    /// Notes when a delivery that arrives was received, if that will matter.
    pub(super) fn note_age(&mut self, key: Key) {
        let now = self.options.postbox.now();
        if let Some(delivery) = self.table.get(key) {
            let received = delivery.received().unwrap_or(now);
            delivery.received_at(received);
        }
    }

    /// How long a delivery may still wait, or nothing if its age has no bound.
    fn left(&mut self, key: Key) -> Option<Duration> {
        let max_age = self.options.retry.max_age?;
        let received = self.table.get(key)?.received()?;
        let Stamp(now) = self.options.postbox.now();
        Some(max_age.saturating_sub(Duration::from_millis(now.saturating_sub(received.0))))
    }

    /// How long a delivery waits for its next attempt: no longer than until it is too old.
    pub(super) fn until_expiry(&mut self, key: Key, delay: Duration) -> Duration {
        self.left(key).map_or(delay, |left| left.min(delay))
    }

    /// Gives a delivery up that would be tried now, if it is too old; says whether it was.
    pub(super) fn expires(&mut self, key: Key) -> bool {
        if self.left(key) != Some(Duration::ZERO) {
            return false;
        }
        let Some(delivery) = self.table.get(key).filter(|delivery| delivery.rests()) else { return false };
        let bound = Period(self.options.retry.max_age.unwrap_or_default());
        let (code, message) = match delivery.known_past().last {
            Some(Fault { code, message }) => (code, format!("it is older than {bound} ('maxAge'): {message}")),
            None => (None, format!("it is older than {bound} ('maxAge') and was never tried")),
        };
        self.give_up(key, Reason::Expired, code, message);
        true
    }
}
