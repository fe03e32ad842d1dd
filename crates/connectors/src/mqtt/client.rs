//! The task that keeps a source connected: greeting, subscribing, reconnecting, leaving.
//!
//! A persistent session is the whole point: the client id is stable, the session is never started clean, and a connection
//! that is lost leaves everything unacknowledged with the broker. Subscriptions are made once in every run, because the
//! topics may have changed since the last one, and again whenever the broker says that it has no session.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use engine::event::Text;
use engine::metric::Link;
use engine::port::Stop;
use tokio::time::{Instant, sleep};

use super::access;
use super::connection::{Connection, Happening, LEAVE_PACKET, Terms};
use super::desk::{Desk, Intent};
use super::dialect::Welcome;
use super::fault::Fault;
use super::greeting::{Purpose, greet};
use super::pipe::Pipe;
use super::record::Record;
use crate::backoff::Backoff;

/// Packet identifiers of our own; there is at most one of each on its way.
const SUBSCRIBE_PACKET: u16 = 1;
const UNSUBSCRIBE_PACKET: u16 = 2;

/// How a source is known to its broker, and what it asks for.
#[derive(Clone)]
pub(super) struct Session {
    pub(super) name: Text,
    pub(super) access: access::Terms,
    /// Seconds that the session outlives its connection.
    pub(super) expiry: u32,
    /// Filters as the broker is asked for them.
    pub(super) filters: Vec<Text>,
    pub(super) quality: u8,
    /// The longest packet that is taken.
    pub(super) limit: usize,
    /// Seats.
    pub(super) window: usize,
}

/// The task's own state.
pub(super) struct Client {
    session: Session,
    desk: Arc<Desk>,
    link: Link,
    record: Record,
    backoff: Backoff,
    /// Whether this run has subscribed.
    subscribed: bool,
    /// When the present connection was welcomed.
    since: Option<Instant>,
    /// The last fault that was logged as a warning.
    said: Option<String>,
}

impl Client {
    pub(super) fn new(session: Session, desk: Arc<Desk>, link: Link, record: Record) -> Client {
        Client { session, desk, link, record, backoff: Backoff::new(), subscribed: false, since: None, said: None }
    }

    /// Connects and reconnects until the desk wants an end.
    pub(super) async fn serve(mut self) {
        loop {
            let fault = match self.serve_once().await {
                Ok(()) => break,
                Err(fault) => fault,
            };
            self.desk.handed_over().await;
            self.desk.lost();
            self.report(&fault);
            self.backoff.connected_for(self.since.take().map_or(Duration::ZERO, |since| since.elapsed()));
            let delay = self.backoff.delay(fault.patience(), fastrand::f64());
            tokio::select! {
                stop = self.desk.ended(), if !matches!(self.desk.intent(), Intent::End(Stop::Leave)) => {
                    if stop == Stop::Keep {
                        break;
                    }
                }
                () = sleep(delay) => {}
            }
        }
        self.desk.lost();
        self.link.stopped();
    }

    /// One connection from beginning to end; `Ok` when the end was wanted.
    async fn serve_once(&mut self) -> Result<(), Fault> {
        let mut connection = match self.desk.intent() {
            Intent::End(Stop::Keep) => return Ok(()),
            // The connection was lost between draining and ending: all that is left to do is to end the session.
            Intent::End(Stop::Leave) => return self.end_session().await,
            _ => {
                let ended = self.desk.clone();
                tokio::select! {
                    Stop::Keep = ended.ended() => return Ok(()),
                    connection = self.connect() => connection?,
                }
            }
        };
        loop {
            let happening = match connection.drive().await {
                Ok(happening) => happening,
                Err(fault) => {
                    connection.complain(&fault).await;
                    return Err(fault);
                }
            };
            match happening {
                Happening::Subscribed(answers) => {
                    self.granted(&answers)?;
                    self.subscribed = true;
                    self.connected();
                }
                Happening::Unsubscribed => self.remember(&self.session.filters),
                Happening::Done(stop) => {
                    connection.finish().await;
                    return match stop {
                        Stop::Keep => Ok(()),
                        // MQTT 5 has ended the session with its goodbye.
                        Stop::Leave if self.session.access.dialect.has_properties() => {
                            self.forget();
                            Ok(())
                        }
                        Stop::Leave => self.end_session().await,
                    };
                }
            }
        }
    }

    async fn connect(&mut self) -> Result<Connection, Fault> {
        let (pipe, Welcome { session_present, keep_alive, .. }) = self.greet(false).await?;
        self.since = Some(Instant::now());
        let session = &self.session;
        let mut unsubscribe = BytesMut::new();
        session.access.dialect.unsubscribe(LEAVE_PACKET, &session.filters, &mut unsubscribe)?;
        let terms = Terms {
            dialect: session.access.dialect,
            keep_alive: Duration::from_secs(keep_alive.unwrap_or(session.access.keep_alive).into()),
            limit: session.limit,
            window: session.window,
            unsubscribe,
        };
        let mut connection = Connection::new(pipe, Arc::clone(&self.desk), self.link.clone(), terms);
        if self.subscribed && session_present {
            self.connected();
        } else {
            connection.ask(&self.subscriptions(session_present)?);
        }
        Ok(connection)
    }

    /// Connects and says hello.
    async fn greet(&self, clean: bool) -> Result<(Pipe, Welcome), Fault> {
        let session = &self.session;
        let purpose = Purpose {
            client_id: &session.access.client_id,
            clean,
            expiry: if clean { 0 } else { session.expiry },
            receive_maximum: u16::try_from(session.window).unwrap_or(u16::MAX),
            limit: session.limit,
        };
        let (stream, input, welcome) = greet(&session.access, &purpose).await?;
        Ok((Pipe::new(stream, input), welcome))
    }

    /// What to subscribe to, and what to unsubscribe that an earlier configuration left in the session.
    fn subscriptions(&self, session_present: bool) -> Result<BytesMut, Fault> {
        let session = &self.session;
        let known = self.record.read().unwrap_or_else(|cause| {
            tracing::warn!(source = %session.name, %cause, "cannot read which topics the session had; stale ones stay");
            Vec::new()
        });
        let stale: Vec<Text> = known.into_iter().filter(|filter| !session.filters.contains(filter)).collect();
        let mut out = BytesMut::new();
        if session_present && !stale.is_empty() {
            tracing::info!(source = %session.name, ?stale, "unsubscribing topics of an earlier configuration");
            session.access.dialect.unsubscribe(UNSUBSCRIBE_PACKET, &stale, &mut out)?;
            self.remember(&[session.filters.as_slice(), &stale].concat());
        } else {
            self.remember(&session.filters);
        }
        session.access.dialect.subscribe(SUBSCRIBE_PACKET, &session.filters, session.quality, &mut out)?;
        Ok(out)
    }

    /// Whether the broker granted what was asked for. Some filters may be refused as long as one is granted.
    fn granted(&self, answers: &[Result<u8, String>]) -> Result<(), Fault> {
        let session = &self.session;
        let refused = session.filters.iter().zip(answers).filter_map(|(filter, answer)| match answer {
            Err(reason) => Some(format!("'{filter}': {reason}")),
            Ok(granted) if *granted < session.quality => Some(format!("'{filter}': only with qos {granted}")),
            Ok(_) => None,
        });
        let refused: Vec<String> = refused.collect();
        let fault = Fault::Subscription(refused.join(", "));
        if answers.len() != session.filters.len() {
            return Err(Fault::Protocol("as many answers as it likes to a subscription".into()));
        }
        if answers.iter().all(Result::is_err) {
            return Err(fault);
        }
        if !refused.is_empty() {
            let text = self.text(&fault);
            tracing::error!(source = %session.name, "{text}");
            self.link.error(text);
        }
        Ok(())
    }

    fn connected(&mut self) {
        self.link.connected();
        self.said = None;
        let session = &self.session;
        tracing::info!(source = %session.name, broker = %session.access.address(), client = %session.access.client_id, "connected");
    }

    /// Ends the session by coming back with a clean one.
    async fn end_session(&mut self) -> Result<(), Fault> {
        let (mut pipe, _) = self.greet(true).await?;
        self.session.access.dialect.disconnect(true, &mut pipe.out)?;
        if !pipe.send_off().await {
            return Err(Fault::Closed);
        }
        // The broker's closing says that it has read the goodbye; one that does not close has still heard of the end.
        pipe.finish().await;
        self.forget();
        Ok(())
    }

    fn remember(&self, filters: &[Text]) {
        if let Err(cause) = self.record.write(filters) {
            tracing::warn!(source = %self.session.name, %cause, "cannot note which topics the session has");
        }
    }

    fn forget(&self) {
        if let Err(cause) = self.record.forget() {
            tracing::warn!(source = %self.session.name, %cause, "cannot remove the note of the session's topics");
        }
        self.desk.session_ended();
    }

    fn text(&self, fault: &Fault) -> String {
        format!("broker {} {fault}", self.session.access.address())
    }

    /// Says what happened: once as a warning, and then only where somebody asks.
    fn report(&mut self, fault: &Fault) {
        let text = self.text(fault);
        self.link.disconnected(text.clone());
        if self.said.as_ref() == Some(&text) {
            tracing::debug!(source = %self.session.name, "{text}");
        } else {
            tracing::warn!(source = %self.session.name, "{text}");
            self.said = Some(text);
        }
    }
}
