//! A broker that only writes PUBLISH frames, as fast as its window and the socket allow, and reads
//! the PUBACKs. Behind it the client under test is the limit, not the broker; a chart drawn with it
//! has to say so. It keeps no session and has no topics: whoever subscribes gets everything.

mod connection;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::patience::within;

/// What a stub sends.
#[derive(Debug, Clone)]
pub struct Load {
    /// Topics and payloads, sent round and round.
    pub messages: Vec<(String, Vec<u8>)>,
    /// How many are sent on one connection before it falls silent; `u64::MAX` for no end.
    pub count: u64,
    /// QoS 1 with this many unacknowledged at most, or QoS 0 with `None`.
    pub window: Option<u16>,
}

/// A running stub. Dropping it cuts every connection.
pub struct StubBroker {
    address: SocketAddr,
    counts: Arc<Counts>,
    task: JoinHandle<()>,
}

/// What has happened on all connections together.
#[derive(Debug, Default)]
struct Counts {
    written: AtomicU64,
    acknowledged: AtomicU64,
    subscribed: AtomicU64,
    /// Told after each batch, so that a waiter costs the hot path one check.
    changed: watch::Sender<()>,
}

impl StubBroker {
    /// Listens on a free loopback port. The load starts for each client when it subscribes.
    pub async fn start(load: Load) -> Self {
        assert!(!load.messages.is_empty(), "a load needs a message");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let counts = Arc::new(Counts::default());
        let task = tokio::spawn(accept(listener, Arc::new(load), Arc::clone(&counts)));
        Self { address, counts, task }
    }

    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many PUBLISH have been written whole.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.counts.written.load(Ordering::Relaxed)
    }

    /// How many PUBACKs have been read.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.counts.acknowledged.load(Ordering::Relaxed)
    }

    /// Waits until this many clients have subscribed.
    pub async fn subscribed(&self, clients: u64) {
        self.reaches("a subscriber", &self.counts.subscribed, clients).await;
    }

    /// Waits until this many PUBACKs have been read.
    pub async fn acknowledges(&self, messages: u64) {
        let what = format!("{messages} acknowledgements");
        self.reaches(&what, &self.counts.acknowledged, messages).await;
    }

    async fn reaches(&self, what: &str, counter: &AtomicU64, value: u64) {
        let mut changed = self.counts.changed.subscribe();
        within(what, changed.wait_for(|()| counter.load(Ordering::Relaxed) >= value))
            .await
            .expect("the stub keeps the other end");
    }
}

impl Drop for StubBroker {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, load: Arc<Load>, counts: Arc<Counts>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        connections.spawn(connection::serve(client, Arc::clone(&load), Arc::clone(&counts)));
    }
}

#[cfg(test)]
mod tests;
