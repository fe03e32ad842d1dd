//! Kafka, with kcat on both sides: four partitions where events begin, one where they end.

use std::time::Duration;

use testkit::kafka::{self, Shared};
use testkit::kcat::Kcat;

use super::super::book::Book;
use super::{Bank, Doing, Kind, Reader, Terms, Writer};

pub(super) struct Kafka(&'static Shared);

/// Of the topic where events begin.
const PARTITIONS: i32 = 4;
/// Of each of them.
const UNCOMMITTED: usize = 100;

impl Kafka {
    pub(super) async fn open() -> Self {
        Self(kafka::shared().await)
    }

    fn kcat(&self) -> Kcat {
        Kcat::new(self.0.address())
    }
}

impl Bank for Kafka {
    fn kind(&self) -> Kind {
        Kind::Kafka
    }

    fn place(&self) -> Doing<'_, String> {
        Box::pin(self.0.topic(PARTITIONS, &[]))
    }

    fn source(&self, place: &str) -> String {
        let broker = self.0.address();
        format!(
            "kafka: {{ brokers: [\"{broker}\"], topics: [{place}], group: {place}, maxUncommitted: {UNCOMMITTED} }}"
        )
    }

    fn output(&self, place: &str) -> String {
        // Everything in one partition, so that the mark at the end is the last of all.
        format!("kafka: {{ brokers: [\"{}\"], topic: {place}, key: \"ledger\" }}", self.0.address())
    }

    fn writer<'a>(&'a self, place: &'a str) -> Doing<'a, Box<dyn Writer>> {
        let writer: Box<dyn Writer> = Box::new(Lines { kcat: self.kcat(), topic: place.to_owned(), batches: 0 });
        Box::pin(std::future::ready(writer))
    }

    fn reader<'a>(&'a self, place: &'a str, book: Book) -> Doing<'a, Reader> {
        let (kcat, place) = (self.kcat(), place.to_owned());
        let reading = async move { kcat.follow(&place, |payload| book.arrive(payload.as_bytes())).await };
        Box::pin(std::future::ready(Reader(Box::pin(reading))))
    }

    fn progress<'a>(&'a self, place: &'a str) -> Doing<'a, Option<u64>> {
        Box::pin(async move {
            let committed = kafka::committed(self.0.address(), place, place, PARTITIONS).await;
            Some(u64::try_from(committed).unwrap_or_default())
        })
    }

    fn done<'a>(&'a self, place: &'a str) -> Doing<'a, Option<usize>> {
        Box::pin(async move { self.progress(place).await.and_then(|committed| usize::try_from(committed).ok()) })
    }

    fn terms(&self) -> Terms {
        Terms {
            // The session's time: a member that is back sooner has its partitions at once.
            redelivery: Duration::from_secs(10),
            uncommitted: usize::try_from(PARTITIONS).expect("a few") * UNCOMMITTED,
            commits: Duration::from_secs(1),
        }
    }
}

/// A producer that runs kcat for every batch, and is done when that has ended well.
struct Lines {
    kcat: Kcat,
    topic: String,
    batches: usize,
}

impl Writer for Lines {
    fn put<'a>(&'a mut self, payloads: &'a [String]) -> Doing<'a> {
        Box::pin(async move {
            self.batches += 1;
            // Partitions in turn.
            let partition = (self.batches % 4).to_string();
            self.kcat.produce(&self.topic, &["-p", &partition], payloads).await;
        })
    }
}
