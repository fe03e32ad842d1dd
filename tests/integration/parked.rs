//! Deliveries that wait for another attempt in the built program: they hold no seat, they survive whoever is killed, and a rule
//! that fails takes nothing from the others.
//!
//! Rules post to an HTTP server of the test, which is away as long as nobody listens there.

use std::net::SocketAddr;

use serde_json::Value;
use testkit::http::{self, Inbox};
use testkit::kafka;
use testkit::kcat::Kcat;
use testkit::port;
use testkit::tidemill::Tidemill;

use crate::outcome::{PROGRAM, assert_balanced, posted};

const SEATS: usize = 20;
const COUNT: usize = 10 * SEATS;

/// Whether so many deliveries of a rule are parked.
fn parked(status: &Value, rule: &str, count: usize) -> bool {
    status["rules"][rule]["parked"] == count
}

#[tokio::test]
async fn what_is_parked_survives_the_engine_and_keeps_its_order() {
    let broker = kafka::shared().await;
    let topic = broker.topic(4, &[]).await;
    let sink = port::free();
    let yaml = format!(
        "sources:
  orders:
    kafka: {{ brokers: [\"{}\"], topics: [\"{topic}\"], group: parked }}
    event: {{ type: order, source: /orders, id: id }}
    seats: {SEATS}
outputs:
  sink: {{ http: {{ url: \"http://{sink}/\" }} }}
triggers:
  orders:
    source: orders
    rules:
      post: {{ output: sink, retry: {{ maxAttempts: 1000, backoffDelay: 100ms, maxDelay: 200ms }} }}
",
        broker.address()
    );
    let mut engine = Tidemill::new(PROGRAM, &yaml);
    engine.start().await;
    // One of every ten keys is the key of the number's last digit.
    let lines: Vec<_> = (0..COUNT).map(|number| format!("veh-{}|{{\"id\":\"{number}\"}}", number % 10)).collect();
    Kcat::new(broker.address()).produce(&topic, &["-K", "|"], &lines).await;
    let all = |status: &Value| {
        let rule = &status["rules"]["orders/post"];
        let there = rule["parked"].as_u64().unwrap_or(0) + rule["inFlight"].as_u64().unwrap_or(0);
        there == COUNT as u64 && status["sources"]["orders"]["inFlight"] == 0
    };
    let status = engine.status_where("ten times the seats on the disk and none taken", all).await;
    assert_balanced(&status);
    engine.kill().await;
    engine.start().await;
    let status = engine.status().await;
    assert_eq!(status["rules"]["orders/post"]["recovered"], COUNT, "{status}");
    assert_eq!(status["rules"]["orders/post"]["deadLettered"], 0, "{status}");
    let inbox = Inbox::open_at(sink).await;
    let ids = posted(&inbox, 0..COUNT).await;
    for key in 0..10 {
        let numbers = ids.iter().map(|id| id.parse::<usize>().expect("a number")).filter(|number| number % 10 == key);
        let mut once: Vec<usize> = Vec::new();
        // What was not committed when the engine was killed comes again, behind the first time.
        numbers.for_each(|number| {
            if !once.contains(&number) {
                once.push(number);
            }
        });
        assert!(once.is_sorted() && once.len() == COUNT / 10, "veh-{key}: {once:?}");
    }
    let status = engine.status_where("nothing parked", |status| parked(status, "orders/post", 0)).await;
    assert_balanced(&status);
    assert_eq!(engine.terminate().await.code(), Some(0));
}

#[tokio::test]
async fn a_rule_that_fails_leaves_its_sibling_the_seats() {
    let (hook, away) = (port::free(), port::free());
    let inbox = Inbox::open().await;
    let yaml = format!(
        "sources:
  hook: {{ http: {{ listen: \"{hook}\" }}, ack: processed, seats: {SEATS} }}
outputs:
  away: {{ http: {{ url: \"http://{away}/\" }} }}
  sink: {{ http: {{ url: \"http://{}/\" }} }}
triggers:
  alerts:
    source: hook
    rules:
      fails: {{ output: away, retry: {{ backoffDelay: 1d }} }}
      works: {{ output: sink }}
",
        inbox.address()
    );
    let mut engine = Tidemill::new(PROGRAM, &yaml);
    engine.start().await;
    for number in 0..COUNT {
        assert_eq!(post(hook, &number.to_string()).await, Some(202), "answered when it is done and parked");
    }
    assert_eq!(posted(&inbox, 0..COUNT).await.len(), COUNT);
    let all = |status: &Value| parked(status, "alerts/fails", COUNT) && status["sources"]["hook"]["inFlight"] == 0;
    let status = engine.status_where("all parked and no seat taken", all).await;
    assert_balanced(&status);
    assert_eq!(status["rules"]["alerts/works"]["done"], COUNT);
    assert_eq!(
        (&status["parked"]["stored"], &status["rules"]["alerts/fails"]["failedAttempts"]),
        (&COUNT.into(), &COUNT.into())
    );
    let metrics = engine.get("/metrics").await.body;
    assert!(metrics.contains(&format!("tidemill_rule_parked{{rule=\"alerts/fails\"}} {COUNT}\n")), "{metrics}");
    assert_eq!(engine.terminate().await.code(), Some(0), "what is parked is a good end");
    // Nothing is lost by that, nor given to a rule of another name: without its rule it is a dead letter.
    engine.write("tidemill.yaml", &yaml.replace("      fails:", "      other:"));
    engine.start().await;
    let status = engine.status().await;
    assert_eq!((&status["deadLetters"]["stored"], &status["parked"]["stored"]), (&COUNT.into(), &0.into()), "{status}");
    assert!(parked(&status, "alerts/other", 0));
    let groups = engine.get("/v1/dead-letters?group=reason").await.json();
    assert_eq!((&groups["groups"][0]["name"], &groups["groups"][0]["count"]), (&"orphaned".into(), &COUNT.into()));
    assert!(engine.terminate().await.success());
}

/// Posts an event of its own key; answers the status, or nothing if nobody answered.
async fn post(hook: SocketAddr, id: &str) -> Option<u16> {
    let headers = [("ce-specversion", "1.0"), ("ce-id", id), ("ce-type", "alert"), ("ce-source", "/test")];
    http::request(hook, "POST", "/", &headers, "{}").await.ok().map(|answer| answer.status)
}
