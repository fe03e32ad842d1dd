//! An engine that is full, and a broker that sends on.

use std::time::Duration;

use engine::delivery::Outcome;
use engine::port::Stop;
use mqtt5::mqttbytes::v5::Packet;
use mqtt311::mqttbytes::v4;
use serde_json::json;

use super::harness::*;

#[tokio::test]
async fn what_may_be_lost_is_dropped_and_counted_when_the_ring_is_full() {
    let broker = Broker::start().await;
    let mut engine = Engine::start(&broker, 2, &json!({ "qos": 0 }));
    let mut peer = broker.welcome(false).await;
    for number in 0..2 {
        peer.publish(0, "v1/a", &number.to_string()).await;
    }
    // Both seats are taken, and the ring holds as many again.
    let held = [engine.event().await, engine.event().await];
    for number in 2..10 {
        peer.publish(0, "v1/a", &number.to_string()).await;
    }
    let dropped =
        engine.until(|| engine.link.read().dropped.get("ringFull").copied().filter(|count| *count == 6)).await;
    assert_eq!((dropped, engine.ledger.read().received), (6, 2));
    for (_, receipt) in held {
        receipt.settle(Outcome::Ack);
    }
    assert_eq!([engine.accept().await, engine.accept().await], ["2", "3"]);
}

#[tokio::test]
async fn a_broker_beyond_the_receive_maximum_is_held_back_and_nothing_is_lost() {
    let broker = Broker::start().await;
    let mut engine = Engine::start(&broker, 2, &json!({}));
    let mut peer = broker.welcome(false).await;
    for packet in 1..=50 {
        peer.publish(packet, "v1/a", &packet.to_string()).await;
    }
    for packet in 1..=50 {
        assert_eq!(engine.accept().await, packet.to_string());
    }
    assert_eq!(peer.acks(50).await, (1..=50).collect::<Vec<u16>>());
    assert_eq!((engine.link.read().connects, engine.link.read().dropped.len()), (1, 0));
}

#[tokio::test]
async fn an_older_session_stops_reading_and_goes_on_pinging() {
    let broker = Broker::start().await;
    let mut engine = Engine::start(&broker, 2, &json!({ "version": "3.1.1", "keepAlive": "5s" }));
    let mut peer = broker.accept().await;
    peer.version = 4;
    peer.read_311().await;
    peer.send(b"\x20\x02\x00\x00").await;
    peer.read_311().await;
    peer.send(b"\x90\x03\x00\x01\x01").await;
    engine.until(|| (engine.link.read().connects == 1).then_some(())).await;
    // Larger than every buffer on the way, so that it cannot all be sent while nobody reads.
    let body = vec![b'x'; 60_000];
    let mut stream = Vec::new();
    for packet in 1..=800 {
        stream.extend_from_slice(&publication(4, packet, "v1/a", &body));
    }
    let (mut sent, mut pings) = (0, 0);
    // Two pings without an answer, a keep-alive apart: the connection is forgiven and held.
    while pings < 3 {
        sent += peer.try_send(&stream[sent..]);
        tokio::select! {
            packet = peer.read_311() => match packet {
                Some(v4::Packet::PingReq) => pings += 1,
                other => panic!("{other:?}"),
            },
            () = tokio::time::sleep(Duration::from_millis(1)) => {}
        }
    }
    assert!(sent < stream.len(), "the client went on reading");
    assert_eq!(engine.ledger.read().received, 2);
    let mut acked = 0;
    while acked < 800 {
        sent += peer.try_send(&stream[sent..]);
        tokio::select! {
            packet = peer.read_311() => match packet {
                Some(v4::Packet::PubAck(_)) => acked += 1,
                Some(v4::Packet::PingReq) => peer.send(b"\xd0\x00").await,
                other => panic!("{other:?}"),
            },
            given = engine.given.recv() => given.expect("the source ended").event().1.settle(Outcome::Ack),
            () = tokio::time::sleep(Duration::from_millis(1)) => {}
        }
    }
    assert_eq!((sent, engine.link.read().connects), (stream.len(), 1));
    assert_eq!(engine.link.read().dropped.len(), 0);
}

#[tokio::test]
async fn thousands_of_messages_pass_in_few_writes() {
    let broker = Broker::start().await;
    let mut engine = Engine::start(&broker, 1000, &json!({}));
    let mut peer = broker.welcome(false).await;
    let (mut next, mut acked) = (0_u32, 0_u32);
    while acked < 20_000 {
        let mut batch = Vec::new();
        while next < 20_000 && next - acked < 1000 {
            let packet = u16::try_from(next % 1000 + 1).unwrap();
            batch.extend_from_slice(&publication(5, packet, "v1/a", next.to_string().as_bytes()));
            next += 1;
        }
        peer.send(&batch).await;
        assert_eq!(engine.accept().await, acked.to_string());
        while let Ok(given) = engine.given.try_recv() {
            given.event().1.settle(Outcome::Ack);
            acked += u32::try_from(peer.acks(1).await.len()).unwrap();
        }
        acked += u32::try_from(peer.acks(1).await.len()).unwrap();
    }
    engine.end(Stop::Keep);
    assert!(matches!(peer.read().await, Packet::Disconnect(_)));
    drop(peer);
    let ledger = engine.ledger.clone();
    engine.ended().await.unwrap();
    assert_eq!(ledger.read().settled, 20_000);
}
