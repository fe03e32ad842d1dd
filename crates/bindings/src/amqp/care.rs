//! Whose fault it was that the broker closed the channel or the connection.
//!
//! A broker that refuses a message, because its routing key is not this user's to write or because it is larger than the
//! broker takes, closes the channel and does not say over which one. Something worse closes the connection, or ends it
//! without a word. Decision: nobody fails for a neighbour. What was on its way goes first on the next connection, one
//! message at a time, and only one that was alone when it was closed again has failed.
//!
//! A connection that is merely gone accuses nobody: everything goes again at once. Only when the next one goes too, before
//! anything on it was confirmed, is the reason looked for among the messages.

use std::collections::VecDeque;

use connectors::amqp::Blame;

use super::window::Waiting;

/// How carefully to publish.
#[derive(Debug, Default)]
pub(super) struct Care {
    /// How many messages are still to be published one at a time: those that went back, and the one that has to wait for
    /// the last of them.
    left: usize,
    /// Connections in a row that were lost with messages on their way and none confirmed.
    losses: u32,
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

    /// Something was confirmed: the connection is good for messages.
    pub(super) fn confirmed(&mut self) {
        self.losses = 0;
    }

    /// The channel or connection has ended with these on their way, in order, and perhaps with `others` that nobody waits
    /// for any more. Answers which one is to blame, if that is known; the rest goes back to the front of `queue`.
    pub(super) fn ended(
        &mut self,
        blame: Blame,
        others: bool,
        on_their_way: Vec<Waiting>,
        queue: &mut VecDeque<Waiting>,
    ) -> Option<Waiting> {
        let count = on_their_way.len();
        let accused = match blame {
            Blame::Message { .. } => true,
            Blame::Perhaps if count > 0 => {
                self.losses += 1;
                self.losses > 1
            }
            Blame::Perhaps | Blame::Nothing | Blame::Everything => false,
        };
        let mut rest = on_their_way.into_iter();
        if accused && count == 1 && !others {
            self.losses = 0;
            return rest.next();
        }
        if accused && count > 0 {
            self.left = count + 1;
        } else if self.left > 0 {
            // What is published one at a time goes alone once more.
            self.left += count;
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

    const REFUSED: Blame = Blame::Message { for_good: false };

    fn waiting(key: &str) -> Waiting {
        let parcel =
            Parcel { routing_key: key.into(), message_id: None, properties: Bytes::new(), payload: Bytes::new() };
        let ticket = Confirmations::<()>::default().offer().accept().0;
        Waiting { parcel, ticket, deadline: Instant::now() + Duration::from_secs(9) }
    }

    fn key(waiting: &Waiting) -> String {
        waiting.parcel.routing_key.to_string()
    }

    /// Publishes to a broker that takes what comes before a key with `no`, and ends with this blame then; answers what it
    /// took, what failed, and how many connections it ended.
    fn play(keys: &[&str], window: usize, blame: Blame) -> (Vec<String>, Vec<String>, usize) {
        let (mut care, mut queue): (_, VecDeque<_>) = (Care::default(), keys.iter().map(|key| waiting(key)).collect());
        let (mut taken, mut failed, mut ended, mut on_their_way) = (Vec::new(), Vec::new(), 0, Window::default());
        while !queue.is_empty() || on_their_way.len() > 0 {
            while on_their_way.span() < care.limit(window)
                && let Some(next) = queue.pop_front()
            {
                care.published();
                on_their_way.publish(next);
            }
            let mut all: Vec<_> = std::mem::take(&mut on_their_way).into_unconfirmed().collect();
            let bad = all.iter().position(|waiting| key(waiting).starts_with("no"));
            let rest = all.split_off(bad.unwrap_or(all.len()));
            if !all.is_empty() {
                care.confirmed();
                taken.extend(all.iter().map(key));
            }
            if bad.is_some() {
                ended += 1;
                assert!(ended < 20, "this never ends");
                failed.extend(care.ended(blame, false, rest, &mut queue).map(|waiting| key(&waiting)));
            }
        }
        (taken, failed, ended)
    }

    #[tokio::test]
    async fn only_the_message_that_was_refused_fails_and_the_order_stays() {
        let keys = ["a", "b", "no-1", "c", "no-2", "d", "e", "f"];
        let wanted = ["a", "b", "c", "d", "e", "f"].map(str::to_owned).to_vec();
        let failed = vec!["no-1".to_owned(), "no-2".to_owned()];
        assert_eq!(play(&keys, 5, REFUSED), (wanted.clone(), failed.clone(), 3));
        assert_eq!(
            play(&["no-1"], 5, REFUSED),
            (Vec::new(), vec!["no-1".to_owned()], 1),
            "it was alone from the start"
        );
        let last = ["a", "no-1"];
        assert_eq!(play(&last, 2, REFUSED), (vec!["a".to_owned()], vec!["no-1".to_owned()], 1));
        assert_eq!(play(&["no-1", "a"], 2, REFUSED).2, 2);
        // A connection that is gone without a word: once more for each of them.
        assert_eq!(play(&keys, 5, Blame::Perhaps), (wanted, failed, 5));
        assert_eq!(play(&["no-1"], 5, Blame::Perhaps), (Vec::new(), vec!["no-1".to_owned()], 2));
    }

    #[test]
    fn a_connection_that_is_gone_accuses_nobody_until_the_next_one_goes_too() {
        let (mut care, mut queue) = (Care::default(), VecDeque::new());
        for _ in 0..3 {
            assert!(care.ended(Blame::Nothing, false, Vec::new(), &mut queue).is_none());
            assert!(care.ended(Blame::Perhaps, false, Vec::new(), &mut queue).is_none());
        }
        assert_eq!(care.limit(9), 9, "nothing was on its way, so nothing is to blame");
    }

    #[tokio::test]
    async fn a_broker_that_comes_and_goes_is_not_the_messages_fault() {
        let (mut care, mut queue) = (Care::default(), VecDeque::new());
        for _ in 0..3 {
            let on_their_way = ["a", "b"].map(waiting).into_iter().collect();
            assert!(care.ended(Blame::Perhaps, false, on_their_way, &mut queue).is_none());
            assert_eq!((care.limit(9), queue.len()), (9, 2));
            // One of them is confirmed on the next connection.
            care.confirmed();
            queue.clear();
        }
        for _ in 0..3 {
            let stopped = care.ended(Blame::Nothing, false, vec![waiting("a")], &mut queue);
            assert!(stopped.is_none() && care.limit(9) == 9, "somebody stops it");
        }
    }

    #[tokio::test]
    async fn what_goes_alone_goes_alone_again_over_a_lost_connection() {
        let (mut care, mut queue) = (Care::default(), VecDeque::new());
        assert!(care.ended(REFUSED, false, ["a", "b"].map(waiting).into_iter().collect(), &mut queue).is_none());
        let next = |care: &mut Care, queue: &mut VecDeque<Waiting>| {
            care.published();
            vec![queue.pop_front().unwrap()]
        };
        let alone = next(&mut care, &mut queue);
        assert!(care.ended(Blame::Nothing, false, alone, &mut queue).is_none());
        for wanted in ["a", "b"] {
            assert_eq!((care.limit(9), key(&next(&mut care, &mut queue)[0])), (1, wanted.to_owned()));
        }
        assert_eq!(care.limit(9), 1, "the one behind waits for the last of those that went back");
    }

    #[test]
    fn nobody_is_blamed_beside_a_message_that_was_waited_for_too_long() {
        let (mut care, mut queue) = (Care::default(), VecDeque::new());
        assert!(care.ended(REFUSED, true, vec![waiting("a")], &mut queue).is_none(), "it may have been the other one");
        assert_eq!((queue.len(), care.limit(9)), (1, 1), "it goes once more, alone");
        let alone = care.ended(REFUSED, false, queue.drain(..).collect(), &mut VecDeque::new());
        assert_eq!(alone.map(|waiting| key(&waiting)).as_deref(), Some("a"));
    }
}
