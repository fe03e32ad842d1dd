//! What is told to the broker about messages, and on which connection.

use engine::delivery::Outcome;
use serde_json::json;

use super::harness::*;

#[tokio::test]
async fn finished_messages_are_acknowledged_at_once_and_those_above_an_open_one_by_themselves() {
    let broker = Broker::start().await;
    let mut engine = Engine::start(&broker, 10, &json!({}));
    let mut peer = broker.accept().await;
    peer.deliver(1..=4).await;
    let mut receipts: Vec<_> = engine.receipts(4).await.into_iter().map(Some).collect();
    let mut settle = |at: usize| receipts[at].take().unwrap().settle(Outcome::Ack);
    settle(2);
    assert_eq!(peer.says(1).await, ["ack 3"]);
    settle(0);
    assert_eq!(peer.says(1).await, ["ack 1"]);
    settle(1);
    settle(3);
    // They may settle together or one after the other.
    let first = peer.says(1).await;
    if first != ["ack through 4"] {
        assert_eq!((first, peer.says(1).await), (vec!["ack 2".to_owned()], vec!["ack 4".to_owned()]));
    }
    engine.end();
    assert_eq!(peer.goodbye().await, ["cancel"]);
    engine.ended().await;
}

#[tokio::test]
async fn only_what_cannot_be_an_event_is_rejected_and_costs_nothing_else() {
    let broker = Broker::start().await;
    let mut engine = Engine::start(&broker, 10, &json!({}));
    let mut peer = broker.accept().await;
    peer.deliver_to(1, b"a.\xff").await;
    peer.deliver(2..=2).await;
    let (message, receipt) = engine.undecodable().await;
    assert!(message.reason.contains("not UTF-8") && message.raw == "1", "{message:?}");
    assert_eq!(message.facts[1], ("routingKey".into(), "a.\u{fffd}".into()));
    receipt.settle(Outcome::Reject);
    assert_eq!(peer.says(1).await, ["reject 1"]);
    engine.event().await.1.settle(Outcome::Ack);
    assert_eq!(peer.says(1).await, ["ack 2"]);
    engine.end();
    peer.goodbye().await;
    engine.ended().await;
}

#[tokio::test]
async fn what_came_on_a_lost_connection_is_not_acknowledged_on_the_next() {
    let broker = Broker::start().await;
    let mut engine = Engine::start(&broker, 10, &json!({}));
    let mut peer = broker.accept().await;
    peer.deliver(1..=2).await;
    let old = engine.receipts(2).await;
    drop(peer);
    let mut peer = broker.accept().await;
    peer.deliver(1..=3).await;
    let new = engine.receipts(3).await;
    old.into_iter().for_each(|receipt| receipt.settle(Outcome::Ack));
    let mut new = new.into_iter();
    new.next_back().unwrap().settle(Outcome::Ack);
    assert_eq!(peer.says(1).await, ["ack 3"], "tags 1 and 2 are other messages here");
    new.for_each(|receipt| receipt.settle(Outcome::Ack));
    engine.end();
    let said = peer.goodbye().await;
    assert!(said.contains(&"ack 2".to_owned()) || said.contains(&"ack through 2".to_owned()), "{said:?}");
    engine.ended().await;
}

#[tokio::test]
async fn beyond_the_seats_nothing_is_taken_on() {
    let broker = Broker::start().await;
    let mut engine = Engine::start(&broker, 2, &json!({}));
    let mut peer = broker.accept().await;
    // A broker keeps to the prefetch; one that does not is held back by the seats.
    peer.deliver(1..=3).await;
    let mut receipts = engine.receipts(2).await.into_iter();
    assert_eq!(engine.ledger.read().received, 2);
    receipts.next().unwrap().settle(Outcome::Ack);
    assert_eq!(peer.says(1).await, ["ack 1"]);
    let (payload, third) = engine.event().await;
    assert_eq!(payload, "3");
    third.settle(Outcome::Ack);
    receipts.for_each(|receipt| receipt.settle(Outcome::Ack));
    engine.end();
    peer.goodbye().await;
    engine.ended().await;
}
