//! Judgements over runs in which exactly one thing went wrong.

use engine::metric::Connection;
use engine::supervisor::{DeadLetterStatus, LedgerStatus, ParkedStatus};

use super::super::simulator::{Ledger, Profile};
use super::*;

fn source(received: u64, settled: u64) -> SourceStatus {
    SourceStatus {
        received,
        settled,
        rejected: 0,
        handed_back: 0,
        in_flight: 0,
        paused: false,
        seats: 1_000,
        connection: Connection::Disconnected,
        connects: 1,
        last_error: None,
        dropped: BTreeMap::new(),
        lag: None,
    }
}

fn rule(matched: u64, done: u64, rejected: u64) -> RuleStatus {
    RuleStatus {
        matched,
        recovered: 0,
        replayed: 0,
        looped: 0,
        done,
        dead_lettered: rejected,
        dead_letters: BTreeMap::from([("rejected", rejected), ("exhausted", 0)]),
        dropped: BTreeMap::from([("function", 0)]),
        handed_back: 0,
        parked: 0,
        parked_oldest_age_seconds: None,
        paused: false,
        paused_keys: 0,
        paused_oldest_age_seconds: None,
        held: None,
        in_flight: 0,
        lag: 0,
        oldest_age_seconds: None,
        filtered: 0,
        failed_attempts: 0,
        last_error: None,
    }
}

/// A hundred samples, seven of them twice, and five malformed payloads, in ten seconds.
fn remains() -> Remains {
    let ledger = Ledger { messages: 112, samples: 100, duplicates: 7, malformed: 5, ..Ledger::default() };
    let results = [("ok", 90), ("late", 6), ("out_of_order", 4), ("duplicate", 7), ("invalid", 5)];
    Remains {
        options: Options { faults: Profile::Harsh, speed_up: 200.0, ..Options::default() },
        work: Duration::from_millis(5),
        elapsed: Duration::from_secs(10),
        interrupted: false,
        progress: Progress { ledger, confirmed: 112, finished: true, ..Progress::default() },
        fleet: Fleet {
            distance_m: 11_989.0,
            max_speed_kmh: 91.25,
            idle_share: 0.189,
            samples: results.map(|(result, count)| (result.to_owned(), count)).into(),
            ..Fleet::default()
        },
        status: Status {
            configuration: engine::supervisor::ConfigurationStatus {
                generation: 1,
                loaded_at: std::time::UNIX_EPOCH,
                last_reload: None,
                failures: 0,
            },
            name: "tidemill".into(),
            instance: "demo".into(),
            draining: true,
            uptime_seconds: 11.0,
            sources: BTreeMap::from([("fleet".into(), source(112, 112))]),
            triggers: BTreeMap::new(),
            rules: BTreeMap::from([("telemetry/metrics".into(), rule(112, 107, 5))]),
            pools: BTreeMap::new(),
            spools: BTreeMap::new(),
            stores: BTreeMap::new(),
            outputs: BTreeMap::new(),
            circuits: Default::default(),
            dead_letters: DeadLetterStatus { stored: 5, ..DeadLetterStatus::default() },
            parked: ParkedStatus::default(),
            ledger: LedgerStatus::default(),
            drift: BTreeMap::new(),
        },
        peak_workers: 3,
        started_workers: 4,
        timeline: Vec::new(),
    }
}

fn verdict(wrong: impl FnOnce(&mut Remains)) -> Option<String> {
    let mut remains = remains();
    wrong(&mut remains);
    Report::new(remains).verdict()
}

fn the_rule(remains: &mut Remains) -> &mut RuleStatus {
    remains.status.rules.get_mut("telemetry/metrics").unwrap()
}

fn died(remains: &mut Remains, reason: &'static str, count: u64) {
    let rule = the_rule(remains);
    rule.dead_letters.insert(reason, count);
    rule.dead_lettered = rule.dead_letters.values().sum();
}

fn the_source(remains: &mut Remains) -> &mut SourceStatus {
    remains.status.sources.get_mut("fleet").unwrap()
}

#[test]
fn a_good_run_has_no_problems_and_its_figures() {
    let report = Report::new(remains());
    assert_eq!(report.verdict(), None);
    let json = serde_json::to_value(&report).unwrap();
    for (pointer, expected) in [
        ("/distance_m", 11_989.0.into()),
        ("/max_speed_kmh", 91.25.into()),
        ("/idle_share", 0.189.into()),
        ("/events_per_second", 11.2.into()),
        ("/elapsed_s", 10.0.into()),
        ("/faults", "harsh".into()),
        ("/cycle", "udds".into()),
        ("/conserved", true.into()),
        ("/lost", 0.into()),
        ("/sent/messages", 112.into()),
        ("/sent/confirmed", 112.into()),
        ("/sent/resent", 0.into()),
        ("/sources/fleet/received", 112.into()),
        ("/sources/fleet/handedBack", 0.into()),
        ("/rules/telemetry~1metrics/deadLetters/rejected", 5.into()),
        ("/samples/late", 6.into()),
        ("/problems", serde_json::json!([])),
    ] {
        assert_eq!(json.pointer(pointer), Some::<&serde_json::Value>(&expected), "{pointer}");
    }
}

#[test]
fn the_report_for_people_says_the_same() {
    assert_eq!(
        Report::new(remains()).text(),
        "\
1 vehicle on udds in 00:10: 11,989 m driven, at most 91.2 km/h, 18.9 % of the time at rest
sent       112 messages: 100 samples, 7 duplicates, 5 malformed; 0 were sent again
engine     112 received, 107 done, 5 rejected; 11 events/s, up to 3 workers
conserved  yes; 0 samples lost"
    );
}

#[test]
fn whatever_is_missing_is_named() {
    let lost = verdict(|run| *run.fleet.samples.get_mut("ok").unwrap() -= 2);
    assert_eq!(lost.as_deref(), Some("2 true samples were lost: the metrics do not show them"));
    let unconfirmed = verdict(|run| run.progress.confirmed -= 1);
    assert_eq!(unconfirmed.as_deref(), Some("1 messages were never confirmed by the broker"));
    let unnoticed = verdict(|run| {
        the_rule(run).done += 1;
        died(run, "rejected", 4);
    });
    assert_eq!(unnoticed.as_deref(), Some("1 malformed payloads were sent but not rejected"));
    let exhausted = verdict(|run| {
        the_rule(run).done -= 3;
        died(run, "exhausted", 3);
    });
    assert_eq!(exhausted.as_deref(), Some("3 deliveries were given up after their last attempt"));
    let back = verdict(|run| {
        the_rule(run).done -= 2;
        the_rule(run).handed_back += 1;
        the_rule(run).in_flight += 1;
    });
    let back = back.unwrap();
    assert!(back.starts_with("1 deliveries were handed back") && back.contains("; 1 deliveries were still"), "{back}");
}

#[test]
fn what_comes_again_is_no_problem() {
    let again = verdict(|run| {
        run.progress.resent = 3;
        *run.fleet.samples.get_mut("duplicate").unwrap() += 2;
        (the_source(run).received, the_source(run).settled) = (115, 115);
        (the_rule(run).matched, the_rule(run).done) = (115, 109);
        died(run, "rejected", 6);
    });
    assert_eq!(again, None);
    let undecoded = verdict(|run| {
        (the_source(run).settled, the_source(run).rejected) = (107, 5);
        the_rule(run).matched = 107;
        died(run, "rejected", 0);
    });
    assert_eq!(undecoded, None);
}

#[test]
fn a_law_that_does_not_hold_names_source_and_rule() {
    let broken = verdict(|run| {
        the_source(run).settled -= 1;
        the_rule(run).done += 1;
    });
    let broken = broken.unwrap();
    assert!(broken.contains("for source 'fleet'") && broken.contains("for rule 'telemetry/metrics'"), "{broken}");
    let json = serde_json::to_value(Report::new(Remains {
        status: Status { sources: [("fleet".into(), source(2, 1))].into(), ..remains().status },
        ..remains()
    }));
    assert_eq!(json.unwrap()["conserved"], false);
}
