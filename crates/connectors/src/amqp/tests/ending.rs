//! Stopping, and what has to be given back before the broker takes it.

use engine::delivery::Outcome;
use serde_json::json;

use super::harness::*;
use crate::amqp::wire::tests::frame;

#[tokio::test]
async fn stopping_acknowledges_what_is_done_and_hands_the_rest_back() {
    let broker = Broker::start().await;
    let mut engine = Engine::start(&broker, 2, &json!({}));
    let mut peer = broker.accept().await;
    peer.deliver(1..=4).await;
    let mut receipts = engine.receipts(2).await.into_iter();
    engine.end();
    assert_eq!(peer.says(3).await, ["cancel", "requeue 3", "requeue 4"]);
    // What was on its way meanwhile goes back too.
    peer.deliver(5..=5).await;
    assert_eq!(peer.says(1).await, ["requeue 5"]);
    // What nobody took care of stays the broker's.
    drop(receipts.next());
    assert_eq!(peer.says(1).await, ["requeue 1"]);
    receipts.next().unwrap().settle(Outcome::Ack);
    assert_eq!(peer.goodbye().await, ["ack 2"]);
    let ledger = engine.ledger.clone();
    engine.ended().await;
    let books = ledger.read();
    assert_eq!((books.received, books.settled, books.handed_back), (2, 1, 1));
}

#[tokio::test]
async fn a_connection_that_is_lost_at_the_end_is_not_made_again() {
    let broker = Broker::start().await;
    let mut engine = Engine::start(&broker, 2, &json!({}));
    let mut peer = broker.accept().await;
    peer.deliver(1..=1).await;
    let receipt = engine.event().await.1;
    engine.end();
    assert_eq!(peer.says(1).await, ["cancel"]);
    drop(peer);
    engine.until(|| engine.link.read().last_error).await;
    receipt.settle(Outcome::Ack);
    engine.ended().await;
}

#[tokio::test]
async fn what_the_engine_cannot_give_back_is_handed_back_all_the_same() {
    let broker = Broker::start().await;
    let mut engine = Engine::start(&broker, 1, &json!({ "consumerTimeout": "12s" }));
    let mut peer = broker.accept().await;
    peer.deliver(1..=1).await;
    let (_, running) = engine.event().await;
    assert!(engine.wish().await.covers(&running));
    assert_eq!(peer.says(1).await, ["requeue 1"]);
    let link = engine.link.read();
    assert_eq!(link.dropped["consumerTimeout"], 1);
    assert!(link.last_error.unwrap().contains("may run twice"));
    // A message is asked for once.
    peer.deliver(2..=2).await;
    // It finishes after all, which nobody is told: the message is another delivery by now.
    running.settle(Outcome::Ack);
    engine.event().await.1.settle(Outcome::Ack);
    assert_eq!(peer.says(1).await, ["ack 2"]);
    peer.deliver(3..=3).await;
    engine.event().await.1.settle(Outcome::Ack);
    assert_eq!(peer.says(1).await, ["ack 3"]);
    engine.end();
    peer.goodbye().await;
    engine.ended().await;
}

#[tokio::test]
async fn a_consumer_that_the_broker_ends_says_so_and_comes_back() {
    let broker = Broker::start().await;
    let mut engine = Engine::start(&broker, 2, &json!({}));
    let mut peer = broker.accept().await;
    peer.send(&frame(1, 1, b"\0\x3c\0\x1e\x08tidemill\x01")).await;
    let said = engine.until(|| engine.link.read().last_error).await;
    assert!(said.contains("ended the consumer of queue 'q'"), "{said}");
    let mut peer = broker.accept().await;
    let mut close = b"\0\x14\0\x28\x01\x96\x13".to_vec();
    close.extend(b"PRECONDITION_FAILED\0\0\0\0");
    peer.send(&frame(1, 1, &close)).await;
    let wanted = "closed the channel: PRECONDITION_FAILED";
    engine.until(|| engine.link.read().last_error.filter(|text| text.contains(wanted))).await;
    let mut peer = broker.accept().await;
    peer.deliver(1..=1).await;
    engine.event().await.1.settle(Outcome::Ack);
    assert_eq!(peer.says(1).await, ["ack 1"]);
    engine.end();
    peer.goodbye().await;
    engine.ended().await;
}
