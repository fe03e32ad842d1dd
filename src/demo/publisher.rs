//! The fleet's way to the broker: one MQTT 5 connection of its own, QoS 1, with a bounded window.
//!
//! Decision: it is the client that the connector is built on, over a real socket, and its session ends with its
//! connection. A message that was under way when a connection broke is therefore told to be unconfirmed, and the driver
//! sends it again.

use std::net::SocketAddr;
use std::time::Duration;

use mqtt5::{AsyncClient, ConnectionError, EventLoop, MqttOptions, PublishOptions, QoS};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::driver::{Confirm, Post, Unconfirmed, WINDOW};
use super::simulator::Message;

/// How long a broken connection rests before it is made again.
const RECONNECT: Duration = Duration::from_millis(100);
/// The client id. The broker is the demo's own, so nobody else has it.
const CLIENT: &str = "tidemill-demo-fleet";

/// A connection that only publishes and reconnects by itself. Dropping it cuts it.
pub(super) struct Publisher {
    client: AsyncClient,
    polled: JoinHandle<()>,
}

impl Publisher {
    /// Begins to connect, on the current runtime.
    pub(super) fn new(broker: SocketAddr) -> Publisher {
        let mut options = MqttOptions::new(CLIENT, (broker.ip().to_string(), broker.port()));
        // Without a limit the client looks through 65,535 places at every flush.
        let window = u16::try_from(WINDOW).unwrap_or(u16::MAX);
        options.set_clean_start(true).set_keep_alive(30).set_outgoing_inflight_upper_limit(window);
        let (client, events) = AsyncClient::builder(options).capacity(WINDOW).build();
        Publisher { client, polled: tokio::spawn(poll(events)) }
    }
}

/// Keeps the connection going until nobody publishes any more.
async fn poll(mut events: EventLoop) {
    loop {
        match events.poll().await {
            Ok(_) => {}
            Err(ConnectionError::RequestsDone) => return,
            Err(error) => {
                tracing::warn!("the fleet's connection broke: {error}");
                sleep(RECONNECT).await;
            }
        }
    }
}

impl Post for Publisher {
    async fn post(&mut self, message: &Message) -> Confirm {
        let options = PublishOptions::new(QoS::AtLeastOnce);
        let taken = self.client.publish_tracked(&*message.topic, message.payload.clone(), options).await;
        Box::pin(async move {
            let notice = taken.map_err(|error| Unconfirmed(error.to_string()))?;
            notice.wait_completion_async().await.map_err(|error| Unconfirmed(error.to_string()))
        })
    }

    async fn close(&mut self) {
        // A connection that is already gone needs no farewell.
        let _ = self.client.disconnect().await;
        // It ends when the farewell is written, or when it finds nobody to write it to.
        let _ = (&mut self.polled).await;
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.polled.abort();
    }
}
