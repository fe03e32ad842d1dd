//! One connection to a broker, from its first packet to its last.
//!
//! The client crate's event loop is not used for receiving, on three counts: it cannot stop reading while it goes on
//! pinging, so a full ring of a 3.1.1 session would have to drop what must not be lost; it ends the connection over one
//! broken or oversized message, which the broker then sends again for ever; and it takes one message per event where one
//! read holds hundreds. What is left of a client that only receives fits on this page: everything here happens in one
//! poll, which owns both directions of the stream, so nothing is ever lost by a cancelled future.
//!
//! *The gate*: when the ring is full the connection stops reading, and TCP holds the broker back. Pings are still sent,
//! and a missing answer is forgiven, because it stands behind the messages that are not read. MQTT 5 is treated alike,
//! although its receive maximum should make the gate idle: mosquitto 2.0.11 keeps to it on a new session and sends
//! thousands beyond it on a resumed one (200 asked for, up to 8,384 unacknowledged seen), so ending the connection over it,
//! as the standard allows, would resume and end for ever.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use engine::metric::Link;
use engine::port::Stop;
use tokio::time::{Instant, Sleep};

use super::desk::{Desk, Intent};
use super::dialect::{Control, Dialect};
use super::fault::Fault;
use super::greeting::ANSWER;
use super::pipe::Pipe;
use super::staging::Arrival;
use super::wire::{Ack, Decoder, Frame, write_ack, write_complete};

/// How long a session that was unsubscribed must be quiet before it counts as drained.
const QUIET: Duration = Duration::from_secs(1);
/// An alarm that does not matter now.
const NEVER: Duration = Duration::from_secs(24 * 3600);

/// What a connection is told when it begins.
pub(super) struct Terms {
    pub(super) dialect: &'static dyn Dialect,
    /// Between two signs of life; zero for no pings.
    pub(super) keep_alive: Duration,
    /// The longest packet that is taken.
    pub(super) limit: usize,
    /// Seats, and so what the broker may send without an acknowledgement.
    pub(super) window: usize,
    /// An unsubscription for when the source is told to leave.
    pub(super) unsubscribe: BytesMut,
}

/// The packet identifier of the unsubscription with which a source leaves.
pub(super) const LEAVE_PACKET: u16 = 3;

/// What the connection reports to whoever drives it.
#[derive(Debug)]
pub(super) enum Happening {
    /// An answer to a subscription.
    Subscribed(Vec<Result<u8, String>>),
    /// An answer to an unsubscription other than [`LEAVE_PACKET`].
    Unsubscribed,
    /// Everything is sent and goodbye is said.
    Done(Stop),
}

/// An open connection.
pub(super) struct Connection {
    pipe: Pipe,
    desk: Arc<Desk>,
    link: Link,
    terms: Terms,
    epoch: u32,
    decoder: Decoder,
    /// Messages that are decoded and not staged.
    decoded: VecDeque<Arrival>,
    /// Packets around messages that are decoded and not handled.
    controls: VecDeque<Control>,
    acks: Vec<Ack>,
    /// Messages that the broker sent and that are not acknowledged.
    outstanding: usize,
    /// The ring is full.
    held: bool,
    intent: Intent,
    leaving: Leaving,
    ending: Option<Stop>,
    alarm: Pin<Box<Sleep>>,
    last_message: Instant,
    /// When a subscription must be answered.
    answer_by: Option<Instant>,
    /// Nothing can be written any more. What was delivered before that is still read: a broker that was killed may not
    /// send it again.
    broken: Option<Fault>,
}

/// How far an unsubscription is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaving {
    No,
    Asked,
    Confirmed,
    Drained,
}

impl Connection {
    /// A connection whose greeting is over; `input` holds what came behind it.
    pub(super) fn new(pipe: Pipe, desk: Arc<Desk>, link: Link, terms: Terms) -> Self {
        let now = Instant::now();
        Connection {
            pipe,
            epoch: desk.begin(),
            desk,
            link,
            decoder: Decoder::new(terms.dialect.has_properties(), terms.limit),
            terms,
            decoded: VecDeque::new(),
            controls: VecDeque::new(),
            acks: Vec::new(),
            outstanding: 0,
            held: false,
            intent: Intent::Receive,
            leaving: Leaving::No,
            ending: None,
            alarm: Box::pin(tokio::time::sleep_until(now)),
            last_message: now,
            answer_by: None,
            broken: None,
        }
    }

    /// Queues packets whose answer is waited for.
    pub(super) fn ask(&mut self, packets: &[u8]) {
        self.pipe.out.extend_from_slice(packets);
        self.answer_by = Some(Instant::now() + ANSWER);
        self.rouse();
    }

    /// Receives and acknowledges until there is something to report.
    pub(super) async fn drive(&mut self) -> Result<Happening, Fault> {
        poll_fn(|context| self.poll(context)).await
    }

    /// Tells the broker what it did wrong, if it did.
    pub(super) async fn complain(mut self, fault: &Fault) {
        let Some(reason) = fault.complaint() else { return };
        self.terms.dialect.complain(reason, &mut self.pipe.out);
        if self.pipe.send_off().await {
            self.finish().await;
        }
    }

    /// Reads to the end after goodbye.
    pub(super) async fn finish(self) {
        self.pipe.finish().await;
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Happening, Fault>> {
        self.desk.watch(context.waker());
        loop {
            self.take_orders()?;
            self.decode()?;
            if let Some(happening) = self.handle_controls()? {
                return Poll::Ready(Ok(happening));
            }
            self.check_clock(context)?;
            if self.broken.is_none() {
                match (self.pipe.poll_write(context), self.ending) {
                    (Poll::Ready(Ok(())), Some(stop)) => return Poll::Ready(Ok(Happening::Done(stop))),
                    (Poll::Ready(Err(fault)), _) => self.broken = Some(fault),
                    _ => {}
                }
            }
            if self.deaf() {
                return match self.broken.take_if(|_| !self.held) {
                    Some(fault) => Poll::Ready(Err(fault)),
                    None => Poll::Pending,
                };
            }
            let read = ready!(self.pipe.poll_read(context));
            if read.map_err(|end| self.broken.take().unwrap_or(end))? {
                // There is more, but the other tasks come first.
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
    }

    /// Whether nothing is read, so that no answer can be expected either.
    fn deaf(&self) -> bool {
        self.held || matches!(self.intent, Intent::Close | Intent::End(_))
    }

    /// Does what the source wants: acknowledgements above all.
    fn take_orders(&mut self) -> Result<(), Fault> {
        let orders = self.desk.orders(&mut self.acks);
        self.outstanding = self.outstanding.saturating_sub(self.acks.len());
        for ack in self.acks.drain(..) {
            write_ack(ack, &mut self.pipe.out);
        }
        if self.held && orders.half_empty {
            self.held = false;
            // The answers may still stand behind what is read now.
            let by = Instant::now() + ANSWER;
            (self.pipe.pong_by, self.answer_by) = (self.pipe.pong_by.map(|_| by), self.answer_by.map(|_| by));
            self.rouse();
        }
        self.intent = orders.intent;
        if self.deaf() && !self.held {
            // What was decoded and found no room stays with the broker, if the broker keeps it.
            let lost = self.decoded.drain(..).filter(|arrival| arrival.publish.ack.is_none()).count();
            self.link.dropped("shutdown", lost as u64);
        }
        match orders.intent {
            Intent::Receive if orders.handed_back > self.terms.window / 2 => return Err(Fault::HandedBack),
            Intent::Receive | Intent::Close => {}
            Intent::Unsubscribe => self.leave(orders.handed_back)?,
            Intent::End(stop) if self.ending.is_none() => {
                self.ending = Some(stop);
                self.terms.dialect.disconnect(stop == Stop::Leave, &mut self.pipe.out)?;
            }
            Intent::End(_) => {}
        }
        Ok(())
    }

    fn leave(&mut self, handed_back: usize) -> Result<(), Fault> {
        match self.leaving {
            Leaving::No => {
                self.leaving = Leaving::Asked;
                let packet = std::mem::take(&mut self.terms.unsubscribe);
                self.ask(&packet);
            }
            Leaving::Asked | Leaving::Drained => {}
            Leaving::Confirmed if self.last_message.elapsed() < QUIET => {}
            Leaving::Confirmed if self.outstanding == 0 => {
                self.leaving = Leaving::Drained;
                self.desk.session_drained();
            }
            // Only what was handed back is left, and only another connection brings it again.
            Leaving::Confirmed if self.outstanding == handed_back => return Err(Fault::HandedBack),
            Leaving::Confirmed => {}
        }
        Ok(())
    }

    /// Cuts what was read into frames, and stages the messages among them.
    fn decode(&mut self) -> Result<(), Fault> {
        if self.deaf() {
            return Ok(());
        }
        while let Some(frame) = self.decoder.next(&mut self.pipe.input)? {
            match frame {
                Frame::Publish(publish) => {
                    self.outstanding += usize::from(publish.ack.is_some());
                    self.decoded.push_back(Arrival { epoch: self.epoch, publish });
                }
                Frame::Control(frame) => self.controls.push_back(self.terms.dialect.read(frame)?),
            }
        }
        if self.decoded.is_empty() {
            return Ok(());
        }
        self.last_message = Instant::now();
        let staged = self.desk.stage(&mut self.decoded);
        self.held = staged.full;
        if staged.dropped > 0 {
            self.link.dropped("ringFull", staged.dropped);
        }
        Ok(())
    }

    fn handle_controls(&mut self) -> Result<Option<Happening>, Fault> {
        while let Some(control) = self.controls.pop_front() {
            match control {
                Control::Pong => {}
                Control::Release(packet) => write_complete(packet, &mut self.pipe.out),
                Control::Goodbye(refusal) => return Err(Fault::Ended(refusal)),
                Control::Subscribed(answers) => {
                    self.answer_by = None;
                    return Ok(Some(Happening::Subscribed(answers)));
                }
                Control::Unsubscribed(LEAVE_PACKET) => {
                    self.answer_by = None;
                    self.leaving = Leaving::Confirmed;
                    self.last_message = Instant::now();
                    self.rouse();
                }
                Control::Unsubscribed(_) => return Ok(Some(Happening::Unsubscribed)),
                Control::Welcome(_) | Control::Refused(_) => {
                    return Err(Fault::Protocol("a second answer to the greeting".to_owned()));
                }
                Control::Taken(_) => {
                    return Err(Fault::Protocol("a confirmation of what was never published".to_owned()));
                }
            }
        }
        Ok(None)
    }

    /// Looks at the clock at the next poll, because a deadline has come nearer.
    fn rouse(&mut self) {
        self.alarm.as_mut().reset(Instant::now());
    }

    /// Pings when it is time, and gives up on a broker that does not answer.
    fn check_clock(&mut self, context: &mut Context<'_>) -> Result<(), Fault> {
        while self.alarm.as_mut().poll(context).is_ready() {
            let now = Instant::now();
            let every = self.terms.keep_alive;
            let overdue = [self.pipe.pong_by, self.answer_by].into_iter().flatten().any(|by| by <= now);
            if overdue && !self.deaf() {
                return Err(Fault::Silent(now - self.pipe.last_received));
            }
            let mut next = now + NEVER;
            if !every.is_zero() {
                next = next.min(self.pipe.ping(every));
            }
            for by in [self.pipe.pong_by, self.answer_by].into_iter().flatten().filter(|by| *by > now) {
                next = next.min(by);
            }
            if self.leaving == Leaving::Confirmed {
                next = next.min(now + QUIET / 4);
            }
            self.alarm.as_mut().reset(next);
        }
        Ok(())
    }
}
