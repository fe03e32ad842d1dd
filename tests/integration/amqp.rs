//! The AMQP source and output in the built program, behind a real RabbitMQ: what was confirmed is in a file, whoever is
//! stopped, killed or deleted, and what cannot be an event is kept aside with its bytes. lapin and pika are the other side.

// The broker that comes later or restarts, and queues that are not there, of another kind, or deleted.
mod away;
// SIGTERM, kill -9, and events that take longer than the broker waits.
mod ending;
// Events in both modes, and messages that are no events.
mod form;
// What is published, what comes back, and what waits.
mod output;
// Passwords, certificates and virtual hosts.
mod trust;

use std::collections::HashMap;
use std::ops::Range;

use serde_json::Value;
use testkit::patience::{RETRY, within};
use testkit::rabbitmq::Peer;
use testkit::tidemill::Tidemill;

/// An engine that writes every event to a file; `options` are lines under `amqp:` besides `url` and `queue`.
fn engine(url: &str, queue: &str, options: &[&str]) -> Tidemill {
    into(url, queue, options, "{ file: { path: events.jsonl, fsync: always } }")
}

/// An engine that gives every event to an output.
fn into(url: &str, queue: &str, options: &[&str], output: &str) -> Tidemill {
    let options: String = options.iter().map(|line| format!("      {line}\n")).collect();
    let yaml = format!(
        "sources:
  fleet:
    amqp:
      url: {url}
      queue: {queue}
{options}    event: {{ type: telemetry, source: /fleet, id: id }}
    seats: 200
outputs:
  events: {output}
triggers:
  telemetry:
    source: fleet
    rules:
      keep: {{ output: events, retry: {{ maxAttempts: 1000, backoffDelay: 100ms, maxDelay: 200ms }} }}
"
    );
    Tidemill::new(env!("CARGO_BIN_EXE_tidemill"), &yaml)
}

/// Every event in the engine's file; a line that is torn counts for nothing.
fn events(engine: &Tidemill) -> Vec<Value> {
    let content = std::fs::read_to_string(engine.folder().join("events.jsonl")).unwrap_or_default();
    content.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// How often each id is in the engine's file.
fn ids(engine: &Tidemill) -> HashMap<String, usize> {
    let mut ids = HashMap::new();
    for event in events(engine) {
        *ids.entry(event["id"].as_str().expect("every event has an id").to_owned()).or_default() += 1;
    }
    ids
}

/// Waits until each number is in the file, and answers how often each is.
async fn file_has(engine: &Tidemill, wanted: Range<usize>) -> HashMap<String, usize> {
    within("every event in the file", async {
        loop {
            let ids = ids(engine);
            if wanted.clone().all(|id| ids.contains_key(&id.to_string())) {
                return ids;
            }
            tokio::time::sleep(RETRY).await;
        }
    })
    .await
}

/// How many events are there more than once, and how many of them.
fn repeated(ids: &HashMap<String, usize>) -> usize {
    ids.values().map(|count| count - 1).sum()
}

/// Publishes one message for each number to a queue, and returns when all are confirmed.
async fn send(peer: &Peer, queue: &str, numbers: Range<usize>) {
    peer.send_all("", queue, numbers.map(|number| format!("{{\"id\":\"{number}\"}}"))).await;
}

/// Waits until the last error of the source or output `path` holds `part`.
async fn error(engine: &Tidemill, path: &str, part: &str) -> String {
    let last = |status: &Value| status.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
    last(&engine.status_where(part, |status| last(status).contains(part)).await)
}

/// Where the source's last error stands.
const SOURCE_ERROR: &str = "/sources/fleet/lastError";
/// Where the output's last error stands.
const OUTPUT_ERROR: &str = "/outputs/events/lastError";

/// Whether the identities of the conservation law hold in one answer of `/v1/status`.
fn balanced(status: &Value) -> bool {
    let sum = |books: &Value, names: &[&str]| names.iter().map(|name| books[*name].as_u64().unwrap_or(0)).sum::<u64>();
    let dropped = |rule: &Value| {
        rule["dropped"].as_object().map_or(0, |reasons| reasons.values().filter_map(Value::as_u64).sum::<u64>())
    };
    let source = &status["sources"]["fleet"];
    let rule = &status["rules"]["telemetry/keep"];
    source["received"].as_u64() == Some(sum(source, &["settled", "rejected", "handedBack", "inFlight"]))
        && sum(rule, &["matched", "recovered", "replayed", "looped"])
            == sum(rule, &["done", "deadLettered", "handedBack", "parked", "inFlight"]) + dropped(rule)
}

/// Waits until the broker has nothing left in a queue, delivered or not.
async fn drained(engine: &mut Tidemill, peer: &Peer, queue: &str) {
    let level = |status: &Value| status["sources"]["fleet"]["inFlight"] == 0;
    let status = engine.status_where("nothing in flight", level).await;
    assert!(balanced(&status), "{status}");
    assert!(engine.terminate().await.success());
    // Whatever was not acknowledged would be ready again now.
    assert_eq!(peer.count(queue).await, (0, 0));
}
