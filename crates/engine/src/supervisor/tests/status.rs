//! What an engine says of itself while it works: the law holds in every answer, and the metrics are well formed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::fake::{again, one};
use crate::metric::Exposition;
use crate::port::Verdict;

/// Checks Prometheus' text format and answers the samples by their name with labels.
fn samples(page: &str) -> BTreeMap<String, f64> {
    let (mut families, mut samples, mut family) = (BTreeSet::new(), BTreeMap::new(), (String::new(), String::new()));
    let is_name = |name: &str| {
        name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
            && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
    };
    assert!(page.ends_with('\n'));
    for line in page.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, text) = help.split_once(' ').unwrap();
            assert!(is_name(name) && !text.is_empty(), "{line}");
            assert!(families.insert(name.to_owned()), "{name} appears twice");
            family = (name.to_owned(), String::new());
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            assert_eq!(name, family.0, "TYPE follows HELP");
            assert!(["counter", "gauge"].contains(&kind));
            assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
            family.1 = kind.to_owned();
        } else {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = series.split_once('{').unwrap();
            assert_eq!(name, family.0, "samples follow their family: {line}");
            assert!(!family.1.is_empty());
            check_labels(labels.strip_suffix('}').unwrap());
            let value: f64 = value.parse().unwrap();
            assert!(samples.insert(series.to_owned(), value).is_none(), "{series} appears twice");
        }
    }
    samples
}

/// Labels are `name="text"`, separated by commas, with backslashes, quotes and line breaks escaped.
fn check_labels(mut labels: &str) {
    while !labels.is_empty() {
        let (name, rest) = labels.split_once("=\"").unwrap();
        assert!(name.chars().all(|letter| letter.is_ascii_lowercase()), "{name}");
        let mut escaped = false;
        let end = rest.find(|letter| {
            let ends = letter == '"' && !escaped;
            assert!(!escaped || ['\\', '"', 'n'].contains(&letter), "{rest}");
            escaped = letter == '\\' && !escaped;
            ends
        });
        labels = &rest[end.unwrap() + 1..];
        labels = labels.strip_prefix(',').unwrap_or(labels);
    }
}

struct Part;

impl Exposition for Part {
    fn render(&self, page: &mut String) {
        page.push_str("# HELP fleet_speed How fast.\n# TYPE fleet_speed gauge\nfleet_speed{} 7\n");
    }
}

#[tokio::test(start_paused = true)]
async fn the_metrics_are_well_formed_whatever_things_are_called() {
    let mut parts = Parts::new(judge(|_, _| done()));
    let pipe = parts.source();
    parts.outputs = vec![Some(Closing::Well)];
    let mut plan = parts.plan();
    plan.sources[0].name = "a \"quoted\\\nname\"".into();
    plan.triggers[0].name = "t\\".into();
    let engine = Engine::start(plan, parts.host()).await.unwrap();
    engine.page.add(Arc::new(Part));
    engine.live().sources[0].link.dropped("ring full", 3);
    pipe.send(&["a"]).await;
    settle_down().await;
    let samples = samples(&engine.metrics(true));
    let source = r#"{source="a \"quoted\\\nname\""}"#;
    assert_eq!(samples[&format!("tidemill_source_received_total{source}")], 1.0);
    assert_eq!(samples[&format!("tidemill_source_settled_total{source}")], 1.0);
    assert_eq!(samples[r#"tidemill_rule_done_total{rule="t\\/r"}"#], 1.0);
    assert_eq!(samples[r#"tidemill_rule_dead_lettered_total{rule="t\\/r",reason="exhausted"}"#], 0.0);
    assert_eq!(samples[r#"tidemill_rule_dropped_total{rule="t\\/r",reason="function"}"#], 0.0);
    assert_eq!(samples["tidemill_dead_letters_stored{}"], 0.0);
    assert_eq!(samples["tidemill_dead_letters_max_bytes{}"], f64::from(1 << 30));
    assert_eq!(samples[r#"tidemill_dead_letters_dropped_total{reason="quota"}"#], 0.0);
    assert_eq!(samples[r#"tidemill_store_writable{store="deliveries"}"#], 1.0);
    assert_eq!(samples[r#"tidemill_trigger_unmatched_total{trigger="t\\"}"#], 0.0);
    assert_eq!(samples[r#"tidemill_pool_workers{function="f"}"#], 1.0);
    assert_eq!(samples["fleet_speed{}"], 7.0);
    let dropped = source.replace('}', ",reason=\"ring full\"}");
    assert_eq!(samples[&format!("tidemill_source_dropped_total{dropped}")], 3.0);
    let users = engine.metrics(false);
    assert!(users.contains("fleet_speed") && !users.contains("tidemill_"), "{users}");
    engine.drain(SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn the_status_has_the_documented_names() {
    let mut parts = Parts::new(judge(|_, _| done()));
    let _pipe = parts.source();
    parts.outputs = vec![Some(Closing::Well)];
    let engine = parts.start().await.unwrap();
    settle_down().await;
    let status = serde_json::to_value(engine.status()).unwrap();
    let keys = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    let expect = |value: &serde_json::Value, names: &str| {
        let keys = keys(value);
        for name in names.split(' ') {
            assert!(keys.contains(name), "{name} is missing in {keys:?}");
        }
    };
    expect(&status["sources"]["s0"], "received settled rejected handedBack inFlight seats connection lastError");
    expect(
        &status["rules"]["t/r"],
        "matched recovered replayed looped done deadLettered dropped handedBack parked parkedOldestAgeSeconds inFlight lag oldestAgeSeconds filtered",
    );
    expect(&status["rules"]["t/r"]["deadLetters"], "exhausted rejected");
    expect(&status["rules"]["t/r"]["dropped"], "function");
    expect(&status["deadLetters"], "stored bytes maxBytes full dropped purged");
    expect(&status["parked"], "stored bytes maxBytes");
    expect(&status["ledger"], "records maxRecords bytes lost lastError");
    assert_eq!(status["drift"], serde_json::json!({}));
    expect(&status["triggers"]["t"], "offered unmatched");
    expect(&status["pools"]["f"], "workers busy queued");
    expect(&status["outputs"]["o0"], "connection lastError");
    engine.drain(SECOND).await;
}

/// A function that judges by a number in the event's id: most are done, some fail once, some are dropped or rejected.
fn mixed() -> Arc<dyn Function> {
    Arc::new(Calls(|event: Event, call: Call| -> BoxFuture<'static, Verdicts> {
        let number: u64 = event.id().parse().unwrap();
        Box::pin(async move {
            if number.is_multiple_of(3) {
                tokio::task::yield_now().await;
            }
            match number % 50 {
                1 if call.attempt == 1 => again(),
                2 => one(Verdict::Drop),
                3 => one(Verdict::Reject { reason: "it ends with 3".to_owned() }),
                4 if call.attempt == 1 => panic!("it ends with 4"),
                _ => one(Verdict::Done(vec![event.clone()])),
            }
        })
    }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn the_law_holds_in_every_answer_under_load() {
    const EVENTS: u64 = 4_000;
    let mut parts = Parts::new(mixed());
    let pipes = [parts.source(), parts.source()];
    parts.outputs = vec![Some(Closing::Well)];
    let engine = Arc::new(parts.start().await.unwrap());
    let over = Arc::new(AtomicBool::new(false));
    let observers = (0..2).map(|_| {
        let (engine, over) = (Arc::clone(&engine), Arc::clone(&over));
        std::thread::spawn(move || {
            let mut answers = 0_u64;
            while !over.load(Ordering::SeqCst) {
                check(&engine.status());
                if answers.is_multiple_of(16) {
                    samples(&engine.metrics(true));
                }
                answers += 1;
            }
            answers
        })
    });
    let observers: Vec<_> = observers.collect();
    let told: Vec<_> = pipes.iter().map(|pipe| Arc::clone(&pipe.told)).collect();
    for number in 0..EVENTS {
        pipes[(number % 2) as usize].send(&[&number.to_string()]).await;
        if number.is_multiple_of(100) {
            pipes[0].messages.send(Message::Raw(undecodable("oh"))).await.unwrap();
        }
        if number == EVENTS / 2 {
            pipes[1].messages.send(Message::Fail(SourceError::Restart("lost".to_owned(), None))).await.unwrap();
        }
    }
    // All is read; most of it is still under way.
    while engine.status().sources.values().map(|source| source.received).sum::<u64>() < EVENTS + 40 {
        tokio::task::yield_now().await;
    }
    let drained = engine.drain(60 * SECOND).await;
    over.store(true, Ordering::SeqCst);
    for observer in observers {
        assert!(observer.join().unwrap() > 0, "nobody looked");
    }
    assert_eq!(drained, Drained::default());
    let status = engine.status();
    check(&status);
    let (one, two, rule) = (&status.sources["s0"], &status.sources["s1"], &status.rules["t/r"]);
    assert_eq!((one.received, one.rejected, one.handed_back, one.in_flight), (2_040, 40, 0, 0));
    assert_eq!((two.received, two.rejected, two.in_flight), (2_000, 0, 0));
    assert_eq!((rule.matched, rule.in_flight, rule.handed_back), (EVENTS, 0, 0));
    assert_eq!((rule.dropped["function"], rule.dead_letters["rejected"], rule.dead_letters["exhausted"]), (80, 80, 0));
    assert_eq!((status.dead_letters.stored, rule.dead_lettered), (120, 80));
    // What has failed once waits on the disk for its next attempt if the engine ends before.
    assert_eq!((rule.done + rule.parked, rule.failed_attempts), (EVENTS - 160, 160));
    // What its run did not live to hear was handed back; everything else was told exactly once.
    let told: usize = told.iter().map(|told| told.lock().len()).sum();
    assert_eq!(told as u64, EVENTS + 40 - two.handed_back);
}
