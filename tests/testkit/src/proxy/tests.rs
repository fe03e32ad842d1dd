//! Each fault against its effect on a real broker and its clients.

use super::*;
use crate::client::{Acks, Publisher, Settings, Subscriber};
use crate::mosquitto::{Config, Mosquitto};

#[tokio::test]
async fn a_cut_ends_every_connection_and_lets_new_ones_in() {
    let broker = Mosquitto::start(Config::profile()).await;
    let proxy = Proxy::start(broker.address()).await;
    let engine = Subscriber::connect(Settings::new(proxy.address(), "engine"), &["#"], Acks::AtOnce).await;
    proxy.cut();
    engine.connected(2).await;
    assert!(engine.session_present());
    assert_eq!(proxy.traffic().connections, 2);
}

#[tokio::test]
async fn silence_loses_nothing_and_a_delay_only_delays() {
    let broker = Mosquitto::start(Config::profile()).await;
    let proxy = Proxy::start(broker.address()).await;
    let engine = Subscriber::connect(Settings::new(proxy.address(), "engine"), &["#"], Acks::AtOnce).await;
    let publisher = Publisher::connect(Settings::new(broker.address(), "fleet")).await;
    proxy.silence();
    for id in 0..10 {
        publisher.send(&id.to_string(), "a/b", id.to_string()).await;
    }
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
    assert_eq!(proxy.traffic().connections, 1);
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

#[tokio::test]
async fn a_hanging_connection_carries_nothing_and_tells_nobody_while_a_new_one_works() {
    let broker = Mosquitto::start(Config::profile()).await;
    let proxy = Proxy::start(broker.address()).await;
    let old = Subscriber::connect(Settings::new(proxy.address(), "old"), &["#"], Acks::AtOnce).await;
    proxy.hang();
    let new = Subscriber::connect(Settings::new(proxy.address(), "new"), &["#"], Acks::AtOnce).await;
    let publisher = Publisher::connect(Settings::new(broker.address(), "fleet")).await;
    publisher.send("1", "a/b", "1").await;
    new.deliveries(1).await;
    assert_eq!((old.received().len(), proxy.traffic().connections), (0, 2));
    let gone = |line: &String| line.contains("Client old") && line.contains("closed");
    assert!(!broker.log().iter().any(gone), "{:?}", broker.log());
    proxy.cut();
    old.deliveries(1).await;
}

#[tokio::test]
async fn nobody_is_there_until_it_comes_back() {
    let broker = Mosquitto::start(Config::new()).await;
    let proxy = Proxy::start(broker.address()).await;
    proxy.leave().await;
    let refused = tokio::net::TcpStream::connect(proxy.address()).await.expect_err("nobody listens");
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    proxy.come_back().await;
    assert_eq!(crate::mosquitto::connack_from(proxy.address()).await, Some(0));
    proxy.sees("what the broker answered", |traffic| traffic.to_clients >= 4).await;
}
