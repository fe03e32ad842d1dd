//! Messages in seats, and how long the server will wait for each.
//!
//! Decision: one sweep over the seats, not a timer per event. It extends the lease of every message that has been silent
//! for half of `ack_wait`, whether its event runs or waits for its turn or its next attempt; so a slow function never
//! makes the server deliver again what is only slow.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::position::Place;

/// A message that is in a seat and not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    /// Where its acknowledgement goes.
    pub(super) reply: Bytes,
    /// Which message of the stream it is.
    pub(super) place: Place,
    /// When the server last heard of it.
    pub(super) touched: Instant,
}

/// The messages in seats.
#[derive(Debug)]
pub(super) struct Leases(Vec<Option<Held>>);

impl Leases {
    /// No message is in any of `capacity` seats.
    pub(super) fn new(capacity: usize) -> Leases {
        Leases(vec![None; capacity])
    }

    /// A message has taken a seat.
    pub(super) fn hold(&mut self, seat: usize, held: Held) {
        self.0[seat] = Some(held);
    }

    /// The message in a seat has settled.
    pub(super) fn release(&mut self, seat: usize) -> Option<Held> {
        self.0[seat].take()
    }

    /// This message, if it is still open here: what came again is a copy of it.
    pub(super) fn open(&mut self, place: Place) -> Option<&mut Held> {
        self.0.iter_mut().flatten().find(|held| held.place == place)
    }

    /// The stream has another message with this sequence now: what settles of the one before is told to nobody, because
    /// the server would take it for this one.
    pub(super) fn forget(&mut self, sequence: u64) {
        for held in &mut self.0 {
            held.take_if(|held| held.place.sequence == sequence);
        }
    }

    /// The stream was made anew: what settles of the one before is told to nobody.
    pub(super) fn clear(&mut self) {
        self.0.fill(None);
    }

    /// Every message of which the server has not heard for half of `lease`, which from now on it has.
    pub(super) fn due(&mut self, lease: Duration, now: Instant) -> impl Iterator<Item = &Bytes> {
        self.0.iter_mut().flatten().filter_map(move |held| {
            (now.saturating_duration_since(held.touched) >= lease / 2).then(|| {
                held.touched = now;
                &held.reply
            })
        })
    }
}

/// What of the stream was seen, so that a copy is not taken for another message.
///
/// A server sends copies when a lease ends, when an acknowledgement was lost with its connection, and, seen with 2.9.10,
/// when a message is handed back while a consumer's request goes away: then even twice, once as if for the first time.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// The furthest place of a message that came.
    highest: u64,
    /// What was settled last, oldest first.
    settled: VecDeque<Place>,
    most: usize,
}

impl Seen {
    /// Nothing was seen; `most` settled messages are remembered.
    pub(super) fn new(most: usize) -> Seen {
        Seen { most, ..Seen::default() }
    }

    /// A message came. Tells whether it may be a copy of one that came before, or another one with the same sequence; what
    /// is further than all others is neither.
    pub(super) fn came(&mut self, sequence: u64) -> bool {
        let may_be_copy = sequence <= self.highest;
        self.highest = self.highest.max(sequence);
        may_be_copy
    }

    /// A message was settled for good.
    pub(super) fn settled(&mut self, place: Place) {
        if self.settled.len() >= self.most {
            self.settled.pop_front();
        }
        self.settled.push_back(place);
    }

    /// Whether a message was settled not long ago.
    pub(super) fn was_settled(&self, place: Place) -> bool {
        self.settled.contains(&place)
    }
}

/// How often to look for leases that are due. A lease is extended at three quarters of its time at the latest.
pub(super) fn period(lease: Duration) -> Duration {
    (lease / 4).max(Duration::from_millis(20))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(4);

    fn place(sequence: u64) -> Place {
        Place { sequence, time: 1 }
    }

    fn held(sequence: u64) -> Held {
        Held { reply: Bytes::from(format!("r{sequence}")), place: place(sequence), touched: Instant::now() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_is_extended_before_it_ends_however_long_the_event_takes() {
        let mut leases = Leases::new(2);
        let mut heard = Instant::now();
        leases.hold(1, held(7));
        let until = heard + 10 * LEASE;
        while Instant::now() < until {
            tokio::time::advance(period(LEASE)).await;
            let now = Instant::now();
            if leases.due(LEASE, now).count() > 0 {
                assert!(now - heard < LEASE, "the server would have delivered it again");
                heard = now;
            }
        }
        assert!(Instant::now() - heard < LEASE);
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_is_silent_and_open_is_due() {
        let mut leases = Leases::new(3);
        leases.hold(0, held(1));
        tokio::time::advance(LEASE / 2).await;
        leases.hold(1, held(2));
        leases.hold(2, held(3));
        leases.release(2);
        let now = Instant::now();
        assert_eq!(leases.due(LEASE, now).collect::<Vec<_>>(), ["r1"]);
        assert_eq!(leases.due(LEASE, now).count(), 0);
    }

    #[tokio::test]
    async fn a_copy_of_what_is_open_is_known() {
        let mut leases = Leases::new(2);
        leases.hold(1, held(7));
        assert_eq!(leases.open(place(7)).unwrap().reply, "r7");
        assert!(leases.open(place(8)).is_none());
        assert!(leases.open(Place { time: 2, ..place(7) }).is_none(), "another message with the same sequence");
        assert_eq!(leases.release(1).unwrap().place, place(7));
        assert!(leases.open(place(7)).is_none() && leases.release(1).is_none());
    }

    #[test]
    fn only_what_is_not_further_than_all_others_may_be_a_copy() {
        let mut seen = Seen::new(2);
        assert_eq!([5, 6, 6, 4, 7].map(|sequence| seen.came(sequence)), [false, false, true, true, false]);
        for sequence in [4, 5, 6] {
            seen.settled(place(sequence));
        }
        assert_eq!([4, 5, 6].map(|sequence| seen.was_settled(place(sequence))), [false, true, true]);
        assert!(!seen.was_settled(Place { time: 2, ..place(6) }));
    }
}
