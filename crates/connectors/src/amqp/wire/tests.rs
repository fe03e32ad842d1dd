//! Frames as they stand on the wire, whole, cut and wrong.

use proptest::prelude::*;

use super::*;

/// A frame as a broker writes it.
pub(in crate::amqp) fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![kind];
    out.extend(channel.to_be_bytes());
    out.extend((payload.len() as u32).to_be_bytes());
    out.extend(payload);
    out.push(END);
    out
}

fn decoder(bytes: &[u8]) -> Decoder {
    Decoder { buffer: BytesMut::from(bytes) }
}

const DELIVER: &[u8] = b"\x00\x3c\x00\x3c\x01c\x00\x00\x00\x00\x00\x00\x01\x02\x01\x02ex\x03k.\xff";

#[test]
fn a_delivery_keeps_bytes_that_are_no_text() {
    let mut decoder = decoder(&frame(1, 1, DELIVER));
    let Some(Frame::Method(1, Method::Deliver(delivery))) = decoder.next().unwrap() else { panic!("no delivery") };
    assert_eq!((delivery.tag, delivery.redelivered), (258, true));
    assert_eq!((delivery.exchange.as_ref(), delivery.routing_key.as_ref()), (&b"ex"[..], &b"k.\xff"[..]));
    assert_eq!(decoder.next(), Ok(None));
}

#[test]
fn a_refusal_says_why() {
    let mut payload = vec![0, 20, 0, 40, 1, 0x94, 9];
    payload.extend(b"NOT_FOUND\0\x32\0\x0a");
    let refusal = Refusal { code: 404, text: "NOT_FOUND".into() };
    assert_eq!(decoder(&frame(1, 1, &payload)).next(), Ok(Some(Frame::Method(1, Method::ChannelClose(refusal)))));
}

#[test]
fn every_prefix_of_a_frame_waits_for_the_rest() {
    let whole: Vec<u8> =
        [frame(1, 1, DELIVER), frame(2, 1, b"\0\x3c\0\0\0\0\0\0\0\0\0\x02\0\0"), frame(3, 1, b"hi"), frame(8, 0, b"")]
            .concat();
    let mut decoder = Decoder::default();
    let mut frames = Vec::new();
    for byte in &whole {
        decoder.buffer.extend_from_slice(&[*byte]);
        frames.extend(decoder.next().unwrap());
    }
    assert_eq!(frames.len(), 4);
    assert_eq!(frames[1], Frame::Header { size: 2, properties: Bytes::from_static(b"\0\0") });
    assert_eq!(frames[2..], [Frame::Body(Bytes::from_static(b"hi")), Frame::Heartbeat]);
}

#[test]
fn what_is_not_the_protocol_is_told_at_once() {
    for (bytes, part) in [
        (b"AMQP\x03\x01\x00\x00".to_vec(), "another version"),
        (b"HTTP/1.1 400 Bad Request\r\n".to_vec(), "more than was agreed"),
        (vec![0x15, 3], "first byte of 0x15"),
        (frame(1, 0, &[0; 200_000]), "more than was agreed"),
        (frame(4, 0, b""), "type 4"),
        (frame(1, 0, b"\0\x3c\0"), "bytes are announced"),
        (frame(1, 1, &DELIVER[..14]), "bytes are announced"),
        (frame(2, 1, b"\0\x3c\0\0"), "bytes are announced"),
        ([&frame(3, 1, b"hi")[..9], &[0]].concat(), "does not end"),
    ] {
        let said = decoder(&bytes).next().unwrap_err().to_string();
        assert!(said.contains(part), "{bytes:?}: {said}");
    }
}

#[test]
fn methods_are_written_as_the_protocol_wants_them() {
    let mut out = BytesMut::new();
    ack(&mut out, 1, 258, true);
    assert_eq!(out.as_ref(), frame(1, 1, b"\0\x3c\0\x50\0\0\0\0\0\0\x01\x02\x01"));
    out.clear();
    requeue(&mut out, 1, 7);
    assert_eq!(out.as_ref(), frame(1, 1, b"\0\x3c\0\x78\0\0\0\0\0\0\0\x07\x02"));
    out.clear();
    declare(&mut out, 2, "q", true, true, &[]);
    assert_eq!(out.as_ref(), frame(1, 2, b"\0\x32\0\x0a\0\0\x01q\x03\0\0\0\0"));
    out.clear();
    heartbeat(&mut out);
    assert_eq!(out.as_ref(), frame(8, 0, b""));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic_or_stand_still(bytes in prop::collection::vec(any::<u8>(), 0..300), kind in 1..9_u8) {
        let mut decoder = decoder(&[frame(kind, 1, &bytes), bytes].concat());
        for _ in 0..1000 {
            let before = decoder.buffer.len();
            match decoder.next() {
                Ok(Some(_)) => prop_assert!(decoder.buffer.len() < before),
                Ok(None) | Err(_) => break,
            }
        }
    }
}
