//! The Kafka source and output in the built program, behind a real Apache Kafka: what was confirmed arrives, whoever is
//! stopped, killed or joins, and what the engine is told to refuse it refuses in words. kcat is the other side.

// Events in both modes, in and out.
mod wire;
// A broker that goes away.
mod lost;
// SIGTERM and kill -9.
mod ending;
// Topics that grow, and groups that begin.
mod growing;
// Members that come and go.
mod share;
// Order by key, across them.
mod order;
// Offsets that are not there, where a group begins, and what waits.
mod offsets;
// Messages that cannot be events, and engines that are full.
mod pressure;
// Passwords, tokens and certificates.
mod trust;

use std::net::SocketAddr;

use serde_json::Value;
use testkit::kcat::Kcat;
use testkit::patience::{RETRY, within};
use testkit::tidemill::Tidemill;

use crate::outcome::{
    FILE, PROGRAM, assert_balanced, dead_letters, error, events, file_has, files_have, ids, repeated, said_again,
    stopped,
};

/// Where the source stands in the status.
const SOURCE: &str = "/sources/orders";

/// kcat without further arguments.
const PLAIN: [&str; 0] = [];

/// An engine that writes every event to a file; `options` are lines under `kafka:` besides `brokers` and `topics`.
/// A member is missed late, so that a machine that stands still costs nobody a partition.
fn engine(broker: SocketAddr, topic: &str, options: &[&str]) -> Tidemill {
    into(broker, topic, options, FILE)
}

/// An engine that gives every event to an output.
fn into(broker: SocketAddr, topic: &str, options: &[&str], output: &str) -> Tidemill {
    Tidemill::new(PROGRAM, &yaml(broker, topic, options, output))
}

fn yaml(broker: SocketAddr, topic: &str, options: &[&str], output: &str) -> String {
    let options: String = options.iter().map(|line| format!("      {line}\n")).collect();
    format!(
        "sources:
  orders:
    kafka:
      brokers: [\"{broker}\"]
      topics: [\"{topic}\"]
      sessionTimeout: 30s
{options}    event: {{ type: order, source: /orders, id: id }}
    seats: 200
outputs:
  events: {output}
triggers:
  orders:
    source: orders
    rules:
      keep: {{ output: events, retry: {{ hold: source, maxAttempts: 1000, backoffDelay: 100ms, maxDelay: 200ms }} }}
"
    )
}

/// Produces one message for each number, with one of fifty keys, and returns when all of them are confirmed.
async fn send(kcat: &Kcat, topic: &str, numbers: std::ops::Range<usize>) {
    let lines: Vec<_> = numbers.map(|number| format!("veh-{}|{{\"id\":\"{number}\"}}", number % 50)).collect();
    kcat.produce(topic, &["-K", "|"], &lines).await;
}
