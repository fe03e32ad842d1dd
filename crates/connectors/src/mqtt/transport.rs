//! Opening the byte stream to a broker: TCP, TLS over it, and WebSocket over either.

use std::sync::Arc;

use mqtt5::tokio_rustls::TlsConnector;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::address::Address;
use super::fault::Fault;
use super::websocket;
use crate::trust::Trust;

/// A byte stream, whatever carries it.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Where to connect and how.
#[derive(Clone)]
pub(super) struct Transport {
    pub(super) address: Address,
    pub(super) tls: Option<Trust>,
}

impl Transport {
    /// Connects. The caller bounds the time.
    pub(super) async fn open(&self) -> Result<Box<dyn Stream>, Fault> {
        let Address { scheme, host, port, .. } = &self.address;
        let tcp = TcpStream::connect((host.as_str(), *port)).await.map_err(Fault::Unreachable)?;
        // An acknowledgement must not wait for the next one to share a segment.
        tcp.set_nodelay(true).map_err(Fault::Unreachable)?;
        let stream: Box<dyn Stream> = match &self.tls {
            None => Box::new(tcp),
            Some(tls) => {
                let name = tls.server_name.as_ref().unwrap_or(host);
                let name = ServerName::try_from(name.clone()).map_err(|_| Fault::ServerName(name.clone()))?;
                let connector = TlsConnector::from(Arc::clone(&tls.config));
                Box::new(connector.connect(name, tcp).await.map_err(Fault::Handshake)?)
            }
        };
        if scheme.is_websocket() { websocket::open(stream, &self.address.to_string()).await } else { Ok(stream) }
    }
}
