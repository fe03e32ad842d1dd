//! A broker that is killed under load and keeps what it confirmed; queues that come and go.

use testkit::rabbitmq::{Config, RabbitMq, shared};

use super::*;

#[tokio::test]
async fn nothing_is_lost_when_the_broker_is_killed_under_load() {
    let mut broker = RabbitMq::start(Config::new()).await;
    let peer = broker.peer().await;
    for kind in ["classic", "quorum"] {
        peer.declare(kind, kind).await;
    }
    let mut engines = ["classic", "quorum"].map(|kind| engine(&broker.url(), kind, &[]));
    for (engine, kind) in engines.iter_mut().zip(["classic", "quorum"]) {
        engine.start().await;
        send(&broker.peer().await, kind, 0..2000).await;
        file_has(engine, 0..200).await;
    }
    broker.kill().await;
    broker.restart().await;
    let peer = broker.peer().await;
    for (engine, kind) in engines.iter_mut().zip(["classic", "quorum"]) {
        send(&peer, kind, 2000..2500).await;
        let ids = file_has(engine, 0..2500).await;
        println!("{kind}: {} of 2500 repeated over a broker that was killed", repeated(&ids));
        assert_eq!(ids.len(), 2500);
        drained(engine, &peer, kind).await;
    }
}

#[tokio::test]
async fn a_queue_that_is_not_there_or_deleted_is_named_and_waited_for() {
    let broker = shared().await;
    let (peer, queue) = (broker.peer().await, broker.name());
    let mut engine = engine(&broker.url(), &queue, &[]);
    engine.start_degraded().await;
    let said = error(&engine, SOURCE, "has no queue").await;
    assert!(said.contains(&format!("'{queue}'")) && said.contains("declare:"), "{said}");
    peer.declare(&queue, "classic").await;
    send(&peer, &queue, 0..10).await;
    file_has(&engine, 0..10).await;
    peer.delete(&queue).await;
    error(&engine, SOURCE, "has no queue").await;
    peer.declare(&queue, "quorum").await;
    send(&peer, &queue, 10..20).await;
    assert_eq!(file_has(&engine, 0..20).await.len(), 20);
    drained(&mut engine, &peer, &queue).await;
}

#[tokio::test]
async fn a_queue_is_made_as_it_is_declared_and_one_of_another_kind_is_refused() {
    let broker = shared().await;
    let (peer, queue) = (broker.peer().await, broker.name());
    let declare = ["declare: { type: quorum, arguments: { x-delivery-limit: 7 } }"];
    let mut maker = engine(&broker.url(), &queue, &declare);
    maker.start().await;
    send(&peer, &queue, 0..10).await;
    file_has(&maker, 0..10).await;
    let mut other = engine(&broker.url(), &queue, &["declare: {}"]);
    other.start_degraded().await;
    let said = error(&other, SOURCE, "of another kind").await;
    assert!(said.contains("x-queue-type") && said.contains("declare:"), "{said}");
    other.terminate().await;
    drained(&mut maker, &peer, &queue).await;
}

#[tokio::test]
async fn what_waits_is_in_the_status() {
    let broker = shared().await;
    let (peer, queue) = (broker.peer().await, broker.name());
    peer.declare(&queue, "classic").await;
    let mut engine = engine(&broker.url(), &queue, &[]);
    engine.start().await;
    engine.status_where("an empty queue", |status| status["sources"]["fleet"]["lag"] == 0).await;
    assert!(engine.post("/v1/sources/fleet/pause", "").await.status < 300);
    send(&peer, &queue, 0..500).await;
    engine.status_where("what waits", |status| status["sources"]["fleet"]["lag"] == 500).await;
    assert!(engine.post("/v1/sources/fleet/resume", "").await.status < 300);
    assert_eq!(file_has(&engine, 0..500).await.len(), 500);
    drained(&mut engine, &peer, &queue).await;
}
