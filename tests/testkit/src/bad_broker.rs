//! A broker that breaks the rules by a script: it closes at once, refuses, sends what no broker may
//! send, or says nothing. It counts connections, so that a test can tell a client that backs off
//! from one that spins.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::packet::{Frame, Framer, Kind, Version, connack, disconnect, pingresp, publish, suback};
use crate::patience::within;

/// One thing that the broker does on a connection. Everything that the client sends is read
/// meanwhile and PINGREQ is answered, except by a broker that plays dead.
#[derive(Debug, Clone)]
pub enum Step {
    /// Reads until a packet of this type has come.
    Await(Kind),
    /// CONNACK with this code; above zero it refuses.
    Connack(u8),
    /// CONNACK that announces an existing session.
    Resume,
    /// SUBACK for the SUBSCRIBE that was awaited last, granting this many filters.
    Suback(usize),
    /// PUBLISH at QoS 1, or at QoS 0 when the packet id is zero.
    Publish {
        /// Any text, legal or not.
        topic: String,
        /// Zero for QoS 0.
        packet_id: u16,
        /// Any bytes.
        payload: Vec<u8>,
    },
    /// Any bytes at all.
    Raw(Bytes),
    /// DISCONNECT with a reason of MQTT 5.
    Disconnect(u8),
    /// Reads and answers PINGREQ until the client leaves.
    Serve,
    /// Reads and answers nothing, PINGREQ included, until the client leaves.
    PlayDead,
}

/// What a broker does with one connection, in order; then it closes.
pub type Script = Vec<Step>;

/// A running bad broker. Dropping it cuts every connection.
pub struct BadBroker {
    address: SocketAddr,
    connections: watch::Receiver<usize>,
    seen: Arc<Mutex<Vec<Frame>>>,
    task: JoinHandle<()>,
}

impl BadBroker {
    /// Plays the first script to the first connection, and so on; the last one goes to all others.
    pub async fn start(scripts: Vec<Script>) -> Self {
        assert!(!scripts.is_empty(), "a bad broker needs a script");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let (count, connections) = watch::channel(0);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let task = tokio::spawn(accept(listener, scripts, count, Arc::clone(&seen)));
        Self { address, connections, seen, task }
    }

    /// Closes every connection before a word is said.
    pub async fn that_closes_at_once() -> Self {
        Self::start(vec![Vec::new()]).await
    }

    /// Answers every CONNECT with this code: 5 (3.1.1) and 0x87 (5) for not authorised, 4 and 0x86
    /// for a wrong password, 2 and 0x85 for a client id it does not like.
    pub async fn that_refuses(code: u8) -> Self {
        Self::start(vec![vec![Step::Await(Kind::Connect), Step::Connack(code)]]).await
    }

    /// Welcomes a client, grants one filter, and then does these things and goes on serving.
    pub async fn that_then(steps: impl IntoIterator<Item = Step>) -> Self {
        Self::start(vec![welcome(steps)]).await
    }

    /// Sends this many QoS 1 messages at once, whatever receive maximum the client asked for.
    pub async fn that_ignores_receive_maximum(messages: u16) -> Self {
        let message = |packet_id| Step::Publish {
            topic: "v1/demo/veh-1/telemetry".to_owned(),
            packet_id,
            payload: packet_id.to_string().into_bytes(),
        };
        Self::that_then((1..=messages).map(message)).await
    }

    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections have been made.
    #[must_use]
    pub fn connections(&self) -> usize {
        *self.connections.borrow()
    }

    /// Waits until this many connections have been made.
    pub async fn connected(&self, times: usize) {
        let mut connections = self.connections.clone();
        within("another connection", connections.wait_for(|count| *count >= times))
            .await
            .expect("the broker keeps the other end");
    }

    /// Every packet that clients have sent.
    #[must_use]
    pub fn seen(&self) -> Vec<Frame> {
        self.seen.lock().clone()
    }
}

/// The steps of a good start, then these, then serving for ever.
#[must_use]
pub fn welcome(steps: impl IntoIterator<Item = Step>) -> Script {
    let mut script = vec![Step::Await(Kind::Connect), Step::Connack(0), Step::Await(Kind::Subscribe), Step::Suback(1)];
    script.extend(steps);
    script.push(Step::Serve);
    script
}

impl Drop for BadBroker {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(
    listener: TcpListener,
    scripts: Vec<Script>,
    count: watch::Sender<usize>,
    seen: Arc<Mutex<Vec<Frame>>>,
) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        let script = scripts[(*count.borrow()).min(scripts.len() - 1)].clone();
        let player =
            Player { client, framer: Framer::default(), version: Version::V5, packet_id: 0, seen: Arc::clone(&seen) };
        connections.spawn(player.play(script));
        count.send_modify(|count| *count += 1);
    }
}

/// One connection and what is known about it.
struct Player {
    client: TcpStream,
    framer: Framer,
    version: Version,
    /// Of the SUBSCRIBE awaited last.
    packet_id: u16,
    seen: Arc<Mutex<Vec<Frame>>>,
}

impl Player {
    async fn play(mut self, script: Script) {
        for step in script {
            if self.step(step).await.is_none() {
                return;
            }
        }
    }

    /// Does one step, or tells `None` when the client has left.
    async fn step(&mut self, step: Step) -> Option<()> {
        let bytes = match step {
            Step::Await(kind) => return self.await_packet(kind).await,
            Step::Connack(code) => connack(self.version, false, code, None),
            Step::Resume => connack(self.version, true, 0, None),
            Step::Suback(filters) => suback(self.version, self.packet_id, filters),
            Step::Publish { topic, packet_id, payload } => publish(self.version, &topic, packet_id, &payload),
            Step::Raw(bytes) => bytes,
            Step::Disconnect(reason) => disconnect(self.version, reason),
            Step::Serve => loop {
                self.next_packet().await?;
            },
            Step::PlayDead => loop {
                let mut nowhere = [0; 4096];
                self.client.read(&mut nowhere).await.ok().filter(|read| *read > 0)?;
            },
        };
        self.client.write_all(&bytes).await.ok()
    }

    async fn await_packet(&mut self, kind: Kind) -> Option<()> {
        loop {
            let frame = self.next_packet().await?;
            if frame.kind == Kind::Connect {
                self.version = frame.version();
            }
            if frame.kind == Kind::Subscribe {
                self.packet_id = frame.packet_id();
            }
            if frame.kind == kind {
                return Some(());
            }
        }
    }

    async fn next_packet(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.framer.next_frame().ok()? {
                self.seen.lock().push(frame.clone());
                if frame.kind == Kind::Pingreq {
                    self.client.write_all(&pingresp()).await.ok()?;
                }
                return Some(frame);
            }
            let mut bytes = vec![0; 16 * 1024];
            let read = self.client.read(&mut bytes).await.ok().filter(|read| *read > 0)?;
            self.framer.feed(&bytes[..read]);
        }
    }
}

#[cfg(test)]
mod tests;
