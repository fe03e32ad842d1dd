//! The NATS source and output in the built program, behind a real nats-server with JetStream: what is stored is in a file,
//! whoever is stopped, killed or cut, and what cannot be an event is kept aside with its bytes.

// The server that comes later, restarts, is cut off, or has not what is asked for.
mod away;
// Passwords, tokens, nkeys and certificates.
mod trust;
// SIGTERM, kill -9, and events that take longer than the server waits.
mod ending;
// Core subjects and their queue groups.
mod core;
// Messages that are no events, and events in every form.
mod form;
// What is published, and Python's own client on both ends.
mod output;

use std::collections::HashMap;
use std::ops::Range;

use serde_json::Value;
use testkit::nats::{Config, Nats, Peer};
use testkit::patience::{RETRY, within};
use testkit::tidemill::Tidemill;

/// An engine that writes every event to a file; `options` are lines under `nats:` besides `url` and `subjects`.
fn engine(url: &str, options: &[&str]) -> Tidemill {
    engine_of(url, options, 200)
}

/// The same with so many seats.
fn engine_of(url: &str, options: &[&str], seats: usize) -> Tidemill {
    let options: String = options.iter().map(|line| format!("      {line}\n")).collect();
    let yaml = format!(
        "sources:
  fleet:
    nats:
      url: {url}
      subjects: [\"v1.{{fleet}}.{{vehicle}}.telemetry\"]
{options}    event: {{ type: telemetry, source: \"/fleet/{{fleet}}\", id: id }}
    seats: {seats}
outputs:
  events: {{ file: {{ path: events.jsonl, fsync: always }} }}
triggers:
  telemetry:
    source: fleet
    rules:
      keep: {{ output: events }}
"
    );
    Tidemill::new(env!("CARGO_BIN_EXE_tidemill"), &yaml)
}

/// What makes the stream and the consumer.
const DURABLE: [&str; 3] = ["stream: FLEET", "durable: mill", "create: { ackWait: 2s }"];

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

/// Waits until each of `wanted` is in the file.
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

/// Stores one message for each number.
async fn store(peer: &mut Peer, numbers: Range<usize>) {
    let message =
        |number: usize| (format!("v1.demo.veh-{}.telemetry", number % 50), format!("{{\"id\":\"{number}\"}}"));
    peer.store_all(numbers.map(message)).await;
}

/// Waits until the source's last error holds `part`.
async fn error(engine: &Tidemill, part: &str) -> String {
    let holds =
        |status: &Value| status["sources"]["fleet"]["lastError"].as_str().is_some_and(|text| text.contains(part));
    let status = engine.status_where(part, holds).await;
    status["sources"]["fleet"]["lastError"].as_str().unwrap_or_default().to_owned()
}

/// Waits until nothing is unacknowledged at the server.
async fn all_acknowledged(peer: &mut Peer) {
    within("every acknowledgement at the server", async {
        loop {
            let info = peer.consumer_info("FLEET", "mill").await;
            if info["num_ack_pending"] == 0 && info["num_pending"] == 0 {
                return;
            }
            tokio::time::sleep(RETRY).await;
        }
    })
    .await;
}

/// Whether the three identities of the conservation law hold in one answer of `/v1/status`.
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

async fn server() -> Nats {
    Nats::start(Config::new()).await
}
