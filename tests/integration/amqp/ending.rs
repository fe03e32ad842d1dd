//! How an engine ends, what comes again, and what the broker does not wait for.

use testkit::rabbitmq::shared;

use super::*;

#[tokio::test]
async fn stopping_under_load_loses_nothing_and_a_classic_queue_repeats_nothing() {
    let broker = shared().await;
    for kind in ["classic", "quorum"] {
        let (peer, queue) = (broker.peer().await, broker.name());
        peer.declare(&queue, kind).await;
        let mut engine = engine(&broker.url(), &queue, &[]);
        engine.start().await;
        let ((), ()) = tokio::join!(send(&peer, &queue, 0..6000), async {
            for wanted in [500, 2000, 4000] {
                file_has(&engine, wanted..wanted + 1).await;
                assert!(engine.terminate().await.success());
                engine.start().await;
            }
        });
        let ids = file_has(&engine, 0..6000).await;
        // A quorum queue may not have taken the last acknowledgements when the channel closed, and gives no sign of it.
        println!("{kind}: {} of 6000 repeated over three stops", repeated(&ids));
        let at_most = if kind == "classic" { 0 } else { 600 };
        assert!(ids.len() == 6000 && repeated(&ids) <= at_most, "{kind}: {}", repeated(&ids));
        drained(&mut engine, &peer, &queue).await;
    }
}

#[tokio::test]
async fn a_killed_engine_finds_everything_when_it_returns() {
    let broker = shared().await;
    for kind in ["classic", "quorum"] {
        let (peer, queue) = (broker.peer().await, broker.name());
        peer.declare(&queue, kind).await;
        let mut engine = engine(&broker.url(), &queue, &[]);
        engine.start().await;
        let ((), ()) = tokio::join!(send(&peer, &queue, 0..6000), async {
            for wanted in [500, 2000, 4000] {
                file_has(&engine, wanted..wanted + 1).await;
                engine.kill().await;
                engine.start().await;
            }
        });
        let ids = file_has(&engine, 0..6000).await;
        println!("{kind}: {} of 6000 repeated over three kills, at most 200 seats each", repeated(&ids));
        assert!(ids.len() == 6000 && repeated(&ids) <= 600, "{kind}: {}", repeated(&ids));
        drained(&mut engine, &peer, &queue).await;
    }
}

#[tokio::test]
async fn what_comes_near_the_consumer_timeout_is_handed_back_and_counted() {
    let broker = shared().await;
    let (peer, queue, nowhere) = (broker.peer().await, broker.name(), broker.name());
    peer.declare(&queue, "classic").await;
    // Nobody has the queue that the output names, so its events stay in seats.
    let output = format!("{{ amqp: {{ url: \"{}\", routingKey: {nowhere} }} }}", broker.url());
    let mut engine = into(&broker.url(), &queue, &["consumerTimeout: 2s"], &output);
    engine.start().await;
    send(&peer, &queue, 0..3).await;
    let handed_back = |status: &Value| status["sources"]["fleet"]["dropped"]["consumerTimeout"].as_u64() >= Some(3);
    let status = engine.status_where("events that were handed back", handed_back).await;
    assert_balanced(&status);
    assert!(error(&engine, SOURCE, "near consumerTimeout").await.contains("consumer_timeout"));
    assert_eq!(engine.status().await["sources"]["fleet"]["connects"], 1, "the channel was not closed over it");
    // As soon as there is a queue, all of them arrive there, some of them more than once.
    peer.declare(&nowhere, "classic").await;
    let mut arrived = std::collections::HashSet::new();
    while arrived.len() < 3 {
        arrived.insert(peer.take(&nowhere).await.payload);
    }
    drained(&mut engine, &peer, &queue).await;
}
