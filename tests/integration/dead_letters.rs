//! Dead letters in the built program: an event that is given up is on the disk before it is acknowledged, whoever is killed, and
//! `tidemill dlq` finds it in a running engine and in the folder of a stopped one.
//!
//! The rule posts to an address where nobody listens, once; so every event dies, and the source answers 202 when it has.

mod forward;
mod mending;
mod told;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::process::{Command, Output};

use serde_json::Value;
use testkit::http::{self, Inbox};
use testkit::port;
use testkit::tidemill::Tidemill;

use crate::outcome::{PROGRAM, assert_balanced, posted, posted_ids};

/// Where the engine's state is, below its folder.
const STATE: &str = "tidemill-state/tidemill";

/// An engine that gives up every event that is posted to `hook`; `state` is a line of the top level.
fn engine(hook: SocketAddr, state: &str) -> Tidemill {
    engine_to(hook, port::free(), state)
}

/// The same as long as nobody listens at `sink`.
fn engine_to(hook: SocketAddr, sink: SocketAddr, state: &str) -> Tidemill {
    let yaml = format!(
        "sources:
  hook: {{ http: {{ listen: \"{hook}\" }}, ack: processed, seats: 50 }}
outputs:
  sink: {{ http: {{ url: \"http://{sink}/\" }} }}
triggers:
  alerts:
    source: hook
    rules:
      post: {{ output: sink, when: {{ exact: {{ type: alert }} }}, retry: {{ maxAttempts: 1 }} }}
      late: {{ output: sink, when: {{ exact: {{ type: late }} }}, retry: {{ hold: source, maxAttempts: 2, backoffDelay: 1ms }} }}
{state}"
    );
    Tidemill::new(PROGRAM, &yaml)
}

/// Posts an event; answers the status, or nothing if nobody answered.
async fn post(hook: SocketAddr, id: &str, kind: &str, body: &str) -> Option<u16> {
    let headers = [("ce-specversion", "1.0"), ("ce-id", id), ("ce-type", kind), ("ce-source", "/test")];
    let json = ("content-type", "application/json");
    let answer = http::request(hook, "POST", "/", &[&headers[..], &[json]].concat(), body).await;
    answer.ok().map(|answer| answer.status)
}

/// What `tidemill dlq` says in the engine's folder.
fn dlq(engine: &Tidemill, words: &[&str]) -> Output {
    Command::new(PROGRAM).arg("dlq").args(words).current_dir(engine.folder()).output().expect("it can be started")
}

/// Its standard output, when it ended well.
fn said(engine: &Tidemill, words: &[&str]) -> String {
    let output = dlq(engine, words);
    assert_eq!(output.status.code(), Some(0), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// The sentence of a command that ended with this code.
fn refused(engine: &Tidemill, code: i32, words: &[&str]) -> String {
    let output = dlq(engine, words);
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(code), &b""[..]), "{words:?}");
    String::from_utf8(output.stderr).expect("text")
}

/// One JSON object for each line.
fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[tokio::test]
async fn what_is_given_up_is_found_in_a_running_engine_and_in_its_folder() {
    let hook = port::free();
    let mut engine = engine(hook, "");
    engine.start().await;
    let payload = r#"{"speed":1.10,"big":12345678901234567890123}"#;
    assert_eq!(post(hook, "a-1", "alert", payload).await, Some(202));
    assert_eq!(post(hook, "l-1", "late", "{}").await, Some(202));
    let garbage = [("content-type", "application/cloudevents+json")];
    assert_eq!(http::request(hook, "POST", "/", &garbage, "{").await.expect("an answer").status, 400);
    let status = engine.status().await;
    assert_balanced(&status);
    let rule = |name: &str| status["rules"][name].clone();
    assert_eq!((&rule("alerts/post")["deadLettered"], &rule("alerts/late")["deadLettered"]), (&1.into(), &1.into()));
    assert_eq!((&status["sources"]["hook"]["rejected"], &status["deadLetters"]["stored"]), (&1.into(), &3.into()));
    assert!(engine.get("/metrics").await.body.contains("tidemill_dead_letters_stored{} 3\n"));

    let admin = engine.admin().to_string();
    let running: &[&str] = &["--admin", &admin];
    let stopped: &[&str] = &["--state", STATE];
    let both: &[&str] = &["--state", STATE, "--admin", &admin];
    let with = |words: &[&'static str], place: &[&str]| said(&engine, &[words, place].concat());
    let all = with(&["list", "--json"], running);
    assert!(all.contains(&format!("\"data\":{payload}")), "byte for byte: {all}");
    assert_eq!(with(&["list", "--json"], both), all, "whoever holds the folder is asked");
    assert!(refused(&engine, 1, &["list", "--state", STATE]).contains("no tidemill answers"));
    let letters = lines(&all);
    let of = |id: &str| letters.iter().find(|letter| letter["event"]["id"] == id).expect("it is there").clone();
    let dead = of("l-1");
    assert_eq!(
        (&dead["reason"], &dead["attempts"], &dead["rule"]),
        (&"exhausted".into(), &2.into(), &"alerts/late".into())
    );
    assert!(dead["firstTime"].as_str() < dead["lastTime"].as_str(), "{dead}");
    assert_eq!((&dead["event"]["dlqreason"], &dead["event"]["dlqrule"]), (&"exhausted".into(), &"alerts/late".into()));
    assert_eq!(dead["event"]["knativeerrordest"], "/tidemill/rules/alerts/late");
    assert_eq!(lines(&with(&["list", "--json", "--reason", "undecodable"], running))[0]["source"], "hook");
    let table = with(&["list", "--where", "type=late"], running);
    assert!(table.contains("alerts/late") && !table.contains("alerts/post") && table.starts_with("ID"), "{table}");
    assert!(with(&["list", "--group", "rule"], running).contains("source hook"));
    assert!(with(&["list", "--until", "1h"], running).contains("no dead letters"));
    let id = dead["id"].as_str().expect("a text").to_owned();
    assert!(said(&engine, &["show", &id, "--admin", &admin]).contains("reason      exhausted"));

    assert!(engine.terminate().await.success());
    assert!(refused(&engine, 1, &[&["list"], running].concat()).contains("no tidemill answers"));
    let with = |words: &[&'static str], place: &[&str]| said(&engine, &[words, place].concat());
    assert_eq!(with(&["list", "--json"], stopped), all, "the same letters in the same form");
    assert_eq!(with(&["export"], stopped), all);
    assert!(with(&["export", "dead.jsonl"], stopped).is_empty());
    assert_eq!(std::fs::read_to_string(engine.folder().join("dead.jsonl")).expect("written"), all);
    assert!(refused(&engine, 1, &["export", "dead.jsonl", "--state", STATE]).contains("cannot make 'dead.jsonl'"));
    assert!(refused(&engine, 2, &["purge", "--state", STATE]).contains("--all"));
    assert!(with(&["purge", "--all", "--dry-run"], stopped).contains("3 dead letters would be removed"));
    assert!(said(&engine, &["purge", &id, "--state", STATE]).contains("removed 1 dead letters"));
    assert!(refused(&engine, 1, &["show", &id, "--state", STATE]).contains("there is no dead letter"));

    engine.start().await;
    assert_eq!(engine.status().await["deadLetters"]["stored"], 2);
    let admin = engine.admin().to_string();
    assert_eq!(said(&engine, &["purge", "--reason", "undecodable", "--json", "--admin", &admin]), "{\"purged\":1}\n");
    assert_eq!(engine.status().await["deadLetters"]["purged"], 1);
    assert!(engine.terminate().await.success());
}

#[tokio::test]
async fn an_event_that_no_rule_takes_is_kept_where_its_trigger_says_so() {
    let hook = port::free();
    let yaml = format!(
        "sources: {{ hook: {{ http: {{ listen: \"{hook}\" }}, ack: processed }} }}
outputs: {{ kept: {{ file: {{ path: kept.jsonl }} }}, strange: {{ file: {{ path: strange.jsonl }} }} }}
triggers:
  strict:
    source: hook
    unmatched: deadLetter
    deadLetter: strange
    rules: {{ known: {{ output: kept, when: {{ exact: {{ type: known }} }} }} }}
"
    );
    let mut engine = Tidemill::new(PROGRAM, &yaml);
    engine.start().await;
    for (id, kind) in [("k-1", "known"), ("s-1", "strange"), ("k-2", "known")] {
        assert_eq!(post(hook, id, kind, "{}").await, Some(202), "{id}");
    }
    let forwarded = |status: &Value| status["deadLetters"]["outputs"]["strange"]["forwarded"] == 1;
    let status = engine.status_where("the letter to be forwarded", forwarded).await;
    assert_balanced(&status);
    assert_eq!(
        (&status["triggers"]["strict"]["unmatched"], &status["rules"]["strict/known"]["done"]),
        (&1.into(), &2.into())
    );
    let strange = std::fs::read_to_string(engine.folder().join("strange.jsonl")).expect("written");
    assert_eq!((&lines(&strange)[0]["id"], &lines(&strange)[0]["dlqreason"]), (&"s-1".into(), &"unmatched".into()));
    let admin = engine.admin().to_string();
    let listed = said(&engine, &["list", "--json", "--reason", "unmatched", "--rule", "strict", "--admin", &admin]);
    let letters = lines(&listed);
    assert_eq!((letters.len(), &letters[0]["source"], &letters[0]["attempts"]), (1, &"hook".into(), &0.into()));
    let replayed = said(&engine, &["replay", "--all", "--admin", &admin]);
    assert!(replayed.contains("1 stay, which no rule matches"), "{replayed}");
    assert!(engine.terminate().await.success());
}

// The command blocks one thread while the sink answers on the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_runs_what_is_meant_once_its_reason_is_gone() {
    const COUNT: usize = 100;
    let (hook, sink) = (port::free(), port::free());
    let mut engine = engine_to(hook, sink, "");
    engine.start().await;
    for number in 0..COUNT {
        let kind = if number % 2 == 0 { "alert" } else { "late" };
        assert_eq!(post(hook, &number.to_string(), kind, "{\"v\":1.10}").await, Some(202));
    }
    let admin = engine.admin().to_string();
    let replay = |words: &[&str]| said(&engine, &[&["replay", "--admin", &admin], words].concat());
    assert_eq!(replay(&["--all", "--dry-run"]), "100 dead letters would be replayed\n");
    assert_eq!(replay(&["--rule", "alerts/late"]), "50 dead letters were replayed\n");
    let again = lines(&said(&engine, &["list", "--json", "--where", "dlqredrives=1", "--admin", &admin]));
    assert_eq!(again.len(), COUNT / 2, "they failed again");

    let inbox = Inbox::open_at(sink).await;
    assert_eq!(replay(&["--all"]), "100 dead letters were replayed\n");
    let posts = inbox.posted(COUNT).await;
    let ids: HashSet<String> = posted_ids(&posts).into_iter().collect();
    assert_eq!((posts.len(), ids.len()), (COUNT, COUNT), "each once, to its own rule only");
    assert!(
        posts
            .iter()
            .all(|(headers, body)| body == b"{\"v\":1.10}"
                && headers.iter().all(|(name, _)| !name.starts_with("ce-dlq")))
    );
    let settled = |status: &Value| {
        status["rules"]["alerts/post"]["inFlight"] == 0 && status["rules"]["alerts/late"]["inFlight"] == 0
    };
    let status = engine.status_where("nothing in flight", settled).await;
    assert_balanced(&status);
    assert_eq!(
        (&status["deadLetters"]["stored"], &status["rules"]["alerts/late"]["replayed"]),
        (&0.into(), &100.into())
    );
    assert!(engine.terminate().await.success());
    assert!(refused(&engine, 1, &["replay", "--all", "--state", STATE]).contains("tidemill run"));
}

#[tokio::test]
async fn what_was_acknowledged_as_dead_survives_a_kill_at_any_moment() {
    const ROUNDS: usize = 6;
    let hook = port::free();
    let mut engine = engine(hook, "");
    let mut acknowledged: HashSet<String> = HashSet::new();
    let stored = |status: &Value| status["deadLetters"]["stored"].as_u64().expect("a number");
    for round in 0..ROUNDS {
        engine.start().await;
        let before = stored(&engine.status().await);
        let clients = (0..8).map(|client| {
            tokio::spawn(async move {
                let mut told = Vec::new();
                for number in 0.. {
                    let id = format!("{round}-{client}-{number}");
                    match post(hook, &id, "alert", "{}").await {
                        Some(202) => told.push(id),
                        // Whoever is not told keeps its event.
                        _ => break,
                    }
                }
                told
            })
        });
        let clients: Vec<_> = clients.collect();
        // A different moment in each round, while every client has events between giving up and acknowledging.
        let enough = before + 30 + 7 * round as u64;
        engine.status_where("some deaths", |status| stored(status) > enough).await;
        engine.kill().await;
        for client in clients {
            acknowledged.extend(client.await.expect("no panic"));
        }
    }
    assert!(acknowledged.len() > 20 * ROUNDS, "{}", acknowledged.len());
    let there: HashSet<String> = lines(&said(&engine, &["list", "--json", "--state", STATE]))
        .iter()
        .map(|letter| letter["event"]["id"].as_str().expect("an id").to_owned())
        .collect();
    let missing: Vec<_> = acknowledged.difference(&there).collect();
    assert!(missing.is_empty(), "{} of {} are missing: {missing:?}", missing.len(), acknowledged.len());
}

#[tokio::test]
async fn too_many_dead_letters_hold_their_rule_back_until_there_is_room() {
    let hook = port::free();
    let mut engine = engine(hook, "state: { quotas: { deadLetters: { maxBytes: 64KiB } } }\n");
    engine.start().await;
    let large = format!("\"{}\"", "x".repeat(30_000));
    for number in 0..3 {
        assert_eq!(post(hook, &number.to_string(), "alert", &large).await, Some(202), "the third goes beyond");
    }
    let held = tokio::spawn(async move { post(hook, "held", "alert", "{}").await });
    let full = engine.status_where("a held delivery", |status| status["rules"]["alerts/post"]["inFlight"] == 1).await;
    assert_balanced(&full);
    assert_eq!((&full["deadLetters"]["full"], &full["deadLetters"]["stored"]), (&true.into(), &3.into()));
    let said_why = full["rules"]["alerts/post"]["lastError"].as_str().unwrap_or_default().to_owned();
    assert!(said_why.contains("deadLetters.maxBytes"), "{said_why}");
    assert_eq!(post(hook, "other", "late", "{}").await, Some(202), "another rule goes on, until it adds one itself");
    assert!(!held.is_finished());
    let admin = engine.admin().to_string();
    assert!(said(&engine, &["purge", "--rule", "alerts/post", "--admin", &admin]).contains("removed 3"));
    assert_eq!(held.await.expect("no panic"), Some(202));
    assert!(engine.terminate().await.success());
}

#[tokio::test]
async fn the_oldest_dead_letters_go_and_are_counted_where_that_is_the_policy() {
    let hook = port::free();
    let mut engine = engine(hook, "state: { quotas: { deadLetters: { maxBytes: 64KiB, onFull: dropOldest } } }\n");
    engine.start().await;
    let large = format!("\"{}\"", "x".repeat(10_000));
    for number in 0..10 {
        assert_eq!(post(hook, &number.to_string(), "alert", &large).await, Some(202));
    }
    let status = engine.status().await;
    assert_balanced(&status);
    let letters = &status["deadLetters"];
    let (stored, dropped) = (letters["stored"].as_u64().expect("a number"), letters["dropped"]["quota"].as_u64());
    assert!(stored < 7 && letters["bytes"].as_u64() <= Some(64 << 10), "{letters}");
    assert_eq!((dropped, &status["rules"]["alerts/post"]["deadLettered"]), (Some(10 - stored), &10.into()));
    let admin = engine.admin().to_string();
    let left = lines(&said(&engine, &["list", "--json", "--admin", &admin]));
    assert_eq!(left.last().expect("the newest stays")["event"]["id"], "9");
    assert!(engine.terminate().await.success());
}
