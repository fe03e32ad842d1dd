//! A TCP proxy between a client and its broker that knows no protocol. On request it delays, falls silent, cuts, lets a
//! connection hang half open in one of two ways, or is not there at all. It counts what passes, so that a test awaits what
//! has happened instead of sleeping; a [`Tap`] lets somebody read along who knows the protocol.

mod pump;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::patience::{RETRY, within};
use crate::port;

/// What happens to bytes on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Mode {
    /// How long every chunk waits, in both directions.
    delay: Duration,
    /// Nothing is forwarded and every socket stays open.
    silent: bool,
    /// New connections are closed at once.
    refusing: bool,
    /// Nobody listens.
    absent: bool,
    /// Counts the cuts; a connection ends when it grows.
    cuts: u64,
    /// Counts the abandonments; a connection loses its broker's side when it grows.
    abandoned: u64,
    /// Counts the times that connections were left hanging; a connection carries nothing more when it grows.
    hung: u64,
}

/// What has passed so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Connections that were welcomed.
    pub connections: u64,
    /// Bytes that clients have sent, forwarded or not.
    pub from_clients: u64,
    /// Bytes that were written to clients.
    pub to_clients: u64,
}

/// Somebody who reads along on one connection.
pub(crate) trait Tap: Send {
    /// Bytes that the client has sent, before they are forwarded.
    fn said(&mut self, bytes: &[u8]);
    /// Bytes that were written to the client.
    fn heard(&mut self, bytes: &[u8]);
}

/// Makes a tap for a new connection.
pub(crate) type Taps = Arc<dyn Fn() -> Box<dyn Tap> + Send + Sync>;

/// A running proxy. Dropping it cuts every connection.
pub struct Proxy {
    address: SocketAddr,
    mode: watch::Sender<Mode>,
    traffic: watch::Sender<Traffic>,
    listening: watch::Receiver<bool>,
    task: JoinHandle<()>,
}

/// What every connection shares.
#[derive(Clone)]
struct Shared {
    upstream: SocketAddr,
    mode: watch::Sender<Mode>,
    traffic: watch::Sender<Traffic>,
    taps: Option<Taps>,
}

impl Proxy {
    /// Listens on a free loopback port and forwards to `upstream`, which need not be there yet: a
    /// client that connects meanwhile is closed at once.
    pub async fn start(upstream: SocketAddr) -> Self {
        Self::tapped(upstream, None).await
    }

    /// The same, with somebody who reads along.
    pub(crate) async fn tapped(upstream: SocketAddr, taps: Option<Taps>) -> Self {
        // Kept free for it while it is not there.
        let address = port::free();
        let listener = TcpListener::bind(address).await.expect("a free port");
        let shared = Shared { upstream, mode: watch::Sender::default(), traffic: watch::Sender::default(), taps };
        let (mode, traffic) = (shared.mode.clone(), shared.traffic.clone());
        let (said, listening) = watch::channel(true);
        let task = tokio::spawn(serve(listener, address, shared, said));
        Self { address, mode, traffic, listening, task }
    }

    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What has passed so far.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        *self.traffic.borrow()
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

    /// Closes the broker's side of every connection and leaves the client's open and unanswered: a broker whose machine is
    /// gone, until [`Proxy::cut`]. New ones are welcome.
    pub fn abandon(&self) {
        self.mode.send_modify(|mode| mode.abandoned += 1);
    }

    /// Forwards nothing more on any connection that there is and tells neither side: a path that has forgotten them, until
    /// [`Proxy::cut`]. New ones are welcome.
    pub fn hang(&self) {
        self.mode.send_modify(|mode| mode.hung += 1);
    }

    /// Closes new connections as soon as they are made, or welcomes them again.
    pub fn refuse(&self, refusing: bool) {
        self.mode.send_modify(|mode| mode.refusing = refusing);
    }

    /// Cuts, and listens no more: nobody is there, until [`Proxy::come_back`].
    pub async fn leave(&self) {
        self.mode.send_modify(|mode| {
            mode.cuts += 1;
            mode.absent = true;
        });
        self.listens(false).await;
    }

    /// Listens again on the same port.
    pub async fn come_back(&self) {
        self.mode.send_modify(|mode| mode.absent = false);
        self.listens(true).await;
    }

    async fn listens(&self, wanted: bool) {
        let mut listening = self.listening.clone();
        within("the proxy's port", listening.wait_for(|is| *is == wanted)).await.expect("the proxy runs");
    }

    /// Waits until what has passed satisfies `is_it`.
    pub async fn sees(&self, what: &str, is_it: impl Fn(&Traffic) -> bool) {
        let mut traffic = self.traffic.subscribe();
        within(what, traffic.wait_for(|traffic| is_it(traffic))).await.expect("the count stays");
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Listens whenever it is to be there.
async fn serve(listener: TcpListener, address: SocketAddr, shared: Shared, said: watch::Sender<bool>) {
    let mut mode = shared.mode.subscribe();
    let mut connections = JoinSet::new();
    let mut present = Some(listener);
    loop {
        let listener = match present.take() {
            Some(listener) => listener,
            None => within("the proxy's port to be free again", again(address)).await,
        };
        said.send_replace(true);
        tokio::select! {
            biased;
            _ = mode.wait_for(|mode| mode.absent) => {}
            () = accept(&listener, &shared, &mut connections) => return,
        }
        drop(listener);
        said.send_replace(false);
        if mode.wait_for(|mode| !mode.absent).await.is_err() {
            return;
        }
    }
}

/// The kernel may need a moment to let go of what was there before.
async fn again(address: SocketAddr) -> TcpListener {
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => return listener,
            Err(_) => tokio::time::sleep(RETRY).await,
        }
    }
}

async fn accept(listener: &TcpListener, shared: &Shared, connections: &mut JoinSet<()>) {
    while let Ok((client, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        // Read before anybody can know of the connection, so that whoever does can cut it.
        let mode = shared.mode.subscribe();
        let start = *mode.borrow();
        if start.refusing {
            continue;
        }
        let tap = shared.taps.as_ref().map(|tap| tap());
        shared.traffic.send_modify(|traffic| traffic.connections += 1);
        connections.spawn(pump::serve(client, shared.upstream, (start, mode), shared.traffic.clone(), tap));
    }
}

#[cfg(test)]
mod tests;
