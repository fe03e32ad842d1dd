//! A TCP proxy between a client and its broker that reads MQTT while it forwards: it knows which
//! PUBLISH was delivered whole to the client and which PUBACK came back, whatever dies later on
//! either side. On request it delays, falls silent, cuts, or leaves the client on a connection whose
//! other end is gone.

mod pump;
mod record;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

pub use record::{Delivered, Record};

use crate::patience::within;

/// What happens to bytes on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mode {
    /// How long every chunk waits, in both directions.
    delay: Duration,
    /// Nothing is forwarded and every socket stays open.
    silent: bool,
    /// New connections are closed at once.
    refusing: bool,
    /// Counts the cuts; a connection ends when it grows.
    cuts: u64,
    /// Counts the abandonments; a connection loses its broker's side when it grows.
    abandoned: u64,
}

/// A running proxy. Dropping it cuts every connection.
pub struct Proxy {
    address: SocketAddr,
    mode: watch::Sender<Mode>,
    record: Arc<Record>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Listens on a free loopback port and forwards to `upstream`, which need not be there yet: a
    /// client that connects meanwhile is closed at once.
    pub async fn start(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let mode =
            watch::Sender::new(Mode { delay: Duration::ZERO, silent: false, refusing: false, cuts: 0, abandoned: 0 });
        let record = Arc::new(Record::default());
        let task = tokio::spawn(accept(listener, upstream, mode.clone(), Arc::clone(&record)));
        Self { address, mode, record, task }
    }

    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What has passed so far.
    #[must_use]
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Holds every chunk back for this long, in both directions.
    pub fn delay(&self, delay: Duration) {
        self.mode.send_modify(|mode| mode.delay = delay);
    }

    /// Forwards nothing more, with every socket left open: a network that drops packets.
    pub fn silence(&self) {
        self.mode.send_modify(|mode| mode.silent = true);
    }

    /// Goes on after [`Proxy::silence`]; nothing was lost meanwhile.
    pub fn resume(&self) {
        self.mode.send_modify(|mode| mode.silent = false);
    }

    /// Closes every connection on both sides, now. New ones are welcome.
    pub fn cut(&self) {
        self.mode.send_modify(|mode| mode.cuts += 1);
    }

    /// Closes the broker's side of every connection and leaves the client's open and unanswered: a
    /// half-open connection, until [`Proxy::cut`].
    pub fn abandon(&self) {
        self.mode.send_modify(|mode| mode.abandoned += 1);
    }

    /// Closes new connections as soon as they are made, or welcomes them again.
    pub fn refuse(&self, refusing: bool) {
        self.mode.send_modify(|mode| mode.refusing = refusing);
    }

    /// Waits until the record satisfies `is_it`.
    pub async fn sees(&self, what: &str, is_it: impl Fn(&Record) -> bool) {
        let mut passed = self.record.passed();
        within(what, passed.wait_for(|_| is_it(&self.record))).await.expect("the record stays");
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, upstream: SocketAddr, mode: watch::Sender<Mode>, record: Arc<Record>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        // Read before anybody can know of the connection, so that whoever does can cut it.
        let (start, mode) = (*mode.borrow(), mode.subscribe());
        if start.refusing {
            continue;
        }
        let connection = record.connected();
        connections.spawn(pump::serve(client, upstream, (start, mode), Arc::clone(&record), connection));
    }
}

#[cfg(test)]
mod tests;
