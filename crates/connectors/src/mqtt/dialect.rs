//! What differs between MQTT 5 and 3.1.1: the packets around the messages.
//!
//! The packets themselves are the client crate's; this is the seam that keeps it in one place.

mod v311;
mod v5;

use bytes::{Bytes, BytesMut};
use engine::event::Text;

use super::fault::{Fault, Refusal};
use super::posting::Answer;

pub(super) use v5::V5;
pub(super) use v311::V311;

/// What the client says first.
#[derive(Clone, Debug)]
pub(super) struct Greeting<'g> {
    pub(super) client_id: &'g str,
    /// Ends whatever session there was.
    pub(super) clean: bool,
    /// Seconds; zero for never.
    pub(super) keep_alive: u16,
    /// Seconds that the session outlives the connection; 3.1.1 knows only for ever.
    pub(super) expiry: u32,
    /// Unacknowledged messages that the broker may send; 3.1.1 cannot say it.
    pub(super) receive_maximum: u16,
    pub(super) user: Option<&'g str>,
    pub(super) password: Option<&'g [u8]>,
}

/// What the broker says besides messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Control {
    /// The connection stands.
    Welcome(Welcome),
    /// The connection is refused.
    Refused(Refusal),
    /// An answer for each filter: the granted quality of service, or why not.
    Subscribed(Vec<Result<u8, String>>),
    /// The answer to an unsubscription with this packet identifier.
    Unsubscribed(u16),
    Pong,
    /// PUBACK: what became of a message that was published.
    Taken(Answer),
    /// PUBREL: the second half of quality of service 2.
    Release(u16),
    /// The broker ends the connection.
    Goodbye(Refusal),
}

/// What a broker says about a connection that it accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Welcome {
    pub(super) session_present: bool,
    /// The keep-alive that it asks for instead, in seconds.
    pub(super) keep_alive: Option<u16>,
    /// How many messages may be published without being confirmed.
    pub(super) receive_maximum: u16,
    /// The largest packet that it takes, in bytes.
    pub(super) packet: usize,
    /// The highest quality of service that it takes.
    pub(super) quality: u8,
    /// Whether it retains messages.
    pub(super) retains: bool,
}

impl Welcome {
    /// A welcome without a word about limits.
    pub(super) fn unlimited(session_present: bool) -> Welcome {
        let packet = super::wire::LARGEST;
        Welcome { session_present, keep_alive: None, receive_maximum: u16::MAX, packet, quality: 2, retains: true }
    }
}

/// One version of the protocol.
pub(super) trait Dialect: Send + Sync {
    /// The other version, as it is written under `version`.
    fn other(&self) -> &'static str;
    /// Whether packets have properties, and with them a receive maximum.
    fn has_properties(&self) -> bool;
    fn connect(&self, greeting: &Greeting<'_>, out: &mut BytesMut) -> Result<(), Fault>;
    fn subscribe(&self, packet: u16, filters: &[Text], quality: u8, out: &mut BytesMut) -> Result<(), Fault>;
    fn unsubscribe(&self, packet: u16, filters: &[Text], out: &mut BytesMut) -> Result<(), Fault>;
    /// Says goodbye; `end` ends the session too, where the version can say that.
    fn disconnect(&self, end: bool, out: &mut BytesMut) -> Result<(), Fault>;
    /// Tells the broker why the connection ends, where the version can say that; see [`Fault::complaint`].
    fn complain(&self, reason: u8, out: &mut BytesMut);
    /// Reads a whole packet that is no PUBLISH.
    fn read(&self, frame: BytesMut) -> Result<Control, Fault>;
}

/// What a client can do about a lasting refusal of its credentials.
const CREDENTIALS: &str = "bad user name or password; correct user and password";
const NOT_AUTHORIZED: &str = "not authorized; correct user and password, or grant this client access";
const CLIENT_ID: &str = "the client id is not accepted; set another clientId";

/// Strings and secrets as the crate wants them.
fn secret(password: Option<&[u8]>) -> Bytes {
    password.map(Bytes::copy_from_slice).unwrap_or_default()
}

/// What could not be written or read.
fn protocol(cause: impl std::fmt::Display) -> Fault {
    Fault::Protocol(cause.to_string().to_lowercase())
}

#[cfg(test)]
mod tests;
