//! Wall time as a port, so that tests decide what day it is. Intervals belong to tokio's clock instead.

use std::time::SystemTime;

/// Tells wall time.
pub trait Clock: Send + Sync {
    /// The time now, which may jump in either direction between two calls.
    fn now(&self) -> SystemTime;
}

/// The machine's own clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the machine's clock")]
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}
