//! What sound configurations mean.

use std::path::{Path, PathBuf};
use std::time::Duration;

use engine::config::plan::{self, Plan, Unmatched};
use engine::config::{Environment, Files, load, load_files};
use engine::event::Event;
use engine::pool::Limits;
use engine::retry::{Backoff, Exhausted, Hold, Policy, Room};
use engine::spool::{self, OnFull};
use engine::store::{self, Quota, Sync};

use crate::kinds::registry;

fn plan(text: &str) -> Plan {
    let mut files = Files::default();
    files.add("a.yaml", text);
    let loaded = load_files(files, "a", &registry(), &Environment::default());
    loaded.plan.unwrap_or_else(|| panic!("{:?}", loaded.diagnostics))
}

#[test]
fn everything_that_is_written_counts() {
    let plan = plan(include_str!("everything.yml"));
    assert_eq!(plan.state.dir.as_deref(), Some(Path::new("/var/lib/tidemill")));
    assert_eq!((plan.sources[0].name.as_str(), plan.sources[0].seats), ("fleet", 500));
    assert_eq!((plan.functions[0].workers, plan.functions[0].concurrency), (Limits { min: 1, max: 4 }, 16));
    let trigger = &plan.triggers[0];
    assert_eq!(trigger.sources, [0, 1, 2]);
    assert_eq!(plan.state.sync, Sync::Interval(Duration::from_millis(500)));
    let dead_letters = Quota {
        max_bytes: Some(256 << 20),
        max_age: Some(Duration::from_secs(30 * 86_400)),
        on_full: store::OnFull::DropOldest,
    };
    assert_eq!((plan.state.dead_letters, plan.state.ledger), (dead_letters, 5000));
    let spools: Vec<_> = plan.sources.iter().map(|source| source.spool).collect();
    let own = spool::Policy {
        max_bytes: 64 << 20,
        max_age: Some(Duration::from_secs(86_400)),
        on_full: OnFull::DropNewest,
        ..spool::Policy::default()
    };
    assert_eq!(spools, [None, None, Some(own)]);
    let [count, forward, show] = trigger.rules.as_slice() else { panic!("{} rules", trigger.rules.len()) };
    assert_eq!([count, forward, show].map(|rule| rule.dead_letter), [Some(0), Some(1), Some(0)]);
    assert_eq!((trigger.unmatched, trigger.dead_letter), (Unmatched::DeadLetter, Some(0)));
    let garbage: Vec<_> = plan.sources.iter().map(|source| source.dead_letter).collect();
    assert_eq!(garbage, [Some(1), Some(1), Some(0)]);
    assert_eq!((count.name.as_str(), count.function, count.outputs.as_slice()), ("count", Some(0), &[2, 3][..]));
    assert_eq!(count.timeout, Duration::from_secs(1));
    let retry = Policy {
        max_attempts: 3,
        backoff: Backoff::Exponential,
        delay: Duration::from_millis(50),
        max_delay: Duration::from_secs(1),
        jitter: 0.5,
        hold: Hold::State,
        max_age: Some(Duration::from_secs(3600)),
        exhausted: Exhausted::Drop,
        room: Room { rule: 1000, ..Room::ENDLESS },
    };
    assert_eq!(count.retry, retry);
    let inherited = (forward.retry.max_age, forward.retry.exhausted);
    assert_eq!(inherited, (Some(Duration::from_secs(6 * 3600)), Exhausted::PauseRule));
    assert_eq!((forward.function, forward.retry.max_attempts, forward.retry.backoff), (None, 4, Backoff::Linear));
    assert_eq!((show.timeout, show.retry.room), (Duration::from_secs(10), Room { rule: 100, key: 10 }));
}

#[test]
fn what_nothing_leads_to_is_left_out() {
    let plan = plan(
        "sources: { spare: { timer: { every: 1s } }, s: { timer: { every: 1s } } }\n\
         functions: { spare: { native: count }, f: { native: count } }\n\
         outputs: { spare: { log: }, o: { log: }, p: { log: } }\n\
         triggers: { t: { source: s, rules: { r: { function: f, output: [p, o] } } } }",
    );
    assert_eq!(plan.sources.iter().map(|source| source.name.as_str()).collect::<Vec<_>>(), ["s"]);
    assert_eq!(plan.functions.iter().map(|function| function.name.as_str()).collect::<Vec<_>>(), ["f"]);
    assert_eq!(plan.outputs.iter().map(|output| output.name.as_str()).collect::<Vec<_>>(), ["o", "p"]);
    let trigger = &plan.triggers[0];
    assert_eq!((trigger.sources.as_slice(), trigger.rules[0].function), (&[0][..], Some(0)));
    assert_eq!(trigger.rules[0].outputs, [1, 0]);
}

#[test]
fn what_is_not_written_has_a_default() {
    let plan = plan(
        "sources: { s: { timer: { every: 1s } } }\nfunctions: { f: { native: count } }\n\
         triggers: { t: { source: s, rules: { r: { function: f } } } }",
    );
    assert_eq!(plan.state, plan::State::default());
    assert_eq!(plan.sources[0].seats, 1000);
    assert_eq!((plan.functions[0].workers, plan.functions[0].concurrency), (Limits { min: 0, max: 8 }, 1));
    let rule = &plan.triggers[0].rules[0];
    assert_eq!(rule.timeout, Duration::from_secs(30));
    assert_eq!(rule.retry, Policy::default());
    assert!(rule.filter.is_none() && plan.triggers[0].filter.is_none());
}

#[test]
fn the_nearest_timeout_wins() {
    let text = |rule: &str, function: &str, defaults: &str| {
        format!(
            "sources: {{ s: {{ timer: {{ every: 1s }} }} }}\nfunctions: {{ f: {{ native: count{function} }} }}\n\
             triggers: {{ t: {{ source: s, rules: {{ r: {{ function: f{rule} }} }} }} }}\n{defaults}"
        )
    };
    for (rule, function, defaults, seconds) in [
        (", timeout: 1s", ", timeout: 2s", "defaults: { timeout: 3s }", 1),
        ("", ", timeout: 2s", "defaults: { timeout: 3s }", 2),
        ("", "", "defaults: { timeout: 3s }", 3),
        ("", "", "", 30),
    ] {
        let plan = plan(&text(rule, function, defaults));
        assert_eq!(plan.triggers[0].rules[0].timeout, Duration::from_secs(seconds));
    }
}

#[test]
fn several_dialects_in_one_map_must_all_hold() {
    let plan = plan(
        "sources: { s: { timer: { every: 1s } } }\noutputs: { o: { log: } }\n\
         triggers: { t: { source: s, rules: { r: { output: o, when: \
           { exact: { type: a }, prefix: { source: /x }, not: { exact: { subject: 5 } } } } } } }",
    );
    let filter = plan.triggers[0].rules[0].filter.clone().unwrap();
    let event = |source: &str, subject: &str| {
        Event::new("1".into(), source.into(), "a".into()).unwrap().with_subject(subject.into())
    };
    assert!(filter.matches(&event("/x/1", "6")));
    assert!(!filter.matches(&event("/x/1", "5")));
    assert!(!filter.matches(&event("/y", "6")));
}

#[test]
fn the_files_of_a_folder_are_one_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("fleet");
    std::fs::create_dir(&path).unwrap();
    std::fs::write(path.join("1.yaml"), "sources: { s: { timer: { every: 1s } } }").unwrap();
    std::fs::write(path.join("2.yml"), "outputs: { o: { log: } }").unwrap();
    std::fs::write(path.join("3.yaml"), "triggers: { t: { source: s, rules: { r: { output: o } } } }").unwrap();
    let environment = Environment { state_directory: Some("/var/lib/t".into()), instance: None };
    let loaded = load(&[path], &registry(), &environment);
    let plan = loaded.plan.unwrap_or_else(|| panic!("{:?}", loaded.diagnostics));
    assert_eq!(plan.name, "fleet");
    assert_eq!(environment.state_folder(plan.state.dir.as_deref(), &plan.name), Path::new("/var/lib/t"));
}

#[test]
fn an_instance_id_that_fits_nowhere_is_refused() {
    let mut files = Files::default();
    files.add("a.yaml", include_str!("everything.yml"));
    let environment = Environment { state_directory: None, instance: Some("a b".into()) };
    let loaded = load_files(files, "a", &registry(), &environment);
    assert!(loaded.plan.is_none());
    assert!(loaded.diagnostics[0].message.contains("TIDEMILL_INSTANCE"));
}
