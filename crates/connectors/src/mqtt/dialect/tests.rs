//! Both dialects against packets that the client crate writes as a broker would.

use mqtt5::mqttbytes::QoS;
use mqtt5::mqttbytes::v5;
use mqtt311::mqttbytes::v4;

use super::*;
use crate::backoff::Patience;

fn greeting() -> Greeting<'static> {
    Greeting {
        client_id: "c",
        clean: false,
        keep_alive: 30,
        expiry: 3600,
        receive_maximum: 100,
        user: Some("u"),
        password: Some(b"p"),
    }
}

fn from_five(packet: &v5::Packet) -> Control {
    let mut out = BytesMut::new();
    packet.write(&mut out, None).unwrap();
    V5.read(out).unwrap()
}

fn from_three(packet: &v4::Packet) -> Control {
    let mut out = BytesMut::new();
    packet.write(&mut out, usize::MAX).unwrap();
    V311.read(out).unwrap()
}

#[test]
fn five_says_all_it_has_to_say() {
    let mut out = BytesMut::new();
    V5.connect(&greeting(), &mut out).unwrap();
    let v5::Packet::Connect(connect, None, auth) = v5::Packet::read(&mut out, None).unwrap() else { panic!() };
    let properties = connect.properties.unwrap();
    assert_eq!((properties.session_expiry_interval, properties.receive_maximum), (Some(3600), Some(100)));
    assert_eq!((properties.max_packet_size, properties.topic_alias_max), (None, None));
    assert!(!connect.clean_start);
    assert_eq!(auth, v5::ConnectAuth::UsernamePassword { username: "u".into(), password: "p".into() });

    V5.subscribe(3, &["a/+".into(), "b".into()], 1, &mut out).unwrap();
    let v5::Packet::Subscribe(subscribe) = v5::Packet::read(&mut out, None).unwrap() else { panic!() };
    assert_eq!((subscribe.pkid, subscribe.filters.len()), (3, 2));
    assert_eq!(subscribe.filters[0].qos, QoS::AtLeastOnce);

    V5.disconnect(true, &mut out).unwrap();
    let v5::Packet::Disconnect(goodbye) = v5::Packet::read(&mut out, None).unwrap() else { panic!() };
    assert_eq!(goodbye.properties.unwrap().session_expiry_interval, Some(0));
    V5.disconnect(false, &mut out).unwrap();
    let v5::Packet::Disconnect(goodbye) = v5::Packet::read(&mut out, None).unwrap() else { panic!() };
    assert_eq!(goodbye.properties, None);
}

#[test]
fn three_says_all_it_has_to_say() {
    let mut out = BytesMut::new();
    V311.connect(&greeting(), &mut out).unwrap();
    let v4::Packet::Connect(connect) = v4::Packet::read(&mut out, usize::MAX).unwrap() else { panic!() };
    assert!(!connect.clean_session);
    assert_eq!(connect.auth, v4::ConnectAuth::UsernamePassword { username: "u".into(), password: "p".into() });
    V311.unsubscribe(4, &["a".into()], &mut out).unwrap();
    let v4::Packet::Unsubscribe(unsubscribe) = v4::Packet::read(&mut out, usize::MAX).unwrap() else { panic!() };
    assert_eq!((unsubscribe.pkid, unsubscribe.topics), (4, vec!["a".to_owned()]));
}

#[test]
fn refusals_say_what_to_change_and_how_long_to_wait() {
    for (code, part, patience) in [
        (v5::ConnectReturnCode::BadUserNamePassword, "correct user and password", Patience::Long),
        (v5::ConnectReturnCode::UnsupportedProtocolVersion, "version: 3.1.1", Patience::Long),
        (v5::ConnectReturnCode::ServerBusy, "server busy", Patience::Short),
    ] {
        let packet = v5::Packet::ConnAck(v5::ConnAck { session_present: false, code, properties: None });
        let Control::Refused(refusal) = from_five(&packet) else { panic!("{code:?}") };
        assert!(refusal.text.contains(part) && refusal.patience == patience, "{refusal:?}");
    }
    let packet = v4::Packet::ConnAck(v4::ConnAck::new(v4::ConnectReturnCode::NotAuthorized, false));
    assert_eq!(from_three(&packet), Control::Refused(Refusal::lasting(NOT_AUTHORIZED)));
}

#[test]
fn a_broker_of_the_older_version_is_understood() {
    let Control::Refused(refusal) = V5.read(BytesMut::from(&b"\x20\x02\x00\x01"[..])).unwrap() else { panic!() };
    assert!(refusal.text.contains("version: 3.1.1"), "{refusal:?}");
}

#[test]
fn answers_are_read_in_both() {
    let codes = vec![v5::SubscribeReasonCode::Success(QoS::AtLeastOnce), v5::SubscribeReasonCode::NotAuthorized];
    let packet = v5::Packet::SubAck(v5::SubAck { pkid: 1, return_codes: codes, properties: None });
    assert_eq!(from_five(&packet), Control::Subscribed(vec![Ok(1), Err("not authorized".into())]));
    let codes = vec![v4::SubscribeReasonCode::Success(QoS::AtMostOnce), v4::SubscribeReasonCode::Failure];
    let packet = v4::Packet::SubAck(v4::SubAck { pkid: 1, return_codes: codes });
    assert_eq!(from_three(&packet), Control::Subscribed(vec![Ok(0), Err("not granted".into())]));
    assert_eq!(from_five(&v5::Packet::PingResp), Control::Pong);
    assert_eq!(from_three(&v4::Packet::PubRel(v4::PubRel::new(9))), Control::Release(9));
    let taken = v5::Packet::Disconnect(v5::Disconnect::new(v5::DisconnectReasonCode::SessionTakenOver));
    let Control::Goodbye(refusal) = from_five(&taken) else { panic!() };
    assert!(refusal.text.contains("clientId") && refusal.patience == Patience::Long);
}

#[test]
fn a_reason_without_properties_is_a_reason() {
    let Control::Goodbye(refusal) = V5.read(BytesMut::from(&b"\xe0\x01\x8e"[..])).unwrap() else { panic!() };
    assert!(refusal.text.contains("same client id"), "{refusal:?}");
    for release in [&b"\x62\x02\x00\x09"[..], b"\x62\x03\x00\x09\x92", b"\x62\x04\x00\x09\x92\x00"] {
        assert_eq!(V5.read(BytesMut::from(release)).unwrap(), Control::Release(9));
    }
}

#[test]
fn what_a_broker_never_sends_is_no_mqtt() {
    let mut out = BytesMut::new();
    v5::Packet::PingReq.write(&mut out, None).unwrap();
    assert!(matches!(V5.read(out), Err(Fault::Protocol(text)) if text.contains("PingReq")));
    assert!(V311.read(BytesMut::from(&b"\x20\x02\x00\x63"[..])).is_err());
}
