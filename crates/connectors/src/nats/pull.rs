//! What a pull consumer has been asked for and has not sent yet.
//!
//! Decision: never more is asked for than there are free seats, so that every message that comes has its place at once and
//! none waits in a buffer where nobody extends its lease. Requests are deep, and the next one leaves when half of the
//! seats are free, not when the last message has come.

use std::time::Duration;

use tokio::time::Instant;

/// How long a request stands at the server, unless the consumer allows less.
const EXPIRES: Duration = Duration::from_secs(30);
/// How often the server says that a request still stands. Nothing else tells one that waits for messages from one that a
/// server has forgotten with its leader.
const HEARTBEAT: Duration = Duration::from_secs(5);
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
    expires: Duration,
    /// When the server last said anything of any request.
    heard: Option<Instant>,
}

impl Pulls {
    /// Nothing has been asked for, and the consumer allows `most` messages for each request and so long a wait for them.
    pub(super) fn new(most: usize, longest: Option<Duration>) -> Pulls {
        let expires = longest.map_or(EXPIRES, |longest| longest.min(EXPIRES));
        Pulls { most: most.max(1), asked: 0, open: Vec::new(), next: 0, expires, heard: None }
    }

    /// A request for `batch` messages, as the server reads it.
    pub(super) fn request(&self, batch: usize) -> String {
        let expires = self.expires.as_nanos();
        match self.beats() {
            true => format!(r#"{{"batch":{batch},"expires":{expires},"idle_heartbeat":{}}}"#, HEARTBEAT.as_nanos()),
            false => format!(r#"{{"batch":{batch},"expires":{expires}}}"#),
        }
    }

    /// Whether requests stand long enough for heartbeats: a server refuses those that are longer than half of it.
    fn beats(&self) -> bool {
        self.expires >= 3 * HEARTBEAT
    }

    /// The server has said something of a request.
    pub(super) fn heard(&mut self, now: Instant) {
        self.heard = Some(now);
    }

    /// When the server has been silent for so long that it has forgotten every request.
    fn forgotten(&self) -> Option<Instant> {
        self.heard.filter(|_| self.beats() && !self.open.is_empty()).map(|heard| heard + 2 * HEARTBEAT)
    }

    /// How much to ask for now, with `free` seats of `capacity`, and the number of the request.
    pub(super) fn ask(&mut self, free: usize, capacity: usize, now: Instant) -> Option<(u64, usize)> {
        let want = free.saturating_sub(self.asked).min(self.most);
        let enough = want * 2 >= capacity.min(self.most) || self.asked == 0;
        if want == 0 || !enough {
            return None;
        }
        if self.open.is_empty() {
            self.heard = Some(now);
        }
        self.asked += want;
        self.next += 1;
        self.open.push((self.next, now + self.expires + MARGIN));
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

    /// Gives up every request whose time is long over, and all of them when the server says nothing of any.
    pub(super) fn expire(&mut self, now: Instant) {
        if self.forgotten().is_some_and(|forgotten| forgotten <= now) {
            self.open.clear();
        }
        self.open.retain(|(_, until)| *until > now);
        if self.open.is_empty() {
            self.asked = 0;
        }
    }

    /// When [`Pulls::expire`] has something to do.
    pub(super) fn until(&self) -> Option<Instant> {
        self.open.iter().map(|(_, until)| *until).chain(self.forgotten()).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn never_more_is_asked_for_than_there_are_seats() {
        let now = Instant::now();
        let mut pulls = Pulls::new(1000, None);
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
        let mut pulls = Pulls::new(1000, None);
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
        let mut pulls = Pulls::new(10, Some(Duration::from_secs(10)));
        assert_eq!(pulls.ask(100, 100, now), Some((1, 10)));
        assert_eq!(pulls.ask(100, 100, now), Some((2, 10)), "the consumer allows no larger one");
        assert_eq!(pulls.request(10), r#"{"batch":10,"expires":10000000000}"#, "it allows no longer wait");
        let expires = Duration::from_secs(10);
        assert_eq!(pulls.until(), Some(now + expires + MARGIN));
        pulls.expire(now + expires);
        assert!(pulls.until().is_some());
        pulls.expire(now + expires + MARGIN);
        assert_eq!((pulls.until(), pulls.ask(0, 100, now)), (None, None));
        assert_eq!(pulls.ask(3, 100, now), Some((3, 3)), "with nothing on its way every seat is worth a request");
    }
    #[tokio::test(start_paused = true)]
    async fn what_a_server_has_forgotten_is_asked_again_long_before_it_would_end() {
        let start = Instant::now();
        let mut pulls = Pulls::new(1000, Some(Duration::from_secs(3600)));
        assert_eq!(pulls.request(7), r#"{"batch":7,"expires":30000000000,"idle_heartbeat":5000000000}"#);
        assert_eq!(pulls.ask(10, 10, start), Some((1, 10)));
        let heard = start + HEARTBEAT;
        pulls.heard(heard);
        pulls.expire(start + 2 * HEARTBEAT);
        assert_eq!((pulls.until(), pulls.ask(10, 10, heard)), (Some(heard + 2 * HEARTBEAT), None));
        pulls.expire(heard + 2 * HEARTBEAT);
        assert_eq!(pulls.until(), None);
        assert_eq!(pulls.ask(10, 10, heard + 3 * HEARTBEAT), Some((2, 10)));
        assert_eq!(pulls.until(), Some(heard + 5 * HEARTBEAT), "what was heard before this request says nothing of it");
    }
}
