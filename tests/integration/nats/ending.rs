//! How an engine ends, and what the server thinks of it afterwards.

use super::*;

#[tokio::test]
async fn stopping_under_load_repeats_nothing() {
    let server = server().await;
    let mut engine = engine(&server.url(), &PATIENT);
    engine.start().await;
    let mut peer = server.peer().await;
    let (_, heard) = tokio::join!(store(&mut peer, 0..4000), async {
        let mut heard = true;
        for wanted in [500, 1500, 2500] {
            file_has(&engine, wanted..wanted + 1).await;
            heard &= stopped(&mut engine).await;
            engine.start().await;
        }
        heard
    });
    let ids = file_has(&engine, 0..4000).await;
    all_acknowledged(&mut peer).await;
    let heard = stopped(&mut engine).await && heard;
    let repeated: Vec<_> = ids.iter().filter(|(_, count)| **count > 1).collect();
    assert_eq!(ids.len(), 4000);
    let info = peer.consumer_info("FLEET", "mill").await;
    assert_eq!(info["num_ack_pending"], 0, "{info}");
    assert!((repeated.is_empty() && info["num_redelivered"] == 0) || !heard, "{repeated:?} {info}");
}

#[tokio::test]
async fn a_killed_engine_finds_everything_when_it_returns() {
    let server = server().await;
    let mut engine = engine(&server.url(), &DURABLE);
    engine.start().await;
    let mut peer = server.peer().await;
    let (_, ()) = tokio::join!(store(&mut peer, 0..4000), async {
        for wanted in [500, 1500, 2500] {
            file_has(&engine, wanted..wanted + 1).await;
            engine.kill().await;
            engine.start().await;
        }
    });
    assert_eq!(file_has(&engine, 0..4000).await.len(), 4000);
    all_acknowledged(&mut peer).await;
    assert!(engine.terminate().await.success());
}

/// An engine whose results go where no stream takes them yet, so that events wait in their seats, between attempts and in
/// them; the server waits one second for a sign of life.
fn waiting_engine(url: &str) -> Tidemill {
    let yaml = format!(
        "sources:
  fleet:
    nats:
      url: {url}
      subjects: [\"v1.{{fleet}}.{{vehicle}}.telemetry\"]
      stream: FLEET
      durable: mill
      create: {{ ackWait: 1s }}
    event: {{ id: id }}
outputs:
  out: {{ nats: {{ url: \"{url}\", subject: \"out.{{id}}\" }} }}
triggers:
  telemetry:
    source: fleet
    rules:
      keep: {{ output: out, retry: {{ hold: source, maxAttempts: 1000, backoffPolicy: linear, backoffDelay: 50ms, maxDelay: 1s }} }}
"
    );
    Tidemill::new(PROGRAM, &yaml)
}

/// Lets the results go, and waits until every event is done.
async fn released(peer: &mut Peer, events: u64) {
    peer.stream("OUT", &["out.>"]).await;
    all_acknowledged(peer).await;
    let stored = peer.api("STREAM.INFO.OUT", &Value::Null).await;
    assert_eq!(stored["state"]["messages"], events);
}

#[tokio::test]
async fn a_copy_of_an_event_that_is_still_open_is_not_run_again() {
    let server = server().await;
    let mut peer = server.peer().await;
    let mut engine = waiting_engine(&server.url());
    engine.start().await;
    store(&mut peer, 0..20).await;
    engine.status_where("events in flight", |status| status["sources"]["fleet"]["inFlight"] == 20).await;
    // An engine that gets no time cannot say that it is still at it, so the server sends everything again.
    engine.process().freeze();
    within("copies on their way", async {
        while peer.consumer_info("FLEET", "mill").await["num_redelivered"] != 20 {
            tokio::time::sleep(RETRY).await;
        }
    })
    .await;
    engine.process().thaw();
    store(&mut peer, 20..21).await;
    engine.status_where("what came later", |status| status["sources"]["fleet"]["inFlight"] == 21).await;
    let status = engine.status().await;
    assert_eq!(status["sources"]["fleet"]["received"], 21, "{status}");
    released(&mut peer, 21).await;
    assert!(engine.terminate().await.success());
}

#[tokio::test]
async fn a_paused_source_holds_what_came_and_goes_on_where_it_was() {
    let server = server().await;
    let mut peer = server.peer().await;
    let mut engine = engine(&server.url(), &["stream: FLEET", "durable: mill", "create: { ackWait: 20s }"]);
    engine.start().await;
    store(&mut peer, 0..10).await;
    file_has(&engine, 0..10).await;
    assert_eq!(engine.post("/v1/sources/fleet/pause", "").await.status, 200);
    store(&mut peer, 10..20).await;
    // Longer than the server waits for what it has sent already.
    waited(&mut server.peer().await, 30).await;
    assert_eq!(ids(&engine).len(), 10);
    let status = engine.status().await;
    assert_eq!(
        (&status["sources"]["fleet"]["received"], &status["sources"]["fleet"]["connects"]),
        (&10.into(), &1.into())
    );
    assert_eq!(engine.post("/v1/sources/fleet/resume", "").await.status, 200);
    let ids = file_has(&engine, 0..20).await;
    all_acknowledged(&mut peer).await;
    assert!(ids.values().all(|count| *count == 1), "{ids:?}");
    let info = peer.consumer_info("FLEET", "mill").await;
    assert_eq!(info["num_redelivered"], 0, "{info}");
    assert!(engine.terminate().await.success());
}

/// Waits as long as the server itself takes to give up so many seconds: until it delivers a message again that a consumer
/// with that patience has not acknowledged.
async fn waited(peer: &mut Peer, seconds: u64) {
    peer.stream("PROBE", &["probe"]).await;
    peer.consumer("PROBE", "probe", serde_json::json!({ "ack_wait": seconds * 1_000_000_000 })).await;
    peer.store("probe", b"", b"").await;
    peer.subscribe("pulled").await;
    let request = "{\"batch\":2,\"expires\":170000000000}";
    peer.request("$JS.API.CONSUMER.MSG.NEXT.PROBE.probe", "pulled", request.as_bytes()).await;
    for _ in 0..2 {
        assert_eq!(peer.delivery().await.subject, "probe");
    }
}
