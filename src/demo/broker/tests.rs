//! What the connector needs from the demo's broker, held against the broker itself: a new version
//! of it that broke one of these would break the demo.

use std::collections::HashSet;

use mqtt5::mqttbytes::v5::PublishProperties;
use testkit::client::{Acks, Publisher, Settings, Subscriber};

use super::*;

async fn broker() -> Broker {
    Broker::start(0).await.unwrap()
}

fn ids(range: std::ops::Range<usize>) -> HashSet<String> {
    range.map(|n| n.to_string()).collect()
}

async fn publish(publisher: &Publisher, range: std::ops::Range<usize>) {
    for id in range {
        publisher.send(&id.to_string(), "v1/demo/veh-1/telemetry", id.to_string()).await;
    }
}

#[tokio::test]
async fn every_confirmed_message_arrives_with_its_properties() {
    let broker = broker().await;
    let filter = ["v1/+/+/telemetry"];
    let settings = Settings::new(broker.address(), "subscriber");
    let subscriber = Subscriber::connect(settings, &filter, Acks::AtOnce).await;
    let publisher = Publisher::connect(Settings::new(broker.address(), "fleet")).await;
    let properties = PublishProperties {
        user_properties: vec![("type".to_owned(), "a".to_owned()), ("id".to_owned(), "7".to_owned())],
        content_type: Some("application/json".to_owned()),
        ..PublishProperties::default()
    };
    publisher.send_with("7", "v1/demo/veh-1/telemetry", "{}", properties.clone()).await;
    assert_eq!(publisher.close().await.confirmed, ["7"]);
    subscriber.deliveries(1).await;
    let message = &subscriber.received()[0];
    assert_eq!(message.topic, "v1/demo/veh-1/telemetry");
    assert!(message.user_properties.starts_with(&properties.user_properties));
    assert_eq!(message.content_type, properties.content_type);
    broker.stop().await.unwrap();
}

#[tokio::test]
async fn a_slow_subscriber_gets_no_more_than_its_window_and_loses_nothing() {
    const COUNT: usize = 20_000;
    let broker = broker().await;
    let settings = Settings::new(broker.address(), "slow").receive_maximum(10);
    let mut slow = Subscriber::connect(settings, &["#"], Acks::Withheld).await;
    let publisher = Publisher::connect(Settings::new(broker.address(), "fleet")).await;
    publish(&publisher, 0..COUNT).await;
    assert_eq!(publisher.settle().await.confirmed.len(), COUNT);
    slow.deliveries(10).await;
    assert_eq!(slow.received().len(), 10, "sent beyond the receive maximum");
    let mut acknowledged = 0;
    while acknowledged < COUNT {
        slow.deliveries(acknowledged + 1).await;
        acknowledged += slow.acknowledge().await;
    }
    let order: Vec<_> = slow.received().into_iter().map(|message| message.id).collect();
    assert_eq!(order, (0..COUNT).map(|n| n.to_string()).collect::<Vec<_>>());
    broker.stop().await.unwrap();
}

#[tokio::test]
async fn a_session_outlives_its_connection() {
    let broker = broker().await;
    let settings = Settings::new(broker.address(), "engine").receive_maximum(50);
    let first = Subscriber::connect(settings.clone(), &["#"], Acks::Withheld).await;
    let publisher = Publisher::connect(Settings::new(broker.address(), "fleet")).await;
    publish(&publisher, 0..20).await;
    first.deliveries(20).await;
    drop(first);
    publish(&publisher, 20..40).await;
    publisher.settle().await;
    let second = Subscriber::connect(settings, &[], Acks::AtOnce).await;
    assert!(second.session_present());
    second.arrived("both halves", |received| received.len() >= 40).await;
    assert_eq!(second.ids(), ids(0..40));
    broker.stop().await.unwrap();
}

#[tokio::test]
async fn a_shared_subscription_splits_the_stream() {
    let broker = broker().await;
    let filter = ["$share/tidemill/v1/#"];
    let one = Subscriber::connect(Settings::new(broker.address(), "1"), &filter, Acks::AtOnce).await;
    let two = Subscriber::connect(Settings::new(broker.address(), "2"), &filter, Acks::AtOnce).await;
    let publisher = Publisher::connect(Settings::new(broker.address(), "fleet")).await;
    publish(&publisher, 0..100).await;
    publisher.settle().await;
    testkit::patience::within("the two halves", async {
        while one.received().len() + two.received().len() < 100 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(&one.ids() | &two.ids(), ids(0..100));
    assert!(!one.ids().is_empty() && !two.ids().is_empty());
    broker.stop().await.unwrap();
}

#[tokio::test]
async fn large_payloads_pass() {
    let broker = broker().await;
    let settings = Settings::new(broker.address(), "subscriber");
    let subscriber = Subscriber::connect(settings, &["#"], Acks::AtOnce).await;
    let publisher = Publisher::connect(Settings::new(broker.address(), "fleet")).await;
    publisher.send("large", "v1/large", vec![b'x'; 512 * 1024]).await;
    assert_eq!(publisher.close().await.confirmed, ["large"]);
    subscriber.deliveries(1).await;
    assert_eq!(subscriber.received()[0].payload.len(), 512 * 1024);
    broker.stop().await.unwrap();
}

#[tokio::test]
async fn it_stops_with_clients_connected_and_frees_its_port() {
    let broker = broker().await;
    let port = broker.address().port();
    let settings = Settings::new(broker.address(), "subscriber");
    let _subscriber = Subscriber::connect(settings, &["#"], Acks::AtOnce).await;
    testkit::patience::within("the broker to stop", broker.stop()).await.unwrap();
    Broker::start(port).await.unwrap().stop().await.unwrap();
}

#[tokio::test]
async fn a_taken_port_is_refused_with_its_address() {
    let taken = broker().await;
    let error = Broker::start(taken.address().port()).await.unwrap_err();
    let expected = format!("the demo's broker cannot listen on {}", taken.address());
    assert!(error.to_string().starts_with(&expected), "{error}");
    taken.stop().await.unwrap();
}
