//! The cron source in the built program: it ticks, it is fired by hand, and what had begun when it was killed begins again.

use std::process::Command;

use serde_json::Value;
use testkit::patience::until;
use testkit::tidemill::Tidemill;

use crate::outcome::{self, PROGRAM};

const CLOCKS: &str = r#"
sources:
  pulse: { cron: { schedule: "@every 1s", missed: run, data: { n: 1 } } }
  nightly: { cron: { schedule: "0 0 1 1 *", timezone: Europe/Berlin } }
  hook: { http: { listen: "127.0.0.1:0" } }
outputs:
  out: { file: { path: events.jsonl, fsync: always } }
triggers:
  all: { source: [pulse, nightly, hook], rules: { keep: { output: out } } }
"#;

/// The events of one source in the engine's file.
fn events(engine: &Tidemill, source: &str) -> Vec<Value> {
    outcome::events(engine).into_iter().filter(|event| event["source"] == source).collect()
}

async fn ticks(engine: &Tidemill, count: usize) -> Vec<Value> {
    until("ticks", async || {
        let events = events(engine, "/cron/pulse");
        (events.len() >= count).then_some(events)
    })
    .await
}

#[tokio::test]
async fn every_second_has_its_event_over_a_kill() {
    let mut engine = Tidemill::new(PROGRAM, CLOCKS);
    engine.start().await;
    let before = ticks(&engine, 2).await.len();
    engine.kill().await;
    engine.start().await;
    let events = ticks(&engine, before + 2).await;
    assert_eq!(engine.terminate().await.code(), Some(0));
    let mut times: Vec<_> = events.iter().map(|event| event["time"].as_str().unwrap()).collect();
    times.dedup();
    assert!(times.is_sorted(), "{times:?}");
    let mut ids: Vec<_> = events.iter().map(|event| event["id"].as_str().unwrap()).collect();
    ids.dedup();
    assert_eq!(ids.len(), times.len(), "one id for each nominal time: {ids:?} {times:?}");
    assert!(events.iter().all(|event| event["data"]["n"] == 1 && event["cronrun"] != "manual"));
}

#[tokio::test]
async fn a_clock_is_fired_by_hand_and_nothing_else_is() {
    let mut engine = Tidemill::new(PROGRAM, CLOCKS);
    engine.start().await;
    let admin = engine.admin().to_string();
    let fire = |name: &str, more: &[&str]| {
        Command::new(PROGRAM).args(["fire", name, "--admin", &admin]).args(more).output().unwrap()
    };
    let fired = fire("nightly", &["--json"]);
    assert_eq!(fired.status.code(), Some(0), "{}", String::from_utf8_lossy(&fired.stderr));
    let answer: Value = serde_json::from_slice(&fired.stdout).unwrap();
    let event = until("the event", async || events(&engine, "/cron/nightly").pop()).await;
    assert_eq!((&event["id"], &event["cronrun"]), (&answer["id"], &"manual".into()));
    for (name, status, part) in [("hook", 409, "cannot be fired"), ("nightlee", 404, "the running ones are: pulse")] {
        let refused = fire(name, &[]);
        assert_eq!(refused.status.code(), Some(1));
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(said.contains(part), "{said}");
        assert_eq!(engine.post(&format!("/v1/sources/{name}/fire"), "").await.status, status);
    }
    assert_eq!(engine.terminate().await.code(), Some(0));
}
