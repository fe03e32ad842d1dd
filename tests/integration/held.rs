//! Rules that are held in the built program: what comes for them waits on the disk with no attempt spent, their siblings go on at
//! once, and everything comes, in its order, when it may.

use std::net::SocketAddr;

use serde_json::Value;
use testkit::http::Inbox;
use testkit::kafka;
use testkit::kcat::Kcat;
use testkit::port;
use testkit::tidemill::Tidemill;

use crate::outcome::{PROGRAM, assert_balanced, posted};

const SEATS: usize = 20;
const KEYS: usize = 8;
const COUNT: usize = 10 * SEATS;

/// A topic with these outputs, and two rules for everything that comes from it.
fn two_rules(broker: SocketAddr, topic: &str, outputs: &str, rules: &str) -> String {
    format!(
        "sources:
  orders:
    kafka: {{ brokers: [\"{broker}\"], topics: [\"{topic}\"], group: \"{topic}\" }}
    event: {{ type: order, source: /orders, id: id }}
    seats: {SEATS}
outputs:
{outputs}
triggers:
  orders:
    source: orders
    rules:
      {rules}
"
    )
}

fn figure(status: &Value, rule: &str, name: &str) -> u64 {
    status["rules"][rule][name].as_u64().unwrap_or_else(|| panic!("no figure {name} of {rule} in {status}"))
}

/// Asserts that the numbers of each key came in their order.
fn assert_in_order(ids: &[String]) {
    for key in 0..KEYS {
        let numbers = ids.iter().map(|id| id.parse::<usize>().expect("a number")).filter(|id| id % KEYS == key);
        let numbers: Vec<usize> = numbers.collect();
        assert!(numbers.is_sorted() && numbers.len() == COUNT / KEYS, "veh-{key}: {numbers:?}");
    }
}

#[tokio::test]
async fn an_output_that_is_away_holds_its_rule_and_no_other() {
    let broker = kafka::shared().await;
    let topic = broker.topic(4, &[]).await;
    let (away, inbox) = (port::free(), Inbox::open().await);
    let yaml = |open_for: &str| {
        let outputs = format!(
            "  away: {{ http: {{ url: \"http://{away}/\" }}, circuit: {{ consecutiveFailures: 3, openFor: {open_for} }} }}
  sink: {{ http: {{ url: \"http://{}/\" }} }}",
            inbox.address()
        );
        let rules = "held: { output: away, retry: { backoffDelay: 1ms } }\n      works: { output: sink }";
        two_rules(broker.address(), &topic, &outputs, rules)
    };
    let mut engine = Tidemill::new(PROGRAM, &yaml("6d"));
    engine.start().await;
    let lines: Vec<_> = (0..COUNT).map(|number| format!("veh-{}|{{\"id\":\"{number}\"}}", number % KEYS)).collect();
    Kcat::new(broker.address()).produce(&topic, &["-K", "|"], &lines).await;
    assert_in_order(&posted(&inbox, 0..COUNT).await);
    let all = |status: &Value| {
        figure(status, "orders/held", "parked") == COUNT as u64 && status["sources"]["orders"]["inFlight"] == 0
    };
    let status = engine.status_where("everything parked and no seat taken", all).await;
    assert_balanced(&status);
    let failed = figure(&status, "orders/held", "failedAttempts");
    // What had begun when the third failed may fail as well: what has a seat, and what has failed before and was back.
    assert!((3..=3 + 2 * SEATS as u64).contains(&failed), "{status}");
    assert_eq!(
        (figure(&status, "orders/held", "deadLettered"), figure(&status, "orders/works", "done")),
        (0, COUNT as u64)
    );
    assert_eq!(status["rules"]["orders/held"]["held"], "circuit of output 'away'");
    let circuit = &status["circuits"]["outputs"]["away"];
    assert_eq!((&circuit["state"], &circuit["opened"]), (&"open".into(), &1.into()), "{circuit}");
    let metrics = engine.get("/metrics").await.body;
    assert!(metrics.contains("tidemill_circuit_state{kind=\"output\",name=\"away\"} 2\n"), "{metrics}");
    assert!(metrics.contains("tidemill_rule_held{rule=\"orders/held\"} 1\n"), "{metrics}");
    let story = engine.get(&format!("/v1/explain/{}", COUNT - 1)).await.json();
    let held = story["events"][0]["rules"].as_array().expect("rules").iter().find(|rule| rule["rule"] == "orders/held");
    let state = &held.expect("it is told of")["state"];
    assert_eq!((&state["is"], &state["attempt"]), (&"parked".into(), &1.into()), "{story}");
    assert_eq!(state["circuit"], "output 'away'");
    // An open circuit stays so under other settings, and a restart forgets it.
    engine.write("tidemill.yaml", &yaml("1s"));
    let reloaded = engine.post("/v1/reload", "").await.json();
    assert_eq!(
        (&reloaded["outputs"]["changed"][0], &reloaded["sources"]["changed"]),
        (&"away".into(), &Value::Array(vec![]))
    );
    assert_eq!(engine.status().await["circuits"]["outputs"]["away"]["opened"], 1);
    assert_eq!(engine.terminate().await.code(), Some(0), "what is parked is a good end");
    let back = Inbox::open_at(away).await;
    engine.start().await;
    assert_in_order(&posted(&back, 0..COUNT).await);
    let done = |status: &Value| figure(status, "orders/held", "done") == COUNT as u64;
    let status = engine.status_where("everything done", done).await;
    assert_balanced(&status);
    let figures = ["recovered", "failedAttempts", "deadLettered"].map(|name| figure(&status, "orders/held", name));
    assert_eq!(figures, [COUNT as u64, 0, 0], "{status}");
    assert_eq!(
        (&status["deadLetters"]["stored"], &status["circuits"]["outputs"]["away"]["opened"]),
        (&0.into(), &0.into())
    );
    assert_eq!(engine.terminate().await.code(), Some(0));
}

#[tokio::test]
async fn a_rule_that_is_slow_leaves_its_sibling_half_of_the_seats() {
    let broker = kafka::shared().await;
    let topic = broker.topic(4, &[]).await;
    let (slow, inbox) = (Inbox::open().await, Inbox::open().await);
    let yaml = |limit: &str| {
        let outputs = format!(
            "  slow: {{ http: {{ url: \"http://{}/\" }} }}
  sink: {{ http: {{ url: \"http://{}/\" }} }}",
            slow.address(),
            inbox.address()
        );
        let rules = format!("slow: {{ output: slow{limit} }}\n      works: {{ output: sink }}");
        two_rules(broker.address(), &topic, &outputs, &rules)
    };
    // One begins, and the next in eleven days.
    let mut engine = Tidemill::new(PROGRAM, &yaml(", rateLimit: { perSecond: 0.000001 }"));
    engine.start().await;
    let lines: Vec<_> = (0..COUNT).map(|number| format!("veh-{}|{{\"id\":\"{number}\"}}", number % KEYS)).collect();
    Kcat::new(broker.address()).produce(&topic, &["-K", "|"], &lines).await;
    assert_in_order(&posted(&inbox, 0..COUNT).await);
    let settled = |status: &Value| {
        let source = &status["sources"]["orders"];
        figure(status, "orders/works", "done") == COUNT as u64
            && figure(status, "orders/slow", "matched") == COUNT as u64
            && source["inFlight"].as_u64().is_some_and(|taken| taken <= SEATS as u64 / 2)
    };
    let status = engine.status_where("everything at the sibling, and half of the seats free", settled).await;
    assert_balanced(&status);
    let [done, failed, dead] =
        ["done", "failedAttempts", "deadLettered"].map(|name| figure(&status, "orders/slow", name));
    assert!(done <= 1 && failed == 0 && dead == 0, "{status}");
    engine.write("tidemill.yaml", &yaml(""));
    let reloaded = engine.post("/v1/reload", "").await.json();
    assert_eq!(reloaded["rules"]["changed"], serde_json::json!(["orders/slow"]), "{reloaded}");
    assert_in_order(&posted(&slow, 0..COUNT).await);
    let done = |status: &Value| figure(status, "orders/slow", "done") == COUNT as u64;
    let status = engine.status_where("everything done", done).await;
    assert_balanced(&status);
    assert_eq!(["failedAttempts", "deadLettered"].map(|name| figure(&status, "orders/slow", name)), [0, 0], "{status}");
    assert_eq!(engine.terminate().await.code(), Some(0));
}
