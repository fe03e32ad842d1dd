//! What a pull consumer has been asked for and has not sent yet.
//!
//! Decision: never more is asked for than there are free seats, so that every message that comes has its place at once and
//! none waits in a buffer where nobody extends its lease. Requests are deep, and the next one leaves when half of the
//! seats are free, not when the last message has come.

use std::time::Duration;

use tokio::time::Instant;

/// How long a request stands at the server.
pub(super) const EXPIRES: Duration = Duration::from_secs(30);
/// How much later than that it is given up here, when the server has not said a word.
const MARGIN: Duration = Duration::from_secs(5);

/// The requests of one connection.
#[derive(Debug)]
pub(super) struct Pulls {
    /// The largest batch that the consumer allows.
    most: usize,
    /// Messages that are still to come.
    asked: usize,
    /// Number, and when it is given up.
    open: Vec<(u64, Instant)>,
    next: u64,
}

impl Pulls {
    /// Nothing has been asked for.
    pub(super) fn new(most: usize) -> Pulls {
        Pulls { most: most.max(1), asked: 0, open: Vec::new(), next: 0 }
    }

    /// How much to ask for now, with `free` seats of `capacity`, and the number of the request.
    pub(super) fn ask(&mut self, free: usize, capacity: usize, now: Instant) -> Option<(u64, usize)> {
        let want = free.saturating_sub(self.asked).min(self.most);
        let enough = want * 2 >= capacity.min(self.most) || self.asked == 0;
        if want == 0 || !enough {
            return None;
        }
        self.asked += want;
        self.next += 1;
        self.open.push((self.next, now + EXPIRES + MARGIN));
        Some((self.next, want))
    }

    /// A message has come.
    pub(super) fn arrived(&mut self) {
        self.asked = self.asked.saturating_sub(1);
        if self.asked == 0 {
            self.open.clear();
        }
    }

    /// The server has ended request `number` with `pending` messages still to come, as far as it says.
    pub(super) fn ended(&mut self, number: u64, pending: Option<u64>) {
        let known = self.open.len();
        self.open.retain(|(open, _)| *open != number);
        if self.open.is_empty() {
            self.asked = 0;
        } else if let Some(pending) = pending.filter(|_| self.open.len() < known) {
            self.asked = self.asked.saturating_sub(usize::try_from(pending).unwrap_or(usize::MAX));
        }
    }

    /// Gives up every request whose time is long over.
    pub(super) fn expire(&mut self, now: Instant) {
        self.open.retain(|(_, until)| *until > now);
        if self.open.is_empty() {
            self.asked = 0;
        }
    }

    /// When [`Pulls::expire`] has something to do.
    pub(super) fn until(&self) -> Option<Instant> {
        self.open.iter().map(|(_, until)| *until).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn never_more_is_asked_for_than_there_are_seats() {
        let now = Instant::now();
        let mut pulls = Pulls::new(1000);
        assert_eq!(pulls.ask(100, 100, now), Some((1, 100)));
        assert_eq!(pulls.ask(100, 100, now), None, "all of it is on its way");
        for _ in 0..60 {
            pulls.arrived();
        }
        assert_eq!(pulls.ask(80, 100, now), None, "forty are on their way, and forty more are less than half");
        assert_eq!(pulls.ask(95, 100, now), Some((2, 55)));
        assert_eq!(pulls.ask(100, 100, now), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_ended_is_asked_again() {
        let now = Instant::now();
        let mut pulls = Pulls::new(1000);
        assert_eq!(pulls.ask(60, 100, now), Some((1, 60)));
        assert_eq!(pulls.ask(100, 120, now), None);
        assert_eq!(pulls.ask(130, 130, now), Some((2, 70)));
        pulls.ended(1, Some(60));
        pulls.ended(1, Some(60));
        assert_eq!(pulls.ask(130, 130, now), None, "a request ends once");
        pulls.ended(2, None);
        assert_eq!(pulls.ask(130, 130, now), Some((3, 130)));
    }

    #[tokio::test(start_paused = true)]
    async fn small_batches_and_silent_servers() {
        let now = Instant::now();
        let mut pulls = Pulls::new(10);
        assert_eq!(pulls.ask(100, 100, now), Some((1, 10)));
        assert_eq!(pulls.ask(100, 100, now), Some((2, 10)), "the consumer allows no larger one");
        assert_eq!(pulls.until(), Some(now + EXPIRES + MARGIN));
        pulls.expire(now + EXPIRES);
        assert!(pulls.until().is_some());
        pulls.expire(now + EXPIRES + MARGIN);
        assert_eq!((pulls.until(), pulls.ask(0, 100, now)), (None, None));
        assert_eq!(pulls.ask(3, 100, now), Some((3, 3)), "with nothing on its way every seat is worth a request");
    }
}
