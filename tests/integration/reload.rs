//! Another configuration for the built program, while its brokers send: nothing is lost, nothing comes twice, and the connections
//! that are not meant are not touched.

use std::collections::HashMap;
use std::process::{Command, Output};

use serde_json::{Value, json};
use testkit::client::{Publisher, Settings};
use testkit::mosquitto::{Config, Mosquitto};
use testkit::nats::{self, Nats};
use testkit::patience::until;
use testkit::proxy::Proxy;
use testkit::tidemill::Tidemill;

use crate::outcome::{PROGRAM, assert_balanced, file_has, idle, repeated};

/// The top level that every configuration here has in common, and its rules.
fn yaml(source: &str, more: &str, rules: &str) -> String {
    format!(
        "sources:
  fleet:
    {source}
    event: {{ type: telemetry, source: /fleet, id: id, partitionkey: \"{{vehicle}}\" }}
    seats: 100
outputs:
  events: {{ file: {{ path: events.jsonl, fsync: always }} }}
{more}
triggers:
  telemetry:
    source: fleet
    rules:
      keep: {{ output: events }}
{rules}
"
    )
}

const MORE: &str = "  more: { file: { path: more.jsonl, fsync: always } }";
const COPY: &str = "      copy: { output: more }";

fn mqtt(proxy: &Proxy) -> String {
    format!("mqtt: {{ url: \"mqtt://{}\", topics: [\"v1/{{vehicle}}\"] }}", proxy.address())
}

async fn send(publisher: &Publisher, numbers: std::ops::Range<usize>) {
    for number in numbers {
        publisher
            .send(&number.to_string(), &format!("v1/veh-{}", number % 7), format!("{{\"id\":\"{number}\"}}"))
            .await;
    }
}

/// `tidemill reload` with these words.
async fn reload(engine: &Tidemill, words: &[&str]) -> Output {
    let (admin, words) = (engine.admin().to_string(), words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
    let run = move || Command::new(PROGRAM).arg("reload").args(words).args(["--admin", &admin]).output();
    tokio::task::spawn_blocking(run).await.expect("it runs").expect("it can be started")
}

/// How often each id is in the file of the output `more`.
fn copied(engine: &Tidemill) -> HashMap<String, usize> {
    let content = std::fs::read_to_string(engine.folder().join("more.jsonl")).unwrap_or_default();
    let mut ids = HashMap::new();
    for event in content.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        *ids.entry(event["id"].as_str().expect("every event has an id").to_owned()).or_default() += 1;
    }
    ids
}

/// Waits until this many configurations were taken over, the first included.
async fn generation(engine: &Tidemill, number: u64) -> Value {
    engine.status_where("the new configuration", |status| status["configuration"]["generation"] == number).await
}

#[tokio::test]
async fn a_command_a_signal_and_a_file_change_rules_and_outputs_under_traffic() {
    let broker = Mosquitto::start(Config::profile()).await;
    let proxy = Proxy::start(broker.address()).await;
    let source = mqtt(&proxy);
    let mut engine = Tidemill::new(PROGRAM, &yaml(&source, "", "")).argument("--watch");
    engine.start().await;
    let publisher = Publisher::connect(Settings::new(broker.address(), "vehicles")).await;

    send(&publisher, 0..300).await;
    engine.write("tidemill.yaml", &yaml(&source, MORE, COPY));
    // Whoever is first, the command or the watch, finds something new, and the other one finds nothing.
    let answer = reload(&engine, &[]).await;
    assert!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
    generation(&engine, 2).await;
    send(&publisher, 300..600).await;
    file_has(&engine, 0..600).await;
    let copied = until("every event of the new rule", async || {
        let copied = copied(&engine);
        (300..600).all(|number: usize| copied.contains_key(&number.to_string())).then_some(copied)
    })
    .await;
    assert_eq!(repeated(&copied), 0);

    // As an editor saves: another file takes its place.
    engine.write("tidemill.yaml~", &yaml(&source, "", ""));
    let path = |name: &str| engine.folder().join(name);
    std::fs::rename(path("tidemill.yaml~"), path("tidemill.yaml")).expect("it can be replaced");
    send(&publisher, 600..900).await;
    generation(&engine, 3).await;

    // What was removed may not have ended yet, and would refuse its namesakes.
    let third = "  third: { file: { path: third.jsonl } }";
    engine
        .write("tidemill.yaml", &yaml(&source, third, "      third: { output: third, when: { exact: { type: no } } }"));
    signal(&mut engine, "HUP");
    generation(&engine, 4).await;
    send(&publisher, 900..1200).await;
    let fates = publisher.close().await;
    let ids = file_has(&engine, &fates.confirmed).await;
    assert_eq!((ids.len(), repeated(&ids)), (1200, 0));
    let status = idle(&engine).await;
    assert_balanced(&status);
    let fleet = &status["sources"]["fleet"];
    assert_eq!((&fleet["connects"], &fleet["received"], &fleet["handedBack"]), (&json!(1), &json!(1200), &json!(0)));
    assert_eq!(status["configuration"]["lastReload"]["error"], Value::Null);
    assert_eq!(proxy.traffic().connections, 1, "the broker has seen one connection");
    assert!(engine.terminate().await.success());
}

/// Sends the engine's process a signal.
fn signal(engine: &mut Tidemill, name: &str) {
    let process = engine.process().id().expect("it runs").to_string();
    let sent = Command::new("kill").args(["-s", name, &process]).status().expect("it can be started");
    assert!(sent.success());
}

#[tokio::test]
async fn what_is_wrong_keeps_the_old_configuration_and_says_why() {
    let broker = Mosquitto::start(Config::profile()).await;
    let proxy = Proxy::start(broker.address()).await;
    let source = mqtt(&proxy);
    let mut engine = Tidemill::new(PROGRAM, &yaml(&source, "", ""));
    engine.start().await;
    engine.write("tidemill.yaml", &yaml(&source, "", "      copy: { output: mroe }"));
    let answer = reload(&engine, &[]).await;
    let said = String::from_utf8_lossy(&answer.stderr).into_owned();
    assert_eq!(answer.status.code(), Some(2), "{said}");
    for part in ["unknown output 'mroe'", "tidemill.yaml", "^", "the old one goes on"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let answer = reload(&engine, &["--json"]).await;
    let json: Value = serde_json::from_slice(&answer.stdout).expect("JSON");
    assert_eq!((answer.status.code(), &json["diagnostics"][0]["severity"]), (Some(2), &json!("error")));

    // Two outputs cannot write to one file, which is found when it is opened.
    engine.write("tidemill.yaml", &yaml(&source, "  more: { file: { path: events.jsonl } }", COPY));
    let answer = reload(&engine, &[]).await;
    let said = String::from_utf8_lossy(&answer.stderr).into_owned();
    assert_eq!(answer.status.code(), Some(1), "{said}");
    assert!(said.contains("output 'more'") && said.contains("the old configuration goes on"), "{said}");

    engine.write("tidemill.yaml", &format!("{}state: {{ fsync: interval }}\n", yaml(&source, MORE, COPY)));
    let answer = reload(&engine, &[]).await;
    let said = String::from_utf8_lossy(&answer.stderr).into_owned();
    assert!(answer.status.code() == Some(1) && said.contains("'state' changed: restart to apply"), "{said}");

    let known = &engine.status().await["configuration"];
    assert_eq!((&known["generation"], &known["failures"]), (&json!(1), &json!(4)));
    assert_eq!(known["lastReload"]["result"], "failed");
    let publisher = Publisher::connect(Settings::new(broker.address(), "vehicles")).await;
    send(&publisher, 0..10).await;
    file_has(&engine, 0..10).await;
    engine.write("tidemill.yaml", &yaml(&source, "", ""));
    let answer = reload(&engine, &[]).await;
    assert!(String::from_utf8_lossy(&answer.stdout).starts_with("nothing is different; configuration 1 goes on"));
    assert!(engine.terminate().await.success());
}

#[tokio::test]
async fn a_stream_is_read_on_where_it_was_when_its_source_changes() {
    let server = Nats::start(nats::Config::new()).await;
    let mut peer = server.peer().await;
    let source = |kind: &str| {
        let url = server.url();
        let create = "create: { ackWait: 60s }";
        let source = format!(
            "nats: {{ url: \"{url}\", subjects: [\"v1.{{vehicle}}\"], stream: FLEET, durable: mill, {create} }}"
        );
        yaml(&source, "", "").replace("type: telemetry", &format!("type: {kind}"))
    };
    let messages = |numbers: std::ops::Range<usize>| {
        numbers.map(|number| (format!("v1.veh-{}", number % 7), format!("{{\"id\":\"{number}\"}}")))
    };
    peer.stream("FLEET", &["v1.*"]).await;
    let mut engine = Tidemill::new(PROGRAM, &source("telemetry"));
    engine.start().await;
    let mut sent = 0;
    for (round, kind) in ["one", "two", "three"].into_iter().enumerate() {
        peer.store_all(messages(sent..sent + 400)).await;
        sent += 400;
        engine.write("tidemill.yaml", &source(kind));
        let answer = engine.post("/v1/reload", "").await.json();
        assert_eq!(answer["sources"]["changed"], json!(["fleet"]), "{answer}");
        generation(&engine, round as u64 + 2).await;
    }
    let ids = file_has(&engine, 0..sent).await;
    assert_eq!((ids.len(), repeated(&ids)), (sent, 0));
    let status = idle(&engine).await;
    assert_balanced(&status);
    assert_eq!(
        (&status["sources"]["fleet"]["received"], &status["sources"]["fleet"]["handedBack"]),
        (&json!(sent), &json!(0))
    );
    assert!(engine.terminate().await.success());
    let info = peer.consumer_info("FLEET", "mill").await;
    // What was on its way to a source that ended came again, and had not been handed to any rule before.
    assert_eq!((&info["ack_floor"]["stream_seq"], &info["num_ack_pending"]), (&json!(sent), &json!(0)), "{info}");
}
