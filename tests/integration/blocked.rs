//! A function that blocks its threads for ever, with QoS 0 and QoS 1 traffic behind it: memory stays bounded, the broker's
//! pings are answered, what is lost is counted, and nothing that was acknowledged is.

use std::sync::Arc;

use engine::supervisor::Engine;
use functions::native::stateless;
use mqtt5::mqttbytes::QoS;
use mqtt5::{AsyncClient, MqttOptions, PublishOptions};
use testkit::client::{Publisher, Settings};
use testkit::mosquitto::{Config, Mosquitto};
use testkit::patience::{LIMIT, until, within};
use tidemill::Tidemill;

use crate::inside::{self, fleet_where};

const SEATS: u64 = 10;

#[test]
fn a_function_that_blocks_for_ever_costs_its_own_rule_and_no_connection() {
    // As `run` has it: one thread more than user code may occupy.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(3).enable_all().build().unwrap();
    runtime.block_on(async {
        let broker = Mosquitto::start(Config::profile().line("log_type all")).await;
        let folder = tempfile::tempdir().unwrap();
        let (release, blocked) = std::sync::mpsc::channel::<()>();
        let engine = start(&broker, folder.path(), blocked).await;
        let publisher = Publisher::connect(Settings::new(broker.address(), "careful")).await;
        for number in 0..100 {
            publisher.send(&number.to_string(), "telemetry", "{}").await;
        }
        flood(&broker, 1000).await;
        let full = fleet_where(&engine, "a full ring", |source| source.dropped.contains_key("ringFull")).await;
        assert_eq!(full.in_flight, SEATS, "the seats bound what is in flight");
        let pings = || broker.process().lines().all().iter().filter(|line| is_ping(line)).count();
        let before = pings();
        until("the engine to go on pinging", async || (pings() > before).then_some(())).await;
        let still = fleet_where(&engine, "the books", |_| true).await;
        assert_eq!((still.connects, still.settled), (1, 0), "one connection, and nothing acknowledged");

        // Once the function lets go, everything that was confirmed to the publisher is handled.
        drop(release);
        assert_eq!(publisher.close().await.confirmed.len(), 100);
        let done =
            fleet_where(&engine, "everything done", |source| source.in_flight == 0 && source.settled >= 100).await;
        assert_eq!(done.received, done.settled + done.handed_back);
        assert_eq!(engine.drain(LIMIT).await.handed_back, 0);
    });
    runtime.shutdown_background();
}

fn is_ping(line: &str) -> bool {
    line.contains("Received PINGREQ from stuck-")
}

/// An engine in this process, whose function waits for `blocked` without giving its thread back.
async fn start(broker: &Mosquitto, state: &std::path::Path, blocked: std::sync::mpsc::Receiver<()>) -> Engine {
    let blocked = Arc::new(parking_lot::Mutex::new(blocked));
    let stuck = stateless(move |_, _| {
        let blocked = Arc::clone(&blocked);
        async move {
            // It ends when the test drops the other half.
            let _ = blocked.lock().recv();
        }
    });
    let registry = Tidemill::builtin().native("stuck", stuck).into_registry();
    let yaml = format!(
        "sources: {{ fleet: {{ mqtt: {{ url: '{}', topics: [telemetry], clientId: stuck, keepAlive: 20s }}, seats: {SEATS}, ack: processed }} }}
functions: {{ stuck: {{ native: stuck, workers: {{ max: 2 }} }} }}
triggers: {{ telemetry: {{ source: fleet, rules: {{ stuck: {{ function: stuck }} }} }} }}
",
        broker.url()
    );
    inside::start(&registry, &yaml, state).await
}

/// Publishes `count` messages at QoS 0, and ends when the broker has them.
async fn flood(broker: &Mosquitto, count: usize) {
    let options = MqttOptions::new("careless", (broker.address().ip().to_string(), broker.address().port()));
    let (client, mut connection) = AsyncClient::builder(options).capacity(count + 1).build();
    let polling = tokio::spawn(async move { while connection.poll().await.is_ok() {} });
    for _ in 0..count {
        client.publish("telemetry", "{}", PublishOptions::new(QoS::AtMostOnce)).await.expect("there is room");
    }
    // Confirmed after all the others: one connection keeps its order.
    let last = client.publish_tracked("elsewhere", "", PublishOptions::new(QoS::AtLeastOnce)).await;
    within("the flood to arrive", last.expect("there is room").wait_completion_async()).await.expect("confirmed");
    polling.abort();
}
