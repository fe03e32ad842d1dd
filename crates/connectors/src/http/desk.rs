//! Which requests wait for what: values that the source's task keeps between two turns.
//!
//! A request is either *waiting*, nothing of it handed over and nothing promised, or *open*, some or all of its events in
//! seats. Only a waiting one can be turned away. An open one is answered when its last event has settled, by the greatest
//! of its outcomes; a part of a batch that could not be handed over any more counts as handed back.

use std::collections::VecDeque;
use std::time::Duration;

use engine::delivery::{Outcome, Seat, Undecodable};
use engine::event::Event;
use slab::Slab;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::answer::Answer;

/// What one request asks to be handed over.
pub(super) struct Parcel {
    pub(super) messages: VecDeque<Message>,
    pub(super) reply: oneshot::Sender<Answer>,
    /// When it may be turned away.
    pub(super) deadline: Instant,
}

/// One message of a request.
pub(super) type Message = Result<Event, Undecodable>;

/// The requests that are not answered yet.
pub(super) struct Desk {
    waiting: VecDeque<Parcel>,
    open: Slab<Open>,
    /// Where the request of the event in each seat is in `open`.
    seats: Vec<usize>,
    /// The front of `waiting`, if some of it has been handed over.
    begun: Option<usize>,
    /// Whether being handed over is all that a request waits for.
    at_once: bool,
}

/// A request of which something was handed over.
struct Open {
    in_seats: usize,
    /// Whether the rest of it is still to come.
    more: bool,
    worst: Outcome,
    /// Why it is no event.
    reason: Option<String>,
    reply: oneshot::Sender<Answer>,
}

impl Desk {
    pub(super) fn new(seats: usize, at_once: bool) -> Desk {
        Desk { waiting: VecDeque::new(), open: Slab::new(), seats: vec![0; seats], begun: None, at_once }
    }

    /// Takes requests in, in order. One without events is done.
    pub(super) fn arrived(&mut self, parcels: impl Iterator<Item = Parcel>) {
        for parcel in parcels {
            match parcel.messages.is_empty() {
                // Nobody may be there any more to hear it.
                true => drop(parcel.reply.send(Answer::Accepted)),
                false => self.waiting.push_back(parcel),
            }
        }
    }

    /// How many messages wait for a seat, counted up to `most` requests.
    pub(super) fn waiting(&mut self, most: usize) -> usize {
        // Nothing was promised to a client that has gone, and it will send again what it cares for.
        while self.begun.is_none() && self.waiting.front().is_some_and(|parcel| parcel.reply.is_closed()) {
            self.waiting.pop_front();
        }
        self.waiting.iter().take(most).map(|parcel| parcel.messages.len()).sum()
    }

    /// The next message to hand over.
    pub(super) fn next(&mut self) -> Option<Message> {
        self.waiting.front_mut()?.messages.pop_front()
    }

    /// The message that [`Desk::next`] gave is in `seat`; `reason` is why it is no event, if it is none.
    pub(super) fn occupied(&mut self, seat: Seat, reason: Option<String>) {
        let Some(parcel) = self.waiting.front_mut() else { return };
        let more = !parcel.messages.is_empty();
        let place = match self.begun {
            Some(place) => place,
            None => {
                // The answer goes where the request is; what is left of the parcel has nobody waiting.
                let (unused, _) = oneshot::channel();
                let reply = std::mem::replace(&mut parcel.reply, unused);
                self.open.insert(Open { in_seats: 0, more, worst: Outcome::Ack, reason: None, reply })
            }
        };
        self.seats[seat.index()] = place;
        if let Some(open) = self.open.get_mut(place) {
            open.in_seats += 1;
            open.more = more;
            open.reason = open.reason.take().or(reason);
        }
        self.begun = more.then_some(place);
        if !more {
            self.waiting.pop_front();
            if self.at_once {
                self.hasten(place);
            }
        }
    }

    /// Answers before anything has settled.
    fn hasten(&mut self, place: usize) {
        let Some(open) = self.open.get_mut(place) else { return };
        let answer = open.reason.take().map_or(Answer::Accepted, Answer::NoEvent);
        let (unused, _) = oneshot::channel();
        drop(std::mem::replace(&mut open.reply, unused).send(answer));
    }

    /// What became of the message in `seat`.
    pub(super) fn settled(&mut self, seat: Seat, outcome: Outcome) {
        let place = self.seats[seat.index()];
        let Some(open) = self.open.get_mut(place) else { return };
        open.in_seats -= 1;
        open.worst = open.worst.max(outcome);
        self.answer(place);
    }

    fn answer(&mut self, place: usize) {
        if self.open.get(place).is_none_or(|open| open.in_seats > 0 || open.more) {
            return;
        }
        let open = self.open.remove(place);
        let answer = match (open.worst, open.reason) {
            (Outcome::Ack, _) => Answer::Accepted,
            (Outcome::Reject, reason) => Answer::NoEvent(reason.unwrap_or_default()),
            (Outcome::Retry { after }, _) => Answer::Again(after),
        };
        drop(open.reply.send(answer));
    }

    /// When the next request may be turned away.
    pub(super) fn deadline(&self) -> Option<Instant> {
        // Deadlines grow from front to back, and one that has begun has none.
        self.waiting.get(usize::from(self.begun.is_some())).map(|parcel| parcel.deadline)
    }

    /// Turns away what has waited long enough, with this answer.
    pub(super) fn turn_away(&mut self, now: Instant, answer: &Answer) {
        let first = usize::from(self.begun.is_some());
        while self.waiting.get(first).is_some_and(|parcel| parcel.deadline <= now) {
            if let Some(parcel) = self.waiting.remove(first) {
                drop(parcel.reply.send(answer.clone()));
            }
        }
    }

    /// Nothing more will be handed over.
    pub(super) fn close(&mut self) {
        if let Some(place) = self.begun.take() {
            self.waiting.pop_front();
            if let Some(open) = self.open.get_mut(place) {
                open.more = false;
                open.worst = open.worst.max(Outcome::Retry { after: Duration::ZERO });
            }
            self.answer(place);
        }
        for parcel in self.waiting.drain(..) {
            drop(parcel.reply.send(Answer::Ending));
        }
    }
}
