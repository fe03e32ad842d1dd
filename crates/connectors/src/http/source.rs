//! The task that hands events over while there are seats, and answers requests when their events have settled.
//!
//! Requests come from the connections' tasks through a channel that has room for one of each; see [`desk`](super::desk) for
//! what is kept of them.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use engine::delivery::{Inbox, Intake, Outcome, Seat};
use engine::metric::Link;
use engine::port::{BoxFuture, Shutdown, Source, SourceError};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use super::answer::Answer;
use super::desk::{Desk, Parcel};
use super::request::{Door, Entry};
use super::server::{Listen, Server};

/// The most messages that are handed over at once, so that none of them waits long for the others.
const BATCH: usize = 256;
/// How long the last answers may take to be read.
const GOODBYE: Duration = Duration::from_secs(5);

/// An HTTP source.
pub(super) struct Receiver {
    pub(super) listen: Listen,
    pub(super) door: Arc<Door>,
    /// Whether requests are answered as soon as their events are handed over.
    pub(super) at_once: bool,
    pub(super) link: Link,
}

impl Receiver {
    async fn receive(&mut self, inbox: Inbox, mut stop: Shutdown) -> Result<(), SourceError> {
        let (parcels, mut arrivals) = mpsc::channel(self.listen.connections);
        let entry = Entry { door: Arc::clone(&self.door), parcels, closed: AtomicBool::new(false) };
        let mut server = Server::start(&self.listen, Arc::new(entry)).await.map_err(|cause| self.no_address(cause))?;
        tracing::info!(source = %self.door.name, address = %server.address(), "listening");
        self.link.connected();

        let (intake, mut settlements) = inbox.split();
        let mut desk = Desk::new(intake.capacity(), self.at_once);
        let mut intake = Some(intake);
        let (mut arrived, mut settled): (Vec<Parcel>, Vec<(Seat, Outcome)>) = (Vec::new(), Vec::new());
        loop {
            let waiting = if intake.is_some() { desk.waiting(BATCH).min(BATCH) } else { 0 };
            let deadline = desk.deadline();
            tokio::select! {
                biased;
                more = settlements.next(&mut settled) => {
                    settled.drain(..).for_each(|(seat, outcome)| desk.settled(seat, outcome));
                    if !more {
                        break;
                    }
                }
                _ = stop.requested(), if intake.is_some() => {
                    server.close();
                    intake = None;
                    desk.close();
                }
                _ = arrivals.recv_many(&mut arrived, BATCH), if intake.is_some() => desk.arrived(arrived.drain(..)),
                handed = hand_over(&mut intake, &mut desk, waiting), if waiting > 0 => handed?,
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                    let paused = intake.as_ref().is_some_and(Intake::is_paused);
                    desk.turn_away(Instant::now(), if paused { &Answer::Paused } else { &Answer::Full });
                }
                () = server.ended(), if intake.is_some() => return Err(self.broken()),
            }
        }
        // What came in while the door was being closed finds nobody.
        drop(arrivals);
        if timeout(GOODBYE, server.ended()).await.is_err() {
            tracing::warn!(source = %self.door.name, "some clients did not read their answers in time");
        }
        Ok(())
    }

    fn no_address(&self, cause: std::io::Error) -> SourceError {
        let address = self.listen.address;
        let sentence = match cause.kind() {
            ErrorKind::AddrInUse => {
                format!("http address {address} is taken by another program or source; name another one in http.listen")
            }
            ErrorKind::PermissionDenied => {
                format!("this user may not listen on http address {address}; name a port from 1024 on in http.listen")
            }
            ErrorKind::AddrNotAvailable => {
                format!("http address {address} is none of this machine's; name one that is in http.listen")
            }
            _ => format!("cannot listen on http address {address}: {cause}"),
        };
        SourceError::Restart(sentence, Some(Box::new(cause)))
    }

    fn broken(&self) -> SourceError {
        SourceError::Restart(format!("the connections of source '{}' broke down", self.door.name), None)
    }
}

impl Source for Receiver {
    fn run<'a>(&'a mut self, inbox: Inbox, stop: Shutdown) -> BoxFuture<'a, Result<(), SourceError>> {
        Box::pin(self.receive(inbox, stop))
    }
}

/// Hands over as many of the `waiting` messages as there are seats, waiting for the first one. Cancel safe.
async fn hand_over(intake: &mut Option<Intake>, desk: &mut Desk, waiting: usize) -> Result<(), SourceError> {
    let Some(intake) = intake else { return Ok(()) };
    let reserved = intake.reserve(waiting).await;
    let mut seats = reserved.map_err(|cause| SourceError::Restart(cause.to_string(), None))?;
    while !seats.is_empty() {
        let Some(message) = desk.next() else { break };
        let reason = message.as_ref().err().map(|undecodable| undecodable.reason.clone());
        let seat = match message {
            Ok(event) => seats.deliver(event).ok(),
            Err(undecodable) => seats.reject(undecodable).ok(),
        };
        // There is a seat, for the reservation is not empty.
        if let Some(seat) = seat {
            desk.occupied(seat, reason);
        }
    }
    Ok(())
}
