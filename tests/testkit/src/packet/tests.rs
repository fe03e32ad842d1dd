//! Framing against what was encoded, byte by byte, and against the bytes of the specification.

use super::*;

fn frames(bytes: &[u8]) -> Vec<Frame> {
    let mut framer = Framer::default();
    framer.feed(bytes);
    std::iter::from_fn(|| framer.next_frame().unwrap()).collect()
}

#[test]
fn a_publish_is_found_again_in_both_versions() {
    for version in [Version::V311, Version::V5] {
        for (packet_id, size) in [(0, 0), (1, 1), (700, 200), (65_535, 300_000)] {
            let payload = vec![b'x'; size];
            let found = frames(&publish(version, "a/b", packet_id, &payload));
            let expected =
                Publish { topic: "a/b".to_owned(), packet_id, user_properties: Vec::new(), payload: payload.into() };
            assert_eq!(found[0].publish(version), Some(expected));
        }
    }
}

#[test]
fn a_packet_is_whole_only_with_its_last_byte() {
    let bytes = publish(Version::V5, "a", 1, &[7; 200]);
    let mut framer = Framer::default();
    for byte in &bytes[..bytes.len() - 1] {
        framer.feed(&[*byte]);
        assert_eq!(framer.next_frame(), Ok(None));
    }
    framer.feed(&bytes[bytes.len() - 1..]);
    assert_eq!(framer.next_frame().unwrap().unwrap().raw, bytes);
}

#[test]
fn packets_that_touch_are_told_apart() {
    let bytes = [puback(7), pingresp(), disconnect(Version::V5, 0)].concat();
    let found = frames(&bytes);
    let kinds: Vec<_> = found.iter().map(|frame| frame.kind).collect();
    assert_eq!(kinds, [Kind::Puback, Kind::Pingresp, Kind::Disconnect]);
    assert_eq!(found[0].packet_id(), 7);
}

#[test]
fn a_length_of_five_bytes_is_malformed() {
    let mut framer = Framer::default();
    framer.feed(&[0x30, 0xff, 0xff, 0xff, 0xff, 0x01]);
    assert_eq!(framer.next_frame(), Err(Malformed));
}

#[test]
fn the_bytes_are_those_of_the_specification() {
    assert_eq!(connect(Version::V311, "a")[..], [0x10, 13, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 60, 0, 1, b'a']);
    assert_eq!(connack(Version::V311, true, 0, None)[..], [0x20, 2, 1, 0]);
    assert_eq!(connack(Version::V5, false, 0x86, None)[..], [0x20, 3, 0, 0x86, 0]);
    assert_eq!(connack(Version::V5, false, 0, Some(10))[..], [0x20, 6, 0, 0, 3, 0x21, 0, 10]);
    assert_eq!(suback(Version::V5, 2, 2)[..], [0x90, 5, 0, 2, 0, 1, 1]);
    assert_eq!(unsuback(Version::V311, 2, 2)[..], [0xb0, 2, 0, 2]);
    assert_eq!(unsuback(Version::V5, 2, 1)[..], [0xb0, 4, 0, 2, 0, 0]);
    assert_eq!(frames(&connect(Version::V5, "a"))[0].version(), Version::V5);
    assert_eq!(frames(&connect(Version::V311, "a"))[0].version(), Version::V311);
}

#[test]
fn a_publish_that_is_cut_short_has_no_parts() {
    let frame = &frames(&[0x32, 3, 0, 9, b'a'])[0];
    assert_eq!(frame.publish(Version::V5), None);
}

#[test]
fn user_properties_are_found_among_the_others() {
    let properties = [
        &[0x01, 1, 0x02, 0, 0, 0, 9, 0x23, 0, 4, 0x0b, 0x80, 1, 0x09, 0, 2, 7, 7][..],
        &[0x26, 0, 2, b'i', b'd', 0, 1, b'7', 0x03, 0, 1, b'c', 0x26, 0, 1, b'a', 0, 0],
    ]
    .concat();
    let mut bytes = vec![0x32, 0, 0, 1, b't', 0, 3, u8::try_from(properties.len()).unwrap()];
    bytes.extend_from_slice(&properties);
    bytes.extend_from_slice(b"x");
    bytes[1] = u8::try_from(bytes.len() - 2).unwrap();
    let publish = frames(&bytes)[0].publish(Version::V5).unwrap();
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    assert_eq!(publish.user_properties, [pair("id", "7"), pair("a", "")]);
    assert_eq!(publish.payload, b"x"[..]);
}
