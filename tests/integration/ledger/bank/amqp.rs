//! RabbitMQ, with lapin on both sides. A place is a classic queue.

use std::time::Duration;

use testkit::rabbitmq::{Peer, Shared, shared};

use super::super::book::Book;
use super::{Bank, Doing, Kind, Reader, SEATS, Terms, Writer};

pub(super) struct Amqp(&'static Shared);

impl Amqp {
    pub(super) async fn open() -> Self {
        Self(shared().await)
    }
}

impl Bank for Amqp {
    fn kind(&self) -> Kind {
        Kind::Amqp
    }

    fn place(&self) -> Doing<'_, String> {
        Box::pin(async {
            let queue = self.0.name();
            self.0.peer().await.declare(&queue, "classic").await;
            queue
        })
    }

    fn source(&self, place: &str) -> String {
        format!("amqp: {{ url: \"{}\", queue: {place} }}", self.0.url())
    }

    fn output(&self, place: &str) -> String {
        format!("amqp: {{ url: \"{}\", routingKey: {place} }}", self.0.url())
    }

    fn writer<'a>(&'a self, place: &'a str) -> Doing<'a, Box<dyn Writer>> {
        Box::pin(async move {
            let writer: Box<dyn Writer> = Box::new(Sending { peer: self.0.peer().await, queue: place.to_owned() });
            writer
        })
    }

    fn reader<'a>(&'a self, place: &'a str, book: Book) -> Doing<'a, Reader> {
        Box::pin(async move {
            let peer = self.0.peer().await;
            peer.follow(place, move |message| book.arrive(&message.payload)).await;
            // The connection ends with the future.
            Reader(Box::pin(async move {
                let _peer = peer;
                std::future::pending::<()>().await;
            }))
        })
    }

    /// The broker has no cheap answer to this; the engine's own books do.
    fn progress<'a>(&'a self, _place: &'a str) -> Doing<'a, Option<u64>> {
        Box::pin(std::future::ready(None))
    }

    fn terms(&self) -> Terms {
        // The broker sees the end of the connection at once.
        Terms { redelivery: Duration::ZERO, uncommitted: SEATS, commits: Duration::ZERO }
    }
}

/// A producer that waits for the broker's confirmations.
struct Sending {
    peer: Peer,
    queue: String,
}

impl Writer for Sending {
    fn put<'a>(&'a mut self, payloads: &'a [String]) -> Doing<'a> {
        Box::pin(self.peer.send_all("", &self.queue, payloads.iter().cloned()))
    }
}
