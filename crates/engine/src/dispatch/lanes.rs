//! Lanes: deliveries of one key run one after the other, those of different keys at once.
//!
//! A lane is there as long as a delivery of its key is. The first one runs, the others stand behind it, and whichever way
//! the first one ends, the next has its turn: a hand-over costs the same however long the lane is and however many lanes
//! there are. A delivery that fails keeps its place until it is tried again, so its key waits and no other does. The order
//! is decided here, before any worker is chosen, so the size of a pool has no part in it.
//!
//! A lane whose first one is parked is parked itself: what comes for it goes to the disk behind that one, and only what there
//! is no room for there stands here, behind everything that is stored. It is a lane like any other again once nothing of it
//! is stored or on its way there.

use std::collections::VecDeque;
use std::num::NonZeroUsize;

use hashbrown::HashMap;
use slab::Slab;

use super::Key;
use crate::event::Text;
use crate::parked::{Standing, Want};

/// The lanes of one rule.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    /// Where each key's lane is. Keys come from outside, so the hash is one that nobody can foresee.
    places: HashMap<Text, Place>,
    lanes: Slab<Lane>,
    /// How many of them are parked.
    parked: usize,
}

#[derive(Debug)]
struct Lane {
    key: Text,
    /// Whose turn it is.
    head: Key,
    /// Who stands behind it; some may have gone meanwhile.
    followers: VecDeque<Key>,
    /// What of it is stored, in front of the followers.
    parked: Option<Box<Parked>>,
}

/// The part of a lane that is stored.
#[derive(Debug)]
struct Parked {
    /// Rows on the disk or on their way there, the first included.
    rows: u32,
    /// Of those, the ones that are on their way.
    coming: u32,
    first: First,
    /// The row that was first before.
    behind: u64,
}

/// Where the first row of a parked lane is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum First {
    /// It waits for its time.
    Waits,
    /// It has its turn and is on its way to the disk.
    Vacant,
    /// It has its turn and is being read.
    Asked,
    /// It is in the line's table.
    Here,
}

/// How a delivery stands in its lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entered {
    /// It is its turn.
    First,
    /// Behind others.
    Behind,
    /// Behind others of which some are stored.
    BehindParked,
}

/// Whose turn it is when somebody has left.
#[derive(Debug)]
pub(super) enum Left {
    /// Nobody's, or it was not the turn of whoever left.
    Nobody,
    /// This delivery's.
    Next(Key),
    /// A row's, which has to be brought first.
    Row(Want),
}

/// A delivery's lane, for as long as it is there; counted from one, so that no lane takes no more room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place(NonZeroUsize);

impl Place {
    fn new(slot: usize) -> Place {
        Place(NonZeroUsize::MIN.saturating_add(slot))
    }

    fn slot(self) -> usize {
        self.0.get() - 1
    }
}

impl Lane {
    /// The next row, once it has its turn and is on the disk.
    fn ask(&mut self, place: Place) -> Option<Want> {
        let parked = self.parked.as_mut()?;
        if parked.first != First::Vacant || parked.rows == parked.coming {
            return None;
        }
        parked.first = First::Asked;
        Some(Want { place, lane: self.key.clone(), behind: parked.behind })
    }
}

impl Lanes {
    /// Puts a delivery at the end of the lane of its key. Says where that is, and how it stands there.
    pub(super) fn enter(&mut self, key: &str, delivery: Key) -> (Place, Entered) {
        if let Some(&place) = self.places.get(key)
            && let Some(lane) = self.lanes.get_mut(place.slot())
        {
            lane.followers.push_back(delivery);
            return (place, if lane.parked.is_some() { Entered::BehindParked } else { Entered::Behind });
        }
        let key = Text::from(key);
        let lane = Lane { key: key.clone(), head: delivery, followers: VecDeque::new(), parked: None };
        let place = Place::new(self.lanes.insert(lane));
        self.places.insert(key, place);
        (place, Entered::First)
    }

    /// Takes out a delivery that has ended, with the sequence of its row if it has one, and answers whose turn it is now if it
    /// was the head. `is_there` tells those that still stand from those that ended out of turn.
    pub(super) fn leave(
        &mut self,
        place: Place,
        delivery: Key,
        row: Option<u64>,
        is_there: impl Fn(Key) -> bool,
    ) -> Left {
        let Some(lane) = self.lanes.get_mut(place.slot()).filter(|lane| lane.head == delivery) else {
            return Left::Nobody;
        };
        if let Some(parked) = &mut lane.parked {
            if parked.first != First::Here {
                return Left::Nobody;
            }
            parked.rows -= 1;
            parked.behind = row.unwrap_or(parked.behind);
            parked.first = First::Vacant;
            if parked.rows > 0 {
                return lane.ask(place).map_or(Left::Nobody, Left::Row);
            }
            lane.parked = None;
            self.parked -= 1;
        }
        while let Some(next) = lane.followers.pop_front() {
            if is_there(next) {
                lane.head = next;
                return Left::Next(next);
            }
        }
        let lane = self.lanes.remove(place.slot());
        self.places.remove(&lane.key);
        Left::Nobody
    }

    /// How many lanes are parked.
    pub(super) fn parked(&self) -> usize {
        self.parked
    }

    /// The key of a lane.
    pub(super) fn key(&self, place: Place) -> Option<Text> {
        self.lanes.get(place.slot()).map(|lane| lane.key.clone())
    }

    /// The head is on its way to the disk; `again` if it was there before.
    pub(super) fn park(&mut self, place: Place, again: bool) {
        let Some(lane) = self.lanes.get_mut(place.slot()) else { return };
        let parked = lane.parked.get_or_insert_with(|| {
            self.parked += 1;
            Box::new(Parked { rows: 0, coming: 0, first: First::Waits, behind: 0 })
        });
        parked.rows += u32::from(!again);
        parked.coming += 1;
        parked.first = First::Waits;
    }

    /// The first of those that stand in memory behind what is stored, if any do.
    pub(super) fn follower(&mut self, place: Place, is_there: impl Fn(Key) -> bool) -> Option<Key> {
        let lane = self.lanes.get_mut(place.slot()).filter(|lane| lane.parked.is_some())?;
        while let Some(&first) = lane.followers.front() {
            if is_there(first) {
                return Some(first);
            }
            lane.followers.pop_front();
        }
        None
    }

    /// That one is on its way to the disk.
    pub(super) fn follow(&mut self, place: Place) {
        if let Some(lane) = self.lanes.get_mut(place.slot())
            && let Some(parked) = &mut lane.parked
        {
            lane.followers.pop_front();
            parked.rows += 1;
            parked.coming += 1;
        }
    }

    /// A row of the lane is on the disk now; answers which row is to be brought, if one was waited for.
    pub(super) fn confirmed(&mut self, place: Place) -> Option<Want> {
        let lane = self.lanes.get_mut(place.slot())?;
        if let Some(parked) = &mut lane.parked {
            parked.coming -= 1;
        }
        lane.ask(place)
    }

    /// The first row of a lane is in the line's table: by its lane if that asked for it, else by its key.
    pub(super) fn arrive(&mut self, place: Option<Place>, key: &str, delivery: Key) -> Option<Place> {
        let place = place.or_else(|| self.places.get(key).copied())?;
        let lane = self.lanes.get_mut(place.slot())?;
        lane.parked.as_mut()?.first = First::Here;
        lane.head = delivery;
        Some(place)
    }

    /// A lane that an earlier run has left; answers which row is to be brought, unless the first waits for its time.
    pub(super) fn restore(&mut self, standing: Standing) -> Option<Want> {
        let Standing { lane: key, rows, waits } = standing;
        let first = if waits { First::Waits } else { First::Vacant };
        let parked = Some(Box::new(Parked { rows, coming: 0, first, behind: 0 }));
        let lane = Lane { key: key.clone(), head: Key::NOBODY, followers: VecDeque::new(), parked };
        let place = Place::new(self.lanes.insert(lane));
        self.places.insert(key, place);
        self.parked += 1;
        self.lanes.get_mut(place.slot())?.ask(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(serial: u64) -> Key {
        Key { slot: serial as usize, serial }
    }

    fn next(left: Left) -> Option<Key> {
        match left {
            Left::Next(next) => Some(next),
            Left::Nobody => None,
            Left::Row(want) => panic!("{want:?} is stored"),
        }
    }

    fn row(left: Left) -> u64 {
        match left {
            Left::Row(want) => want.behind,
            other => panic!("{other:?} is not stored"),
        }
    }

    #[test]
    fn whoever_leaves_first_hands_over_to_the_next_that_is_there() {
        let mut lanes = Lanes::default();
        let [one, two, three, four] = [1, 2, 3, 4].map(delivery);
        let (a, first) = lanes.enter("a", one);
        assert_eq!(first, Entered::First);
        assert_eq!([two, three].map(|key| lanes.enter("a", key)), [(a, Entered::Behind); 2]);
        let (b, first) = lanes.enter("b", four);
        assert!(first == Entered::First && b != a, "another key has another lane");
        assert_eq!(next(lanes.leave(a, two, None, |_| true)), None, "it was not its turn");
        assert_eq!(next(lanes.leave(a, one, None, |key| key != two)), Some(three));
        assert_eq!(next(lanes.leave(a, one, None, |_| true)), None, "it has left already");
        assert_eq!(next(lanes.leave(a, three, None, |_| true)), None);
        assert_eq!(next(lanes.leave(b, four, None, |_| true)), None);
        assert!(lanes.places.is_empty() && lanes.lanes.is_empty(), "a lane that is empty is gone");
        assert_eq!(lanes.enter("a", two).1, Entered::First, "and begins anew");
    }

    #[test]
    fn a_parked_lane_is_shut_until_nothing_of_it_is_stored() {
        let mut lanes = Lanes::default();
        let [one, two, three, four, back] = [1, 2, 3, 4, 5].map(delivery);
        let (a, _) = lanes.enter("a", one);
        lanes.enter("a", two);
        assert_eq!(lanes.follower(a, |_| true), None, "it is not parked");
        lanes.park(a, false);
        assert_eq!((lanes.parked(), lanes.follower(a, |_| true)), (1, Some(two)));
        lanes.follow(a);
        assert_eq!(lanes.enter("a", three), (a, Entered::BehindParked));
        assert_eq!(lanes.enter("a", four), (a, Entered::BehindParked));
        assert!(lanes.confirmed(a).is_none(), "the first waits for its time");
        // The first is back before the second is on the disk, ends, and fails before that.
        assert_eq!(lanes.arrive(None, "a", back), Some(a));
        lanes.park(a, true);
        assert!(lanes.confirmed(a).is_none());
        assert_eq!(lanes.arrive(None, "a", back), Some(a));
        assert!(matches!(lanes.leave(a, three, None, |_| true), Left::Nobody), "it is not its turn");
        assert!(matches!(lanes.leave(a, back, Some(7), |_| true), Left::Nobody), "the next is on its way");
        let want = lanes.confirmed(a).expect("now it is there");
        assert_eq!((want.behind, want.lane.as_str()), (7, "a"));
        assert_eq!(lanes.arrive(Some(a), "a", back), Some(a));
        assert_eq!(next(lanes.leave(a, back, Some(8), |key| key != three)), Some(four), "who stands in memory is last");
        assert_eq!(lanes.parked(), 0);
        assert_eq!(next(lanes.leave(a, four, None, |_| true)), None);
        assert!(lanes.places.is_empty() && lanes.lanes.is_empty());
    }

    #[test]
    fn lanes_of_an_earlier_run_stand_as_they_stood() {
        let mut lanes = Lanes::default();
        let back = delivery(1);
        assert!(lanes.restore(Standing { lane: "a".into(), rows: 2, waits: true }).is_none());
        assert_eq!(lanes.enter("a", delivery(2)).1, Entered::BehindParked);
        let a = lanes.arrive(None, "a", back).unwrap();
        assert_eq!(row(lanes.leave(a, back, Some(4), |_| true)), 4);
        let want = lanes.restore(Standing { lane: "b".into(), rows: 1, waits: false });
        assert_eq!(want.map(|want| want.behind), Some(0), "its turn has come");
        assert_eq!(lanes.parked(), 2);
    }
}
