//! Kafka to Kafka at eight partitions: consume, map, produce with `acks=all`, commit what is confirmed.
//!
//! The raw loop has the settings of our source and output, and writes the messages that the engine writes: the payload alone,
//! or a CloudEvent with its attributes in headers. It commits what the engine commits: the offset up to which every result is
//! confirmed, once a second.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use testkit::kafka::{Config, Kafka};
use tokio::time::Instant;

use crate::contest::{Contest, Run, Side, say};
use crate::map::{map, payload};

const PARTITIONS: i32 = 8;
/// Messages in flight in the engine, so that a linger and a round trip do not bound it.
const SEATS: u32 = 50_000;
const SIZES: [(usize, u64); 2] = [(198, 300_000), (951, 150_000)];

/// Both payloads.
pub(crate) async fn take() -> (String, Vec<Contest>) {
    let broker = Kafka::start(Config::new()).await;
    let brokers = broker.address().to_string();
    let id = broker.process().id().expect("it runs");
    let mut contests = Vec::new();
    for ((size, events), mode) in SIZES.into_iter().flat_map(|sized| [(sized, "payload"), (sized, "binary")]) {
        let (from, to) = (format!("from-{size}-{mode}"), format!("to-{size}-{mode}"));
        broker.create_topic(&from, PARTITIONS, &[]).await;
        broker.create_topic(&to, PARTITIONS, &[]).await;
        let (brokers, from, to) = (brokers.as_str(), from.as_str(), to.as_str());
        load(brokers, from, size, events);
        let mut before = 0;
        let run = async |side, round| {
            let group = format!("{side:?}-{size}-{mode}-{round}");
            match side {
                Side::Engine => Run::Engine(yaml(brokers, from, to, mode, &group)),
                Side::Raw => {
                    let events = events.to_string();
                    Run::Raw(["raw", "kafka", brokers, from, to, mode, &group, &events].map(str::to_owned).into())
                }
            }
        };
        let check = async |side| {
            let now = count(brokers, to);
            assert_eq!(now - before, events, "{side:?} has written every result once");
            before = now;
        };
        let work = format!("Kafka, map, Kafka, {size} B, {mode}");
        contests.push(Contest::hold(&work, events, id, run, check).await);
    }
    let (_, library) = rdkafka::util::get_rdkafka_version();
    let log = broker.process().lines().all();
    let version = log.iter().find_map(|line| line.split_once("Kafka version: ")).map_or("unknown", |(_, rest)| rest);
    (format!("Kafka {version}, librdkafka {library}"), contests)
}

fn yaml(brokers: &str, from: &str, to: &str, mode: &str, group: &str) -> String {
    format!(
        "sources: {{ in: {{ kafka: {{ brokers: ['{brokers}'], topics: [{from}], group: {group} }}, seats: {SEATS} }} }}\n\
         functions: {{ map: {{ native: map, workers: {{ min: 1, max: 1 }} }} }}\n\
         outputs: {{ out: {{ kafka: {{ brokers: ['{brokers}'], topic: {to}, mode: {mode}, key: '{{kafkakey}}' }} }} }}\n\
         triggers: {{ t: {{ source: in, rules: {{ r: {{ function: map, output: out, order: none }} }} }} }}\n"
    )
}

fn client(brokers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers);
    config
}

/// The settings of our output.
fn producer(brokers: &str) -> ClientConfig {
    let mut config = client(brokers);
    config
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("compression.type", "lz4")
        .set("linger.ms", "5")
        .set("queue.buffering.max.kbytes", "65536")
        .set("partitioner", "murmur2_random");
    config
}

/// The settings of our source.
fn consumer(brokers: &str, group: &str) -> ClientConfig {
    let mut config = client(brokers);
    config
        .set("group.id", group)
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "true")
        .set("auto.commit.interval.ms", "1000")
        .set("enable.auto.offset.store", "false")
        .set("isolation.level", "read_committed")
        .set("fetch.queue.backoff.ms", "5")
        .set("queued.max.messages.kbytes", "4096")
        .set("fetch.message.max.bytes", (1 << 20).to_string())
        .set("fetch.max.bytes", (4 << 20).to_string())
        .set("receive.message.max.bytes", "2000000000");
    config
}

fn load(brokers: &str, topic: &str, size: usize, events: u64) {
    let producer: ThreadedProducer<Window> =
        producer(brokers).create_with_context(Window::default()).expect("a producer");
    for number in 0..events {
        let (key, payload) = (format!("veh-{:06}", number % 1000), payload(number, size));
        send(&producer, topic, key.as_bytes(), &payload, number as usize, false);
    }
    producer.flush(Duration::from_secs(60)).expect("everything is confirmed");
}

/// Messages of a topic that nobody deletes from.
fn count(brokers: &str, topic: &str) -> u64 {
    let consumer: BaseConsumer = client(brokers).create().expect("a consumer");
    let highest = |partition| {
        let (_, high) =
            consumer.fetch_watermarks(topic, partition, Duration::from_secs(20)).expect("the broker answers");
        high.unsigned_abs()
    };
    (0..PARTITIONS).map(highest).sum()
}

/// What was read and is not confirmed, by partition. The backlog begins at zero and has no gaps.
#[derive(Default)]
struct Window {
    confirmed: AtomicU64,
    partitions: [Mutex<Partition>; PARTITIONS as usize],
}

#[derive(Default)]
struct Partition {
    /// Everything below it is confirmed.
    next: u64,
    /// Whether those from there on are.
    open: VecDeque<bool>,
}

/// How many bits of an opaque number are the offset; the rest is the partition.
const OFFSET: u32 = 40;

impl ClientContext for Window {}

impl ProducerContext for Window {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        assert!(result.is_ok(), "a result was not written: {:?}", result.as_ref().err());
        let (partition, offset) = (number >> OFFSET, number as u64 & ((1 << OFFSET) - 1));
        let mut partition = self.partitions[partition].lock();
        let place = (offset - partition.next) as usize;
        if partition.open.len() <= place {
            partition.open.resize(place + 1, false);
        }
        partition.open[place] = true;
        while partition.open.pop_front_if(|done| *done).is_some() {
            partition.next += 1;
        }
        drop(partition);
        self.confirmed.fetch_add(1, Ordering::Release);
    }
}

fn send(producer: &ThreadedProducer<Window>, topic: &str, key: &[u8], payload: &[u8], number: usize, headers: bool) {
    let mut record = BaseRecord::with_opaque_to(topic, number).key(key).payload(payload);
    if headers {
        record = record.headers(cloud_event(key, number));
    }
    loop {
        match producer.send(record) {
            Ok(()) => return,
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                record = back;
                producer.poll(Duration::from_millis(1));
            }
            Err((cause, _)) => panic!("a message was refused: {cause}"),
        }
    }
}

/// The headers of the event that the engine makes of message `number`.
fn cloud_event(key: &[u8], number: usize) -> OwnedHeaders {
    let id = format!("from/{}/{}", number >> OFFSET, number & ((1 << OFFSET) - 1));
    let add = |headers: OwnedHeaders, (key, value): (&str, &[u8])| headers.insert(Header { key, value: Some(value) });
    let attributes: [(&str, &[u8]); 6] = [
        ("ce_specversion", b"1.0"),
        ("ce_id", id.as_bytes()),
        ("ce_source", b"kafka/from"),
        ("ce_type", b"kafka.message"),
        ("ce_partitionkey", key),
        ("content-type", b"application/json"),
    ];
    attributes.into_iter().fold(OwnedHeaders::new_with_capacity(6), add)
}

/// The raw loop.
pub(crate) fn raw(brokers: &str, (from, to): (&str, &str), mode: &str, group: &str, events: u64) {
    let headers = mode == "binary";
    let made = producer(brokers).create_with_context(Window::default());
    let producer: ThreadedProducer<Window> = made.expect("a producer");
    let consumer: BaseConsumer = consumer(brokers, group).create().expect("a consumer");
    consumer.subscribe(&[from]).expect("subscribed");
    let window = Arc::clone(producer.context());
    let (mut read, mut stored) = (0, Instant::now());
    while window.confirmed.load(Ordering::Acquire) < events {
        if let Some(message) = consumer.poll(Duration::from_millis(5)) {
            let message = message.expect("the broker stays");
            if read == 0 {
                say("first");
            }
            read += 1;
            let mapped = map(message.payload().unwrap_or_default()).expect("an object");
            let number = (message.partition() as usize) << OFFSET | message.offset() as usize;
            send(&producer, to, message.key().unwrap_or_default(), &mapped, number, headers);
        }
        if stored.elapsed() > Duration::from_millis(100) {
            store(&consumer, &window, from);
            stored = Instant::now();
        }
    }
    store(&consumer, &window, from);
    consumer.commit_consumer_state(CommitMode::Sync).expect("committed");
    say("finished");
    // The figures read this process's CPU time before it goes.
    loop {
        std::thread::park();
    }
}

fn store(consumer: &BaseConsumer, window: &Window, topic: &str) {
    let mut list = TopicPartitionList::new();
    for (number, partition) in (0..PARTITIONS).zip(&window.partitions) {
        let next = partition.lock().next;
        if next > 0 {
            list.add_partition_offset(topic, number, Offset::Offset(next as i64)).expect("an offset");
        }
    }
    if list.count() > 0 {
        consumer.store_offsets(&list).expect("the partitions are ours");
    }
}
