//! The task that turns messages into events, and outcomes into acknowledgements.
//!
//! One biased select: settlements before everything, so that seats become free and acknowledgements go out before more is
//! read; then the wish to stop; then the ring. Where a message stands with its broker is kept per seat in one array.

use std::str::from_utf8;
use std::sync::Arc;
use std::time::Duration;

use engine::config::AckPoint;
use engine::delivery::{Inbox, Intake, Outcome, Seat, Undecodable};
use engine::event::{Event, Text};
use engine::metric::Link;
use engine::port::{BoxFuture, Shutdown, Source, SourceError, Stop};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};

use super::client::{Client, Session};
use super::desk::{Desk, Intent};
use super::order::{AckOrder, Order, Ticket};
use super::property::{self, Properties};
use super::record::Record;
use super::staging::{Arrival, Ring};
use super::wire::{Ack, Publish};
use crate::capture::Filters;
use crate::normalise::{Ids, Message, Template};

/// The most messages that are handed over at once, so that none of them waits long for the others.
const BATCH: usize = 256;
/// How long leaving waits for a broker that is away.
const LEAVE: Duration = Duration::from_secs(30);
/// How long goodbye may take.
const GOODBYE: Duration = Duration::from_secs(5);

/// What a subscriber is made of.
pub(super) struct Ingredients {
    pub(super) session: Session,
    pub(super) topics: Filters,
    pub(super) template: Template,
    pub(super) ids: Ids,
    pub(super) ack: AckPoint,
    pub(super) ack_order: AckOrder,
    /// Bytes that may be staged.
    pub(super) staged: usize,
    pub(super) record: Record,
    pub(super) link: Link,
}

/// An MQTT source.
pub(super) struct Subscriber {
    made_of: Ingredients,
    /// The last epoch that was seen, over all runs.
    epoch: u32,
}

/// One run of a subscriber.
struct Run<'r> {
    made_of: &'r mut Ingredients,
    epoch: &'r mut u32,
    desk: Arc<Desk>,
    /// Where the message in each seat stands.
    positions: Vec<Position>,
    order: Order<Ack>,
    arrivals: Vec<Arrival>,
    /// Acknowledgements that are due at receipt.
    early: Vec<Ack>,
}

/// Where the message in one seat stands with its broker.
#[derive(Clone, Copy, Debug, Default)]
struct Position {
    epoch: u32,
    /// How to acknowledge it, if that is still to be done.
    ack: Option<Ack>,
    ticket: Ticket,
}

/// A task that does not outlive its owner.
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Subscriber {
    pub(super) fn new(made_of: Ingredients) -> Subscriber {
        Subscriber { made_of, epoch: 0 }
    }

    async fn receive(&mut self, inbox: Inbox, mut stop: Shutdown) -> Result<(), SourceError> {
        let (intake, mut settlements) = inbox.split();
        let seats = intake.capacity();
        let desk = Arc::new(Desk::new(Ring::new(seats, self.made_of.staged), self.epoch));
        let parts = &self.made_of;
        let client = Client::new(parts.session.clone(), Arc::clone(&desk), parts.link.clone(), parts.record.clone());
        let mut client = Task(tokio::spawn(client.serve()));
        let mut run = Run {
            order: Order::new(parts.ack_order),
            made_of: &mut self.made_of,
            epoch: &mut self.epoch,
            desk,
            positions: vec![Position::default(); seats],
            arrivals: Vec::new(),
            early: Vec::new(),
        };
        let (mut intake, mut settled) = (Some(intake), Vec::new());
        // Leaving, and until when it waits for a broker that is away.
        let (mut asked, mut patience, mut left_behind) = (None, None, false);
        loop {
            tokio::select! {
                biased;
                more = settlements.next(&mut settled) => match more {
                    true => run.settle(&mut settled),
                    false => break,
                },
                mode = stop.requested(), if asked.is_none() => {
                    asked = Some(mode);
                    if mode == Stop::Leave {
                        run.desk.intend(Intent::Unsubscribe);
                        patience = Some(Instant::now() + LEAVE);
                    } else {
                        run.close(&mut intake);
                    }
                }
                handed = run.hand_over(&mut intake), if intake.is_some() => {
                    if !handed? {
                        run.close(&mut intake);
                    }
                }
                () = sleep_until(patience.unwrap_or_else(Instant::now)), if patience.is_some() && intake.is_some() => {
                    if run.desk.connected() {
                        patience = Some(Instant::now() + LEAVE);
                    } else {
                        left_behind = true;
                        run.close(&mut intake);
                    }
                }
                _ = &mut client.0 => return Err(run.broken()),
            }
        }
        let mode = asked.filter(|_| !left_behind).unwrap_or(Stop::Keep);
        run.desk.intend(Intent::End(mode));
        let bound = if mode == Stop::Leave { LEAVE } else { GOODBYE };
        let heard = timeout(bound, &mut client.0).await.is_ok();
        if asked == Some(Stop::Leave) && !run.desk.has_ended() {
            return Err(run.left_behind());
        }
        match run.desk.late() {
            0 if heard => Ok(()),
            late => Err(run.unheard(late)),
        }
    }
}

impl Source for Subscriber {
    fn run<'a>(&'a mut self, inbox: Inbox, stop: Shutdown) -> BoxFuture<'a, Result<(), SourceError>> {
        Box::pin(self.receive(inbox, stop))
    }
}

impl Run<'_> {
    /// Stops reading for good. What was staged stays with the broker, as far as the broker keeps it.
    fn close(&mut self, intake: &mut Option<Intake>) {
        *intake = None;
        let lost = self.desk.close();
        if lost > 0 {
            self.made_of.link.dropped("shutdown", lost);
        }
    }

    /// Hands over what is staged, waiting for the first message and the first seat. Answers `false` when the session has
    /// nothing more to deliver. Cancel safe.
    async fn hand_over(&mut self, intake: &mut Option<Intake>) -> Result<bool, SourceError> {
        let Some(intake) = intake else { return Ok(false) };
        let waiting = self.desk.arrived().await;
        if waiting == 0 {
            return Ok(!self.desk.drained());
        }
        let reserved = intake.reserve(waiting.min(BATCH)).await;
        let mut seats = reserved.map_err(|cause| SourceError::Restart(cause.to_string(), None))?;
        let mut arrivals = std::mem::take(&mut self.arrivals);
        let epoch = self.desk.take(seats.len(), &mut arrivals);
        self.present(epoch);
        for arrival in arrivals.drain(..) {
            let ack = arrival.publish.ack;
            let seat = match self.event(&arrival.publish) {
                Ok(event) => seats.deliver(event).ok(),
                Err(message) => seats.reject(message).ok(),
            };
            // No more was taken than there are seats.
            if let Some(seat) = seat {
                self.occupied(seat, arrival.epoch, ack);
            }
        }
        drop(seats);
        self.arrivals = arrivals;
        if !self.early.is_empty() {
            let early = &mut self.early;
            self.desk.acknowledge(|present, acks| {
                if present == epoch {
                    acks.append(early);
                }
                early.clear();
                0
            });
        }
        Ok(true)
    }

    /// Notes where the message in a seat stands.
    fn occupied(&mut self, seat: Seat, epoch: u32, ack: Option<Ack>) {
        let mut position = Position { epoch, ack, ticket: Ticket::default() };
        if self.made_of.ack == AckPoint::Received {
            self.early.extend(position.ack.take());
        } else if ack.is_some() {
            position.ticket = self.order.arrived();
        }
        self.positions[seat.index()] = position;
    }

    /// The connection of `epoch` is the present one: what belongs to an older one is no longer in any order.
    fn present(&mut self, epoch: u32) {
        if *self.epoch != epoch {
            *self.epoch = epoch;
            self.order.restart();
        }
    }

    /// Acknowledges what has settled, as far as the connection on which it came still stands.
    fn settle(&mut self, settled: &mut Vec<(Seat, Outcome)>) {
        let desk = Arc::clone(&self.desk);
        let mut late = 0;
        desk.acknowledge(|epoch, acks| {
            self.present(epoch);
            let mut handed_back = 0;
            for (seat, outcome) in settled.drain(..) {
                let position = self.positions[seat.index()];
                let Some(ack) = position.ack else { continue };
                if position.epoch != epoch {
                    late += usize::from(!matches!(outcome, Outcome::Retry { .. }));
                    continue;
                }
                let ack = match outcome {
                    Outcome::Ack | Outcome::Reject => Some(ack),
                    Outcome::Retry { .. } => {
                        handed_back += 1;
                        None
                    }
                };
                self.order.finished(position.ticket, ack, acks);
            }
            handed_back
        });
        if late > 0 {
            desk.too_late(late);
        }
    }

    /// The event that a message is, or why it is none.
    fn event(&mut self, publish: &Publish) -> Result<Event, Undecodable> {
        let refuse = |reason: String| {
            let mut facts = vec![("topic".into(), Text::from(String::from_utf8_lossy(&publish.topic)))];
            facts.extend(property::kept(&publish.properties).fact());
            Undecodable { raw: publish.payload.clone(), reason, facts }
        };
        if let Some(flaw) = publish.flaw {
            return Err(refuse(flaw.to_string()));
        }
        let topic = match from_utf8(&publish.topic) {
            Ok("") => return Err(refuse("its topic is empty".to_owned())),
            Ok(topic) if topic.contains('\0') => return Err(refuse("its topic holds a null character".to_owned())),
            Ok(topic) => topic,
            Err(_) => return Err(refuse("its topic is not UTF-8 text".to_owned())),
        };
        let Some(captured) = self.made_of.topics.capture(topic) else {
            return Err(refuse("its topic matches none of the source's topics".to_owned()));
        };
        let properties = match Properties::read(&publish.properties) {
            Ok(properties) => properties,
            Err(flaw) => return Err(refuse(flaw.to_string())),
        };
        let message = Message {
            topic,
            captured: &captured,
            content_type: properties.content_type,
            binary: properties.binary,
            user: properties.user(),
            hop: Some(&properties.hop),
            payload: publish.payload.clone(),
        };
        let event = self.made_of.template.mqtt(&mut self.made_of.ids, message);
        event.map_err(|cause| refuse(cause.to_string()))
    }

    fn broken(&self) -> SourceError {
        SourceError::Restart(format!("the connection of source '{}' broke down", self.made_of.session.name), None)
    }

    /// The end came while the broker was away, or without a sign that it has heard everything.
    fn unheard(&self, late: usize) -> SourceError {
        let Session { name, access, .. } = &self.made_of.session;
        let what = match late {
            0 => "the last messages may".to_owned(),
            late => format!("{late} messages are done and could not be acknowledged; they"),
        };
        let text = format!("broker {} of source '{name}' did not hear the end: {what} come again", access.address());
        SourceError::Restart(text, None)
    }

    fn left_behind(&self) -> SourceError {
        let Session { name, access, .. } = &self.made_of.session;
        let text = format!(
            "source '{name}' could not end its session '{}': broker {} did not take part; it keeps the session",
            access.client_id,
            access.address()
        );
        SourceError::Fatal(text, None)
    }
}
