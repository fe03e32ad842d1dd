//! Clients that post until they are told 202, and an engine that is killed, stopped and overrun meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use testkit::patience::{RETRY, within};
use tokio::task::JoinSet;

use super::*;

/// Posts `count` events from each of `clients` until every one is answered 202; `told` counts them.
fn clients(address: SocketAddr, clients: usize, count: usize, told: &Arc<AtomicUsize>) -> JoinSet<Vec<String>> {
    let mut posting = JoinSet::new();
    for client in 0..clients {
        let told = Arc::clone(told);
        posting.spawn(async move {
            let mut accepted = Vec::new();
            for number in 0..count {
                let id = format!("{client}-{number}");
                loop {
                    match post(address, &id, "{}").await {
                        Ok(answer) if answer.status == 202 => break,
                        Ok(answer) => {
                            assert!([429, 503].contains(&answer.status), "{}: {}", answer.status, answer.body);
                        }
                        // Nobody listens, or the answer was lost with the engine.
                        Err(_) => {}
                    }
                    tokio::time::sleep(RETRY).await;
                }
                told.fetch_add(1, Ordering::Relaxed);
                accepted.push(id);
            }
            accepted
        });
    }
    posting
}

async fn until(told: &AtomicUsize, count: usize) {
    within("answers", async {
        while told.load(Ordering::Relaxed) < count {
            tokio::time::sleep(RETRY).await;
        }
    })
    .await;
}

#[tokio::test]
async fn whatever_was_accepted_is_kept_whoever_dies() {
    for ack in ["processed", "spooled"] {
        accepted_is_kept(ack).await;
    }
}

async fn accepted_is_kept(ack: &str) {
    let address = port::free();
    let mut engine = engine_that(ack, address, 50, &[]);
    engine.start().await;
    let told = Arc::new(AtomicUsize::new(0));
    let mut posting = clients(address, 8, 40, &told);
    for wanted in [60, 150] {
        until(&told, wanted).await;
        engine.kill().await;
        engine.start().await;
    }
    until(&told, 240).await;
    assert_eq!(engine.terminate().await.code(), Some(0), "a drain under load");
    let before: usize = told.load(Ordering::Relaxed);
    if ack == "processed" {
        assert!(kept(&engine).len() >= before, "every 202 of a drain is in the file");
    }
    engine.start().await;
    let mut accepted = HashSet::new();
    while let Some(ids) = within("the clients", posting.join_next()).await {
        accepted.extend(ids.unwrap());
    }
    file_has(&engine, &accepted).await;
    assert_eq!(kept(&engine), accepted);
    assert_eq!(accepted.len(), 320);
    let source = &engine.status().await["sources"]["hook"];
    assert_eq!(source["received"], source["settled"]);
    assert_eq!(engine.terminate().await.code(), Some(0));
}

#[tokio::test]
async fn an_overrun_engine_turns_away_and_loses_nothing() {
    let address = port::free();
    let mut engine = engine(address, 2, &["maxWait: 1ms"]);
    engine.start().await;
    let told = Arc::new(AtomicUsize::new(0));
    let mut posting = clients(address, 16, 20, &told);
    let mut accepted = HashSet::new();
    while let Some(ids) = within("the clients", posting.join_next()).await {
        accepted.extend(ids.unwrap());
    }
    assert_eq!((kept(&engine), accepted.len()), (accepted, 320));
    let status = engine.status().await;
    assert_eq!(status["sources"]["hook"]["received"], 320, "what was turned away was never received");
    let metrics = engine.get("/metrics").await.body;
    assert!(metrics.contains("tidemill_http_answers_total{source=\"hook\",status=\"202\"} 320\n"), "{metrics}");
    assert!(metrics.contains("tidemill_http_answers_total{source=\"hook\",status=\"429\"} "), "{metrics}");
    assert_eq!(engine.terminate().await.code(), Some(0));
}

#[tokio::test]
async fn what_is_no_event_is_answered_and_kept_and_nothing_stalls() {
    let address = port::free();
    let mut engine = engine(address, 4, &["maxBodySize: 1KiB", "auth: { bearer: \"${env:HOOK_TOKEN}\" }"])
        .variable("HOOK_TOKEN", "canary-s3cret");
    engine.start().await;
    let token = ("authorization", "Bearer canary-s3cret");
    let structured = ("content-type", "application/cloudevents+json");
    let asks = async |headers: &[(&str, &str)], body: &str| {
        http::request(address, "POST", "/", headers, body).await.unwrap().status
    };
    assert_eq!(asks(&[structured], "{}").await, 401);
    assert_eq!(asks(&[token, structured], "{\"specversion\":\"1.0\",\"type\":\"canary-broken\"}").await, 400);
    assert_eq!(asks(&[token, ("ce-specversion", "1.0"), ("ce-id", "%C0%A0")], "x").await, 400);
    assert_eq!(asks(&[token, ("content-type", "application/cloudevents+avro")], "x").await, 415);
    assert_eq!(asks(&[token], &"x".repeat(2000)).await, 413);
    assert_eq!(asks(&[token, ("content-type", "application/cloudevents-batch+json")], "[{},").await, 400);
    assert_eq!(asks(&[token, ("content-type", "text/plain")], "a plain body").await, 202);
    let status = engine.status().await;
    assert_eq!((&status["sources"]["hook"]["rejected"], &status["sources"]["hook"]["settled"]), (&3.into(), &1.into()));
    let rejects = dead_letters(&engine).await;
    assert_eq!(rejects.lines().count(), 3);
    let kept = events(&engine);
    assert_eq!((kept.len(), &kept[0]["type"]), (1, &"org.tidemill.http.request".into()));
    assert_eq!(engine.terminate().await.code(), Some(0));
    let said = engine.process().lines().all().join("\n");
    assert!(!said.contains("canary-s3cret") && !rejects.contains("canary-s3cret"), "{said}");
}

#[tokio::test]
async fn a_taken_address_is_named_and_taken_over_when_it_is_free() {
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap();
    let mut engine = engine(address, 4, &[]);
    engine.start_degraded().await;
    let status = engine.status_where("the reason", |status| !status["sources"]["hook"]["lastError"].is_null()).await;
    let said = status["sources"]["hook"]["lastError"].as_str().unwrap();
    assert!(said.contains(&format!("{address} is taken")), "{said}");
    assert_eq!(engine.get("/readyz").await.status, 503);
    drop(holder);
    engine.ready().await;
    assert_eq!(post(address, "e-1", "{}").await.unwrap().status, 202);
    assert_eq!(engine.terminate().await.code(), Some(0));
}
