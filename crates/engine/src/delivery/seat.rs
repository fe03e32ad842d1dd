//! The fixed table of a source's seats.
//!
//! Settled seats are linked into a stack through the table itself and taken all at once, which gives completion order
//! without a queue, an allocation or a lock; since the taker takes everything, there is no ABA problem.

use super::outcome::Outcome;
use super::position::{Spot, Stream, Tracks};
use crate::sync::{AtomicBool, AtomicU32, AtomicU64, AtomicWaker, Ordering};

/// The end of a stack of seats, and no stream.
const NONE: u32 = u32::MAX;

/// Beside the number of a stream: the message may be a copy of one that was delivered before. No stream has it.
const AGAIN: u32 = 1 << 31;

/// The part of a seat's state that counts forks which have not settled; above are the bits of rules that were done.
const OPEN: u64 = (1 << DONE) - 1;
const DONE: u32 = 20;
/// That a fork of the message was parked.
const PARKED: u64 = 1 << 63;

/// The number of one place among the messages that a source may have in flight: an index for the source's own arrays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Seat(pub(super) u32);

impl Seat {
    /// `0..capacity` of the inbox.
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// All seats of one run of a source.
#[derive(Debug)]
pub(super) struct Table {
    places: Box<[Place]>,
    /// The last seat that settled and has not been taken, or `NONE`.
    settled: AtomicU32,
    /// Whoever waits for a settled seat.
    waiter: AtomicWaker,
    /// Whether every message in these seats is on the disk here until it is settled.
    durable: bool,
    /// Whether nobody hears of settled seats any more.
    abandoned: AtomicBool,
    /// The streams in which messages stand.
    tracks: Tracks,
}

#[derive(Debug)]
struct Place {
    /// Forks that have not settled, and of a message with several which rules were done.
    open: AtomicU64,
    /// The greatest outcome so far, encoded.
    outcome: AtomicU64,
    /// The seat that settled before this one.
    before: AtomicU32,
    /// The stream in which the message stands, or `NONE`, and its number there.
    stream: AtomicU32,
    sequence: AtomicU64,
}

impl Table {
    /// A table of `capacity` free seats, at most `u32::MAX - 1` of them.
    pub(super) fn new(capacity: usize, durable: bool, tracks: Tracks) -> Table {
        let place = |_| Place {
            open: AtomicU64::new(0),
            outcome: AtomicU64::new(0),
            before: AtomicU32::new(NONE),
            stream: AtomicU32::new(NONE),
            sequence: AtomicU64::new(0),
        };
        Table {
            places: (0..capacity).map(place).collect(),
            settled: AtomicU32::new(NONE),
            waiter: AtomicWaker::default(),
            durable,
            abandoned: AtomicBool::new(false),
            tracks,
        }
    }

    pub(super) fn capacity(&self) -> usize {
        self.places.len()
    }

    pub(super) fn is_durable(&self) -> bool {
        self.durable
    }

    /// The run is over, whatever is still in flight.
    pub(super) fn abandon(&self) {
        self.abandoned.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Relaxed)
    }

    /// Occupies a free seat with one open fork.
    pub(super) fn occupy(&self, seat: Seat) {
        let place = &self.places[seat.index()];
        place.outcome.store(0, Ordering::Relaxed);
        place.stream.store(NONE, Ordering::Relaxed);
        // The receipt that carries this seat is handed over through a synchronising queue.
        place.open.store(1, Ordering::Relaxed);
    }

    /// The message of a seat that was just occupied stands there.
    pub(super) fn locate(&self, seat: Seat, Stream(stream): Stream, sequence: u64, again: bool) {
        let place = &self.places[seat.index()];
        place.stream.store(stream | if again { AGAIN } else { 0 }, Ordering::Relaxed);
        place.sequence.store(sequence, Ordering::Relaxed);
    }

    /// Whether the message of an occupied seat may be a copy of one that was delivered before.
    #[inline]
    pub(super) fn is_again(&self, seat: Seat) -> bool {
        let stream = self.places[seat.index()].stream.load(Ordering::Relaxed);
        stream & AGAIN != 0 && stream != NONE
    }

    /// Where the message of an occupied seat stands, if its source has said so.
    pub(super) fn spot(&self, seat: Seat) -> Option<Spot> {
        let place = &self.places[seat.index()];
        let stream = place.stream.load(Ordering::Relaxed);
        let track = self.tracks.of(Stream(stream & !AGAIN)).filter(|_| stream != NONE)?;
        Some(Spot { track, sequence: place.sequence.load(Ordering::Relaxed) })
    }

    /// The fork of the rule with this number ends for good and is about to settle. Says whether another fork of the message was
    /// parked: then that one does not know it.
    #[inline]
    pub(super) fn ends_beside(&self, seat: Seat, rule: Option<u32>) -> bool {
        let place = &self.places[seat.index()];
        let state = place.open.load(Ordering::Acquire);
        if state & OPEN <= 1 {
            return state & PARKED != 0;
        }
        // Either this sees that one is parked, or whoever parks it sees this.
        let bit = rule.map_or(0, |rule| 1 << (DONE + rule));
        place.open.fetch_or(bit, Ordering::AcqRel) & PARKED != 0
    }

    /// A fork of the message is parked; answers the bits of the rules whose forks were done by then.
    pub(super) fn parks(&self, seat: Seat) -> u64 {
        let state = self.places[seat.index()].open.fetch_or(PARKED, Ordering::AcqRel);
        (state & !PARKED) >> DONE
    }

    /// One more open fork of an occupied seat.
    pub(super) fn fork(&self, seat: Seat) {
        // The caller holds an open fork, so the count cannot reach zero meanwhile.
        self.places[seat.index()].open.fetch_add(1, Ordering::Relaxed);
    }

    /// Settles one fork; the last one hands the seat to the source.
    pub(super) fn settle(&self, seat: Seat, outcome: Outcome) {
        let place = &self.places[seat.index()];
        if outcome != Outcome::Ack {
            place.outcome.fetch_max(outcome.encode(), Ordering::Relaxed);
        }
        // Release publishes this fork's outcome, acquire makes every other fork's visible to the last.
        if place.open.fetch_sub(1, Ordering::AcqRel) & OPEN == 1 {
            self.push(seat);
        }
    }

    fn push(&self, seat: Seat) {
        let place = &self.places[seat.index()];
        let mut head = self.settled.load(Ordering::Relaxed);
        loop {
            place.before.store(head, Ordering::Relaxed);
            match self.settled.compare_exchange_weak(head, seat.0, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => break,
                Err(current) => head = current,
            }
        }
        if head == NONE {
            // Whoever found the stack empty is or will be waiting; later pushes find it woken already.
            self.waiter.wake();
        }
    }

    /// Takes every settled seat in completion order; answers whether there was one.
    pub(super) fn take(&self, into: &mut Vec<(Seat, Outcome)>) -> bool {
        let start = into.len();
        let mut at = self.settled.swap(NONE, Ordering::AcqRel);
        while at != NONE {
            let place = &self.places[at as usize];
            into.push((Seat(at), Outcome::decode(place.outcome.load(Ordering::Relaxed))));
            at = place.before.load(Ordering::Relaxed);
        }
        into[start..].reverse();
        into.len() > start
    }

    /// The waiter for settled seats registers here and then takes once more.
    pub(super) fn waiter(&self) -> &AtomicWaker {
        &self.waiter
    }
}
