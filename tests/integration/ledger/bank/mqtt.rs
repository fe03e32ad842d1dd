//! MQTT with mosquitto on the documented profile and the kit's client on both sides. A place is a topic.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use testkit::client::{Acks, Publisher, Settings, Subscriber};
use testkit::mosquitto::{Config, Mosquitto};

use super::super::book::Book;
use super::{Bank, Doing, Kind, Reader, SEATS, Terms, Writer};

pub(super) struct Mqtt {
    broker: Mosquitto,
    places: AtomicUsize,
    clients: AtomicUsize,
}

impl Mqtt {
    pub(super) async fn open() -> Self {
        let broker = Mosquitto::start(Config::profile()).await;
        Self { broker, places: AtomicUsize::new(0), clients: AtomicUsize::new(0) }
    }

    fn client(&self) -> Settings {
        let number = self.clients.fetch_add(1, Ordering::Relaxed);
        Settings::new(self.broker.address(), &format!("client-{number}"))
    }
}

impl Bank for Mqtt {
    fn kind(&self) -> Kind {
        Kind::Mqtt
    }

    fn place(&self) -> Doing<'_, String> {
        let name = format!("ledger-{}", self.places.fetch_add(1, Ordering::Relaxed));
        Box::pin(std::future::ready(name))
    }

    fn source(&self, place: &str) -> String {
        format!("mqtt: {{ url: \"{}\", topics: [{place}], qos: 1, clientId: {place} }}", self.broker.url())
    }

    fn output(&self, place: &str) -> String {
        format!("mqtt: {{ url: \"{}\", topic: {place}, qos: 1 }}", self.broker.url())
    }

    fn writer<'a>(&'a self, place: &'a str) -> Doing<'a, Box<dyn Writer>> {
        Box::pin(async move {
            let publisher = Publisher::connect(self.client()).await;
            let writer: Box<dyn Writer> = Box::new(Publishing { publisher, topic: place.to_owned() });
            writer
        })
    }

    fn reader<'a>(&'a self, place: &'a str, book: Book) -> Doing<'a, Reader> {
        Box::pin(async move {
            let subscriber = Subscriber::connect(self.client(), &[place], Acks::AtOnce).await;
            Reader(Box::pin(async move {
                let mut seen = 0;
                loop {
                    subscriber.more_than(seen).await;
                    let messages = subscriber.since(seen);
                    seen += messages.len();
                    messages.iter().for_each(|message| book.arrive(&message.payload));
                }
            }))
        })
    }

    /// The broker tells nobody what is acknowledged; the engine's own books do.
    fn progress<'a>(&'a self, _place: &'a str) -> Doing<'a, Option<u64>> {
        Box::pin(std::future::ready(None))
    }

    fn terms(&self) -> Terms {
        // Unacknowledged messages come again with the session, when the engine is back.
        Terms { redelivery: Duration::ZERO, uncommitted: SEATS, commits: Duration::ZERO }
    }
}

/// A producer that waits for every PUBACK.
struct Publishing {
    publisher: Publisher,
    topic: String,
}

impl Writer for Publishing {
    fn put<'a>(&'a mut self, payloads: &'a [String]) -> Doing<'a> {
        Box::pin(async move {
            for payload in payloads {
                self.publisher.send("", &self.topic, payload.as_str()).await;
            }
            assert_eq!(self.publisher.settle().await.unconfirmed, [], "the broker is never restarted here");
        })
    }
}
