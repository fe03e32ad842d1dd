//! The HTTP source and output in the built program: what was answered 202 is where it should be, whoever is stopped, killed
//! or overrun, and an event that goes through two engines is the same at the end.

// What is answered under load, under faults, and to nonsense.
mod receiving;
// From one engine to the next.
mod chain;

use std::collections::HashSet;
use std::net::SocketAddr;

use serde_json::Value;
use testkit::http::{self, Response};
use testkit::port;
use testkit::tidemill::Tidemill;

/// An engine that writes what is posted to `address` to a file; `options` are lines under `http:` besides `listen`.
fn engine(address: SocketAddr, seats: usize, options: &[&str]) -> Tidemill {
    let options: String = options.iter().map(|line| format!("      {line}\n")).collect();
    let yaml = format!(
        "sources:
  hook:
    http:
      listen: \"{address}\"
{options}    seats: {seats}
outputs:
  events: {{ file: {{ path: events.jsonl, fsync: always }} }}
triggers:
  hooks:
    source: hook
    rules:
      keep: {{ output: events }}
"
    );
    Tidemill::new(env!("CARGO_BIN_EXE_tidemill"), &yaml)
}

/// Every event in the engine's file; a line that is torn counts for nothing.
fn events(engine: &Tidemill) -> Vec<Value> {
    let content = std::fs::read_to_string(engine.folder().join("events.jsonl")).unwrap_or_default();
    content.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn ids(engine: &Tidemill) -> HashSet<String> {
    events(engine).iter().map(|event| event["id"].as_str().expect("every event has an id").to_owned()).collect()
}

/// Posts a binary event.
async fn post(address: SocketAddr, id: &str, body: &str) -> std::io::Result<Response> {
    let headers = [
        ("ce-specversion", "1.0"),
        ("ce-id", id),
        ("ce-type", "t"),
        ("ce-source", "/test"),
        ("content-type", "application/json"),
    ];
    http::request(address, "POST", "/", &headers, body).await
}
