//! The packets that a broker sends, and the CONNECT that asks whether one is there.

use bytes::{BufMut, Bytes, BytesMut};

use super::Version;

/// A CONNECT with a clean session, a keep-alive of a minute and no credentials.
#[must_use]
pub fn connect(version: Version, client_id: &str) -> Bytes {
    let mut body = BytesMut::new();
    put_text(&mut body, "MQTT");
    body.put_u8(if version == Version::V5 { 5 } else { 4 });
    body.put_u8(0b10);
    body.put_u16(60);
    put_no_properties(&mut body, version);
    put_text(&mut body, client_id);
    packet(0x10, &body)
}

/// A CONNACK with this code; above zero the client is refused. For version 5 `receive_maximum` is
/// told when it is given.
#[must_use]
pub fn connack(version: Version, session_present: bool, code: u8, receive_maximum: Option<u16>) -> Bytes {
    let mut body = BytesMut::new();
    body.put_u8(u8::from(session_present));
    body.put_u8(code);
    match (version, receive_maximum) {
        (Version::V5, Some(messages)) => {
            body.put_u8(3);
            body.put_u8(0x21);
            body.put_u16(messages);
        }
        _ => put_no_properties(&mut body, version),
    }
    packet(0x20, &body)
}

/// A SUBACK that grants QoS 1 to this many filters.
#[must_use]
pub fn suback(version: Version, packet_id: u16, filters: usize) -> Bytes {
    let mut body = BytesMut::new();
    body.put_u16(packet_id);
    put_no_properties(&mut body, version);
    body.put_bytes(1, filters);
    packet(0x90, &body)
}

/// An UNSUBACK for this many filters.
#[must_use]
pub fn unsuback(version: Version, packet_id: u16, filters: usize) -> Bytes {
    let mut body = BytesMut::new();
    body.put_u16(packet_id);
    if version == Version::V5 {
        put_no_properties(&mut body, version);
        body.put_bytes(0, filters);
    }
    packet(0xb0, &body)
}

/// A PUBLISH at QoS 1, or at QoS 0 when the packet id is zero.
#[must_use]
pub fn publish(version: Version, topic: &str, packet_id: u16, payload: &[u8]) -> Bytes {
    let mut body = BytesMut::with_capacity(topic.len() + payload.len() + 8);
    put_text(&mut body, topic);
    if packet_id > 0 {
        body.put_u16(packet_id);
    }
    put_no_properties(&mut body, version);
    body.put_slice(payload);
    packet(if packet_id > 0 { 0x32 } else { 0x30 }, &body)
}

/// A PUBACK that says success.
#[must_use]
pub fn puback(packet_id: u16) -> Bytes {
    packet(0x40, &packet_id.to_be_bytes())
}

/// A PINGRESP.
#[must_use]
pub fn pingresp() -> Bytes {
    packet(0xd0, &[])
}

/// A DISCONNECT; version 5 carries the reason.
#[must_use]
pub fn disconnect(version: Version, reason: u8) -> Bytes {
    match version {
        Version::V5 => packet(0xe0, &[reason, 0]),
        Version::V311 => packet(0xe0, &[]),
    }
}

fn packet(first: u8, body: &[u8]) -> Bytes {
    let mut whole = BytesMut::with_capacity(body.len() + 5);
    whole.put_u8(first);
    let mut rest = body.len();
    loop {
        let low = (rest % 128) as u8;
        rest /= 128;
        whole.put_u8(if rest > 0 { low | 0x80 } else { low });
        if rest == 0 {
            break;
        }
    }
    whole.put_slice(body);
    whole.freeze()
}

fn put_text(into: &mut BytesMut, text: &str) {
    into.put_u16(u16::try_from(text.len()).expect("a text in a packet is at most 64 KiB"));
    into.put_slice(text.as_bytes());
}

fn put_no_properties(into: &mut BytesMut, version: Version) {
    if version == Version::V5 {
        into.put_u8(0);
    }
}
