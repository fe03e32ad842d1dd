//! What kcat sends and what kcat reads: both modes in, both modes out, payloads and keys untouched.

use testkit::kafka;
use testkit::kcat::Record;

use super::*;

/// An output to `topic` in one of the modes.
fn output(broker: SocketAddr, topic: &str, mode: &str) -> String {
    format!("{{ kafka: {{ brokers: [\"{broker}\"], topic: \"{topic}\", mode: {mode} }} }}")
}

async fn copied(kcat: &Kcat, topic: &str, count: usize) -> Vec<Record> {
    within("the copies", async {
        loop {
            let records = kcat.consume(topic).await;
            if records.len() >= count {
                return records;
            }
        }
    })
    .await
}

fn header<'r>(record: &'r Record, name: &str) -> Option<&'r str> {
    record.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

#[tokio::test]
async fn events_of_either_mode_come_out_as_they_went_in() {
    let broker = kafka::shared().await;
    let kcat = Kcat::new(broker.address());
    let (from, to) = (broker.topic(1, &[]).await, broker.topic(1, &[]).await);
    let payload = "{\"v\": 1.0, \"b\":[ 1,2 ],\"a\" :\"\u{e9}\"}";
    let core = ["-H", "ce_specversion=1.0", "-H", "ce_id=e-1", "-H", "ce_type=t", "-H", "ce_source=/s"];
    let more = ["-H", "ce_tenant=50 %", "-H", "content-type=application/json", "-k", "veh-1"];
    kcat.produce(&from, &[&core[..], &more[..]].concat(), &[payload]).await;
    let structured =
        format!("{{\"specversion\":\"1.0\",\"id\":\"e-2\",\"type\":\"t\",\"source\":\"/s\",\"data\":{payload}}}");
    kcat.produce(&from, &["-H", "content-type=application/cloudevents+json; charset=UTF-8"], &[&structured]).await;
    kcat.produce(&from, &["-k", "veh-3"], &["{\"id\":\"plain\"}"]).await;

    let mut engine = into(broker.address(), &from, &[], &output(broker.address(), &to, "binary"));
    engine.start().await;
    let records = copied(&kcat, &to, 3).await;
    for (record, id, key) in
        [(&records[0], "e-1", Some("veh-1")), (&records[1], "e-2", None), (&records[2], "plain", Some("veh-3"))]
    {
        assert_eq!((header(record, "ce_id"), record.key.as_deref()), (Some(id), key));
        assert_eq!(header(record, "ce_kafkatopic"), None, "that was where it came from");
        assert_eq!(header(record, "content-type"), Some("application/json"));
    }
    assert_eq!((records[0].payload.as_deref(), records[1].payload.as_deref()), (Some(payload), Some(payload)));
    assert_eq!(header(&records[0], "ce_tenant"), Some("50 %"));
    assert_eq!(header(&records[2], "ce_type"), Some("order"));
    assert!(engine.terminate().await.success());

    let again = broker.topic(1, &[]).await;
    let mut engine = into(broker.address(), &to, &[], &output(broker.address(), &again, "structured"));
    engine.start().await;
    let records = copied(&kcat, &again, 3).await;
    assert_eq!(records[0].headers, [("content-type".to_owned(), "application/cloudevents+json".to_owned())]);
    let text = records[0].payload.as_deref().expect("a structured event has a payload");
    assert!(text.contains(payload), "{text}");
    let event: Value = serde_json::from_str(text).expect("a structured event is JSON");
    assert_eq!((event["id"].as_str(), event["kafkatopic"].as_str()), (Some("e-1"), Some(to.as_str())));
    assert_balanced(&engine.status().await);
    assert!(engine.terminate().await.success());
}

#[tokio::test]
async fn tombstones_and_empty_payloads_stay_what_they_are() {
    let broker = kafka::shared().await;
    let kcat = Kcat::new(broker.address());
    let (from, to) = (broker.topic(1, &[]).await, broker.topic(1, &[]).await);
    let core = ["-H", "ce_specversion=1.0", "-H", "ce_id=e-1", "-H", "ce_type=t", "-H", "ce_source=/s", "-K", "|"];
    kcat.produce(&from, &core, &["k|"]).await;
    // With -Z what is empty is null.
    kcat.produce(&from, &[&core[..], &["-Z"]].concat(), &["k|"]).await;
    let mut engine = into(broker.address(), &from, &[], &output(broker.address(), &to, "binary"));
    engine.start().await;
    let records = copied(&kcat, &to, 2).await;
    let (before, after): (Vec<_>, Vec<_>) = (kcat.consume(&from).await, records);
    let payloads = |records: &[Record]| records.iter().map(|record| record.payload.clone()).collect::<Vec<_>>();
    assert_eq!(payloads(&before), [Some(String::new()), None]);
    assert_eq!(payloads(&after), payloads(&before));
    assert!(engine.terminate().await.success());
}

#[tokio::test]
async fn parts_of_topics_are_captured_and_new_topics_are_found() {
    let broker = kafka::Kafka::start(kafka::Config::new()).await;
    let kcat = Kcat::new(broker.address());
    broker.create_topic("fleet.a.orders", 1, &[]).await;
    let mut engine = engine(broker.address(), "fleet.{fleet}.orders", &[r"topicPattern: '^depot-(?<depot>\w+)$'"]);
    engine.start().await;
    kcat.produce("fleet.a.orders", &PLAIN, &["{\"id\":\"0\"}"]).await;
    file_has(&engine, 0..1).await;
    // Both appear when they are first written to.
    kcat.produce("fleet.b.orders", &PLAIN, &["{\"id\":\"1\"}"]).await;
    kcat.produce("depot-north", &PLAIN, &["{\"id\":\"2\"}"]).await;
    kcat.produce("other", &PLAIN, &["{\"id\":\"3\"}"]).await;
    file_has(&engine, 0..3).await;
    let mut seen: Vec<_> =
        events(&engine).iter().map(|event| format!("{} {}", event["fleet"], event["depot"])).collect();
    seen.sort();
    assert_eq!(seen, ["\"a\" null", "\"b\" null", "null \"north\""]);
    assert!(engine.terminate().await.success());
}
