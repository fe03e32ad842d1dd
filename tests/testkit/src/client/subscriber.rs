//! A subscriber that remembers every delivery. With its own session it is the control in a loss
//! test: what the broker lost for it, no engine could have kept.

use std::collections::HashSet;
use std::sync::Arc;

use mqtt5::mqttbytes::v5::Publish;
use mqtt5::{AckMode, AsyncClient, Incoming, QoS};
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};

use super::connection::Connection;
use super::message::Message;
use super::settings::Settings;
use crate::patience::within;

/// When a subscriber acknowledges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acks {
    /// As each message arrives.
    AtOnce,
    /// Only when [`Subscriber::acknowledge`] is called.
    Withheld,
}

/// A client that only subscribes, at QoS 1, and reconnects by itself.
pub struct Subscriber {
    client: AsyncClient,
    connection: Connection,
    received: Arc<Mutex<Vec<Message>>>,
    count: watch::Receiver<usize>,
    unacked: mpsc::UnboundedReceiver<Publish>,
}

/// Acknowledgements that may wait in the client.
const QUEUE: usize = 65_536;

impl Subscriber {
    /// Connects, subscribes, and returns once the broker has granted the subscription.
    pub async fn connect(settings: Settings, filters: &[&str], acks: Acks) -> Self {
        let mut options = settings.into_options();
        if acks == Acks::Withheld {
            options.set_ack_mode(AckMode::Manual);
        }
        let (client, events) = AsyncClient::builder(options).capacity(QUEUE).build();
        let received = Arc::new(Mutex::new(Vec::new()));
        let (told, count) = watch::channel(0);
        // Bounded by what the test sends; a bound of its own would deadlock the poll loop.
        #[allow(clippy::disallowed_methods, reason = "a test's own messages bound it")]
        let (keep, unacked) = mpsc::unbounded_channel();
        let memory = Arc::clone(&received);
        let connection = Connection::drive(events, move |packet| {
            if let Incoming::Publish(publish) = packet {
                memory.lock().push(Message::read(publish));
                if acks == Acks::Withheld {
                    // The subscriber may be gone already; then nobody will acknowledge.
                    let _ = keep.send(publish.clone());
                }
                told.send_modify(|count| *count += 1);
            }
        });
        connection.reaches("the subscriber to connect", |state| state.connected).await;
        for filter in filters {
            let granted = client.subscribe_tracked(*filter, QoS::AtLeastOnce).await;
            within("a subscription", granted.expect("the driver lives").wait_completion_async())
                .await
                .unwrap_or_else(|error| panic!("the broker refused `{filter}`: {error}"));
        }
        Self { client, connection, received, count, unacked }
    }

    /// Every delivery so far, in order, redeliveries included.
    #[must_use]
    pub fn received(&self) -> Vec<Message> {
        self.received.lock().clone()
    }

    /// Every delivery after the first `seen`.
    #[must_use]
    pub fn since(&self, seen: usize) -> Vec<Message> {
        self.received.lock().get(seen..).unwrap_or_default().to_vec()
    }

    /// The ids received so far.
    #[must_use]
    pub fn ids(&self) -> HashSet<String> {
        self.received.lock().iter().map(|message| message.id.clone()).collect()
    }

    /// Waits for a delivery after the first `seen`, however long that takes.
    pub async fn more_than(&self, seen: usize) {
        let mut count = self.count.clone();
        count.wait_for(|count| *count > seen).await.expect("the driver lives as long as its connection");
    }

    /// Waits until `count` deliveries have arrived, redeliveries included.
    pub async fn deliveries(&self, count: usize) {
        self.arrived(&format!("{count} deliveries"), |received| received.len() >= count).await;
    }

    /// Waits until what has been received satisfies `enough`.
    pub async fn arrived(&self, what: &str, enough: impl Fn(&[Message]) -> bool) {
        let mut count = self.count.clone();
        let waiting = count.wait_for(|_| enough(&self.received.lock()));
        within(what, waiting).await.expect("the driver lives as long as its connection");
    }

    /// Whether the broker still had this client's session when it last connected.
    #[must_use]
    pub fn session_present(&self) -> bool {
        self.connection.state().session_present
    }

    /// Waits until the broker has accepted this client `times` times.
    pub async fn connected(&self, times: u64) {
        self.connection.reaches("a reconnect", |state| state.connects >= times).await;
    }

    /// Acknowledges everything withheld so far, in the order of arrival, and returns how many.
    pub async fn acknowledge(&mut self) -> usize {
        let mut acknowledged = 0;
        while let Ok(publish) = self.unacked.try_recv() {
            self.client.ack(&publish).await.expect("the driver lives");
            acknowledged += 1;
        }
        acknowledged
    }

    /// Ends the connection with a DISCONNECT; the broker keeps the session unless it is clean.
    pub async fn close(self) -> Vec<Message> {
        self.client.disconnect().await.expect("the driver lives");
        self.connection.ended().await;
        self.received.lock().clone()
    }
}
