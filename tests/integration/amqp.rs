//! The AMQP source and output in the built program, behind a real RabbitMQ: what was confirmed is in a file, whoever is
//! stopped, killed or deleted, and what cannot be an event is kept aside with its bytes. lapin and pika are the other side.

// The broker that restarts under load, and queues that are not there, of another kind, or deleted.
mod away;
// SIGTERM and kill -9.
mod ending;
// Events in both modes, and messages that are no events.
mod form;
// Messages that a broker would close a channel or a connection over.
mod limits;
// What is published, what comes back, and what waits.
mod output;
// Functions that take longer than the broker bears.
mod patience;
// Certificates and virtual hosts.
mod trust;

use std::ops::Range;

use serde_json::Value;
use testkit::patience::{RETRY, within};
use testkit::rabbitmq::Peer;
use testkit::tidemill::Tidemill;

use crate::outcome::{FILE, PROGRAM, assert_balanced, dead_letters, error, events, file_has, idle, repeated, stopped};

/// Where the source stands in the status.
const SOURCE: &str = "/sources/fleet";
/// Where the output stands in the status.
const OUTPUT: &str = "/outputs/events";

/// An engine that writes every event to a file; `options` are lines under `amqp:` besides `url` and `queue`.
fn engine(url: &str, queue: &str, options: &[&str]) -> Tidemill {
    into(url, queue, options, FILE)
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
      keep: {{ output: events, retry: {{ hold: source, maxAttempts: 1000, backoffDelay: 100ms, maxDelay: 200ms }} }}
"
    );
    Tidemill::new(PROGRAM, &yaml)
}

/// Publishes one message for each number to a queue, and returns when all are confirmed.
async fn send(peer: &Peer, queue: &str, numbers: Range<usize>) {
    peer.send_all("", queue, numbers.map(|number| format!("{{\"id\":\"{number}\"}}"))).await;
}

/// Waits until the broker has nothing left in a queue, delivered or not.
async fn drained(engine: &mut Tidemill, peer: &Peer, queue: &str) {
    let status = idle(engine).await;
    assert_balanced(&status);
    assert!(engine.terminate().await.success());
    // Whatever was not acknowledged would be ready again now.
    assert_eq!(peer.count(queue).await, (0, 0));
}
