//! More requests than seats, and clients that do not wait.

use super::*;
use crate::given::soon;

#[tokio::test]
async fn a_request_without_a_seat_is_turned_away_and_those_before_it_are_not() {
    let mut mill = Mill::start(r#"{"listen":"127.0.0.1:0","maxWait":"50ms"}"#, 1).await;
    let (mut first, mut second) = (mill.client().await, mill.client().await);
    first.post("/", &event("first"), b"").await;
    let (_, receipt) = mill.event().await;
    second.post("/", &event("second"), b"").await;
    let answer = second.answer().await;
    assert_eq!((answer.status, answer.header("retry-after")), (429, Some("1")));
    receipt.settle(Outcome::Ack);
    assert_eq!(first.answer().await.status, 202);
    // Its place is free again, and the one that was turned away left nothing behind.
    second.post("/", &event("third"), b"").await;
    let (given, receipt) = mill.event().await;
    assert_eq!(given.id().as_str(), "third");
    receipt.settle(Outcome::Ack);
    assert_eq!(second.answer().await.status, 202);
    assert_eq!(mill.books().received, 2);
}

#[tokio::test]
async fn a_batch_that_has_begun_is_never_turned_away() {
    let mut mill = Mill::start(r#"{"listen":"127.0.0.1:0","maxWait":"0s"}"#, 1).await;
    let (mut batch, mut single) = (mill.client().await, mill.client().await);
    let one = |id| format!(r#"{{"specversion":"1.0","id":"{id}","type":"t","source":"/s"}}"#);
    let body = format!("[{},{}]", one("a"), one("b"));
    batch.post("/", &[("content-type", "application/cloudevents-batch+json")], body.as_bytes()).await;
    let (_, receipt) = mill.event().await;
    single.post("/", &event("c"), b"").await;
    assert_eq!(single.answer().await.status, 429);
    batch.hears_nothing_yet().await;
    receipt.settle(Outcome::Ack);
    mill.event().await.1.settle(Outcome::Ack);
    assert_eq!(batch.answer().await.status, 202);
}

#[tokio::test]
async fn every_waiting_request_gets_its_seat() {
    let mut mill = Mill::start(r#"{"listen":"127.0.0.1:0","maxWait":"60s"}"#, 1).await;
    let mut clients = Vec::new();
    let mut receipts = Vec::new();
    for id in ["a", "b", "c"] {
        let mut client = mill.client().await;
        client.post("/", &event(id), b"").await;
        if id == "a" {
            receipts.push(mill.event().await.1);
        }
        client.hears_nothing_yet().await;
        clients.push(client);
    }
    let mut order = vec!["a".to_owned()];
    while let Some(receipt) = receipts.pop() {
        receipt.settle(Outcome::Ack);
        if order.len() < 3 {
            let (given, receipt) = mill.event().await;
            order.push(given.id().to_string());
            receipts.push(receipt);
        }
    }
    order.sort();
    assert_eq!(order, ["a", "b", "c"]);
    for client in &mut clients {
        assert_eq!(client.answer().await.status, 202);
    }
}

#[tokio::test]
async fn a_client_that_goes_away_is_counted_and_its_event_runs_on() {
    let mut mill = Mill::start(r#"{"listen":"127.0.0.1:0"}"#, 1).await;
    let mut hasty = mill.client().await;
    hasty.post("/", &event("hasty"), b"").await;
    let (_, receipt) = mill.event().await;
    drop(hasty);
    soon(async {
        while mill.tally.count_of_gone() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(mill.books().in_flight, 1);
    receipt.settle(Outcome::Ack);
    let mut next = mill.client().await;
    next.post("/", &event("next"), b"").await;
    mill.event().await.1.settle(Outcome::Ack);
    assert_eq!(next.answer().await.status, 202);
    assert_eq!(mill.books().settled, 2);
}

#[tokio::test]
async fn a_client_that_goes_away_before_it_had_a_seat_leaves_nothing() {
    let mut mill = Mill::start(r#"{"listen":"127.0.0.1:0","maxWait":"60s"}"#, 1).await;
    let mut first = mill.client().await;
    first.post("/", &event("first"), b"").await;
    let (_, receipt) = mill.event().await;
    let mut hasty = mill.client().await;
    hasty.post("/", &event("hasty"), b"").await;
    hasty.hears_nothing_yet().await;
    drop(hasty);
    soon(async {
        while mill.tally.count_of_gone() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    receipt.settle(Outcome::Ack);
    assert_eq!(first.answer().await.status, 202);
    first.post("/", &event("second"), b"").await;
    let (given, receipt) = mill.event().await;
    assert_eq!(given.id().as_str(), "second");
    receipt.settle(Outcome::Ack);
    assert_eq!(first.answer().await.status, 202);
}

#[tokio::test]
async fn connections_beyond_the_bound_wait_until_one_ends() {
    let mut mill = Mill::start(r#"{"listen":"127.0.0.1:0","maxConnections":1}"#, 4).await;
    let mut first = mill.client().await;
    first.post("/", &event("first"), b"").await;
    mill.event().await.1.settle(Outcome::Ack);
    assert_eq!(first.answer().await.status, 202);
    let mut second = mill.client().await;
    second.post("/", &event("second"), b"").await;
    second.hears_nothing_yet().await;
    drop(first);
    mill.event().await.1.settle(Outcome::Ack);
    assert_eq!(second.answer().await.status, 202);
}

#[tokio::test]
async fn a_paused_source_turns_away_until_it_is_resumed() {
    let mut mill = Mill::start(r#"{"listen":"127.0.0.1:0","maxWait":"20ms"}"#, 4).await;
    mill.ledger.pause();
    let mut client = mill.client().await;
    client.post("/", &event("early"), b"").await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")), "it is not ready, rather than full");
    mill.ledger.resume();
    client.post("/", &event("late"), b"").await;
    let (given, receipt) = mill.event().await;
    assert_eq!(given.id().as_str(), "late");
    receipt.settle(Outcome::Ack);
    assert_eq!(client.answer().await.status, 202);
}

#[tokio::test(start_paused = true)]
async fn who_drips_is_not_waited_for() {
    let mut mill = Mill::start(r#"{"listen":"127.0.0.1:0"}"#, 4).await;
    let mut head = mill.client().await;
    head.send(b"POST / HTTP/1.1\r\nhost: x\r\nce-").await;
    assert!(head.is_closed().await);
    let mut body = mill.client().await;
    body.send(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nslow").await;
    assert_eq!(body.answer().await.status, 408);
    assert!(mill.has_nothing());
}
