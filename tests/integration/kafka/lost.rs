//! Brokers that are not there yet, and brokers that go away under load.

use testkit::kafka::{Config, Kafka};
use testkit::port;

use super::*;

#[tokio::test]
async fn an_engine_starts_before_its_broker() {
    let address = port::free();
    let mut engine = engine(address, "orders", &[]);
    engine.start_degraded().await;
    let said = error(&engine, SOURCE, "refused").await;
    assert!(said.starts_with(&format!("kafka at {address}: ")), "{said}");
    assert_eq!(engine.status().await["sources"]["orders"]["connection"], "disconnected");

    let broker = Kafka::start(Config::new().behind(address, address)).await;
    broker.create_topic("orders", 4, &[]).await;
    send(&Kcat::new(address), "orders", 0..10).await;
    engine.ready().await;
    file_has(&engine, 0..10).await;
    assert!(engine.terminate().await.success());
}

#[tokio::test]
async fn a_topic_that_is_missing_is_named_and_found_later() {
    let broker = Kafka::start(Config::new()).await;
    let mut engine = engine(broker.address(), "later", &[]);
    engine.start_degraded().await;
    let said = error(&engine, SOURCE, "later").await;
    assert!(said.contains("create the topic, or change topics"), "{said}");
    broker.create_topic("later", 2, &[]).await;
    send(&Kcat::new(broker.address()), "later", 0..10).await;
    file_has(&engine, 0..10).await;
    assert!(engine.terminate().await.success());
}

#[tokio::test]
async fn a_broker_that_is_stopped_and_killed_under_load_loses_nothing() {
    let mut broker = Kafka::start(Config::new()).await;
    broker.create_topic("orders", 4, &[]).await;
    broker.create_topic("copies", 4, &[]).await;
    let kcat = Kcat::new(broker.address());
    let output = format!("{{ kafka: {{ brokers: [\"{}\"], topic: copies, timeout: 5s }} }}", broker.address());
    let mut engine = into(broker.address(), "orders", &[], &output);
    engine.start().await;
    send(&kcat, "orders", 0..3000).await;
    broker.stop().await;
    engine.status_where("the loss", |status| status["sources"]["orders"]["connection"] == "disconnected").await;
    broker.restart().await;
    send(&kcat, "orders", 3000..6000).await;
    broker.kill().await;
    broker.restart().await;
    send(&kcat, "orders", 6000..7000).await;
    let done = |status: &Value| {
        let source = &status["sources"]["orders"];
        source["settled"].as_u64() >= Some(7000) && source["inFlight"].as_u64() == Some(0) && source["lag"] == 0
    };
    let status = engine.status_where("everything copied", done).await;
    assert_balanced(&status);
    let mut copies: Vec<usize> = kcat
        .consume("copies")
        .await
        .iter()
        .map(|record| serde_json::from_str::<Value>(record.payload.as_deref().expect("a payload")).expect("JSON"))
        .map(|payload| payload["id"].as_str().expect("an id").parse().expect("a number"))
        .collect();
    copies.sort_unstable();
    copies.dedup();
    assert_eq!(copies, (0..7000).collect::<Vec<_>>());
    assert!(engine.terminate().await.success());
}
