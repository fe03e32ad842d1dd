//! Offsets that no message has, where a group begins, and what waits for it.

use std::sync::Arc;

use connectors::kafka::{Group, Kafka, Options};
use engine::config::{EventTemplate, Spanned};
use engine::metric::{Link, Page};
use engine::port::SystemClock;
use engine::registry::{Setup, SourceCommon};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use testkit::kafka;
use testkit::patience::{LIMIT, until};

use super::*;

/// The group of a source as it is looked at from outside.
fn group(broker: SocketAddr, topic: &str, more: &str) -> Group {
    let options = format!("{{\"brokers\":[\"{broker}\"],\"topics\":[\"{topic}\"]{more}}}");
    let options: Options = serde_json::from_str(&options).expect("sound options");
    let common = SourceCommon {
        name: Spanned::new("orders".into(), Default::default()),
        ack: None,
        event: EventTemplate::default(),
        seats: 200,
    };
    let setup = Setup {
        name: "orders".into(),
        instance: "outside".into(),
        seats: 200,
        state: None,
        clock: Arc::new(SystemClock),
        link: Link::default(),
        page: Page::default(),
    };
    Kafka::group(&options, &common, &setup).unwrap_or_else(|error| panic!("{error}"))
}

/// What waits for a group, as soon as a broker says it.
async fn waits(group: &Group) -> Option<u64> {
    until("an answer about what waits", async || group.lag().await.ok()).await
}

/// Sends numbers in transactions of ten, of which every third is aborted, and answers the numbers of the others.
fn transactions(broker: SocketAddr, topic: &str, numbers: std::ops::Range<usize>) -> Vec<usize> {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", broker.to_string())
        .set("transactional.id", format!("sender-of-{topic}-{}", numbers.start))
        .create()
        .expect("a producer");
    let wait = LIMIT;
    producer.init_transactions(wait).expect("transactions");
    let mut sent = Vec::new();
    for (count, chunk) in numbers.collect::<Vec<_>>().chunks(10).enumerate() {
        producer.begin_transaction().expect("a transaction");
        for number in chunk {
            let (key, payload) = (number.to_string(), format!("{{\"id\":\"{number}\"}}"));
            producer.send(BaseRecord::to(topic).key(&key).payload(&payload)).map_err(|(cause, _)| cause).expect("room");
        }
        if count % 3 == 2 {
            producer.flush(wait).expect("a flush");
            producer.abort_transaction(wait).expect("an end");
        } else {
            producer.commit_transaction(wait).expect("an end");
            sent.extend(chunk);
        }
    }
    sent
}

#[tokio::test]
async fn markers_of_transactions_stall_nothing_and_what_was_aborted_is_not_read() {
    let broker = kafka::shared().await;
    let topic = broker.topic(3, &[]).await;
    let mut engine = engine(broker.address(), &topic, &["group: transactions"]);
    engine.start().await;
    let (address, name) = (broker.address(), topic.clone());
    let sent = tokio::task::spawn_blocking(move || transactions(address, &name, 0..300)).await.expect("they are sent");
    let read = within("every committed message", async {
        loop {
            let ids = ids(&engine);
            if sent.iter().all(|number| ids.contains_key(&number.to_string())) {
                return ids;
            }
            tokio::time::sleep(RETRY).await;
        }
    })
    .await;
    assert_eq!(read.len(), sent.len());
    // The end of each partition is a marker, and still nothing waits.
    engine.status_where("no lag", |status| status["sources"]["orders"]["lag"] == 0).await;
    let heard = stopped(&mut engine).await;
    engine.start().await;
    send(&Kcat::new(address), &topic, 1000..1001).await;
    let ids = file_has(&engine, 1000..1001).await;
    assert!(engine.terminate().await.success());
    assert!(repeated(&ids) == 0 || !heard, "everything before the markers had been committed");
}

#[tokio::test]
async fn what_compaction_has_removed_stalls_nothing() {
    let broker = kafka::Kafka::start(kafka::Config::new().line("log.cleaner.backoff.ms=100")).await;
    let settings = [("cleanup.policy", "compact"), ("min.cleanable.dirty.ratio", "0.01"), ("segment.bytes", "1048576")];
    broker.create_topic("compacted", 1, &settings).await;
    let kcat = Kcat::new(broker.address());
    let filler = "x".repeat(1000);
    for round in 0..5 {
        let lines: Vec<_> = (0..600)
            .map(|number| format!("k{}|{{\"id\":\"{}\",\"f\":\"{filler}\"}}", number % 100, round * 600 + number))
            .collect();
        kcat.produce("compacted", &["-K", "|", "-X", "batch.num.messages=10"], &lines).await;
    }
    let left = within("compaction", async {
        loop {
            let left = kcat.consume("compacted").await;
            if left.len() < 2500 {
                return left;
            }
        }
    })
    .await;
    let gaps = left.windows(2).filter(|pair| pair[1].offset != pair[0].offset + 1).count();
    assert!(gaps > 0 || left[0].offset > 0, "compaction leaves gaps");
    let mut engine = engine(broker.address(), "compacted", &[]);
    engine.start().await;
    file_has(&engine, 2999..3000).await;
    engine.status_where("no lag", |status| status["sources"]["orders"]["lag"] == 0).await;
    let heard = stopped(&mut engine).await;
    let left = waits(&group(broker.address(), "compacted", "")).await;
    assert!(left == Some(0) || !heard, "{left:?}");
}

#[tokio::test]
async fn a_group_begins_where_it_is_told_and_then_where_it_stands() {
    let broker = kafka::shared().await;
    let kcat = Kcat::new(broker.address());
    let topic = broker.topic(2, &[]).await;
    send(&kcat, &topic, 0..10).await;
    let mut latest = engine(broker.address(), &topic, &["group: latest", "initialOffset: latest"]);
    latest.start().await;
    // Its beginning is committed at once, so it does not move when it dies before the first message.
    within("the first commit", async {
        let group = group(broker.address(), &topic, ",\"group\":\"latest\",\"initialOffset\":\"earliest\"");
        while waits(&group).await != Some(0) {
            tokio::time::sleep(RETRY).await;
        }
    })
    .await;
    latest.kill().await;
    send(&kcat, &topic, 10..20).await;
    latest.start().await;
    let ids = file_has(&latest, 10..20).await;
    assert_eq!(ids.len(), 10, "{ids:?}");
    assert!(latest.terminate().await.success());

    let mut since = engine(broker.address(), &topic, &["group: since", "initialOffset: \"2001-01-01T00:00:00Z\""]);
    since.start().await;
    assert_eq!(file_has(&since, 0..20).await.len(), 20);
    assert!(since.terminate().await.success());
    let mut future = engine(broker.address(), &topic, &["group: future", "initialOffset: \"2999-01-01T00:00:00Z\""]);
    future.start().await;
    send(&kcat, &topic, 20..30).await;
    assert_eq!(file_has(&future, 20..30).await.len(), 10);
    assert!(future.terminate().await.success());
}

#[tokio::test]
async fn what_waits_is_known_without_a_member() {
    let broker = kafka::shared().await;
    let kcat = Kcat::new(broker.address());
    let topic = broker.topic(3, &[]).await;
    send(&kcat, &topic, 0..100).await;
    let earliest = group(broker.address(), &topic, "");
    let latest = group(broker.address(), &topic, ",\"group\":\"nobody\",\"initialOffset\":\"latest\"");
    assert_eq!(waits(&earliest).await, Some(100));
    assert_eq!(waits(&latest).await, Some(0));
    let mut engine = engine(broker.address(), &topic, &[]);
    engine.start().await;
    file_has(&engine, 0..100).await;
    let heard = stopped(&mut engine).await;
    let left = waits(&earliest).await;
    assert!(left == Some(0) || !heard, "{left:?}");
    send(&kcat, &topic, 100..142).await;
    assert_eq!(waits(&earliest).await, left.map(|left| left + 42));
    assert_eq!(waits(&group(broker.address(), "no-such-topic", "")).await, None);
}
