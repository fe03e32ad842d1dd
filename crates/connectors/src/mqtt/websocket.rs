//! MQTT over WebSocket: the byte stream in binary messages, as the standard wants it.
//!
//! The handshake asks for the subprotocol `mqtt`; a server that answers without it is no MQTT broker. TLS, where there is
//! any, stands below, so this module brings no TLS of its own.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use async_tungstenite::bytes::{ByteReader, ByteWriter};
use async_tungstenite::tokio::{TokioAdapter, client_async};
use async_tungstenite::tungstenite::client::IntoClientRequest;
use async_tungstenite::tungstenite::http::HeaderValue;
use async_tungstenite::{WebSocketReceiver, WebSocketSender};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::fault::Fault;
use super::transport::Stream;

/// The header that carries the subprotocol, and the subprotocol.
const HEADER: &str = "sec-websocket-protocol";
const MQTT: &str = "mqtt";

type Carrier = TokioAdapter<Box<dyn Stream>>;

/// A byte stream in WebSocket messages.
struct Messages {
    reader: ByteReader<WebSocketReceiver<Carrier>>,
    writer: ByteWriter<WebSocketSender<Carrier>>,
}

/// Shakes hands for `url` over `carrier`.
pub(super) async fn open(carrier: Box<dyn Stream>, url: &str) -> Result<Box<dyn Stream>, Fault> {
    let refused = |cause: &dyn std::fmt::Display| Fault::WebSocket(cause.to_string());
    let mut request = url.into_client_request().map_err(|cause| refused(&cause))?;
    request.headers_mut().insert(HEADER, HeaderValue::from_static(MQTT));
    let (socket, response) = client_async(request, carrier).await.map_err(|cause| refused(&cause))?;
    if response.headers().get(HEADER).is_none_or(|protocol| protocol != MQTT) {
        return Err(refused(&"it does not speak the subprotocol mqtt"));
    }
    let (sender, receiver) = socket.split();
    Ok(Box::new(Messages { reader: ByteReader::new(receiver), writer: ByteWriter::new(sender) }))
}

impl AsyncRead for Messages {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        AsyncRead::poll_read(Pin::new(&mut self.reader), context, buffer)
    }
}

impl AsyncWrite for Messages {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        AsyncWrite::poll_write(Pin::new(&mut self.writer), context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_flush(Pin::new(&mut self.writer), context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_shutdown(Pin::new(&mut self.writer), context)
    }
}

#[cfg(test)]
mod tests {
    use async_tungstenite::tokio::{accept_async, accept_hdr_async};
    use async_tungstenite::tungstenite::Message;
    use async_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
    use futures_util::StreamExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[expect(clippy::result_large_err, reason = "the library's own type")]
    fn mqtt(request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
        assert_eq!((request.uri().path(), &request.headers()[HEADER]), ("/socket", &HeaderValue::from_static(MQTT)));
        response.headers_mut().insert(HEADER, HeaderValue::from_static(MQTT));
        Ok(response)
    }

    #[tokio::test]
    async fn bytes_pass_in_binary_messages_however_they_are_cut() {
        let (near, far) = duplex(4096);
        let client = async {
            let mut stream = open(Box::new(near), "ws://broker:80/socket").await.unwrap();
            stream.write_all(b"hello").await.unwrap();
            stream.flush().await.unwrap();
            let mut answer = [0; 6];
            stream.read_exact(&mut answer).await.unwrap();
            assert_eq!(&answer, b"answer");
        };
        let server = async {
            let mut socket = accept_hdr_async(far, mqtt).await.unwrap();
            assert_eq!(socket.next().await.unwrap().unwrap(), Message::binary(b"hello".to_vec()));
            for part in [&b"ans"[..], b"wer"] {
                socket.send(Message::binary(part.to_vec())).await.unwrap();
            }
            socket
        };
        let ((), socket) = tokio::join!(client, server);
        drop(socket);
    }

    #[tokio::test]
    async fn a_server_that_is_no_broker_is_refused() {
        let (near, far) = duplex(4096);
        let (refused, _) = tokio::join!(open(Box::new(near), "ws://broker:80/mqtt"), accept_async(far));
        let Err(fault) = refused else { panic!("opened") };
        assert!(fault.to_string().contains("WebSocket handshake"), "{fault}");
    }
}
