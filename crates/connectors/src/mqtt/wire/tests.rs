//! The decoder against packets written by the client crate, in any pieces, and against packets that nobody should write.

use mqtt5::mqttbytes::QoS;
use mqtt5::mqttbytes::v5;
use proptest::prelude::*;

use super::*;

fn packet(topic: &str, quality: QoS, payload: &[u8], content_type: Option<&str>) -> BytesMut {
    let properties = content_type
        .map(|text| v5::PublishProperties { content_type: Some(text.to_owned()), ..v5::PublishProperties::default() });
    let mut publish = v5::Publish::new(topic, quality, payload.to_vec(), properties);
    publish.pkid = if quality == QoS::AtMostOnce { 0 } else { 7 };
    let mut out = BytesMut::new();
    v5::Packet::Publish(publish).write(&mut out, None).unwrap();
    out
}

fn only(input: &mut BytesMut) -> Publish {
    match Decoder::new(true, 1 << 20).next(input) {
        Ok(Some(Frame::Publish(publish))) => publish,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_message_is_three_slices() {
    let publish = only(&mut packet("a/b", QoS::AtLeastOnce, b"hello", Some("text/plain")));
    assert_eq!((&publish.topic[..], &publish.payload[..]), (&b"a/b"[..], &b"hello"[..]));
    assert_eq!(publish.ack, Some(Ack::Once(7)));
    assert_eq!(&publish.properties[..], b"\x03\x00\x0atext/plain");
    assert_eq!(only(&mut packet("a", QoS::AtMostOnce, b"", None)).ack, None);
    assert_eq!(only(&mut packet("a", QoS::ExactlyOnce, b"", None)).ack, Some(Ack::Receive(7)));
}

#[test]
fn version_3_1_1_has_no_properties() {
    let mut input = BytesMut::from(&b"\x32\x07\x00\x01t\x00\x09hi"[..]);
    let Ok(Some(Frame::Publish(publish))) = Decoder::new(false, 100).next(&mut input) else { panic!("{input:?}") };
    assert_eq!((publish.ack, &publish.payload[..]), (Some(Ack::Once(9)), &b"hi"[..]));
}

#[test]
fn a_message_that_is_too_large_keeps_its_head_and_loses_the_rest() {
    let payload = vec![b'x'; HEAD * 3];
    let mut stream = packet("big", QoS::AtLeastOnce, &payload, None);
    let whole = stream.len();
    stream.extend_from_slice(&packet("next", QoS::AtMostOnce, b"1", None));
    let mut decoder = Decoder::new(true, 1000);
    let (mut input, mut found, mut most) = (BytesMut::new(), Vec::new(), 0);
    for piece in stream.chunks(5000) {
        input.extend_from_slice(piece);
        while let Some(frame) = decoder.next(&mut input).unwrap() {
            found.push(frame);
        }
        most = most.max(input.len());
    }
    let [Frame::Publish(big), Frame::Publish(next)] = &found[..] else { panic!("{found:?}") };
    assert_eq!(big.flaw, Some(Flaw::Oversize { size: whole, limit: 1000 }));
    assert_eq!((&big.topic[..], big.ack), (&b"big"[..], Some(Ack::Once(7))));
    assert!(big.payload.len() < HEAD && most < HEAD + 5000, "{} {most}", big.payload.len());
    assert_eq!(&next.topic[..], b"next");
}

#[test]
fn properties_that_overrun_their_packet_leave_the_message_to_be_refused() {
    let mut input = BytesMut::from(&b"\x32\x06\x00\x01t\x00\x09\x50"[..]);
    let publish = only(&mut input);
    assert_eq!((publish.flaw, publish.ack), (Some(Flaw::Properties), Some(Ack::Once(9))));
}

#[test]
fn what_cannot_be_acknowledged_or_cut_breaks_the_stream() {
    for (bytes, part) in [
        (&b"\x32\x03\x00\x05t"[..], "topic"),
        (&b"\x32\x03\x00\x01t"[..], "no room"),
        (&b"\x32\x06\x00\x01t\x00\x00\x00"[..], "identifier 0"),
        (&b"\x36\x06\x00\x01t\x00\x01\x00"[..], "quality of service 3"),
        (&b"\x32\xff\xff\xff\xff\x01"[..], "four bytes"),
        (&b"\x20\xff\xff\xff\x7f"[..], "control packet"),
    ] {
        let broken = Decoder::new(true, 1000).next(&mut BytesMut::from(bytes)).unwrap_err();
        assert!(broken.to_string().contains(part), "{bytes:?}: {broken}");
    }
}

#[test]
fn acknowledgements_are_what_the_crate_reads() {
    let mut out = BytesMut::new();
    write_ack(Ack::Once(258), &mut out);
    write_ack(Ack::Receive(3), &mut out);
    write_complete(3, &mut out);
    write_ping(&mut out);
    let mut read = || v5::Packet::read(&mut out, None).unwrap();
    assert!(matches!(read(), v5::Packet::PubAck(ack) if ack.pkid == 258));
    assert!(matches!(read(), v5::Packet::PubRec(ack) if ack.pkid == 3));
    assert!(matches!(read(), v5::Packet::PubComp(ack) if ack.pkid == 3));
    assert!(matches!(read(), v5::Packet::PingReq));
}

proptest! {
    #[test]
    fn pieces_do_not_matter(
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..400), 1..8),
        cut in 1_usize..97,
    ) {
        let mut stream = BytesMut::new();
        for payload in &payloads {
            stream.extend_from_slice(&packet("t/x", QoS::AtLeastOnce, payload, Some("a")));
        }
        let mut decoder = Decoder::new(true, 1 << 20);
        let (mut input, mut read) = (BytesMut::new(), Vec::new());
        for piece in stream.chunks(cut) {
            input.extend_from_slice(piece);
            while let Some(Frame::Publish(publish)) = decoder.next(&mut input).unwrap() {
                read.push(publish.payload.to_vec());
            }
        }
        prop_assert_eq!(read, payloads);
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), limit in 2_usize..300) {
        let mut decoder = Decoder::new(true, limit);
        let mut input = BytesMut::from(&bytes[..]);
        while let Ok(Some(_)) = decoder.next(&mut input) {}
    }
}
