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
// Certificates, and the same over WebSocket.
mod trust;
// A full engine, and messages that cannot be events.
mod pressure;

use serde_json::Value;
use testkit::client::{Publisher, Settings};
use testkit::mosquitto::Mosquitto;
use testkit::patience::{RETRY, within};
use testkit::tidemill::Tidemill;

use crate::outcome::{PROGRAM, assert_balanced, dead_letters, error, file_has, files_have, idle, ids, stopped};

/// Where the source stands in the status.
const SOURCE: &str = "/sources/fleet";

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
    Tidemill::new(PROGRAM, &yaml)
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
