//! The whole source before raw clients: what is answered, when, and what the engine is given meanwhile.

mod ending;
mod harness;
mod pressure;
mod refusals;

use engine::delivery::Outcome;
use std::time::Duration;

use harness::{Client, Mill, event};

#[tokio::test]
async fn a_request_is_accepted_when_its_event_is_done_and_not_before() {
    let mut mill = Mill::start(r#"{"listen":"127.0.0.1:0"}"#, 4).await;
    let mut client = mill.client().await;
    client.post("/", &event("e-1"), b"{\"a\": 1}").await;
    let (given, receipt) = mill.event().await;
    assert_eq!((given.id().as_str(), given.data().unwrap().as_ref()), ("e-1", &b"{\"a\": 1}"[..]));
    client.hears_nothing_yet().await;
    receipt.settle(Outcome::Ack);
    assert_eq!(client.answer().await.status, 202);
    // The connection is kept for the next one.
    client.post("/", &event("e-2"), b"").await;
    mill.event().await.1.settle(Outcome::Ack);
    assert_eq!(client.answer().await.status, 202);
    assert_eq!(mill.books().settled, 2);
}

#[tokio::test]
async fn a_batch_is_accepted_when_all_of_it_is_done() {
    let mut mill = Mill::start(r#"{"listen":"127.0.0.1:0"}"#, 2).await;
    let mut client = mill.client().await;
    let events: Vec<_> =
        (0..5).map(|n| format!(r#"{{"specversion":"1.0","id":"{n}","type":"t","source":"/s"}}"#)).collect();
    let body = format!("[{}]", events.join(","));
    client.post("/", &[("content-type", "application/cloudevents-batch+json")], body.as_bytes()).await;
    for number in 0..5 {
        // A batch may be larger than the number of seats: it goes on as they become free.
        client.hears_nothing_yet().await;
        let (given, receipt) = mill.event().await;
        assert_eq!(given.id().as_str(), number.to_string());
        receipt.settle(Outcome::Ack);
    }
    assert_eq!(client.answer().await.status, 202);
    client.post("/", &[("content-type", "application/cloudevents-batch+json")], b"[]").await;
    assert_eq!(client.answer().await.status, 202);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let mut mill = Mill::start(r#"{"listen":"127.0.0.1:0"}"#, 4).await;
    let mut client = mill.client().await;
    for id in ["a", "b", "c"] {
        client.post("/", &event(id), b"").await;
    }
    for id in ["a", "b", "c"] {
        let (given, receipt) = mill.event().await;
        assert_eq!(given.id().as_str(), id);
        receipt.settle(Outcome::Ack);
        assert_eq!(client.answer().await.status, 202);
    }
}

#[tokio::test]
async fn received_is_answered_at_once() {
    let mut mill = Mill::with(r#"{"listen":"127.0.0.1:0"}"#, 2, Some("received")).await;
    let mut client = mill.client().await;
    client.post("/", &event("e-1"), b"").await;
    assert_eq!(client.answer().await.status, 202);
    let (_, receipt) = mill.event().await;
    receipt.settle(Outcome::Ack);
    client.post("/", &[("ce-specversion", "1.0")], b"").await;
    assert_eq!(client.answer().await.status, 400);
    mill.undecodable().await.1.settle(Outcome::Reject);
}

#[tokio::test]
async fn the_greatest_outcome_answers() {
    let mut mill = Mill::start(r#"{"listen":"127.0.0.1:0"}"#, 4).await;
    let mut client = mill.client().await;
    let body = br#"[{"specversion":"1.0","id":"1","type":"t","source":"/s"},{"specversion":"1.0","id":"2","type":"t","source":"/s"}]"#;
    client.post("/", &[("content-type", "application/cloudevents-batch+json")], body).await;
    let first = mill.event().await.1;
    mill.event().await.1.settle(Outcome::Retry { after: Duration::from_secs(7) });
    first.settle(Outcome::Ack);
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("7")));
    assert_eq!(mill.books().handed_back, 1);
}

#[tokio::test]
async fn captures_and_plain_bodies_go_through_the_template() {
    let mut mill = Mill::start(r#"{"listen":"127.0.0.1:0","path":"/hooks/{tenant}"}"#, 4).await;
    let mut client = mill.client().await;
    client.post("/hooks/caf%C3%A9?x=1", &[("content-type", "text/csv")], b"a,b").await;
    let (given, receipt) = mill.event().await;
    assert_eq!(given.extension("tenant").unwrap().text(), "café");
    assert_eq!(
        (given.r#type().as_str(), given.datacontenttype().unwrap().as_str()),
        ("org.tidemill.http.request", "text/csv")
    );
    receipt.settle(Outcome::Ack);
    assert_eq!(client.answer().await.status, 202);
}

#[tokio::test]
async fn a_taken_address_is_named_and_taken_over_once_it_is_free() {
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap();
    let options = format!(r#"{{"listen":"{address}"}}"#);
    let ended = Mill::run_once(&options).await.unwrap_err().to_string();
    assert_eq!(
        ended,
        format!("http address {address} is taken by another program or source; name another one in http.listen")
    );
    drop(holder);
    let mut mill = Mill::start(&options, 1).await;
    let mut client = Client::connect(address).await;
    client.post("/", &event("e"), b"").await;
    mill.event().await.1.settle(Outcome::Ack);
    assert_eq!(client.answer().await.status, 202);
}
