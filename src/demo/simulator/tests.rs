//! The simulator as a whole: what comes out of it, in which order, and that faults only add or delay.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

use super::*;

fn run(options: &Options) -> (Vec<Message>, Ledger) {
    let mut fleet = Simulator::new(options).unwrap();
    let messages: Vec<Message> = fleet.by_ref().collect();
    (messages, fleet.ledger())
}

fn lone(cycle: Choice, faults: Profile) -> Options {
    Options { cycle, faults, speed_up: 200.0, seed: 42, ..Options::default() }
}

fn fleet(vehicles: u32, faults: Profile, seconds: u64) -> Options {
    let duration = Some(Duration::from_secs(seconds));
    Options { vehicles, faults, duration, speed_up: 100.0, seed: 7, ..Options::default() }
}

/// The identity of a true sample; none for a broken payload.
fn identity(message: &Message) -> Option<String> {
    let payload: Value = serde_json::from_slice(&message.payload).ok()?;
    let id = payload.get("id")?.as_str()?;
    (!id.ends_with("-broken")).then(|| id.to_owned())
}

fn identities(messages: &[Message]) -> BTreeSet<String> {
    messages.iter().filter_map(identity).collect()
}

#[test]
fn one_vehicle_drives_the_cycle_once_and_the_run_ends() {
    for (cycle, rows) in [(Choice::Udds, 1_370), (Choice::Hwfet, 766)] {
        let (messages, ledger) = run(&lone(cycle, Profile::None));
        assert_eq!(messages.len(), rows);
        let expected = Ledger { messages: rows as u64, samples: rows as u64, trips: 1, ..Ledger::default() };
        assert_eq!(Ledger { bytes: 0, ..ledger }, expected);
        let last = messages.last().unwrap().due;
        assert_eq!(last, Duration::from_secs(rows as u64 - 1) / 200);
    }
}

#[test]
fn a_duration_cuts_the_single_trip_short_and_never_repeats_it() {
    let cut = Options { duration: Some(Duration::from_secs(2)), ..lone(Choice::Udds, Profile::None) };
    assert_eq!(run(&cut).0.len(), 401);
    let long = Options { duration: Some(Duration::from_secs(600)), ..cut };
    assert_eq!(run(&long).0.len(), 1_370);
}

#[test]
fn messages_come_in_order_of_due_time_and_within_the_duration() {
    for faults in [Profile::None, Profile::Mild, Profile::Harsh] {
        for cycle in [Choice::Udds, Choice::Tide] {
            let (messages, _) = run(&Options { cycle, ..fleet(8, faults, 30) });
            assert!(messages.len() > 1_000);
            assert!(messages.is_sorted_by_key(|message| message.due));
            assert!(messages.iter().all(|message| message.due <= Duration::from_secs(30)));
        }
    }
}

#[test]
fn equal_options_give_equal_messages_and_another_seed_others() {
    let options = fleet(10, Profile::Harsh, 10);
    let first = run(&options);
    assert_eq!(first, run(&options));
    assert_ne!(first.0, run(&Options { seed: 8, ..options }).0);
}

#[test]
fn every_true_sample_arrives_under_every_profile() {
    for options in [fleet(4, Profile::None, 30), lone(Choice::Udds, Profile::None)] {
        let (calm, _) = run(&options);
        let expected = identities(&calm);
        assert_eq!(expected.len(), calm.len());
        for faults in [Profile::Mild, Profile::Harsh] {
            let (messages, ledger) = run(&Options { faults, ..options.clone() });
            assert_eq!(identities(&messages), expected);
            assert_eq!(ledger.samples, expected.len() as u64);
        }
    }
}

#[test]
fn the_ledger_says_what_was_sent() {
    let (messages, ledger) = run(&fleet(4, Profile::Harsh, 40));
    assert_eq!(ledger.messages, messages.len() as u64);
    assert_eq!(ledger.messages, ledger.samples + ledger.duplicates + ledger.malformed);
    assert_eq!(ledger.bytes, messages.iter().map(|message| message.payload.len() as u64).sum::<u64>());
    let mut sent: BTreeMap<String, u64> = BTreeMap::new();
    for id in messages.iter().filter_map(identity) {
        *sent.entry(id).or_default() += 1;
    }
    assert_eq!(ledger.samples, sent.len() as u64);
    assert_eq!(ledger.duplicates, sent.values().map(|times| times - 1).sum::<u64>());
    for count in [ledger.late, ledger.out_of_order, ledger.backfilled, ledger.as_text, ledger.malformed] {
        assert!(count > 100, "{ledger:?}");
    }
    assert!(ledger.trips >= 4 && ledger.late + ledger.out_of_order + ledger.backfilled < ledger.samples);
}

#[test]
fn one_harsh_cycle_meets_every_fault() {
    let (_, ledger) = run(&lone(Choice::Udds, Profile::Harsh));
    let met =
        [ledger.duplicates, ledger.late, ledger.out_of_order, ledger.backfilled, ledger.as_text, ledger.malformed];
    assert!(met.iter().all(|count| *count > 20), "{ledger:?}");
}

#[test]
fn a_silence_is_filled_on_its_own_topic() {
    let (messages, ledger) = run(&fleet(4, Profile::Harsh, 40));
    let backfill: Vec<&Message> = messages.iter().filter(|message| message.topic.ends_with("/backfill")).collect();
    let identities: BTreeSet<String> = backfill.iter().filter_map(|message| identity(message)).collect();
    assert_eq!(ledger.backfilled, identities.len() as u64);
    assert!(messages.iter().all(|message| {
        let levels: Vec<&str> = message.topic.split('/').collect();
        levels.len() == 4 && levels[0] == "v1" && levels[1] == "demo" && levels[2].starts_with("veh-")
    }));
}

#[test]
fn a_fleet_does_not_move_in_lockstep() {
    let (messages, _) = run(&fleet(50, Profile::None, 5));
    let mut firsts: BTreeMap<String, (Duration, f64)> = BTreeMap::new();
    for message in &messages {
        let payload: Value = serde_json::from_slice(&message.payload).unwrap();
        let speed = payload["signals"]["Vehicle.Speed"].as_f64().unwrap();
        firsts.entry(message.topic.to_string()).or_insert((message.due, speed));
    }
    assert_eq!(firsts.len(), 50);
    let dues: BTreeSet<Duration> = firsts.values().map(|first| first.0).collect();
    let speeds: BTreeSet<u64> = firsts.values().map(|first| first.1.to_bits()).collect();
    assert!(dues.len() > 45 && speeds.len() > 25, "{} and {}", dues.len(), speeds.len());
}

#[test]
fn a_fleet_goes_on_without_a_duration() {
    let endless = Options { duration: None, speed_up: 1_000.0, ..fleet(3, Profile::Mild, 0) };
    let last = Simulator::new(&endless).unwrap().nth(50_000).unwrap();
    let payload: Value = serde_json::from_slice(&last.payload).unwrap_or_default();
    assert!(payload["boot"].as_u64().unwrap() > 5, "{payload}");
}

/// Vehicles heard of in each simulated hour of a day on the tide.
fn hours_of_a_day(faults: Profile) -> BTreeMap<u64, usize> {
    // Six samples an hour and vehicle are enough to see who drives.
    let day = Some(Duration::from_secs(24 * 60));
    let options = Options {
        cycle: Choice::Tide,
        vehicles: 100,
        rate: 1.0 / 60.0,
        speed_up: 60.0,
        duration: day,
        faults,
        ..Options::default()
    };
    let mut fleet = Simulator::new(&options).unwrap();
    let mut heard: BTreeMap<u64, BTreeSet<String>> = BTreeMap::new();
    while let Some(message) = fleet.next() {
        let hour = fleet.simulated(message.due).as_secs() / 3_600;
        heard.entry(hour).or_default().insert(message.topic.to_string());
    }
    heard.into_iter().map(|(hour, vehicles)| (hour, vehicles.len())).collect()
}

#[test]
fn the_tide_rises_twice_and_is_silent_from_two_to_four() {
    let heard = hours_of_a_day(Profile::None);
    let at = |hour: u64| heard.get(&hour).copied().unwrap_or(0);
    assert!(at(7) > 90 && at(17) > 90, "{heard:?}");
    assert!(at(12) < at(7) && at(12) < at(17) && at(22) < at(12), "{heard:?}");
    assert!((3..30).contains(&at(24)), "{heard:?}");
    assert_eq!((at(26), at(27)), (0, 0), "{heard:?}");
    assert!(at(29) > 3, "{heard:?}");
}

#[test]
fn what_is_out_of_range_is_refused() {
    let error = Simulator::new(&Options { vehicles: 0, ..Options::default() }).unwrap_err();
    assert_eq!(error.to_string(), "vehicles is 0, but it must be between 1 and 100000");
}
