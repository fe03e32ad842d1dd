//! Keys that are paused in the built program: the others go on, a pause outlives whoever is killed, and what stood behind the
//! poison comes in its order once somebody goes on without it.
//!
//! The rule posts to an HTTP server of the test that refuses one event for now, as often as it comes.

use std::net::SocketAddr;
use std::process::{Command, Output};

use serde_json::Value;
use testkit::http::Inbox;
use testkit::kafka;
use testkit::kcat::Kcat;
use testkit::patience::until;
use testkit::tidemill::Tidemill;

use crate::outcome::{PROGRAM, assert_balanced, posted, posted_ids};

const RULE: &str = "orders/post";
const KEYS: usize = 5;
const COUNT: usize = 50;

/// One rule that posts what comes from a topic, with these keys besides.
fn yaml(broker: SocketAddr, topic: &str, sink: SocketAddr, post: &str) -> String {
    format!(
        "sources:
  orders:
    kafka: {{ brokers: [\"{broker}\"], topics: [\"{topic}\"], group: \"{topic}\" }}
    event: {{ type: order, source: /orders, id: id }}
    seats: 5
outputs:
  sink: {{ http: {{ url: \"http://{sink}/\" }} }}
triggers:
  orders:
    source: orders
    rules:
      post: {{ output: sink, {post} }}
"
    )
}

/// What `tidemill` says to the running engine.
async fn tidemill(engine: &Tidemill, words: &[&str]) -> Output {
    let (admin, words) = (engine.admin().to_string(), words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
    let run = move || Command::new(PROGRAM).args(words).args(["--admin", &admin]).output().expect("it can be started");
    tokio::task::spawn_blocking(run).await.expect("it does not panic")
}

async fn said(engine: &Tidemill, words: &[&str]) -> String {
    let output = tidemill(engine, words).await;
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

async fn refused(engine: &Tidemill, code: i32, words: &[&str]) -> String {
    let output = tidemill(engine, words).await;
    assert_eq!(output.status.code(), Some(code), "{words:?}: {}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr).expect("text")
}

fn figure(status: &Value, name: &str) -> u64 {
    status["rules"][RULE][name].as_u64().unwrap_or_else(|| panic!("no figure {name} in {status}"))
}

#[tokio::test]
async fn a_paused_key_outlives_the_engine_and_goes_on_in_order_without_its_head() {
    let broker = kafka::shared().await;
    let topic = broker.topic(4, &[]).await;
    let sink = Inbox::open_but_for("0").await;
    let post = "retry: { maxAttempts: 2, backoffDelay: 1ms }, onExhausted: pauseKey";
    let yaml = yaml(broker.address(), &topic, sink.address(), post);
    let mut engine = Tidemill::new(PROGRAM, &yaml);
    engine.start().await;
    let lines: Vec<_> = (0..COUNT).map(|number| format!("veh-{}|{{\"id\":\"{number}\"}}", number % KEYS)).collect();
    Kcat::new(broker.address()).produce(&topic, &["-K", "|"], &lines).await;
    // All of the other keys, though the paused one has more events than there are seats.
    posted(&sink, (0..COUNT).filter(|number| number % KEYS != 0)).await;
    let behind = COUNT / KEYS;
    let is_paused = |status: &Value| {
        figure(status, "pausedKeys") == 1
            && figure(status, "parked") == behind as u64
            && figure(status, "inFlight") == 0
    };
    let status = engine.status_where("a paused key with everything of it", is_paused).await;
    assert_balanced(&status);
    assert_eq!((figure(&status, "failedAttempts"), figure(&status, "deadLettered")), (2, 0), "{status}");
    let metrics = engine.get("/metrics").await.body;
    assert!(metrics.contains(&format!("tidemill_rule_paused_keys{{rule=\"{RULE}\"}} 1\n")), "{metrics}");
    assert!(metrics.contains(&format!("tidemill_rule_paused_oldest_age_seconds{{rule=\"{RULE}\"}} ")), "{metrics}");
    // What the group has committed does not come again, so the poison comes once.
    let committed = async || kafka::committed(broker.address(), &topic, &topic, 4).await;
    until("a commit of everything", async || (committed().await == COUNT as i64).then_some(())).await;
    engine.kill().await;
    engine.start().await;
    let there = [("recovered", behind as u64), ("parked", behind as u64), ("pausedKeys", 1)];
    let is_there = |status: &Value| there.iter().all(|(name, count)| figure(status, name) == *count);
    let status = engine.status_where("the pause and what stands behind it", is_there).await;
    assert_eq!(figure(&status, "failedAttempts"), 0, "{status}");
    let shown: Value =
        serde_json::from_str(&said(&engine, &["resume", RULE, "--dry-run", "--json"]).await).expect("JSON");
    assert_eq!((&shown["paused"][0]["key"], &shown["paused"][0]["attempts"]), (&"veh-0".into(), &2.into()), "{shown}");
    assert!(said(&engine, &["resume", RULE, "--dry-run"]).await.contains("veh-0"));
    let sentence = refused(&engine, 1, &["resume", RULE, "--key", "veh-1"]).await;
    assert!(sentence.contains("key 'veh-1' of rule 'orders/post' is not paused; paused is: key 'veh-0'"), "{sentence}");
    assert!(refused(&engine, 1, &["resume", "orders/past"]).await.contains("the rules are: orders/post"));
    assert!(refused(&engine, 2, &["resume", "orders", "--skip-head"]).await.contains("is a source"));
    assert_eq!(said(&engine, &["resume", RULE, "--key", "veh-0", "--skip-head"]).await, "resumed orders/post: 1 key\n");
    posted(&sink, (1..behind).map(|number| number * KEYS)).await;
    let is_done = |status: &Value| figure(status, "parked") + figure(status, "inFlight") == 0;
    let status = engine.status_where("everything done", is_done).await;
    assert_balanced(&status);
    assert_eq!((figure(&status, "done"), figure(&status, "deadLettered")), (behind as u64 - 1, 1), "{status}");
    assert_eq!(status["rules"][RULE]["deadLetters"]["exhausted"], 1);
    let ids = posted_ids(&sink.posted(COUNT - 1).await);
    let behind: Vec<usize> = ids.iter().filter_map(|id| id.parse().ok()).filter(|number| number % KEYS == 0).collect();
    assert_eq!(behind, (1..COUNT / KEYS).map(|number| number * KEYS).collect::<Vec<_>>(), "in their order");
    assert!(refused(&engine, 1, &["resume", RULE]).await.contains("nothing of rule 'orders/post' is paused"));
    assert_eq!(engine.terminate().await.code(), Some(0));
}

#[tokio::test]
async fn a_rule_that_is_paused_by_hand_puts_aside_what_comes_until_it_goes_on() {
    let broker = kafka::shared().await;
    let topic = broker.topic(1, &[]).await;
    let sink = Inbox::open().await;
    let yaml = yaml(broker.address(), &topic, sink.address(), "");
    let mut engine = Tidemill::new(PROGRAM, &yaml);
    engine.start().await;
    let paused: Value = serde_json::from_str(&said(&engine, &["pause", RULE, "--json"]).await).expect("JSON");
    assert_eq!(paused["paused"], RULE);
    let lines: Vec<_> = (0..COUNT).map(|number| format!("veh-0|{{\"id\":\"{number}\"}}")).collect();
    Kcat::new(broker.address()).produce(&topic, &["-K", "|"], &lines).await;
    let all = |status: &Value| figure(status, "parked") == COUNT as u64;
    let status = engine.status_where("everything put aside", all).await;
    assert_balanced(&status);
    assert_eq!((&status["rules"][RULE]["paused"], figure(&status, "failedAttempts")), (&true.into(), 0));
    assert!(refused(&engine, 1, &["resume", RULE, "--skip-head"]).await.contains("there is no head to skip"));
    assert_eq!(said(&engine, &["resume", RULE]).await, "resumed orders/post\n");
    let ids = posted(&sink, 0..COUNT).await;
    assert_eq!(ids, (0..COUNT).map(|number| number.to_string()).collect::<Vec<_>>(), "in their order");
    assert!(engine.terminate().await.success());
}
