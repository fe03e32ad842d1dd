//! Kafka. Clients of the suite use the plain listener; what is tested logs in at another, whose brokers' address is the
//! proxy's, because a Kafka client goes where the cluster sends it.

use serde_json::{Value, json};
use testkit::kafka::Config;
use testkit::kcat::Kcat;
use testkit::patience::{RETRY, within};
use testkit::port;
use testkit::proxy::Proxy;

use super::case::{Cannot, Case, Declared};
use super::outlet::{self, Outlet};
use super::rig::{self, Opened};
use super::{Broker, Haste, PASSWORD, SECRET, USER, Wish};

pub(super) static SOURCE: Declared = Declared {
    name: "kafka",
    cannot: &[(
        Case::Lease,
        Cannot::Meaningless("kafka: a record has no lease; a member that answers its group keeps its partitions"),
    )],
};
pub(super) static OUTPUT: Declared = Declared { name: "kafka", cannot: &[] };

/// A Kafka and its network.
pub(super) struct Kafka {
    haste: Haste,
    broker: testkit::kafka::Kafka,
    network: Proxy,
    kcat: Kcat,
}

impl Kafka {
    pub(super) async fn start() -> Kafka {
        let listen = port::free();
        let network = Proxy::start(listen).await;
        let config = Config::new().user(USER, PASSWORD).clients_behind(listen, network.address());
        let broker = testkit::kafka::Kafka::start(config.line("auto.create.topics.enable=false")).await;
        let kcat = Kcat::new(broker.plain());
        Kafka { haste: Haste::default(), broker, network, kcat }
    }

    fn common(&self, password: &str) -> Value {
        let sasl = json!({ "mechanism": "PLAIN", "user": USER, "password": password });
        json!({ "brokers": [self.network.address().to_string()], "sasl": sasl })
    }
}

impl Broker for Kafka {
    fn source_declared(&self) -> Option<&'static Declared> {
        Some(&SOURCE)
    }
    fn output_declared(&self) -> Option<&'static Declared> {
        Some(&OUTPUT)
    }
    fn network(&self) -> &Proxy {
        &self.network
    }
    async fn stop(&mut self) {
        self.broker.stop().await;
    }
    async fn restart(&mut self) {
        self.broker.restart().await;
    }
    async fn create(&mut self, object: &str) {
        self.broker.create_topic(object, 1, &[("max.message.bytes", "5000000")]).await;
    }
    async fn put(&mut self, object: &str, payloads: Vec<Vec<u8>>) {
        match payloads.iter().map(|payload| String::from_utf8(payload.clone())).collect::<Result<Vec<_>, _>>() {
            Ok(lines) if lines.iter().all(|line| line.len() < 1000) => {
                self.kcat.produce(object, &[] as &[&str], &lines).await;
            }
            _ => {
                for payload in payloads {
                    self.kcat.produce_bytes(object, &[], &payload).await;
                }
            }
        }
    }
    async fn held(&mut self, object: &str) -> usize {
        // The group is called as the topic, which has one partition.
        let committed = testkit::kafka::committed(self.broker.plain(), object, object, 1).await;
        let end = self.kcat.consume(object).await.len();
        end - usize::try_from(committed).expect("an offset")
    }
    fn source(&self, object: &str, wish: Wish) -> Opened {
        let mut typed = self.common(wish.password());
        typed["topics"] = json!([object]);
        typed["group"] = object.into();
        typed["maxMessageSize"] = "2MiB".into();
        typed["sessionTimeout"] = if self.haste.signs { "6s" } else { "60s" }.into();
        rig::open(&connectors::kafka::Kafka, object, wish.seats, typed)
    }
    fn output(&self, object: &str, wrong: bool) -> Outlet {
        let mut typed = self.common(if wrong { SECRET } else { PASSWORD });
        typed["topic"] = object.into();
        typed["timeout"] = if self.haste.signs { "3s" } else { "60s" }.into();
        typed["maxMessageSize"] = "2MiB".into();
        outlet::open(&bindings::kafka::Kafka, object, typed)
    }
    async fn read(&mut self, object: &str, count: usize) -> Vec<Vec<u8>> {
        within("messages in the topic", async {
            loop {
                let records = self.kcat.consume(object).await;
                if records.len() >= count {
                    return records.into_iter().map(|record| record.payload.unwrap_or_default().into_bytes()).collect();
                }
                tokio::time::sleep(RETRY).await;
            }
        })
        .await
    }
    fn hurry(&mut self, haste: Haste) {
        self.haste = haste;
    }
    fn refusal(&self) -> &'static str {
        "check sasl.mechanism"
    }
}
