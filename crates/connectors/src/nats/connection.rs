//! One connection to a server: greeting, reading and writing at the same time, pings, and requests that are answered.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use engine::event::Text;
use rustls::pki_types::ServerName;
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsConnector;

use super::address::{Address, Server};
use super::auth::Proof;
use super::fault::Fault;
use super::wire::{self, Decoder, Frame, Message};
use crate::trust::Trust;

/// How long a server may take to answer anything.
pub(super) const ANSWER: Duration = Duration::from_secs(10);
/// Room for one read.
const READ: usize = 64 * 1024;
/// Less room than this is not worth a read.
const LEAST: usize = 4 * 1024;

/// The subscription of everything that is answered to this connection.
const ANSWERS: u64 = 1;

/// A byte stream, whatever carries it.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Where to connect, and as whom.
#[derive(Clone)]
pub(super) struct Terms {
    pub(super) address: Address,
    pub(super) trust: Option<Trust>,
    pub(super) proof: Proof,
    /// Silence after which a server is asked whether it is there.
    pub(super) keep_alive: Duration,
    /// How the server's own lists call this connection.
    pub(super) name: Text,
}

/// What a server says of itself, as far as it matters here.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Info {
    pub(super) version: String,
    nonce: String,
    tls_required: bool,
    tls_available: bool,
}

impl Info {
    /// Whether the server is of this version or a later one.
    pub(super) fn is_at_least(&self, major: u32, minor: u32) -> bool {
        let mut numbers = self.version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
        (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (major, minor)
    }
}

/// A connection that was welcomed.
pub(super) struct Connection {
    reader: ReadHalf<Box<dyn Stream>>,
    writer: WriteHalf<Box<dyn Stream>>,
    decoder: Decoder,
    /// What is to be written.
    pub(super) out: BytesMut,
    /// Whether something was written that may not have left.
    unflushed: bool,
    pub(super) info: Info,
    /// What answers to this connection begin with.
    pub(super) inbox: String,
    /// Silence after which the server is asked whether it is there.
    keep_alive: Duration,
    heard: Instant,
    pinged: bool,
    /// Messages that came while something else was waited for.
    early: VecDeque<Message>,
}

impl Connection {
    /// Connects to the server of attempt `number` and introduces itself.
    pub(super) async fn open(terms: &Terms, number: usize) -> Result<Connection, Fault> {
        let server = terms.address.server(number);
        match timeout(ANSWER, Connection::greet(terms, server)).await {
            Ok(connection) => connection,
            Err(_) => Err(Fault::Mute(ANSWER)),
        }
    }

    async fn greet(terms: &Terms, server: &Server) -> Result<Connection, Fault> {
        let tcp = TcpStream::connect((server.host.as_str(), server.port)).await.map_err(Fault::Unreachable)?;
        // An acknowledgement must not wait for the next one to share a segment.
        tcp.set_nodelay(true).map_err(Fault::Unreachable)?;
        let mut plain = Connection::over(Box::new(tcp));
        let info: Info = plain.introduction().await?;
        let mut connection = match (server.tls, info.tls_required) {
            (false, true) => return Err(Fault::WantsTls),
            (false, false) => plain,
            (true, _) if !info.tls_required && !info.tls_available => return Err(Fault::OffersNoTls),
            (true, _) => Connection::over(encrypt(plain, server, terms.trust.as_ref()).await?),
        };
        let mut hello = Map::new();
        for (key, value) in [
            ("verbose", Value::Bool(false)),
            ("pedantic", Value::Bool(false)),
            ("tls_required", Value::Bool(server.tls)),
            ("lang", "rust".into()),
            ("version", env!("CARGO_PKG_VERSION").into()),
            ("protocol", 1.into()),
            ("headers", Value::Bool(true)),
            ("no_responders", Value::Bool(true)),
            ("name", terms.name.as_str().into()),
        ] {
            hello.insert(key.to_owned(), value);
        }
        terms.proof.introduce(&info.nonce, &mut hello);
        connection.info = info;
        let hello = Value::Object(hello);
        connection.out.extend_from_slice(format!("CONNECT {hello}\r\nPING\r\n").as_bytes());
        loop {
            match connection.decoder.next()? {
                Some(Frame::Pong) => break,
                Some(Frame::Refused(text)) => return Err(Fault::refused(text)),
                Some(Frame::Ping) => connection.out.extend_from_slice(b"PONG\r\n"),
                Some(_) => {}
                None => connection.exchange().await?,
            }
        }
        wire::subscribe(&mut connection.out, &format!("{}*", connection.inbox), "", ANSWERS);
        connection.keep_alive = terms.keep_alive;
        Ok(connection)
    }

    fn over(stream: Box<dyn Stream>) -> Connection {
        let (reader, writer) = split(stream);
        Connection {
            reader,
            writer,
            decoder: Decoder::default(),
            out: BytesMut::new(),
            unflushed: false,
            info: Info::default(),
            inbox: format!("_INBOX.{:016x}{:08x}.", fastrand::u64(..), fastrand::u32(..)),
            // Whoever greets is bounded as a whole.
            keep_alive: ANSWER,
            heard: Instant::now(),
            pinged: false,
            early: VecDeque::new(),
        }
    }

    async fn introduction(&mut self) -> Result<Info, Fault> {
        loop {
            match self.decoder.next()? {
                Some(Frame::Info(json)) => {
                    let broken = |cause| wire::Broken(format!("its INFO cannot be read: {cause}"));
                    return Ok(serde_json::from_slice(&json).map_err(broken)?);
                }
                Some(Frame::Refused(text)) => return Err(Fault::refused(text)),
                Some(_) => return Err(wire::Broken("the first line is no INFO".to_owned()).into()),
                None => self.exchange().await?,
            }
        }
    }

    /// Reads and writes what there is, until something was read or all was written, and pings a silent server. Cancel safe.
    pub(super) async fn exchange(&mut self) -> Result<(), Fault> {
        let patience = ANSWER.min(self.keep_alive);
        let due = self.heard + if self.pinged { patience } else { self.keep_alive };
        let writing = self.has_output();
        let Connection { reader, writer, decoder, out, unflushed, .. } = self;
        // Messages keep the memory that they were read into, so a new piece is begun only when the last one is used up.
        if decoder.buffer.capacity() - decoder.buffer.len() < LEAST {
            decoder.buffer.reserve(READ);
        }
        tokio::select! {
            biased;
            written = write(writer, out, unflushed), if writing => written.map_err(Fault::Lost),
            read = reader.read_buf(&mut decoder.buffer) => match read {
                Ok(0) => Err(Fault::Closed),
                Ok(_) => {
                    self.heard = Instant::now();
                    self.pinged = false;
                    Ok(())
                }
                Err(cause) => Err(Fault::Lost(cause)),
            },
            () = sleep_until(due) => {
                if self.pinged {
                    return Err(Fault::Silent(self.keep_alive + patience));
                }
                self.pinged = true;
                self.heard = Instant::now();
                self.out.extend_from_slice(b"PING\r\n");
                Ok(())
            }
        }
    }

    /// Whether something is still to be written.
    pub(super) fn has_output(&self) -> bool {
        !self.out.is_empty() || self.unflushed
    }

    /// The next message of what was read. Pings are answered on the way.
    ///
    /// # Errors
    /// What the server refused, or that it is none.
    pub(super) fn message(&mut self) -> Result<Option<Message>, Fault> {
        if let Some(message) = self.early.pop_front() {
            return Ok(Some(message));
        }
        while let Some(frame) = self.decoder.next()? {
            match frame {
                Frame::Message(message) => return Ok(Some(message)),
                Frame::Ping => self.out.extend_from_slice(b"PONG\r\n"),
                Frame::Refused(text) => return Err(Fault::refused(text)),
                Frame::Info(_) | Frame::Pong | Frame::Ok => {}
            }
        }
        Ok(None)
    }

    /// Asks, and waits for the answer. Only for the time before anything is subscribed to: other messages are dropped.
    pub(super) async fn request(&mut self, subject: &str, payload: &[u8]) -> Result<Message, Fault> {
        let reply = format!("{}request", self.inbox);
        wire::publish(&mut self.out, subject.as_bytes(), reply.as_bytes(), payload);
        let answer = async {
            loop {
                while let Some(message) = self.message()? {
                    if message.subject == reply.as_bytes() {
                        return Ok(message);
                    }
                }
                self.exchange().await?;
            }
        };
        timeout(ANSWER, answer).await.unwrap_or(Err(Fault::Mute(ANSWER)))
    }

    /// Waits until the server has read everything that was written. Messages that come meanwhile are kept.
    pub(super) async fn flush(&mut self) -> Result<(), Fault> {
        self.out.extend_from_slice(b"PING\r\n");
        let answer = async {
            loop {
                match self.decoder.next()? {
                    Some(Frame::Pong) => return Ok(()),
                    Some(Frame::Ping) => self.out.extend_from_slice(b"PONG\r\n"),
                    Some(Frame::Refused(text)) => return Err(Fault::refused(text)),
                    Some(Frame::Message(message)) => self.early.push_back(message),
                    Some(Frame::Info(_) | Frame::Ok) => {}
                    None => self.exchange().await?,
                }
            }
        };
        timeout(ANSWER, answer).await.unwrap_or(Err(Fault::Mute(ANSWER)))
    }

    /// The rest of the subject of an answer to this connection.
    pub(super) fn answer<'m>(&self, message: &'m Message) -> Option<&'m [u8]> {
        message.subject.strip_prefix(self.inbox.as_bytes())
    }
}

/// Writes everything and sees it off. Cancel safe: what is left stays in `out`, and what has not left is remembered.
async fn write<W: AsyncWrite + Unpin>(
    writer: &mut W,
    out: &mut BytesMut,
    unflushed: &mut bool,
) -> Result<(), std::io::Error> {
    while !out.is_empty() {
        *unflushed = true;
        if writer.write_buf(out).await? == 0 {
            return Err(std::io::ErrorKind::WriteZero.into());
        }
    }
    writer.flush().await?;
    *unflushed = false;
    Ok(())
}

async fn encrypt(plain: Connection, server: &Server, trust: Option<&Trust>) -> Result<Box<dyn Stream>, Fault> {
    let Some(trust) = trust else { return Err(Fault::WantsTls) };
    let name = trust.server_name.as_ref().unwrap_or(&server.host).clone();
    let named = ServerName::try_from(name.clone()).map_err(|_| Fault::ServerName(name))?;
    let stream = plain.reader.unsplit(plain.writer);
    let connector = TlsConnector::from(std::sync::Arc::clone(&trust.config));
    Ok(Box::new(connector.connect(named, stream).await.map_err(Fault::Handshake)?))
}

/// The payload of an answer, or that nobody is there to give one.
pub(super) fn answered(message: Message) -> Option<Bytes> {
    let unheard = message.payload.is_empty() && message.headers.starts_with(b"NATS/1.0 503");
    (!unheard).then_some(message.payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        let info = |version: &str| Info { version: version.to_owned(), ..Info::default() };
        assert!(info("2.10.0").is_at_least(2, 10) && info("2.9.10").is_at_least(2, 9));
        assert!(!info("2.9.10").is_at_least(2, 10) && !info("").is_at_least(2, 0));
        assert!(info("3.0.0-preview").is_at_least(2, 15));
    }

    #[tokio::test]
    async fn a_server_that_says_nothing_is_asked_and_then_given_up() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(b"INFO {\"version\":\"2.9.10\"}\r\nPONG\r\n").await.unwrap();
            let mut said = Vec::new();
            stream.read_to_end(&mut said).await.unwrap();
            String::from_utf8(said).unwrap()
        });
        let terms = Terms {
            address: Address::parse(&format!("nats://{address}")).unwrap(),
            trust: None,
            proof: Proof::default(),
            keep_alive: Duration::from_millis(20),
            name: "mill".into(),
        };
        let mut connection = Connection::open(&terms, 0).await.unwrap();
        let fault = loop {
            if let Err(fault) = connection.exchange().await {
                break fault;
            }
        };
        assert!(matches!(fault, Fault::Silent(silence) if silence == 2 * terms.keep_alive), "{fault}");
        drop(connection);
        assert_eq!(server.await.unwrap().matches("PING").count(), 2, "one to be let in, one to be answered");
    }

    #[tokio::test]
    async fn a_message_that_comes_before_the_server_has_answered_is_kept() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut connection =
            Connection::over(Box::new(TcpStream::connect(listener.local_addr().unwrap()).await.unwrap()));
        let (mut server, _) = listener.accept().await.unwrap();
        server.write_all(b"MSG a 7 5\r\nhello\r\nPONG\r\nMSG a 7 2\r\nyo\r\n").await.unwrap();
        connection.flush().await.unwrap();
        let mut came = Vec::new();
        while came.len() < 2 {
            match connection.message().unwrap() {
                Some(message) => came.push(message.payload),
                None => connection.exchange().await.unwrap(),
            }
        }
        assert_eq!(came, ["hello", "yo"]);
    }
}
