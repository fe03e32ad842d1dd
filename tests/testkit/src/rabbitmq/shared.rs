//! The broker that all tests of a process share, because one takes seconds to start. Every test has queues of its own.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::OnceCell;

use super::{Config, Peer, Ports, environment, is_amqp, script};
use crate::patience::{LIMIT, RETRY};
use crate::{port, programs};

/// A broker that lives as long as the process.
#[derive(Debug)]
pub struct Shared {
    address: SocketAddr,
    queues: AtomicUsize,
    /// Holds the pipe that keeps the broker alive.
    _shell: Child,
}

/// The shared broker, started by whoever asks first.
///
/// # Panics
/// When it cannot be started.
pub async fn shared() -> &'static Shared {
    static BROKER: OnceCell<Shared> = OnceCell::const_new();
    let broker = BROKER.get_or_init(|| async {
        let (address, shell) = tokio::task::spawn_blocking(start).await.expect("the shared broker starts");
        let up = tokio::time::timeout(LIMIT, async {
            while is_amqp(address).await.is_none() {
                tokio::time::sleep(RETRY).await;
            }
        });
        up.await.expect("the shared broker answers");
        Shared { address, queues: AtomicUsize::new(0), _shell: shell }
    });
    broker.await
}

impl Shared {
    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("amqp://{}", self.address)
    }

    /// A name for a queue or an exchange that no other test has.
    pub fn name(&self) -> String {
        format!("test-{}", self.queues.fetch_add(1, Ordering::Relaxed))
    }

    /// A client.
    pub async fn peer(&self) -> Peer {
        Peer::connect(&self.url(), None).await
    }
}

/// Starts a broker that ends with this process, however that ends: a shell holds the reading end of a pipe whose other end
/// nobody but this process has, and when it is closed, kills the broker and its port mapper and removes their folder.
fn start() -> (SocketAddr, Child) {
    let folder = tempfile::tempdir().expect("a temporary folder").keep();
    let ports = Ports { amqp: port::free(), distribution: port::free().port(), mapper: port::free().port() };
    Config::new().write(&folder, ports.amqp);
    let mapper = programs::find("epmd", "erlang-base");
    let commands = "folder=$1; \"$2\" -port \"$ERL_EPMD_PORT\" & mapper=$!; \
                    \"$3\" </dev/null >\"$folder/broker.log\" 2>&1 & broker=$!; \
                    read -r _; kill -9 $broker $mapper; wait; rm -rf \"$folder\"";
    let mut command = Command::new("sh");
    environment(&mut command, &folder, ports);
    let shell = command
        .args(["-c", commands, "sh"])
        .args([&folder, &mapper, &script()])
        .env("RUNNING_UNDER_SYSTEMD", "true")
        .env("RABBITMQ_DIST_PORT", ports.distribution.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn();
    (ports.amqp, shell.expect("a shell starts"))
}
