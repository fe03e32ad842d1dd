//! What becomes of a message at its source.

use std::time::Duration;

/// What a source is told about one message. Of all forks' outcomes the greatest wins, so that a message with one branch
/// that nobody took care of is not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Acknowledge: every branch is done, or is safe elsewhere.
    Ack,
    /// Acknowledge as refused: it could not be decoded, and its raw bytes are safe.
    Reject,
    /// Do not acknowledge; the broker delivers it again, where it can after this delay.
    Retry {
        /// The least time before the next delivery.
        after: Duration,
    },
}

impl Outcome {
    /// One number whose order is the order of outcomes; delays are kept in milliseconds.
    pub(super) fn encode(self) -> u64 {
        match self {
            Outcome::Ack => 0,
            Outcome::Reject => 1,
            Outcome::Retry { after } => u64::try_from(after.as_millis()).unwrap_or(u64::MAX).saturating_add(2),
        }
    }

    /// The outcome behind [`Outcome::encode`].
    pub(super) fn decode(code: u64) -> Outcome {
        match code {
            0 => Outcome::Ack,
            1 => Outcome::Reject,
            delay => Outcome::Retry { after: Duration::from_millis(delay - 2) },
        }
    }
}
