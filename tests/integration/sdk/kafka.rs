//! Over Kafka: kcat produces the messages that the SDK has made, and the SDK reads those that kcat has consumed.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use testkit::kafka::shared;
use testkit::kcat::Kcat;

use super::*;

#[tokio::test]
async fn messages_of_the_sdk_are_events_and_those_of_the_engine_are_to_the_sdk() {
    let broker = shared().await;
    let kcat = Kcat::new(broker.address());
    let [from, binary, structured] =
        [broker.topic(1, &[]).await, broker.topic(1, &[]).await, broker.topic(1, &[]).await];
    let brokers = format!("brokers: [\"{}\"]", broker.address());
    let output = |topic: &str, mode: &str| {
        (mode.to_owned(), format!("{{ kafka: {{ {brokers}, topic: {topic}, mode: {mode} }} }}"))
    };
    let outputs = [output(&binary, "binary"), output(&structured, "structured")];
    let mut engine = passing(&format!("{{ kafka: {{ {brokers}, topics: [{from}], group: {from} }} }}"), &outputs);
    engine.start().await;

    let written = run(script!("kafka.py"), &[]).await;
    let messages = written.lines().all();
    let messages: Vec<Value> =
        messages.iter().filter_map(|line| serde_json::from_str(line.strip_prefix("message ")?).ok()).collect();
    assert_eq!(messages.len(), 6);
    for message in &messages {
        let headers = message[1].as_object().expect("headers").iter();
        let headers: Vec<_> =
            headers.map(|(name, text)| format!("{name}={}", text.as_str().expect("a text"))).collect();
        let mut arguments = vec!["-k", message[0].as_str().expect("a key")];
        arguments.extend(headers.iter().flat_map(|header| ["-H", header]));
        let value = BASE64_STANDARD.decode(message[2].as_str().expect("a value")).expect("base64");
        kcat.produce_bytes(&from, &arguments, &value).await;
    }

    let mut consumed = Vec::new();
    for topic in [&binary, &structured] {
        let records = until("every message", async || {
            Some(kcat.consume_bytes(topic).await).filter(|records| records.len() >= messages.len())
        });
        let read = records.await.into_iter();
        consumed.extend(read.map(|(headers, value)| json!([topic, headers, BASE64_STANDARD.encode(value)])));
    }
    let read = run(script!("kafka.py"), &[&Value::Array(consumed).to_string()]).await;
    assert_same(&shown(read.lines()), &[&binary, &structured], &[("python", &["binary", "structured"])]);
    assert_balanced(&engine.status().await);
    assert!(engine.terminate().await.success());
}
