//! NATS JetStream, with a client of a few lines on both sides. A place is a stream with one subject.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use testkit::nats::{self, Config, Peer};

use super::super::book::Book;
use super::{Bank, Doing, Kind, Reader, SEATS, Terms, Writer};

pub(super) struct Nats {
    server: nats::Nats,
    places: AtomicUsize,
}

/// How long the server waits for a sign of life.
const ACK_WAIT: u64 = 2;

impl Nats {
    pub(super) async fn open() -> Self {
        Self { server: nats::Nats::start(Config::new()).await, places: AtomicUsize::new(0) }
    }
}

impl Bank for Nats {
    fn kind(&self) -> Kind {
        Kind::Nats
    }

    fn place(&self) -> Doing<'_, String> {
        Box::pin(async {
            let name = format!("ledger{}", self.places.fetch_add(1, Ordering::Relaxed));
            self.server.peer().await.stream(&name, &[&format!("{name}.entries")]).await;
            name
        })
    }

    fn source(&self, place: &str) -> String {
        let url = self.server.url();
        format!(
            "nats: {{ url: \"{url}\", subjects: [{place}.entries], stream: {place}, durable: mill, \
             create: {{ ackWait: {ACK_WAIT}s }} }}"
        )
    }

    fn output(&self, place: &str) -> String {
        format!("nats: {{ url: \"{}\", subject: {place}.entries }}", self.server.url())
    }

    fn writer<'a>(&'a self, place: &'a str) -> Doing<'a, Box<dyn Writer>> {
        Box::pin(async move {
            let writer: Box<dyn Writer> =
                Box::new(Storing { peer: self.server.peer().await, subject: format!("{place}.entries") });
            writer
        })
    }

    fn reader<'a>(&'a self, place: &'a str, book: Book) -> Doing<'a, Reader> {
        Box::pin(async move {
            let mut peer = self.server.peer().await;
            peer.follow(place).await;
            Reader(Box::pin(async move {
                loop {
                    book.arrive(&peer.next().await.payload);
                }
            }))
        })
    }

    fn progress<'a>(&'a self, place: &'a str) -> Doing<'a, Option<u64>> {
        Box::pin(async move {
            let info = self.server.peer().await.consumer_info(place, "mill").await;
            info["ack_floor"]["consumer_seq"].as_u64()
        })
    }

    fn terms(&self) -> Terms {
        Terms { redelivery: Duration::from_secs(ACK_WAIT), uncommitted: SEATS, commits: Duration::ZERO }
    }
}

/// A producer that waits for the stream's answers.
struct Storing {
    peer: Peer,
    subject: String,
}

impl Writer for Storing {
    fn put<'a>(&'a mut self, payloads: &'a [String]) -> Doing<'a> {
        let subject = self.subject.clone();
        Box::pin(self.peer.store_all(payloads.iter().map(move |payload| (subject.clone(), payload.clone()))))
    }
}
