//! The broker that all tests of a process share, because one takes seconds to start. Every test has queues of its own.

use std::net::SocketAddr;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::OnceCell;

use super::{Config, Peer, Ports, command, is_amqp};
use crate::patience::until;
use crate::programs;
use crate::server::tethered;

/// A broker that lives as long as the process.
#[derive(Debug)]
pub struct Shared {
    address: SocketAddr,
    queues: AtomicUsize,
    /// Hold the pipes that keep the port mapper and the broker alive.
    _shells: [Child; 2],
}

/// The shared broker, started by whoever asks first.
///
/// # Panics
/// When it cannot be started.
pub async fn shared() -> &'static Shared {
    static BROKER: OnceCell<Shared> = OnceCell::const_new();
    let broker = BROKER.get_or_init(|| async {
        let (address, shells) = tokio::task::spawn_blocking(start).await.expect("the shared broker starts");
        until("the shared broker to answer", async || is_amqp(address).await).await;
        Shared { address, queues: AtomicUsize::new(0), _shells: shells }
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

/// Starts a broker and its port mapper, which would outlive it, so that both end with this process.
fn start() -> (SocketAddr, [Child; 2]) {
    let folder = tempfile::tempdir().expect("a temporary folder").keep();
    let ports = Ports::free();
    Config::new().write(&folder, ports.amqp);
    let mut mapper = Command::new(programs::find("epmd", "erlang-base"));
    mapper.args(["-port", &ports.mapper.to_string()]).env("ERL_EPMD_ADDRESS", "127.0.0.1");
    let shells = [tethered(&mapper, &folder), tethered(&command(&folder, ports), &folder)];
    (ports.amqp, shells)
}
