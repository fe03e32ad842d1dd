//! What a broker delivers again after the engine was killed, in the built program: what is parked of a message runs no second
//! time, and is forgotten once the broker has accepted that the message is settled.
//!
//! Of two rules one finds nobody at its output, and parks everything; the other gets no answer from its own, which keeps every
//! message from being acknowledged.

use std::net::{SocketAddr, TcpListener};

use serde_json::{Value, json};
use testkit::http::Inbox;
use testkit::kafka;
use testkit::kcat::Kcat;
use testkit::nats::{Config, Nats};
use testkit::port;
use testkit::tidemill::Tidemill;

use crate::outcome::{PROGRAM, assert_balanced, posted};

const COUNT: usize = 30;

/// Two rules of a source that is written so.
fn yaml(source: &str, parks: SocketAddr, waits: SocketAddr) -> String {
    let retry = "retry: { maxAttempts: 1000, backoffDelay: 500ms, maxDelay: 1s }";
    format!(
        "sources:
  orders:
    {source}
    event: {{ type: order, source: /orders, id: id }}
    seats: 100
outputs:
  parks: {{ http: {{ url: \"http://{parks}/\" }} }}
  waits: {{ http: {{ url: \"http://{waits}/\", timeout: 15m }} }}
triggers:
  orders:
    source: orders
    rules:
      parks: {{ output: parks, {retry} }}
      waits: {{ output: waits, maxInFlight: 1, {retry} }}
"
    )
}

fn figure(status: &Value, rule: &str, name: &str) -> u64 {
    status["rules"][rule][name].as_u64().unwrap_or_else(|| panic!("no figure {name} of {rule} in {status}"))
}

/// Kills an engine that has parked everything of the one rule, whose messages are all unsettled for the other, and judges what
/// becomes of them when they come again.
async fn judge(mut engine: Tidemill, silent: TcpListener, parks: SocketAddr) {
    let count = COUNT as u64;
    let here = |status: &Value| {
        figure(status, "orders/parks", "parked") + figure(status, "orders/parks", "inFlight") == count
            && figure(status, "orders/parks", "failedAttempts") >= count
            && status["parked"]["stored"] == COUNT
            && figure(status, "orders/waits", "inFlight") == count
    };
    let status = engine.status_where("all parked and none settled", here).await;
    assert_eq!(
        (&status["parked"]["remembered"], &status["sources"]["orders"]["inFlight"]),
        (&json!(COUNT), &json!(COUNT))
    );
    engine.kill().await;
    engine.start().await;
    let again = |status: &Value| {
        status["rules"]["orders/parks"]["dropped"]["duplicate"] == COUNT
            && figure(status, "orders/waits", "inFlight") == count
    };
    let status = engine.status_where("everything again, and known", again).await;
    assert_balanced(&status);
    assert_eq!(figure(&status, "orders/parks", "recovered"), count, "{status}");
    assert_eq!(figure(&status, "orders/parks", "matched"), count, "{status}");
    assert_eq!(status["parked"]["stored"], COUNT, "{status}");
    let inbox = Inbox::open_at(parks).await;
    posted(&inbox, 0..COUNT).await;
    let done = |status: &Value| figure(status, "orders/parks", "done") == count && status["parked"]["stored"] == 0;
    let status = engine.status_where("all done", done).await;
    assert_eq!(posted(&inbox, 0..COUNT).await.len(), COUNT, "nothing ran twice");
    assert_eq!(status["parked"]["remembered"], COUNT, "they may still come again: {status}");
    // The other rule goes on, and the broker hears of all of it.
    let waits = silent.local_addr().expect("it listens");
    drop(silent);
    let inbox = Inbox::open_at(waits).await;
    posted(&inbox, 0..COUNT).await;
    let status = engine.status_where("the broker has accepted", |status| status["parked"]["remembered"] == 0).await;
    assert_balanced(&status);
    assert_eq!(figure(&status, "orders/waits", "done"), count, "{status}");
    assert!(engine.terminate().await.success());
}

#[tokio::test]
async fn what_is_parked_of_a_kafka_topic_runs_no_second_time() {
    let broker = kafka::shared().await;
    let topic = broker.topic(2, &[]).await;
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let parks = port::free();
    let source = format!("kafka: {{ brokers: [\"{}\"], topics: [\"{topic}\"], group: \"{topic}\" }}", broker.address());
    let mut engine = Tidemill::new(PROGRAM, &yaml(&source, parks, silent.local_addr().expect("it listens")));
    engine.start().await;
    let lines: Vec<_> = (0..COUNT).map(|number| format!("veh-{}|{{\"id\":\"{number}\"}}", number % 10)).collect();
    Kcat::new(broker.address()).produce(&topic, &["-K", "|"], &lines).await;
    judge(engine, silent, parks).await;
}

#[tokio::test]
async fn what_is_parked_of_a_stream_runs_no_second_time() {
    let server = Nats::start(Config::new()).await;
    let mut peer = server.peer().await;
    peer.stream("FLEET", &["v1.>"]).await;
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let parks = port::free();
    let source = format!(
        "nats: {{ url: \"{}\", subjects: [\"v1.>\"], stream: FLEET, durable: mill, create: {{ ackWait: 2s }} }}",
        server.url()
    );
    let mut engine = Tidemill::new(PROGRAM, &yaml(&source, parks, silent.local_addr().expect("it listens")));
    engine.start().await;
    let message = |number| (format!("v1.veh-{}", number % 10), format!("{{\"id\":\"{number}\"}}"));
    peer.store_all((0..COUNT).map(message)).await;
    judge(engine, silent, parks).await;
}
