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
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use tempfile::TempDir;
use tokio::process::Command;
use tokio::sync::OnceCell;

pub use config::Config;
use parts::Parts;

use crate::certificates::Certificates;
use crate::patience::{RETRY, within};
use crate::port;
use crate::process::Process;

/// A broker of one test. Dropping it kills it and removes its folder.
pub struct Kafka {
    config: Config,
    parts: Parts,
    folder: TempDir,
    ports: [SocketAddr; 3],
    process: Process,
}

/// How often other ports are tried when somebody else has taken one of those that were free.
const PORTS_TRIED: usize = 5;

impl Kafka {
    /// Starts a broker and returns when it answers.
    ///
    /// # Panics
    /// When Java or Maven is not installed, or the broker ends, with its log.
    pub async fn start(config: Config) -> Self {
        let parts = tokio::task::spawn_blocking(Parts::prepared).await.expect("the parts are prepared");
        let folder = tempfile::tempdir().expect("a temporary folder");
        parts.new_data(folder.path());
        for _ in 0..PORTS_TRIED {
            let ports = [config.listens().unwrap_or_else(port::free), port::free(), port::free()];
            let mut process = launch(&parts, &config, folder.path(), ports);
            if answers(&mut process, ports[0]).await {
                return Self { config, parts, folder, ports, process };
            }
        }
        panic!("kafka found no free ports in {PORTS_TRIED} attempts");
    }

    /// Where its clients connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.ports[if self.config.is_secure() { 2 } else { 0 }]
    }

    /// The certificates that it and its clients use, when it speaks TLS.
    #[must_use]
    pub fn certificates(&self) -> Option<&Certificates> {
        self.config.certificates()
    }

    /// The process, for its log and for freezing it.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Makes a topic with these settings.
    ///
    /// # Panics
    /// When the broker refuses it, with its words.
    pub async fn create_topic(&self, topic: &str, partitions: i32, settings: &[(&str, &str)]) {
        create_topic(self.ports[0], topic, partitions, settings).await;
    }

    /// Stops it by SIGTERM and waits until it has ended.
    pub async fn stop(&mut self) {
        self.process.terminate().await;
    }

    /// Kills it by SIGKILL.
    pub async fn kill(&mut self) {
        self.process.kill().await;
    }

    /// Starts it again, on the same ports and with the same folder, after a stop or a kill.
    pub async fn restart(&mut self) {
        loop {
            self.process = launch(&self.parts, &self.config, self.folder.path(), self.ports);
            if answers(&mut self.process, self.ports[0]).await {
                return;
            }
            // The ports are free for us again as soon as the kernel has let go of them.
            tokio::time::sleep(RETRY).await;
        }
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
            within("the shared broker to answer", async {
                while wire::brokers(address).is_none() {
                    tokio::time::sleep(RETRY).await;
                }
            })
            .await;
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

/// Starts a broker that ends with this process, however that ends: a shell holds the reading end of a pipe whose other end
/// nobody but this process has, and when it is closed, kills the broker and removes its folder.
fn start_shared() -> (SocketAddr, Child) {
    let parts = Parts::prepared();
    let config = Config::new();
    let folder = tempfile::tempdir().expect("a temporary folder").keep();
    parts.new_data(&folder);
    let ports = [port::free(), port::free(), port::free()];
    let properties = config.write(&folder, ports);
    let script = "folder=$1; shift; \"$@\" </dev/null >\"$folder/broker.log\" 2>&1 & broker=$!; \
                  read -r _; kill -9 $broker; wait; rm -rf \"$folder\"";
    let mut command = std::process::Command::new("sh");
    command.args(["-c", script, "sh"]).arg(&folder).args(parts.java("kafka.Kafka")).arg(properties);
    let shell = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("a shell starts");
    (ports[0], shell)
}

async fn create_topic(address: SocketAddr, topic: &str, partitions: i32, settings: &[(&str, &str)]) {
    let topic = topic.to_owned();
    let settings: Vec<_> = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let made = tokio::task::spawn_blocking(move || {
        let settings: Vec<_> = settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        wire::create_topic(address, &topic, partitions, &settings)
    });
    made.await.expect("the request does not panic").unwrap_or_else(|error| panic!("{error}"));
}

fn launch(parts: &Parts, config: &Config, folder: &Path, ports: [SocketAddr; 3]) -> Process {
    let properties = config.write(folder, ports);
    let java = parts.java("kafka.Kafka");
    let mut command = Command::new(&java[0]);
    command.args(&java[1..]).arg(properties).current_dir(folder);
    Process::start("kafka", &mut command)
}

/// Waits for an answer. Tells `false` when a port was taken.
async fn answers(process: &mut Process, address: SocketAddr) -> bool {
    within("kafka to answer", async {
        loop {
            if let Some(status) = process.ended() {
                process.wait().await;
                let log = process.lines().all().join("\n");
                assert!(log.contains("in use"), "kafka ended with {status}:\n{log}");
                return false;
            }
            let answered = tokio::task::spawn_blocking(move || wire::brokers(address));
            if answered.await.expect("the question does not panic").is_some() {
                return true;
            }
            tokio::time::sleep(RETRY).await;
        }
    })
    .await
}

#[cfg(test)]
mod tests;
