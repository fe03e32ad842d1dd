//! `ack: spooled` in the built program: what was acknowledged comes to its rule in the end, whether that is stuck, the spool
//! is full, the disk is, or the engine is killed; and what is not on the disk is not acknowledged.
//!
//! The rule posts to an HTTP server of the test, which is stuck as long as nobody listens there.

// A rule that is stuck, and its broker.
mod stuck;
// Bounds and policies, and a disk that takes no more.
mod full;
// kill -9 at any moment.
mod killed;
// What HTTP and core NATS promise.
mod kinds;

use std::net::SocketAddr;

use serde_json::Value;
use testkit::http::Inbox;
use testkit::mosquitto::{Config, Mosquitto};
use testkit::port;
use testkit::recorder::Recorder;
use testkit::tidemill::Tidemill;

use crate::outcome::{PROGRAM, assert_balanced, idle, posted, posted_ids};

/// The configuration of an engine that posts what `source` brings, which is lines below its name, to `sink`; `more` are
/// lines of the top level.
fn yaml(source: &str, sink: SocketAddr, more: &str) -> String {
    let source: String = source.lines().map(|line| format!("    {line}\n")).collect();
    format!(
        "sources:
  fleet:
{source}outputs:
  sink: {{ http: {{ url: \"http://{sink}/\" }} }}
triggers:
  telemetry:
    source: fleet
    rules:
      post: {{ output: sink, retry: {{ hold: source, maxAttempts: 1000, backoffDelay: 20ms, maxDelay: 500ms }} }}
{more}"
    )
}

/// A source of MQTT with so many seats.
fn mqtt(broker: SocketAddr, seats: usize) -> String {
    format!("mqtt: {{ url: \"mqtt://{broker}\", topics: [telemetry] }}\nevent: {{ id: id }}\nseats: {seats}")
}

/// A message whose id is its number, with so many bytes more.
fn message(number: usize, fill: usize) -> String {
    format!("{{\"id\":\"{number}\",\"fill\":\"{}\"}}", "x".repeat(fill))
}

/// The books of the spool.
fn spool(status: &Value) -> &Value {
    &status["spools"]["fleet"]
}
