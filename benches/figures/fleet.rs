//! F4, MQTT to Prometheus: the whole program with the vehicle example, behind a real mosquitto at a steady rate and behind
//! a stub broker that only writes PUBLISH frames, beside a raw client loop of the same crate in the same run.
//!
//! What counts is CPU time per event of the process under test, read from `/proc`: with the broker on the same two cores,
//! events per second say more about the broker. Behind the stub, the client is the limit, so there the rate counts too.

use std::time::Duration;

use testkit::mosquitto::{Config, Mosquitto};
use testkit::process::Process;
use testkit::stub_broker::{Load, StubBroker};
use testkit::tidemill::Tidemill;
use tokio::time::Instant;

use crate::measure::{Cost, cpu};

/// Vehicles that publish.
const VEHICLES: u64 = 1000;
/// The rate behind mosquitto, in messages per second.
const RATE: u64 = 10_000;
/// Unacknowledged messages that the stub sends at most; the seats of the engine.
const WINDOW: u16 = 10_000;

/// Who receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Client {
    /// The release binary with the example's configuration, acknowledging what is processed, as the raw loop does.
    Engine,
    /// The same as the example stands: every event goes through the spool.
    Spooled,
    /// A loop of rumqttc-v5-next that acknowledges by hand.
    Raw,
}

/// One run behind mosquitto at [`RATE`].
pub(crate) async fn behind_mosquitto(client: Client, events: u64) -> Cost {
    let broker = Mosquitto::start(Config::profile()).await;
    let mut receiver = Receiver::start(client, &broker.url(), events).await;
    receiver.subscribed().await;
    let before = receiver.cpu();
    let began = Instant::now();
    crate::load::publish(broker.address(), events, RATE, sample).await;
    receiver.finished(events).await;
    Cost::between(before, receiver.cpu(), events, began.elapsed())
}

/// One run behind the stub, as fast as it goes.
pub(crate) async fn behind_stub(client: Client, events: u64) -> Cost {
    let messages = (0..VEHICLES * 20).map(sample).collect();
    let broker = StubBroker::start(Load { messages, count: events, window: Some(WINDOW) }).await;
    let began = Instant::now();
    let mut receiver = Receiver::start(client, &format!("mqtt://{}", broker.address()), events).await;
    receiver.finished(events).await;
    // The process did nothing before it subscribed but start.
    Cost::between(Duration::ZERO, receiver.cpu(), events, began.elapsed())
}

/// Message `number`: a topic, and a sample as the simulator's vehicles send them.
pub(crate) fn sample(number: u64) -> (String, Vec<u8>) {
    let (vehicle, seq) = (number % VEHICLES, number / VEHICLES);
    let payload = format!(
        concat!(
            r#"{{"v":1,"id":"veh-{vehicle:06}-1-{seq}","vehicle":"veh-{vehicle:06}","boot":1,"seq":{seq},"#,
            r#""time":"2026-11-21T06:58:00Z","signals":{{"Vehicle.Speed":87.4,"Vehicle.TraveledDistance":{meters}}}}}"#
        ),
        vehicle = vehicle,
        seq = seq,
        meters = 48_213_950 + seq * 24,
    );
    (format!("v1/demo/veh-{vehicle:06}/telemetry"), payload.into_bytes())
}

/// The process under test.
enum Receiver {
    Engine(Box<Tidemill>),
    Spooled(Box<Tidemill>),
    Raw(Box<Process>),
}

impl Receiver {
    async fn start(client: Client, url: &str, events: u64) -> Receiver {
        match client {
            Client::Engine => Receiver::Engine(Receiver::engine(url, "processed").await),
            Client::Spooled => Receiver::Spooled(Receiver::engine(url, "spooled").await),
            Client::Raw => {
                let address = url.trim_start_matches("mqtt://").to_owned();
                let program = std::env::current_exe().expect("this program has a path");
                let mut command = tokio::process::Command::new(program);
                command.args(["raw", &address, &events.to_string(), &WINDOW.to_string()]);
                Receiver::Raw(Box::new(Process::start("raw client", &mut command)))
            }
        }
    }

    async fn engine(url: &str, ack: &str) -> Box<Tidemill> {
        let yaml = include_str!("../../examples/vehicle-telemetry/tidemill.yaml")
            .replace("mqtt://localhost:1883", url)
            .replace("      shareGroup: tidemill\n", "")
            .replace("    event:\n", &format!("    ack: {ack}\n    seats: {WINDOW}\n    event:\n"));
        let mut engine = Tidemill::new(crate::measure::program(), &yaml);
        engine.start().await;
        Box::new(engine)
    }

    async fn subscribed(&mut self) {
        if let Receiver::Raw(process) = self {
            process.line("the subscription", |line| line == "subscribed").await;
        }
    }

    /// Waits until every event is acknowledged, and nothing is left in a spool.
    async fn finished(&mut self, events: u64) {
        match self {
            Receiver::Engine(engine) => {
                let settled = |status: &serde_json::Value| status["sources"]["fleet"]["settled"] == events;
                engine.status_where("every event to be acknowledged", settled).await;
            }
            Receiver::Spooled(engine) => {
                let settled = |status: &serde_json::Value| status["spools"]["fleet"]["settled"] == events;
                engine.status_where("every event to be settled", settled).await;
            }
            Receiver::Raw(process) => {
                process.line("the last acknowledgement", |line| line == "finished").await;
            }
        }
    }

    fn cpu(&mut self) -> Duration {
        let id = match self {
            Receiver::Engine(engine) | Receiver::Spooled(engine) => engine.process().id(),
            Receiver::Raw(process) => process.id(),
        };
        cpu(id.expect("the process runs"))
    }
}
