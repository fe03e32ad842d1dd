//! One run of a consumer: from frames to events in seats, and from outcomes to acknowledgements.

mod late;

use std::collections::VecDeque;
use std::str::from_utf8;
use std::time::Duration;

use engine::config::AckPoint;
use engine::delivery::{Closed, Intake, Outcome, Seat, Seats, Settlements, Undecodable};
use engine::event::{Event, Text};
use tokio::time::Instant;

use super::Ingredients;
use super::line::Session;
use crate::amqp::connection::{CONSUMING, LOOKING};
use crate::amqp::fault::Fault;
use crate::amqp::message::{Incoming, Properties};
use crate::amqp::unacked::{Ack, Tag};
use crate::amqp::wire::{self, Broken, Frame, Method};
use crate::kept;
use crate::normalise::Posted;
use late::LATE;
pub(in crate::amqp) use late::asked;

/// The most messages that are handed over at once, so that none of them waits long for the others.
const BATCH: usize = 256;
/// Beyond so many staged bytes nothing more is read.
const STAGED: usize = 16 << 20;
/// How often the queue is looked at.
const LOOK: Duration = Duration::from_secs(5);

pub(super) struct Run<'r> {
    made_of: &'r mut Ingredients,
    /// The session that `staged` is of; zero for none.
    epoch: u32,
    /// Messages of this session that have no seat yet.
    staged: VecDeque<Incoming>,
    staged_bytes: usize,
    /// Where the message in each seat stands.
    places: Vec<Option<Place>>,
    acks: Vec<Ack>,
    look: Instant,
    /// Nothing more is wanted.
    closing: bool,
}

/// A message that has a seat.
#[derive(Clone, Copy)]
struct Place {
    seat: Seat,
    /// Its session.
    epoch: u32,
    /// Its number there.
    tag: Tag,
    /// Whether the engine was asked to give it back.
    asked: bool,
}

impl<'r> Run<'r> {
    pub(super) fn new(made_of: &'r mut Ingredients, capacity: usize) -> Run<'r> {
        Run {
            made_of,
            epoch: 0,
            staged: VecDeque::new(),
            staged_bytes: 0,
            places: vec![None; capacity],
            acks: Vec::new(),
            look: Instant::now(),
            closing: false,
        }
    }

    /// Whether more may be read.
    pub(super) fn reads(&self) -> bool {
        self.staged_bytes <= STAGED
    }

    pub(super) fn has_staged(&self) -> bool {
        !self.staged.is_empty()
    }

    /// What was staged on a connection that is gone is the broker's again.
    pub(super) fn follow(&mut self, session: Option<&mut Session>) {
        let epoch = session.map_or(0, |session| session.epoch);
        if self.epoch != epoch {
            self.epoch = epoch;
            self.staged.clear();
            self.staged_bytes = 0;
            self.look = Instant::now();
        }
    }

    /// Takes everything that was read.
    pub(super) fn work(&mut self, session: &mut Session) -> Result<(), Fault> {
        self.follow(Some(session));
        while let Some(frame) = session.connection.next()? {
            let whole = match frame {
                Frame::Method(channel, method) => {
                    self.told(channel, method, session)?;
                    None
                }
                Frame::Header { size, properties } => session.assembly.header(properties, size)?,
                Frame::Body(part) => session.assembly.body(part)?,
                Frame::Heartbeat => None,
            };
            if let Some(incoming) = whole {
                self.came(incoming, session)?;
            }
        }
        Ok(())
    }

    fn told(&mut self, channel: u16, method: Method, session: &mut Session) -> Result<(), Fault> {
        let out = &mut session.connection.out;
        match method {
            Method::Deliver(delivery) => session.assembly.begin(delivery),
            Method::Declared(ready) if channel == LOOKING => {
                self.made_of.link.lag(Some(u64::from(ready) + session.unacked.len() as u64));
            }
            Method::ChannelClose(refusal) => {
                wire::channel_close_ok(out, channel);
                if channel == CONSUMING {
                    return Err(Fault::Channel(refusal.text));
                }
                // Whoever may consume may be forbidden to look.
                tracing::debug!(source = %self.made_of.name, "the queue cannot be looked at: {}", refusal.text);
                session.looks = false;
                self.made_of.link.lag(None);
            }
            Method::Cancelled if !self.closing => return Err(Fault::Cancelled(self.made_of.queue.name.clone())),
            _ => {}
        }
        Ok(())
    }

    fn came(&mut self, incoming: Incoming, session: &mut Session) -> Result<(), Fault> {
        let tag = session.unacked.delivered(Instant::now());
        if incoming.delivery.tag != tag {
            return Err(Broken(format!("delivery {} where {tag} is next", incoming.delivery.tag)).into());
        }
        if self.closing {
            self.hand_back(tag, session);
        } else {
            self.staged_bytes += incoming.payload.len() + incoming.properties.len();
            self.staged.push_back(incoming);
        }
        Ok(())
    }

    /// Hands a message back, unless it is not this channel's any more.
    fn hand_back(&mut self, tag: Tag, session: &mut Session) -> bool {
        let there = session.unacked.given_up(tag);
        if there {
            wire::requeue(&mut session.connection.out, CONSUMING, tag);
        }
        there
    }

    /// Puts what is staged into seats, as far as there are any.
    pub(super) fn hand_over(&mut self, mut seats: Seats<'_>, session: Option<&mut Session>) {
        let Some(session) = session else { return };
        while !seats.is_empty() {
            let Some(incoming) = self.staged.pop_front() else { break };
            self.staged_bytes -= incoming.payload.len() + incoming.properties.len();
            let tag = incoming.delivery.tag;
            let seat = match self.event(&incoming) {
                Ok(event) => seats.deliver(event).ok(),
                Err(message) => seats.reject(*message).ok(),
            };
            // There is a seat left.
            let Some(seat) = seat else { continue };
            self.places[seat.index()] = match self.made_of.ack {
                AckPoint::Received => {
                    session.unacked.finished(tag);
                    None
                }
                _ => Some(Place { seat, epoch: session.epoch, tag, asked: false }),
            };
        }
        drop(seats);
        self.acknowledge(session);
    }

    /// Takes what has settled, and tells it to the broker as far as it is of this connection.
    pub(super) fn settle(&mut self, settled: &mut Vec<(Seat, Outcome)>, session: Option<&mut Session>) {
        let Some(session) = session else { return settled.clear() };
        for (seat, outcome) in settled.drain(..) {
            let place = self.places[seat.index()].take().filter(|place| place.epoch == session.epoch);
            let Some(Place { tag, asked, .. }) = place else { continue };
            match outcome {
                Outcome::Ack => session.unacked.finished(tag),
                Outcome::Reject => {
                    if session.unacked.given_up(tag) {
                        wire::reject(&mut session.connection.out, CONSUMING, tag);
                    }
                }
                Outcome::Retry { .. } => {
                    if self.hand_back(tag, session) && asked {
                        self.made_of.link.dropped(LATE, 1);
                    }
                }
            }
        }
        self.acknowledge(session);
    }

    fn acknowledge(&mut self, session: &mut Session) {
        session.unacked.acks(&mut self.acks);
        for Ack { tag, multiple } in self.acks.drain(..) {
            wire::ack(&mut session.connection.out, CONSUMING, tag, multiple);
        }
    }

    /// Asks for nothing more, and hands back what has no seat.
    pub(super) fn close(&mut self, session: Option<&mut Session>) {
        self.closing = true;
        let staged = std::mem::take(&mut self.staged);
        self.staged_bytes = 0;
        let Some(session) = session else { return };
        session.connection.cancel();
        for incoming in staged {
            self.hand_back(incoming.delivery.tag, session);
        }
    }

    /// When time has something to do.
    pub(super) fn due(&self, session: Option<&mut Session>) -> Instant {
        let late = session.and_then(|session| self.late(session));
        late.map_or(self.look, |late| self.look.min(late))
    }

    /// Looks at the queue, and after what has been here for too long.
    pub(super) fn tick(&mut self, now: Instant, session: Option<&mut Session>, settlements: &mut Settlements) {
        let looks = now >= self.look;
        if looks {
            self.look = now + LOOK;
        }
        let Some(session) = session else { return };
        if looks && session.looks {
            wire::declare(&mut session.connection.out, LOOKING, &self.made_of.queue.name, true, false, &[]);
        }
        self.hasten(now, session, settlements);
    }

    /// The event that a message is, or its raw bytes and why it is none.
    fn event(&mut self, incoming: &Incoming) -> Result<Event, Box<Undecodable>> {
        let Incoming { delivery, properties, payload, size } = incoming;
        let refuse = |reason: String| {
            let text = |bytes: &[u8]| Text::from(String::from_utf8_lossy(bytes));
            let mut facts = vec![
                ("exchange".into(), text(&delivery.exchange)),
                ("routingKey".into(), text(&delivery.routing_key)),
                ("redelivered".into(), delivery.redelivered.to_string().into()),
            ];
            facts.extend(kept(properties).fact());
            Box::new(Undecodable { raw: payload.clone(), reason, facts })
        };
        let limit = self.made_of.limit;
        if *size > limit {
            let reason = format!("the payload has {size} bytes, which is more than maxMessageSize ({limit})");
            return Err(refuse(format!("{reason}; {} of them are kept", payload.len())));
        }
        let (Ok(exchange), Ok(routing_key)) = (from_utf8(&delivery.exchange), from_utf8(&delivery.routing_key)) else {
            return Err(refuse("its exchange or routing key is not UTF-8 text".to_owned()));
        };
        let captured = match self.made_of.routing_keys.wire().next() {
            Some(_) => self.made_of.routing_keys.capture(routing_key),
            None => Some(Default::default()),
        };
        let Some(captured) = captured else {
            return Err(refuse("its routing key is like none of routingKeys".to_owned()));
        };
        let properties = Properties::read(properties)
            .map_err(|cause| refuse(format!("its properties or headers cannot be read: {cause}")))?;
        let message = Posted {
            exchange,
            routing_key,
            redelivered: delivery.redelivered,
            captured: &captured,
            content_type: properties.content_type,
            headers: properties.headers,
            payload: payload.clone(),
        };
        let event = self.made_of.template.amqp(&mut self.made_of.ids, message);
        event.map_err(|cause| refuse(cause.to_string()))
    }
}

/// What a message says of itself besides its payload: its properties as they stand, if they cannot be read.
fn kept(properties: &[u8]) -> kept::Headers {
    let mut kept = kept::Headers::default();
    match Properties::read(properties) {
        Ok(read) => {
            if let Some(content_type) = read.content_type {
                kept.add(b"content_type", Some(content_type));
            }
            read.headers.for_each(|(name, value)| kept.add(name, value.shown().as_deref()));
        }
        Err(_) => kept.add(b"properties", Some(properties)),
    }
    kept
}

/// Seats, if anything is still taken in. Cancel safe.
pub(super) async fn reserve(intake: &mut Option<Intake>) -> Result<Seats<'_>, Closed> {
    match intake {
        Some(intake) => intake.reserve(BATCH).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amqp::Stamp;

    #[test]
    fn what_is_no_event_keeps_its_headers() {
        let stamp = Stamp { content_type: Some("text/csv"), message_id: Some("e-1") };
        let bytes = stamp.properties(vec![("cloudEvents:specversion".to_owned(), "1.0".to_owned())]).unwrap();
        let lines = |properties: &[u8]| kept(properties).fact().map(|(_, lines)| lines.to_string());
        assert_eq!(lines(&bytes).unwrap(), "content_type: text/csv\ncloudEvents:specversion: 1.0");
        assert_eq!(lines(b"\0\0"), None);
        assert_eq!(lines(b"\x80\x01").unwrap(), "properties: \\x80\\u{1}");
    }
}
