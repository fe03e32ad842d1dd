//! A server that comes later, one that is stopped or killed, and a consumer that is not there.

use serde_json::json;

use super::*;

#[tokio::test]
async fn an_engine_starts_before_its_server_and_makes_what_is_missing() {
    let mut server = server().await;
    server.stop().await;
    let mut engine = engine(&server.url(), &DURABLE);
    engine.start_degraded().await;
    assert!(error(&engine, SOURCE, "cannot be reached").await.contains(&server.url()));
    server.restart().await;
    engine.ready().await;
    let mut peer = server.peer().await;
    store(&mut peer, 0..100).await;
    file_has(&engine, 0..100).await;
    all_acknowledged(&mut peer).await;
    assert!(engine.terminate().await.success());
}

#[tokio::test]
async fn nothing_is_lost_when_the_server_is_stopped_and_killed_under_load() {
    let mut server = server().await;
    let mut engine = engine(&server.url(), &DURABLE);
    engine.start().await;
    for round in 0..4 {
        let mut peer = server.peer().await;
        store(&mut peer, round * 1000..(round + 1) * 1000).await;
        if round % 2 == 0 {
            server.stop().await;
        } else {
            server.kill().await;
        }
        server.restart().await;
    }
    assert_eq!(file_has(&engine, 0..4000).await.len(), 4000);
    let mut peer = server.peer().await;
    all_acknowledged(&mut peer).await;
    let status = idle(&engine).await;
    assert_balanced(&status);
    assert!(engine.terminate().await.success());
}

#[tokio::test]
async fn what_is_not_there_is_named_and_found_once_it_is() {
    let server = server().await;
    let mut engine = engine(&server.url(), &DURABLE[..2]);
    engine.start_degraded().await;
    let said = error(&engine, SOURCE, "has no stream 'FLEET'").await;
    assert!(said.contains(&server.url()) && said.contains("create"), "{said}");
    let mut peer = server.peer().await;
    peer.stream("FLEET", &["v1.>"]).await;
    error(&engine, SOURCE, "has no consumer 'mill' on stream 'FLEET'").await;
    peer.consumer("FLEET", "mill", json!({})).await;
    error(&engine, SOURCE, "without a filter").await;
    peer.api("CONSUMER.DELETE.FLEET.mill", &Value::Null).await;
    let filter = "v1.*.*.telemetry";
    peer.consumer("FLEET", "mill", json!({ "filter_subject": filter, "max_ack_pending": 100, "max_deliver": 7 })).await;
    engine.ready().await;
    assert!(error(&engine, SOURCE, "max_ack_pending 100").await.contains("below the 200 seats"));
    store(&mut peer, 0..50).await;
    file_has(&engine, 0..50).await;
    peer.api("CONSUMER.DELETE.FLEET.mill", &Value::Null).await;
    error(&engine, SOURCE, "has no consumer 'mill'").await;
    assert!(engine.terminate().await.success());
}

#[tokio::test]
async fn a_consumer_that_would_lose_is_refused() {
    let server = server().await;
    let mut peer = server.peer().await;
    peer.stream("FLEET", &["v1.>"]).await;
    peer.consumer("FLEET", "mill", json!({ "ack_policy": "none" })).await;
    let mut engine = engine(&server.url(), &DURABLE[..2]);
    engine.start_degraded().await;
    error(&engine, SOURCE, "ack policy 'none'").await;
    assert!(engine.terminate().await.success());
}

#[tokio::test]
async fn a_server_without_jetstream_says_so() {
    let server = Nats::start(Config::new().line("no_auth_user: guest").line(
        "accounts { G { users: [{ user: guest, password: guest }] }, S { jetstream: enabled, users: [{ user: s, password: s }] } }",
    ))
    .await;
    let mut engine = engine(&server.url(), &DURABLE);
    engine.start_degraded().await;
    error(&engine, SOURCE, "JetStream").await;
    assert!(engine.terminate().await.success());
}
