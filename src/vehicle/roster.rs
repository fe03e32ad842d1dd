//! The vehicles that are remembered, in shards that workers lock one at a time.
//!
//! Decision: memory is bounded by the number of vehicles. When a shard is full, of the next few records in turn the one
//! that has been silent longest makes room: as good as exact order in practice, without a list to keep for every event.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;

use super::fleet::Fleet;
use super::record::Record;

/// So many vehicles are remembered; at 1 Hz without faults some 300 bytes each, at the very worst 5 KiB.
pub const MAX_VEHICLES: usize = 65_536;
/// A vehicle is online for so many milliseconds after it was heard of.
pub const ONLINE_FOR: i64 = 90_000;
const SHARDS: usize = 64;
/// Records looked at to find one that may go.
const LOOKED_AT: usize = 8;

/// All vehicles.
#[derive(Debug)]
pub(super) struct Roster {
    shards: Vec<Mutex<Shard>>,
    hasher: RandomState,
    per_shard: usize,
}

#[derive(Debug, Default)]
struct Shard {
    index: HashMap<Arc<str>, usize>,
    records: Vec<(Arc<str>, Record)>,
    /// Where the next search for a record that may go begins.
    hand: usize,
}

impl Roster {
    /// A roster for up to about `vehicles`, at least one per shard.
    pub(super) fn new(vehicles: usize) -> Roster {
        Roster {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            per_shard: vehicles.div_ceil(SHARDS).max(1),
        }
    }

    /// Runs `work` on the record of a vehicle, which is begun for the fleet that `fleet` names if there is none.
    pub(super) fn with<T>(
        &self,
        vehicle: &str,
        fleet: impl FnOnce() -> Arc<Fleet>,
        work: impl FnOnce(&mut Record) -> T,
    ) -> T {
        let shard = (self.hasher.hash_one(vehicle) >> 32) as usize % SHARDS;
        let mut shard = self.shards[shard].lock();
        let place = match shard.index.get(vehicle) {
            Some(place) => *place,
            None => shard.admit(vehicle.into(), Record::new(fleet()), self.per_shard),
        };
        work(&mut shard.records[place].1)
    }

    /// Counts the vehicles of a fleet that are online at `now`, and those of them that move.
    pub(super) fn count(&self, fleet: &Arc<Fleet>, now: i64) -> (u64, u64) {
        let (mut online, mut moving) = (0, 0);
        for shard in &self.shards {
            for (_, record) in &shard.lock().records {
                if Arc::ptr_eq(&record.fleet, fleet) && now.saturating_sub(record.heard) <= ONLINE_FOR {
                    online += 1;
                    moving += u64::from(record.moving);
                }
            }
        }
        (online, moving)
    }

    /// How many vehicles are remembered.
    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().records.len()).sum()
    }
}

impl Shard {
    fn admit(&mut self, vehicle: Arc<str>, record: Record, room: usize) -> usize {
        if self.records.len() < room {
            self.index.insert(Arc::clone(&vehicle), self.records.len());
            self.records.push((vehicle, record));
            return self.records.len() - 1;
        }
        let looked_at = (0..LOOKED_AT.min(room)).map(|step| (self.hand + step) % room);
        let place = looked_at.min_by_key(|place| self.records[*place].1.heard).unwrap_or(self.hand);
        self.hand = (self.hand + LOOKED_AT) % room;
        let (forgotten, old) = std::mem::replace(&mut self.records[place], (Arc::clone(&vehicle), record));
        old.fleet.pending_forgotten.fetch_add(1, Ordering::Relaxed);
        self.index.remove(&forgotten);
        self.index.insert(vehicle, place);
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hear(roster: &Roster, fleet: &Arc<Fleet>, vehicle: usize, now: i64) {
        roster.with(&format!("v{vehicle}"), || Arc::clone(fleet), |record| record.heard = now);
    }

    #[test]
    fn memory_is_bounded_and_forgetting_is_counted() {
        let (roster, fleet) = (Roster::new(640), Arc::new(Fleet::new("demo")));
        for vehicle in 0..10_000 {
            hear(&roster, &fleet, vehicle, vehicle as i64);
        }
        assert_eq!(roster.len(), 640);
        assert_eq!(fleet.pending_forgotten.load(Ordering::Relaxed), 10_000 - 640);
        let indexed: usize = roster.shards.iter().map(|shard| shard.lock().index.len()).sum();
        assert_eq!(indexed, 640);
    }

    #[test]
    fn the_silent_are_forgotten_before_the_talkative() {
        let (roster, fleet) = (Roster::new(SHARDS * 64), Arc::new(Fleet::new("demo")));
        for now in 0..20_000 {
            hear(&roster, &fleet, now % 100, now as i64);
            hear(&roster, &fleet, 1_000 + now, now as i64);
        }
        let known = |vehicle: usize| {
            let name = format!("v{vehicle}");
            roster.shards.iter().any(|shard| shard.lock().index.contains_key(name.as_str()))
        };
        assert!((0..100).filter(|vehicle| known(*vehicle)).count() >= 95);
    }

    #[test]
    fn online_and_moving_are_counted_by_fleet() {
        let roster = Roster::new(1_000);
        let fleets = [Arc::new(Fleet::new("a")), Arc::new(Fleet::new("b"))];
        hear(&roster, &fleets[0], 1, 0);
        hear(&roster, &fleets[0], 2, 1);
        hear(&roster, &fleets[1], 3, ONLINE_FOR);
        roster.with("v2", || Arc::clone(&fleets[0]), |record| record.moving = true);
        assert_eq!(fleets.each_ref().map(|fleet| roster.count(fleet, ONLINE_FOR)), [(2, 1), (1, 0)]);
        assert_eq!(fleets.each_ref().map(|fleet| roster.count(fleet, ONLINE_FOR + 1)), [(1, 1), (1, 0)]);
    }
}
