//! A publisher that knows what became of every message it sent. Only what was confirmed counts as
//! sent: a test that counts attempts proves nothing about loss.

use std::sync::Arc;

use mqtt5::mqttbytes::v5::PublishProperties;
use mqtt5::{AsyncClient, PublishOptions, QoS};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::connection::Connection;
use super::settings::Settings;
use crate::patience::within;

/// What became of the messages of one publisher, by id.
#[derive(Debug, Default, Clone)]
pub struct Fates {
    /// The broker acknowledged these, in the order of the acknowledgements.
    pub confirmed: Vec<String>,
    /// The broker refused these, or its session was gone before it had acknowledged them; it may
    /// have delivered them all the same.
    pub unconfirmed: Vec<(String, String)>,
}

/// A client that only publishes at QoS 1, and reconnects by itself.
pub struct Publisher {
    client: AsyncClient,
    connection: Connection,
    fates: Arc<Mutex<Fates>>,
    open: watch::Sender<usize>,
}

/// Messages that may wait in the client for the broker's window.
const QUEUE: usize = 1024;

impl Publisher {
    /// Connects, and returns once the broker has accepted the connection.
    pub async fn connect(settings: Settings) -> Self {
        let (client, events) = AsyncClient::builder(settings.into_options()).capacity(QUEUE).build();
        let connection = Connection::drive(events, |_| {});
        connection.reaches("the publisher to connect", |state| state.connected).await;
        Self { client, connection, fates: Arc::default(), open: watch::Sender::new(0) }
    }

    /// Sends one message and returns as soon as the client has taken it.
    pub async fn send(&self, id: &str, topic: &str, payload: impl Into<Vec<u8>>) {
        self.send_with(id, topic, payload, PublishProperties::default()).await;
    }

    /// [`Publisher::send`] with MQTT 5 properties.
    pub async fn send_with(&self, id: &str, topic: &str, payload: impl Into<Vec<u8>>, properties: PublishProperties) {
        let options = PublishOptions::new(QoS::AtLeastOnce).properties(properties);
        let taken = self.client.publish_tracked(topic, payload.into(), options);
        let notice = within("room in the publisher", taken).await.expect("the driver lives");
        self.open.send_modify(|open| *open += 1);
        let (id, fates, open) = (id.to_owned(), Arc::clone(&self.fates), self.open.clone());
        tokio::spawn(async move {
            match notice.wait_completion_async().await {
                Ok(()) => fates.lock().confirmed.push(id),
                Err(error) => fates.lock().unconfirmed.push((id, error.to_string())),
            }
            open.send_modify(|open| *open -= 1);
        });
    }

    /// Waits until every message sent so far has met its fate, and tells it.
    pub async fn settle(&self) -> Fates {
        let mut open = self.open.subscribe();
        within("every publish to be confirmed", open.wait_for(|open| *open == 0))
            .await
            .expect("the publisher keeps the other end");
        self.fates.lock().clone()
    }

    /// What is known now; messages under way are in neither list.
    #[must_use]
    pub fn fates(&self) -> Fates {
        self.fates.lock().clone()
    }

    /// How often the broker has accepted this client, the first time included.
    #[must_use]
    pub fn connects(&self) -> u64 {
        self.connection.state().connects
    }

    /// Waits until the broker has accepted this client `times` times.
    pub async fn connected(&self, times: u64) {
        self.connection.reaches("a reconnect", |state| state.connects >= times).await;
    }

    /// Ends the connection with a DISCONNECT, after everything sent has met its fate.
    pub async fn close(self) -> Fates {
        let fates = self.settle().await;
        self.client.disconnect().await.expect("the driver lives");
        self.connection.ended().await;
        fates
    }
}
