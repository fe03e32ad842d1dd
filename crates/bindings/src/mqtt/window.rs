//! Messages of one connection that were published and are not confirmed yet.
//!
//! Packet identifiers go round in a circle, so that one is used again as late as possible. What was given up keeps its
//! place: the broker counts it until it has confirmed it, and may confirm it any time.

use std::collections::VecDeque;

use engine::port::{PublishError, Ticket};
use tokio::time::Instant;

use super::parcel::Parcel;

/// What becomes of a message.
pub(super) type Outcome = Result<(), PublishError>;

/// How many packet identifiers there are: every number of two bytes but zero.
const IDENTIFIERS: usize = 65_535;

/// A message, and what its confirmation answers.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) parcel: Parcel,
    pub(super) ticket: Ticket,
    /// When it counts as failed.
    pub(super) deadline: Instant,
    /// On how many connections it was published.
    pub(super) sendings: u8,
}

impl Waiting {
    /// Says what became of it. Whoever has given up waiting hears nothing.
    pub(super) fn settle(self, outcome: Outcome) {
        self.ticket.answer(outcome);
    }
}

/// What is on its way on one connection.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// One less than the identifier of the first place.
    behind: usize,
    open: VecDeque<Place>,
    /// What the broker has not confirmed, and how much of that nobody waits for any more.
    unconfirmed: usize,
    given_up: usize,
    /// What nobody confirms, with where its last byte is.
    leaving: VecDeque<(u64, Waiting)>,
}

#[derive(Debug)]
enum Place {
    Waiting(Waiting),
    GivenUp,
    Done,
}

impl Window {
    /// How many somebody waits for.
    pub(super) fn len(&self) -> usize {
        self.unconfirmed - self.given_up + self.leaving.len()
    }

    /// Whether the broker takes one more, when it takes `most` without having confirmed them.
    pub(super) fn has_room(&self, most: usize) -> bool {
        self.unconfirmed < most && self.open.len() < IDENTIFIERS
    }

    /// Whether everything that a broker with `most` takes was given up.
    pub(super) fn is_stuck(&self, most: usize) -> bool {
        self.given_up > 0 && self.given_up == self.unconfirmed && !self.has_room(most)
    }

    /// The packet identifier of the next message.
    pub(super) fn next(&self) -> u16 {
        ((self.behind + self.open.len()) % IDENTIFIERS + 1) as u16
    }

    /// A message goes out under the next packet identifier.
    pub(super) fn publish(&mut self, waiting: Waiting) {
        self.open.push_back(Place::Waiting(waiting));
        self.unconfirmed += 1;
    }

    /// A message goes out that nobody confirms, up to the byte `mark` of its connection.
    pub(super) fn leave(&mut self, mark: u64, waiting: Waiting) {
        self.leaving.push_back((mark, waiting));
    }

    /// The bytes before `mark` have left: the messages in them.
    pub(super) fn left(&mut self, mark: u64) -> impl Iterator<Item = Waiting> {
        let count = self.leaving.partition_point(|(end, _)| *end <= mark);
        self.leaving.drain(..count).map(|(_, waiting)| waiting)
    }

    /// The broker has answered a message; nothing where nobody waits for it.
    pub(super) fn answered(&mut self, packet: u16) -> Option<Waiting> {
        let distance = usize::from(packet) + IDENTIFIERS - 1 - self.behind % IDENTIFIERS;
        let place = self.open.get_mut(distance % IDENTIFIERS)?;
        let waiting = match std::mem::replace(place, Place::Done) {
            Place::Done => return None,
            Place::GivenUp => {
                self.given_up -= 1;
                None
            }
            Place::Waiting(waiting) => Some(waiting),
        };
        self.unconfirmed -= 1;
        while self.open.pop_front_if(|place| matches!(place, Place::Done)).is_some() {
            self.behind = (self.behind + 1) % IDENTIFIERS;
        }
        waiting
    }

    /// Gives up what counts as failed by now.
    pub(super) fn expired(&mut self, now: Instant) -> Vec<Waiting> {
        let mut late = Vec::new();
        for place in &mut self.open {
            if matches!(place, Place::Waiting(waiting) if waiting.deadline <= now)
                && let Place::Waiting(waiting) = std::mem::replace(place, Place::GivenUp)
            {
                self.given_up += 1;
                late.push(waiting);
            }
        }
        while let Some((_, waiting)) = self.leaving.pop_front_if(|(_, waiting)| waiting.deadline <= now) {
            late.push(waiting);
        }
        late
    }

    /// The earliest deadline.
    pub(super) fn deadline(&self) -> Option<Instant> {
        // They were published in the order of their deadlines.
        let open = self.open.iter().find_map(|place| match place {
            Place::Waiting(waiting) => Some(waiting.deadline),
            _ => None,
        });
        open.into_iter().chain(self.leaving.front().map(|(_, waiting)| waiting.deadline)).min()
    }

    /// What a lost connection leaves: what is not confirmed, in order, and what may or may not have left.
    pub(super) fn into_rest(self) -> (Vec<Waiting>, Vec<Waiting>) {
        let waiting = |place| match place {
            Place::Waiting(waiting) => Some(waiting),
            _ => None,
        };
        let unconfirmed = self.open.into_iter().filter_map(waiting).collect();
        (unconfirmed, self.leaving.into_iter().map(|(_, waiting)| waiting).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use engine::port::Confirmations;
    use proptest::prelude::*;

    use super::*;

    fn waiting(topic: &str) -> Waiting {
        let parcel = Parcel { topic: topic.into(), properties: Bytes::new(), payload: Bytes::new() };
        let deadline = Instant::now() + Duration::from_secs(9);
        let ticket = Confirmations::<()>::default().offer().accept().0;
        Waiting { parcel, ticket, deadline, sendings: 0 }
    }

    fn publish(window: &mut Window, topic: &str) -> u16 {
        let id = window.next();
        window.publish(waiting(topic));
        id
    }

    fn topics(list: impl IntoIterator<Item = Waiting>) -> Vec<String> {
        list.into_iter().map(|waiting| waiting.parcel.topic.into()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn answers_come_in_any_order_and_mean_their_own_message() {
        let mut window = Window::default();
        let ids: Vec<u16> = ["a", "b", "c"].map(|topic| publish(&mut window, topic)).into();
        assert_eq!(ids, [1, 2, 3]);
        assert!(!window.has_room(3) && window.has_room(4));
        assert_eq!(topics(window.answered(2)), ["b"]);
        assert!(window.answered(2).is_none() && window.answered(9).is_none() && window.answered(0).is_none());
        assert!(window.has_room(3), "the broker counts what is not confirmed, and not how far apart it is");
        assert_eq!((publish(&mut window, "d"), window.len()), (4, 3));
        assert_eq!(topics(window.answered(1)), ["a"]);
        let (unconfirmed, leaving) = window.into_rest();
        assert_eq!((topics(unconfirmed), leaving.len()), (vec!["c".to_owned(), "d".to_owned()], 0));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_given_up_keeps_its_place_until_it_is_confirmed() {
        let mut window = Window::default();
        window.publish(waiting("a"));
        tokio::time::advance(Duration::from_secs(5)).await;
        window.publish(waiting("b"));
        tokio::time::advance(Duration::from_secs(4)).await;
        assert_eq!(window.deadline(), Some(Instant::now()));
        assert_eq!(topics(window.expired(Instant::now())), ["a"]);
        assert!(!window.has_room(2) && !window.is_stuck(2) && window.len() == 1);
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(topics(window.expired(Instant::now())), ["b"]);
        assert!(window.is_stuck(2) && !window.is_stuck(3) && window.deadline().is_none());
        assert!(window.answered(1).is_none() && window.has_room(2) && !window.is_stuck(2));
        assert!(window.answered(2).is_none() && window.len() == 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_confirms_is_done_when_it_has_left() {
        let mut window = Window::default();
        window.leave(10, waiting("a"));
        window.leave(20, waiting("b"));
        assert_eq!((window.left(9).count(), window.len()), (0, 2));
        assert_eq!(topics(window.left(19)), ["a"]);
        tokio::time::advance(Duration::from_secs(9)).await;
        assert_eq!(window.deadline(), Some(Instant::now()));
        assert_eq!(topics(window.expired(Instant::now())), ["b"]);
        window.leave(30, waiting("c"));
        assert_eq!(topics(window.into_rest().1), ["c"]);
    }

    proptest! {
        #[test]
        fn no_identifier_is_used_twice_at_once(steps in prop::collection::vec((any::<bool>(), 0..20_usize), 1..300)) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            let _inside = runtime.enter();
            // Near the end of the circle, so that it closes.
            let mut window = Window { behind: IDENTIFIERS - 100, ..Window::default() };
            let mut open: Vec<u16> = Vec::new();
            for (more, which) in steps {
                if more || open.is_empty() {
                    let id = publish(&mut window, "t");
                    prop_assert!(id > 0 && !open.contains(&id), "{id} of {open:?}");
                    open.push(id);
                } else {
                    let id = open.remove(which % open.len());
                    prop_assert!(window.answered(id).is_some());
                    prop_assert!(window.answered(id).is_none());
                }
                prop_assert_eq!(window.len(), open.len());
            }
        }
    }
}
