//! Frames of AMQP 0-9-1: reading what a broker sends, and writing the few methods that are needed.
//!
//! A frame is whole or not there yet, and its size is bounded before it is believed. What stands in a message's header
//! frame is not read here: a header that cannot be read is the message's fault, see `message`.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::fault::Refusal;
use super::table::{self, Argument};

/// What the protocol begins with.
pub(super) const GREETING: &[u8] = b"AMQP\x00\x00\x09\x01";
/// The largest frame that is asked for, and RabbitMQ's own default, in bytes.
pub const FRAME: usize = 128 << 10;
/// What a frame has besides its payload.
pub(super) const AROUND: usize = 8;
const END: u8 = 0xce;

/// A broker sent what is no AMQP 0-9-1, or a message's header is broken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Broken(pub(super) String);

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Frame {
    Method(u16, Method),
    /// The size of the body that follows, and the properties unread.
    Header {
        size: u64,
        properties: Bytes,
    },
    Body(Bytes),
    Heartbeat,
}

/// What a broker tells or answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Method {
    /// The login mechanisms, with spaces between them.
    Start(String),
    Tune {
        channels: u16,
        frame: u32,
        heartbeat: u16,
    },
    Open,
    Close(Refusal),
    CloseOk,
    ChannelOpen,
    ChannelClose(Refusal),
    ChannelCloseOk,
    /// The broker wants publishing to pause or to go on, which a consumer only confirms.
    Flow(bool),
    /// A queue is there, with so many messages ready.
    Declared(u32),
    Qos,
    Consuming,
    Cancelled,
    CancelOk,
    Deliver(Delivery),
    /// A message that was published and reached no queue follows, and why.
    Return(Delivery, String),
    /// Publishing has to wait, and why; or it may go on.
    Blocked(Option<String>),
    /// What was published is confirmed, or refused.
    Confirmed {
        tag: u64,
        multiple: bool,
        taken: bool,
    },
    Selected,
    ExchangeThere,
    /// Anything else, which is of no concern here.
    Other,
}

/// What precedes a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Delivery {
    pub(super) tag: u64,
    pub(super) redelivered: bool,
    pub(super) exchange: Bytes,
    pub(super) routing_key: Bytes,
}

/// Takes frames off what was read.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    pub(super) buffer: BytesMut,
}

impl Decoder {
    /// The next whole frame, if there is one.
    pub(super) fn next(&mut self) -> Result<Option<Frame>, Broken> {
        let Some(&head) = self.buffer.first_chunk::<7>() else { return self.not_yet() };
        let (kind, channel) = (head[0], u16::from_be_bytes([head[1], head[2]]));
        let size = u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize;
        if kind == b'A' {
            return Err(Broken("it speaks another version of AMQP, or wants TLS".to_owned()));
        }
        if size + AROUND > FRAME {
            return Err(Broken(format!("a frame of {size} bytes, which is more than was agreed")));
        }
        if self.buffer.len() < size + AROUND {
            return Ok(None);
        }
        let mut frame = self.buffer.split_to(size + AROUND).freeze();
        if frame[size + AROUND - 1] != END {
            return Err(Broken("a frame that does not end where it says".to_owned()));
        }
        frame.advance(AROUND - 1);
        frame.truncate(size);
        Ok(Some(match kind {
            1 => Frame::Method(channel, method(&frame)?),
            2 => {
                let mut cursor = Cursor(&frame);
                // The class, and a weight that nobody uses.
                cursor.take(4)?;
                let size = cursor.number(8)?;
                frame.advance(12);
                Frame::Header { size, properties: frame }
            }
            3 => Frame::Body(frame),
            8 => Frame::Heartbeat,
            other => return Err(Broken(format!("a frame of type {other}, which is none"))),
        }))
    }

    /// A broker that refuses the protocol's version answers with its own greeting and no frame.
    fn not_yet(&self) -> Result<Option<Frame>, Broken> {
        match self.buffer.first() {
            None | Some(1..=8 | b'A') => Ok(None),
            Some(other) => Err(Broken(format!("a first byte of {other:#04x}"))),
        }
    }
}

fn method(frame: &Bytes) -> Result<Method, Broken> {
    let mut cursor = Cursor(frame);
    let (class, number) = (cursor.number(2)?, cursor.number(2)?);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let refusal = |cursor: &mut Cursor<'_>| -> Result<Refusal, Broken> {
        Ok(Refusal { code: cursor.number(2)? as u16, text: text(cursor.short()?) })
    };
    Ok(match (class, number) {
        (10, 10) => {
            cursor.take(2)?;
            cursor.long()?;
            Method::Start(text(cursor.long()?))
        }
        (10, 30) => Method::Tune {
            channels: cursor.number(2)? as u16,
            frame: cursor.number(4)? as u32,
            heartbeat: cursor.number(2)? as u16,
        },
        (10, 41) => Method::Open,
        (10, 50) => Method::Close(refusal(&mut cursor)?),
        (10, 51) => Method::CloseOk,
        (20, 11) => Method::ChannelOpen,
        (20, 20) => Method::Flow(cursor.number(1)? & 1 == 1),
        (20, 40) => Method::ChannelClose(refusal(&mut cursor)?),
        (20, 41) => Method::ChannelCloseOk,
        (50, 11) => {
            cursor.short()?;
            Method::Declared(cursor.number(4)? as u32)
        }
        (10, 60) => Method::Blocked(Some(text(cursor.short()?))),
        (10, 61) => Method::Blocked(None),
        (40, 11) => Method::ExchangeThere,
        (85, 11) => Method::Selected,
        (60, 50) => {
            let Refusal { code, text } = refusal(&mut cursor)?;
            let (exchange, routing_key) = (cursor.short()?, cursor.short()?);
            let slice = |part: &[u8]| frame.slice_ref(part);
            let delivery =
                Delivery { tag: 0, redelivered: false, exchange: slice(exchange), routing_key: slice(routing_key) };
            Method::Return(delivery, format!("{code} {text}"))
        }
        (60, 80 | 120) => {
            let (tag, flags) = (cursor.number(8)?, cursor.number(1)?);
            Method::Confirmed { tag, multiple: flags & 1 == 1, taken: number == 80 }
        }
        (60, 11) => Method::Qos,
        (60, 21) => Method::Consuming,
        (60, 30) => Method::Cancelled,
        (60, 31) => Method::CancelOk,
        (60, 60) => {
            cursor.short()?;
            let tag = cursor.number(8)?;
            let redelivered = cursor.number(1)? & 1 == 1;
            let (exchange, routing_key) = (cursor.short()?, cursor.short()?);
            let slice = |part: &[u8]| frame.slice_ref(part);
            Method::Deliver(Delivery { tag, redelivered, exchange: slice(exchange), routing_key: slice(routing_key) })
        }
        _ => Method::Other,
    })
}

/// Reads numbers and strings off the front.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'b>(pub(super) &'b [u8]);

impl<'b> Cursor<'b> {
    pub(super) fn take(&mut self, count: usize) -> Result<&'b [u8], Broken> {
        let Some((head, rest)) = self.0.split_at_checked(count) else {
            return Err(Broken(format!("{count} bytes are announced, and {} are there", self.0.len())));
        };
        self.0 = rest;
        Ok(head)
    }

    /// A number of at most eight bytes.
    pub(super) fn number(&mut self, bytes: usize) -> Result<u64, Broken> {
        Ok(self.take(bytes)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// A string with a length of one byte.
    pub(super) fn short(&mut self) -> Result<&'b [u8], Broken> {
        let length = self.number(1)? as usize;
        self.take(length)
    }

    /// A string or table with a length of four bytes.
    pub(super) fn long(&mut self) -> Result<&'b [u8], Broken> {
        let length = self.number(4)? as usize;
        self.take(length)
    }
}

/// Writes a string of at most 255 bytes; what is longer was refused by the check.
pub(super) fn put_short(out: &mut BytesMut, text: &str) {
    let bytes = &text.as_bytes()[..text.len().min(255)];
    out.put_u8(bytes.len() as u8);
    out.extend_from_slice(bytes);
}

/// Writes bytes with their length.
pub(super) fn put_long(out: &mut BytesMut, bytes: &[u8]) {
    out.put_u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    out.extend_from_slice(bytes);
}

/// Writes a frame with a method and its arguments.
fn put(out: &mut BytesMut, channel: u16, (class, number): (u16, u16), arguments: impl FnOnce(&mut BytesMut)) {
    out.put_u8(1);
    out.put_u16(channel);
    let start = out.len();
    out.put_u32(0);
    out.put_u16(class);
    out.put_u16(number);
    arguments(out);
    let size = u32::try_from(out.len() - start - 4).unwrap_or(u32::MAX);
    out[start..start + 4].copy_from_slice(&size.to_be_bytes());
    out.put_u8(END);
}

pub(super) fn heartbeat(out: &mut BytesMut) {
    out.extend_from_slice(&[8, 0, 0, 0, 0, 0, 0, END]);
}

pub(super) fn start_ok(out: &mut BytesMut, properties: &[(String, Argument)], mechanism: &str, response: &str) {
    put(out, 0, (10, 11), |out| {
        table::write(out, properties);
        put_short(out, mechanism);
        put_long(out, response.as_bytes());
        put_short(out, "en_US");
    });
}

pub(super) fn tune_ok(out: &mut BytesMut, channels: u16, frame: u32, heartbeat: u16) {
    put(out, 0, (10, 31), |out| {
        out.put_u16(channels);
        out.put_u32(frame);
        out.put_u16(heartbeat);
    });
}

pub(super) fn open(out: &mut BytesMut, vhost: &str) {
    put(out, 0, (10, 40), |out| {
        put_short(out, vhost);
        out.put_u16(0);
    });
}

pub(super) fn close(out: &mut BytesMut) {
    put(out, 0, (10, 50), |out| {
        out.put_u16(200);
        put_short(out, "goodbye");
        out.put_u32(0);
    });
}

pub(super) fn close_ok(out: &mut BytesMut) {
    put(out, 0, (10, 51), |_| {});
}

pub(super) fn channel_open(out: &mut BytesMut, channel: u16) {
    put(out, channel, (20, 10), |out| out.put_u8(0));
}

pub(super) fn channel_close_ok(out: &mut BytesMut, channel: u16) {
    put(out, channel, (20, 41), |_| {});
}

pub(super) fn flow_ok(out: &mut BytesMut, channel: u16, active: bool) {
    put(out, channel, (20, 21), |out| out.put_u8(u8::from(active)));
}

/// Declares a durable or transient queue, or asks only whether it is there.
pub(super) fn declare(
    out: &mut BytesMut,
    channel: u16,
    queue: &str,
    passive: bool,
    durable: bool,
    arguments: &[(String, Argument)],
) {
    put(out, channel, (50, 10), |out| {
        out.put_u16(0);
        put_short(out, queue);
        out.put_u8(u8::from(passive) | u8::from(durable) << 1);
        table::write(out, arguments);
    });
}

/// Bounds what the broker sends without an acknowledgement, for every consumer of the channel.
pub(super) fn qos(out: &mut BytesMut, channel: u16, count: u16) {
    put(out, channel, (60, 10), |out| {
        out.put_u32(0);
        out.put_u16(count);
        out.put_u8(0);
    });
}

pub(super) fn consume(out: &mut BytesMut, channel: u16, queue: &str, tag: &str) {
    put(out, channel, (60, 20), |out| {
        out.put_u16(0);
        put_short(out, queue);
        put_short(out, tag);
        out.put_u8(0);
        out.put_u32(0);
    });
}

pub(super) fn cancel(out: &mut BytesMut, channel: u16, tag: &str) {
    put(out, channel, (60, 30), |out| {
        put_short(out, tag);
        out.put_u8(0);
    });
}

pub(super) fn ack(out: &mut BytesMut, channel: u16, tag: u64, multiple: bool) {
    put(out, channel, (60, 80), |out| {
        out.put_u64(tag);
        out.put_u8(u8::from(multiple));
    });
}

/// Refuses one message for good: the broker dead-letters it where the queue says so, and forgets it otherwise.
pub(super) fn reject(out: &mut BytesMut, channel: u16, tag: u64) {
    put(out, channel, (60, 90), |out| {
        out.put_u64(tag);
        out.put_u8(0);
    });
}

/// Has what is published on a channel confirmed.
pub(super) fn confirm_select(out: &mut BytesMut, channel: u16) {
    put(out, channel, (85, 10), |out| out.put_u8(0));
}

/// Asks whether an exchange is there.
pub(super) fn exchange_there(out: &mut BytesMut, channel: u16, exchange: &str) {
    put(out, channel, (40, 10), |out| {
        out.put_u16(0);
        put_short(out, exchange);
        put_short(out, "");
        out.put_u8(1);
        out.put_u32(0);
    });
}

/// Publishes a message that must reach a queue.
pub(super) fn publish(
    out: &mut BytesMut,
    channel: u16,
    (exchange, routing_key): (&str, &str),
    properties: &[u8],
    payload: &[u8],
) {
    put(out, channel, (60, 40), |out| {
        out.put_u16(0);
        put_short(out, exchange);
        put_short(out, routing_key);
        out.put_u8(1);
    });
    let mut frame = |kind: u8, parts: &[&[u8]]| {
        out.put_u8(kind);
        out.put_u16(channel);
        out.put_u32(parts.iter().map(|part| part.len() as u32).sum());
        parts.iter().for_each(|part| out.extend_from_slice(part));
        out.put_u8(END);
    };
    frame(2, &[&[0, 60, 0, 0], &(payload.len() as u64).to_be_bytes(), properties]);
    payload.chunks(FRAME - AROUND).for_each(|part| frame(3, &[part]));
}

/// Hands one message back to its queue.
pub(super) fn requeue(out: &mut BytesMut, channel: u16, tag: u64) {
    put(out, channel, (60, 120), |out| {
        out.put_u64(tag);
        out.put_u8(0b10);
    });
}

#[cfg(test)]
pub(super) mod tests;
