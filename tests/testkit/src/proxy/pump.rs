//! One connection through the proxy. Bytes are forwarded as they come, because holding back the
//! start of a packet would hide how peers treat half of one; only the record waits for the end.

use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::watch;

use super::Mode;
use super::record::Record;
use crate::packet::{Framer, Kind, Version};

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    ToBroker,
    ToClient,
}

/// One direction of one connection.
struct Pump {
    way: Way,
    connection: u64,
    framer: Framer,
    version: Arc<Mutex<Version>>,
    mode: watch::Receiver<Mode>,
    record: Arc<Record>,
}

/// Forwards until the client has gone, the broker has gone, or the proxy cuts. The client's side is
/// always closed by an end of stream and then read to its own end: a reset would throw away what
/// the record says was delivered. Cuts and abandonments are those since the mode was as it is given first.
pub(super) async fn serve(
    client: TcpStream,
    upstream: SocketAddr,
    (start, mut mode): (Mode, watch::Receiver<Mode>),
    record: Arc<Record>,
    connection: u64,
) {
    let Ok(broker) = TcpStream::connect(upstream).await else {
        return;
    };
    // Small packets must not wait for each other on a path that is measured.
    let _ = (client.set_nodelay(true), broker.set_nodelay(true));
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_broker, mut to_broker) = broker.into_split();
    let version = Arc::new(Mutex::new(Version::V5));
    let pump = |way| Pump {
        way,
        connection,
        framer: Framer::default(),
        version: Arc::clone(&version),
        mode: mode.clone(),
        record: Arc::clone(&record),
    };
    let (mut up, mut down) = (pump(Way::ToBroker), pump(Way::ToClient));
    let abandoned = abandoned(mode.clone(), start);
    let half_open = tokio::select! {
        biased;
        _ = mode.wait_for(|mode| mode.cuts != start.cuts) => false,
        () = abandoned => true,
        () = up.forward(&mut from_client, &mut to_broker) => false,
        () = down.forward(&mut from_broker, &mut to_client) => false,
    };
    drop((from_broker, to_broker));
    if half_open {
        let _ = mode.wait_for(|mode| mode.cuts != start.cuts).await;
    }
    let _ = to_client.shutdown().await;
    up.drain(&mut from_client).await;
}

async fn abandoned(mut mode: watch::Receiver<Mode>, start: Mode) {
    // A proxy that is gone cuts; that is the other branch's business.
    if mode.wait_for(|mode| mode.abandoned != start.abandoned).await.is_err() {
        std::future::pending::<()>().await;
    }
}

impl Pump {
    async fn forward(&mut self, from: &mut OwnedReadHalf, to: &mut OwnedWriteHalf) {
        let mut bytes = vec![0; 64 * 1024];
        loop {
            let Ok(read @ 1..) = from.read(&mut bytes).await else {
                return;
            };
            let delay = self.mode.borrow().delay;
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            if self.mode.wait_for(|mode| !mode.silent).await.is_err() {
                return;
            }
            self.framer.feed(&bytes[..read]);
            if self.way == Way::ToBroker {
                self.note();
            }
            if to.write_all(&bytes[..read]).await.is_err() {
                return;
            }
            if self.way == Way::ToClient {
                self.note();
            }
        }
    }

    /// Reads what still comes from a client that has been told the end, so that its PUBACKs are in
    /// the record and its socket closes without a reset.
    async fn drain(&mut self, from: &mut OwnedReadHalf) {
        let mut bytes = vec![0; 64 * 1024];
        while let Ok(read @ 1..) = from.read(&mut bytes).await {
            self.framer.feed(&bytes[..read]);
            self.note();
        }
    }

    /// Puts every whole packet into the record: what comes from the client as soon as it has been
    /// read, what goes to the client when it has been written.
    fn note(&mut self) {
        while let Ok(Some(frame)) = self.framer.next_frame() {
            match self.way {
                Way::ToBroker => {
                    if frame.kind == Kind::Connect {
                        *self.version.lock() = frame.version();
                    }
                    self.record.note_from_client(self.connection, &frame);
                }
                Way::ToClient => {
                    if let Some(publish) = frame.publish(*self.version.lock()) {
                        self.record.note_delivered(self.connection, &publish);
                    }
                }
            }
        }
    }
}
