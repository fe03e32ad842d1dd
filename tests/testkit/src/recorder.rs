//! A proxy that reads MQTT while it forwards: it knows which PUBLISH was delivered whole to the client and which PUBACK
//! came back, whatever dies later on either side. What is done to the connections is the [`Proxy`]'s.

mod record;

use std::net::SocketAddr;
use std::sync::Arc;

pub use record::{Delivered, Record};

use crate::packet::{Framer, Kind, Version};
use crate::patience::within;
use crate::proxy::{Proxy, Tap};

/// A running recorder. Dropping it cuts every connection.
pub struct Recorder {
    network: Proxy,
    record: Arc<Record>,
}

impl Recorder {
    /// Listens on a free loopback port and forwards to `upstream`, which need not be there yet.
    pub async fn start(upstream: SocketAddr) -> Self {
        let record = Arc::new(Record::default());
        let taps = Arc::clone(&record);
        let network = Proxy::tapped(upstream, Some(Arc::new(move || Box::new(Reader::new(&taps))))).await;
        Self { network, record }
    }

    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.network.address()
    }

    /// What can be done to the connections.
    #[must_use]
    pub fn network(&self) -> &Proxy {
        &self.network
    }

    /// What has passed so far.
    #[must_use]
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Waits until the record satisfies `is_it`.
    pub async fn sees(&self, what: &str, is_it: impl Fn(&Record) -> bool) {
        let mut passed = self.record.passed();
        within(what, passed.wait_for(|_| is_it(&self.record))).await.expect("the record stays");
    }
}

/// Reads both directions of one connection.
struct Reader {
    connection: u64,
    up: Framer,
    down: Framer,
    version: Version,
    record: Arc<Record>,
}

impl Reader {
    fn new(record: &Arc<Record>) -> Self {
        let connection = record.connected();
        let (up, down) = (Framer::default(), Framer::default());
        Self { connection, up, down, version: Version::V5, record: Arc::clone(record) }
    }
}

/// Every whole packet is put into the record: what comes from the client as soon as it has been read, what goes to the
/// client when it has been written.
impl Tap for Reader {
    fn said(&mut self, bytes: &[u8]) {
        self.up.feed(bytes);
        while let Ok(Some(frame)) = self.up.next_frame() {
            if frame.kind == Kind::Connect {
                self.version = frame.version();
            }
            self.record.note_from_client(self.connection, &frame);
        }
    }

    fn heard(&mut self, bytes: &[u8]) {
        self.down.feed(bytes);
        while let Ok(Some(frame)) = self.down.next_frame() {
            if let Some(publish) = frame.publish(self.version) {
                self.record.note_delivered(self.connection, &publish);
            }
        }
    }
}

#[cfg(test)]
mod tests;
