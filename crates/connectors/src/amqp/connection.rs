//! One connection to a broker: greeting, channels, reading and writing at the same time, and heartbeats. A source has two
//! channels, one that consumes and one that looks; an output has one.

use std::time::Duration;

use bytes::BytesMut;
use engine::event::Text;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsConnector;

use super::access::Terms;
use super::fault::{Fault, Refusal};
use super::queue::Queue;
use super::table::Argument;
use super::wire::{self, Decoder, FRAME, Frame, Method};

/// How long a broker may take to answer anything.
pub(super) const ANSWER: Duration = Duration::from_secs(10);
/// How often each side shows that it lives, in seconds, unless the broker wants it more often.
const HEARTBEAT: u16 = 20;
/// How long a connection stays behind its last acknowledgement; a quorum queue takes a few milliseconds.
const LINGER: Duration = Duration::from_millis(200);
/// Room for one read.
const READ: usize = 64 * 1024;
/// With less room than this, more is made.
const LEAST: usize = 4096;

/// Where messages come.
pub(super) const CONSUMING: u16 = 1;
/// Where the queue is looked at, so that a refusal there costs no message.
pub(super) const LOOKING: u16 = 2;
/// How the consumer is called on its channel.
const CONSUMER: &str = "tidemill";

/// A byte stream, whatever carries it.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection that is logged in.
pub(super) struct Connection {
    reader: ReadHalf<Box<dyn Stream>>,
    writer: WriteHalf<Box<dyn Stream>>,
    decoder: Decoder,
    /// What is to be written.
    pub(super) out: BytesMut,
    /// Whether something was written that may not have left.
    unflushed: bool,
    /// How often each side shows that it lives; zero for never.
    heartbeat: Duration,
    heard: Instant,
    told: Instant,
}

impl Connection {
    /// Connects, logs in and opens `channels` channels.
    pub(super) async fn open(terms: &Terms, name: &Text, channels: u16) -> Result<Connection, Fault> {
        let mut connection = Connection::over(stream(terms).await?);
        connection.login(terms, name).await?;
        for channel in 1..=channels {
            wire::channel_open(&mut connection.out, channel);
            connection.answer(|method| matches!(method, Method::ChannelOpen).then_some(())).await??;
        }
        Ok(connection)
    }

    /// Connects, makes sure of the queue and asks for at most `prefetch` messages of it.
    pub(super) async fn consume(terms: &Terms, name: &Text, queue: &Queue, prefetch: u16) -> Result<Connection, Fault> {
        let consuming = async {
            let mut connection = Connection::open(terms, name, LOOKING).await?;
            let refused = |refusal| Fault::of_queue(refusal, &queue.name);
            let out = &mut connection.out;
            match &queue.declare {
                Some(made) => wire::declare(out, CONSUMING, &queue.name, false, made.durable, &made.arguments),
                None => wire::declare(out, CONSUMING, &queue.name, true, false, &[]),
            }
            let declared = |method: &Method| matches!(method, Method::Declared(_)).then_some(());
            connection.answer(declared).await?.map_err(refused)?;
            wire::qos(&mut connection.out, CONSUMING, prefetch);
            connection.answer(|method| matches!(method, Method::Qos).then_some(())).await??;
            wire::consume(&mut connection.out, CONSUMING, &queue.name, CONSUMER);
            connection.answer(|method| matches!(method, Method::Consuming).then_some(())).await?.map_err(refused)?;
            Ok(connection)
        };
        answered(consuming).await
    }

    pub(super) fn over(stream: Box<dyn Stream>) -> Connection {
        let (reader, writer) = split(stream);
        Connection {
            reader,
            writer,
            decoder: Decoder::default(),
            out: BytesMut::new(),
            unflushed: false,
            heartbeat: Duration::ZERO,
            heard: Instant::now(),
            told: Instant::now(),
        }
    }

    async fn login(&mut self, terms: &Terms, name: &Text) -> Result<(), Fault> {
        self.out.extend_from_slice(wire::GREETING);
        let start = |method: &Method| match method {
            Method::Start(mechanisms) => Some(mechanisms.clone()),
            _ => None,
        };
        let offered = self.answer(start).await?.map_err(Fault::of_greeting)?;
        let (wanted, response) = match &terms.login {
            Some((user, password)) => ("PLAIN", format!("\0{user}\0{password}")),
            None => ("EXTERNAL", String::new()),
        };
        if !offered.split_ascii_whitespace().any(|mechanism| mechanism == wanted) {
            return Err(Fault::Mechanism { wanted, offered });
        }
        wire::start_ok(&mut self.out, &properties(name), wanted, &response);
        let tune = |method: &Method| match method {
            Method::Tune { channels, frame, heartbeat } => Some((*channels, *frame, *heartbeat)),
            _ => None,
        };
        let (channels, frame, heartbeat) = self.answer(tune).await?.map_err(Fault::of_greeting)?;
        let heartbeat = if heartbeat == 0 { HEARTBEAT } else { heartbeat.min(HEARTBEAT) };
        if frame != 0 && frame < FRAME as u32 {
            return Err(Fault::SmallFrames(frame));
        }
        wire::tune_ok(
            &mut self.out,
            if channels == 0 { LOOKING } else { channels.min(LOOKING) },
            FRAME as u32,
            heartbeat,
        );
        wire::open(&mut self.out, &terms.address.vhost);
        let open = |method: &Method| matches!(method, Method::Open).then_some(());
        self.answer(open).await?.map_err(Fault::of_greeting)?;
        self.heartbeat = Duration::from_secs(heartbeat.into());
        Ok(())
    }

    /// Waits for the method that answers what was asked; inside is a refusal by closing the channel or the connection.
    pub(super) async fn answer<T>(
        &mut self,
        is_it: impl Fn(&Method) -> Option<T>,
    ) -> Result<Result<T, Refusal>, Fault> {
        loop {
            match self.decoder.next()? {
                Some(Frame::Method(_, Method::Close(refusal) | Method::ChannelClose(refusal))) => {
                    return Ok(Err(refusal));
                }
                Some(Frame::Method(_, method)) => {
                    if let Some(answer) = is_it(&method) {
                        return Ok(Ok(answer));
                    }
                }
                Some(_) => {}
                None => self.exchange(true).await?,
            }
        }
    }

    /// Reads and writes what there is, until something was read or all was written, and keeps the heartbeats. Nothing is
    /// read unless `reading`: then the broker's side of the heartbeats cannot be judged either. Cancel safe.
    pub(super) async fn exchange(&mut self, reading: bool) -> Result<(), Fault> {
        let beats = !self.heartbeat.is_zero();
        let beat = self.told + self.heartbeat / 2;
        if !reading {
            self.heard = Instant::now();
        }
        let silence = self.heartbeat * 2;
        let dead = self.heard + silence;
        let Connection { reader, writer, decoder, out, unflushed, told, .. } = self;
        // Messages keep the memory that they were read into, so a new piece is begun only when the last one is used up.
        if decoder.buffer.capacity() - decoder.buffer.len() < LEAST {
            decoder.buffer.reserve(READ);
        }
        let writing = !out.is_empty() || *unflushed;
        tokio::select! {
            biased;
            written = write(writer, out, unflushed, told), if writing => written.map_err(Fault::Lost),
            read = reader.read_buf(&mut decoder.buffer), if reading => match read {
                Ok(0) => Err(Fault::Closed),
                Ok(_) => {
                    self.heard = Instant::now();
                    Ok(())
                }
                Err(cause) => Err(Fault::Lost(cause)),
            },
            () = sleep_until(dead), if beats && reading => Err(Fault::Silent(silence)),
            () = sleep_until(beat), if beats && !writing => {
                wire::heartbeat(&mut self.out);
                Ok(())
            }
        }
    }

    /// The next frame of what was read, without those that only keep the connection.
    pub(super) fn next(&mut self) -> Result<Option<Frame>, Fault> {
        loop {
            match self.decoder.next()? {
                Some(Frame::Heartbeat) => {}
                Some(Frame::Method(channel, Method::Flow(active))) => {
                    wire::flow_ok(&mut self.out, channel, active);
                    // The answer is a promise, which whoever publishes has to keep.
                    return Ok(Some(Frame::Method(channel, Method::Flow(active))));
                }
                Some(Frame::Method(_, Method::Close(refusal))) => {
                    wire::close_ok(&mut self.out);
                    return Err(Fault::of_close(refusal));
                }
                other => return Ok(other),
            }
        }
    }

    /// Asks for no more messages.
    pub(super) fn cancel(&mut self) {
        wire::cancel(&mut self.out, CONSUMING, CONSUMER);
    }

    /// Sends off everything and stays a moment longer. A quorum queue takes acknowledgements in stages, gives no sign of the
    /// last one, and forgets those on their way when the channel closes: what was acknowledged would come again.
    pub(super) async fn linger(&mut self) -> Result<(), Fault> {
        let waiting = async {
            loop {
                self.exchange(true).await?;
                while self.next()?.is_some() {}
            }
        };
        timeout(LINGER, waiting).await.unwrap_or(Ok(()))
    }

    /// Sends off everything, says goodbye and waits until the broker has read it.
    pub(super) async fn close(mut self) -> Result<(), Fault> {
        wire::close(&mut self.out);
        loop {
            match self.decoder.next()? {
                Some(Frame::Method(_, Method::CloseOk)) => return Ok(()),
                Some(Frame::Method(_, Method::Close(refusal))) => return Err(Fault::Ended(refusal.text)),
                Some(Frame::Method(_, Method::ChannelClose(refusal))) => return Err(Fault::Channel(refusal.text)),
                Some(_) => {}
                None => self.exchange(true).await?,
            }
        }
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Fault {
        Fault::Channel(refusal.text)
    }
}

/// Bounds how long a broker may take for something.
pub(super) async fn answered<T>(answer: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    timeout(ANSWER, answer).await.unwrap_or(Err(Fault::Mute(ANSWER)))
}

/// Who this is and what it understands.
fn properties(name: &Text) -> Vec<(String, Argument)> {
    let capabilities = [
        "authentication_failure_close",
        "basic.nack",
        "connection.blocked",
        "consumer_cancel_notify",
        "publisher_confirms",
    ];
    let capabilities = capabilities.map(|name| (name.to_owned(), Argument::Boolean(true))).into();
    let text = |key: &str, text: &str| (key.to_owned(), Argument::Text(text.to_owned()));
    vec![
        text("product", "tidemill"),
        text("version", env!("CARGO_PKG_VERSION")),
        text("connection_name", name),
        ("capabilities".to_owned(), Argument::Table(capabilities)),
    ]
}

async fn stream(terms: &Terms) -> Result<Box<dyn Stream>, Fault> {
    let address = &terms.address;
    let tcp = TcpStream::connect((address.host.as_str(), address.port)).await.map_err(Fault::Unreachable)?;
    // An acknowledgement must not wait for the next one to share a segment.
    tcp.set_nodelay(true).map_err(Fault::Unreachable)?;
    let Some(trust) = &terms.trust else { return Ok(Box::new(tcp)) };
    let name = trust.server_name.as_ref().unwrap_or(&address.host);
    let name = ServerName::try_from(name.clone()).map_err(|_| Fault::ServerName(name.clone()))?;
    let connector = TlsConnector::from(std::sync::Arc::clone(&trust.config));
    Ok(Box::new(connector.connect(name, tcp).await.map_err(Fault::Handshake)?))
}

/// Writes everything, and flushes it. Cancel safe: what has left is gone from `out`.
async fn write(
    writer: &mut WriteHalf<Box<dyn Stream>>,
    out: &mut BytesMut,
    unflushed: &mut bool,
    told: &mut Instant,
) -> std::io::Result<()> {
    while !out.is_empty() {
        *unflushed = true;
        if writer.write_buf(out).await? == 0 {
            return Err(std::io::ErrorKind::WriteZero.into());
        }
        *told = Instant::now();
    }
    writer.flush().await?;
    *unflushed = false;
    Ok(())
}

#[cfg(test)]
mod tests;
