//! The NATS source and output in the built program, behind a real nats-server with JetStream: what is stored is in a file,
//! whoever is stopped, killed or cut, and what cannot be an event is kept aside with its bytes.

// The server that comes later, restarts, or has not what is asked for.
mod away;
// Passwords, tokens, nkeys and certificates.
mod trust;
// SIGTERM, kill -9, copies of what is still open, and pauses.
mod ending;
// Core subjects and their queue groups.
mod core;
// Messages that are no events, and events in every form.
mod form;
// What is published, and Python's own client on both ends.
mod output;

use std::ops::Range;

use serde_json::Value;
use testkit::nats::{Config, Nats, Peer};
use testkit::patience::{RETRY, until, within};
use testkit::tidemill::Tidemill;

use crate::outcome::{PROGRAM, assert_balanced, dead_letters, error, events, file_has, idle, ids, stopped};

/// Where the source stands in the status.
const SOURCE: &str = "/sources/fleet";

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
    Tidemill::new(PROGRAM, &yaml)
}

/// What makes the stream and the consumer. The server soon sends again what it does not hear of.
const DURABLE: [&str; 3] = ["stream: FLEET", "durable: mill", "create: { ackWait: 2s }"];

/// The same with a server that waits for longer than any machine stands still.
const PATIENT: [&str; 3] = ["stream: FLEET", "durable: mill", "create: { ackWait: 60s }"];

/// Stores one message for each number.
async fn store(peer: &mut Peer, numbers: Range<usize>) {
    let message =
        |number: usize| (format!("v1.demo.veh-{}.telemetry", number % 50), format!("{{\"id\":\"{number}\"}}"));
    peer.store_all(numbers.map(message)).await;
}

/// Waits until nothing is unacknowledged at the server.
async fn all_acknowledged(peer: &mut Peer) {
    until("every acknowledgement at the server", async || {
        let info = peer.consumer_info("FLEET", "mill").await;
        (info["num_ack_pending"] == 0 && info["num_pending"] == 0).then_some(())
    })
    .await;
}

async fn server() -> Nats {
    Nats::start(Config::new()).await
}
