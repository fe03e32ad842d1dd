//! Events in every form that pika can publish, and messages that are no events, which end with their bytes in a file and
//! stop nothing.

use testkit::python;
use testkit::rabbitmq::shared;

use super::*;

const PUBLISH: &str = include_str!("publish.py");

#[tokio::test]
async fn what_pika_publishes_arrives_and_garbage_is_kept_aside() {
    let broker = shared().await;
    let (peer, queue, exchange) = (broker.peer().await, broker.name(), broker.name());
    peer.declare(&queue, "quorum").await;
    let keys = ["routingKeys: [\"v1.{fleet}.{vehicle}.telemetry\"]", "maxMessageSize: 100KiB"];
    let mut engine = engine(&broker.url(), &queue, &keys);
    engine.start().await;
    let mut pika = python::run(PUBLISH, &[&broker.url(), &exchange, &queue]);
    assert!(pika.wait().await.success(), "{:?}", pika.lines().all());
    let rejected = |status: &Value| status["sources"]["fleet"]["rejected"] == 7;
    let status = engine.status_where("seven rejected messages", rejected).await;
    assert_balanced(&status);
    assert_eq!(status["sources"]["fleet"]["connects"], 1, "no message costs the connection");
    let events = within("seven events in the file", async {
        loop {
            let events = events(&engine);
            if events.len() >= 7 {
                return events;
            }
            tokio::time::sleep(RETRY).await;
        }
    })
    .await;
    let of = |id: &str| events.iter().find(|event| event["id"] == id).unwrap_or_else(|| panic!("no '{id}'"));
    let binary = of("binary");
    for (name, value) in [
        ("type", "org.example.alert"),
        ("source", "/pika"),
        ("time", "2026-11-21T06:58:00Z"),
        ("subject", "50 % é"),
        ("fleet", "demo"),
        ("vehicle", "veh-1"),
        ("datacontenttype", "application/json"),
        ("amqpexchange", exchange.as_str()),
        ("amqproutingkey", "v1.demo.veh-1.telemetry"),
    ] {
        assert_eq!(binary[name], value, "{name}: {binary}");
    }
    assert_eq!(binary["amqpredelivered"], false);
    assert_eq!((&binary["count"], &binary["urgent"]), (&(-7).into(), &true.into()), "types are kept");
    assert_eq!((&of("other")["data"], &of("other")["datacontenttype"]), (&"a,b".into(), &"text/csv".into()));
    assert_eq!((&of("structured")["data"]["n"], &of("structured")["vehicle"]), (&2.into(), &"veh-3".into()));
    assert_eq!((&of("plain")["type"], &of("last")["type"]), (&"telemetry".into(), &"telemetry".into()));

    assert_eq!((&of("bytes")["tenant"], &of("named")["type"]), (&"//4=".into(), &"telemetry".into()));

    let rejects = dead_letters(&engine).await;
    assert_eq!(rejects.lines().count(), 7);
    for reason in [
        "event.id",
        "routing key is not UTF-8",
        "it is a table",
        "cloudEvents:tenant",
        "maxMessageSize",
        "none of routingKeys",
    ] {
        assert!(rejects.contains(reason), "{reason}:\n{rejects}");
    }
    drained(&mut engine, &peer, &queue).await;
}

#[tokio::test]
async fn payloads_of_every_size_are_whole_and_a_huge_one_is_refused_with_its_first_bytes() {
    let broker = shared().await;
    let (peer, queue) = (broker.peer().await, broker.name());
    peer.declare(&queue, "classic").await;
    let mut engine = engine(&broker.url(), &queue, &[]);
    engine.start().await;
    // Around a frame, 64 KiB, 1 MiB, and beyond what is taken.
    let sizes = [0, 1, 131_063, 131_064, 131_065, 65_536, 1 << 20, 100 << 20];
    for (number, size) in sizes.iter().enumerate() {
        let payload = format!("{{\"id\":\"{number}\",\"pad\":\"{}\"}}", "x".repeat(*size));
        peer.send_all("", &queue, std::iter::once(payload)).await;
    }
    send(&peer, &queue, 8..9).await;
    let ids = file_has(&engine, 0..7).await;
    file_has(&engine, 8..9).await;
    assert_eq!(ids.get("7"), None);
    for event in events(&engine).iter().filter(|event| event["id"] != "8") {
        let number: usize = event["id"].as_str().and_then(|id| id.parse().ok()).expect("a number");
        assert_eq!(event["data"]["pad"].as_str().map(str::len), Some(sizes[number]));
    }
    engine.status_where("the huge one rejected", |status| status["sources"]["fleet"]["rejected"] == 1).await;
    drained(&mut engine, &peer, &queue).await;
}
