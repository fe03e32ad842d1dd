//! The connection of one run: opened, set up, watched, and opened again for ever.

use std::time::Duration;

use engine::event::Text;
use engine::metric::Link;
use engine::port::BoxFuture;
use tokio::time::{Instant, sleep};

use super::Ingredients;
use crate::backoff::Backoff;
use crate::nats::api;
use crate::nats::connection::{Connection, Terms};
use crate::nats::fault::Fault;
use crate::nats::options::{Durable, Reading};
use crate::nats::pull::Pulls;
use crate::nats::settings;
use crate::nats::wire::{self, Message};

/// The subscription that pull requests are answered to.
pub(super) const PULLS: u64 = 2;
/// The subscription of the first core subject; the others follow.
pub(super) const SUBJECTS: u64 = 10;

/// A connection that is set up to receive.
pub(super) struct Session {
    pub(super) connection: Connection,
    pub(super) durable: Option<Consuming>,
}

/// A durable consumer on this connection.
pub(super) struct Consuming {
    pub(super) durable: Durable,
    pub(super) pulls: Pulls,
    /// What answers to pull requests begin with.
    pub(super) inbox: String,
    /// How long the server waits for a sign of life.
    pub(super) lease: Duration,
    /// When the stream was made.
    pub(super) created: String,
    pub(super) lag: u64,
    /// Everything of the stream up to here is acknowledged.
    pub(super) floor: u64,
    /// What is unsafe about the settings, a sentence each.
    risks: Vec<String>,
}

impl Consuming {
    /// Something came of a pull request: the number of the request that it is a status of, or nothing for a message.
    pub(super) fn heard(&mut self, message: &Message, now: Instant) -> Option<u64> {
        self.pulls.heard(now);
        let number = message.subject.strip_prefix(self.inbox.as_bytes())?;
        Some(std::str::from_utf8(number).ok().and_then(|text| text.parse().ok()).unwrap_or_default())
    }
}

/// What the line did.
pub(super) enum Happening {
    /// It is set up.
    Opened,
    /// It read or wrote something, or was lost and is opened again.
    Moved,
}

enum State {
    Opening(BoxFuture<'static, Result<Session, Fault>>),
    Up(Box<Session>),
}

/// The connection, wherever it stands.
pub(super) struct Line {
    /// The source's name.
    name: Text,
    terms: Terms,
    reading: Reading,
    subjects: Vec<String>,
    capacity: usize,
    link: Link,
    state: State,
    backoff: Backoff,
    /// Which server of the cluster is next.
    attempt: usize,
    since: Option<Instant>,
    /// The last fault that was logged as a warning.
    said: Option<String>,
}

impl Line {
    pub(super) fn new(made_of: &Ingredients, capacity: usize) -> Line {
        let Ingredients { name, terms, reading, .. } = made_of;
        let subjects: Vec<String> = made_of.subjects.wire().map(str::to_owned).collect();
        let opening = open(terms.clone(), reading.clone(), subjects.clone(), capacity, 0, Duration::ZERO);
        Line {
            name: name.clone(),
            terms: terms.clone(),
            reading: reading.clone(),
            subjects,
            capacity,
            link: made_of.link.clone(),
            state: State::Opening(Box::pin(opening)),
            backoff: Backoff::new(),
            attempt: 0,
            since: None,
            said: None,
        }
    }

    /// The session, while there is one.
    pub(super) fn session(&mut self) -> Option<&mut Session> {
        match &mut self.state {
            State::Up(session) => Some(session),
            State::Opening(_) => None,
        }
    }

    /// Goes on opening, or reads and writes. Cancel safe.
    pub(super) async fn moves(&mut self) -> Happening {
        let fault = match &mut self.state {
            State::Up(session) => match session.connection.exchange().await {
                Ok(()) => return Happening::Moved,
                Err(fault) => fault,
            },
            State::Opening(opening) => match opening.await {
                Ok(session) => {
                    self.welcomed(session);
                    return Happening::Opened;
                }
                Err(fault) => fault,
            },
        };
        self.lost(&fault);
        Happening::Moved
    }

    fn welcomed(&mut self, session: Session) {
        let server = self.terms.address.server(self.attempt);
        tracing::info!(source = %self.name, %server, version = session.connection.info.version, "connected");
        self.link.connected();
        if let Some(risk) = self.risks(&session) {
            self.link.error(risk);
        }
        self.state = State::Up(Box::new(session));
        self.since = Some(Instant::now());
        self.said = None;
    }

    /// Says what is unsafe about the settings found; the first of it is for the status too.
    fn risks(&self, session: &Session) -> Option<String> {
        let risks = &session.durable.as_ref()?.risks;
        for risk in risks {
            tracing::warn!(source = %self.name, "{risk}");
        }
        risks.first().cloned()
    }

    /// The connection is gone, or could not be made: the next one is on its way.
    pub(super) fn lost(&mut self, fault: &Fault) {
        let server = self.terms.address.server(self.attempt);
        let text = format!("server {server} {fault}");
        if self.said.as_ref() == Some(&text) {
            tracing::debug!(source = %self.name, "{text}");
        } else {
            tracing::warn!(source = %self.name, "{text}");
            self.said = Some(text.clone());
        }
        self.link.disconnected(text);
        self.backoff.connected_for(self.since.take().map_or(Duration::ZERO, |since| since.elapsed()));
        self.attempt += 1;
        // The next server of a cluster is tried at once; only a round that failed waits.
        let delay = match self.attempt % self.terms.address.len() {
            0 => self.backoff.delay(fault.patience(), fastrand::f64()),
            _ => Duration::ZERO,
        };
        let (terms, reading, subjects) = (self.terms.clone(), self.reading.clone(), self.subjects.clone());
        self.state = State::Opening(Box::pin(open(terms, reading, subjects, self.capacity, self.attempt, delay)));
    }

    /// The run is over.
    pub(super) fn stop(self) {
        self.link.stopped();
    }
}

async fn open(
    terms: Terms,
    reading: Reading,
    subjects: Vec<String>,
    capacity: usize,
    attempt: usize,
    delay: Duration,
) -> Result<Session, Fault> {
    sleep(delay).await;
    let mut connection = Connection::open(&terms, attempt).await?;
    let durable = match reading {
        Reading::Core(group) => {
            for (sid, subject) in (SUBJECTS..).zip(&subjects) {
                wire::subscribe(&mut connection.out, subject, group.as_deref().unwrap_or_default(), sid);
            }
            // Whoever hears that this source is connected may publish at once.
            connection.flush().await?;
            None
        }
        Reading::Stream(durable) => Some(consume(&mut connection, durable, capacity).await?),
    };
    Ok(Session { connection, durable })
}

async fn consume(connection: &mut Connection, durable: Durable, capacity: usize) -> Result<Consuming, Fault> {
    let stream = api::stream(connection, &durable).await?;
    let consumer = api::consumer(connection, &durable, &stream, capacity).await?;
    if let Some(reason) = settings::unusable(&durable, &stream.config, &consumer.config) {
        return Err(Fault::JetStream(reason));
    }
    let risks = settings::risks(&stream.config, &consumer.config, &durable, capacity);
    let inbox = format!("{}pull.", connection.inbox);
    let most = usize::try_from(consumer.config.max_batch).ok().filter(|most| *most > 0);
    wire::subscribe(&mut connection.out, &format!("{inbox}*"), "", PULLS);
    Ok(Consuming {
        pulls: Pulls::new(most.unwrap_or(capacity), consumer.config.longest()),
        inbox,
        lease: consumer.config.lease(),
        created: stream.created,
        lag: consumer.lag(),
        floor: consumer.ack_floor.stream_seq,
        risks,
        durable,
    })
}
