//! One fleet: its series, and what is known of it between two events.
//!
//! Decision: the text of every sample is rendered once per fleet and kept, with a gap for the value, because rendering
//! names and labels for every event would cost more than everything else the function does.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use engine::event::Text;
use engine::metric::sample::{Kind, Merge};
use parking_lot::RwLock;

use super::record::Standing;
use super::report::{Family, Series};

/// So many fleets have metrics of their own; further ones share the label `other`.
pub const MAX_FLEETS: usize = 64;
/// Bytes of the longest fleet name that stands in labels; fleets with longer ones belong to the rest.
const LONGEST_NAME: usize = 128;
/// Milliseconds between two complete reports of a fleet, which keep every series alive and its gauges right.
const COMPLETE_EVERY: u64 = 1_000;
/// Before any complete report.
const NEVER: i64 = i64::MIN;

/// The series of one fleet. Counters are increments: the output keeps the totals.
#[derive(Debug)]
pub(super) struct Fleet {
    pub(super) name: Text,
    pub(super) samples: [Series; 5],
    pub(super) invalid: Series,
    pub(super) idle: Series,
    pub(super) moving: Series,
    pub(super) distance: Series,
    pub(super) trips: Series,
    pub(super) speed: Series,
    pub(super) delay: Series,
    pub(super) top_speed: Series,
    pub(super) online_now: Series,
    pub(super) moving_now: Series,
    pub(super) forgotten: Series,
    /// Refused payloads and forgotten vehicles that no event has reported yet.
    pub(super) pending_invalid: AtomicU64,
    pub(super) pending_forgotten: AtomicU64,
    /// Bits of the highest speed; those of numbers from zero up are ordered as the numbers are.
    highest: AtomicU64,
    completed: AtomicI64,
}

const SAMPLES: Family = Family {
    name: "fleet_samples_total",
    kind: Kind::Counter,
    merge: Merge::Set,
    help: "Telemetry samples received, by what became of them.",
    unit: None,
};
const DRIVING: Family = Family {
    name: "fleet_driving_samples_total",
    kind: Kind::Counter,
    merge: Merge::Set,
    help: "Telemetry samples with a speed, each counted once, by whether the vehicle stood or moved.",
    unit: None,
};
const DISTANCE: Family = Family {
    name: "fleet_distance_meters_total",
    kind: Kind::Counter,
    merge: Merge::Set,
    help: "Distance driven, from the odometers.",
    unit: Some("meters"),
};
const TRIPS: Family = Family {
    name: "fleet_trips_total",
    kind: Kind::Counter,
    merge: Merge::Set,
    help: "Trips begun: starts of a vehicle of which a sample arrived.",
    unit: None,
};
const SPEED: Family = Family {
    name: "fleet_speed_meters_per_second",
    kind: Kind::Histogram,
    merge: Merge::Set,
    help: "Speed at each sample.",
    unit: Some("meters_per_second"),
};
const DELAY: Family = Family {
    name: "fleet_event_delay_seconds",
    kind: Kind::Histogram,
    merge: Merge::Set,
    help: "Time from taking a sample to its arrival at the function.",
    unit: Some("seconds"),
};
const TOP_SPEED: Family = Family {
    name: "fleet_speed_max_meters_per_second",
    kind: Kind::Gauge,
    merge: Merge::Max,
    help: "Highest speed that any vehicle has shown.",
    unit: Some("meters_per_second"),
};
const ONLINE: Family = Family {
    name: "fleet_vehicles_online",
    kind: Kind::Gauge,
    merge: Merge::Set,
    help: "Vehicles heard of within the last 90 seconds.",
    unit: None,
};
const MOVING: Family = Family {
    name: "fleet_vehicles_moving",
    kind: Kind::Gauge,
    merge: Merge::Set,
    help: "Vehicles heard of within the last 90 seconds whose newest sample showed them moving.",
    unit: None,
};
const FORGOTTEN: Family = Family {
    name: "fleet_vehicles_forgotten_total",
    kind: Kind::Counter,
    merge: Merge::Set,
    help: "Vehicles forgotten to make room for others; what they drive before they come back is not counted.",
    unit: None,
};

impl Fleet {
    /// The series of a fleet of this name.
    pub(super) fn new(name: &str) -> Fleet {
        let plain = |family: &Family| Series::new(family, &[("fleet", name)]);
        let labelled = |family: &Family, label, value| Series::new(family, &[("fleet", name), (label, value)]);
        Fleet {
            name: name.into(),
            samples: Standing::ALL.map(|standing| labelled(&SAMPLES, "result", standing.label())),
            invalid: labelled(&SAMPLES, "result", "invalid"),
            idle: labelled(&DRIVING, "state", "idle"),
            moving: labelled(&DRIVING, "state", "moving"),
            distance: plain(&DISTANCE),
            trips: plain(&TRIPS),
            speed: plain(&SPEED),
            delay: plain(&DELAY),
            top_speed: plain(&TOP_SPEED),
            online_now: plain(&ONLINE),
            moving_now: plain(&MOVING),
            forgotten: plain(&FORGOTTEN),
            pending_invalid: AtomicU64::new(0),
            pending_forgotten: AtomicU64::new(0),
            highest: AtomicU64::new(0),
            completed: AtomicI64::new(NEVER),
        }
    }

    /// Whether `speed`, in metres per second from zero up, is the highest so far.
    pub(super) fn is_highest(&self, speed: f64) -> bool {
        speed.to_bits() > self.highest.load(Ordering::Relaxed)
            && speed.to_bits() > self.highest.fetch_max(speed.to_bits(), Ordering::Relaxed)
    }

    /// The highest speed so far.
    pub(super) fn highest(&self) -> f64 {
        f64::from_bits(self.highest.load(Ordering::Relaxed))
    }

    /// Whether a complete report is due; of callers at the same moment, one is told so. A clock that was set back counts
    /// as time passed.
    pub(super) fn is_due(&self, now: i64) -> bool {
        let before = self.completed.load(Ordering::Relaxed);
        let due = before == NEVER || now.abs_diff(before) >= COMPLETE_EVERY;
        due && self.completed.compare_exchange(before, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

/// The fleets heard of, at most [`MAX_FLEETS`] and one for the rest.
#[derive(Debug, Default)]
pub(super) struct Fleets {
    by_name: RwLock<HashMap<Text, Arc<Fleet>>>,
}

/// The name under which further fleets are counted together.
const OTHER: &str = "other";

impl Fleets {
    /// The fleet of this name, or the one for the rest.
    pub(super) fn of(&self, name: &str) -> Arc<Fleet> {
        let name = if name.len() > LONGEST_NAME { OTHER } else { name };
        if let Some(fleet) = self.known(name) {
            return fleet;
        }
        let mut by_name = self.by_name.write();
        // Somebody may have added it since.
        let fits = by_name.len() < MAX_FLEETS || by_name.contains_key(name);
        let name = if fits { name } else { OTHER };
        Arc::clone(by_name.entry(name.into()).or_insert_with(|| Arc::new(Fleet::new(name))))
    }

    fn known(&self, name: &str) -> Option<Arc<Fleet>> {
        let by_name = self.by_name.read();
        let rest = || by_name.get(OTHER).filter(|_| by_name.len() >= MAX_FLEETS);
        by_name.get(name).or_else(rest).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fleets_are_bounded_and_the_rest_share_a_name() {
        let fleets = Fleets::default();
        for number in 0..1_000 {
            fleets.of(&format!("fleet-{number}"));
        }
        assert_eq!(fleets.by_name.read().len(), MAX_FLEETS + 1);
        assert_eq!(fleets.of("fleet-3").name, "fleet-3");
        assert_eq!(fleets.of("fleet-999").name, "other");
        assert_eq!(Fleets::default().of(&"x".repeat(129)).name, "other");
    }

    #[test]
    fn a_fleet_that_is_called_as_the_rest_is_takes_it_in() {
        let fleets = Fleets::default();
        fleets.of("other");
        for number in 0..1_000 {
            fleets.of(&format!("fleet-{number}"));
        }
        assert_eq!(fleets.by_name.read().len(), MAX_FLEETS);
    }

    #[test]
    fn a_complete_report_is_due_once_a_second_and_after_a_clock_set_back() {
        let fleet = Fleet::new("demo");
        let asked = [0, 0, 999, 1_000, 1_500, -5_000, -5_000];
        assert_eq!(asked.map(|now| fleet.is_due(now)), [true, false, false, true, false, true, false]);
    }

    #[test]
    fn the_highest_speed_only_rises() {
        let fleet = Fleet::new("demo");
        assert_eq!([0.0, 2.0, 1.0, 2.0, 2.5].map(|speed| fleet.is_highest(speed)), [false, true, false, false, true]);
        assert_eq!(fleet.highest(), 2.5);
    }
}
