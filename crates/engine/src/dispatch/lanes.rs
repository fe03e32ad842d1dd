//! Lanes: deliveries of one key run one after the other, those of different keys at once.
//!
//! A lane is there as long as a delivery of its key is. The first one runs, the others stand behind it, and whichever way
//! the first one ends, the next has its turn: a hand-over costs the same however long the lane is and however many lanes
//! there are. A delivery that fails keeps its place until it is tried again, so its key waits and no other does. The order
//! is decided here, before any worker is chosen, so the size of a pool has no part in it.

use std::collections::VecDeque;
use std::num::NonZeroUsize;

use hashbrown::HashMap;
use slab::Slab;

use super::Key;
use crate::event::Text;

/// The lanes of one rule.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    /// Where each key's lane is. Keys come from outside, so the hash is one that nobody can foresee.
    places: HashMap<Text, Place>,
    lanes: Slab<Lane>,
}

#[derive(Debug)]
struct Lane {
    key: Text,
    /// Whose turn it is.
    head: Key,
    /// Who stands behind it; some may have gone meanwhile.
    followers: VecDeque<Key>,
}

/// A delivery's lane, for as long as it is there; counted from one, so that no lane takes no more room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place(NonZeroUsize);

impl Place {
    fn new(slot: usize) -> Place {
        Place(NonZeroUsize::MIN.saturating_add(slot))
    }

    fn slot(self) -> usize {
        self.0.get() - 1
    }
}

impl Lanes {
    /// Puts a delivery at the end of the lane of its key. Says where that is, and whether it is its turn.
    pub(super) fn enter(&mut self, key: &str, delivery: Key) -> (Place, bool) {
        if let Some(&place) = self.places.get(key)
            && let Some(lane) = self.lanes.get_mut(place.slot())
        {
            lane.followers.push_back(delivery);
            return (place, false);
        }
        let key = Text::from(key);
        let lane = Lane { key: key.clone(), head: delivery, followers: VecDeque::new() };
        let place = Place::new(self.lanes.insert(lane));
        self.places.insert(key, place);
        (place, true)
    }

    /// Takes out a delivery that has ended, and answers whose turn it is now if it was the head. `is_there` tells those that
    /// still stand from those that ended out of turn.
    pub(super) fn leave(&mut self, place: Place, delivery: Key, is_there: impl Fn(Key) -> bool) -> Option<Key> {
        let lane = self.lanes.get_mut(place.slot()).filter(|lane| lane.head == delivery)?;
        while let Some(next) = lane.followers.pop_front() {
            if is_there(next) {
                lane.head = next;
                return Some(next);
            }
        }
        let lane = self.lanes.remove(place.slot());
        self.places.remove(&lane.key);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(serial: u64) -> Key {
        Key { slot: serial as usize, serial }
    }

    #[test]
    fn whoever_leaves_first_hands_over_to_the_next_that_is_there() {
        let mut lanes = Lanes::default();
        let [one, two, three, four] = [1, 2, 3, 4].map(delivery);
        let (a, first) = lanes.enter("a", one);
        assert!(first);
        assert_eq!([two, three].map(|key| lanes.enter("a", key)), [(a, false); 2]);
        let (b, first) = lanes.enter("b", four);
        assert!(first && b != a, "another key has another lane");
        assert_eq!(lanes.leave(a, two, |_| true), None, "it was not its turn");
        assert_eq!(lanes.leave(a, one, |key| key != two), Some(three));
        assert_eq!(lanes.leave(a, one, |_| true), None, "it has left already");
        assert_eq!(lanes.leave(a, three, |_| true), None);
        assert_eq!(lanes.leave(b, four, |_| true), None);
        assert!(lanes.places.is_empty() && lanes.lanes.is_empty(), "a lane that is empty is gone");
        assert!(lanes.enter("a", two).1, "and begins anew");
    }
}
