//! RabbitMQ, with classic and with quorum queues.

use engine::metric::Link;
use serde_json::{Value, json};
use testkit::patience::{RETRY, within};
use testkit::proxy::Proxy;
use testkit::rabbitmq::{Config, Peer, RabbitMq};

use super::case::{Cannot, Case, Declared};
use super::outlet::{self, Outlet};
use super::rig::{self, Opened, until};
use super::{Broker, Haste, PASSWORD, SECRET, USER, Wish};

/// One kind of queue.
#[derive(Debug)]
pub(super) struct Queue {
    kind: &'static str,
    pub(super) source: Declared,
    pub(super) output: Declared,
}

const OUTPUT_CANNOT: &[(Case, Cannot)] = &[(
    Case::Oversize,
    Cannot::Meaningless("amqp: a queue takes up to 128 MiB, and beyond that the broker ends the connection"),
)];

pub(super) static QUEUES: [Queue; 2] = [
    Queue {
        kind: "classic",
        source: Declared { name: "amqp classic", cannot: &[] },
        output: Declared { name: "amqp classic", cannot: OUTPUT_CANNOT },
    },
    Queue {
        kind: "quorum",
        source: Declared { name: "amqp quorum", cannot: &[] },
        output: Declared { name: "amqp quorum", cannot: OUTPUT_CANNOT },
    },
];

/// A RabbitMQ and its network.
pub(super) struct Amqp {
    pub(super) queue: &'static Queue,
    haste: Haste,
    broker: RabbitMq,
    network: Proxy,
    peer: Peer,
}

impl Amqp {
    pub(super) async fn start() -> Amqp {
        let broker = RabbitMq::start(Config::new().user(USER, PASSWORD)).await;
        let network = Proxy::start(broker.address()).await;
        let peer = patient_peer(&broker).await;
        Amqp { queue: &QUEUES[0], haste: Haste::default(), broker, network, peer }
    }

    fn typed(&self, password: &str) -> Value {
        json!({ "url": format!("amqp://{}", self.network.address()), "user": USER, "password": password })
    }
}

/// The suite's own client, which is missed after minutes. Whoever connects afterwards has to show every ten seconds that it
/// lives; a silence of twice that ends a connection.
async fn patient_peer(broker: &RabbitMq) -> Peer {
    let peer = broker.peer().await;
    broker.control(&["eval", "application:set_env(rabbit, heartbeat, 10)."]).await;
    peer
}

impl Broker for Amqp {
    fn source_declared(&self) -> Option<&'static Declared> {
        Some(&self.queue.source)
    }
    fn output_declared(&self) -> Option<&'static Declared> {
        Some(&self.queue.output)
    }
    fn network(&self) -> &Proxy {
        &self.network
    }
    async fn stop(&mut self) {
        self.broker.stop().await;
    }
    async fn restart(&mut self) {
        self.broker.restart().await;
        self.peer = patient_peer(&self.broker).await;
    }
    async fn create(&mut self, object: &str) {
        self.peer.declare(object, self.queue.kind).await;
    }
    async fn put(&mut self, object: &str, payloads: Vec<Vec<u8>>) {
        self.peer.send_all("", object, payloads.into_iter()).await;
    }
    async fn held(&mut self, object: &str) -> usize {
        // While somebody consumes, what is unacknowledged cannot be seen from outside.
        within("the end of the consumer", async {
            loop {
                let (ready, consumers) = self.peer.count(object).await;
                if consumers == 0 {
                    return ready as usize;
                }
                tokio::time::sleep(RETRY).await;
            }
        })
        .await
    }
    fn source(&self, object: &str, wish: Wish) -> Opened {
        let mut typed = self.typed(wish.password());
        typed["queue"] = object.into();
        typed["maxMessageSize"] = "2MiB".into();
        if wish.short_lease {
            typed["consumerTimeout"] = "2s".into();
        }
        rig::open(&connectors::amqp::Amqp, object, wish.seats, typed)
    }
    fn output(&self, object: &str, wrong: bool) -> Outlet {
        let mut typed = self.typed(if wrong { SECRET } else { PASSWORD });
        typed["routingKey"] = object.into();
        typed["timeout"] = if self.haste.signs { "5s" } else { "60s" }.into();
        outlet::open(&bindings::amqp::Amqp, object, typed)
    }
    async fn read(&mut self, object: &str, count: usize) -> Vec<Vec<u8>> {
        self.peer.peek(object, count).await
    }
    fn hurry(&mut self, haste: Haste) {
        self.haste = haste;
    }
    fn refusal(&self) -> &'static str {
        "correct user and password"
    }
    async fn outlive_lease(&mut self, link: &Link) {
        let handed_back = || link.read().dropped.get("consumerTimeout").copied() >= Some(5);
        until("events handed back", || handed_back().then_some(())).await;
    }
    fn takes_back(&self) -> bool {
        true
    }
}
