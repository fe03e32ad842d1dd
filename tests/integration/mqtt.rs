//! The MQTT source and output in the built program, behind a real mosquitto on the documented profile: what is acknowledged is in a
//! file, whoever is stopped, killed or cut, and what the engine is told to refuse it refuses in words.

// Brokers and connections that go away under load.
mod lost;
// SIGTERM, kill -9 and leaving.
mod ending;
// What is published, what is refused, and who waits.
mod output;
// Shares of one stream.
mod share;
// Passwords, certificates, and a broker that is not there.
mod trust;
// A full engine, and messages that cannot be events.
mod pressure;

use std::collections::HashMap;

use serde_json::Value;
use testkit::client::{Publisher, Settings};
use testkit::mosquitto::Mosquitto;
use testkit::patience::{RETRY, within};
use testkit::tidemill::Tidemill;

/// An engine that writes every event to a file; `options` are lines under `mqtt:` besides `url` and `topics`.
fn engine(url: &str, options: &[&str]) -> Tidemill {
    let options: String = options.iter().map(|line| format!("      {line}\n")).collect();
    let yaml = format!(
        "sources:
  fleet:
    mqtt:
      url: {url}
      topics: [\"v1/{{fleet}}/{{vehicle}}/telemetry\"]
{options}    event: {{ type: telemetry, source: \"/fleet/{{fleet}}\", id: id }}
    seats: 200
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

/// How often each id is in the engine's file; a line that is torn counts for nothing.
fn ids(engine: &Tidemill) -> HashMap<String, usize> {
    let mut ids = HashMap::new();
    let content = std::fs::read_to_string(engine.folder().join("events.jsonl")).unwrap_or_default();
    for line in content.lines() {
        if let Ok(event) = serde_json::from_str::<Value>(line) {
            *ids.entry(event["id"].as_str().expect("every event has an id").to_owned()).or_default() += 1;
        }
    }
    ids
}

/// Waits until each of `wanted` is in the file.
async fn file_has(engine: &Tidemill, wanted: &[String]) -> HashMap<String, usize> {
    within("every event in the file", async {
        loop {
            let ids = ids(engine);
            if wanted.iter().all(|id| ids.contains_key(id)) {
                return ids;
            }
            tokio::time::sleep(RETRY).await;
        }
    })
    .await
}

/// Sends one message for each number.
async fn send(publisher: &Publisher, numbers: std::ops::Range<usize>) {
    for number in numbers {
        let topic = format!("v1/demo/veh-{}/telemetry", number % 50);
        publisher.send(&number.to_string(), &topic, format!("{{\"id\":\"{number}\"}}")).await;
    }
}

async fn publisher(broker: &Mosquitto) -> Publisher {
    Publisher::connect(Settings::new(broker.address(), "vehicles")).await
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
