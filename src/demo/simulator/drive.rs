//! One vehicle: who it is, the trip it is on, and what its sensors show at any sample of that trip.
//!
//! Decision: a [`Trip`] holds the little that a trip starts with, and a [`Reading`] is computed from trip, cycle and sample
//! number alone. Whatever is sent late or twice is computed again instead of being kept.

use std::sync::Arc;

use super::cycle::{self, Cycle};
use super::random::Random;

/// A second in the simulator's clock, which counts nanoseconds.
pub(super) const SECOND: f64 = 1e9;
/// Kilowatt hours that the traction battery holds.
const CAPACITY_KWH: f64 = 60.0;
/// A vehicle is charged during a stop when less than this share is left ...
const CHARGE_BELOW: f64 = 0.25;
/// ... up to this one.
const CHARGE_TO: f64 = 0.90;
/// The fleet drives around this depot.
const DEPOT: (f64, f64) = (48.137_154, 11.576_124);
/// Metres of the round that a vehicle drives, and degrees of latitude per metre.
const ROUND: f64 = 15_000.0;
const DEGREES_PER_METRE: f64 = 1.0 / 111_320.0;
/// One vehicle in a hundred has a fault of its own.
const AILING: f64 = 0.01;

/// What is wrong with a vehicle (not with its messages).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ailment {
    None,
    CellHeat,
    TyreLeak,
    WeakBattery,
}

/// What stays the same about a vehicle for the whole run.
#[derive(Debug)]
pub(super) struct Vehicle {
    pub(super) id: String,
    pub(super) telemetry: Arc<str>,
    pub(super) backfill: Arc<str>,
    /// The factor on every speed of the cycle.
    scale: f64,
    ailment: Ailment,
    /// The place of this vehicle on the round, in radians.
    bearing: f64,
}

/// What a trip starts with; times in simulated nanoseconds.
#[derive(Debug)]
pub(super) struct Trip {
    pub(super) vehicle: u32,
    /// Counts the vehicle's starts from one.
    pub(super) boot: u32,
    pub(super) begin: u64,
    /// Where in the cycle the trip begins.
    offset: u64,
    /// The cycle's end.
    length: u64,
    period: u64,
    /// Metres on the odometer at the beginning, with the fraction that the odometer does not show.
    odometer: f64,
    /// Share of the battery at the beginning.
    charge: f64,
}

/// What the sensors show at one sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Reading {
    pub(super) speed_kmh: f64,
    pub(super) odometer_m: u32,
    pub(super) latitude: f64,
    pub(super) longitude: f64,
    pub(super) acceleration: f64,
    pub(super) charge_percent: f64,
    pub(super) battery_power_w: f64,
    pub(super) battery_celsius: f64,
    pub(super) low_voltage: f64,
    pub(super) tyre_kpa: f64,
    pub(super) trouble_codes: u32,
}

impl Vehicle {
    /// Vehicle number `number` of a fleet. `lone` vehicles follow the cycle at its own speed.
    pub(super) fn new(fleet: &str, number: u32, lone: bool, dice: &mut Random) -> Vehicle {
        let id = format!("veh-{:06}", number + 1);
        let scale = dice.between(0.9, 1.1);
        let ailment = match (dice.chance(AILING), dice.below(3)) {
            (false, _) => Ailment::None,
            (true, 0) => Ailment::CellHeat,
            (true, 1) => Ailment::TyreLeak,
            (true, _) => Ailment::WeakBattery,
        };
        Vehicle {
            telemetry: format!("v1/{fleet}/{id}/telemetry").into(),
            backfill: format!("v1/{fleet}/{id}/backfill").into(),
            id,
            scale: if lone { 1.0 } else { scale },
            ailment,
            bearing: dice.between(0.0, std::f64::consts::TAU),
        }
    }

    /// What the sensors show at sample `seq` of `trip`.
    pub(super) fn reading(&self, cycle: &Cycle, trip: &Trip, seq: u32) -> Reading {
        let moment = trip.moment(seq) as f64 / SECOND;
        let driven_seconds = (trip.moment(seq) - trip.offset) as f64 / SECOND;
        let speed = cycle.speed(moment) * self.scale;
        let acceleration = cycle.acceleration(moment) * self.scale;
        let odometer = trip.odometer + self.driven(cycle, trip, moment);
        let angle = self.bearing + odometer / ROUND;
        let warm = 1.0 - (-driven_seconds / 900.0).exp();
        let heat = if self.ailment == Ailment::CellHeat { 35.0 } else { 8.0 };
        let leak = if self.ailment == Ailment::TyreLeak { driven_seconds / 30.0 } else { 0.0 };
        let droop = if self.ailment == Ailment::WeakBattery { 1.1 } else { 0.0 };
        Reading {
            speed_kmh: speed * 3.6,
            odometer_m: odometer as u32,
            latitude: DEPOT.0 + ROUND * DEGREES_PER_METRE * angle.sin(),
            longitude: DEPOT.1 + ROUND * DEGREES_PER_METRE * 1.5 * angle.cos(),
            acceleration,
            charge_percent: (trip.charge - self.used(cycle, trip, moment)).max(0.0) * 100.0,
            battery_power_w: -cycle::power(speed, acceleration),
            battery_celsius: 24.0 + heat * warm,
            low_voltage: 12.9 - droop + 0.1 * warm,
            tyre_kpa: (245.0 + 10.0 * warm - leak).max(120.0),
            trouble_codes: u32::from(self.ailment != Ailment::None),
        }
    }

    /// The trip after `last` (or the first one), beginning at `begin` and at `offset` of the cycle.
    pub(super) fn trip(&self, cycle: &Cycle, start: &Start, last: Option<&Trip>) -> Trip {
        let (boot, odometer, charge) = match last {
            None => (1, start.odometer, start.charge),
            Some(last) => {
                let odometer = last.odometer + self.driven(cycle, last, cycle.length());
                let left = last.charge - self.used(cycle, last, cycle.length());
                (last.boot + 1, odometer, if left < CHARGE_BELOW { CHARGE_TO } else { left })
            }
        };
        Trip {
            vehicle: start.vehicle,
            boot,
            begin: start.begin,
            offset: start.offset,
            length: (cycle.length() * SECOND) as u64,
            period: start.period,
            odometer,
            charge,
        }
    }

    fn driven(&self, cycle: &Cycle, trip: &Trip, moment: f64) -> f64 {
        self.scale * (cycle.distance(moment) - cycle.distance(trip.offset as f64 / SECOND))
    }

    fn used(&self, cycle: &Cycle, trip: &Trip, moment: f64) -> f64 {
        let joules = cycle.work(moment) - cycle.work(trip.offset as f64 / SECOND);
        self.scale * self.scale * joules / 3.6e6 / CAPACITY_KWH
    }
}

/// Where and when a trip starts; odometer and charge count for a vehicle's first trip only.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start {
    pub(super) vehicle: u32,
    pub(super) begin: u64,
    pub(super) offset: u64,
    pub(super) period: u64,
    /// Whole metres, as the instrument shows.
    pub(super) odometer: f64,
    pub(super) charge: f64,
}

impl Trip {
    /// The place of a sample in the cycle, in nanoseconds; never past the end.
    fn moment(&self, seq: u32) -> u64 {
        (self.offset + u64::from(seq) * self.period).min(self.length)
    }

    /// The simulated time of a sample.
    pub(super) fn time(&self, seq: u32) -> u64 {
        self.begin + self.moment(seq) - self.offset
    }

    /// Whether a sample is the trip's last. The end of the cycle always has one, whatever the rate.
    pub(super) fn ends_with(&self, seq: u32) -> bool {
        self.moment(seq) == self.length
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lone(period: f64) -> (Vehicle, Cycle, Trip) {
        let cycle = Cycle::udds().unwrap();
        let vehicle = Vehicle::new("demo", 0, true, &mut Random::new(1, 1));
        let start = Start {
            vehicle: 0,
            begin: 0,
            offset: 0,
            period: (period * SECOND) as u64,
            odometer: 48_000_000.0,
            charge: 0.8,
        };
        let trip = vehicle.trip(&cycle, &start, None);
        (vehicle, cycle, trip)
    }

    #[test]
    fn a_lone_vehicle_shows_the_cycle_at_any_rate() {
        for period in [0.1, 1.0, 7.0] {
            let (vehicle, cycle, trip) = lone(period);
            let last = (0..).find(|seq| trip.ends_with(*seq)).unwrap();
            assert_eq!(f64::from(last), (cycle.length() / period).ceil());
            let (first, end) = (vehicle.reading(&cycle, &trip, 0), vehicle.reading(&cycle, &trip, last));
            assert_eq!(end.odometer_m - first.odometer_m, 11_990);
            assert_eq!((first.speed_kmh, end.speed_kmh), (0.0, 0.0));
            assert!(end.charge_percent < first.charge_percent);
            assert_eq!(trip.time(last), (cycle.length() * SECOND) as u64);
        }
    }

    #[test]
    fn the_next_trip_goes_on_where_the_last_one_ended() {
        let (vehicle, cycle, trip) = lone(1.0);
        let start = Start { vehicle: 0, begin: 5, offset: 0, period: trip.period, odometer: 0.0, charge: 0.0 };
        let next = vehicle.trip(&cycle, &start, Some(&trip));
        let (last, first) = (vehicle.reading(&cycle, &trip, 1_369), vehicle.reading(&cycle, &next, 0));
        assert_eq!(next.boot, 2);
        assert_eq!(first.odometer_m, last.odometer_m);
        assert!((first.charge_percent - last.charge_percent).abs() < 1e-9);
    }

    #[test]
    fn an_empty_battery_is_charged_between_trips() {
        let (vehicle, cycle, mut trip) = lone(1.0);
        trip.charge = 0.26;
        let start = Start { vehicle: 0, begin: 5, offset: 0, period: trip.period, odometer: 0.0, charge: 0.0 };
        let next = vehicle.trip(&cycle, &start, Some(&trip));
        assert_eq!(vehicle.reading(&cycle, &next, 0).charge_percent, CHARGE_TO * 100.0);
    }

    #[test]
    fn a_fleet_scales_the_cycle_by_a_tenth_at_most_and_ails_now_and_then() {
        let mut dice = Random::new(5, 5);
        let fleet: Vec<Vehicle> = (0..5_000).map(|number| Vehicle::new("demo", number, false, &mut dice)).collect();
        assert!(fleet.iter().all(|vehicle| (0.9..1.1).contains(&vehicle.scale)));
        let ailing = fleet.iter().filter(|vehicle| vehicle.ailment != Ailment::None).count();
        assert!((20..100).contains(&ailing), "{ailing} of 5000");
        assert_eq!(&*fleet[41].telemetry, "v1/demo/veh-000042/telemetry");
        assert_eq!(&*fleet[41].backfill, "v1/demo/veh-000042/backfill");
    }

    #[test]
    fn each_ailment_shows_in_its_own_signal() {
        let (mut vehicle, cycle, trip) = lone(1.0);
        let well = vehicle.reading(&cycle, &trip, 1_000);
        vehicle.ailment = Ailment::CellHeat;
        assert!(vehicle.reading(&cycle, &trip, 1_000).battery_celsius > well.battery_celsius + 10.0);
        vehicle.ailment = Ailment::TyreLeak;
        assert!(vehicle.reading(&cycle, &trip, 1_000).tyre_kpa < well.tyre_kpa - 20.0);
        vehicle.ailment = Ailment::WeakBattery;
        let weak = vehicle.reading(&cycle, &trip, 1_000);
        assert!(weak.low_voltage < 12.0 && well.low_voltage > 12.0);
        assert_eq!((weak.trouble_codes, well.trouble_codes), (1, 0));
    }
}
