//! Whole packets out of a stream of bytes. A packet counts only when its last byte has come, which
//! is what lets a test say which PUBLISH was delivered whole.

use bytes::{Buf, Bytes, BytesMut};

use super::Version;

/// The packet types that the kit tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of the MQTT specification")]
pub enum Kind {
    Connect,
    Connack,
    Publish,
    Puback,
    Subscribe,
    Suback,
    Unsubscribe,
    Unsuback,
    Pingreq,
    Pingresp,
    Disconnect,
    /// QoS 2 and AUTH, which nothing here speaks.
    Other(u8),
}

impl Kind {
    fn of(first_byte: u8) -> Self {
        match first_byte >> 4 {
            1 => Self::Connect,
            2 => Self::Connack,
            3 => Self::Publish,
            4 => Self::Puback,
            8 => Self::Subscribe,
            9 => Self::Suback,
            10 => Self::Unsubscribe,
            11 => Self::Unsuback,
            12 => Self::Pingreq,
            13 => Self::Pingresp,
            14 => Self::Disconnect,
            other => Self::Other(other),
        }
    }
}

/// Bytes that are no MQTT packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// One whole packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Its type.
    pub kind: Kind,
    /// Every byte of it, the fixed header included.
    pub raw: Bytes,
    body_at: usize,
}

/// The parts of a PUBLISH.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    /// The topic, as far as it is UTF-8.
    pub topic: String,
    /// Zero at QoS 0.
    pub packet_id: u16,
    /// MQTT 5 user properties, in order.
    pub user_properties: Vec<(String, String)>,
    /// The payload.
    pub payload: Bytes,
}

impl Frame {
    /// What follows the fixed header.
    #[must_use]
    pub fn body(&self) -> Bytes {
        self.raw.slice(self.body_at..)
    }

    /// The packet id at the start of a PUBACK, SUBSCRIBE or UNSUBSCRIBE.
    ///
    /// # Panics
    /// When the packet is too short to have one.
    #[must_use]
    pub fn packet_id(&self) -> u16 {
        self.body().get_u16()
    }

    /// The protocol version that a CONNECT asks for.
    #[must_use]
    pub fn version(&self) -> Version {
        // The level follows the protocol name, whose length comes first.
        let body = self.body();
        let name = usize::from(u16::from_be_bytes([body[0], body[1]]));
        if body[2 + name] == 5 { Version::V5 } else { Version::V311 }
    }

    /// The parts of a PUBLISH, or `None` for anything else and for one that is cut short.
    #[must_use]
    pub fn publish(&self, version: Version) -> Option<Publish> {
        if self.kind != Kind::Publish {
            return None;
        }
        let mut body = self.body();
        let topic = read_text(&mut body)?;
        let qos = self.raw[0] >> 1 & 3;
        let packet_id = if qos > 0 { body.try_get_u16().ok()? } else { 0 };
        let mut user_properties = Vec::new();
        if version == Version::V5 {
            let (length, taken) = variable_integer(&body)?.ok()?;
            if body.len() < taken + length {
                return None;
            }
            body.advance(taken);
            user_properties = read_user_properties(body.split_to(length))?;
        }
        Some(Publish { topic, packet_id, user_properties, payload: body })
    }
}

/// The user properties among the properties of a PUBLISH, or `None` when one is cut short.
fn read_user_properties(mut properties: Bytes) -> Option<Vec<(String, String)>> {
    let mut found = Vec::new();
    while let Ok(kind) = properties.try_get_u8() {
        match kind {
            0x01 => drop(properties.try_get_u8().ok()?),
            0x02 => drop(properties.try_get_u32().ok()?),
            0x23 => drop(properties.try_get_u16().ok()?),
            0x0b => properties.advance(variable_integer(&properties)?.ok()?.1),
            0x26 => found.push((read_text(&mut properties)?, read_text(&mut properties)?)),
            _ => drop(read_text(&mut properties)?),
        }
    }
    Some(found)
}

/// Text behind its length, as far as it is UTF-8.
fn read_text(from: &mut Bytes) -> Option<String> {
    let length = usize::from(from.try_get_u16().ok()?);
    (from.len() >= length).then(|| String::from_utf8_lossy(&from.split_to(length)).into_owned())
}

/// Cuts a stream of bytes into packets.
#[derive(Debug, Default)]
pub struct Framer {
    buffer: BytesMut,
}

impl Framer {
    /// Adds what has been read.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole packet, or `None` while it is not whole.
    ///
    /// # Errors
    /// [`Malformed`] when the length of the packet is not encoded as MQTT says.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, Malformed> {
        let Some(&first) = self.buffer.first() else {
            return Ok(None);
        };
        let Some(length) = variable_integer(&self.buffer[1..]) else {
            return Ok(None);
        };
        let (length, taken) = length?;
        let body_at = 1 + taken;
        if self.buffer.len() < body_at + length {
            return Ok(None);
        }
        let raw = self.buffer.split_to(body_at + length).freeze();
        Ok(Some(Frame { kind: Kind::of(first), raw, body_at }))
    }
}

/// A variable byte integer and how many bytes it takes, or `None` while it is not whole.
fn variable_integer(bytes: &[u8]) -> Option<Result<(usize, usize), Malformed>> {
    let mut value = 0;
    for (at, byte) in bytes.iter().enumerate().take(4) {
        value |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some(Ok((value, at + 1)));
        }
    }
    (bytes.len() >= 4).then_some(Err(Malformed))
}
