//! The connection of one run: opened, watched, and opened again for ever.

use std::time::Duration;

use engine::event::Text;
use engine::metric::Link;
use engine::port::BoxFuture;
use tokio::time::{Instant, sleep};

use super::Ingredients;
use crate::amqp::access::Terms;
use crate::amqp::connection::Connection;
use crate::amqp::fault::Fault;
use crate::amqp::message::Assembly;
use crate::amqp::queue::Queue;
use crate::amqp::unacked::Unacked;
use crate::backoff::Backoff;

/// A connection that consumes, and what is on its way on it.
pub(super) struct Session {
    pub(super) connection: Connection,
    /// Which connection of the run it is, from one.
    pub(super) epoch: u32,
    pub(super) unacked: Unacked,
    pub(super) assembly: Assembly,
    /// Whether the queue can be looked at.
    pub(super) looks: bool,
}

enum State {
    Opening(BoxFuture<'static, Result<Connection, Fault>>),
    Up(Box<Session>),
}

/// The connection, wherever it stands.
pub(super) struct Line {
    name: Text,
    client: Text,
    terms: Terms,
    queue: Queue,
    prefetch: u16,
    limit: u64,
    link: Link,
    state: State,
    epoch: u32,
    backoff: Backoff,
    since: Option<Instant>,
    /// The last fault that was logged as a warning.
    said: Option<String>,
    /// Nothing more is wanted: a connection that is gone is not replaced.
    ending: bool,
}

impl Line {
    /// Begins to connect; the prefetch is `capacity`, as far as AMQP can say it.
    pub(super) fn new(made_of: &Ingredients, capacity: usize) -> Line {
        // Zero would mean without a bound.
        let prefetch = u16::try_from(capacity.max(1)).unwrap_or(u16::MAX);
        let mut line = Line {
            name: made_of.name.clone(),
            client: made_of.client.clone(),
            terms: made_of.terms.clone(),
            queue: made_of.queue.clone(),
            prefetch,
            limit: made_of.limit,
            link: made_of.link.clone(),
            state: State::Opening(Box::pin(std::future::pending())),
            epoch: 0,
            backoff: Backoff::new(),
            since: None,
            said: None,
            ending: false,
        };
        line.open(Duration::ZERO);
        line
    }

    fn open(&mut self, delay: Duration) {
        let (terms, client, queue, prefetch) =
            (self.terms.clone(), self.client.clone(), self.queue.clone(), self.prefetch);
        self.state = State::Opening(Box::pin(async move {
            sleep(delay).await;
            Connection::consume(&terms, &client, &queue, prefetch).await
        }));
    }

    /// The session, while there is one.
    pub(super) fn session(&mut self) -> Option<&mut Session> {
        match &mut self.state {
            State::Up(session) => Some(session),
            State::Opening(_) => None,
        }
    }

    /// Goes on opening, or reads and writes. Cancel safe.
    pub(super) async fn moves(&mut self, reading: bool) {
        let moved = match &mut self.state {
            State::Up(session) => session.connection.exchange(reading).await,
            State::Opening(opening) => match opening.await {
                Ok(connection) => {
                    self.welcomed(connection);
                    Ok(())
                }
                Err(fault) => Err(fault),
            },
        };
        if let Err(fault) = moved {
            self.lost(&fault);
        }
    }

    fn welcomed(&mut self, connection: Connection) {
        tracing::info!(source = %self.name, broker = %self.terms.address, queue = self.queue.name, "connected");
        self.link.connected();
        self.epoch += 1;
        self.since = Some(Instant::now());
        self.said = None;
        self.state = State::Up(Box::new(Session {
            connection,
            epoch: self.epoch,
            unacked: Unacked::default(),
            assembly: Assembly::new(self.limit),
            looks: true,
        }));
    }

    /// The connection is gone, or could not be made: the next one is on its way.
    pub(super) fn lost(&mut self, fault: &Fault) {
        let text = format!("broker {} {fault}", self.terms.address);
        if self.said.as_ref() == Some(&text) {
            tracing::debug!(source = %self.name, "{text}");
        } else {
            tracing::warn!(source = %self.name, "{text}");
            self.said = Some(text.clone());
        }
        self.link.disconnected(text);
        self.link.lag(None);
        self.backoff.connected_for(self.since.take().map_or(Duration::ZERO, |since| since.elapsed()));
        let delay = self.backoff.delay(fault.patience(), fastrand::f64());
        if self.ending {
            self.state = State::Opening(Box::pin(std::future::pending()));
        } else {
            self.open(delay);
        }
    }

    /// Connects no more. On another connection nothing could be acknowledged that is in flight now.
    pub(super) fn end(&mut self) {
        self.ending = true;
        if let State::Opening(opening) = &mut self.state {
            *opening = Box::pin(std::future::pending());
        }
    }

    /// Sends off the last acknowledgements and closes. What the broker has not been told of is its own again.
    pub(super) async fn goodbye(self) -> Result<(), String> {
        match self.state {
            State::Up(mut session) => {
                let goodbye = async {
                    if session.unacked.has_delivered() {
                        session.connection.linger().await?;
                    }
                    session.connection.close().await
                };
                goodbye.await.map_err(|fault: Fault| fault.to_string())
            }
            State::Opening(_) => Ok(()),
        }
    }
}
