//! HTTP answers once the event is on the disk, by hand too; and what core NATS has brought stays.

use testkit::http;
use testkit::nats::{Config as NatsConfig, Nats};

use super::*;

#[tokio::test]
async fn a_202_is_kept_by_an_engine_that_is_killed_at_once() {
    let (hook, sink) = (port::free(), port::free());
    let source = format!("http: {{ listen: \"{hook}\" }}");
    let mut engine = Tidemill::new(PROGRAM, &yaml(&source, sink, ""));
    for round in 0..5 {
        engine.start().await;
        let id = format!("e-{round}");
        let headers = [("ce-specversion", "1.0"), ("ce-id", &id), ("ce-type", "t"), ("ce-source", "/test")];
        let answer = http::request(hook, "POST", "/", &headers, "{}").await.expect("an answer");
        assert_eq!(answer.status, 202);
        let event = format!(
            "{{\"specversion\":\"1.0\",\"id\":\"h-{round}\",\"type\":\"t\",\"source\":\"/hand\",\"data\":{{}}}}"
        );
        assert_eq!(engine.post("/v1/sources/fleet/events", &event).await.status, 200);
        engine.kill().await;
    }
    engine.start().await;
    let status = engine.status().await;
    assert_eq!(spool(&status)["recovered"], 10, "{status}");
    assert_balanced(&status);
    let inbox = Inbox::open_at(sink).await;
    let wanted: Vec<String> = (0..5).flat_map(|round| [format!("e-{round}"), format!("h-{round}")]).collect();
    posted(&inbox, &wanted).await;
    assert_balanced(&idle(&engine).await);
    assert_eq!(engine.terminate().await.code(), Some(0));
}

#[tokio::test]
async fn what_core_nats_has_brought_survives_a_kill() {
    const COUNT: usize = 300;
    let server = Nats::start(NatsConfig::new()).await;
    let sink = port::free();
    let source = format!("nats: {{ url: \"{}\", subjects: [telemetry] }}\nevent: {{ id: id }}", server.url());
    let mut engine = Tidemill::new(PROGRAM, &yaml(&source, sink, ""));
    engine.start().await;
    let mut peer = server.peer().await;
    for number in 0..COUNT {
        peer.publish("telemetry", b"", message(number, 0).as_bytes()).await;
    }
    peer.flush().await;
    let kept = engine.status_where("all in the spool", |status| status["sources"]["fleet"]["settled"] == COUNT).await;
    assert_balanced(&kept);
    engine.kill().await;
    let inbox = Inbox::open_at(sink).await;
    engine.start().await;
    posted(&inbox, 0..COUNT).await;
    let done = idle(&engine).await;
    assert_balanced(&done);
    assert_eq!(spool(&done)["recovered"], COUNT);
    assert_eq!(engine.terminate().await.code(), Some(0));
}

#[tokio::test]
async fn a_pause_holds_the_source_and_the_spool_goes_on() {
    let (hook, sink) = (port::free(), port::free());
    let source = format!("http: {{ listen: \"{hook}\" }}");
    let mut engine = Tidemill::new(PROGRAM, &yaml(&source, sink, ""));
    engine.start().await;
    let headers = [("ce-specversion", "1.0"), ("ce-id", "before"), ("ce-type", "t"), ("ce-source", "/test")];
    assert_eq!(http::request(hook, "POST", "/", &headers, "{}").await.expect("an answer").status, 202);
    assert_eq!(engine.post("/v1/sources/fleet/pause", "").await.status, 200);
    let inbox = Inbox::open_at(sink).await;
    assert_eq!(posted(&inbox, ["before"]).await, ["before"]);
    let status = idle(&engine).await;
    assert_eq!((&status["sources"]["fleet"]["paused"], &spool(&status)["settled"]), (&true.into(), &1.into()));
    assert_eq!(engine.terminate().await.code(), Some(0));
}
