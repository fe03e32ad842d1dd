//! The record against what a real broker and real clients know, and each fault against its effect.

use super::*;
use crate::client::{Acks, Publisher, Settings, Subscriber};
use crate::mosquitto::{Config, Mosquitto};

async fn publish(publisher: &Publisher, ids: std::ops::Range<usize>) {
    for id in ids {
        publisher.send(&id.to_string(), "a/b", id.to_string()).await;
    }
}

#[tokio::test]
async fn it_knows_what_was_delivered_and_what_was_acknowledged() {
    let broker = Mosquitto::start(Config::profile()).await;
    let proxy = Proxy::start(broker.address()).await;
    let settings = Settings::new(proxy.address(), "engine").receive_maximum(10);
    let mut engine = Subscriber::connect(settings, &["#"], Acks::Withheld).await;
    let publisher = Publisher::connect(Settings::new(broker.address(), "fleet")).await;
    publish(&publisher, 0..15).await;
    publisher.settle().await;
    proxy.sees("ten deliveries", |record| record.deliveries() == 10).await;
    assert_eq!(proxy.record().acknowledged_ids().len(), 0);
    engine.deliveries(10).await;
    assert_eq!(engine.acknowledge().await, 10);
    let all = |record: &Record| record.deliveries() == 15 && record.acknowledged_ids().len() == 10;
    proxy.sees("the rest and ten acknowledgements", all).await;
    engine.deliveries(15).await;
    assert_eq!(proxy.record().delivered_ids(), engine.ids());
    assert_eq!(proxy.record().delivered()[0].topic, "a/b");
}

#[tokio::test]
async fn what_was_delivered_whole_reaches_the_client_though_the_broker_is_killed() {
    let mut broker = Mosquitto::start(Config::profile()).await;
    let proxy = Proxy::start(broker.address()).await;
    let settings = Settings::new(proxy.address(), "engine");
    let engine = Subscriber::connect(settings, &["#"], Acks::AtOnce).await;
    let publisher = Publisher::connect(Settings::new(broker.address(), "fleet")).await;
    let (_, ()) = tokio::join!(publish(&publisher, 0..2000), async {
        proxy.sees("some deliveries", |record| record.deliveries() >= 200).await;
        broker.kill().await;
        broker.restart().await;
    });
    let delivered = proxy.record().delivered_ids();
    assert!(delivered.len() >= 200);
    engine
        .arrived("all that was delivered", |received| {
            let ids: std::collections::HashSet<_> = received.iter().map(|one| &one.id).collect();
            delivered.iter().all(|id| ids.contains(id))
        })
        .await;
}

#[tokio::test]
async fn a_cut_ends_every_connection_and_lets_new_ones_in() {
    let broker = Mosquitto::start(Config::profile()).await;
    let proxy = Proxy::start(broker.address()).await;
    let engine = Subscriber::connect(Settings::new(proxy.address(), "engine"), &["#"], Acks::AtOnce).await;
    proxy.cut();
    engine.connected(2).await;
    assert!(engine.session_present());
    assert_eq!(proxy.record().connections(), 2);
}

#[tokio::test]
async fn silence_loses_nothing_and_a_delay_only_delays() {
    let broker = Mosquitto::start(Config::profile()).await;
    let proxy = Proxy::start(broker.address()).await;
    let engine = Subscriber::connect(Settings::new(proxy.address(), "engine"), &["#"], Acks::AtOnce).await;
    let publisher = Publisher::connect(Settings::new(broker.address(), "fleet")).await;
    proxy.silence();
    publish(&publisher, 0..10).await;
    publisher.settle().await;
    assert_eq!(engine.received().len(), 0);
    proxy.delay(Duration::from_millis(1));
    proxy.resume();
    engine.deliveries(10).await;
}

#[tokio::test]
async fn an_abandoned_client_keeps_a_silent_connection_until_the_cut() {
    let broker = Mosquitto::start(Config::profile()).await;
    let proxy = Proxy::start(broker.address()).await;
    let engine = Subscriber::connect(Settings::new(proxy.address(), "engine"), &["#"], Acks::AtOnce).await;
    proxy.abandon();
    let lines = broker.process().lines();
    lines.wait_for("the broker to miss its client", |line| line.contains("engine") && line.contains("closed")).await;
    assert_eq!(proxy.record().connections(), 1);
    proxy.cut();
    engine.connected(2).await;
}

#[tokio::test]
async fn a_refusing_proxy_closes_new_connections() {
    let broker = Mosquitto::start(Config::new()).await;
    let proxy = Proxy::start(broker.address()).await;
    proxy.refuse(true);
    assert_eq!(crate::mosquitto::connack_from(proxy.address()).await, None);
    proxy.refuse(false);
    assert_eq!(crate::mosquitto::connack_from(proxy.address()).await, Some(0));
}
