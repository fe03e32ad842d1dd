//! How a running part learns that it should end, and in which way.

use tokio::sync::watch;

/// In which way to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Stop reading, wait for what is in flight, acknowledge it, and keep the session at the broker for the next start.
    Keep,
    /// The same, and then end the session and its subscriptions: this source will not come back.
    Leave,
}

/// The listening end, given to every source.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<Option<Stop>>);

/// The commanding end.
#[derive(Debug)]
pub struct Trigger(watch::Sender<Option<Stop>>);

impl Shutdown {
    /// A connected pair.
    #[must_use]
    pub fn channel() -> (Trigger, Shutdown) {
        let (sender, receiver) = watch::channel(None);
        (Trigger(sender), Shutdown(receiver))
    }

    /// Waits until somebody asks this part to end. Cancel safe; a trigger that is gone means [`Stop::Keep`].
    pub async fn requested(&mut self) -> Stop {
        match self.0.wait_for(Option::is_some).await {
            Ok(stop) => (*stop).unwrap_or(Stop::Keep),
            Err(_) => Stop::Keep,
        }
    }

    /// What was asked for so far.
    #[must_use]
    pub fn now(&self) -> Option<Stop> {
        *self.0.borrow()
    }
}

impl Trigger {
    /// Asks the part to end; the first request stands. Answers which one that is.
    pub fn stop(&self, stop: Stop) -> Stop {
        let mut stands = stop;
        self.0.send_if_modified(|current| {
            let first = current.is_none();
            stands = *current.get_or_insert(stop);
            first
        });
        stands
    }
}
