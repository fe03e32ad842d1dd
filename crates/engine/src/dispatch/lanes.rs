//! Lanes: deliveries of one key run one after the other, those of different keys at once.
//!
//! A lane is there as long as a delivery of its key is. The first one runs, the others stand behind it, and whichever way
//! the first one ends, the next has its turn: a hand-over costs the same however long the lane is and however many lanes
//! there are. A delivery that fails keeps its place until it is tried again, so its key waits and no other does. The order
//! is decided here, before any worker is chosen, so the size of a pool has no part in it.
//!
//! A lane whose first one is parked is parked itself: what comes for it goes to the disk behind that one, and only what there
//! is no room for there stands here, behind everything that is stored. It is a lane like any other again once nothing of it
//! is stored or on its way there. So is one whose first one runs and was written down for its followers' sake: they can be put
//! aside behind it. A lane that is paused is a parked one whose first row waits for somebody's word, and no time.

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroUsize;

use hashbrown::HashMap;
use slab::Slab;

use super::Key;
use crate::event::Text;
use crate::parked::{Standing, Want};
use crate::store::Stamp;

/// The lanes of one rule.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    /// Where each key's lane is. Keys come from outside, so the hash is one that nobody can foresee.
    places: HashMap<Text, Place>,
    lanes: Slab<Lane>,
    /// How many of them are parked.
    parked: usize,
    /// How many of them are paused, and since when.
    paused: Pauses,
}

/// How many lanes are paused since when.
#[derive(Debug, Default)]
struct Pauses {
    count: usize,
    since: BTreeMap<Stamp, usize>,
}

impl Pauses {
    fn add(&mut self, since: Stamp) {
        self.count += 1;
        *self.since.entry(since).or_default() += 1;
    }

    fn remove(&mut self, since: Stamp) {
        self.count -= 1;
        if let Some(count) = self.since.get_mut(&since) {
            *count -= 1;
            if *count == 0 {
                self.since.remove(&since);
            }
        }
    }
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
#[derive(Debug, Default)]
struct Parked {
    /// Rows on the disk or on their way there, the first included.
    rows: u32,
    /// Of those, the ones that are on their way.
    coming: u32,
    first: First,
    /// The row that was first before.
    behind: u64,
    /// Since when it is paused, if it is.
    since: Stamp,
    /// Whether the first is given up instead of being tried.
    skips: bool,
}

/// Where the first row of a parked lane is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum First {
    /// It waits for its time.
    #[default]
    Waits,
    /// It is on its way to the disk, where it will wait for somebody's word.
    Pausing,
    /// It waits for somebody's word.
    Paused,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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

    /// How many rows a lane has.
    pub(super) fn rows(&self, place: Place) -> u32 {
        let parked = self.lanes.get(place.slot()).and_then(|lane| lane.parked.as_ref());
        parked.map_or(0, |parked| parked.rows)
    }

    /// How many lanes are parked.
    pub(super) fn parked(&self) -> usize {
        self.parked
    }

    /// Whether something of a lane is stored.
    pub(super) fn is_parked(&self, place: Place) -> bool {
        self.lanes.get(place.slot()).is_some_and(|lane| lane.parked.is_some())
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
            Box::default()
        });
        parked.rows += u32::from(!again);
        parked.coming += 1;
        parked.first = First::Waits;
    }

    /// Whose turn it is in a lane of which nothing is stored.
    pub(super) fn live_head(&self, place: Place) -> Option<Key> {
        self.lanes.get(place.slot()).filter(|lane| lane.parked.is_none()).map(|lane| lane.head)
    }

    /// The head has a row now and stays where it is, so that what stands behind it can go to the disk.
    pub(super) fn shelve(&mut self, place: Place) {
        if let Some(lane) = self.lanes.get_mut(place.slot()).filter(|lane| lane.parked.is_none()) {
            lane.parked = Some(Box::new(Parked { rows: 1, first: First::Here, ..Parked::default() }));
            self.parked += 1;
        }
    }

    /// The same, where the head waits for somebody's word.
    pub(super) fn pause(&mut self, place: Place, again: bool, since: Stamp) {
        self.park(place, again);
        if let Some(parked) = self.parked_mut(place) {
            (parked.first, parked.since) = (First::Pausing, since);
        }
    }

    /// Lets a lane go on that is paused, and with `skip` without its head; answers which row is to be brought, or nothing for a
    /// lane that is not paused.
    pub(super) fn resume(&mut self, place: Place, skip: bool) -> Option<Option<Want>> {
        let lane = self.lanes.get_mut(place.slot())?;
        let parked = lane.parked.as_mut().filter(|parked| parked.first == First::Paused)?;
        (parked.first, parked.skips) = (First::Vacant, skip);
        self.paused.remove(parked.since);
        Some(lane.ask(place))
    }

    /// Whether the first row of a lane is to be given up; asked once for each.
    pub(super) fn skips(&mut self, place: Option<Place>, key: &str) -> bool {
        let place = place.or_else(|| self.places.get(key).copied());
        let parked = place.and_then(|place| self.parked_mut(place));
        parked.is_some_and(|parked| std::mem::take(&mut parked.skips))
    }

    /// How many lanes are paused, and since when the first of them is.
    pub(super) fn paused(&self) -> (usize, Option<Stamp>) {
        (self.paused.count, self.paused.since.keys().next().copied())
    }

    /// Since when this lane is paused, if it is or is about to be.
    pub(super) fn paused_since(&self, place: Place) -> Option<Stamp> {
        let parked = self.lanes.get(place.slot())?.parked.as_ref()?;
        matches!(parked.first, First::Pausing | First::Paused).then_some(parked.since)
    }

    /// The places of paused lanes: of all of them, or of that of one key.
    pub(super) fn paused_places(&self, key: Option<&str>) -> Vec<Place> {
        let is_paused = |lane: &Lane| lane.parked.as_ref().is_some_and(|parked| parked.first == First::Paused);
        if let Some(key) = key {
            let place = self.places.get(key).copied();
            let lane = place.and_then(|place| self.lanes.get(place.slot()));
            return place.filter(|_| lane.is_some_and(is_paused)).into_iter().collect();
        }
        self.lanes.iter().filter(|(_, lane)| is_paused(lane)).map(|(slot, _)| Place::new(slot)).collect()
    }

    fn parked_mut(&mut self, place: Place) -> Option<&mut Parked> {
        self.lanes.get_mut(place.slot())?.parked.as_deref_mut()
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

    /// The first of those leaves the lane.
    pub(super) fn pass(&mut self, place: Place, first: Key) {
        if let Some(lane) = self.lanes.get_mut(place.slot()) {
            lane.followers.pop_front_if(|follower| *follower == first);
        }
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

    /// The row of a delivery of the lane is on the disk now; answers which row is to be brought, if one was waited for.
    pub(super) fn confirmed(&mut self, place: Place, delivery: Key) -> Option<Want> {
        let lane = self.lanes.get_mut(place.slot())?;
        if let Some(parked) = &mut lane.parked {
            parked.coming -= 1;
            if parked.first == First::Pausing && lane.head == delivery {
                parked.first = First::Paused;
                self.paused.add(parked.since);
            }
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
        let Standing { lane: key, rows, waits, paused } = standing;
        let first = match (paused, waits) {
            (Some(_), _) => First::Paused,
            (None, true) => First::Waits,
            (None, false) => First::Vacant,
        };
        paused.into_iter().for_each(|since| self.paused.add(since));
        let since = paused.unwrap_or_default();
        let parked = Some(Box::new(Parked { rows, first, since, ..Parked::default() }));
        let lane = Lane { key: key.clone(), head: Key::NOBODY, followers: VecDeque::new(), parked };
        let place = Place::new(self.lanes.insert(lane));
        self.places.insert(key, place);
        self.parked += 1;
        self.lanes.get_mut(place.slot())?.ask(place)
    }
}

#[cfg(test)]
mod tests;
