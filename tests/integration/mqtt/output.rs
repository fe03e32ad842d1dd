//! The output, judged by `mosquitto_sub`: what is confirmed is there, whoever restarts; what is refused is told in words.

use std::collections::HashSet;
use std::net::SocketAddr;

use testkit::client::{Acks, Message, Settings, Subscriber};
use testkit::mosquitto::{Config, Mosquitto};
use testkit::process::Process;
use testkit::programs;
use tokio::process::Command;

use super::*;

/// An engine that passes every event of one broker on to an output; `output` is what stands under `mqtt:`.
fn engine_to(source: &Mosquitto, output: &str) -> Tidemill {
    let yaml = format!(
        "sources:
  fleet:
    mqtt: {{ url: \"{}\", topics: [\"v1/{{fleet}}/{{vehicle}}/telemetry\"] }}
    event: {{ type: telemetry, source: \"/fleet/{{fleet}}\", subject: \"{{vehicle}}\", id: id }}
    seats: 200
outputs:
  out: {{ mqtt: {{ {output} }} }}
triggers:
  telemetry:
    source: fleet
    rules:
      keep: {{ output: out, retry: {{ hold: source, maxAttempts: 2, backoffDelay: 50ms }} }}
",
        source.url()
    );
    Tidemill::new(PROGRAM, &yaml)
}

/// Debian's own client, which prints every message as JSON, once it has subscribed.
async fn listen(broker: SocketAddr, topic: &str, more: &[&str]) -> Process {
    // Into a pipe it keeps what it says about itself until there is more of it.
    let mut command = Command::new(programs::find("stdbuf", "coreutils"));
    command.arg("-oL").arg(programs::find("mosquitto_sub", "mosquitto-clients"));
    command.args(["-d", "-V", "5", "-q", "1", "-h", "127.0.0.1", "-p", &broker.port().to_string()]);
    command.args(["-t", topic, "-F", "%j"]).args(more);
    let mut process = Process::start("mosquitto_sub", &mut command);
    process.line("the subscription", |line| line.starts_with("Subscribed")).await;
    process
}

/// The next message that somebody who listens prints.
async fn heard(listener: &mut Process) -> Value {
    let line = listener.line("a message", |line| line.starts_with('{')).await;
    serde_json::from_str(&line).expect("it prints JSON")
}

/// Where the output stands in the status.
const OUTPUT: &str = "/outputs/out";

async fn done(engine: &Tidemill, count: usize) -> Value {
    let done = |status: &Value| status["rules"]["telemetry/keep"]["done"].as_u64() == Some(count as u64);
    let status = engine.status_where("everything done", done).await;
    assert_balanced(&status);
    status
}

#[tokio::test]
async fn mosquitto_sub_reads_both_modes_and_both_versions() {
    let broker = Mosquitto::start(Config::profile()).await;
    let publisher = publisher(&broker).await;
    for (name, options) in [("binary", ""), ("whole", ", mode: structured"), ("old", ", version: 3.1.1")] {
        let output = format!("url: \"{}\", topic: \"{name}/{{subject}}\"{options}", broker.url());
        let mut engine = engine_to(&broker, &output);
        engine.start().await;
        let mut listener = listen(broker.address(), &format!("{name}/#"), &[]).await;
        let payload = "{\"id\":\"e-1\", \"n\":1.10}";
        publisher.send("e-1", "v1/demo/veh-7/telemetry", payload).await;
        let message = heard(&mut listener).await;
        assert_eq!((&message["topic"], &message["qos"]), (&format!("{name}/veh-7").into(), &1.into()));
        let said = message["payload"].as_str().expect("a text");
        if name == "binary" {
            assert_eq!(said, payload);
            let properties = &message["properties"];
            assert_eq!(properties["content-type"], "application/json");
            let expected = serde_json::json!({
                "specversion": "1.0", "id": "e-1", "source": "/fleet/demo", "type": "telemetry", "subject": "veh-7",
                "fleet": "demo", "vehicle": "veh-7",
            });
            for (name, value) in expected.as_object().expect("an object") {
                assert_eq!(&properties["user-properties"][name], value, "{message}");
            }
        } else {
            let event: Value = serde_json::from_str(said).expect("the whole event");
            assert_eq!((&event["id"], &event["subject"]), (&"e-1".into(), &"veh-7".into()));
            assert!(said.contains("1.10"), "the payload is the one that came: {said}");
            let content_type = message["properties"].get("content-type");
            assert_eq!(content_type, (name == "whole").then(|| "application/cloudevents+json".into()).as_ref());
        }
        assert!(engine.terminate().await.success());
    }
}

#[tokio::test]
async fn nothing_is_lost_over_a_broker_that_restarts_in_mid_stream() {
    let source = Mosquitto::start(Config::profile()).await;
    let mut target = Mosquitto::start(Config::profile()).await;
    let mut engine = engine_to(&source, &format!("url: \"{}\", topic: \"out/{{subject}}\"", target.url()));
    engine.start().await;
    let control = Subscriber::connect(Settings::new(target.address(), "control"), &["out/#"], Acks::AtOnce).await;
    let publisher = publisher(&source).await;
    let (_, ()) = tokio::join!(send(&publisher, 0..10_000), async {
        for wanted in [1000, 4000] {
            control.deliveries(wanted).await;
            target.stop().await;
            target.restart().await;
        }
    });
    let fates = publisher.close().await;
    assert_eq!(fates.confirmed.len(), 10_000);
    done(&engine, 10_000).await;
    let everything: HashSet<&str> = fates.confirmed.iter().map(String::as_str).collect();
    let all = |received: &[Message]| {
        let ids = || received.iter().map(|message| message.id.as_str()).collect::<HashSet<_>>();
        // Some came twice, so that their number says only when it is worth looking.
        received.len() >= everything.len() && ids() == everything
    };
    control.arrived("every event", all).await;
    assert!(engine.terminate().await.success());
}

#[tokio::test]
async fn what_this_client_may_not_publish_fails_with_the_brokers_reason() {
    let source = Mosquitto::start(Config::profile()).await;
    let folder = tempfile::tempdir().expect("a folder");
    let rights = folder.path().join("rights");
    std::fs::write(&rights, "topic read #\ntopic write out/veh-1\n").expect("writable");
    let line = format!("acl_file {}", rights.display());
    // With max_queued_messages 0 mosquitto 2.0.11 also closes the connection, whatever else is on its way on it.
    let target = Mosquitto::start(Config::new().line(&line)).await;
    let mut engine = engine_to(&source, &format!("url: \"{}\", topic: \"out/{{subject}}\"", target.url()));
    engine.start().await;
    let mut listener = listen(target.address(), "out/#", &[]).await;
    let publisher = publisher(&source).await;
    for vehicle in ["veh-2", "veh-1"] {
        let topic = format!("v1/demo/{vehicle}/telemetry");
        publisher.send(vehicle, &topic, format!("{{\"id\":\"{vehicle}\"}}")).await;
    }
    assert_eq!(heard(&mut listener).await["topic"], "out/veh-1");
    let said = error(&engine, OUTPUT, "refused 'out/veh-2'").await;
    assert!(said.contains("not authorized; grant this client") && said.contains("0x87"), "{said}");
    assert_balanced(&idle(&engine).await);
    let rejects = dead_letters(&engine).await;
    assert!(rejects.contains("veh-2") && !rejects.contains("\"veh-1\""), "{rejects}");
    assert!(engine.terminate().await.success());
}

#[tokio::test]
async fn a_retained_event_is_there_for_whoever_comes_later() {
    let broker = Mosquitto::start(Config::profile()).await;
    let publisher = publisher(&broker).await;
    for (retain, kept) in [("true", 1), ("false", 0)] {
        let output = format!("url: \"{}\", topic: \"last/{retain}/{{subject}}\", retain: {retain}", broker.url());
        let mut engine = engine_to(&broker, &output);
        engine.start().await;
        send(&publisher, 3..4).await;
        done(&engine, 1).await;
        // A later message on another topic says that there is nothing more to come.
        let mut listener = listen(broker.address(), &format!("last/{retain}/#"), &[]).await;
        send(&publisher, 4..5).await;
        let message = heard(&mut listener).await;
        let expected = if kept == 1 { "veh-3" } else { "veh-4" };
        assert_eq!(message["topic"], format!("last/{retain}/{expected}"));
        assert_eq!(message["retain"], kept);
        assert!(engine.terminate().await.success());
    }
}

#[tokio::test]
async fn a_small_receive_maximum_is_met_with_several_connections() {
    let source = Mosquitto::start(Config::profile()).await;
    let target = Mosquitto::start(Config::new().line("max_inflight_messages 3").line("max_queued_messages 0")).await;
    let mut engine = engine_to(&source, &format!("url: \"{}\", topic: \"out/{{subject}}\"", target.url()));
    engine.start().await;
    let control = Subscriber::connect(Settings::new(target.address(), "control"), &["out/#"], Acks::AtOnce).await;
    let publisher = publisher(&source).await;
    send(&publisher, 0..3000).await;
    assert_eq!(publisher.close().await.confirmed.len(), 3000);
    done(&engine, 3000).await;
    control.arrived("every event", |received| received.len() >= 3000).await;
    let mut clients: Vec<String> = target
        .log()
        .iter()
        .filter_map(|line| Some(line[line.find(" as tidemill_out-")? + 4..].split(' ').next()?.to_owned()))
        .collect();
    clients.sort();
    assert!(clients.len() > 1 && clients.len() <= 4, "{clients:?}");
    assert!(clients[1].ends_with("-1") && clients[1].starts_with(&clients[0]), "{clients:?}");
    assert_eq!(control.ids().len(), 3000);
    assert!(engine.terminate().await.success());
}

#[tokio::test]
async fn tls_and_a_password_open_the_door_and_a_wrong_one_says_so_without_showing_it() {
    let source = Mosquitto::start(Config::profile()).await;
    let target = Mosquitto::start(Config::profile().mutual_tls().user("mill", "right")).await;
    let certificates = target.certificates().expect("the broker speaks TLS");
    let folder = tempfile::tempdir().expect("a folder");
    certificates.write(folder.path());
    let file = |name: &str| folder.path().join(name).display().to_string();
    let (ca, cert, key) = (file("authority.pem"), file("client.pem"), file("client.key"));
    let output = |timeout: &str| {
        format!(
            "url: \"{}\", topic: \"out/{{subject}}\", user: mill, password: \"${{env:MILL_PASSWORD}}\", \
             timeout: {timeout}, tls: {{ ca: {ca}, cert: {cert}, key: {key} }}",
            target.url()
        )
    };
    let publisher = publisher(&source).await;
    let mut refused = engine_to(&source, &output("1s")).variable("MILL_PASSWORD", "s3cret");
    refused.start_degraded().await;
    let said = error(&refused, OUTPUT, "refused the connection").await;
    assert!(said.contains("correct user and password") && !said.contains("s3cret"), "{said}");
    send(&publisher, 0..1).await;
    let failed = |status: &Value| status["rules"]["telemetry/keep"]["failedAttempts"].as_u64() > Some(0);
    let status = refused.status_where("a failed attempt", failed).await;
    let said = status["rules"]["telemetry/keep"]["lastError"].as_str().unwrap_or_default();
    assert!(said.contains("did not confirm 'out/veh-0' within 1s (broker mqtts://"), "{said}");
    refused.terminate().await;
    assert!(!refused.process().lines().all().join("\n").contains("s3cret"));

    let mut engine = engine_to(&source, &output("60s")).variable("MILL_PASSWORD", "right");
    engine.start().await;
    let arguments = ["--cafile", &ca, "--cert", &cert, "--key", &key, "-u", "mill", "-P", "right"];
    let mut listener = listen(target.address(), "out/#", &arguments).await;
    send(&publisher, 1..2).await;
    assert_eq!(heard(&mut listener).await["topic"], "out/veh-1");
    assert!(engine.terminate().await.success());
}

#[tokio::test]
async fn what_comes_before_the_broker_waits_for_it() {
    let source = Mosquitto::start(Config::profile()).await;
    let mut target = Mosquitto::start(Config::profile()).await;
    target.stop().await;
    let mut engine =
        engine_to(&source, &format!("url: \"{}\", topic: \"out/{{subject}}\", retain: true", target.url()));
    engine.start_degraded().await;
    assert!(error(&engine, OUTPUT, "cannot be reached").await.contains(&target.url()));
    let publisher = publisher(&source).await;
    send(&publisher, 0..1).await;
    engine.status_where("an event", |status| status["spools"]["fleet"]["inFlight"] == 1).await;
    target.restart().await;
    engine.ready().await;
    let status = done(&engine, 1).await;
    assert_eq!(status["rules"]["telemetry/keep"]["failedAttempts"], 0, "waiting for a broker is no attempt: {status}");
    let mut listener = listen(target.address(), "out/#", &[]).await;
    assert_eq!(heard(&mut listener).await["topic"], "out/veh-0");
    assert!(engine.terminate().await.success());
}

#[tokio::test]
async fn the_example_runs_as_it_stands() {
    let broker = Mosquitto::start(Config::profile()).await;
    let example = include_str!("../../../examples/mqtt/tidemill.yaml");
    assert_eq!(example.matches("mqtt://localhost:1883").count(), 2);
    let yaml = example.replace("mqtt://localhost:1883", &broker.url());
    let mut engine = Tidemill::new(PROGRAM, &yaml);
    engine.start().await;
    let mut listener = listen(broker.address(), "live/#", &[]).await;
    let publisher = publisher(&broker).await;
    send(&publisher, 1..2).await;
    let message = heard(&mut listener).await;
    assert_eq!(message["topic"], "live/demo/veh-1");
    assert_eq!(message["properties"]["user-properties"]["type"], "org.covesa.vss.telemetry.v1");
    assert!(engine.terminate().await.success());
}
