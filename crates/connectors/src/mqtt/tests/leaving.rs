//! Ending: with the session kept, and with it gone.

use engine::delivery::Outcome;
use engine::port::{SourceError, Stop};
use mqtt5::mqttbytes::v5::{self, Packet};
use mqtt311::mqttbytes::v4;
use serde_json::json;

use super::harness::*;

#[tokio::test]
async fn stopping_acknowledges_what_is_done_and_leaves_the_rest_with_the_broker() {
    let broker = Broker::start().await;
    let mut engine = Engine::start(&broker, 1, &json!({ "version": "3.1.1" }));
    let mut peer = broker.accept().await;
    peer.version = 4;
    peer.read_311().await;
    peer.send(b"\x20\x02\x00\x00").await;
    peer.read_311().await;
    peer.send(b"\x90\x03\x00\x01\x01").await;
    for packet in 1..=3 {
        peer.publish(packet, "v1/a", "x").await;
    }
    let (_, receipt) = engine.event().await;
    engine.end(Stop::Keep);
    receipt.settle(Outcome::Ack);
    let mut said = Vec::new();
    while let Some(packet) = peer.read_311().await {
        said.push(packet);
    }
    assert!(matches!(&said[..], [v4::Packet::PubAck(ack), v4::Packet::Disconnect] if ack.pkid == 1), "{said:?}");
    drop(peer);
    let ledger = engine.ledger.clone();
    engine.ended().await.unwrap();
    assert_eq!(ledger.read().received, 1, "what was only staged was never received");
}

#[tokio::test]
async fn stopping_reads_to_the_end_so_that_nothing_overtakes_the_acknowledgements() {
    let broker = Broker::start().await;
    let mut engine = Engine::start(&broker, 4, &json!({}));
    let mut peer = broker.welcome(false).await;
    peer.publish(1, "v1/a", "x").await;
    assert_eq!(engine.accept().await, "x");
    assert_eq!(peer.acks(1).await, [1]);
    engine.end(Stop::Keep);
    assert!(matches!(peer.read().await, Packet::Disconnect(_)));
    // A client that closed its socket would answer this with a reset.
    for _ in 0..100 {
        peer.send(&publication(5, 2, "v1/a", &[0; 1000])).await;
    }
    assert_eq!(peer.next().await, None);
    drop(peer);
    engine.ended().await.unwrap();
}

#[tokio::test]
async fn leaving_unsubscribes_drains_and_ends_the_session() {
    let broker = Broker::start().await;
    let mut engine = Engine::start(&broker, 4, &json!({}));
    let mut peer = broker.welcome(false).await;
    engine.until(|| (engine.link.read().connects == 1).then_some(())).await;
    engine.end(Stop::Leave);
    let Packet::Unsubscribe(unsubscribe) = peer.read().await else { panic!() };
    assert_eq!(unsubscribe.filters, ["v1/+"]);
    let reasons = vec![v5::UnsubAckReason::Success];
    peer.write(&Packet::UnsubAck(v5::UnsubAck { pkid: unsubscribe.pkid, reasons, properties: None })).await;
    peer.publish(1, "v1/a", "late").await;
    let (event, receipt) = engine.event().await;
    assert_eq!(payload(&event), "late");
    receipt.settle(Outcome::Ack);
    assert_eq!(peer.acks(1).await, [1]);
    let Packet::Disconnect(goodbye) = peer.read().await else { panic!() };
    assert_eq!(goodbye.properties.unwrap().session_expiry_interval, Some(0));
    let record = engine.folder.path().join("mqtt-fleet.session");
    drop(peer);
    let folder = engine.folder.clone();
    engine.ended().await.unwrap();
    assert!(!record.exists());
    drop(folder);
}

#[tokio::test]
async fn the_older_version_ends_its_session_by_coming_back_clean() {
    let broker = Broker::start().await;
    let engine = Engine::start(&broker, 4, &json!({ "version": "3.1.1" }));
    let mut peer = broker.accept().await;
    peer.read_311().await;
    peer.send(b"\x20\x02\x00\x00").await;
    peer.read_311().await;
    peer.send(b"\x90\x03\x00\x01\x01").await;
    engine.until(|| (engine.link.read().connects == 1).then_some(())).await;
    engine.end(Stop::Leave);
    let Some(v4::Packet::Unsubscribe(unsubscribe)) = peer.read_311().await else { panic!() };
    peer.send(&[0xb0, 2, 0, u8::try_from(unsubscribe.pkid).unwrap()]).await;
    assert_eq!(peer.read_311().await, Some(v4::Packet::Disconnect));
    drop(peer);
    let mut peer = broker.accept().await;
    let Some(v4::Packet::Connect(connect)) = peer.read_311().await else { panic!() };
    assert!(connect.clean_session);
    peer.send(b"\x20\x02\x00\x00").await;
    assert_eq!(peer.read_311().await, Some(v4::Packet::Disconnect));
    drop(peer);
    engine.ended().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn leaving_a_broker_that_is_away_ends_with_a_sentence() {
    let broker = Broker::start().await;
    let options = json!({ "url": "mqtt://127.0.0.1:1" });
    let engine = Engine::start(&broker, 4, &options);
    engine.end(Stop::Leave);
    match engine.run.await.unwrap() {
        Err(SourceError::Fatal(text, _)) => {
            assert!(text.contains("tidemill-fleet-i1") && text.contains("keeps the session"), "{text}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_end_that_the_broker_does_not_hear_is_no_good_end() {
    let broker = Broker::start().await;
    let mut engine = Engine::start(&broker, 4, &json!({}));
    let mut peer = broker.welcome(false).await;
    peer.publish(1, "v1/a", "done too late").await;
    let (_, receipt) = engine.event().await;
    drop((peer, broker));
    engine.until(|| engine.link.read().last_error).await;
    engine.end(Stop::Keep);
    receipt.settle(Outcome::Ack);
    match engine.ended().await {
        Err(SourceError::Restart(text, _)) => assert!(text.contains("1 messages are done"), "{text}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_broker_that_is_away_misses_nothing_where_nothing_is_done() {
    let broker = Broker::start().await;
    let engine = Engine::start(&broker, 4, &json!({}));
    let peer = broker.welcome(false).await;
    drop((peer, broker));
    engine.until(|| engine.link.read().last_error).await;
    engine.end(Stop::Keep);
    engine.ended().await.unwrap();
}
