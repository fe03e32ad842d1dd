//! The end of a run: what is in flight is answered, and nothing that is accepted is lost.

use super::*;

#[tokio::test]
async fn what_is_in_flight_is_answered_and_what_waits_is_sent_elsewhere() {
    let mut mill = Mill::start(r#"{"listen":"127.0.0.1:0","maxWait":"60s"}"#, 1).await;
    let (mut running, mut waiting, mut idle) = (mill.client().await, mill.client().await, mill.client().await);
    running.post("/", &event("running"), b"").await;
    let (_, receipt) = mill.event().await;
    waiting.post("/", &event("waiting"), b"").await;
    waiting.hears_nothing_yet().await;
    mill.stop();
    let answer = waiting.answer().await;
    assert_eq!(
        (answer.status, answer.header("retry-after"), answer.header("connection")),
        (503, Some("1"), Some("close"))
    );
    assert!(idle.is_closed().await);
    assert!(tokio::net::TcpStream::connect(mill.address).await.is_err(), "nobody listens any more");
    running.hears_nothing_yet().await;
    receipt.settle(Outcome::Ack);
    assert_eq!(running.answer().await.status, 202);
    assert!(running.is_closed().await);
    mill.ended().await.unwrap();
}

#[tokio::test]
async fn a_request_that_is_half_sent_when_it_ends_is_told_to_come_again() {
    let mill = Mill::start(r#"{"listen":"127.0.0.1:0"}"#, 1).await;
    let mut slow = mill.client().await;
    slow.send(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\nexpect: 100-continue\r\n\r\n").await;
    assert_eq!(slow.answer().await.status, 100);
    mill.stop();
    slow.send(b"body").await;
    assert_eq!(slow.answer().await.status, 503);
    mill.ended().await.unwrap();
}

#[tokio::test]
async fn what_is_handed_back_is_answered_so() {
    let mut mill = Mill::start(r#"{"listen":"127.0.0.1:0"}"#, 2).await;
    let mut client = mill.client().await;
    let one = |id| format!(r#"{{"specversion":"1.0","id":"{id}","type":"t","source":"/s"}}"#);
    let body = format!("[{},{},{}]", one("a"), one("b"), one("c"));
    client.post("/", &[("content-type", "application/cloudevents-batch+json")], body.as_bytes()).await;
    let first = mill.event().await.1;
    let second = mill.event().await.1;
    mill.stop();
    first.settle(Outcome::Ack);
    client.hears_nothing_yet().await;
    // Its third event never had a seat, so the whole batch has to come again.
    second.settle(Outcome::Ack);
    assert_eq!(client.answer().await.status, 503);
    mill.ended().await.unwrap();
}
