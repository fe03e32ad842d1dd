//! A broker that answers as it is told.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Nothing here takes long; whoever waits longer waits for ever.
const LONG: Duration = Duration::from_secs(120);

/// What `future` answers; a panic when it waits for ever.
pub(super) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LONG, future).await.expect("this waits for ever")
}

/// A broker without behaviour of its own.
pub(super) struct Broker {
    listener: TcpListener,
}

/// A message that came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Arrived {
    pub(super) first: u8,
    pub(super) topic: String,
    pub(super) packet: u16,
    /// Properties and payload.
    pub(super) rest: Vec<u8>,
}

impl Broker {
    pub(super) async fn start() -> Broker {
        Broker { listener: TcpListener::bind("127.0.0.1:0").await.unwrap() }
    }

    pub(super) fn address(&self) -> String {
        self.listener.local_addr().unwrap().to_string()
    }

    /// The next connection, whose greeting is read.
    pub(super) async fn accept(&self) -> Peer {
        let (stream, _) = soon(self.listener.accept()).await.unwrap();
        let mut peer = Peer { stream, greeting: Vec::new() };
        let (first, body) = peer.packet().await.unwrap();
        assert_eq!(first, 0x10);
        peer.greeting = body;
        peer
    }

    /// The next connection, welcomed with these properties of MQTT 5.
    pub(super) async fn welcome(&self, properties: &[u8]) -> Peer {
        let mut peer = self.accept().await;
        let mut body = vec![0, 0, properties.len() as u8];
        body.extend_from_slice(properties);
        peer.write(0x20, &body).await;
        peer
    }

    /// Whether nobody else wants to connect.
    pub(super) async fn is_left_alone(&self) -> bool {
        futures_util::poll!(std::pin::pin!(self.listener.accept())).is_pending()
    }
}

/// The broker's end of a connection.
pub(super) struct Peer {
    stream: TcpStream,
    /// What follows the fixed header of CONNECT.
    pub(super) greeting: Vec<u8>,
}

impl Peer {
    /// Reads one packet other than a ping: its first byte and what follows its length. Nothing at the end.
    async fn packet(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            let first = soon(self.stream.read_u8()).await.ok()?;
            let (mut length, mut shift) = (0, 0);
            loop {
                let byte = soon(self.stream.read_u8()).await.ok()?;
                length |= usize::from(byte & 0x7f) << shift;
                shift += 7;
                if byte & 0x80 == 0 {
                    break;
                }
            }
            let mut body = vec![0; length];
            soon(self.stream.read_exact(&mut body)).await.ok()?;
            if first == 0xc0 {
                self.write(0xd0, &[]).await;
                continue;
            }
            return Some((first, body));
        }
    }

    /// The next message.
    pub(super) async fn message(&mut self) -> Arrived {
        let (first, body) = self.packet().await.expect("a message");
        assert_eq!(first >> 4, 3, "{first:x}");
        let length = usize::from(u16::from_be_bytes([body[0], body[1]]));
        let topic = String::from_utf8(body[2..2 + length].to_vec()).unwrap();
        let mut at = 2 + length;
        let mut packet = 0;
        if first & 6 > 0 {
            packet = u16::from_be_bytes([body[at], body[at + 1]]);
            at += 2;
        }
        Arrived { first, topic, packet, rest: body[at..].to_vec() }
    }

    /// Confirms a message without a word.
    pub(super) async fn confirm(&mut self, packet: u16) {
        self.write(0x40, &packet.to_be_bytes()).await;
    }

    /// Answers a message with a reason of MQTT 5.
    pub(super) async fn answer(&mut self, packet: u16, reason: u8) {
        let [high, low] = packet.to_be_bytes();
        self.write(0x40, &[high, low, reason]).await;
    }

    /// Ends the connection with a reason of MQTT 5.
    pub(super) async fn goodbye(mut self, reason: u8) {
        self.write(0xe0, &[reason, 0]).await;
    }

    /// Reads a DISCONNECT and closes.
    pub(super) async fn hears_goodbye(mut self) {
        assert_eq!(self.packet().await.map(|(first, _)| first), Some(0xe0));
    }

    pub(super) async fn write(&mut self, first: u8, body: &[u8]) {
        let mut whole = vec![first, u8::try_from(body.len()).unwrap()];
        whole.extend_from_slice(body);
        self.stream.write_all(&whole).await.unwrap();
    }
}
