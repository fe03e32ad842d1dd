//! A broker that goes away under load.

use testkit::kafka::{Config, Kafka};

use super::*;

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
