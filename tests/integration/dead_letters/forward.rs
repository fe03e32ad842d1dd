//! Dead letters that go to an output besides: what the far side reads is the original with its reason in its attributes, an
//! output that is away holds nobody up, and whoever is killed in between, it is sent after the next start.

use testkit::kcat::Kcat;
use testkit::{kafka, python, rabbitmq};

use super::*;

const CONSUME: &str = include_str!("../amqp/consume.py");

/// Deliveries that wait for their output `dead`, as the status says it.
fn waiting(status: &Value) -> u64 {
    status["deadLetters"]["outputs"]["dead"]["waiting"].as_u64().expect("a number")
}

/// A function that rejects bad VINs to Kafka, and a rule whose output nobody hears, which goes to a queue.
fn vehicles((hook, nobody): (SocketAddr, SocketAddr), kafka: &str, (url, queue): (&str, &str)) -> Tidemill {
    let yaml = format!(
        "sources:
  hook: {{ http: {{ listen: \"{hook}\" }}, ack: processed }}
functions:
  judge: {{ native: telemetry-to-metrics }}
outputs:
  nobody: {{ http: {{ url: \"http://{nobody}/\" }} }}
  vins: {{ kafka: {{ brokers: {kafka} }} }}
  alerts: {{ amqp: {{ url: \"{url}\", routingKey: \"{queue}\" }} }}
triggers:
  vehicles:
    source: hook
    rules:
      vin: {{ function: judge, when: {{ exact: {{ type: vin }} }}, deadLetter: {{ output: vins }} }}
      late: {{ output: nobody, when: {{ exact: {{ type: late }} }}, deadLetter: alerts,
               retry: {{ maxAttempts: 3, backoffDelay: 1ms }} }}
defaults: {{ deadLetter: vins }}
"
    );
    Tidemill::new(PROGRAM, &yaml)
}

#[tokio::test]
async fn kcat_and_pika_read_the_original_with_why_it_died() {
    const BAD: &str = r#"{"vin": "IOQ",   "speed":1.10}"#;
    let (hook, nobody) = (port::free(), port::free());
    let (kafka, rabbit) = (kafka::shared().await, rabbitmq::shared().await);
    let (topic, queue, url) = (kafka.topic(1, &[]).await, rabbit.name(), rabbit.url());
    rabbit.peer().await.declare(&queue, "quorum").await;
    let mut engine = vehicles((hook, nobody), &format!("[\"{}\"], topic: {topic}", kafka.address()), (&url, &queue));
    engine.start().await;
    assert_eq!(post(hook, "v-1", "vin", BAD).await, Some(202));
    assert_eq!(post(hook, "l-1", "late", "{\"v\":1.10}").await, Some(202));
    let structured = ("content-type", "application/cloudevents+json");
    let answer = http::request(hook, "POST", "/", &[structured, ("x-trace", "t-7")], "{oh").await;
    assert_eq!(answer.expect("an answer").status, 400);
    let forwarded = |status: &Value| {
        let of = |output: &str| status["deadLetters"]["outputs"][output]["forwarded"].as_u64();
        (of("vins"), of("alerts")) == (Some(2), Some(1))
    };
    let status = engine.status_where("all forwarded", forwarded).await;
    assert_balanced(&status);

    let records = Kcat::new(kafka.address()).consume(&topic).await;
    let header = |at: usize, name: &str| {
        let found = records[at].headers.iter().find(|(key, _)| key == &format!("ce_{name}"));
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    };
    assert_eq!((records.len(), records[0].payload.as_deref()), (2, Some(BAD)), "byte for byte");
    for (name, value) in [
        ("id", "v-1"),
        ("type", "vin"),
        ("source", "/test"),
        ("dlqreason", "rejected"),
        ("dlqattempts", "1"),
        ("dlqrule", "vehicles/vin"),
        ("dlqfunction", "judge"),
        ("dlqredrives", "0"),
        ("knativeerrordest", "/tidemill/rules/vehicles/vin"),
    ] {
        assert_eq!(header(0, name), value, "{name} of {:?}", records[0].headers);
    }
    assert!(!header(0, "knativeerrordata").is_empty() && !header(0, "dlqlasttime").is_empty());
    assert_eq!((records[1].payload.as_deref(), header(1, "type").as_str()), (Some("{oh"), "org.tidemill.undecodable"));
    assert_eq!((header(1, "dlqreason"), header(1, "dlqsource")), ("undecodable".to_owned(), "hook".to_owned()));
    let facts: Value = serde_json::from_str(&header(1, "dlqfacts")).expect("JSON");
    assert!(facts.to_string().contains("t-7"), "its headers: {facts}");

    let mut pika = python::run(CONSUME, &[&url, &queue, "1"]);
    let line = pika.line("a message", |line| line.starts_with('{')).await;
    let message: Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!((&message["body"], &message["mode"]), (&"{\"v\":1.10}".into(), &2.into()), "it outlives the broker");
    for (name, value) in [("id", "l-1"), ("dlqreason", "exhausted"), ("dlqrule", "vehicles/late")] {
        assert_eq!(message["headers"][format!("cloudEvents_{name}")], value, "{message}");
    }
    assert_eq!(message["headers"]["cloudEvents_dlqattempts"].to_string().trim_matches('"'), "3", "{message}");
    assert!(pika.wait().await.success());

    let admin = engine.admin().to_string();
    let letters = lines(&said(&engine, &["list", "--json", "--admin", &admin]));
    assert_eq!(letters.len(), 3, "they stay");
    assert!(letters.iter().all(|letter| letter["forward"]["progress"] == "forwarded"), "{letters:?}");
    let metrics = engine.get("/metrics").await.body;
    assert!(metrics.contains("tidemill_dead_letters_forwarded_total{output=\"vins\"} 2\n"), "{metrics}");
    assert!(engine.terminate().await.success());
}

#[tokio::test]
async fn what_waits_for_an_output_that_is_away_is_sent_after_a_kill_and_holds_nobody_up() {
    const COUNT: usize = 100;
    let (hook, nobody, dead) = (port::free(), port::free(), port::free());
    let yaml = format!(
        "sources:
  hook: {{ http: {{ listen: \"{hook}\" }}, ack: processed, seats: 10 }}
outputs:
  nobody: {{ http: {{ url: \"http://{nobody}/\" }} }}
  dead: {{ http: {{ url: \"http://{dead}/\" }} }}
triggers:
  alerts:
    source: hook
    rules:
      post: {{ output: nobody, retry: {{ maxAttempts: 1 }}, deadLetter: dead }}
"
    );
    let mut engine = Tidemill::new(PROGRAM, &yaml);
    engine.start().await;
    for number in 0..COUNT {
        assert_eq!(post(hook, &number.to_string(), "alert", "{}").await, Some(202), "ten seats are enough");
    }
    let failing = |status: &Value| status["deadLetters"]["outputs"]["dead"]["lastError"].is_string();
    let status = engine.status_where("a failure that can be seen", failing).await;
    assert_balanced(&status);
    assert_eq!((waiting(&status), &status["deadLetters"]["stored"]), (COUNT as u64, &COUNT.into()));
    let named = |line: &str| line.contains("dead letters wait for their output") && line.contains("output=dead");
    engine.process().line("a line that names the output", named).await;
    engine.kill().await;

    let inbox = Inbox::open_at(dead).await;
    engine.start().await;
    // An attempt that took too long may have sent one twice.
    posted(&inbox, 0..COUNT).await;
    let status = engine.status_where("nothing waits", |status| waiting(status) == 0).await;
    assert_eq!(status["deadLetters"]["stored"], COUNT, "they stay until somebody removes them");
    assert!(engine.terminate().await.success());
    engine.start().await;
    assert_eq!(waiting(&engine.status().await), 0, "what is marked as forwarded is not sent again");
    assert_eq!(post(hook, "last", "alert", "{}").await, Some(202));
    let one = |status: &Value| status["deadLetters"]["outputs"]["dead"]["forwarded"] == 1;
    assert_eq!(waiting(&engine.status_where("one forwarded", one).await), 0);
    assert!(engine.terminate().await.success());
}

#[tokio::test]
async fn an_output_that_nothing_names_any_more_is_named_at_the_start() {
    let (hook, sink) = (port::free(), port::free());
    let mut engine = engine_to(hook, sink, "defaults: { deadLetter: sink }\n");
    engine.start().await;
    assert_eq!(post(hook, "1", "alert", "{}").await, Some(202));
    engine.kill().await;
    let without = std::fs::read_to_string(engine.folder().join("tidemill.yaml")).expect("it is there");
    engine.write("tidemill.yaml", &without.replace("defaults: { deadLetter: sink }", ""));
    engine.start().await;
    assert_eq!(engine.status().await["deadLetters"]["left"]["sink"], 1);
    assert!(engine.terminate().await.success());
}
