//! The ring between the task that talks to the broker and the task that hands events over.
//!
//! MQTT pushes: a broker sends what it likes, and whoever does not read cannot be told anything else. So the connection's
//! task always reads into this ring, which holds twice as many messages as there are seats and a bounded number of bytes,
//! and takes them out of nobody's way: quality of service 0 that finds no room is dropped and counted; quality of service
//! 1 that finds no room is given back, and the connection stops reading until the ring is half empty, in both versions. At most half of the
//! ring is quality of service 0, so that a flood of it takes no room from what must not be lost.

use std::collections::VecDeque;

use super::wire::Publish;

/// What a message occupies besides its own bytes.
const OVERHEAD: usize = 128;

/// A message and the connection on which it came.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) epoch: u32,
    pub(super) publish: Publish,
}

impl Arrival {
    fn size(&self) -> usize {
        self.publish.size() + OVERHEAD
    }

    fn may_be_lost(&self) -> bool {
        self.publish.ack.is_none()
    }
}

/// What became of a message that was offered.
#[derive(Debug)]
pub(super) enum Offer {
    Staged,
    /// Quality of service 0 without room.
    Dropped,
    /// No room: stop reading, and offer it again when the ring is half empty.
    Full(Arrival),
}

/// The ring.
#[derive(Debug)]
pub(super) struct Ring {
    queue: VecDeque<Arrival>,
    bytes: usize,
    /// Messages in the queue that may be lost.
    lossy: usize,
    seats: usize,
    most_bytes: usize,
}

impl Ring {
    /// A ring for a source with `seats` seats, and `most_bytes` bytes.
    pub(super) fn new(seats: usize, most_bytes: usize) -> Ring {
        Ring { queue: VecDeque::new(), bytes: 0, lossy: 0, seats, most_bytes }
    }

    /// How many messages wait.
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Takes a message in, if there is room. A message always finds room in an empty ring.
    pub(super) fn offer(&mut self, arrival: Arrival) -> Offer {
        let full = self.queue.len() >= 2 * self.seats
            || (self.bytes + arrival.size() > self.most_bytes && !self.queue.is_empty());
        match arrival.may_be_lost() {
            true if full || self.lossy >= self.seats => return Offer::Dropped,
            true => self.lossy += 1,
            false if full => return Offer::Full(arrival),
            false => {}
        }
        self.bytes += arrival.size();
        self.queue.push_back(arrival);
        Offer::Staged
    }

    /// Takes out at most `count` messages, oldest first.
    pub(super) fn take(&mut self, count: usize, into: &mut Vec<Arrival>) {
        let count = count.min(self.queue.len());
        for arrival in self.queue.drain(..count) {
            self.bytes -= arrival.size();
            self.lossy -= usize::from(arrival.may_be_lost());
            into.push(arrival);
        }
    }

    /// Whether a connection that stopped reading may go on.
    pub(super) fn half_empty(&self) -> bool {
        self.queue.len() <= self.seats && self.bytes <= self.most_bytes / 2
    }

    /// Forgets what the broker will send again now that the connection is gone.
    pub(super) fn connection_lost(&mut self) {
        self.queue.retain(Arrival::may_be_lost);
        self.bytes = self.queue.iter().map(Arrival::size).sum();
    }

    /// Forgets everything; answers how many messages were lost by it.
    pub(super) fn clear(&mut self) -> usize {
        let lost = self.lossy;
        self.queue.clear();
        (self.bytes, self.lossy) = (0, 0);
        lost
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::mqtt::wire::Ack;

    fn arrival(packet: u16, size: usize) -> Arrival {
        let ack = (packet > 0).then_some(Ack::Once(packet));
        let payload = Bytes::from(vec![0; size]);
        let publish = Publish { ack, topic: Bytes::new(), properties: Bytes::new(), payload, flaw: None };
        Arrival { epoch: 1, publish }
    }

    fn staged(ring: &mut Ring, packet: u16) -> bool {
        matches!(ring.offer(arrival(packet, 0)), Offer::Staged)
    }

    #[test]
    fn what_may_be_lost_fills_half_of_the_ring() {
        let mut ring = Ring::new(2, 1 << 20);
        assert!(staged(&mut ring, 0) && staged(&mut ring, 0));
        assert!(matches!(ring.offer(arrival(0, 0)), Offer::Dropped));
        assert!(staged(&mut ring, 1) && staged(&mut ring, 2));
        assert!(matches!(ring.offer(arrival(3, 0)), Offer::Full(_)));
    }

    #[test]
    fn reading_goes_on_when_half_is_gone() {
        let mut ring = Ring::new(2, 1 << 20);
        for packet in 1..=4 {
            assert!(staged(&mut ring, packet));
        }
        let mut out = Vec::new();
        ring.take(1, &mut out);
        assert!(!ring.half_empty());
        ring.take(1, &mut out);
        assert!(ring.half_empty());
        assert_eq!((out.len(), ring.len()), (2, 2));
    }

    #[test]
    fn bytes_are_bounded_but_one_message_always_fits() {
        let mut ring = Ring::new(100, 1000);
        assert!(matches!(ring.offer(arrival(1, 5000)), Offer::Staged));
        assert!(matches!(ring.offer(arrival(2, 1)), Offer::Full(_)));
        assert!(matches!(ring.offer(arrival(0, 1)), Offer::Dropped));
        ring.take(1, &mut Vec::new());
        assert!(staged(&mut ring, 2) && ring.half_empty());
    }

    #[test]
    fn a_lost_connection_leaves_only_what_nobody_sends_again() {
        let mut ring = Ring::new(4, 1 << 20);
        for packet in [1, 0, 2] {
            assert!(staged(&mut ring, packet));
        }
        ring.connection_lost();
        assert_eq!((ring.len(), ring.clear(), ring.len()), (1, 1, 0));
    }

    proptest! {
        #[test]
        fn the_figures_hold_whatever_happens(
            steps in prop::collection::vec((0..4_u8, 0..3_u16, 0..600_usize), 1..200),
        ) {
            let mut ring = Ring::new(5, 2000);
            for (step, packet, size) in steps {
                match step {
                    0 | 1 => drop(ring.offer(arrival(packet, size))),
                    2 => ring.take(size % 4, &mut Vec::new()),
                    _ => ring.connection_lost(),
                }
                prop_assert_eq!(ring.bytes, ring.queue.iter().map(Arrival::size).sum::<usize>());
                prop_assert_eq!(ring.lossy, ring.queue.iter().filter(|arrival| arrival.may_be_lost()).count());
                prop_assert!(ring.len() <= 10 && ring.lossy <= 5);
                prop_assert!(ring.bytes <= 2000 || ring.len() == 1);
            }
        }
    }
}
