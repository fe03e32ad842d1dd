//! Events that were published and are not confirmed yet.
//!
//! Each has a place, whose number goes through librdkafka with the message and comes back with its delivery report: so no
//! event needs an allocation to be found again. There is one lock for all places, held for a few instructions.

use engine::port::Ticket;
use parking_lot::Mutex;
use slab::Slab;

/// The places of one producer.
#[derive(Debug, Default)]
pub(super) struct Window(Mutex<Slab<Ticket>>);

impl Window {
    /// Takes a place; its number, and whether no other was taken.
    pub(super) fn open(&self, ticket: Ticket) -> (usize, bool) {
        let mut places = self.0.lock();
        (places.insert(ticket), places.len() == 1)
    }

    /// Empties a place.
    pub(super) fn close(&self, number: usize) -> Option<Ticket> {
        self.0.lock().try_remove(number)
    }

    /// Empties every place.
    pub(super) fn take_all(&self) -> Vec<Ticket> {
        self.0.lock().drain().collect()
    }

    /// Places that are taken.
    pub(super) fn unconfirmed(&self) -> usize {
        self.0.lock().len()
    }
}

#[cfg(test)]
mod tests {
    use engine::port::Confirmations;

    use super::*;

    #[test]
    fn a_place_is_given_away_once_its_ticket_is_taken_out() {
        let (window, mut confirmations) = (Window::default(), Confirmations::<()>::default());
        let [(first, only), (second, beside)] = [(), ()].map(|()| window.open(confirmations.offer().accept().0));
        assert!(only && !beside);
        assert_eq!(window.unconfirmed(), 2);
        assert!(window.close(first).is_some() && window.close(first).is_none());
        assert_eq!(window.open(confirmations.offer().accept().0), (first, false));
        assert!(window.close(second).is_some());
        assert_eq!(window.unconfirmed(), 1);
        assert_eq!((window.take_all().len(), window.unconfirmed()), (1, 0));
    }
}
