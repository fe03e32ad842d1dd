//! The stub against a real client: everything arrives once, and never beyond the window.

use super::*;
use crate::client::{Acks, Settings, Subscriber};

fn load(count: u64, window: Option<u16>) -> Load {
    let message = |n: usize| (format!("v1/demo/veh-{n}/telemetry"), format!("payload {n}").into());
    Load { messages: (0..3).map(message).collect(), count, window }
}

#[tokio::test]
async fn every_message_arrives_and_is_acknowledged() {
    let stub = StubBroker::start(load(20_000, Some(100))).await;
    let settings = Settings::new(stub.address(), "engine");
    let engine = Subscriber::connect(settings, &["#"], Acks::AtOnce).await;
    stub.subscribed(1).await;
    stub.acknowledges(20_000).await;
    assert_eq!(stub.written(), 20_000);
    let received = engine.received();
    assert_eq!(received.len(), 20_000);
    assert_eq!((received[4].topic.as_str(), received[4].id.as_str()), ("v1/demo/veh-1/telemetry", "payload 1"));
}

#[tokio::test]
async fn no_more_than_the_window_is_unacknowledged() {
    let stub = StubBroker::start(load(1000, Some(64))).await;
    let settings = Settings::new(stub.address(), "engine");
    let mut engine = Subscriber::connect(settings, &["#"], Acks::Withheld).await;
    let mut acknowledged = 0;
    while acknowledged < 1000 {
        engine.deliveries(acknowledged + 1).await;
        assert!(stub.written() <= stub.acknowledged() + 64);
        acknowledged += engine.acknowledge().await;
    }
    stub.acknowledges(1000).await;
}

#[tokio::test]
async fn qos_0_needs_no_window() {
    let stub = StubBroker::start(load(5000, None)).await;
    let settings = Settings::new(stub.address(), "engine");
    let engine = Subscriber::connect(settings, &["a/#", "b/#"], Acks::AtOnce).await;
    // Each SUBSCRIBE starts the load anew only in what it encodes, not in what it counts.
    engine.deliveries(5000).await;
    assert_eq!((stub.written(), stub.acknowledged()), (5000, 0));
}
