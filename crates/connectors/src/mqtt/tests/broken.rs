//! Messages and brokers that are not as they should be.

use engine::delivery::Outcome;
use engine::metric::Connection;
use mqtt5::mqttbytes::v5::{self, Packet};
use serde_json::json;

use super::harness::*;

#[tokio::test]
async fn a_broken_message_is_refused_with_its_bytes_and_the_next_one_is_received() {
    let broker = Broker::start().await;
    let mut engine = Engine::start(&broker, 8, &json!({ "maxPacketSize": "1000B" }));
    let mut peer = broker.welcome(false).await;
    let cases: [(&[u8], &str, Option<&str>); 7] = [
        (b"\x32\x08\x00\x02\xff\xfe\x00\x01\x00x", "not UTF-8", None),
        (b"\x32\x06\x00\x00\x00\x01\x00x", "topic is empty", None),
        (b"\x32\x08\x00\x02a\x00\x00\x01\x00x", "null character", None),
        (b"\x32\x07\x00\x01a\x00\x01\x00x", "matches none", None),
        (
            b"\x32\x0f\x00\x04v1/a\x00\x01\x05\x03\x00\x02\xff\xfex",
            "not UTF-8",
            Some("properties: \\u{3}\\u{0}\\u{2}\\xff\\xfe"),
        ),
        (b"\x32\x0d\x00\x04v1/a\x00\x01\x03\x23\x00\x01x", "topic alias", Some("properties: #\\u{0}\\u{1}")),
        (b"\x32\x1d\x00\x04v1/a\x00\x01\x13\x26\x00\x0bspecversion\x00\x031.0x", "id", Some("specversion: 1.0")),
    ];
    for (bytes, part, headers) in cases {
        peer.send(bytes).await;
        let (message, receipt) = engine.undecodable().await;
        assert!(message.reason.contains(part), "{message:?}");
        assert_eq!(message.raw, "x");
        assert_eq!(message.facts[0].0, "topic");
        assert_eq!(
            message.facts.get(1).map(|(name, kept)| (name.as_str(), kept.as_str())),
            headers.map(|kept| ("headers", kept))
        );
        receipt.settle(Outcome::Reject);
        assert_eq!(peer.acks(1).await, [1]);
    }
    peer.send(&publication(5, 2, "v1/a", &vec![b'y'; 500_000])).await;
    let (message, receipt) = engine.undecodable().await;
    assert!(message.reason.contains("more than the 1000 of maxPacketSize"), "{}", message.reason);
    assert!(message.raw.len() < 70_000 && message.raw.iter().all(|byte| *byte == b'y'));
    receipt.settle(Outcome::Reject);
    assert_eq!(peer.acks(1).await, [2]);
    peer.publish(3, "v1/a", "well").await;
    assert_eq!(engine.accept().await, "well");
    let books = engine.until(|| Some(engine.ledger.read()).filter(|books| books.in_flight == 0)).await;
    assert_eq!((books.received, books.rejected, books.settled), (9, 8, 1));
}

#[tokio::test]
async fn a_message_of_another_quality_of_service_is_still_taken() {
    let broker = Broker::start().await;
    let mut engine = Engine::start(&broker, 8, &json!({}));
    let mut peer = broker.welcome(true).await;
    peer.send(b"\x34\x0a\x00\x04v1/a\x00\x09\x00x").await;
    assert_eq!(engine.accept().await, "x");
    assert!(matches!(peer.read().await, Packet::PubRec(receive) if receive.pkid == 9));
    peer.write(&Packet::PubRel(v5::PubRel::new(9, None))).await;
    assert!(matches!(peer.read().await, Packet::PubComp(complete) if complete.pkid == 9));
}

#[tokio::test]
async fn a_wrong_password_is_one_clear_error_without_the_password() {
    let broker = Broker::start().await;
    let engine = Engine::start(&broker, 8, &json!({ "user": "u", "password": "s3cret" }));
    let mut peer = broker.accept().await;
    let Packet::Connect(_, _, auth) = peer.read().await else { panic!() };
    assert_eq!(auth, v5::ConnectAuth::UsernamePassword { username: "u".into(), password: "s3cret".into() });
    let code = v5::ConnectReturnCode::BadUserNamePassword;
    peer.write(&Packet::ConnAck(v5::ConnAck { session_present: false, code, properties: None })).await;
    let error = engine.error("refused the connection").await;
    assert_eq!(
        error,
        format!("broker {} refused the connection: bad user name or password; correct user and password", broker.url())
    );
    assert_eq!(engine.link.read().connection, Connection::Disconnected);
}

#[tokio::test]
async fn a_broker_that_closes_at_once_is_described() {
    let broker = Broker::start().await;
    let engine = Engine::start(&broker, 8, &json!({}));
    drop(broker.accept().await);
    let error = engine.error("before it answered").await;
    assert!(error.contains("version: 3.1.1"), "{error}");
    let mut peer = broker.accept().await;
    peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    assert!(engine.error("not MQTT").await.contains(&broker.url()));
}

#[tokio::test]
async fn a_broker_that_is_away_is_waited_for() {
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let absent = Broker::start().await;
    let options = json!({ "url": format!("mqtt://127.0.0.1:{port}") });
    let mut engine = Engine::start(&absent, 8, &options);
    engine.error("cannot be reached").await;
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let broker = Broker::on(listener);
    let mut peer = broker.welcome(false).await;
    peer.publish(1, "v1/a", "x").await;
    assert_eq!(engine.accept().await, "x");
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_given_up() {
    let broker = Broker::start().await;
    let engine = Engine::start(&broker, 8, &json!({ "keepAlive": "1s" }));
    let mut peer = broker.accept().await;
    peer.greet(false).await;
    peer.read().await;
    peer.grant(1).await;
    // Neither the ping nor anything else is answered.
    let error = engine.error("sent nothing").await;
    assert!(error.contains("not even an answer to a ping"), "{error}");
    drop(peer);
}

#[tokio::test]
async fn a_broker_at_fault_is_told_so() {
    let broker = Broker::start().await;
    let engine = Engine::start(&broker, 8, &json!({}));
    let mut peer = broker.welcome(false).await;
    peer.send(b"\x32\x09\x00\x04v1/a\x00\x00\x00").await;
    let Packet::Disconnect(complaint) = peer.read().await else { panic!() };
    assert_eq!(complaint.reason_code, v5::DisconnectReasonCode::ProtocolError);
    assert_eq!(peer.next().await, None);
    drop(peer);
    assert!(engine.error("packet identifier 0").await.contains("not MQTT"));
}

#[tokio::test]
async fn goodbye_is_quoted() {
    let broker = Broker::start().await;
    let engine = Engine::start(&broker, 8, &json!({}));
    let mut peer = broker.welcome(false).await;
    let goodbye = v5::Disconnect::new(v5::DisconnectReasonCode::ServerShuttingDown);
    peer.write(&Packet::Disconnect(goodbye)).await;
    assert!(engine.error("ended the connection").await.ends_with("server shutting down"));
}

#[tokio::test]
async fn what_was_delivered_before_a_broker_died_is_read_although_nothing_can_be_acknowledged() {
    let broker = Broker::start().await;
    let mut engine = Engine::start(&broker, 8, &json!({}));
    let mut peer = broker.welcome(false).await;
    peer.publish(1, "v1/a", "1").await;
    let (_, receipt) = engine.event().await;
    // The last message, the reset and the acknowledgement of the first one meet in one turn of the connection.
    let last = publication(5, 2, "v1/a", b"2");
    assert_eq!(peer.try_send(&last), last.len());
    peer.reset();
    receipt.settle(Outcome::Ack);
    assert_eq!(payload(&engine.event().await.0), "2");
}
