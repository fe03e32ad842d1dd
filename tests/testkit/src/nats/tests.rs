//! The harness against the server itself: readiness, restarts, passwords and what the hand-written client can do.

use serde_json::json;

use super::*;

#[tokio::test]
async fn it_has_jetstream_as_soon_as_it_is_started() {
    let server = Nats::start(Config::new()).await;
    assert_eq!(server.url(), format!("nats://{}", server.address()));
    let mut peer = server.peer().await;
    peer.stream("FLEET", &["fleet.>"]).await;
    assert_eq!(peer.store("fleet.a", b"", b"1").await, 1);
    assert_eq!(peer.store("fleet.b", b"NATS/1.0\r\nNats-Msg-Id: x\r\n\r\n", b"2").await, 2);
    peer.consumer("FLEET", "mill", json!({ "ack_wait": 1_000_000_000 })).await;
    assert_eq!(peer.consumer_info("FLEET", "mill").await["num_pending"], 2);
}

#[tokio::test]
async fn many_messages_are_stored_and_others_that_come_meanwhile_are_kept() {
    let server = Nats::start(Config::new()).await;
    let mut peer = server.peer().await;
    peer.stream("FLEET", &["fleet.>"]).await;
    peer.subscribe("fleet.7").await;
    peer.store_all((0..250).map(|number| (format!("fleet.{number}"), number.to_string()))).await;
    assert_eq!(peer.delivery().await.payload, b"7");
    assert_eq!(peer.api("STREAM.INFO.FLEET", &serde_json::Value::Null).await["state"]["messages"], 250);
}

#[tokio::test]
async fn a_stop_and_a_kill_lose_nothing_that_was_stored() {
    let mut server = Nats::start(Config::new()).await;
    let mut peer = server.peer().await;
    peer.stream("FLEET", &["fleet.>"]).await;
    peer.store("fleet.a", b"", b"1").await;
    server.stop().await;
    server.restart().await;
    let mut peer = server.peer().await;
    assert_eq!(peer.store("fleet.a", b"", b"2").await, 2);
    server.kill().await;
    server.restart().await;
    assert_eq!(server.peer().await.store("fleet.a", b"", b"3").await, 3);
}

#[tokio::test]
async fn a_message_arrives_with_its_headers_as_they_were_written() {
    let server = Nats::start(Config::new().user("mill", "secret")).await;
    let (mut here, mut there) = (server.peer().await, server.peer().await);
    here.subscribe("a.*").await;
    there.publish("a.b", b"NATS/1.0\r\nx: y\r\n\r\n", b"payload").await;
    let delivery = here.delivery().await;
    assert_eq!((delivery.subject.as_str(), delivery.payload.as_slice()), ("a.b", &b"payload"[..]));
    assert_eq!(delivery.headers, "NATS/1.0\r\nx: y\r\n\r\n");
}

#[tokio::test]
#[should_panic(expected = "Authorization Violation")]
async fn a_wrong_password_is_refused() {
    let server = Nats::start(Config::new().user("mill", "secret")).await;
    Peer::connect(server.address(), Some(("mill", "wrong"))).await;
}

#[tokio::test]
#[should_panic(expected = "nats-server ended with")]
async fn a_broken_configuration_fails_with_its_log() {
    Nats::start(Config::new().line("port: nonsense")).await;
}
