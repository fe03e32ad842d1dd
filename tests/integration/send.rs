//! `tidemill send --config`: an event by hand to the broker of a source, found by the engine that receives from there.

use std::path::Path;
use std::process::Output;

use serde_json::Value;
use testkit::mosquitto::{Config, Mosquitto};
use testkit::nats::{Config as NatsConfig, Nats};
use testkit::port;
use testkit::rabbitmq;
use testkit::tidemill::Tidemill;
use tokio::process::Command;

use crate::outcome::{FILE, PROGRAM, file_has};

/// A configuration with one source, whose events go to a file.
fn file(source: &str) -> String {
    format!(
        "sources:
  fleet:
    {source}
outputs:
  events: {FILE}
triggers:
  all:
    source: fleet
    rules:
      keep: {{ output: events }}
"
    )
}

fn engine(source: &str) -> Tidemill {
    Tidemill::new(PROGRAM, &file(source))
}

/// `tidemill send --config` in a folder with the configuration in it.
async fn send(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.args(["send", "--config", "tidemill.yaml"]).args(arguments).current_dir(folder);
    command.env("SEND_PASSWORD", "right").output().await.expect("it can be started")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What stands in front of the event when it is well.
#[rustfmt::skip]
const EVENT: [&str; 10] = [
    "--type", "t", "--id", "by-hand", "--data", "{\"n\":1.10}", "--attribute", "tenant=acme", "--timeout", "60s",
];

/// Sends the event to the engine's own source, and checks that it is the one that the engine has.
async fn arrives(engine: &mut Tidemill, more: &[&str], place: &str) {
    engine.start().await;
    let arguments = [&["fleet"], &EVENT[..], more].concat();
    let output = send(engine.folder(), &arguments).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout).trim(), format!("sent by-hand to {place}"));
    file_has(engine, ["by-hand"]).await;
    let line = std::fs::read_to_string(engine.folder().join("events.jsonl")).expect("the file is there");
    let event: Value = serde_json::from_str(&line).expect("an event");
    assert_eq!((&event["id"], &event["type"], &event["tenant"]), (&"by-hand".into(), &"t".into(), &"acme".into()));
    assert!(event["source"] == "/tidemill/send" && line.contains("\"data\":{\"n\":1.10}"), "{line}");
    assert!(engine.terminate().await.success());
}

#[tokio::test]
async fn mqtt() {
    let broker = Mosquitto::start(Config::profile().user("mill", "right")).await;
    let login = "user: mill, password: \"${env:SEND_PASSWORD}\"";
    for version in ["5", "3.1.1"] {
        let source = format!(
            "mqtt: {{ url: \"{}\", topics: [\"v1/{{fleet}}/telemetry\"], version: {version}, {login} }}",
            broker.url()
        );
        let mut engine = engine(&source).variable("SEND_PASSWORD", "right");
        arrives(&mut engine, &["--to", "v1/demo/telemetry"], "mqtt topic 'v1/demo/telemetry'").await;
    }
}

#[tokio::test]
async fn nats() {
    let server = Nats::start(NatsConfig::new().user("mill", "right")).await;
    let login = "user: mill, password: \"${env:SEND_PASSWORD}\"";
    let stored = "stream: FLEET, durable: mill, create: {}";
    for how in ["queueGroup: mill", stored] {
        let source = format!("nats: {{ url: \"{}\", subjects: [\"v1.telemetry\"], {how}, {login} }}", server.url());
        let mut engine = engine(&source).variable("SEND_PASSWORD", "right");
        arrives(&mut engine, &[], "nats subject 'v1.telemetry'").await;
    }
}

#[tokio::test]
async fn amqp() {
    let broker = rabbitmq::shared().await;
    let queue = broker.name();
    let mut engine = engine(&format!("amqp: {{ url: \"{}\", queue: {queue}, declare: {{}} }}", broker.url()));
    arrives(&mut engine, &[], &format!("amqp queue '{queue}'")).await;
}

#[tokio::test]
async fn kafka() {
    let broker = testkit::kafka::shared().await;
    let topic = broker.topic(1, &[]).await;
    let mut engine = engine(&format!("kafka: {{ brokers: [\"{}\"], topics: [\"{topic}\"] }}", broker.address()));
    arrives(&mut engine, &["--topic", &topic], &format!("kafka topic '{topic}'")).await;
}

#[tokio::test]
async fn http() {
    let address = port::free();
    let auth = "auth: { bearer: \"${env:SEND_PASSWORD}\", hmac: { secret: \"${env:SEND_PASSWORD}\" } }";
    let source = format!("http: {{ listen: \"{address}\", path: \"/hooks/{{tenant}}\", {auth} }}");
    let mut engine = engine(&source).variable("SEND_PASSWORD", "right");
    arrives(&mut engine, &["--to", "/hooks/acme"], &format!("http http://{address}/hooks/acme")).await;
}

#[tokio::test]
async fn exit_codes_tell_a_broker_that_is_away_from_a_mistake() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |source: &str| std::fs::write(folder.path().join("tidemill.yaml"), file(source)).expect("writable");
    let away = port::free();
    write(&format!("mqtt: {{ url: \"mqtt://{away}\", topics: [a] }}"));
    let output = send(folder.path(), &["fleet", "--type", "t", "--timeout", "10s"]).await;
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(1), ""));
    let said = text(&output.stderr);
    assert!(said.contains("did not confirm 'a' within 10s") && said.contains("cannot be reached"), "{said}");
    for (source, arguments, part) in [
        (
            "mqtt: { url: \"mqtt://h\", topics: [a] }",
            &["fleat"][..],
            "there is no source 'fleat'; did you mean 'fleet'?",
        ),
        ("mqtt: { url: \"mqtt://h\", topics: [\"a/{b}\"] }", &["fleet"], "source 'fleet': --to has to name a topic"),
        ("mqtt: { url: \"mqtt://h\", topics: [a] }", &["fleet", "--to", "b"], "does not receive from topic 'b'"),
        ("mqtt: { url: \"amqp://h\", topics: [a] }", &["fleet"], "url has scheme 'amqp'"),
        ("amqp: { url: \"amqp://h\", queue: q }", &["fleet", "--to", "q"], "one queue, 'q'; leave --to out"),
        ("amqp: { url: \"amqp://h\", queue: q, routingKeys: [\"a.{b}\"] }", &["fleet"], "publish to an exchange"),
        ("kafka: { brokers: [\"h:1\"], topicPattern: \"a.*\" }", &["fleet"], "that topicPattern matches"),
        ("http: { listen: \"127.0.0.1:1\", tls: { cert: c, key: k } }", &["fleet"], "it receives over TLS"),
        ("cron: { schedule: \"@daily\" }", &["fleet"], "it makes its own events and receives none; `tidemill fire`"),
    ] {
        write(source);
        let output = send(folder.path(), &[arguments, &["--type", "t"]].concat()).await;
        let said = text(&output.stderr);
        assert!(output.status.code() == Some(2) && said.contains(part), "{source}: {said}");
    }
}

#[tokio::test]
async fn where_it_went_can_be_had_as_json() {
    let broker = Mosquitto::start(Config::profile()).await;
    let folder = tempfile::tempdir().expect("a folder");
    let source = format!("mqtt: {{ url: \"{}\", topics: [\"a\"] }}", broker.url());
    std::fs::write(folder.path().join("tidemill.yaml"), file(&source)).expect("writable");
    let output = send(folder.path(), &["fleet", "--type", "t", "--id", "1", "--json", "--timeout", "60s"]).await;
    let answer: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(answer, serde_json::json!({ "id": "1", "source": "fleet", "kind": "mqtt", "place": "topic 'a'" }));
}
