//! Every source with every output: one engine, twenty-five rules without a function. What clients that share nothing with
//! the engine have sent is what they read at the other end: attributes, extensions, and payloads byte by byte. The trace
//! context of a hop goes on in the protocols' own headers, and an event's own trace stays what it was. Every source spools, so
//! that what lies on the disk meanwhile is judged too.

// Clients that send events by each protocol.
mod sending;
// Clients that read events from each protocol.
mod reading;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;

use testkit::kafka;
use testkit::mosquitto::{self, Mosquitto};
use testkit::nats::{self, Nats};
use testkit::rabbitmq;
use testkit::tidemill::Tidemill;
use testkit::{patience, port};

use crate::outcome::{PROGRAM, assert_balanced, idle};

/// The protocols, in the order of the table.
const KINDS: [&str; 5] = ["mqtt", "kafka", "nats", "amqp", "http"];

/// Where the way of some events began, and the hop that brings some to the engine.
const ORIGIN: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const HOP: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

/// An event in binary mode as anybody can write and read it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Plain {
    /// `id`, `type` and so on, the extensions too.
    attributes: BTreeMap<String, String>,
    /// The header `traceparent` of the message; in MQTT that is the attribute.
    hop: Option<String>,
    content_type: String,
    data: Vec<u8>,
}

impl Plain {
    /// The events that one source is sent. Their ids say which source that was.
    fn all(from: &str) -> Vec<Self> {
        let every_byte: Vec<u8> = (0..=255).collect();
        let samples: [(&str, &str, Vec<u8>); 5] = [
            (
                "json",
                "application/json",
                "{\"b\": 1.10,  \"a\":[12345678901234567890123], \"\u{e9}\":\"\\u00e9\"}".into(),
            ),
            ("bytes", "application/octet-stream", every_byte.clone()),
            ("large", "application/octet-stream", every_byte.repeat(256)),
            ("text", "text/plain; charset=utf-8", "a line\r\nand a tide\u{1f30a}\n".into()),
            ("broken", "application/json", b"{\"not\": \xff json".to_vec()),
        ];
        let sample = |(name, content_type, data): (&str, &str, Vec<u8>)| {
            let attributes = [
                ("specversion", "1.0"),
                ("id", &format!("{from}.{name}")),
                ("source", "/matrix"),
                ("type", "org.example.sample"),
                ("subject", "veh-1"),
                ("time", "2026-11-21T06:58:00.120Z"),
                ("tenant", "50 % of \u{e9}"),
                ("partitionkey", "key-1"),
            ];
            let (own, hop) = match name {
                "json" => (Some(ORIGIN), Some(HOP)),
                "bytes" => (Some(ORIGIN), None),
                "text" => (None, Some(HOP)),
                _ => (None, None),
            };
            let attributes = attributes.into_iter().chain(own.map(|own| ("traceparent", own)));
            let attributes = attributes.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            let hop = hop.filter(|_| from != "mqtt" || own.is_none()).map(str::to_owned);
            Self { attributes, hop, content_type: content_type.to_owned(), data }
        };
        samples.map(sample).into()
    }

    fn id(&self) -> &str {
        &self.attributes["id"]
    }

    /// What it should be at the output `to`: an event without a trace has taken the hop's.
    fn at(mut self, to: &str) -> Self {
        let own = self.attributes.get("traceparent").cloned();
        if let Some(origin) = own.or_else(|| self.hop.clone()) {
            self.hop = (to != "mqtt").then(|| self.hop.unwrap_or_else(|| origin.clone()));
            self.attributes.insert("traceparent".to_owned(), origin);
        }
        self
    }

    /// Whether `other` is this event, apart from the facts of transport that were added on its way.
    fn is_in(&self, other: &Self) -> bool {
        let kept = self.attributes.iter().all(|(name, value)| other.attributes.get(name) == Some(value));
        let untraced = self.attributes.contains_key("traceparent") || !other.attributes.contains_key("traceparent");
        kept && untraced && self.hop == other.hop && self.content_type == other.content_type && self.data == other.data
    }
}

/// The brokers, and the places of one run.
struct Places {
    mqtt: Mosquitto,
    kafka: &'static kafka::Shared,
    nats: Nats,
    amqp: &'static rabbitmq::Shared,
    http: SocketAddr,
    topics: [String; 2],
    queues: [String; 2],
}

impl Places {
    async fn open() -> Self {
        let (kafka, amqp) = (kafka::shared().await, rabbitmq::shared().await);
        let places = Self {
            mqtt: Mosquitto::start(mosquitto::Config::profile()).await,
            kafka,
            nats: Nats::start(nats::Config::new()).await,
            amqp,
            http: port::free(),
            topics: [kafka.topic(1, &[]).await, kafka.topic(1, &[]).await],
            queues: [amqp.name(), amqp.name()],
        };
        let (mut peer, rabbit) = (places.nats.peer().await, amqp.peer().await);
        peer.stream("IN", &["in.>"]).await;
        peer.stream("OUT", &["out.>"]).await;
        for queue in &places.queues {
            rabbit.declare(queue, "classic").await;
        }
        places
    }

    /// One engine with a rule from every source, through its spool, to every output; `inbox` is where its HTTP output posts.
    fn engine(&self, inbox: SocketAddr) -> Tidemill {
        let (mqtt, nats, amqp) = (self.mqtt.url(), self.nats.url(), self.amqp.url());
        let (kafka, http) = (self.kafka.address(), self.http);
        let ([from_topic, to_topic], [from_queue, to_queue]) = (&self.topics, &self.queues);
        let mut yaml = format!(
            "sources:
  mqtt: {{ mqtt: {{ url: \"{mqtt}\", topics: [in] }} }}
  kafka: {{ kafka: {{ brokers: [\"{kafka}\"], topics: [{from_topic}], group: {from_topic} }}, ack: spooled }}
  nats: {{ nats: {{ url: \"{nats}\", subjects: [\"in.*\"], stream: IN, durable: mill, create: {{}} }}, ack: spooled }}
  amqp: {{ amqp: {{ url: \"{amqp}\", queue: {from_queue} }}, ack: spooled }}
  http: {{ http: {{ listen: \"{http}\" }} }}
outputs:
  mqtt: {{ mqtt: {{ url: \"{mqtt}\", topic: out }} }}
  kafka: {{ kafka: {{ brokers: [\"{kafka}\"], topic: {to_topic} }} }}
  nats: {{ nats: {{ url: \"{nats}\", subject: \"out.events\" }} }}
  amqp: {{ amqp: {{ url: \"{amqp}\", routingKey: {to_queue} }} }}
  http: {{ http: {{ url: \"http://{inbox}/\" }} }}
triggers:
"
        );
        for from in KINDS {
            let _ = writeln!(yaml, "  {from}:\n    source: {from}\n    rules:");
            for to in KINDS {
                let _ = writeln!(yaml, "      {to}: {{ output: {to} }}");
            }
        }
        Tidemill::new(PROGRAM, &yaml)
    }
}

#[tokio::test]
async fn every_event_of_every_source_is_the_same_at_every_output() {
    let places = Places::open().await;
    let mut readers = reading::Readers::open(&places).await;
    let mut engine = places.engine(readers.inbox());
    engine.start().await;
    for from in KINDS {
        sending::send(&places, from, &Plain::all(from)).await;
    }
    let expected: Vec<Plain> = KINDS.iter().flat_map(|from| Plain::all(from)).collect();
    let mut table = format!("| from \\ to | {} |\n|---|{}\n", KINDS.join(" | "), "---|".repeat(KINDS.len()));
    let received = readers.read(expected.len()).await;
    let mut wrong = Vec::new();
    for from in KINDS {
        let cell = |to: &&str| {
            let sent: Vec<_> = Plain::all(from).into_iter().map(|sent| sent.at(to)).collect();
            let same = sent.iter().filter(|sent| received[*to].has(sent)).count();
            if same < sent.len() {
                wrong.push(format!("{from} to {to}: {}", received[*to].about(&sent)));
            }
            format!("{same} of {}", sent.len())
        };
        let cells: Vec<_> = KINDS.iter().map(cell).collect();
        let _ = writeln!(table, "| {from} | {} |", cells.join(" | "));
    }
    println!("events that are byte for byte the same:\n{table}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(
        received.values().all(|received| received.count() == expected.len()),
        "nothing comes twice or from nowhere"
    );
    assert_balanced(&idle(&engine).await);
    assert!(engine.terminate().await.success());
    patience::within("the readers to end", readers.close()).await;
}
