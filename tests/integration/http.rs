//! The HTTP source and output in the built program: what was answered 202 is where it should be, whoever is stopped, killed
//! or overrun, and an event that goes through two engines is the same at the end.

// What is answered under load, under faults, and to nonsense.
mod receiving;
// From one engine to the next.
mod chain;

use std::collections::HashSet;
use std::net::SocketAddr;

use testkit::http::{self, Response};
use testkit::port;
use testkit::tidemill::Tidemill;

use crate::outcome::{PROGRAM, dead_letters, events, file_has, ids};

/// An engine that writes what is posted to `address` to a file, and answers once it is there; `options` are lines under
/// `http:` besides `listen`.
fn engine(address: SocketAddr, seats: usize, options: &[&str]) -> Tidemill {
    engine_that("processed", address, seats, options)
}

/// The same with its acknowledgements at another point.
fn engine_that(acknowledges: &str, address: SocketAddr, seats: usize, options: &[&str]) -> Tidemill {
    let options: String = options.iter().map(|line| format!("      {line}\n")).collect();
    let yaml = format!(
        "sources:
  hook:
    http:
      listen: \"{address}\"
{options}    ack: {acknowledges}
    seats: {seats}
outputs:
  events: {{ file: {{ path: events.jsonl, fsync: always }} }}
triggers:
  hooks:
    source: hook
    rules:
      keep: {{ output: events }}
"
    );
    Tidemill::new(PROGRAM, &yaml)
}

/// The ids that are in the engine's file.
fn kept(engine: &Tidemill) -> HashSet<String> {
    ids(engine).into_keys().collect()
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
