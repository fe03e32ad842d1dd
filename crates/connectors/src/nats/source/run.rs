//! What one run holds: messages in seats, messages that wait for one, and answers that wait for a connection.

mod event;
mod goodbye;

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use engine::config::AckPoint;
use engine::delivery::{Intake, Outcome, Seat, Seats, Settlements, Stream};
use engine::event::Text;
use engine::port::SourceError;
use tokio::time::Instant;

use self::event::Facts;
use super::Ingredients;
use super::line::{Consuming, Line, PULLS, SUBJECTS, Session};
use crate::nats::api;
use crate::nats::connection::{Connection, answered};
use crate::nats::fault::Fault;
use crate::nats::header::Headers;
use crate::nats::lease::{Held, Leases, Seen, period};
use crate::nats::options::Durable;
use crate::nats::position::{Place, Position};
use crate::nats::wire::{self, Message};
use crate::normalise::{Ids, prefix};

/// The most messages that are handed over at once, so that none of them waits long for the others.
const BATCH: usize = 256;
/// Bytes that may be staged of what a server pushes.
const STAGED: usize = 16 << 20;
/// How often the lag is asked for; it costs the server a request.
const LAG: Duration = Duration::from_secs(2);
/// How long a consumer is left alone that has refused a request.
const QUIET: Duration = Duration::from_secs(1);
/// Later than anything that is waited for.
const NEVER: Duration = Duration::from_secs(24 * 3600);

/// What a server is told about one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    /// Done.
    Ack,
    /// Never again: its bytes are safe here.
    Term,
    /// Again, after this time.
    Nak(Duration),
    /// Still at it.
    Progress,
}

/// A message that waits for a seat.
struct Staged {
    message: Message,
    position: Option<Position>,
    touched: Instant,
}

impl Staged {
    /// It is still to be run, and nobody waits for its acknowledgement any more.
    fn disown(&mut self) {
        self.position = None;
        self.message.reply = Bytes::new();
    }
}

/// One run of a receiver.
pub(super) struct Run<'r> {
    made_of: &'r mut Ingredients,
    facts: Facts,
    capacity: usize,
    /// Seats that are taken, acknowledged or not.
    taken: usize,
    leases: Leases,
    staged: VecDeque<Staged>,
    staged_bytes: usize,
    /// Answers that wait for a connection.
    owed: Vec<(Bytes, Verb)>,
    /// What was acknowledged last, to be asked about in the end.
    last: Option<Bytes>,
    /// Whether the server has answered the last question.
    fenced: bool,
    /// Whether nothing more is read.
    closed: bool,
    seen: Seen,
    /// When the stream was made, and the ids of the messages in it.
    positions: Option<(String, Ids)>,
    /// What the engine knows the stream as, once something of it was delivered.
    stream: Option<Stream>,
    /// Up to where the server has said last that everything is acknowledged.
    floor: u64,
    next_sweep: Instant,
    next_lag: Instant,
    quiet: Instant,
    /// Why a pull request was refused last.
    said: Option<String>,
}

impl<'r> Run<'r> {
    pub(super) fn new(made_of: &'r mut Ingredients, capacity: usize) -> Run<'r> {
        let now = Instant::now();
        Run {
            facts: Facts::new(&made_of.reading),
            made_of,
            capacity,
            taken: 0,
            leases: Leases::new(capacity),
            staged: VecDeque::new(),
            staged_bytes: 0,
            owed: Vec::new(),
            last: None,
            fenced: false,
            closed: false,
            seen: Seen::new(2 * capacity),
            positions: None,
            stream: None,
            floor: 0,
            next_sweep: now,
            next_lag: now,
            quiet: now,
            said: None,
        }
    }

    /// Whether a message waits for a seat.
    pub(super) fn has_staged(&self) -> bool {
        !self.staged.is_empty()
    }

    /// The connection is set up: what has waited for it is due.
    pub(super) fn opened(&mut self, session: &mut Session) {
        let Session { connection, durable: Some(consuming) } = session else { return };
        let now = Instant::now();
        self.found(&consuming.durable.stream, &consuming.created);
        self.made_of.link.lag(Some(consuming.lag));
        self.floor = consuming.floor;
        self.sweep(connection, consuming, now);
        self.next_lag = now + LAG;
        if self.closed {
            unsubscribe(connection, PULLS);
        }
    }

    /// The stream was found as it was made at `created`. Of one that was made before nothing may be acknowledged any more:
    /// the server knows messages by their sequence alone, and would take the answer for one that is still running.
    fn found(&mut self, stream: &str, created: &str) {
        if self.positions.as_ref().is_some_and(|(before, _)| before == created) {
            return;
        }
        let ids = Ids::new(prefix(&[stream.as_bytes(), created.as_bytes()]));
        self.positions = Some((created.to_owned(), ids));
        (self.stream, self.floor) = (None, 0);
        self.seen = Seen::new(2 * self.capacity);
        self.leases.clear();
        self.owed.clear();
        self.last = None;
        for staged in &mut self.staged {
            staged.disown();
        }
    }

    /// Sends what is owed, takes in what was read, and asks for as much as there are seats.
    pub(super) fn work(&mut self, session: &mut Session, open: bool) -> Result<(), Fault> {
        self.pay(&mut session.connection);
        let now = Instant::now();
        while let Some(message) = session.connection.message()? {
            self.arrived(message, session, now)?;
        }
        self.pay(&mut session.connection);
        let free = self.capacity.saturating_sub(self.taken + self.staged.len());
        // What is staged waits for seats, which a paused source is not given: then nothing more is asked for.
        let ready = open && !self.closed && self.quiet <= now && self.staged.is_empty();
        if let Some(consuming) = session.durable.as_mut().filter(|_| ready)
            && let Some((number, batch)) = consuming.pulls.ask(free, self.capacity, now)
        {
            let Consuming { durable, inbox, .. } = consuming;
            let subject = format!("{}.CONSUMER.MSG.NEXT.{}.{}", durable.api(), durable.stream, durable.durable);
            let request = consuming.pulls.request(batch);
            let reply = format!("{inbox}{number}");
            wire::publish(&mut session.connection.out, subject.as_bytes(), reply.as_bytes(), request.as_bytes());
        }
        Ok(())
    }

    fn arrived(&mut self, message: Message, session: &mut Session, now: Instant) -> Result<(), Fault> {
        let Session { connection, durable } = session;
        match durable {
            Some(consuming) if message.sid == PULLS => match consuming.heard(&message, now) {
                Some(number) => self.status(number, &message, consuming, now)?,
                None => {
                    consuming.pulls.arrived();
                    self.delivered(message, now);
                }
            },
            None if message.sid >= SUBJECTS => self.pushed(message, now),
            _ => match connection.answer(&message) {
                Some(b"fence") => self.fenced = true,
                Some(b"lag") => {
                    let told = answered(message).and_then(|json| api::told(&json));
                    self.made_of.link.lag(told.as_ref().map(|consumer| consumer.lag()));
                    self.floor = told.map_or(self.floor, |consumer| consumer.ack_floor.stream_seq);
                }
                _ => {}
            },
        }
        Ok(())
    }

    /// A message of the consumer.
    fn delivered(&mut self, message: Message, now: Instant) {
        // Without a position nobody could ever acknowledge it; the server makes none like that.
        let Some(position) = Position::read(&message.reply) else { return };
        if self.closed {
            self.owed.push((message.reply, Verb::Nak(Duration::ZERO)));
            return;
        }
        let place = position.place;
        if self.seen.came(place.sequence) {
            if self.is_open(place, &message.reply, now) {
                return;
            }
            if self.seen.was_settled(place) {
                // Its acknowledgement was lost, or has crossed this copy.
                self.owed.push((message.reply, Verb::Ack));
                return;
            }
            self.replaced(place.sequence);
        }
        self.staged_bytes += message.payload.len() + message.headers.len();
        self.staged.push_back(Staged { message, position: Some(position), touched: now });
    }

    /// Another message has this sequence now, and nothing that is said of the one before may reach it.
    fn replaced(&mut self, sequence: u64) {
        let same = |position: Position| position.place.sequence == sequence;
        self.leases.forget(sequence);
        self.owed.retain(|(reply, _)| !Position::read(reply).is_some_and(same));
        self.last.take_if(|reply| Position::read(reply).is_some_and(same));
        for staged in self.staged.iter_mut().filter(|staged| staged.position.is_some_and(same)) {
            staged.disown();
        }
    }

    /// Whether this very message is still open here, so that what came is a copy of it. Its acknowledgement goes
    /// where the copy wants it.
    fn is_open(&mut self, place: Place, reply: &Bytes, now: Instant) -> bool {
        if let Some(held) = self.leases.open(place) {
            held.reply.clone_from(reply);
            held.touched = now;
            return true;
        }
        let known = |staged: &&mut Staged| staged.position.is_some_and(|position| position.place == place);
        let Some(staged) = self.staged.iter_mut().find(known) else { return false };
        staged.message.reply.clone_from(reply);
        staged.touched = now;
        true
    }

    /// A message of a core subject, which came whether or not there was room.
    fn pushed(&mut self, message: Message, now: Instant) {
        let index = usize::try_from(message.sid - SUBJECTS).unwrap_or(usize::MAX);
        let first = std::str::from_utf8(&message.subject).ok().and_then(|text| self.made_of.subjects.first(text));
        if first.is_some_and(|first| first < index) {
            // Another subject of this source matches too, and has brought it already.
            return;
        }
        let size = message.payload.len() + message.headers.len();
        if self.closed {
            self.made_of.link.dropped("shutdown", 1);
        } else if self.staged.len() >= 2 * self.capacity || self.staged_bytes + size > STAGED.max(size) {
            self.made_of.link.dropped("full", 1);
        } else {
            self.staged_bytes += size;
            self.staged.push_back(Staged { message, position: None, touched: now });
        }
    }

    /// What the server says of a request instead of a message.
    fn status(&mut self, number: u64, message: &Message, at: &mut Consuming, now: Instant) -> Result<(), Fault> {
        let headers = Headers::read(&message.headers).unwrap_or_default();
        let Some(status) = headers.status else { return Ok(()) };
        let gone = status.code == 503 || status.text.eq_ignore_ascii_case("Consumer Deleted");
        if gone {
            let (consumer, stream) = (&at.durable.durable, &at.durable.stream);
            return Err(Fault::JetStream(format!("no longer has consumer '{consumer}' of stream '{stream}'")));
        }
        match status.code {
            100 => {}
            404 | 408 => at.pulls.ended(number, headers.pending),
            code => {
                // Asking again at once would only be refused again.
                at.pulls.ended(number, headers.pending);
                self.quiet = now + QUIET;
                self.refused_pull(code, status.text, &at.durable);
            }
        }
        Ok(())
    }

    /// Says why nothing comes, once for each reason.
    fn refused_pull(&mut self, code: u16, text: &str, durable: &Durable) {
        let (consumer, stream) = (&durable.durable, &durable.stream);
        let sentence =
            format!("consumer '{consumer}' of stream '{stream}' refused a pull request: {text} (code {code})");
        if self.said.as_ref() != Some(&sentence) {
            tracing::warn!(source = %self.made_of.name, "{sentence}");
            self.said = Some(sentence.clone());
        }
        self.made_of.link.error(sentence);
    }

    /// Hands over what is staged, waiting for the first seat. Cancel safe.
    pub(super) async fn hand_over(&mut self, intake: &mut Option<Intake>) -> Result<(), SourceError> {
        let Some(intake) = intake else { return Ok(()) };
        let reserved = intake.reserve(self.staged.len().min(BATCH)).await;
        let mut seats = reserved.map_err(|cause| SourceError::Restart(cause.to_string(), None))?;
        while !seats.is_empty()
            && let Some(staged) = self.staged.pop_front()
        {
            self.staged_bytes -= staged.message.payload.len() + staged.message.headers.len();
            let stands = staged.position.and_then(|at| Some((self.stream(&seats)?, at.place.sequence)));
            let seat = match (self.event(&staged), stands) {
                (Ok(event), Some((stream, sequence))) => seats.deliver_at(event, stream, sequence).ok(),
                (Ok(event), None) => seats.deliver(event).ok(),
                (Err(message), Some((stream, sequence))) => seats.reject_at(message, stream, sequence).ok(),
                (Err(message), None) => seats.reject(message).ok(),
            };
            // No more was taken than there are seats.
            if let Some(seat) = seat {
                self.seated(seat, staged);
            }
        }
        Ok(())
    }

    /// Tells the engine up to where the server has accepted that messages are settled.
    pub(super) fn accept(&self, settlements: &Settlements) {
        if let (Some(stream), 1..) = (self.stream, self.floor) {
            settlements.accepted(stream, self.floor + 1);
        }
    }

    /// What the engine knows the stream as.
    fn stream(&mut self, seats: &Seats<'_>) -> Option<Stream> {
        let (created, _) = self.positions.as_ref()?;
        let name = self.facts.stream_name()?;
        Some(*self.stream.get_or_insert_with(|| seats.stream(name, &Text::from(created.as_str()))))
    }

    fn seated(&mut self, seat: Seat, staged: Staged) {
        self.taken += 1;
        let Some(position) = staged.position else { return };
        let reply = staged.message.reply;
        match self.made_of.ack {
            AckPoint::Received => self.owed.push((reply, Verb::Ack)),
            _ => {
                let held = Held { reply, place: position.place, touched: staged.touched };
                self.leases.hold(seat.index(), held);
            }
        }
    }

    /// Owes the server an answer for each message that has settled.
    pub(super) fn settle(&mut self, settled: &mut Vec<(Seat, Outcome)>) {
        for (seat, outcome) in settled.drain(..) {
            self.taken = self.taken.saturating_sub(1);
            let Some(held) = self.leases.release(seat.index()) else { continue };
            let verb = match outcome {
                Outcome::Ack => Verb::Ack,
                Outcome::Reject => Verb::Term,
                Outcome::Retry { after } => Verb::Nak(after),
            };
            if !matches!(verb, Verb::Nak(_)) {
                self.seen.settled(held.place);
            }
            self.owed.push((held.reply, verb));
        }
    }

    /// Sends every answer that is owed, in one piece.
    fn pay(&mut self, connection: &mut Connection) {
        for (reply, verb) in self.owed.drain(..) {
            say(connection, &reply, b"", verb);
            if verb == Verb::Ack {
                self.last = Some(reply);
            }
        }
    }

    /// Extends every lease that is due.
    fn sweep(&mut self, connection: &mut Connection, consuming: &Consuming, now: Instant) {
        for reply in self.leases.due(consuming.lease, now) {
            say(connection, reply, b"", Verb::Progress);
        }
        let half = consuming.lease / 2;
        let owned = self.staged.iter_mut().filter(|staged| staged.position.is_some());
        for staged in owned.filter(|staged| now.saturating_duration_since(staged.touched) >= half) {
            say(connection, &staged.message.reply, b"", Verb::Progress);
            staged.touched = now;
        }
        self.next_sweep = now + period(consuming.lease);
    }

    /// When something is due whatever happens.
    pub(super) fn due(&self, line: &mut Line) -> Instant {
        let now = Instant::now();
        let Some(Session { durable: Some(consuming), .. }) = line.session() else { return now + NEVER };
        let quiet = (self.quiet > now).then_some(self.quiet);
        let due = [Some(self.next_sweep), Some(self.next_lag), consuming.pulls.until(), quiet];
        due.into_iter().flatten().min().unwrap_or(now + NEVER)
    }

    /// Does what is due.
    pub(super) fn tick(&mut self, now: Instant, session: &mut Session) {
        let Session { connection, durable: Some(consuming) } = session else { return };
        if self.next_sweep <= now {
            self.sweep(connection, consuming, now);
        }
        if self.next_lag <= now {
            self.next_lag = now + LAG;
            ask(connection, consuming, "lag");
        }
        consuming.pulls.expire(now);
    }

    /// Reads nothing more: what waits for a seat goes back to the stream at once, for another engine.
    pub(super) fn close(&mut self, session: Option<&mut Session>) {
        self.closed = true;
        let waiting = self.staged.drain(..).map(|staged| staged.message.reply);
        match session.map(|session| (&mut session.connection, session.durable.is_some())) {
            Some((connection, true)) => unsubscribe(connection, PULLS),
            Some((connection, false)) => {
                let sids = SUBJECTS..SUBJECTS + self.made_of.subjects.wire().count() as u64;
                sids.for_each(|sid| unsubscribe(connection, sid));
            }
            None => {}
        }
        if self.facts.durable() {
            // What nobody waits for any more is not there to be given back.
            let given = waiting.filter(|reply| !reply.is_empty());
            self.owed.extend(given.map(|reply| (reply, Verb::Nak(Duration::ZERO))));
        } else {
            let lost = waiting.count() as u64;
            if lost > 0 {
                self.made_of.link.dropped("shutdown", lost);
            }
        }
        self.staged_bytes = 0;
    }
}

/// Tells the server about one message; `reply` is where it confirms, if it should.
fn say(connection: &mut Connection, to: &[u8], reply: &[u8], verb: Verb) {
    match verb {
        Verb::Ack => wire::publish(&mut connection.out, to, reply, b"+ACK"),
        Verb::Term => wire::publish(&mut connection.out, to, reply, b"+TERM"),
        Verb::Progress => wire::publish(&mut connection.out, to, reply, b"+WPI"),
        Verb::Nak(Duration::ZERO) => wire::publish(&mut connection.out, to, reply, b"-NAK"),
        Verb::Nak(after) => {
            let payload = format!("-NAK {{\"delay\":{}}}", after.as_nanos());
            wire::publish(&mut connection.out, to, reply, payload.as_bytes());
        }
    }
}

/// Asks for the state of the consumer; the answer comes under `name`.
fn ask(connection: &mut Connection, consuming: &Consuming, name: &str) {
    let reply = format!("{}{name}", connection.inbox);
    wire::publish(&mut connection.out, api::consumer_info(&consuming.durable).as_bytes(), reply.as_bytes(), b"");
}

fn unsubscribe(connection: &mut Connection, sid: u64) {
    connection.out.extend_from_slice(format!("UNSUB {sid}\r\n").as_bytes());
}

#[cfg(test)]
mod tests;
