//! Where an event is and what became of it: every sort of end, asked of the built program while it runs, after it was killed, and of
//! the folder that it left.
//!
//! Events come from Kafka; rules post to an HTTP server of the test, or to where nobody listens.

use std::net::SocketAddr;
use std::process::{Command, Output};

use serde_json::Value;
use testkit::http::Inbox;
use testkit::kafka;
use testkit::kcat::Kcat;
use testkit::patience::until;
use testkit::port;
use testkit::tidemill::Tidemill;

use crate::outcome::PROGRAM;

/// Where the engine's state is, below its folder.
const STATE: &str = "tidemill-state/tidemill";

/// What `tidemill explain` says in the engine's folder.
fn explain(engine: &Tidemill, words: &[&str]) -> Output {
    Command::new(PROGRAM).arg("explain").args(words).current_dir(engine.folder()).output().expect("it can be started")
}

/// The answer as JSON, from this place.
fn told(engine: &Tidemill, id: &str, place: &[&str]) -> Value {
    let output = explain(engine, &[&[id, "--json"], place].concat());
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{id}: {}", String::from_utf8_lossy(&output.stderr)))
}

/// The story of one rule of the only event.
fn rule<'t>(told: &'t Value, name: &str) -> &'t Value {
    let rules = told["events"][0]["rules"].as_array().unwrap_or_else(|| panic!("no event in {told}"));
    rules.iter().find(|rule| rule["rule"] == name).unwrap_or_else(|| panic!("no rule {name} in {told}"))
}

/// The running engine's answer, once it satisfies `is_it`.
async fn once(engine: &Tidemill, id: &str, is_it: impl Fn(&Value) -> bool) -> Value {
    until(id, async || {
        let answer = engine.get(&format!("/v1/explain/{id}")).await.json();
        Some(answer).filter(|answer| is_it(answer))
    })
    .await
}

/// Whether the state of a rule is this one.
fn is(told: &Value, name: &str, state: &str) -> bool {
    let rules = told["events"][0]["rules"].as_array().into_iter().flatten();
    rules.filter(|rule| rule["rule"] == name).any(|rule| rule["state"]["is"] == state)
}

/// An event of this id and type.
fn event(id: &str, kind: &str) -> String {
    format!(r#"{{"specversion":"1.0","id":"{id}","source":"/test","type":"{kind}","data":{{}}}}"#)
}

/// An engine with a rule for every way to end; `late` is where some of them post to.
fn engine(broker: SocketAddr, topic: &str, sink: SocketAddr, late: SocketAddr) -> Tidemill {
    let yaml = format!(
        "sources:
  orders: {{ kafka: {{ brokers: [\"{broker}\"], topics: [\"{topic}\"], group: explain }} }}
functions:
  judge: {{ native: telemetry-to-metrics }}
outputs:
  sink: {{ http: {{ url: \"http://{sink}/\" }} }}
  late: {{ http: {{ url: \"http://{late}/\" }} }}
triggers:
  all:
    source: orders
    rules:
      well: {{ output: sink, when: {{ any: [{{ exact: {{ type: well }} }}, {{ exact: {{ type: judged }} }}] }} }}
      judged: {{ function: judge, output: sink, when: {{ exact: {{ type: judged }} }} }}
      late: {{ output: late, when: {{ exact: {{ type: late }} }}, retry: {{ maxAttempts: 1000, backoffDelay: 100ms, maxDelay: 200ms }} }}
      far: {{ output: late, when: {{ exact: {{ type: far }} }}, retry: {{ backoffDelay: 1d, maxDelay: 1d }} }}
      once: {{ output: late, when: {{ exact: {{ type: once }} }}, retry: {{ maxAttempts: 1 }} }}
"
    );
    Tidemill::new(PROGRAM, &yaml)
}

/// What was told of events before the engine was killed.
struct Before {
    /// The steps of the one that was given up at once.
    dead: Value,
    /// The first step of the one that is tried again and again.
    failed: Value,
    /// Why a rule has refused an event.
    because: String,
}

/// Waits until each event is told as what it has become.
async fn tell(engine: &Tidemill) -> Before {
    let well = once(engine, "w%2F1%20%3F", |told| is(told, "all/well", "done")).await;
    let step = &rule(&well, "all/well")["steps"][0];
    assert_eq!((&step["what"], &step["results"], &step["outputs"][0]), (&"done".into(), &1.into(), &"sink".into()));
    assert_eq!(rule(&well, "all/far")["verdict"], "filtered", "{well}");
    let judged = once(engine, "j-1", |told| {
        is(told, "all/well", "done") && told["events"][0]["type"] == "judged" && is(told, "all/judged", "deadLettered")
    })
    .await;
    assert!(rule(&judged, "all/judged")["state"]["deadLetter"].is_string(), "{judged}");
    assert_eq!(rule(&judged, "all/judged")["state"]["reason"], "rejected");
    let because = rule(&judged, "all/far")["because"].as_str().expect("the event is still known").to_owned();
    assert_eq!(because, "exact type 'far', but its type is 'judged'");
    let far = once(engine, "f-1", |told| is(told, "all/far", "parked")).await;
    let state = &rule(&far, "all/far")["state"];
    assert!(state["until"].as_str().is_some() && state["attempt"] == 2, "{far}");
    let dead = once(engine, "o-1", |told| is(told, "all/once", "deadLettered")).await;
    assert_eq!(rule(&dead, "all/once")["state"]["reason"], "exhausted");
    let unwanted = once(engine, "n-1", |told| told["events"][0]["unmatched"]["source"] == "orders").await;
    assert_eq!(rule(&unwanted, "all/well")["verdict"], "filtered");
    let waits = once(engine, "l-1", |told| rule_steps(told, "all/late") > 1).await;
    let failed = rule(&waits, "all/late")["steps"][0].clone();
    assert!(failed["error"].as_str().is_some_and(|error| error.contains("late")) && failed["attempt"] == 1, "{failed}");
    Before { dead: rule(&dead, "all/once")["steps"].clone(), failed, because }
}

/// The same of the folder that a killed engine has left: what was told was in the files by then.
fn tell_stopped(engine: &Tidemill, before: &Before) {
    let stopped: &[&str] = &["--state", STATE];
    assert_eq!(rule(&told(engine, "o-1", stopped), "all/once")["steps"], before.dead);
    assert_eq!(rule(&told(engine, "l-1", stopped), "all/late")["steps"][0], before.failed);
    assert_eq!(rule(&told(engine, "w/1 ?", stopped), "all/well")["state"]["is"], "done");
    assert_eq!(rule(&told(engine, "f-1", stopped), "all/far")["state"]["is"], "parked");
    let sentence = told(engine, "nobody", stopped)["ledger"]["sentence"].as_str().expect("a sentence").to_owned();
    assert!(sentence.contains("may be missing, because the engine was killed"), "{sentence}");
}

/// What the command says while an engine runs.
fn say(engine: &Tidemill, before: &Before) {
    let admin = engine.admin().to_string();
    let running: &[&str] = &["--admin", &admin];
    let shown = explain(engine, &[&["j-1"], running].concat());
    let text = String::from_utf8(shown.stdout).expect("text");
    assert_eq!(shown.status.code(), Some(0), "{text}");
    // What was not committed when the engine was killed comes again, behind what is told of the first time.
    assert!(text.contains("given up (rejected)") && text.contains(&before.because), "{text}");
    let both = told(engine, "o-1", &["--state", STATE, "--admin", &admin]);
    assert_eq!(rule(&both, "all/once")["steps"][0], before.dead[0], "whoever holds the folder is asked");
    assert_eq!(told(engine, "o-1", &["--source", "/other", "--admin", &admin])["events"], Value::Array(Vec::new()));
    let nobody = explain(engine, &[&["nobody"], running].concat());
    let said = String::from_utf8(nobody.stderr).expect("text");
    assert_eq!((nobody.status.code(), nobody.stdout.as_slice()), (Some(1), &b""[..]), "{said}");
    assert!(said.starts_with("the ledger reaches back to 20") && said.contains("or never received"), "{said}");
}

#[tokio::test]
async fn every_event_is_explained_and_failures_are_after_a_kill() {
    let broker = kafka::shared().await;
    let topic = broker.topic(1, &[]).await;
    let (inbox, late) = (Inbox::open().await, port::free());
    let mut engine = engine(broker.address(), &topic, inbox.address(), late);
    engine.start().await;
    let events = [
        event("w/1 ?", "well"),
        event("j-1", "judged"),
        event("l-1", "late"),
        event("f-1", "far"),
        event("o-1", "once"),
        event("n-1", "nobody's"),
    ];
    let structured = ["-H", "content-type=application/cloudevents+json; charset=UTF-8"];
    Kcat::new(broker.address()).produce(&topic, &structured, &events).await;
    let before = tell(&engine).await;
    engine.kill().await;
    tell_stopped(&engine, &before);

    engine.start().await;
    let recovered = Inbox::open_at(late).await;
    let again = once(&engine, "l-1", |told| is(told, "all/late", "done")).await;
    let steps = rule(&again, "all/late")["steps"].as_array().expect("steps").clone();
    assert!(steps.contains(&before.failed) || rule(&again, "all/late")["omitted"].as_u64() > Some(0), "{again}");
    assert_eq!(steps.last().map(|step| &step["outputs"][0]), Some(&"late".into()), "{again}");
    assert!(!recovered.posted(1).await.is_empty());
    say(&engine, &before);
    assert_eq!(engine.terminate().await.code(), Some(0));
}

/// How many steps a rule has.
fn rule_steps(told: &Value, name: &str) -> usize {
    let rules = told["events"][0]["rules"].as_array().into_iter().flatten();
    let steps = rules.filter(|rule| rule["rule"] == name).filter_map(|rule| rule["steps"].as_array());
    steps.map(Vec::len).sum()
}
