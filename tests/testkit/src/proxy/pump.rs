//! One connection through the proxy. Bytes are forwarded as they come, because holding back the
//! start of a packet would hide how peers treat half of one.

use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::watch;

use super::{Mode, Tap, Traffic};

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    ToBroker,
    ToClient,
}

/// One direction of one connection.
struct Pump {
    way: Way,
    mode: watch::Receiver<Mode>,
    traffic: watch::Sender<Traffic>,
    tap: Arc<Mutex<Option<Box<dyn Tap>>>>,
}

/// How forwarding ended.
enum End {
    Closed,
    /// The broker's side is gone.
    Abandoned,
    /// Both sides stand, and nothing passes.
    Hung,
}

/// Forwards until the client has gone, the broker has gone, or the proxy cuts. The client's side is
/// always closed by an end of stream and then read to its own end: a reset would throw away what
/// was delivered. What is done to connections is what was done since the mode was as it is given first.
pub(super) async fn serve(
    client: TcpStream,
    upstream: SocketAddr,
    (start, mut mode): (Mode, watch::Receiver<Mode>),
    traffic: watch::Sender<Traffic>,
    tap: Option<Box<dyn Tap>>,
) {
    let Ok(broker) = TcpStream::connect(upstream).await else {
        return;
    };
    // Small packets must not wait for each other on a path that is measured.
    let _ = (client.set_nodelay(true), broker.set_nodelay(true));
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_broker, mut to_broker) = broker.into_split();
    let tap = Arc::new(Mutex::new(tap));
    let pump = |way| Pump { way, mode: mode.clone(), traffic: traffic.clone(), tap: Arc::clone(&tap) };
    let (mut up, mut down) = (pump(Way::ToBroker), pump(Way::ToClient));
    let (abandoned, hung) = (
        changed(mode.clone(), move |mode| mode.abandoned != start.abandoned),
        changed(mode.clone(), move |mode| mode.hung != start.hung),
    );
    let forwarding = async {
        let to_the_broker = async {
            up.forward(&mut from_client, &mut to_broker).await;
            let _ = to_broker.shutdown().await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = to_the_broker => {}
            () = down.forward(&mut from_broker, &mut to_client) => {}
        }
        // A client that has gone may have said something last. Closing while the broker still writes would be a reset,
        // which throws it away.
        swallow(&mut from_broker).await;
    };
    let end = tokio::select! {
        biased;
        _ = mode.wait_for(|mode| mode.cuts != start.cuts) => End::Closed,
        () = abandoned => End::Abandoned,
        () = hung => End::Hung,
        () = forwarding => End::Closed,
    };
    if matches!(end, End::Hung) {
        let _ = mode.wait_for(|mode| mode.cuts != start.cuts).await;
    }
    drop((from_broker, to_broker));
    if matches!(end, End::Abandoned) {
        let _ = mode.wait_for(|mode| mode.cuts != start.cuts).await;
    }
    let _ = to_client.shutdown().await;
    up.drain(&mut from_client).await;
}

/// Reads to the end what nobody is there for.
async fn swallow(from: &mut OwnedReadHalf) {
    let mut bytes = vec![0; 64 * 1024];
    while let Ok(1..) = from.read(&mut bytes).await {}
}

async fn changed(mut mode: watch::Receiver<Mode>, is_it: impl Fn(&Mode) -> bool) {
    // A proxy that is gone cuts; that is another branch's business.
    if mode.wait_for(is_it).await.is_err() {
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
            // What a client has sent is known before anything is done about it.
            if self.way == Way::ToBroker {
                self.note(&bytes[..read]);
            }
            let delay = self.mode.borrow().delay;
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            if self.mode.wait_for(|mode| !mode.silent).await.is_err() {
                return;
            }
            if to.write_all(&bytes[..read]).await.is_err() {
                return;
            }
            if self.way == Way::ToClient {
                self.note(&bytes[..read]);
            }
        }
    }

    /// Reads what still comes from a client that has been told the end, so that its socket closes without a reset.
    async fn drain(&mut self, from: &mut OwnedReadHalf) {
        let mut bytes = vec![0; 64 * 1024];
        while let Ok(read @ 1..) = from.read(&mut bytes).await {
            self.note(&bytes[..read]);
        }
    }

    fn note(&mut self, bytes: &[u8]) {
        if let Some(tap) = &mut *self.tap.lock() {
            match self.way {
                Way::ToBroker => tap.said(bytes),
                Way::ToClient => tap.heard(bytes),
            }
        }
        let count = bytes.len() as u64;
        self.traffic.send_modify(|traffic| match self.way {
            Way::ToBroker => traffic.from_clients += count,
            Way::ToClient => traffic.to_clients += count,
        });
    }
}
