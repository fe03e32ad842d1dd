//! Events in every form, and messages that are none: garbage in headers, in attributes and in payloads.

use super::*;

const SUBJECT: &str = "v1.demo.veh-1.telemetry";

#[tokio::test]
async fn what_cannot_be_an_event_is_kept_aside_and_the_rest_goes_on() {
    let server = server().await;
    let mut peer = server.peer().await;
    let mut engine = engine(&server.url(), &DURABLE);
    engine.start().await;
    store(&mut peer, 0..10).await;
    let garbage: [(&[u8], &[u8]); 9] = [
        (b"\xff\xfe\x00 garbage", b"{\"id\":\"a\"}"),
        (b"NATS/1.0\r\nno colon\r\n\r\n", b"{\"id\":\"b\"}"),
        (b"NATS/1.0\r\n\xff: x\r\n\r\n", b"{\"id\":\"c\"}"),
        (b"NATS/1.0\r\nContent-Type: a/b\r\nContent-Type: c/d\r\n\r\n", b"{\"id\":\"d\"}"),
        (b"NATS/1.0\r\nce-specversion: 1.0\r\nce-id: %C0%A0\r\nce-type: t\r\nce-source: /s\r\n\r\n", b""),
        (b"NATS/1.0\r\nce-specversion: 1.0\r\nce-type: t\r\nce-source: /s\r\n\r\n", b"without an id"),
        (b"NATS/1.0\r\nContent-Type: application/cloudevents+json\r\n\r\n", b"nonsense"),
        (b"", b"{\"other\":1}"),
        (b"", b"\x00\x01\xff"),
    ];
    for (headers, payload) in garbage {
        peer.store(SUBJECT, headers, payload).await;
    }
    store(&mut peer, 10..20).await;
    file_has(&engine, 0..20).await;
    let rejected = |status: &Value| status["sources"]["fleet"]["rejected"] == 9;
    let status = engine.status_where("nine rejected messages", rejected).await;
    assert_balanced(&status);
    assert_eq!(status["sources"]["fleet"]["connects"], 1, "no message costs a connection");
    all_acknowledged(&mut peer).await;
    let rejects = dead_letters(&engine).await;
    for part in ["NATS/1.0", "has no colon", "two different content types", "ce-id", "'id' is missing", "sequence"] {
        assert!(rejects.contains(part), "{part}: {rejects}");
    }
    assert!(engine.terminate().await.success());
}

#[tokio::test]
async fn garbage_on_a_core_subject_costs_nothing_but_itself() {
    let server = server().await;
    let mut engine = engine(&server.url(), &[]);
    engine.start().await;
    let mut peer = server.peer().await;
    peer.publish(SUBJECT, b"", b"{\"id\":\"0\"}").await;
    peer.publish(SUBJECT, b"\xff\xfe", b"x").await;
    peer.publish(SUBJECT, b"", b"{\"id\":\"1\"}").await;
    file_has(&engine, 0..2).await;
    let status = engine.status_where("a reject", |status| status["sources"]["fleet"]["rejected"] == 1).await;
    assert_eq!(status["sources"]["fleet"]["connects"], 1);
    assert!(engine.terminate().await.success());
}

#[tokio::test]
async fn both_modes_and_plain_payloads_become_events_with_the_facts_of_their_transport() {
    let server = server().await;
    let mut peer = server.peer().await;
    let mut engine = engine(&server.url(), &DURABLE);
    engine.start().await;
    let binary = "NATS/1.0\r\nce-specversion: 1.0\r\nce-id: 0\r\nce-type: t\r\nce-source: /s\r\nce-subject: caf%C3%A9 1\r\n\
                  ce-tenant: acme\r\nContent-Type: text/plain\r\n\r\n";
    peer.store(SUBJECT, binary.as_bytes(), b"1.10").await;
    let structured = r#"{"specversion":"1.0","id":"1","type":"t","source":"/s","data":{"n":1.10},"count":7}"#;
    let headers = b"NATS/1.0\r\nContent-Type: application/cloudevents+json; charset=utf-8\r\n\r\n";
    peer.store(SUBJECT, headers, structured.as_bytes()).await;
    peer.store(SUBJECT, b"", structured.replace("\"1\",", "\"2\",").as_bytes()).await;
    peer.store(SUBJECT, b"", b"{\"id\":3,\"speed\":1.50}").await;
    file_has(&engine, 0..4).await;
    let events = events(&engine);
    assert_eq!((&events[0]["subject"], &events[0]["tenant"]), (&"café 1".into(), &"acme".into()));
    assert_eq!((&events[0]["data"], &events[0]["datacontenttype"]), (&"1.10".into(), &"text/plain".into()));
    assert_eq!((&events[1]["count"], &events[2]["count"]), (&7.into(), &7.into()));
    assert_eq!((&events[3]["type"], &events[3]["source"]), (&"telemetry".into(), &"/fleet/demo".into()));
    for (number, event) in events.iter().enumerate() {
        assert_eq!(event["natssubject"], SUBJECT);
        assert_eq!((&event["natsstream"], &event["natssequence"]), (&"FLEET".into(), &(number + 1).to_string().into()));
        assert_eq!(event["vehicle"], "veh-1");
    }
    let content = std::fs::read_to_string(engine.folder().join("events.jsonl")).expect("readable");
    assert!(content.contains("1.50") && content.contains("\"n\":1.10"), "no payload is rewritten: {content}");
    assert!(engine.terminate().await.success());
}

#[tokio::test]
async fn a_message_without_an_id_is_the_same_event_whenever_it_comes() {
    let server = server().await;
    let mut peer = server.peer().await;
    peer.stream("FLEET", &["v1.>"]).await;
    peer.store(SUBJECT, b"", b"plain").await;
    let mut seen = Vec::new();
    for durable in ["durable: first", "durable: second"] {
        let yaml = format!(
            "sources:
  fleet: {{ nats: {{ url: \"{}\", subjects: [\"v1.>\"], stream: FLEET, {durable}, create: {{}} }} }}
outputs:
  events: {{ file: {{ path: events.jsonl }} }}
triggers:
  telemetry: {{ source: fleet, rules: {{ keep: {{ output: events }} }} }}
",
            server.url()
        );
        let mut engine = Tidemill::new(PROGRAM, &yaml);
        engine.start().await;
        within("the event", async {
            while events(&engine).is_empty() {
                tokio::time::sleep(RETRY).await;
            }
        })
        .await;
        seen.push(events(&engine)[0]["id"].clone());
        assert!(engine.terminate().await.success());
    }
    assert_eq!(seen[0], seen[1]);
}

#[tokio::test]
async fn the_example_runs_as_it_stands() {
    let server = server().await;
    let example = include_str!("../../../examples/nats/tidemill.yaml");
    let mut engine = Tidemill::new(PROGRAM, &example.replace("nats://localhost:4222", &server.url()));
    engine.start().await;
    let (mut peer, mut listener) = (server.peer().await, server.peer().await);
    listener.subscribe("live.>").await;
    peer.store(SUBJECT, b"", b"{\"id\":\"1\"}").await;
    let delivery = listener.delivery().await;
    assert_eq!((delivery.subject.as_str(), delivery.payload.as_slice()), ("live.demo.veh-1", &b"{\"id\":\"1\"}"[..]));
    assert!(delivery.headers.contains("ce-type: org.covesa.vss.telemetry.v1"), "{}", delivery.headers);
    assert!(engine.terminate().await.success());
}

#[tokio::test]
async fn large_messages_pass_and_the_lag_is_told() {
    let server = Nats::start(Config::new().line("max_payload: 8MB")).await;
    let mut peer = server.peer().await;
    peer.stream("FLEET", &["v1.>"]).await;
    for (number, size) in [64 << 10, 1 << 20, 7 << 20].into_iter().enumerate() {
        let payload = format!("{{\"id\":\"{number}\",\"fill\":\"{}\"}}", "x".repeat(size));
        peer.store(SUBJECT, b"", payload.as_bytes()).await;
    }
    let mut engine = engine(&server.url(), &DURABLE);
    engine.start().await;
    file_has(&engine, 0..3).await;
    let sizes: Vec<_> = events(&engine).iter().map(|event| event["data"]["fill"].as_str().map(str::len)).collect();
    assert_eq!(sizes, [Some(64 << 10), Some(1 << 20), Some(7 << 20)]);
    engine.status_where("no lag", |status| status["sources"]["fleet"]["lag"] == 0).await;
    assert!(engine.terminate().await.success());
}
