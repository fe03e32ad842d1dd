//! Against librdkafka's own mock of a cluster: what is sent, what is confirmed, and what an error means. The wire itself is
//! judged by an independent client in the integration tests.

mod succession;

use std::time::Duration;

use engine::event::Name;
use engine::metric::{Connection, Page};
use engine::port::Confirmations;
use futures_util::StreamExt as _;
use rdkafka::ClientConfig;
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::message::{Headers, Message, OwnedMessage};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::RDKafkaRespErr;

use super::*;
use crate::tests::{HOP, ORIGIN, complaints, event, open, publish, setup, traced};

fn cluster() -> MockCluster<'static, DefaultProducerContext> {
    MockCluster::new(1).expect("a mock cluster")
}

fn options(cluster: &MockCluster<'_, DefaultProducerContext>, more: &str) -> String {
    format!(r#"{{"brokers":["{}"],"topic":"alerts","linger":"0ms"{more}}}"#, cluster.bootstrap_servers())
}

async fn consume(cluster: &MockCluster<'_, DefaultProducerContext>, topic: &str, count: usize) -> Vec<OwnedMessage> {
    let consumer: StreamConsumer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap_servers())
        // A group of its own, so that nobody waits for a member that has gone.
        .set("group.id", topic)
        .set("auto.offset.reset", "earliest")
        .create()
        .unwrap();
    consumer.subscribe(&[topic]).unwrap();
    consumer.stream().take(count).map(|message| message.unwrap().detach()).collect().await
}

fn headers(message: &OwnedMessage) -> Vec<String> {
    let headers = message.headers().unwrap();
    let text = |value: Option<&[u8]>| String::from_utf8(value.unwrap().to_vec()).unwrap();
    headers.iter().map(|header| format!("{}={}", header.key, text(header.value))).collect()
}

/// Nothing here takes long; whoever waits longer waits for ever.
const LONG: Duration = Duration::from_secs(120);

/// How many numbers a producer with little room may hold.
const ROOM: usize = 10;

/// A producer with little room and one key, so that everything is in one partition in its order.
fn producer(cluster: &MockCluster<'_, DefaultProducerContext>, setup: &Setup) -> Arc<Producer> {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", cluster.bootstrap_servers())
        .set("queue.buffering.max.messages", ROOM.to_string())
        .set("enable.idempotence", "true")
        .set("statistics.interval.ms", "100");
    let reports = Reports::new("alerts".into(), cluster.bootstrap_servers(), setup.link.clone(), None);
    let mut check = Check::default();
    let typed = |text: &str| engine::config::Spanned::new(text.to_owned(), Default::default());
    let form = Form {
        topic: crate::message::Template::compile(&typed("alerts"), &mut check),
        key: crate::message::Template::compile(&typed("same"), &mut check),
        mode: crate::message::Mode::Binary,
    };
    Producer::start(&config, reports, form).unwrap_or_else(|error| panic!("{error}"))
}

/// Publishes numbers and answers what became of each, in their order.
async fn send(producer: &Producer, numbers: std::ops::Range<usize>) -> Vec<(usize, Result<(), PublishError>)> {
    let mut confirmations = Confirmations::default();
    for number in numbers {
        let confirm = producer.publish(&event("low", number.to_string()), confirmations.offer());
        let Confirm::Later(promise) = confirm else { panic!("known before it was sent") };
        confirmations.expect(&promise, number);
    }
    let mut answers = Vec::new();
    let all = async {
        while !confirmations.is_empty() {
            confirmations.next(&mut answers).await;
        }
    };
    tokio::time::timeout(LONG, all).await.expect("this waits for ever");
    answers.sort_by_key(|(number, _)| *number);
    answers
}

async fn closed(producer: Arc<Producer>, patience: Duration) -> Result<(), PublishError> {
    tokio::task::spawn_blocking(move || producer.close(patience)).await.unwrap()
}

async fn payloads(cluster: &MockCluster<'_, DefaultProducerContext>, count: usize) -> Vec<usize> {
    let messages = consume(cluster, "alerts", count).await;
    let text = |message: &OwnedMessage| String::from_utf8_lossy(message.payload().unwrap()).into_owned();
    messages.iter().map(|message| text(message).parse().unwrap()).collect()
}

#[tokio::test]
async fn a_binary_message_has_the_event_in_its_headers() {
    let cluster = cluster();
    let setup = setup("alerts", &Page::default());
    let output =
        open(&Kafka, &options(&cluster, r#","topic":"alerts.{type}""#).replacen(r#""topic":"alerts","#, "", 1), &setup);
    let output = output.unwrap_or_else(|error| panic!("{error}"));
    let event = event("low", r#"{"v":1.0}"#)
        .with_extension(Name::new("partitionkey").unwrap(), "veh-1")
        .with_subject("50 %".into());
    assert_eq!(publish(output.as_ref(), &event).await, Ok(()));
    let messages = consume(&cluster, "alerts.low", 1).await;
    assert_eq!(
        headers(&messages[0]),
        [
            "ce_specversion=1.0",
            "ce_id=7",
            "ce_source=/test",
            "ce_type=low",
            "ce_subject=50 %",
            "ce_partitionkey=veh-1",
            "content-type=application/json"
        ]
    );
    assert_eq!((messages[0].key(), messages[0].payload()), (Some(&b"veh-1"[..]), Some(&br#"{"v":1.0}"#[..])));
    assert_eq!(output.close().await, Ok(()));
    assert_eq!(setup.link.read().connection, Connection::Stopped);
}

#[tokio::test]
async fn a_structured_message_is_the_event_and_a_tombstone_has_no_payload() {
    let cluster = cluster();
    let structured =
        open(&Kafka, &options(&cluster, r#","mode":"structured","key":"{subject}""#), &setup("a", &Page::default()));
    let structured = structured.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(publish(structured.as_ref(), &event("low", "1")).await, Ok(()));
    let binary = open(&Kafka, &options(&cluster, ""), &setup("b", &Page::default()));
    let binary = binary.unwrap_or_else(|error| panic!("{error}"));
    let bare = Event::new("8".into(), "/test".into(), "low".into()).unwrap();
    assert_eq!(publish(binary.as_ref(), &bare).await, Ok(()));
    let mut messages = consume(&cluster, "alerts", 2).await;
    messages.sort_by_key(|message| message.payload().is_none());
    assert_eq!(headers(&messages[0]), ["content-type=application/cloudevents+json"]);
    assert_eq!(messages[0].key(), None, "the event has no subject");
    let read = engine::event::json::decode(&messages[0].payload().unwrap().to_vec().into()).unwrap();
    assert_eq!(read, event("low", "1"));
    assert_eq!((messages[1].payload(), headers(&messages[1]).len()), (None, 4));
}

#[tokio::test]
async fn the_data_alone_has_no_header_and_no_event_says_where_another_message_stood() {
    let cluster = cluster();
    let [alone, binary] = ["payload", "binary"].map(|mode| {
        let output = open(&Kafka, &options(&cluster, &format!(r#","mode":"{mode}""#)), &setup(mode, &Page::default()));
        output.unwrap_or_else(|error| panic!("{error}"))
    });
    let event = ["kafkatopic", "kafkapartition", "kafkaoffset", "kafkakey", "kafkakeybase64", "kafkaesque"]
        .into_iter()
        .fold(event("low", "1"), |event, name| event.with_extension(Name::new(name).unwrap(), "x"));
    for output in [&alone, &binary] {
        assert_eq!(publish(output.as_ref(), &event).await, Ok(()));
    }
    let mut messages = consume(&cluster, "alerts", 2).await;
    messages.sort_by_key(|message| message.headers().is_some());
    assert_eq!((messages[0].payload(), messages[0].headers().is_none()), (Some(&b"1"[..]), true));
    let kafka: Vec<_> = headers(&messages[1]).into_iter().filter(|header| header.contains("kafka")).collect();
    assert_eq!(kafka, ["ce_kafkaesque=x"]);
}

#[tokio::test]
async fn the_trace_goes_on_in_headers_of_its_own() {
    let cluster = cluster();
    for mode in ["binary", "structured", "payload"] {
        let given = options(&cluster, &format!(r#","mode":"{mode}""#)).replace("alerts", mode);
        let output = open(&Kafka, &given, &setup(mode, &Page::default())).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(publish(output.as_ref(), &traced(event("low", "1"))).await, Ok(()));
        let sent = consume(&cluster, mode, 1).await;
        let trace: Vec<_> = headers(&sent[0]).into_iter().filter(|header| header.contains("trace")).collect();
        let attribute = (mode == "binary").then(|| format!("ce_traceparent={ORIGIN}"));
        let expected = [format!("traceparent={HOP}"), "tracestate=rojo=1,\tcongo=a b".to_owned()];
        assert_eq!(trace, attribute.into_iter().chain(expected).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn what_can_never_be_sent_is_rejected_and_the_rest_is_retried() {
    let cluster = cluster();
    let setup = setup("alerts", &Page::default());
    let more = r#","topic":"{subject}","maxMessageSize":"1000B","timeout":"1s""#;
    let given = options(&cluster, more).replacen(r#""topic":"alerts","#, "", 1);
    let output = open(&Kafka, &given, &setup).unwrap_or_else(|error| panic!("{error}"));
    let refused = |event: Event| {
        let output = &output;
        async move { publish(output.as_ref(), &event).await.unwrap_err() }
    };
    for (event, part) in [
        (event("low", "1"), "no attribute 'subject', which topic: needs"),
        (event("low", "1").with_subject("a b".into()), "'a b' is no legal topic"),
        (event("low", "x".repeat(2000)).with_subject("alerts".into()), "raise maxMessageSize"),
    ] {
        let PublishError::Reject { reason } = refused(event).await else { panic!("{part}") };
        assert!(reason.contains(part), "{reason}");
    }
    cluster.topic_error("denied", RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED).unwrap();
    let PublishError::Retry { error, .. } = refused(event("low", "1").with_subject("denied".into())).await else {
        panic!()
    };
    assert!(error.contains("topic 'denied'") && error.contains(&cluster.bootstrap_servers()), "{error}");
    cluster.broker_down(1).unwrap();
    let PublishError::Retry { error, .. } = refused(event("low", "1").with_subject("alerts".into())).await else {
        panic!()
    };
    assert!(error.contains("topic 'alerts'"), "{error}");
}

#[tokio::test]
async fn what_librdkafka_has_no_room_for_waits_in_order() {
    let cluster = cluster();
    let producer = producer(&cluster, &setup("a", &Page::default()));
    let answers = send(&producer, 0..1000).await;
    assert!(answers.iter().all(|(_, outcome)| outcome.is_ok()), "{answers:?}");
    assert_eq!(payloads(&cluster, 1000).await, (0..1000).collect::<Vec<_>>());
    assert_eq!(closed(producer, LONG).await, Ok(()));
}

#[tokio::test]
async fn an_event_that_is_larger_than_what_is_usually_held_is_sent_before_those_behind_it() {
    let cluster = cluster();
    let given = options(&cluster, r#","maxMessageSize":"70000000B""#);
    let output = open(&Kafka, &given, &setup("a", &Page::default())).unwrap_or_else(|error| panic!("{error}"));
    let large = event("low", "x".repeat(66 << 20));
    let small = event("low", "2");
    let both = async { tokio::join!(publish(output.as_ref(), &large), publish(output.as_ref(), &small)) };
    let confirmed = tokio::time::timeout(LONG, both).await;
    assert_eq!(confirmed.expect("this waits for ever"), (Ok(()), Ok(())));
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let said = |more: &str| complaints(&Kafka, &format!(r#"{{"brokers":["a:1"]{more}}}"#)).join("; ");
    assert_eq!(said(r#","topic":"alerts.{type}","key":"{subject}","compression":"zstd""#), "");
    let all = said(r#","topic":"a b{Type}","key":"","linger":"2s","timeout":"1ms","maxMessageSize":"1B""#);
    for part in ["'Type' is no attribute name", "the key is empty", "'linger'", "'timeout'", "'maxMessageSize'"] {
        assert!(all.contains(part), "{part}: {all}");
    }
    assert!(said(r#","topic":"a b""#).contains("a topic cannot hold ' '"));
    assert!(said(r#","topic":"""#).contains("the topic is empty"));
}
