//! The demo's MQTT broker, in this process but behind a real socket on loopback: the demo shows the
//! connector that a user will run, not a short cut past it.
//!
//! The broker is the crate `mqtt5` (0.49) without its WebSocket and QUIC transports, chosen by
//! measurement on two cores. It obeys a subscriber's receive maximum, keeps a withheld message for as
//! long as the session lives, takes acknowledgements in any order, tells the port it got, stops on
//! request, and has no aws-lc-rs in its tree. It adds 45 crates and 103 CPU-seconds to a cold release
//! build of the lean demo. At QoS 1 with 200 B payloads it moves 30,000 messages per second from one
//! publisher to one subscriber (33 us of CPU per message, both clients included), stops within 10 ms
//! and stays under 30 MB doing so.
//!
//! What was set aside: `rumqttd` 0.20 costs the same to build with 101 crates, but has a fixed window
//! of 100 whatever the client asks for, wants acknowledgements in order, and can neither be stopped
//! nor asked for its port. `rmqtt` 0.24 brings more than twice as many crates, QUIC among them.
//!
//! One trait shows on the wire: it adds the publisher's client id to every message as the user
//! property `x-mqtt-client-id`, which is no legal CloudEvents attribute name.

use std::net::{Ipv4Addr, SocketAddr};

use embedded_broker::broker::config::{BrokerConfig, StorageBackend, StorageConfig};
use embedded_broker::broker::{BrokerShutdownHandle, MqttBroker};
use tokio::task::JoinHandle;

/// Packets above this end the connection that sent them.
const PACKET_BYTES_MAX: usize = 1024 * 1024;
/// Messages kept for one subscriber that is slow or away; past it the oldest are dropped.
const QUEUED_MESSAGES_MAX: usize = 1_000_000;
/// Bytes kept for one subscriber that is slow or away.
const QUEUED_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Unacknowledged messages towards one subscriber; its own receive maximum binds below this.
const IN_FLIGHT_MAX: u16 = u16::MAX;

/// Why the broker did not start or did not stop well.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is taken or not ours.
    #[error("the demo's broker cannot listen on {address}; free the port or let it choose one")]
    Listen {
        /// What was asked for.
        address: SocketAddr,
        /// What the broker said.
        source: embedded_broker::MqttError,
    },
    /// It stopped by itself.
    #[error("the demo's broker stopped with an error")]
    Run(#[source] embedded_broker::MqttError),
    /// Its task ended before it had said that it was ready, or panicked.
    #[error("the demo's broker ended without a word")]
    Gone,
}

/// A running broker. Dropping it stops it too, without waiting for its connections.
#[derive(Debug)]
pub struct Broker {
    address: SocketAddr,
    stop: Stop,
    task: JoinHandle<Result<(), embedded_broker::MqttError>>,
}

/// Stops the broker when it is dropped, so that a demo which fails half-way leaves nothing running.
struct Stop(BrokerShutdownHandle);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.shutdown();
    }
}

impl std::fmt::Debug for Stop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Stop")
    }
}

impl Broker {
    /// Starts on this port of the loopback interface, 0 for any free one, and returns when it
    /// accepts connections. Sessions live in memory as long as the broker.
    ///
    /// # Errors
    /// [`Error::Listen`] when the port is taken.
    pub async fn start(port: u16) -> Result<Self, Error> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let listen = |source| Error::Listen { address, source };
        let mut broker = MqttBroker::with_config(config(address)).await.map_err(listen)?;
        let address = broker.local_addr().ok_or(Error::Gone)?;
        let stop = Stop(broker.shutdown_handle());
        let mut ready = broker.ready_receiver();
        let task = tokio::spawn(async move { broker.run().await });
        ready.wait_for(|ready| *ready).await.map_err(|_| Error::Gone)?;
        Ok(Self { address, stop, task })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops it, and returns when every connection is closed.
    ///
    /// # Errors
    /// [`Error::Run`] when it had already stopped by itself.
    pub async fn stop(self) -> Result<(), Error> {
        drop(self.stop);
        self.task.await.map_err(|_| Error::Gone)?.map_err(Error::Run)
    }
}

fn config(address: SocketAddr) -> BrokerConfig {
    let storage = StorageConfig::new()
        .with_backend(StorageBackend::Memory)
        .with_max_queued_messages_per_client(QUEUED_MESSAGES_MAX)
        .with_max_queued_bytes_per_client(QUEUED_BYTES_MAX);
    BrokerConfig::new()
        .with_bind_address(address)
        .with_max_packet_size(PACKET_BYTES_MAX)
        .with_max_outbound_inflight(IN_FLIGHT_MAX)
        .with_sys_topics_enabled(false)
        .with_storage(storage)
}

#[cfg(test)]
mod tests;
