//! The first packet and its answer, for a source and for an output.

use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::access::Terms;
use super::dialect::{Control, Greeting, Welcome};
use super::fault::Fault;
use super::transport::Stream;
use super::wire::{Decoder, Frame};

/// How long a broker may take for an answer.
pub(super) const ANSWER: Duration = Duration::from_secs(10);

/// The first byte of the only packet that answers a greeting.
const CONNACK: u8 = 0x20;

/// What a connection is opened for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Purpose<'p> {
    pub(super) client_id: &'p str,
    /// Ends whatever session there was.
    pub(super) clean: bool,
    /// Seconds that the session outlives its connection.
    pub(super) expiry: u32,
    /// Unacknowledged messages that the broker may send.
    pub(super) receive_maximum: u16,
    /// The longest packet that is taken.
    pub(super) limit: usize,
}

/// Connects and says hello; answers the stream, what came behind the welcome, and the welcome.
pub(super) async fn greet(terms: &Terms, purpose: &Purpose<'_>) -> Result<(Box<dyn Stream>, BytesMut, Welcome), Fault> {
    let dialect = terms.dialect;
    let mut out = BytesMut::new();
    dialect.connect(
        &Greeting {
            client_id: purpose.client_id,
            clean: purpose.clean,
            keep_alive: terms.keep_alive,
            expiry: purpose.expiry,
            receive_maximum: purpose.receive_maximum,
            user: terms.user.as_deref(),
            password: terms.password.as_deref(),
        },
        &mut out,
    )?;
    let mut stream = match timeout(ANSWER, terms.transport.open()).await {
        Ok(stream) => stream?,
        Err(_) => return Err(Fault::Mute(ANSWER)),
    };
    let answer = async {
        stream.write_all(&out).await.map_err(Fault::Lost)?;
        stream.flush().await.map_err(Fault::Lost)?;
        let mut decoder = Decoder::new(dialect.has_properties(), purpose.limit);
        let mut input = BytesMut::with_capacity(8 * 1024);
        loop {
            match decoder.next(&mut input)? {
                Some(Frame::Control(frame)) => return Ok((dialect.read(frame)?, input)),
                Some(Frame::Publish(_)) => return Err(Fault::Protocol("a message before the welcome".into())),
                None => {}
            }
            // Whoever answers in another protocol may never complete what would be a packet.
            if input.first().is_some_and(|first| *first != CONNACK) {
                return Err(Fault::Protocol("its first packet is no answer to a greeting".into()));
            }
            // Some brokers reset a connection whose greeting they do not understand.
            if !matches!(stream.read_buf(&mut input).await, Ok(1..)) {
                return Err(Fault::ClosedAtOnce(dialect.other()));
            }
        }
    };
    match timeout(ANSWER, answer).await {
        Ok(Ok((Control::Refused(refusal), _))) => Err(Fault::Refused(refusal)),
        Ok(Ok((Control::Welcome(welcome), input))) => Ok((stream, input, welcome)),
        Ok(Ok(_)) => Err(Fault::Protocol("something else than a welcome".into())),
        Ok(Err(fault)) => Err(fault),
        Err(_) => Err(Fault::Mute(ANSWER)),
    }
}
