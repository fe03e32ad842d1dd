//! Clients that read events in binary mode, each as the protocol's binding writes them.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;

use testkit::client::{Acks, Settings, Subscriber};
use testkit::http::Inbox;
use testkit::kcat::Kcat;
use testkit::nats;
use testkit::patience::until;

use super::{KINDS, Places, Plain};

/// A reader at every output.
pub(super) struct Readers<'p> {
    places: &'p Places,
    mqtt: Subscriber,
    nats: nats::Peer,
    http: Inbox,
}

/// What has come to one output.
pub(super) struct Received(Vec<Plain>);

impl Received {
    pub(super) fn has(&self, event: &Plain) -> bool {
        self.0.iter().any(|other| event.is_in(other))
    }

    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// What came instead of events that should have.
    pub(super) fn about(&self, events: &[Plain]) -> String {
        let missing = events.iter().filter(|event| !self.has(event));
        let about = missing.map(|event| {
            let same = self.0.iter().find(|other| other.attributes.get("id") == event.attributes.get("id"));
            let came = same.map(|same| {
                (&same.attributes, &same.hop, &same.content_type, same.data.len(), same.data == event.data)
            });
            format!("{} came as {came:?}", event.id())
        });
        about.collect::<Vec<_>>().join("; ")
    }
}

impl<'p> Readers<'p> {
    pub(super) async fn open(places: &'p Places) -> Self {
        let settings = Settings::new(places.mqtt.address(), "reader");
        let mut nats = places.nats.peer().await;
        nats.follow("OUT").await;
        Self {
            places,
            mqtt: Subscriber::connect(settings, &["out"], Acks::AtOnce).await,
            nats,
            http: Inbox::open().await,
        }
    }

    /// Where the HTTP output posts.
    pub(super) fn inbox(&self) -> SocketAddr {
        self.http.address()
    }

    /// Waits for so many events at every output.
    pub(super) async fn read(&mut self, count: usize) -> HashMap<&'static str, Received> {
        let mut received = HashMap::new();
        for kind in KINDS {
            let events = match kind {
                "mqtt" => self.mqtt(count).await,
                "kafka" => self.kafka(count).await,
                "nats" => self.nats(count).await,
                "amqp" => self.amqp(count).await,
                _ => self.http(count).await,
            };
            received.insert(kind, Received(events));
        }
        received
    }

    async fn mqtt(&self, count: usize) -> Vec<Plain> {
        self.mqtt.deliveries(count).await;
        let plain = |message: testkit::client::Message| Plain {
            attributes: message.user_properties.into_iter().collect(),
            hop: None,
            content_type: message.content_type.unwrap_or_default(),
            data: message.payload.into(),
        };
        self.mqtt.received().into_iter().map(plain).collect()
    }

    async fn kafka(&self, count: usize) -> Vec<Plain> {
        let kcat = Kcat::new(self.places.kafka.address());
        let records = until("every event in the topic", async || {
            let records = kcat.consume_bytes(&self.places.topics[1]).await;
            (records.len() >= count).then_some(records)
        });
        let plain = |(headers, data): (Vec<_>, _)| Plain { data, ..by_prefix(&headers, "ce_", str::to_owned) };
        records.await.into_iter().map(plain).collect()
    }

    async fn nats(&mut self, count: usize) -> Vec<Plain> {
        let mut events = Vec::new();
        for _ in 0..count {
            let message = self.nats.delivery().await;
            let headers = message.headers.lines().filter_map(|line| line.split_once(':'));
            let headers: Vec<_> = headers.map(|(name, value)| (name.to_lowercase(), value.trim().to_owned())).collect();
            events.push(Plain { data: message.payload, ..by_prefix(&headers, "ce-", unescaped) });
        }
        events
    }

    async fn amqp(&self, count: usize) -> Vec<Plain> {
        let (peer, mut events) = (self.places.amqp.peer().await, Vec::new());
        for _ in 0..count {
            let message = peer.take(&self.places.queues[1]).await;
            let headers: Vec<_> = message.headers.into_iter().collect();
            let event = by_prefix(&headers, "cloudEvents_", str::to_owned);
            events.push(Plain { data: message.payload, content_type: message.content_type, ..event });
        }
        events
    }

    async fn http(&self, count: usize) -> Vec<Plain> {
        let posted = self.http.posted(count).await;
        posted.into_iter().map(|(headers, data)| Plain { data, ..by_prefix(&headers, "ce-", unescaped) }).collect()
    }

    /// Says goodbye where that is due.
    pub(super) async fn close(self) {
        self.mqtt.close().await;
    }
}

/// Attributes by the prefix of their headers, the media type and the hop by names of their own.
fn by_prefix(headers: &[(String, String)], prefix: &str, decode: fn(&str) -> String) -> Plain {
    let header = |name| headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    let attributes =
        headers.iter().filter_map(|(name, value)| Some((name.strip_prefix(prefix)?.to_owned(), decode(value))));
    Plain {
        attributes: attributes.collect::<BTreeMap<_, _>>(),
        hop: header("traceparent"),
        content_type: header("content-type").unwrap_or_default(),
        data: Vec::new(),
    }
}

/// Percent-decoded.
fn unescaped(value: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = value.as_bytes();
    while let [first, after @ ..] = rest {
        let pair = after.get(..2).and_then(|pair| std::str::from_utf8(pair).ok());
        match pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()).filter(|_| *first == b'%') {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
