//! What is published, as pika sees it; what reaches no queue; a broker that restarts or has no memory left.

use std::collections::HashMap;

use testkit::python;
use testkit::rabbitmq::{Config, RabbitMq, shared};

use super::*;

const CONSUME: &str = include_str!("consume.py");

#[tokio::test]
async fn pika_reads_both_modes() {
    let broker = shared().await;
    for mode in ["binary", "structured"] {
        let (peer, queue, out, exchange) = (broker.peer().await, broker.name(), broker.name(), broker.name());
        peer.declare(&queue, "classic").await;
        peer.declare(&out, "quorum").await;
        peer.bind(&out, &exchange, "seen.*").await;
        let url = broker.url();
        let output = format!(
            "{{ amqp: {{ url: \"{url}\", exchange: {exchange}, routingKey: \"seen.{{type}}\", mode: {mode} }} }}"
        );
        let mut engine = into(&url, &queue, &[], &output);
        engine.start().await;
        send(&peer, &queue, 0..1).await;
        let mut pika = python::run(CONSUME, &[&url, &out, "1"]);
        let line = pika.line("a message", |line| line.starts_with('{')).await;
        let message: Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(
            (&message["key"], &message["mode"], &message["id"]),
            (&"seen.telemetry".into(), &2.into(), &"0".into())
        );
        let body: Value = serde_json::from_str(message["body"].as_str().expect("text")).expect("JSON");
        if mode == "binary" {
            assert_eq!((&message["type"], &message["body"]), (&"application/json".into(), &"{\"id\":\"0\"}".into()));
            for (name, value) in [("specversion", "1.0"), ("id", "0"), ("type", "telemetry"), ("source", "/fleet")] {
                assert_eq!(message["headers"][format!("cloudEvents_{name}")], value, "{message}");
            }
        } else {
            assert_eq!((&message["type"], &body["id"]), (&"application/cloudevents+json".into(), &"0".into()));
        }
        assert!(pika.wait().await.success());
        drained(&mut engine, &peer, &queue).await;
    }
}

#[tokio::test]
async fn an_event_that_reaches_no_queue_has_failed_and_those_beside_it_have_not() {
    let broker = shared().await;
    let (peer, queue, out, exchange) = (broker.peer().await, broker.name(), broker.name(), broker.name());
    peer.declare(&queue, "classic").await;
    peer.declare(&out, "classic").await;
    peer.bind(&out, &exchange, "to.even").await;
    let url = broker.url();
    let output = format!("{{ amqp: {{ url: \"{url}\", exchange: {exchange}, routingKey: \"to.{{subject}}\" }} }}");
    let mut engine = into(&url, &queue, &[], &output);
    engine.start().await;
    let whole = |number: usize| {
        let subject = if number.is_multiple_of(2) { "even" } else { "odd" };
        format!(
            "{{\"specversion\":\"1.0\",\"id\":\"{number}\",\"type\":\"t\",\"source\":\"/s\",\"subject\":\"{subject}\"}}"
        )
    };
    // Fewer than there are seats: what fails keeps its own until it is done.
    peer.send_all("", &queue, (0..200).map(whole)).await;
    let said = error(&engine, OUTPUT, "no queue is bound").await;
    assert!(said.contains(&format!("exchange '{exchange}', routing key 'to.odd'")), "{said}");
    let done = |status: &Value| status["rules"]["telemetry/keep"]["done"] == 100;
    let status = engine.status_where("the even half done", done).await;
    assert_balanced(&status);
    let mut seen = HashMap::<String, usize>::new();
    let mut take = async |count: usize| {
        while seen.len() < count {
            let message = peer.take(&out).await;
            *seen.entry(message.headers["cloudEvents_id"].clone()).or_default() += 1;
        }
        seen.clone()
    };
    let even = take(100).await;
    assert!(even.iter().all(|(id, count)| id.parse::<usize>().unwrap_or(1) % 2 == 0 && *count == 1), "{even:?}");
    peer.bind(&out, &exchange, "to.odd").await;
    assert_eq!(take(200).await.len(), 200);
    drained(&mut engine, &peer, &queue).await;
}

#[tokio::test]
async fn the_example_runs_as_it_stands() {
    let broker = shared().await;
    let (peer, queue, live) = (broker.peer().await, broker.name(), broker.name());
    let example = include_str!("../../../examples/amqp/tidemill.yaml");
    assert_eq!(example.matches("amqp://localhost:5672").count(), 2);
    let yaml =
        example.replace("amqp://localhost:5672", &broker.url()).replace("queue: telemetry", &format!("queue: {queue}"));
    let mut engine = Tidemill::new(PROGRAM, &yaml);
    engine.start().await;
    peer.declare(&live, "classic").await;
    peer.attach(&live, "amq.topic", "live.#").await;
    send(&peer, &queue, 1..2).await;
    let message = peer.take(&live).await;
    assert_eq!(message.routing_key, "live.org.covesa.vss.telemetry.v1");
    assert_eq!((message.content_type.as_str(), message.delivery_mode), ("application/json", Some(2)));
    assert_eq!(message.headers["cloudEvents_source"], format!("/fleet/{queue}"));
    let done = |status: &Value| status["rules"]["telemetry/audit"]["done"] == 1;
    engine.status_where("the event in the file", done).await;
    let file = std::fs::read_to_string(engine.folder().join("telemetry.jsonl")).expect("the file is there");
    assert_eq!(file.lines().count(), 1);
    assert!(engine.terminate().await.success());
    assert_eq!(peer.count(&queue).await, (0, 0));
}

#[tokio::test]
async fn an_exchange_that_is_not_there_is_named() {
    let broker = shared().await;
    let (peer, queue, exchange) = (broker.peer().await, broker.name(), broker.name());
    peer.declare(&queue, "classic").await;
    let output = format!("{{ amqp: {{ url: \"{}\", exchange: {exchange}, routingKey: a }} }}", broker.url());
    let mut engine = into(&broker.url(), &queue, &[], &output);
    engine.start_degraded().await;
    assert!(error(&engine, OUTPUT, "has no exchange").await.contains(&exchange));
    peer.bind(&queue, &exchange, "nothing").await;
    engine.ready().await;
    assert!(engine.terminate().await.success());
}

#[tokio::test]
async fn everything_arrives_over_a_broker_that_restarts_and_one_that_is_short_of_memory() {
    let mut broker = RabbitMq::start(Config::new()).await;
    let peer = broker.peer().await;
    for queue in ["in", "out"] {
        peer.declare(queue, "quorum").await;
    }
    let output = format!("{{ amqp: {{ url: \"{}\", routingKey: out, timeout: 60s }} }}", broker.url());
    let mut engine = into(&broker.url(), "in", &[], &output);
    engine.start().await;
    send(&peer, "in", 0..3000).await;
    engine.status_where("a start", |status| status["rules"]["telemetry/keep"]["done"].as_u64() > Some(200)).await;
    broker.stop().await;
    broker.restart().await;
    engine.ready().await;
    let peer = broker.peer().await;
    let done = |count: u64| move |status: &Value| status["rules"]["telemetry/keep"]["done"].as_u64() >= Some(count);
    let mut status = engine.status_where("everything done", done(3000)).await;
    assert_balanced(&status);

    // Those who publish are blocked, those who consume are not.
    send(&peer, "in", 3000..3001).await;
    engine.status_where("one more", done(3001)).await;
    let paused = engine.post("/v1/sources/fleet/pause", "").await;
    assert!(paused.status < 300);
    send(&peer, "in", 3001..3101).await;
    broker.control(&["set_vm_memory_high_watermark", "absolute", "1MB"]).await;
    assert!(engine.post("/v1/sources/fleet/resume", "").await.status < 300);
    assert!(error(&engine, OUTPUT, "has blocked publishing").await.contains("memory"));
    let waiting = |status: &Value| status["rules"]["telemetry/keep"]["inFlight"].as_u64() > Some(0);
    status = engine.status_where("events that wait", waiting).await;
    assert_balanced(&status);
    broker.control(&["set_vm_memory_high_watermark", "absolute", "1GB"]).await;
    engine.status_where("everything done after all", done(3101)).await;
    let mut seen = std::collections::HashSet::new();
    while seen.len() < 3101 {
        let message = peer.take("out").await;
        seen.insert(message.headers["cloudEvents_id"].clone());
    }
    drained(&mut engine, &peer, "in").await;
}
