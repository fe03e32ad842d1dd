//! MQTT 5 and 3.1.1 on mosquitto. What was acknowledged is read from the wire, because the broker tells nobody what a
//! session holds.

use std::collections::{HashMap, HashSet};

use serde_json::json;
use testkit::client::{Acks, Publisher, Settings, Subscriber, id_of};
use testkit::mosquitto::{Config, Mosquitto};
use testkit::proxy::Proxy;
use testkit::recorder::Recorder;

use super::case::{Cannot, Case, Declared};
use super::outlet::{self, Outlet};
use super::rig::{self, Opened};
use super::{Broker, Haste, PASSWORD, SECRET, USER, Wish};

/// One version of the protocol.
pub(super) struct Version {
    option: &'static str,
    pub(super) source: Declared,
    pub(super) output: Declared,
}

const CANNOT: &[(Case, Cannot)] = &[
    (
        Case::Lease,
        Cannot::Meaningless(
            "mqtt: what was delivered belongs to the session until it is acknowledged; there is no lease",
        ),
    ),
    MISSING,
];

const MISSING: (Case, Cannot) =
    (Case::Missing, Cannot::Meaningless("a topic or subject is a word in a message: none can be missing"));

pub(super) static VERSIONS: [Version; 2] = [
    Version {
        option: "5",
        source: Declared { name: "mqtt 5", cannot: CANNOT },
        output: Declared { name: "mqtt 5", cannot: &[MISSING] },
    },
    Version {
        option: "3.1.1",
        source: Declared { name: "mqtt 3.1.1", cannot: CANNOT },
        output: Declared {
            name: "mqtt 3.1.1",
            cannot: &[
                MISSING,
                (
                    Case::Oversize,
                    Cannot::Meaningless("mqtt 3.1.1: the broker does not say what it takes, and closes the connection"),
                ),
            ],
        },
    },
];

/// A mosquitto and its network.
pub(super) struct Mqtt {
    version: &'static Version,
    haste: Haste,
    broker: Mosquitto,
    network: Recorder,
    publisher: Publisher,
    /// The ids that were sent to each topic.
    sent: HashMap<String, HashSet<String>>,
    /// Who has subscribed to the topic of a case.
    reader: Option<Subscriber>,
}

impl Mqtt {
    pub(super) async fn start(version: &'static Version) -> Mqtt {
        let broker = Mosquitto::start(Config::profile().user(USER, PASSWORD).line("max_packet_size 4194304")).await;
        let network = Recorder::start(broker.address()).await;
        let settings = Settings::new(broker.address(), "sender").credentials(USER, PASSWORD);
        let publisher = Publisher::connect(settings).await;
        Mqtt { version, haste: Haste::default(), broker, network, publisher, sent: HashMap::new(), reader: None }
    }

    /// The longest silence of a client that is still taken for alive; the broker bears half as much more.
    fn keep_alive(&self) -> &'static str {
        if self.haste.signs { "3s" } else { "60s" }
    }
}

impl Broker for Mqtt {
    fn source_declared(&self) -> Option<&'static Declared> {
        Some(&self.version.source)
    }
    fn output_declared(&self) -> Option<&'static Declared> {
        Some(&self.version.output)
    }
    fn network(&self) -> &Proxy {
        self.network.network()
    }
    async fn stop(&mut self) {
        self.broker.stop().await;
    }
    async fn restart(&mut self) {
        self.broker.restart().await;
    }
    async fn create(&mut self, object: &str) {
        let settings = Settings::new(self.broker.address(), &format!("reader of {object}"));
        let settings = settings.credentials(USER, PASSWORD);
        self.reader = Some(Subscriber::connect(settings, &[object], Acks::AtOnce).await);
    }
    async fn put(&mut self, object: &str, payloads: Vec<Vec<u8>>) {
        for payload in payloads {
            let id = id_of(&[], &payload);
            self.publisher.send(&id, object, payload).await;
            self.sent.entry(object.to_owned()).or_default().insert(id);
        }
        let fates = self.publisher.settle().await;
        assert!(fates.unconfirmed.is_empty(), "{:?}", fates.unconfirmed);
    }
    async fn held(&mut self, object: &str) -> usize {
        let delivered = self.network.record().delivered();
        let acknowledged = delivered.iter().filter(|one| one.topic == object && one.acknowledged);
        let acknowledged: HashSet<&String> = acknowledged.map(|one| &one.id).collect();
        self.sent.get(object).map_or(0, HashSet::len) - acknowledged.len()
    }
    fn source(&self, object: &str, wish: Wish) -> Opened {
        let typed = json!({
            "url": format!("mqtt://{}", self.network.address()), "topics": [object], "version": self.version.option,
            "keepAlive": self.keep_alive(), "maxPacketSize": "2MiB",
            "user": USER, "password": wish.password(),
        });
        rig::open(&connectors::mqtt::Mqtt, object, wish.seats, typed)
    }
    fn output(&self, object: &str, wrong: bool) -> Outlet {
        let typed = json!({
            "url": format!("mqtt://{}", self.network.address()), "topic": object, "version": self.version.option,
            "keepAlive": self.keep_alive(), "timeout": if self.haste.signs { "10s" } else { "60s" }, "connections": 1,
            "user": USER, "password": if wrong { SECRET } else { PASSWORD },
        });
        outlet::open(&bindings::mqtt::Mqtt, object, typed)
    }
    async fn read(&mut self, object: &str, count: usize) -> Vec<Vec<u8>> {
        let reader = self.reader.as_ref().expect("somebody has subscribed");
        reader.deliveries(count).await;
        let read = reader.received().into_iter().filter(|message| message.topic == object);
        read.map(|message| if self.version.option == "5" { message.payload.to_vec() } else { data(&message.payload) })
            .collect()
    }
    fn hurry(&mut self, haste: Haste) {
        self.haste = haste;
    }
    fn refusal(&self) -> &'static str {
        "refused the connection"
    }
}

/// The data of a structured event as it stands there: an object without another one in it.
fn data(event: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(event).expect("JSON is text");
    let start = text.find("\"data\":").map(|at| at + 7).expect("an event with data");
    let end = text[start..].find('}').map(|at| start + at + 1).expect("an object");
    text.as_bytes()[start..end].to_vec()
}
