//! How a test client connects. Every client of a test needs an id of its own, so there is no
//! default for it.

use std::net::SocketAddr;

use mqtt5::{BrokerSessionResumePolicy, IncomingPacketSizeLimit, MqttOptions, Transport};

/// What a client tells the broker when it connects.
#[derive(Clone)]
pub struct Settings {
    options: MqttOptions,
}

/// Large enough for any message that a test sends.
const PACKET_BYTES_MAX: u32 = 16 * 1024 * 1024;

/// Messages that may wait for their PUBACK. Without a limit the client looks through 65,535 slots at
/// every flush: 520 us of CPU per message instead of 20.
const UNCONFIRMED_MAX: u16 = 200;

/// When a connection ends, the client forgets the packets of a batch that it has read but not shown
/// yet. A broker that was killed never sends them again, and the control in a loss test must not
/// lose what it was given.
const PACKETS_READ_AT_ONCE: usize = 1;

impl Settings {
    /// A client with a persistent session that the broker keeps for an hour.
    #[must_use]
    pub fn new(broker: SocketAddr, client_id: &str) -> Self {
        let host = broker.ip().to_string();
        let mut options = MqttOptions::new(client_id, (host.as_str(), broker.port()));
        options
            .set_clean_start(false)
            .set_session_expiry_interval(Some(3600))
            .set_keep_alive(30)
            .set_outgoing_inflight_upper_limit(UNCONFIRMED_MAX)
            .set_read_batch_size(PACKETS_READ_AT_ONCE)
            .set_incoming_packet_size_limit(IncomingPacketSizeLimit::Bytes(PACKET_BYTES_MAX))
            .set_broker_session_resume_policy(BrokerSessionResumePolicy::AllowBrokerOnly);
        Self { options }
    }

    /// A session that ends with the connection.
    #[must_use]
    pub fn clean(mut self) -> Self {
        self.options.set_clean_start(true).set_session_expiry_interval(None);
        self
    }

    /// User name and password.
    #[must_use]
    pub fn credentials(mut self, user: &str, password: &str) -> Self {
        self.options.set_credentials(user, password.to_owned());
        self
    }

    /// The most messages that the broker may send before it has an acknowledgement.
    #[must_use]
    pub fn receive_maximum(mut self, messages: u16) -> Self {
        self.options.set_receive_maximum(Some(messages));
        self
    }

    /// TLS with this certificate authority and, for mutual TLS, this certificate chain and key,
    /// all in PEM.
    #[must_use]
    pub fn tls(mut self, authority: &str, identity: Option<(&str, &str)>) -> Self {
        let pem = |text: &str| text.as_bytes().to_vec();
        let identity = identity.map(|(chain, key)| (pem(chain), pem(key)));
        self.options.set_transport(Transport::tls(pem(authority), identity, None));
        self
    }

    pub(super) fn into_options(self) -> MqttOptions {
        self.options
    }
}
