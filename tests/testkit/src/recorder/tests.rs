//! The record against what a real broker and real clients know.

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
    let recorder = Recorder::start(broker.address()).await;
    let settings = Settings::new(recorder.address(), "engine").receive_maximum(10);
    let mut engine = Subscriber::connect(settings, &["#"], Acks::Withheld).await;
    let publisher = Publisher::connect(Settings::new(broker.address(), "fleet")).await;
    publish(&publisher, 0..15).await;
    publisher.settle().await;
    recorder.sees("ten deliveries", |record| record.deliveries() == 10).await;
    assert_eq!(recorder.record().acknowledged_ids().len(), 0);
    engine.deliveries(10).await;
    assert_eq!(engine.acknowledge().await, 10);
    let all = |record: &Record| record.deliveries() == 15 && record.acknowledged_ids().len() == 10;
    recorder.sees("the rest and ten acknowledgements", all).await;
    engine.deliveries(15).await;
    assert_eq!(recorder.record().delivered_ids(), engine.ids());
    assert_eq!(recorder.record().delivered()[0].topic, "a/b");
}

#[tokio::test]
async fn what_was_delivered_whole_reaches_the_client_though_the_broker_is_killed() {
    let mut broker = Mosquitto::start(Config::profile()).await;
    let recorder = Recorder::start(broker.address()).await;
    let settings = Settings::new(recorder.address(), "engine");
    let engine = Subscriber::connect(settings, &["#"], Acks::AtOnce).await;
    let publisher = Publisher::connect(Settings::new(broker.address(), "fleet")).await;
    let (_, ()) = tokio::join!(publish(&publisher, 0..2000), async {
        recorder.sees("some deliveries", |record| record.deliveries() >= 200).await;
        broker.kill().await;
        broker.restart().await;
    });
    let delivered = recorder.record().delivered_ids();
    assert!(delivered.len() >= 200);
    engine
        .arrived("all that was delivered", |received| {
            let ids: std::collections::HashSet<_> = received.iter().map(|one| &one.id).collect();
            delivered.iter().all(|id| ids.contains(id))
        })
        .await;
}
