//! What a proxy has seen pass. A PUBLISH is in it only when every byte of it has been written to the
//! client, a PUBACK only when every byte of it has come from the client.

use std::collections::HashSet;

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::client::id_of;
use crate::packet::{Frame, Kind, Publish};

/// One PUBLISH that the client got whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    /// Which connection it came on, counted from one.
    pub connection: u64,
    /// Zero at QoS 0.
    pub packet_id: u16,
    /// The topic.
    pub topic: String,
    /// The id that the test gave the message; see [`crate::client::Message::id`].
    pub id: String,
    /// Whether its PUBACK came back whole, on the same connection.
    pub acknowledged: bool,
}

/// Everything that has passed, in order.
#[derive(Debug, Default)]
pub struct Record {
    delivered: Mutex<Vec<Delivered>>,
    connections: Mutex<u64>,
    passed: watch::Sender<u64>,
}

impl Record {
    /// Every PUBLISH delivered whole, redeliveries included.
    #[must_use]
    pub fn delivered(&self) -> Vec<Delivered> {
        self.delivered.lock().clone()
    }

    /// The ids of the messages delivered whole.
    #[must_use]
    pub fn delivered_ids(&self) -> HashSet<String> {
        self.delivered.lock().iter().map(|one| one.id.clone()).collect()
    }

    /// The ids of the messages whose PUBACK came back whole.
    #[must_use]
    pub fn acknowledged_ids(&self) -> HashSet<String> {
        let delivered = self.delivered.lock();
        delivered.iter().filter(|one| one.acknowledged).map(|one| one.id.clone()).collect()
    }

    /// How many PUBLISH were delivered whole, redeliveries included.
    #[must_use]
    pub fn deliveries(&self) -> usize {
        self.delivered.lock().len()
    }

    /// How many connections were welcomed.
    #[must_use]
    pub fn connections(&self) -> u64 {
        *self.connections.lock()
    }

    pub(super) fn passed(&self) -> watch::Receiver<u64> {
        self.passed.subscribe()
    }

    pub(super) fn connected(&self) -> u64 {
        let mut connections = self.connections.lock();
        *connections += 1;
        let number = *connections;
        drop(connections);
        self.passed.send_modify(|passed| *passed += 1);
        number
    }

    pub(super) fn note_delivered(&self, connection: u64, publish: &Publish) {
        self.delivered.lock().push(Delivered {
            connection,
            packet_id: publish.packet_id,
            topic: publish.topic.clone(),
            id: id_of(&publish.user_properties, &publish.payload),
            acknowledged: false,
        });
        self.passed.send_modify(|passed| *passed += 1);
    }

    pub(super) fn note_from_client(&self, connection: u64, frame: &Frame) {
        if frame.kind == Kind::Puback && frame.body().len() >= 2 {
            let packet_id = frame.packet_id();
            // The newest delivery with this id on this connection is the one that is meant.
            let mut delivered = self.delivered.lock();
            let meant = delivered.iter_mut().rev().take_while(|one| one.connection == connection);
            if let Some(one) = meant.into_iter().find(|one| one.packet_id == packet_id) {
                one.acknowledged = true;
            }
        }
        self.passed.send_modify(|passed| *passed += 1);
    }
}
