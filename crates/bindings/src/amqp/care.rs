//! Whose fault it was that the broker closed the channel.
//!
//! A broker that refuses a message, because its routing key is not this user's to write or because it is larger than the
//! broker takes, closes the channel and does not say over which one. Decision: nobody fails for a neighbour. What was on
//! its way goes first on the next channel, one message at a time, and only one that was alone when the channel closed again
//! has failed.

use std::collections::VecDeque;

use super::window::Waiting;

/// How carefully to publish.
#[derive(Debug, Default)]
pub(super) struct Care {
    /// How many messages are still to be published one at a time: those that went back, and the one that has to wait for
    /// the last of them.
    left: usize,
}

impl Care {
    /// How many may be on their way, where `window` is usual.
    pub(super) fn limit(&self, window: usize) -> usize {
        if self.left > 0 { 1 } else { window }
    }

    /// A message was published.
    pub(super) fn published(&mut self) {
        self.left = self.left.saturating_sub(1);
    }

    /// The channel was closed over one of these, in order. Answers which one, if that is known; the others go back to the
    /// front of `queue`.
    pub(super) fn closed(&mut self, on_their_way: Vec<Waiting>, queue: &mut VecDeque<Waiting>) -> Option<Waiting> {
        let count = on_their_way.len();
        let mut rest = on_their_way.into_iter();
        if count == 1 {
            return rest.next();
        }
        if count > 0 {
            self.left = count + 1;
        }
        rest.rev().for_each(|waiting| queue.push_front(waiting));
        None
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use engine::port::Confirmations;
    use tokio::time::Instant;

    use super::*;
    use crate::amqp::parcel::Parcel;
    use crate::amqp::window::Window;

    fn waiting(key: &str) -> Waiting {
        let parcel =
            Parcel { routing_key: key.into(), message_id: None, properties: Bytes::new(), payload: Bytes::new() };
        let ticket = Confirmations::<()>::default().offer().accept().0;
        Waiting { parcel, ticket, deadline: Instant::now() + Duration::from_secs(9) }
    }

    fn key(waiting: &Waiting) -> String {
        waiting.parcel.routing_key.to_string()
    }

    /// Publishes to a broker that refuses what begins with `no`, and answers what it took, what failed, and how many
    /// channels it closed.
    fn play(keys: &[&str], window: usize) -> (Vec<String>, Vec<String>, usize) {
        let (mut care, mut queue): (_, VecDeque<_>) = (Care::default(), keys.iter().map(|key| waiting(key)).collect());
        let (mut taken, mut failed, mut closed, mut on_their_way) = (Vec::new(), Vec::new(), 0, Window::default());
        while !queue.is_empty() || on_their_way.len() > 0 {
            while on_their_way.span() < care.limit(window)
                && let Some(next) = queue.pop_front()
            {
                care.published();
                on_their_way.publish(next);
            }
            let all: Vec<_> = std::mem::take(&mut on_their_way).into_unconfirmed().collect();
            if all.iter().any(|waiting| key(waiting).starts_with("no")) {
                closed += 1;
                failed.extend(care.closed(all, &mut queue).map(|waiting| key(&waiting)));
            } else {
                taken.extend(all.iter().map(key));
            }
        }
        (taken, failed, closed)
    }

    #[tokio::test]
    async fn only_the_message_that_was_refused_fails_and_the_order_stays() {
        let keys = ["a", "b", "no-1", "c", "no-2", "d", "e", "f"];
        let wanted = ["a", "b", "c", "d", "e", "f"].map(str::to_owned).to_vec();
        assert_eq!(play(&keys, 5), (wanted, vec!["no-1".to_owned(), "no-2".to_owned()], 3));
        assert_eq!(play(&["no-1"], 5), (Vec::new(), vec!["no-1".to_owned()], 1), "it was alone from the start");
        let last = ["a", "no-1"];
        assert_eq!(play(&last, 2), (vec!["a".to_owned()], vec!["no-1".to_owned()], 2));
        assert_eq!(
            play(&[&last[..], &["b"]].concat(), 2).2,
            2,
            "the one behind waits for the last of those that went back"
        );
    }

    #[test]
    fn afterwards_the_window_is_as_wide_as_before() {
        let mut care = Care::default();
        assert_eq!(care.limit(9), 9);
        assert!(care.closed(Vec::new(), &mut VecDeque::new()).is_none());
        assert_eq!(care.limit(9), 9, "nothing was on its way, so nothing is to blame");
    }
}
