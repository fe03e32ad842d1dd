//! Messages of one connection that were published and are not confirmed yet.
//!
//! A broker numbers what is published on a channel from one, and confirms numbers, many at once or out of turn. A message
//! that reached no queue comes back before it is confirmed, but with others' confirmations in between and without its
//! number. So it is looked for by what it holds; two messages that hold the same go the same way, and it does not matter
//! which of them is meant.

use std::collections::VecDeque;

use connectors::amqp::Returned;
use engine::port::{PublishError, Ticket};
use tokio::time::Instant;

use super::parcel::Parcel;

/// What becomes of a message.
pub(super) type Outcome = Result<(), PublishError>;

/// A message, and what its confirmation answers.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) parcel: Parcel,
    pub(super) ticket: Ticket,
    /// When it counts as failed.
    pub(super) deadline: Instant,
}

/// What is on its way on one channel.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// Confirmations up to this number are behind us.
    behind: u64,
    open: VecDeque<Option<Place>>,
    count: usize,
    /// Whether some that the broker still has were taken out.
    late: bool,
}

#[derive(Debug)]
struct Place {
    waiting: Waiting,
    /// It came back, and why.
    returned: Option<String>,
}

impl Window {
    /// A message was published.
    pub(super) fn publish(&mut self, waiting: Waiting) {
        self.open.push_back(Some(Place { waiting, returned: None }));
        self.count += 1;
    }

    /// How many numbers are between the oldest that is not confirmed and the newest.
    pub(super) fn span(&self) -> usize {
        self.open.len()
    }

    /// How many are not confirmed.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// A message came back. Tells whether one like it is on its way.
    pub(super) fn returned(&mut self, message: Returned) -> bool {
        let is_it = |place: &&mut Place| {
            let Parcel { routing_key, message_id, payload, .. } = &place.waiting.parcel;
            place.returned.is_none()
                && routing_key.as_bytes() == message.routing_key
                && message_id.as_deref().map(str::as_bytes) == message.message_id.as_deref()
                && *payload == message.payload
        };
        let found = self.open.iter_mut().flatten().find(is_it);
        found.map(|place| place.returned = Some(message.reason)).is_some()
    }

    /// The broker has confirmed or refused messages: each with why it came back, if it did.
    pub(super) fn confirmed(&mut self, tag: u64, multiple: bool, mut each: impl FnMut(Waiting, Option<String>)) {
        let Some(last) = tag.checked_sub(self.behind + 1).and_then(|place| usize::try_from(place).ok()) else { return };
        let first = if multiple { 0 } else { last };
        for place in self.open.iter_mut().take(last + 1).skip(first) {
            if let Some(Place { waiting, returned }) = place.take() {
                self.count -= 1;
                each(waiting, returned);
            }
        }
        self.shrink();
    }

    fn shrink(&mut self) {
        while self.open.pop_front_if(|place| place.is_none()).is_some() {
            self.behind += 1;
        }
    }

    /// Takes out what counts as failed by now; its confirmation will mean nothing.
    pub(super) fn expired(&mut self, now: Instant) -> Vec<Waiting> {
        let late = |place: &mut Option<Place>| place.take_if(|place| place.waiting.deadline <= now);
        let late: Vec<_> = self.open.iter_mut().filter_map(late).map(|place| place.waiting).collect();
        self.count -= late.len();
        self.late |= !late.is_empty();
        self.shrink();
        late
    }

    /// Whether the broker may still have a message that is not here any more, because it was waited for too long.
    pub(super) fn is_late(&self) -> bool {
        self.late
    }

    /// The earliest deadline.
    pub(super) fn deadline(&self) -> Option<Instant> {
        // They were published in the order of their deadlines, but for those that a lost connection put back.
        self.open.iter().flatten().map(|place| place.waiting.deadline).next()
    }

    /// Moves every deadline.
    pub(super) fn postpone(&mut self, by: std::time::Duration) {
        self.open.iter_mut().flatten().for_each(|place| place.waiting.deadline += by);
    }

    /// Everything that is not confirmed, in order.
    pub(super) fn into_unconfirmed(self) -> impl DoubleEndedIterator<Item = Waiting> {
        self.open.into_iter().flatten().map(|place| place.waiting)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use engine::port::Confirmations;

    use super::*;

    fn waiting(id: &str) -> Waiting {
        let ticket = Confirmations::<()>::default().offer().accept().0;
        let parcel = Parcel {
            routing_key: "a.b".into(),
            message_id: Some(id.into()),
            properties: Bytes::new(),
            payload: Bytes::from_static(b"x"),
        };
        Waiting { parcel, ticket, deadline: Instant::now() + Duration::from_secs(9) }
    }

    fn window(ids: &[&str]) -> Window {
        let mut window = Window::default();
        ids.iter().for_each(|id| window.publish(waiting(id)));
        window
    }

    fn confirmed(window: &mut Window, tag: u64, multiple: bool) -> Vec<(String, bool)> {
        let mut said = Vec::new();
        window.confirmed(tag, multiple, |waiting, returned| {
            said.push((waiting.parcel.message_id.unwrap().into(), returned.is_some()));
        });
        said
    }

    fn back(id: &str) -> Returned {
        Returned {
            routing_key: Bytes::from_static(b"a.b"),
            message_id: Some(Bytes::copy_from_slice(id.as_bytes())),
            payload: Bytes::from_static(b"x"),
            reason: "312 NO_ROUTE".into(),
        }
    }

    fn said(id: &str, returned: bool) -> (String, bool) {
        (id.to_owned(), returned)
    }

    #[tokio::test(start_paused = true)]
    async fn confirmations_come_one_by_one_or_many_at_once() {
        let mut window = window(&["1", "2", "3", "4", "5"]);
        assert_eq!(confirmed(&mut window, 2, false), [said("2", false)]);
        assert_eq!(confirmed(&mut window, 4, true), [said("1", false), said("3", false), said("4", false)]);
        assert_eq!((confirmed(&mut window, 4, true), window.len()), (vec![], 1));
        assert_eq!((confirmed(&mut window, 9, true), window.len()), (vec![said("5", false)], 0));
        window.publish(waiting("6"));
        assert_eq!(confirmed(&mut window, 6, false), [said("6", false)]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_came_back_is_told_by_what_it_holds_and_not_by_the_next_confirmation() {
        let mut window = window(&["1", "2", "3"]);
        assert!(window.returned(back("3")));
        assert_eq!(confirmed(&mut window, 2, true), [said("1", false), said("2", false)]);
        assert_eq!(confirmed(&mut window, 3, false), [said("3", true)]);
        assert!(!window.returned(back("3")), "nothing like it is on its way");
    }

    #[tokio::test(start_paused = true)]
    async fn of_two_alike_each_comes_back_once() {
        let mut window = window(&["1", "1", "2"]);
        assert!(window.returned(back("1")) && window.returned(back("1")) && !window.returned(back("1")));
        assert_eq!(confirmed(&mut window, 3, true), [said("1", true), said("1", true), said("2", false)]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_late_has_failed_and_keeps_its_number() {
        let mut window = window(&["1"]);
        tokio::time::advance(Duration::from_secs(5)).await;
        window.publish(waiting("2"));
        tokio::time::advance(Duration::from_secs(4)).await;
        assert!(window.deadline() == Some(Instant::now()));
        let late = window.expired(Instant::now());
        assert_eq!((late.len(), late[0].parcel.message_id.as_deref(), window.len()), (1, Some("1"), 1));
        assert_eq!(window.span(), 1, "it takes no room any more");
        window.postpone(Duration::from_secs(9));
        tokio::time::advance(Duration::from_secs(6)).await;
        assert!(window.expired(Instant::now()).is_empty());
        assert_eq!(confirmed(&mut window, 2, true), [said("2", false)]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_lost_connection_leaves_is_in_order() {
        let mut window = window(&["1", "2", "3"]);
        confirmed(&mut window, 2, false);
        let left: Vec<_> = window.into_unconfirmed().map(|waiting| waiting.parcel.message_id.unwrap()).collect();
        assert_eq!(left, ["1".into(), "3".into()]);
    }
}
