//! Results that go back into the router, in the built program: an event of a broker, a function, the router, a second rule and an
//! output; whoever is killed in between, nothing is missing at the end.

use serde_json::Value;
use testkit::http::Inbox;
use testkit::kafka;
use testkit::kcat::Kcat;
use testkit::port;
use testkit::tidemill::Tidemill;

use crate::outcome::{PROGRAM, assert_balanced, posted};

const COUNT: usize = 400;
/// What the function calls its results.
const MADE: &str = "io.tidemill.metrics.samples.v1";

/// A figure of the rule that takes what comes back.
fn figure(status: &Value, name: &str) -> u64 {
    status["rules"]["made/post"][name].as_u64().expect("a number")
}

#[tokio::test]
async fn everything_comes_back_and_goes_out_whoever_is_killed_on_the_way() {
    let broker = kafka::shared().await;
    let (topic, sink) = (broker.topic(4, &[]).await, port::free());
    let yaml = format!(
        "sources:
  readings:
    kafka: {{ brokers: [\"{}\"], topics: [\"{topic}\"], group: returning }}
    event: {{ type: reading, source: /readings, id: id }}
    seats: 20
functions:
  measure: {{ native: telemetry-to-metrics }}
outputs:
  sink: {{ http: {{ url: \"http://{sink}/\" }} }}
triggers:
  readings:
    source: readings
    rules:
      measure: {{ function: measure, output: router }}
  made:
    source: router
    when: {{ exact: {{ type: {MADE} }} }}
    rules:
      post: {{ output: sink, retry: {{ maxAttempts: 1000, backoffDelay: 100ms, maxDelay: 200ms }} }}
",
        broker.address()
    );
    let mut engine = Tidemill::new(PROGRAM, &yaml);
    engine.start().await;
    let reading = |number: usize| {
        let time = "2026-11-22T06:00:00Z";
        format!(
            "veh-{}|{{\"id\":\"{number}\",\"v\":1,\"vehicle\":\"veh-1\",\"seq\":{number},\"time\":\"{time}\",\"signals\":{{\"Vehicle.Speed\":36}}}}",
            number % 10
        )
    };
    let lines: Vec<_> = (0..COUNT).map(reading).collect();
    Kcat::new(broker.address()).produce(&topic, &["-K", "|"], &lines).await;
    // Nobody hears the second rule, so what comes back is in its lines, in the parked rows and in the spool.
    let some = |status: &Value| figure(status, "looped") > 0 && figure(status, "failedAttempts") > 0;
    let status = engine.status_where("something has come back", some).await;
    assert_balanced(&status);
    engine.kill().await;
    engine.start().await;
    let status = engine.status_where("everything is read", |status| {
        // What the broker has not been told of comes again, so there may be more.
        let spool = &status["spools"]["router"];
        let here = ["appended", "recovered"].iter().filter_map(|name| spool[name].as_u64()).sum::<u64>();
        status["sources"]["readings"]["inFlight"] == 0 && here + figure(status, "recovered") >= COUNT as u64
    });
    assert_balanced(&status.await);

    let inbox = Inbox::open_at(sink).await;
    inbox.posted(COUNT / 4).await;
    engine.kill().await;
    engine.start().await;
    posted(&inbox, (0..COUNT).map(|number| format!("{number}-metrics"))).await;
    let quiet = |status: &Value| {
        figure(status, "parked") + figure(status, "inFlight") == 0 && status["spools"]["router"]["stored"] == 0
    };
    let status = engine.status_where("nothing is left", quiet).await;
    assert_balanced(&status);
    assert_eq!(figure(&status, "deadLettered"), 0, "{status}");
    assert_eq!(figure(&status, "matched"), 0, "what comes back is counted by itself: {status}");
    let metrics = engine.get("/metrics").await.body;
    let looped = format!("tidemill_rule_looped_total{{rule=\"made/post\"}} {}\n", figure(&status, "looped"));
    assert!(metrics.contains(&looped), "{looped} in {metrics}");
    assert!(engine.terminate().await.success());
}
