//! A broker as the ledger sees it: places where events are put, with confirmation, and read again, by clients that share
//! nothing with the engine; and what the broker's own terms are after a crash.

mod amqp;
mod kafka;
mod mqtt;
mod nats;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::pin::Pin;
use std::time::Duration;

use super::book::Book;

/// What an asynchronous method answers behind a `dyn`.
pub(super) type Doing<'a, T = ()> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One broker.
pub(super) trait Bank: Send + Sync {
    /// Which it is.
    fn kind(&self) -> Kind;

    /// Makes a place that no other trial has; tells its name.
    fn place(&self) -> Doing<'_, String>;

    /// The source of events from a place, as YAML in one line.
    fn source(&self, place: &str) -> String;

    /// The output to a place, as YAML in one line.
    fn output(&self, place: &str) -> String;

    /// A client that puts events there.
    fn writer<'a>(&'a self, place: &'a str) -> Doing<'a, Box<dyn Writer>>;

    /// A client that enters everything into the book that is there or comes. It has begun when this returns.
    fn reader<'a>(&'a self, place: &'a str, book: Book) -> Doing<'a, Reader>;

    /// A number that grows when the broker learns of progress of the source, if it can be asked.
    fn progress<'a>(&'a self, place: &'a str) -> Doing<'a, Option<u64>>;

    /// How many events it counts as done, if it counts them so that what has arrived besides may come again.
    fn done<'a>(&'a self, _place: &'a str) -> Doing<'a, Option<usize>> {
        Box::pin(std::future::ready(None))
    }

    /// What it promises after a crash of the engine.
    fn terms(&self) -> Terms;
}

/// A client that puts events somewhere.
pub(super) trait Writer: Send {
    /// Puts them there, and returns when the broker has confirmed all of them.
    fn put<'a>(&'a mut self, payloads: &'a [String]) -> Doing<'a>;
}

/// A client that reads for as long as its future is polled.
pub(super) struct Reader(pub(super) Doing<'static>);

/// What a broker does about messages that a dead engine has not acknowledged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    /// How long it may take until they come again.
    pub(super) redelivery: Duration,
    /// How many of them may have arrived already, apart from what an interval of commits adds, and from what an engine
    /// keeps itself.
    pub(super) uncommitted: usize,
    /// How often progress is committed, where that is not done at once.
    pub(super) commits: Duration,
}

/// The brokers there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Mqtt,
    Kafka,
    Nats,
    Amqp,
}

impl Kind {
    pub(super) const ALL: [Self; 4] = [Self::Mqtt, Self::Kafka, Self::Nats, Self::Amqp];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Mqtt => "mqtt",
            Self::Kafka => "kafka",
            Self::Nats => "nats",
            Self::Amqp => "amqp",
        }
    }

    pub(super) fn named(name: &str) -> Self {
        let known = Self::ALL.into_iter().find(|kind| kind.name() == name);
        known.unwrap_or_else(|| panic!("'{name}' is no broker; the brokers are {:?}", Self::ALL.map(Self::name)))
    }
}

/// How many messages a source of a trial may have in flight.
pub(super) const SEATS: usize = 200;

/// The brokers of a run, each started once.
pub(super) struct Banks(HashMap<Kind, Box<dyn Bank>>);

impl Banks {
    pub(super) async fn open(kinds: impl Iterator<Item = Kind>) -> Self {
        let mut banks: HashMap<Kind, Box<dyn Bank>> = HashMap::new();
        for kind in kinds {
            if let Entry::Vacant(vacant) = banks.entry(kind) {
                vacant.insert(match kind {
                    Kind::Mqtt => Box::new(mqtt::Mqtt::open().await),
                    Kind::Kafka => Box::new(kafka::Kafka::open().await),
                    Kind::Nats => Box::new(nats::Nats::open().await),
                    Kind::Amqp => Box::new(amqp::Amqp::open().await),
                });
            }
        }
        Self(banks)
    }

    pub(super) fn get(&self, kind: Kind) -> &dyn Bank {
        self.0[&kind].as_ref()
    }
}
