//! Each misdeed as a client sees it on the wire.

use super::*;
use crate::client::{Acks, Settings, Subscriber};
use crate::mosquitto::connack_from;
use crate::packet::connect;

/// Connects as this version and returns everything that comes until the broker closes.
async fn everything_after_connect(broker: &BadBroker, version: Version) -> Vec<u8> {
    let mut stream = TcpStream::connect(broker.address()).await.unwrap();
    stream.write_all(&connect(version, "a")).await.unwrap();
    let mut bytes = Vec::new();
    within("the broker to close", stream.read_to_end(&mut bytes)).await.unwrap();
    bytes
}

#[tokio::test]
async fn one_that_closes_at_once_is_counted_each_time() {
    let broker = BadBroker::that_closes_at_once().await;
    for times in 1..=3 {
        assert_eq!(connack_from(broker.address()).await, None);
        broker.connected(times).await;
        assert_eq!(broker.connections(), times);
    }
}

#[tokio::test]
async fn a_refusal_is_in_the_version_of_the_client() {
    let broker = BadBroker::that_refuses(5).await;
    let answer = everything_after_connect(&broker, Version::V311).await;
    assert_eq!(answer, [0x20, 2, 0, 5]);
    let answer = everything_after_connect(&broker, Version::V5).await;
    assert_eq!(answer, [0x20, 3, 0, 5, 0]);
    assert_eq!(broker.seen().len(), 2);
}

#[tokio::test]
async fn scripts_follow_the_connections_and_the_last_one_stays() {
    let resume = vec![Step::Await(Kind::Connect), Step::Resume, Step::Disconnect(0x8b)];
    let broker = BadBroker::start(vec![Vec::new(), resume]).await;
    assert_eq!(connack_from(broker.address()).await, None);
    for _ in 0..2 {
        let answer = everything_after_connect(&broker, Version::V5).await;
        assert_eq!(answer, [0x20, 3, 1, 0, 0, 0xe0, 2, 0x8b, 0]);
    }
}

#[tokio::test]
async fn more_than_the_receive_maximum_and_broken_bytes_reach_the_client() {
    let broker = BadBroker::that_ignores_receive_maximum(50).await;
    let settings = Settings::new(broker.address(), "a").receive_maximum(10);
    let client = Subscriber::connect(settings, &["#"], Acks::Withheld).await;
    // The client may hang up at the eleventh; that it got so far is what the misdeed is.
    client.deliveries(10).await;

    let broken = Bytes::from_static(&[0x30, 0xff, 0xff, 0xff, 0xff, 0xff]);
    let broker = BadBroker::that_then([Step::Raw(broken)]).await;
    let client = Subscriber::connect(Settings::new(broker.address(), "b"), &["#"], Acks::AtOnce);
    let _client = client.await;
    broker.connected(2).await;
}

#[tokio::test]
async fn one_that_plays_dead_answers_no_ping() {
    let script = vec![Step::Await(Kind::Connect), Step::Connack(0), Step::PlayDead];
    let broker = BadBroker::start(vec![script]).await;
    let mut stream = TcpStream::connect(broker.address()).await.unwrap();
    stream.write_all(&connect(Version::V311, "a")).await.unwrap();
    let mut connack = [0; 4];
    stream.read_exact(&mut connack).await.unwrap();
    stream.write_all(&[0xc0, 0]).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut rest = Vec::new();
    within("the broker to close", stream.read_to_end(&mut rest)).await.unwrap();
    assert_eq!(rest, b"");
}
