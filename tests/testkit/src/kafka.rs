//! A real Apache Kafka: one broker in KRaft mode on free loopback ports, in a folder of its own.
//!
//! A Java program takes a second to start and 150 MB, so a test binary has one broker that all of its tests share
//! ([`shared`]), and every test has topics and groups of its own. Only a test that stops, kills, cuts off or configures its
//! broker starts one ([`Kafka::start`]).

mod config;
mod parts;
mod wire;

use std::net::SocketAddr;
use std::path::Path;
use std::process::Child;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::process::Command;
use tokio::sync::OnceCell;

pub use config::Config;
use parts::Parts;

use crate::certificates::Certificates;
use crate::patience::{RETRY, until, within};
use crate::port;
use crate::server::{Program, Server, tethered};

/// A broker of one test. Dropping it kills it and removes its folder.
pub type Kafka = Server<KafkaBroker>;

/// Kafka with its settings: the plain port, the controller's and the secure one.
pub struct KafkaBroker {
    config: Config,
    parts: Parts,
    ports: [SocketAddr; 3],
}

impl Kafka {
    /// Where anybody may connect, however its clients do.
    #[must_use]
    pub fn plain(&self) -> SocketAddr {
        self.program.ports[0]
    }

    /// Makes a topic with these settings.
    ///
    /// # Panics
    /// When the broker refuses it, with its words.
    pub async fn create_topic(&self, topic: &str, partitions: i32, settings: &[(&str, &str)]) {
        create_topic(self.program.ports[0], topic, partitions, settings).await;
    }
}

impl Program for KafkaBroker {
    type Config = Config;
    const NAME: &'static str = "kafka";

    async fn new(config: Config, folder: &Path) -> Self {
        let (folder, formatting) = (folder.to_owned(), config.formatting());
        let prepared = tokio::task::spawn_blocking(move || {
            let parts = Parts::prepared();
            parts.new_data(&folder, &formatting);
            parts
        });
        let parts = prepared.await.expect("the parts are prepared");
        Self { config, parts, ports: free() }
    }

    async fn settle(&mut self, folder: &Path) {
        self.ports = free();
        if let Some(address) = self.config.listens() {
            self.ports[0] = address;
        }
        if let Some(address) = self.config.listens_for_clients() {
            self.ports[2] = address;
        }
        self.config.write(folder, self.ports);
    }

    fn command(&self, folder: &Path) -> Command {
        java(&self.parts, folder).into()
    }

    async fn answers(&self) -> bool {
        known(self.ports[0]).await
    }

    fn address(&self) -> SocketAddr {
        self.ports[if self.config.is_secure() { 2 } else { 0 }]
    }

    /// What `brokers` takes.
    fn url(&self) -> String {
        self.address().to_string()
    }

    fn certificates(&self) -> Option<&Certificates> {
        self.config.certificates()
    }
}

/// The broker that all tests of this process share. It lives as long as the process.
#[derive(Debug)]
pub struct Shared {
    address: SocketAddr,
    topics: AtomicUsize,
    /// Holds the pipe that keeps the broker alive.
    _shell: Child,
}

/// The shared broker, started by whoever asks first.
///
/// # Panics
/// When it cannot be started.
pub async fn shared() -> &'static Shared {
    static BROKER: OnceCell<Shared> = OnceCell::const_new();
    BROKER
        .get_or_init(|| async {
            let (address, shell) = tokio::task::spawn_blocking(start_shared).await.expect("the shared broker starts");
            until("the shared broker to answer", async || known(address).await.then_some(())).await;
            Shared { address, topics: AtomicUsize::new(0), _shell: shell }
        })
        .await
}

impl Shared {
    /// Where its clients connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Makes a topic whose name no other test has, with these settings.
    ///
    /// # Panics
    /// When the broker refuses it, with its words.
    pub async fn topic(&self, partitions: i32, settings: &[(&str, &str)]) -> String {
        let topic = format!("topic-{}", self.topics.fetch_add(1, Ordering::Relaxed));
        create_topic(self.address, &topic, partitions, settings).await;
        topic
    }
}

/// The offsets that a group has committed of a topic's partitions, added up, as the broker at the address has them; zero
/// before the first.
pub async fn committed(address: SocketAddr, group: &str, topic: &str, partitions: i32) -> i64 {
    let (group, topic) = (group.to_owned(), topic.to_owned());
    let asked = tokio::task::spawn_blocking(move || wire::committed(address, &group, &topic, partitions));
    asked.await.expect("the question does not panic").unwrap_or_default()
}

/// Starts a broker that ends with this process.
fn start_shared() -> (SocketAddr, Child) {
    let parts = Parts::prepared();
    let folder = tempfile::tempdir().expect("a temporary folder").keep();
    parts.new_data(&folder, &[]);
    let ports = free();
    Config::new().write(&folder, ports);
    (ports[0], tethered(&java(&parts, &folder), &folder))
}

fn free() -> [SocketAddr; 3] {
    [port::free(), port::free(), port::free()]
}

/// What starts a broker that is configured in `folder`.
fn java(parts: &Parts, folder: &Path) -> std::process::Command {
    let java = parts.java("kafka.Kafka");
    let mut command = std::process::Command::new(&java[0]);
    command.args(&java[1..]).arg(config::path(folder));
    command
}

/// Whether the broker at the address answers.
async fn known(address: SocketAddr) -> bool {
    let asked = tokio::task::spawn_blocking(move || wire::brokers(address));
    asked.await.expect("the question does not panic").is_some()
}

async fn create_topic(address: SocketAddr, topic: &str, partitions: i32, settings: &[(&str, &str)]) {
    let topic = topic.to_owned();
    let settings: Vec<_> = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let making = async {
        loop {
            let (topic, settings) = (topic.clone(), settings.clone());
            let made = tokio::task::spawn_blocking(move || {
                let settings: Vec<_> = settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                wire::create_topic(address, &topic, partitions, &settings)
            });
            let made = made.await.expect("the request does not panic").unwrap_or_else(|error| panic!("{error}"));
            if made {
                return;
            }
            tokio::time::sleep(RETRY).await;
        }
    };
    within("a broker that takes a topic", making).await;
}

#[cfg(test)]
mod tests;
