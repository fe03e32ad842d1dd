//! The Kafka source and output in the built program, behind a real Apache Kafka: what was confirmed arrives, whoever is
//! stopped, killed or joins, and what the engine is told to refuse it refuses in words. kcat is the other side.

// Events in both modes, in and out.
mod wire;
// Brokers that are not there, or go away.
mod lost;
// SIGTERM and kill -9.
mod ending;
// Members that come and go.
mod share;
// Offsets that are not there, where a group begins, and what waits.
mod offsets;
// Messages that cannot be events, and engines that are full.
mod pressure;
// Passwords, tokens and certificates.
mod trust;

use std::collections::HashMap;
use std::net::SocketAddr;

use serde_json::Value;
use testkit::kcat::Kcat;
use testkit::patience::{RETRY, within};
use testkit::tidemill::Tidemill;

/// kcat without further arguments.
const PLAIN: [&str; 0] = [];

/// An engine that writes every event to a file; `options` are lines under `kafka:` besides `brokers` and `topics`.
fn engine(broker: SocketAddr, topic: &str, options: &[&str]) -> Tidemill {
    into(broker, topic, options, "{ file: { path: events.jsonl, fsync: always } }")
}

/// An engine that gives every event to an output.
fn into(broker: SocketAddr, topic: &str, options: &[&str], output: &str) -> Tidemill {
    let options: String = options.iter().map(|line| format!("      {line}\n")).collect();
    let yaml = format!(
        "sources:
  orders:
    kafka:
      brokers: [\"{broker}\"]
      topics: [\"{topic}\"]
{options}    event: {{ type: order, source: /orders, id: id }}
    seats: 200
outputs:
  events: {output}
triggers:
  orders:
    source: orders
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

/// How often each id is in the files of the engines.
fn ids(engines: &[&Tidemill]) -> HashMap<String, usize> {
    let mut ids = HashMap::new();
    for event in engines.iter().flat_map(|engine| events(engine)) {
        *ids.entry(event["id"].as_str().expect("every event has an id").to_owned()).or_default() += 1;
    }
    ids
}

/// Waits until every number of the range is in one of the files, and answers how often each is.
async fn files_have(engines: &[&Tidemill], wanted: std::ops::Range<usize>) -> HashMap<String, usize> {
    within("every event in the files", async {
        loop {
            let ids = ids(engines);
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

/// Produces one message for each number, with one of fifty keys, and returns when all of them are confirmed.
async fn send(kcat: &Kcat, topic: &str, numbers: std::ops::Range<usize>) {
    let lines: Vec<_> = numbers.map(|number| format!("veh-{}|{{\"id\":\"{number}\"}}", number % 50)).collect();
    kcat.produce(topic, &["-K", "|"], &lines).await;
}

/// Waits until the last error of the source or output `path` holds `part`.
async fn error(engine: &Tidemill, path: &str, part: &str) -> String {
    let last = |status: &Value| status.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
    last(&engine.status_where(part, |status| last(status).contains(part)).await)
}

/// Where the source's last error stands.
const SOURCE_ERROR: &str = "/sources/orders/lastError";

/// Whether the identities of the conservation law hold in one answer of `/v1/status`.
fn balanced(status: &Value) -> bool {
    let sum = |books: &Value, names: &[&str]| names.iter().map(|name| books[*name].as_u64().unwrap_or(0)).sum::<u64>();
    let dropped = |rule: &Value| {
        rule["dropped"].as_object().map_or(0, |reasons| reasons.values().filter_map(Value::as_u64).sum::<u64>())
    };
    let source = &status["sources"]["orders"];
    let rule = &status["rules"]["orders/keep"];
    source["received"].as_u64() == Some(sum(source, &["settled", "rejected", "handedBack", "inFlight"]))
        && sum(rule, &["matched", "recovered", "replayed", "looped"])
            == sum(rule, &["done", "deadLettered", "handedBack", "parked", "inFlight"]) + dropped(rule)
}
