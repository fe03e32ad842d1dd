//! The examples as they stand in the repository, with nothing replaced but addresses: what their comments promise happens.
//! Those of MQTT, NATS and AMQP are tested beside their connectors, that of the vehicles is what the demo runs.

use std::path::Path;

use serde_json::Value;
use testkit::http::{self, Inbox};
use testkit::kafka;
use testkit::kcat::Kcat;
use testkit::patience::until;
use testkit::port;
use testkit::tidemill::Tidemill;

use crate::outcome::PROGRAM;

/// An engine of an example in which each of the addresses, which it must name, is another.
fn engine(example: &str, addresses: &[(&str, &str)]) -> Tidemill {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(example).join("tidemill.yaml");
    let mut yaml = std::fs::read_to_string(path).expect("the example can be read");
    for (theirs, ours) in addresses {
        assert!(yaml.contains(theirs), "{example} names {theirs}");
        yaml = yaml.replace(theirs, ours);
    }
    Tidemill::new(PROGRAM, &yaml)
}

/// Waits for so many events in a file of the engine.
async fn written(engine: &Tidemill, file: &str, count: usize) -> Vec<Value> {
    until(&format!("{count} events in {file}"), async || {
        let content = std::fs::read_to_string(engine.folder().join(file)).unwrap_or_default();
        let events: Vec<_> = content.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        (events.len() >= count).then_some(events)
    })
    .await
}

#[tokio::test]
async fn kafka_copies_orders() {
    let broker = kafka::shared().await;
    let kcat = Kcat::new(broker.address());
    kcat.produce("orders", &["-k", "customer-7"], &["{\"id\":\"o-1\",\"amount\":1200}"]).await;
    let mut engine = engine("kafka", &[("localhost:9092", &broker.address().to_string())]);
    engine.start().await;
    assert_eq!(written(&engine, "orders.jsonl", 1).await[0]["id"], "o-1");
    // Its topic is there as soon as something is in it.
    engine.status_where("the copy", |status| status["rules"]["orders/copy"]["done"] == 1).await;
    let copy = &kcat.consume("orders.seen").await[0];
    let expected = (Some("customer-7"), Some("{\"id\":\"o-1\",\"amount\":1200}"));
    assert_eq!((copy.key.as_deref(), copy.payload.as_deref()), expected);
    assert!(copy.headers.contains(&("ce_type".to_owned(), "com.example.order".to_owned())), "{:?}", copy.headers);
    assert!(engine.terminate().await.success());
}

#[tokio::test]
async fn http_keeps_hooks_and_posts_orders_on() {
    let (address, next) = (port::free(), Inbox::open().await);
    let addresses = [("127.0.0.1:8080", address.to_string()), ("127.0.0.1:8081", next.address().to_string())];
    let mut engine = engine("http", &addresses.each_ref().map(|(theirs, ours)| (*theirs, ours.as_str())));
    engine.start().await;
    let order = [("ce-specversion", "1.0"), ("ce-id", "e-1"), ("ce-type", "order.placed"), ("ce-source", "/shop")];
    for (headers, body) in [(&[("content-type", "application/json")][..], "{\"order\": 17}"), (&order, "{}")] {
        let answer = http::request(address, "POST", "/hooks/acme", headers, body).await.expect("an answer");
        assert_eq!(answer.status, 202, "{}", answer.body);
    }
    let kept = written(&engine, "hooks.jsonl", 2).await;
    assert_eq!((&kept[0]["type"], &kept[1]["type"]), (&"com.example.hook".into(), &"order.placed".into()));
    let posted = next.posted(1).await;
    assert!(posted[0].0.contains(&("ce-id".to_owned(), "e-1".to_owned())), "{posted:?}");
    assert_eq!(posted.len(), 1, "only what is an order is posted on");
    assert!(engine.terminate().await.success());
}

#[tokio::test]
async fn cron_is_fired_by_hand() {
    let mut engine = engine("cron", &[]);
    engine.start().await;
    let answer = engine.post("/v1/sources/nightly/fire", "").await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let id = answer.json()["id"].as_str().expect("the answer says which event it is").to_owned();
    let line = engine.process().line("the event", |line| line.contains(&id)).await;
    assert!(line.contains("com.example.nightly /cron/nightly"), "{line}");
    assert!(engine.terminate().await.success());
}

/// The script as it stands, beside configurations with other ports, and the example's program.
#[tokio::test]
async fn the_story_of_the_dead_letters_comes_to_its_end() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/dead-letters");
    let program = Path::new(PROGRAM).with_file_name("examples").join("dead-letters");
    assert!(program.exists(), "{} is not there; 'cargo build --examples' makes it", program.display());
    let folder = tempfile::tempdir().expect("a temporary folder");
    let ports = [8080, 8081, 7411, 7412].map(|theirs| (format!("127.0.0.1:{theirs}"), port::free().to_string()));
    for file in ["story.sh", "tidemill.yaml", "workshop.yaml"] {
        let text = std::fs::read_to_string(example.join(file)).expect("the example can be read");
        let text = ports.iter().fold(text, |text, (theirs, ours)| text.replace(theirs, ours));
        std::fs::write(folder.path().join(file), text).expect("the folder is writable");
    }
    let mut story = tokio::process::Command::new("bash");
    let output = story.arg("story.sh").env("TIDEMILL", program).current_dir(folder.path()).kill_on_drop(true);
    let output = output.output().await.expect("bash can be started");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    // What is in the letters' table, in the account of one, in both files, in the account of the other, and at the end.
    let told = [
        "VIN 'WVWZZZ1JZXWOOOOO2' has a 'O', which no VIN has",
        "given up (exhausted) at attempt to publish 3 of 3",
        "\"subject\":\"WVWZZZ1JZXW000002\"",
        "com.example.battery.low",
        "given up (rejected) at attempt 1 of 5",
        "no dead letters",
    ];
    let mut rest: &str = &said;
    for words in told {
        let at = rest.find(words).unwrap_or_else(|| panic!("'{words}' is told, and in its turn:\n{said}"));
        rest = &rest[at + words.len()..];
    }
}
