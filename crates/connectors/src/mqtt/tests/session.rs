//! Greeting, subscribing, acknowledging, reconnecting.

use engine::delivery::Outcome;
use engine::metric::Connection;
use engine::port::Stop;
use mqtt5::mqttbytes::QoS;
use mqtt5::mqttbytes::v5::{self, Packet};
use serde_json::json;

use super::harness::*;

#[tokio::test]
async fn a_persistent_session_is_asked_for_and_acknowledged_by_outcome() {
    let broker = Broker::start().await;
    let mut engine =
        Engine::start(&broker, 8, &json!({ "clientId": "c", "sessionExpiry": "2h", "keepAlive": "59500ms" }));
    let mut peer = broker.accept().await;
    let connect = peer.greet(false).await;
    assert_eq!((connect.client_id.as_str(), connect.clean_start, connect.keep_alive), ("c-i1", false, 60));
    let properties = connect.properties.unwrap();
    assert_eq!((properties.session_expiry_interval, properties.receive_maximum), (Some(7200), Some(8)));
    let Packet::Subscribe(subscribe) = peer.read().await else { panic!() };
    assert_eq!((subscribe.filters[0].path.as_str(), subscribe.filters[0].qos), ("v1/+", QoS::AtLeastOnce));
    assert_eq!(engine.link.read().connection, Connection::Connecting);
    peer.grant(1).await;

    for packet in 1..=3 {
        peer.publish(packet, "v1/veh-1", &packet.to_string()).await;
    }
    let (first, second, third) = (engine.event().await, engine.event().await, engine.event().await);
    assert_eq!(engine.link.read().connection, Connection::Connected);
    assert_eq!(first.0.extension("vehicle").unwrap().text(), "veh-1");
    assert_eq!(payload(&first.0), "1");
    third.1.settle(Outcome::Ack);
    assert_eq!(peer.acks(1).await, [3]);
    first.1.settle(Outcome::Ack);
    assert_eq!(peer.acks(1).await, [1]);
    drop(second);
    engine.end(Stop::Keep);
    let Packet::Disconnect(goodbye) = peer.read().await else { panic!() };
    assert_eq!(goodbye.properties, None, "the session stays");
    assert_eq!(peer.next().await, None);
    let ledger = engine.ledger.clone();
    drop(peer);
    engine.ended().await.unwrap();
    assert_eq!((ledger.read().settled, ledger.read().handed_back), (2, 1));
}

#[tokio::test]
async fn acknowledgements_keep_the_order_of_arrival_where_that_is_wanted() {
    let broker = Broker::start().await;
    let mut engine = Engine::start(&broker, 8, &json!({ "ackOrder": "received" }));
    let mut peer = broker.welcome(false).await;
    for packet in 1..=3 {
        peer.publish(packet, "v1/a", "").await;
    }
    let receipts = [engine.event().await.1, engine.event().await.1, engine.event().await.1];
    for receipt in receipts.into_iter().rev() {
        receipt.settle(Outcome::Ack);
    }
    assert_eq!(peer.acks(3).await, [1, 2, 3]);
}

#[tokio::test]
async fn an_acknowledgement_never_reaches_another_connection() {
    let broker = Broker::start().await;
    let mut engine = Engine::start(&broker, 8, &json!({}));
    let mut peer = broker.welcome(false).await;
    peer.publish(1, "v1/a", "old").await;
    let (_, old) = engine.event().await;
    drop(peer);
    let mut peer = broker.accept().await;
    peer.greet(true).await;
    engine.until(|| (engine.link.read().connects == 2).then_some(())).await;
    // The same packet identifier is another message now.
    peer.publish(1, "v1/a", "new").await;
    peer.publish(2, "v1/a", "more").await;
    let (new, fresh) = engine.event().await;
    assert_eq!(payload(&new), "new");
    old.settle(Outcome::Ack);
    engine.event().await.1.settle(Outcome::Ack);
    assert_eq!(peer.acks(1).await, [2], "packet 1 was settled only on the connection that is gone");
    fresh.settle(Outcome::Ack);
    assert_eq!(peer.acks(1).await, [1]);
}

#[tokio::test]
async fn a_session_that_is_gone_is_subscribed_again() {
    let broker = Broker::start().await;
    let mut engine = Engine::start(&broker, 8, &json!({}));
    drop(broker.welcome(true).await);
    let mut peer = broker.accept().await;
    peer.greet(true).await;
    peer.publish(1, "v1/a", "x").await;
    assert_eq!(engine.accept().await, "x");
    assert_eq!(peer.acks(1).await, [1], "the session was there, so nothing was subscribed");
    drop(peer);
    let mut peer = broker.welcome(false).await;
    peer.publish(1, "v1/a", "y").await;
    assert_eq!(engine.accept().await, "y");
}

#[tokio::test]
async fn topics_of_an_earlier_configuration_are_unsubscribed() {
    let broker = Broker::start().await;
    let engine = Engine::start(&broker, 8, &json!({ "topics": ["old/#", "v1/+"] }));
    let mut peer = broker.accept().await;
    peer.greet(false).await;
    peer.read().await;
    peer.grant(2).await;
    engine.until(|| (engine.link.read().connects == 1).then_some(())).await;
    engine.end(Stop::Keep);
    while peer.next().await.is_some() {}
    drop(peer);
    let folder = engine.folder.clone();
    engine.ended().await.unwrap();

    let engine = Engine::again(&broker, 8, &json!({}), folder.clone());
    let mut peer = broker.accept().await;
    peer.greet(true).await;
    let Packet::Unsubscribe(unsubscribe) = peer.read().await else { panic!() };
    assert_eq!(unsubscribe.filters, ["old/#"]);
    assert!(matches!(peer.read().await, Packet::Subscribe(subscribe) if subscribe.filters[0].path == "v1/+"));
    let answer = v5::UnsubAck { pkid: unsubscribe.pkid, reasons: vec![v5::UnsubAckReason::Success], properties: None };
    peer.write(&Packet::UnsubAck(answer)).await;
    peer.grant(1).await;
    engine.until(|| (engine.link.read().connects == 1).then_some(())).await;
    let record = std::fs::read_to_string(folder.path().join("mqtt-fleet.session")).unwrap();
    assert_eq!(record, "tidemill-fleet-i1\0v1/+\0");
}

#[tokio::test]
async fn the_older_version_says_the_same_in_its_words() {
    let broker = Broker::start().await;
    let options = json!({ "version": "3.1.1", "shareGroup": "g", "user": "u", "password": "p" });
    let mut engine = Engine::start(&broker, 8, &options);
    let mut peer = broker.accept().await;
    peer.version = 4;
    let Some(mqtt311::mqttbytes::v4::Packet::Connect(connect)) = peer.read_311().await else { panic!() };
    assert!(!connect.clean_session);
    peer.send(b"\x20\x02\x00\x00").await;
    let Some(mqtt311::mqttbytes::v4::Packet::Subscribe(subscribe)) = peer.read_311().await else { panic!() };
    assert_eq!(subscribe.filters[0].path, "$share/g/v1/+");
    peer.send(b"\x90\x03\x00\x01\x01").await;
    let whole = r#"{"specversion":"1.0","id":"e-1","type":"t","source":"/s","data":1}"#;
    peer.publish(1, "v1/a", whole).await;
    let (event, receipt) = engine.event().await;
    assert_eq!((event.id().as_str(), payload(&event).as_str()), ("e-1", "1"));
    receipt.settle(Outcome::Ack);
    assert!(matches!(peer.read_311().await, Some(mqtt311::mqttbytes::v4::Packet::PubAck(ack)) if ack.pkid == 1));
}

#[tokio::test]
async fn refused_subscriptions_are_named_and_the_others_go_on() {
    let broker = Broker::start().await;
    let mut engine = Engine::start(&broker, 8, &json!({ "topics": ["v1/{vehicle}", "secret/#"] }));
    let mut peer = broker.accept().await;
    peer.greet(false).await;
    peer.read().await;
    let codes = vec![v5::SubscribeReasonCode::Success(QoS::AtLeastOnce), v5::SubscribeReasonCode::NotAuthorized];
    peer.write(&Packet::SubAck(v5::SubAck { pkid: 1, return_codes: codes, properties: None })).await;
    let error = engine.error("refused subscriptions").await;
    assert!(error.contains("'secret/#': not authorized") && error.contains("grant them"), "{error}");
    peer.publish(1, "v1/a", "x").await;
    assert_eq!(engine.accept().await, "x");
}

#[tokio::test]
async fn what_is_handed_back_comes_again_on_another_connection() {
    let broker = Broker::start().await;
    let mut engine = Engine::start(&broker, 4, &json!({}));
    let mut peer = broker.welcome(false).await;
    for packet in 1..=3 {
        peer.publish(packet, "v1/a", "x").await;
        drop(engine.event().await);
    }
    assert_eq!(peer.next().await, None, "nothing was acknowledged");
    assert!(engine.error("handed back").await.contains("reconnecting"));
    let mut peer = broker.accept().await;
    peer.greet(true).await;
    for packet in 1..=3 {
        peer.publish(packet, "v1/a", "again").await;
        assert_eq!(engine.accept().await, "again");
    }
    assert_eq!(peer.acks(3).await, [1, 2, 3]);
}
