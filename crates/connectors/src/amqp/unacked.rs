//! What one channel has delivered and has not been told about, and how to tell it in few frames.
//!
//! A broker numbers its deliveries on a channel from one. Everything that has finished below the oldest message that has
//! not is acknowledged at once by its last number; what has finished above it is acknowledged by itself, because one slow
//! message must hold up neither the prefetch nor the queue. Only what is open is kept, so that a slow message costs no
//! memory either, however many go past it.

use std::collections::BTreeMap;

use tokio::time::Instant;

/// The number of a delivery on its channel.
pub(super) type Tag = u64;

/// One acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ack {
    pub(super) tag: Tag,
    /// Whether it stands for every delivery before it too.
    pub(super) multiple: bool,
}

/// The deliveries of one channel.
#[derive(Debug, Default)]
pub(super) struct Unacked {
    /// The tag of the last delivery.
    last: Tag,
    /// Those that have not finished, and since when they are here.
    open: BTreeMap<Tag, Instant>,
    /// Up to here, what is open has been asked for.
    asked: Tag,
    /// Those that have finished and are not acknowledged yet.
    finished: Vec<Tag>,
}

impl Unacked {
    /// A message came; tags have no gaps.
    pub(super) fn delivered(&mut self, now: Instant) -> Tag {
        self.last += 1;
        self.open.insert(self.last, now);
        self.last
    }

    /// A message has finished. One that was handed back meanwhile is not this channel's any more.
    pub(super) fn finished(&mut self, tag: Tag) {
        if self.open.remove(&tag).is_some() {
            self.finished.push(tag);
        }
    }

    /// A message is handed back or refused, by a frame of its own. Tells whether it was this channel's.
    pub(super) fn given_up(&mut self, tag: Tag) -> bool {
        self.open.remove(&tag).is_some()
    }

    /// Everything that is to be said now.
    pub(super) fn acks(&mut self, into: &mut Vec<Ack>) {
        let oldest = self.open.first_key_value().map_or(Tag::MAX, |(tag, _)| *tag);
        let (mut below, mut through) = (0, 0);
        for &tag in &self.finished {
            if tag < oldest {
                below += 1;
                through = through.max(tag);
            }
        }
        if below > 0 {
            into.push(Ack { tag: through, multiple: below > 1 });
        }
        let above = self.finished.drain(..).filter(|tag| *tag > oldest);
        into.extend(above.map(|tag| Ack { tag, multiple: false }));
    }

    /// What the broker counts as unacknowledged.
    pub(super) fn len(&self) -> usize {
        self.open.len() + self.finished.len()
    }

    /// Whether anything ever came.
    pub(super) fn has_delivered(&self) -> bool {
        self.last > 0
    }

    /// Since when the oldest one has been open.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.open.first_key_value().map(|(_, since)| *since)
    }

    /// Since when the oldest one has been open that was not asked for.
    pub(super) fn oldest_unasked(&self) -> Option<Instant> {
        self.open.range(self.asked + 1..).next().map(|(_, since)| *since)
    }

    /// Those that have been open since `then` or before and were not asked for yet, oldest first. From now on they were.
    pub(super) fn ask(&mut self, then: Instant) -> Vec<Tag> {
        let old = self.open.range(self.asked + 1..).take_while(|(_, since)| **since <= then).map(|(tag, _)| *tag);
        let old: Vec<Tag> = old.collect();
        self.asked = old.last().copied().unwrap_or(self.asked);
        old
    }

    /// Those that have been open since `then` or before, oldest first.
    pub(super) fn before(&self, then: Instant) -> Vec<Tag> {
        self.open.iter().take_while(|(_, since)| **since <= then).map(|(tag, _)| *tag).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn ack(tag: Tag, multiple: bool) -> Ack {
        Ack { tag, multiple }
    }

    fn acks(unacked: &mut Unacked) -> Vec<Ack> {
        let mut said = Vec::new();
        unacked.acks(&mut said);
        said
    }

    #[tokio::test(start_paused = true)]
    async fn a_prefix_goes_at_once_and_the_rest_one_by_one() {
        let mut unacked = Unacked::default();
        let tags: Vec<_> = (0..6).map(|_| unacked.delivered(Instant::now())).collect();
        assert_eq!(tags, [1, 2, 3, 4, 5, 6]);
        [1, 2, 4, 6].into_iter().for_each(|tag| unacked.finished(tag));
        assert_eq!(acks(&mut unacked), [ack(2, true), ack(4, false), ack(6, false)]);
        assert_eq!((acks(&mut unacked), unacked.len()), (vec![], 2));
        unacked.finished(3);
        assert_eq!(acks(&mut unacked), [ack(3, false)], "what was acknowledged before is not said again");
        unacked.finished(5);
        assert_eq!((acks(&mut unacked), unacked.len()), (vec![ack(5, false)], 0));
        assert_eq!(unacked.delivered(Instant::now()), 7);
        for _ in 0..1000 {
            let tag = unacked.delivered(Instant::now());
            unacked.finished(tag);
            assert_eq!(acks(&mut unacked), [ack(tag, false)]);
        }
        assert_eq!((unacked.len(), unacked.open.len()), (1, 1), "nothing is kept of what went past");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_old_can_be_handed_back_once() {
        let mut unacked = Unacked::default();
        let start = Instant::now();
        let (first, second) = (unacked.delivered(start), unacked.delivered(start));
        tokio::time::advance(Duration::from_secs(5)).await;
        unacked.delivered(Instant::now());
        unacked.finished(first);
        assert_eq!((unacked.before(start), unacked.oldest()), (vec![second], Some(start)));
        assert_eq!((unacked.ask(start), unacked.ask(start)), (vec![second], vec![]), "once");
        assert_eq!((unacked.oldest(), unacked.oldest_unasked()), (Some(start), Some(Instant::now())));
        assert!(unacked.given_up(second) && !unacked.given_up(second) && !unacked.given_up(first));
        unacked.finished(second);
        assert_eq!(acks(&mut unacked), [ack(first, false)]);
        assert_eq!((unacked.len(), unacked.before(start)), (1, vec![]));
    }

    /// A broker that counts what it has sent, and complains as RabbitMQ does.
    #[derive(Default)]
    struct Broker {
        sent: Tag,
        waiting: BTreeSet<Tag>,
    }

    impl Broker {
        fn acknowledged(&mut self, ack: Ack) -> Vec<Tag> {
            assert!(self.waiting.contains(&ack.tag), "unknown delivery tag {}", ack.tag);
            let of = |tag: &Tag| *tag == ack.tag || (ack.multiple && *tag < ack.tag);
            let these: Vec<Tag> = self.waiting.iter().copied().filter(of).collect();
            for tag in &these {
                self.waiting.remove(tag);
            }
            these
        }
    }

    proptest! {
        #[test]
        fn exactly_what_has_finished_is_acknowledged(steps in prop::collection::vec((0..4_u8, 0..60_u64), 0..300)) {
            let now = Instant::now();
            let (mut unacked, mut broker) = (Unacked::default(), Broker::default());
            let mut finished = BTreeSet::new();
            for (step, tag) in steps {
                match step {
                    0 => {
                        broker.sent += 1;
                        broker.waiting.insert(broker.sent);
                        prop_assert_eq!(unacked.delivered(now), broker.sent);
                    }
                    1 => {
                        unacked.finished(tag);
                        if broker.waiting.contains(&tag) {
                            finished.insert(tag);
                        }
                    }
                    2 => {
                        let back = unacked.given_up(tag);
                        prop_assert_eq!(back, broker.waiting.contains(&tag) && !finished.contains(&tag));
                        if back {
                            broker.waiting.remove(&tag);
                        }
                    }
                    _ => {
                        let mut said = BTreeSet::new();
                        for ack in acks(&mut unacked) {
                            for tag in broker.acknowledged(ack) {
                                prop_assert!(said.insert(tag));
                            }
                        }
                        prop_assert_eq!(&said, &finished);
                        finished.clear();
                    }
                }
                prop_assert_eq!(unacked.len(), broker.waiting.len());
            }
        }
    }
}
