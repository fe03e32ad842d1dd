//! MQTT frames: cutting the byte stream, reading PUBLISH, writing acknowledgements.
//!
//! Control packets are read and written by the client crate. PUBLISH is read here, for two reasons. A message that is
//! too large, or whose topic or properties are broken, must be refused with its raw bytes and acknowledged, where the
//! crate ends the connection and so gets the same message again for ever. And slices of the read buffer serve as topic,
//! properties and payload, so that a message costs no allocation.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::posting::{Manner, Message};

/// How much of a message that is too large is kept: always enough for the longest topic.
pub(super) const HEAD: usize = 66 * 1024;

/// The longest packet that MQTT can carry.
pub(super) const LARGEST: usize = 268_435_460;

const PUBLISH: u8 = 3;

/// How a message is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ack {
    /// PUBACK of this packet identifier.
    Once(u16),
    /// PUBREC of this packet identifier: quality of service 2, from a session that somebody else began.
    Receive(u16),
}

/// One received message, in slices of the read buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Publish {
    /// How to acknowledge it; nothing for quality of service 0.
    pub(super) ack: Option<Ack>,
    pub(super) topic: Bytes,
    /// The MQTT 5 properties without their length; empty on 3.1.1.
    pub(super) properties: Bytes,
    pub(super) payload: Bytes,
    /// Why it is no message for anybody, if so.
    pub(super) flaw: Option<Flaw>,
}

/// What is wrong with one message, while the stream itself is well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Flaw {
    #[error("the packet has {size} bytes, more than the {limit} of maxPacketSize")]
    Oversize { size: usize, limit: usize },
    #[error("its properties are longer than the packet")]
    Properties,
}

/// The stream is not MQTT, and nothing that follows can be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Broken(pub(super) &'static str);

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Frame {
    Publish(Publish),
    /// Any other packet, whole.
    Control(BytesMut),
}

impl Publish {
    /// Bytes that it occupies.
    pub(super) fn size(&self) -> usize {
        self.topic.len() + self.properties.len() + self.payload.len()
    }
}

/// Cuts a byte stream into frames.
#[derive(Debug)]
pub(super) struct Decoder {
    /// Whether packets have properties.
    properties: bool,
    /// The longest packet that is taken.
    limit: usize,
    /// What is left to skip of a packet that was too large.
    skip: usize,
}

impl Decoder {
    /// A decoder for packets up to `limit` bytes; `properties` is true for MQTT 5.
    pub(super) fn new(properties: bool, limit: usize) -> Decoder {
        Decoder { properties, limit, skip: 0 }
    }

    /// The next frame, or nothing when more bytes are needed.
    ///
    /// # Errors
    /// [`Broken`] when the stream cannot be cut any further.
    pub(super) fn next(&mut self, input: &mut BytesMut) -> Result<Option<Frame>, Broken> {
        if self.skip > 0 {
            let skipped = self.skip.min(input.len());
            input.advance(skipped);
            self.skip -= skipped;
        }
        let Some((header, body)) = fixed_header(input)? else { return Ok(None) };
        let whole = header + body;
        let first = input[0];
        if first >> 4 == PUBLISH && whole > self.limit {
            return self.oversize(input, header, whole);
        }
        if first >> 4 != PUBLISH && whole > self.limit.max(HEAD) {
            return Err(Broken("a control packet is larger than maxPacketSize"));
        }
        if input.len() < whole {
            input.reserve(whole - input.len());
            return Ok(None);
        }
        let mut frame = input.split_to(whole);
        if first >> 4 != PUBLISH {
            return Ok(Some(Frame::Control(frame)));
        }
        frame.advance(header);
        publish(first, frame.freeze(), self.properties).map(|publish| Some(Frame::Publish(publish)))
    }

    /// Keeps the head of a message that is too large and skips the rest as it comes, so that it is never in memory.
    fn oversize(&mut self, input: &mut BytesMut, header: usize, whole: usize) -> Result<Option<Frame>, Broken> {
        let head = whole.min(HEAD);
        if input.len() < head {
            input.reserve(head - input.len());
            return Ok(None);
        }
        let mut frame = input.split_to(head);
        let first = frame[0];
        frame.advance(header);
        self.skip = whole - head;
        let mut publish = publish(first, frame.freeze(), self.properties)?;
        publish.flaw = Some(Flaw::Oversize { size: whole, limit: self.limit });
        Ok(Some(Frame::Publish(publish)))
    }
}

/// The length of the fixed header and of what follows it.
fn fixed_header(input: &[u8]) -> Result<Option<(usize, usize)>, Broken> {
    let Some(after) = input.get(1..) else { return Ok(None) };
    Ok(variable_integer(after)?.map(|(length, digits)| (1 + digits, length)))
}

/// A variable byte integer and how many bytes it takes; nothing when it is not whole.
pub(super) fn variable_integer(input: &[u8]) -> Result<Option<(usize, usize)>, Broken> {
    let mut value = 0;
    for (index, byte) in input.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok(Some((value, index + 1)));
        }
    }
    if input.len() >= 4 { Err(Broken("a length is longer than four bytes")) } else { Ok(None) }
}

/// Reads what follows the fixed header of a PUBLISH whose first byte is `first`.
fn publish(first: u8, mut body: Bytes, with_properties: bool) -> Result<Publish, Broken> {
    let topic = prefixed(&mut body).ok_or(Broken("a topic is longer than its packet"))?;
    let ack = match (first >> 1) & 3 {
        0 => None,
        3 => return Err(Broken("a message asks for quality of service 3")),
        quality => {
            if body.len() < 2 {
                return Err(Broken("a message has no room for its packet identifier"));
            }
            match body.get_u16() {
                0 => return Err(Broken("a message has packet identifier 0")),
                packet if quality == 1 => Some(Ack::Once(packet)),
                packet => Some(Ack::Receive(packet)),
            }
        }
    };
    let mut publish = Publish { ack, topic, properties: Bytes::new(), payload: body, flaw: None };
    if with_properties {
        match variable_integer(&publish.payload) {
            Ok(Some((length, digits))) if digits + length <= publish.payload.len() => {
                publish.payload.advance(digits);
                publish.properties = publish.payload.split_to(length);
            }
            _ => publish.flaw = Some(Flaw::Properties),
        }
    }
    Ok(publish)
}

/// Bytes behind their length in two bytes; nothing when they are not whole.
pub(super) fn prefixed(input: &mut Bytes) -> Option<Bytes> {
    let length = usize::from(u16::from_be_bytes([*input.first()?, *input.get(1)?]));
    if input.len() < 2 + length {
        return None;
    }
    input.advance(2);
    Some(input.split_to(length))
}

/// Appends an acknowledgement, which looks the same in both versions.
pub(super) fn write_ack(ack: Ack, out: &mut BytesMut) {
    let (first, packet) = match ack {
        Ack::Once(packet) => (0x40, packet),
        Ack::Receive(packet) => (0x50, packet),
    };
    out.put_slice(&[first, 2]);
    out.put_u16(packet);
}

/// Appends the last word on a message of quality of service 2.
pub(super) fn write_complete(packet: u16, out: &mut BytesMut) {
    out.put_slice(&[0x70, 2]);
    out.put_u16(packet);
}

/// How many bytes [`write_publish`] writes.
pub(super) fn publish_size(manner: Manner, message: Message<'_>) -> usize {
    let body = publish_body(manner, message);
    let digits = [128, 16_384, 2_097_152].iter().filter(|bound| body >= **bound).count() + 1;
    1 + digits + body
}

/// What follows the fixed header.
fn publish_body(manner: Manner, Message { topic, properties, payload }: Message<'_>) -> usize {
    2 + topic.len() + 2 * usize::from(manner.quality > 0) + properties.len() + payload.len()
}

/// Appends a PUBLISH, which looks the same in both versions but for the properties. It must not be larger than
/// [`LARGEST`], nor its topic longer than a string can be.
pub(super) fn write_publish(manner: Manner, packet: u16, message: Message<'_>, out: &mut BytesMut) {
    out.reserve(publish_size(manner, message));
    out.put_u8(PUBLISH << 4 | manner.quality << 1 | u8::from(manner.retain));
    write_variable_integer(publish_body(manner, message), out);
    out.put_u16(message.topic.len() as u16);
    out.put_slice(message.topic.as_bytes());
    if manner.quality > 0 {
        out.put_u16(packet);
    }
    out.put_slice(message.properties);
    out.put_slice(message.payload);
}

/// Appends a variable byte integer.
pub(super) fn write_variable_integer(mut value: usize, out: &mut BytesMut) {
    while value > 0x7f {
        out.put_u8((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

/// Appends a PINGREQ.
pub(super) fn write_ping(out: &mut BytesMut) {
    out.put_slice(&[0xc0, 0]);
}

#[cfg(test)]
mod tests;
