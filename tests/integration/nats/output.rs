//! The output: confirmed by a stream, sent on a core subject, refused in words; and Python's own client on both ends.

use testkit::python;

use super::*;

/// An engine that publishes every event of one server's stream to an output; `output` is what stands under `nats:`.
fn engine_to(url: &str, output: &str) -> Tidemill {
    let yaml = format!(
        "sources:
  fleet:
    nats: {{ url: \"{url}\", subjects: [\"v1.{{fleet}}.{{vehicle}}.telemetry\"], stream: FLEET, durable: mill, create: {{}} }}
    event: {{ type: telemetry, source: \"/fleet/{{fleet}}\", subject: \"{{vehicle}}\", id: id }}
    seats: 200
outputs:
  out: {{ nats: {{ {output} }} }}
triggers:
  telemetry:
    source: fleet
    rules:
      keep: {{ output: out, retry: {{ hold: source, maxAttempts: 3, backoffDelay: 50ms }} }}
"
    );
    Tidemill::new(PROGRAM, &yaml)
}

/// How many messages a stream has.
async fn stored(peer: &mut Peer, stream: &str) -> u64 {
    peer.api(&format!("STREAM.INFO.{stream}"), &Value::Null).await["state"]["messages"].as_u64().unwrap_or_default()
}

#[tokio::test]
async fn a_stream_has_every_event_once_although_the_server_goes_away() {
    let source = server().await;
    let mut target = server().await;
    target.peer().await.stream("OUT", &["out.>"]).await;
    let mut engine = engine_to(&source.url(), &format!("url: \"{}\", subject: \"out.{{vehicle}}\"", target.url()));
    engine.start().await;
    let mut peer = source.peer().await;
    for round in 0..4 {
        store(&mut peer, round * 500..(round + 1) * 500).await;
        if round % 2 == 0 {
            target.stop().await;
        } else {
            target.kill().await;
        }
        target.restart().await;
    }
    all_acknowledged(&mut peer).await;
    assert_eq!(stored(&mut target.peer().await, "OUT").await, 2000, "what is sent again is stored once");
    let status = engine.status().await;
    assert_balanced(&status);
    assert_eq!(status["rules"]["telemetry/keep"]["done"], 2000);
    assert!(engine.terminate().await.success());
}

#[tokio::test]
async fn a_core_subject_has_every_event_in_either_mode() {
    let server = server().await;
    for (mode, mark) in [("binary", "ce-type: telemetry"), ("structured", "application/cloudevents+json")] {
        let output =
            format!("url: \"{}\", subject: \"seen.{mode}.{{subject}}\", jetstream: false, mode: {mode}", server.url());
        let mut engine = engine_to(&server.url(), &output);
        engine.start().await;
        let mut listener = server.peer().await;
        listener.subscribe(&format!("seen.{mode}.*")).await;
        store(&mut server.peer().await, 7..8).await;
        let delivery = listener.delivery().await;
        assert_eq!(delivery.subject, format!("seen.{mode}.veh-7"));
        assert!(delivery.headers.contains(mark), "{}", delivery.headers);
        let payload = String::from_utf8_lossy(&delivery.payload).into_owned();
        assert!(payload.contains("{\"id\":\"7\"}"), "{payload}");
        assert!(engine.terminate().await.success());
    }
}

#[tokio::test]
async fn what_is_too_large_or_has_no_subject_is_refused_in_words_and_the_rest_goes_on() {
    let source = Nats::start(Config::new().line("max_payload: 8MB")).await;
    let target = server().await;
    let mut listener = target.peer().await;
    listener.stream("OUT", &["out.>"]).await;
    let mut engine = engine_to(&source.url(), &format!("url: \"{}\", subject: \"out.{{place}}\"", target.url()));
    engine.start().await;
    let mut peer = source.peer().await;
    let subject = "v1.demo.veh-1.telemetry";
    let event = |id: &str, place: &str| {
        format!(
            "NATS/1.0\r\nce-specversion: 1.0\r\nce-id: {id}\r\nce-type: t\r\nce-source: /s\r\nce-place: {place}\r\n\r\n"
        )
    };
    peer.store(subject, event("large", "x").as_bytes(), &vec![b'x'; 2 << 20]).await;
    peer.store(subject, event("spaced", "a%20b").as_bytes(), b"").await;
    peer.store(subject, b"", b"{\"id\":\"placeless\"}").await;
    peer.store(subject, event("good", "x").as_bytes(), b"fine").await;
    all_acknowledged(&mut peer).await;
    assert_eq!(stored(&mut listener, "OUT").await, 1);
    let rejects = dead_letters(&engine).await;
    for part in ["more than max_payload", "holds white space: 'out.a b'", "no attribute 'place'"] {
        assert!(rejects.contains(part), "{part}: {}", rejects.chars().rev().take(2000).collect::<String>());
    }
    assert!(engine.terminate().await.success());
}

/// Publishes what a Python program would: a binary event, a structured one, and a plain payload.
const PUBLISHES: &str = r#"
import asyncio, json, sys, nats
async def main():
    nc = await nats.connect(sys.argv[1], connect_timeout=60)
    js = nc.jetstream(timeout=60)
    subject = "v1.demo.veh-1.telemetry"
    binary = {"ce-specversion": "1.0", "ce-id": "0", "ce-type": "t", "ce-source": "/python", "ce-subject": "caf%C3%A9",
              "content-type": "application/json"}
    await js.publish(subject, b'{"n":1.10}', headers=binary)
    whole = {"specversion": "1.0", "id": "1", "type": "t", "source": "/python", "data": {"n": 2}}
    await js.publish(subject, json.dumps(whole).encode(), headers={"Content-Type": "application/cloudevents+json"})
    await js.publish(subject, b'{"id":"2"}')
    print("stored")
    await nc.close()
asyncio.run(main())
"#;

/// Reads three messages of a stream and prints what it understands of each.
const READS: &str = r#"
import asyncio, json, sys, nats
from urllib.parse import unquote
async def main():
    nc = await nats.connect(sys.argv[1], connect_timeout=60)
    sub = await nc.jetstream(timeout=60).pull_subscribe("out.>", "reader", stream="OUT")
    seen = 0
    while seen < 3:
        for message in await sub.fetch(3, timeout=150):
            headers = {name: unquote(value) for name, value in (message.headers or {}).items()}
            print("event " + json.dumps([message.subject, headers, message.data.decode()]))
            await message.ack()
            seen += 1
    await nc.close()
asyncio.run(main())
"#;

#[tokio::test]
async fn pythons_own_client_is_understood_and_understands() {
    let server = server().await;
    let mut peer = server.peer().await;
    peer.stream("OUT", &["out.>"]).await;
    let mut engine = engine_to(&server.url(), &format!("url: \"{}\", subject: \"out.{{vehicle}}\"", server.url()));
    engine.start().await;
    let mut publisher = python::run(PUBLISHES, &[&server.url()]);
    publisher.line("three stored messages", |line| line == "stored").await;
    assert!(publisher.wait().await.success());
    let mut reader = python::run(READS, &[&server.url()]);
    assert!(reader.wait().await.success());
    let mut events: Vec<Value> = reader
        .lines()
        .all()
        .iter()
        .filter_map(|line| serde_json::from_str(line.strip_prefix("event ")?).ok())
        .collect();
    events.sort_by_key(|event| event[1]["ce-id"].to_string());
    assert_eq!(events.len(), 3);
    for (number, event) in events.iter().enumerate() {
        assert_eq!((&event[0], &event[1]["ce-specversion"]), (&"out.veh-1".into(), &"1.0".into()));
        assert_eq!(event[1]["ce-id"], number.to_string());
        assert_eq!(event[1]["Content-Type"], "application/json");
    }
    assert_eq!((&events[0][1]["ce-subject"], &events[0][2]), (&"café".into(), &"{\"n\":1.10}".into()));
    assert_eq!((&events[1][1]["ce-source"], &events[1][2]), (&"/python".into(), &"{\"n\": 2}".into()));
    assert_eq!((&events[2][1]["ce-type"], &events[2][1]["ce-subject"]), (&"telemetry".into(), &"veh-1".into()));
    assert!(engine.terminate().await.success());
}
