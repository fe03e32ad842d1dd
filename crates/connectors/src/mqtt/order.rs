//! In which order acknowledgements go out.
//!
//! MQTT asks for the order of arrival, and brokers accept any. In order of completion one slow event holds up nothing; in
//! order of arrival it holds up every acknowledgement behind it, which some brokers insist on.

use std::collections::VecDeque;

/// Which order to keep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum AckOrder {
    /// As messages finish.
    #[default]
    Completion,
    /// As messages arrived.
    Received,
}

/// A place in the order of arrival, within one connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ticket(u64);

/// The messages of one connection that are not acknowledged, if their order matters.
#[derive(Debug)]
pub(super) struct Order<A> {
    kept: bool,
    /// The ticket of the first entry.
    first: u64,
    open: VecDeque<Entry<A>>,
}

#[derive(Debug)]
enum Entry<A> {
    /// Not finished.
    Open,
    /// Finished, waiting for those before it.
    Ready(A),
    /// Finished, and not to be acknowledged: what follows does not wait for it.
    Left,
}

impl<A> Order<A> {
    /// Nothing has arrived.
    pub(super) fn new(order: AckOrder) -> Order<A> {
        Order { kept: order == AckOrder::Received, first: 0, open: VecDeque::new() }
    }

    /// One more message arrived.
    pub(super) fn arrived(&mut self) -> Ticket {
        if !self.kept {
            return Ticket::default();
        }
        self.open.push_back(Entry::Open);
        Ticket(self.first + self.open.len() as u64 - 1)
    }

    /// A message finished; `ack` is how to acknowledge it, or nothing when its broker keeps it. Every acknowledgement
    /// that may go out now is appended to `into`.
    pub(super) fn finished(&mut self, ticket: Ticket, ack: Option<A>, into: &mut Vec<A>) {
        if !self.kept {
            into.extend(ack);
            return;
        }
        let place = ticket.0.checked_sub(self.first).and_then(|place| self.open.get_mut(usize::try_from(place).ok()?));
        let Some(entry) = place else { return };
        *entry = ack.map_or(Entry::Left, Entry::Ready);
        while let Some(entry) = self.open.pop_front_if(|entry| !matches!(entry, Entry::Open)) {
            self.first += 1;
            if let Entry::Ready(ack) = entry {
                into.push(ack);
            }
        }
    }

    /// The connection is gone, and with it everything that could have been acknowledged. Tickets given out before mean
    /// nothing from now on.
    pub(super) fn restart(&mut self) {
        self.first += self.open.len() as u64;
        self.open.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn finish(order: &mut Order<u16>, ticket: Ticket, ack: Option<u16>) -> Vec<u16> {
        let mut out = Vec::new();
        order.finished(ticket, ack, &mut out);
        out
    }

    #[test]
    fn completion_holds_nothing_back() {
        let mut order = Order::new(AckOrder::Completion);
        let (first, second) = (order.arrived(), order.arrived());
        assert_eq!(finish(&mut order, second, Some(2)), [2]);
        assert_eq!(finish(&mut order, first, Some(1)), [1]);
    }

    #[test]
    fn arrival_waits_for_the_oldest() {
        let mut order = Order::new(AckOrder::Received);
        let tickets: Vec<_> = (0..4).map(|_| order.arrived()).collect();
        assert_eq!(finish(&mut order, tickets[2], Some(3)), [0_u16; 0]);
        assert_eq!(finish(&mut order, tickets[0], Some(1)), [1]);
        assert_eq!(finish(&mut order, tickets[1], Some(2)), [2, 3]);
        assert_eq!(finish(&mut order, tickets[3], Some(4)), [4]);
    }

    #[test]
    fn what_is_not_acknowledged_holds_nothing_back() {
        let mut order = Order::new(AckOrder::Received);
        let (first, second) = (order.arrived(), order.arrived());
        assert_eq!(finish(&mut order, second, Some(2)), [0_u16; 0]);
        assert_eq!(finish(&mut order, first, None), [2]);
    }

    #[test]
    fn tickets_of_an_older_connection_mean_nothing() {
        let mut order = Order::new(AckOrder::Received);
        let old = order.arrived();
        order.restart();
        let new = order.arrived();
        assert_eq!(finish(&mut order, old, Some(1)), [0_u16; 0]);
        assert_eq!(finish(&mut order, new, Some(2)), [2]);
    }

    proptest! {
        #[test]
        fn any_completion_order_gives_the_order_of_arrival(
            shuffled in Just((0..40_u16).collect::<Vec<_>>()).prop_shuffle(),
            kept in prop::collection::vec(any::<bool>(), 40),
        ) {
            let mut order = Order::new(AckOrder::Received);
            let tickets: Vec<_> = (0..40).map(|_| order.arrived()).collect();
            let mut out = Vec::new();
            for message in shuffled {
                let at = usize::from(message);
                order.finished(tickets[at], kept[at].then_some(message), &mut out);
            }
            let expected: Vec<_> = (0..40_u16).filter(|message| kept[usize::from(*message)]).collect();
            prop_assert_eq!(out, expected);
            prop_assert!(order.open.is_empty());
        }
    }
}
