//! From the simulator to the metrics: the totals of a fleet are the same whatever happens on the way.

use std::collections::BTreeMap;
use std::time::Duration;

use engine::metric::sample::{Kind, Merge, Samples};
use proptest::prelude::*;

use super::simulator::{Choice, Ledger, Message, Options, Profile, Simulator};
use crate::vehicle::{Observation, Tally};

/// What a metrics output would show: series by name and labels. Histograms are their count.
#[derive(Clone, Debug, Default, PartialEq)]
struct Shown(BTreeMap<String, f64>);

impl Shown {
    fn take(&mut self, report: &[u8]) {
        let read: Samples<'_> = serde_json::from_slice(report).unwrap();
        assert!(!read.samples.is_empty());
        for sample in read.samples {
            let labels: Vec<String> =
                sample.labels.iter().filter(|(name, _)| *name != "fleet").map(|(_, value)| value.to_string()).collect();
            let series = self.0.entry([&[sample.name.to_string()], labels.as_slice()].concat().join(":")).or_default();
            *series = match (sample.kind, sample.merge) {
                (Kind::Counter, _) => *series + sample.value,
                (Kind::Histogram, _) => *series + 1.0,
                (Kind::Gauge, Merge::Max) => series.max(sample.value),
                (Kind::Gauge, _) => sample.value,
            };
        }
    }

    fn at(&self, series: &str) -> f64 {
        self.0.get(series).copied().unwrap_or_default()
    }

    fn max_speed_kmh(&self) -> f64 {
        self.at("fleet_speed_max_meters_per_second") * 3.6
    }

    fn idle_share(&self) -> f64 {
        let idle = self.at("fleet_driving_samples_total:idle");
        idle / (idle + self.at("fleet_driving_samples_total:moving"))
    }

    /// Everything that must not depend on what happens on the way.
    fn totals(&self) -> Vec<(&'static str, f64)> {
        [
            "fleet_distance_meters_total",
            "fleet_trips_total",
            "fleet_driving_samples_total:idle",
            "fleet_driving_samples_total:moving",
            "fleet_speed_meters_per_second",
            "fleet_event_delay_seconds",
            "fleet_speed_max_meters_per_second",
        ]
        .map(|series| (series, self.at(series)))
        .to_vec()
    }
}

/// Observes a message as the function would; `true` if it was accepted.
fn observe(tally: &Tally, message: &Message, shown: &mut Shown) -> bool {
    let levels: Vec<&str> = message.topic.split('/').collect();
    let (fleet, vehicle) = (levels[1], levels[2]);
    let observation = Observation {
        identity: &format!("/fleet/{fleet}/{vehicle}"),
        fleet,
        vehicle: Some(vehicle),
        payload: &message.payload,
        arrived: message.due.as_millis() as i64,
    };
    match tally.observe(&observation) {
        Ok(report) => shown.take(&report),
        Err(refused) => {
            assert!(!refused.to_string().is_empty());
            return false;
        }
    }
    true
}

fn drive(options: &Options) -> (Shown, Ledger, u64) {
    let (tally, mut shown, mut refused) = (Tally::default(), Shown::default(), 0);
    let mut fleet = Simulator::new(options).unwrap();
    for message in fleet.by_ref() {
        refused += u64::from(!observe(&tally, &message, &mut shown));
    }
    (shown, fleet.ledger(), refused)
}

fn lone(cycle: Choice, faults: Profile) -> Options {
    Options { cycle, faults, speed_up: 200.0, ..Options::default() }
}

#[test]
fn one_udds_gives_the_published_figures() {
    for faults in [Profile::None, Profile::Mild, Profile::Harsh] {
        let (shown, ..) = drive(&lone(Choice::Udds, faults));
        let distance = shown.at("fleet_distance_meters_total");
        assert!((distance - 11_990.0).abs() < 2.0, "{distance} under {faults}");
        assert!((shown.max_speed_kmh() - 91.25).abs() < 0.01, "{} under {faults}", shown.max_speed_kmh());
        assert!((shown.idle_share() - 0.189_05).abs() < 0.000_01, "{} under {faults}", shown.idle_share());
    }
}

#[test]
fn one_hwfet_gives_the_published_figures() {
    let (shown, ..) = drive(&lone(Choice::Hwfet, Profile::Harsh));
    assert!((shown.at("fleet_distance_meters_total") - 16_507.0).abs() < 2.0);
    assert!((shown.max_speed_kmh() - 96.40).abs() < 0.01);
}

#[test]
fn harsh_faults_show_in_the_results_and_nowhere_else() {
    let (calm, ..) = drive(&lone(Choice::Udds, Profile::None));
    let (shown, ledger, refused) = drive(&lone(Choice::Udds, Profile::Harsh));
    assert_eq!(shown.totals(), calm.totals());
    assert_eq!(calm.at("fleet_samples_total:ok"), 1_370.0);
    assert_eq!(refused, ledger.malformed);
    assert_eq!(shown.at("fleet_samples_total:duplicate"), ledger.duplicates as f64);
    assert_eq!(shown.at("fleet_samples_total:stale"), 0.0);
    let new = ["ok", "late", "out_of_order"].map(|result| shown.at(&format!("fleet_samples_total:{result}")));
    assert_eq!(new.iter().sum::<f64>(), ledger.samples as f64);
    assert!(new[0] < 1_370.0 && ledger.malformed > 20 && ledger.duplicates > 50);
    // The last broken payloads may have no report after them.
    let invalid = shown.at("fleet_samples_total:invalid");
    assert!(invalid <= ledger.malformed as f64 && invalid >= ledger.malformed as f64 - 3.0, "{invalid}");
}

#[test]
fn a_tidal_fleet_is_online_and_moving() {
    let options = Options {
        cycle: Choice::Tide,
        vehicles: 100,
        speed_up: 10.0,
        duration: Some(Duration::from_secs(20)),
        ..Options::default()
    };
    let (shown, ledger, _) = drive(&options);
    let (online, moving) = (shown.at("fleet_vehicles_online"), shown.at("fleet_vehicles_moving"));
    assert!(online > 20.0 && online <= 100.0 && moving > 0.0 && moving < online, "{shown:?}");
    assert_eq!(shown.at("fleet_trips_total"), ledger.trips as f64);
}

#[test]
fn the_first_report_has_every_series_with_help_and_a_usual_one_is_short() {
    let mut fleet = Simulator::new(&Options::default()).unwrap().map(|message| message.payload);
    let tally = Tally::default();
    let mut next = |arrived| {
        let payload = fleet.next().unwrap();
        let observation = Observation {
            identity: "/fleet/demo/veh-000001",
            fleet: "demo",
            vehicle: None,
            payload: &payload,
            arrived,
        };
        tally.observe(&observation).unwrap()
    };
    let first = next(0);
    let first: Samples<'_> = serde_json::from_slice(&first).unwrap();
    assert!(first.samples.iter().all(|sample| sample.help.is_some()));
    let families: std::collections::BTreeSet<&str> = first.samples.iter().map(|sample| &*sample.name).collect();
    assert_eq!(families.len(), 10, "{families:?}");
    let usual = next(500);
    let usual: Samples<'_> = serde_json::from_slice(&usual).unwrap();
    assert!(usual.samples.len() <= 6 && usual.samples.iter().all(|sample| sample.help.is_none()));
}

#[test]
fn no_label_names_a_vehicle() {
    let options =
        Options { vehicles: 30, duration: Some(Duration::from_secs(20)), faults: Profile::Harsh, ..Options::default() };
    let tally = Tally::default();
    for message in Simulator::new(&options).unwrap() {
        let (vehicle, payload) = (message.topic.split('/').nth(2), &message.payload);
        let observation = Observation { identity: &message.topic, fleet: "demo", vehicle, payload, arrived: 0 };
        if let Ok(report) = tally.observe(&observation) {
            assert!(!String::from_utf8(report).unwrap().contains("veh-"));
        }
    }
}

#[test]
fn what_is_remembered_is_bounded_and_what_was_forgotten_is_counted() {
    let (tally, mut shown) = (Tally::with_room_for(640), Shown::default());
    for number in 0..5_000 {
        let payload = format!(r#"{{"v":1,"vehicle":"v","seq":0,"signals":{{"Vehicle.TraveledDistance":{number}}}}}"#);
        let identity = format!("/fleet/demo/{number}");
        let observation = Observation {
            identity: &identity,
            fleet: "demo",
            vehicle: None,
            payload: payload.as_bytes(),
            arrived: number,
        };
        shown.take(&tally.observe(&observation).unwrap());
    }
    assert_eq!(tally.vehicles(), 640);
    assert_eq!(shown.at("fleet_vehicles_forgotten_total"), (5_000 - 640) as f64);
}

#[test]
fn parallel_workers_reach_the_same_totals() {
    let options = Options {
        vehicles: 8,
        duration: Some(Duration::from_secs(8)),
        speed_up: 100.0,
        ..lone(Choice::Udds, Profile::Harsh)
    };
    let (expected, ..) = drive(&options);
    let messages: Vec<Message> = Simulator::new(&options).unwrap().collect();
    let (tally, shown) = (Tally::default(), parking_lot::Mutex::new(Shown::default()));
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let (tally, shown, messages) = (&tally, &shown, &messages);
            scope.spawn(move || {
                for message in messages.iter().skip(worker).step_by(4) {
                    let mut part = Shown::default();
                    observe(tally, message, &mut part);
                    let mut shown = shown.lock();
                    for (series, value) in part.0 {
                        let total = shown.0.entry(series.clone()).or_default();
                        *total = if series.contains("max") { total.max(value) } else { *total + value };
                    }
                }
            });
        }
    });
    assert_eq!(shown.into_inner().totals(), expected.totals());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    /// Whatever the seed, the fleet, the cycle and the rate: faults never change a total.
    #[test]
    fn totals_do_not_depend_on_what_happens_on_the_way(
        seed in any::<u64>(),
        vehicles in 1..5_u32,
        cycle in prop_oneof![Just(Choice::Udds), Just(Choice::Hwfet), Just(Choice::Tide)],
        rate in prop_oneof![Just(0.2), Just(1.0), Just(2.0)],
        faults in prop_oneof![Just(Profile::Mild), Just(Profile::Harsh)],
    ) {
        let duration = Some(Duration::from_secs(9));
        let calm = Options { seed, vehicles, cycle, rate, duration, speed_up: 200.0, ..Options::default() };
        let rough = Options { faults, ..calm.clone() };
        let ((expected, ..), (shown, ledger, refused)) = (drive(&calm), drive(&rough));
        prop_assert_eq!(shown.totals(), expected.totals());
        prop_assert_eq!(refused, ledger.malformed);
        prop_assert_eq!(shown.at("fleet_samples_total:duplicate"), ledger.duplicates as f64);
        prop_assert_eq!(shown.at("fleet_samples_total:stale"), 0.0);
    }
}
