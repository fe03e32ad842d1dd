//! The broker itself, and what other tests rely on.

use super::*;
use crate::patience::until;

#[tokio::test]
async fn what_is_durable_is_there_after_a_restart_and_nothing_is_left_at_the_end() {
    let mut broker = RabbitMq::start(Config::new().user("mill", "right")).await;
    let peer = broker.peer().await;
    for kind in ["classic", "quorum"] {
        peer.declare(kind, kind).await;
        peer.send_all("", kind, (0..5).map(|number| number.to_string())).await;
    }
    assert_eq!(peer.count("quorum").await, (5, 0));
    assert!(broker.control(&["list_users"]).await.contains("mill"));
    broker.stop().await;
    broker.restart().await;
    let peer = broker.peer().await;
    for kind in ["classic", "quorum"] {
        assert_eq!(peer.take(kind).await.payload, b"0", "{kind}");
    }
    let mapper = broker.program.ports.mapper;
    assert!(mapper::find(mapper).is_some());
    drop(broker);
    until("the port mapper to be gone", async || mapper::find(mapper).is_none().then_some(())).await;
}

#[tokio::test]
async fn with_tls_it_wants_certificates() {
    let broker = RabbitMq::start(Config::new().tls()).await;
    let peer = broker.peer().await;
    peer.declare("q", "classic").await;
    peer.send_all("", "q", std::iter::once("x".to_owned())).await;
    assert_eq!(peer.take("q").await.routing_key, "q");
}

#[tokio::test]
async fn the_shared_broker_keeps_the_queues_of_tests_apart() {
    let broker = shared().await;
    let (peer, first, second) = (broker.peer().await, broker.name(), broker.name());
    assert_ne!(first, second);
    peer.declare(&first, "classic").await;
    peer.bind(&first, "tide", "a.*").await;
    let properties = lapin::BasicProperties::default().with_content_type("text/csv".into());
    peer.send_with("tide", "a.b", properties, b"x").await;
    let message = peer.take(&first).await;
    assert_eq!((message.routing_key.as_str(), message.content_type.as_str()), ("a.b", "text/csv"));
    assert_eq!(peer.count(&first).await, (0, 0));
    peer.delete(&first).await;
    peer.close().await;
}
