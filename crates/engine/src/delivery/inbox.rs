//! The two halves that a source works with: [`Intake`] to hand messages over, [`Settlements`] to hear what became of them.

use std::future::poll_fn;
use std::task::Poll;

use bytes::Bytes;

use super::ledger::Ledger;
use super::outcome::Outcome;
use super::position::{Stream, Track};
use super::recall::{Recall, Recaller};
use super::receipt::Receipt;
use super::seat::{Seat, Table};
use crate::event::{Event, Text};
use crate::sync::Arc;

/// Where an intake sends what it is given. Implementations stage and never wait; [`Route::flush`] hands over the batch.
pub trait Route: Send {
    /// Takes one event and the duty to settle it.
    fn route(&mut self, event: Event, receipt: Receipt);
    /// Takes one message that is no event, to be kept and settled as [`Outcome::Reject`].
    fn undecodable(&mut self, message: Undecodable, receipt: Receipt);
    /// Ends a batch: everything staged goes on its way.
    fn flush(&mut self);
    /// Whom to tell which events the source wants back. What it is told has to be read behind every event that was flushed
    /// before. By default nobody is told, and what a source asks for settles when it has ended.
    fn recaller(&self) -> Recaller {
        Box::new(|_| {})
    }
}

/// A message that could not be made an event: kept raw, with the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undecodable {
    /// The payload as received.
    pub raw: Bytes,
    /// What is wrong with it, lower case, without the payload in it.
    pub reason: String,
    /// Transport facts worth keeping, such as the topic, in the order of reading.
    pub facts: Vec<(Text, Text)>,
}

/// The intake is closed: the other half is gone, so nothing can be settled any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the inbox is closed because its settlements half was dropped")]
pub struct Closed;

/// What a source gets for one run: a fixed number of seats in two halves.
pub struct Inbox {
    intake: Intake,
    settlements: Settlements,
}

/// What both halves share.
struct Shared {
    table: Arc<Table>,
    ledger: Ledger,
}

impl Inbox {
    /// An inbox of `capacity` seats, counted in `ledger`, whose events go to `route`.
    #[must_use]
    pub fn new(capacity: usize, ledger: Ledger, route: Box<dyn Route>) -> Inbox {
        Inbox::over(Table::new(capacity, false, ledger.tracks().clone()), ledger, route)
    }

    /// The same for a source that has its messages on the disk here: what it hears of as [`Outcome::Retry`] is neither lost
    /// nor left to anybody else.
    #[must_use]
    pub fn durable(capacity: usize, ledger: Ledger, route: Box<dyn Route>) -> Inbox {
        Inbox::over(Table::new(capacity, true, ledger.tracks().clone()), ledger, route)
    }

    fn over(table: Table, ledger: Ledger, route: Box<dyn Route>) -> Inbox {
        let capacity = table.capacity();
        let table = Arc::new(table);
        let recaller = route.recaller();
        {
            let mut page = ledger.page();
            page.capacity = capacity;
            page.reserved = 0;
            page.reading = true;
            page.settling = true;
            // A run that ended in the middle of a batch has left this behind.
            ledger.end_batch();
            page.free = (0..u32::try_from(capacity).unwrap_or(u32::MAX - 1)).rev().map(Seat).collect();
        }
        let shared = Arc::new(Shared { table, ledger });
        Inbox {
            intake: Intake { shared: Arc::clone(&shared), route, taken: Vec::new(), tracks: Vec::new() },
            settlements: Settlements { shared, recaller },
        }
    }

    /// The halves, for one biased select: settlements first, then the intake.
    #[must_use]
    pub fn split(self) -> (Intake, Settlements) {
        (self.intake, self.settlements)
    }
}

/// The half that takes messages in. Dropping it says that this run reads nothing more.
pub struct Intake {
    shared: Arc<Shared>,
    route: Box<dyn Route>,
    /// The seats of the present reservation; kept for its allocation.
    taken: Vec<Seat>,
    /// Streams of which something was handed over, by their numbers.
    tracks: Vec<Option<Arc<Track>>>,
}

impl Intake {
    /// How many seats there are.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.shared.table.capacity()
    }

    /// Whether somebody has paused the source, so that no seat is given however many are free.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.shared.ledger.page().paused
    }

    /// Waits for at least one free seat and takes at most `up_to` (at least one). While the source is paused, no seat is
    /// free. Cancel safe.
    ///
    /// # Errors
    /// [`Closed`] when the settlements half is gone.
    pub async fn reserve(&mut self, up_to: usize) -> Result<Seats<'_>, Closed> {
        poll_fn(|context| {
            if self.take(up_to) {
                return Poll::Ready(());
            }
            self.shared.ledger.freed().register(context.waker());
            if self.take(up_to) || !self.shared.ledger.page().settling { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        if self.taken.is_empty() { Err(Closed) } else { Ok(Seats { intake: self, delivered: 0 }) }
    }

    /// The message of a seat that was just occupied stands there.
    fn locate(&mut self, seat: Seat, stream: Stream, sequence: u64) {
        let place = stream.0 as usize;
        if self.tracks.get(place).is_none_or(Option::is_none) {
            if self.tracks.len() <= place {
                self.tracks.resize(place + 1, None);
            }
            self.tracks[place] = self.shared.ledger.tracks().of(stream);
        }
        let track = self.tracks[place].as_ref();
        self.shared.table.locate(seat, stream, sequence, track.is_some_and(|track| track.meets(sequence)));
    }

    fn take(&mut self, up_to: usize) -> bool {
        let mut page = self.shared.ledger.page();
        if page.paused {
            return false;
        }
        let left = page.free.len().saturating_sub(up_to.max(1));
        self.taken.extend(page.free.drain(left..));
        page.reserved = self.taken.len();
        !self.taken.is_empty()
    }
}

impl Drop for Intake {
    fn drop(&mut self) {
        self.shared.ledger.page().reading = false;
        // The settlements half may be waiting for the last seat, which was freed long ago.
        self.shared.table.waiter().wake();
    }
}

/// Reserved seats. What is not delivered when this is dropped is free again, and what is delivered is on its way.
pub struct Seats<'a> {
    intake: &'a mut Intake,
    delivered: usize,
}

impl Seats<'_> {
    /// Seats that are left.
    #[must_use]
    pub fn len(&self) -> usize {
        self.intake.taken.len()
    }

    /// Whether every reserved seat is taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.intake.taken.is_empty()
    }

    /// Hands one event over. Never waits; what follows happens when the reservation is dropped.
    ///
    /// # Errors
    /// Gives the event back when no reserved seat is left.
    pub fn deliver(&mut self, event: Event) -> Result<Seat, Event> {
        let Some(seat) = self.intake.taken.pop() else { return Err(event) };
        let receipt = self.occupy(seat);
        self.intake.route.route(event, receipt);
        Ok(seat)
    }

    /// The number of a stream of this source, to be asked for once and kept: for [`Seats::deliver_at`]. Its name is shown to
    /// people, `STREAM/SEQUENCE`; `made` says when it was made, as its broker writes it, and is empty where that is not known.
    #[must_use]
    pub fn stream(&self, name: &Text, made: &Text) -> Stream {
        let ledger = &self.intake.shared.ledger;
        ledger.tracks().track(ledger.source(), name, made).stream()
    }

    /// Hands one event over whose message has this number in this stream: a number by which the broker knows the message
    /// whenever it delivers it, and which grows from each message of the stream to the next. A source whose broker has no such
    /// numbers hands over with [`Seats::deliver`].
    ///
    /// # Errors
    /// Gives the event back when no reserved seat is left.
    pub fn deliver_at(&mut self, event: Event, stream: Stream, sequence: u64) -> Result<Seat, Event> {
        let Some(seat) = self.intake.taken.pop() else { return Err(event) };
        let receipt = self.occupy(seat);
        self.intake.locate(seat, stream, sequence);
        self.intake.route.route(event, receipt);
        Ok(seat)
    }

    /// Hands over a message that is no event: it is kept raw and settles as [`Outcome::Reject`] once it is safe.
    ///
    /// # Errors
    /// Gives the message back when no reserved seat is left.
    pub fn reject(&mut self, message: Undecodable) -> Result<Seat, Undecodable> {
        let Some(seat) = self.intake.taken.pop() else { return Err(message) };
        let receipt = self.occupy(seat);
        self.intake.route.undecodable(message, receipt);
        Ok(seat)
    }

    /// The same for a message that has this number in this stream.
    ///
    /// # Errors
    /// Gives the message back when no reserved seat is left.
    pub fn reject_at(&mut self, message: Undecodable, stream: Stream, sequence: u64) -> Result<Seat, Undecodable> {
        let Some(seat) = self.intake.taken.pop() else { return Err(message) };
        let receipt = self.occupy(seat);
        self.intake.locate(seat, stream, sequence);
        self.intake.route.undecodable(message, receipt);
        Ok(seat)
    }

    fn occupy(&mut self, seat: Seat) -> Receipt {
        if self.delivered == 0 {
            // Not when the seats were taken: some sources hold theirs until something comes.
            if let Some(route) = self.intake.shared.ledger.begin_batch() {
                self.intake.route = route;
            }
        }
        self.delivered += 1;
        let table = &self.intake.shared.table;
        table.occupy(seat);
        Receipt::first(Arc::clone(table), seat)
    }
}

impl Drop for Seats<'_> {
    fn drop(&mut self) {
        {
            // The books come first: nothing of this batch can settle before it was received.
            let mut page = self.intake.shared.ledger.page();
            page.received += self.delivered as u64;
            page.reserved = 0;
            if page.settling {
                page.free.append(&mut self.intake.taken);
            } else {
                page.handed_back += self.delivered as u64;
                self.intake.taken.clear();
            }
        }
        if self.delivered > 0 {
            self.intake.route.flush();
            self.intake.shared.ledger.end_batch();
        }
    }
}

/// The half that hears what became of messages.
pub struct Settlements {
    shared: Arc<Shared>,
    recaller: Recaller,
}

impl Settlements {
    /// Waits for at least one settled message and appends every one that is ready, in completion order. Cancel safe.
    /// Each seat in the answer is free from now on, so look up its position before the next reservation.
    ///
    /// Answers `false`, with nothing appended, once the intake is dropped and no seat is in flight: the run is over.
    pub async fn next(&mut self, into: &mut Vec<(Seat, Outcome)>) -> bool {
        poll_fn(|context| {
            if self.take(into) {
                return Poll::Ready(true);
            }
            self.shared.table.waiter().register(context.waker());
            if self.take(into) {
                return Poll::Ready(true);
            }
            if self.drained() { Poll::Ready(false) } else { Poll::Pending }
        })
        .await
    }

    /// Asks for events back that their broker would take away soon. Whatever only waits for its turn or its next attempt
    /// settles at once as [`Outcome::Retry`]; a call that runs is dropped, as at its deadline, counts as a failed attempt,
    /// and then settles so; what has its results on their way, or is being kept as given up, ends as it would have. A seat
    /// that settles in the same moment settles as usual.
    ///
    /// It is a wish: a function that blocks its thread cannot be interrupted, and its seat settles when it has come back. So a
    /// source asks early enough to hand the message back itself if that does not help, and then the event may run twice.
    /// Only what was handed over by dropping its [`Seats`] can be asked for. Never waits.
    pub fn recall(&mut self, seats: &[Seat]) {
        if !seats.is_empty() {
            if let Some(recaller) = self.shared.ledger.page().recaller.take() {
                self.recaller = recaller;
            }
            (self.recaller)(&Recall::new(Arc::clone(&self.shared.table), seats));
        }
    }

    /// The broker has accepted that every message of a stream with a smaller number is settled: none of them comes again, in
    /// this run or another, unless somebody takes the broker back. Until it is told so, the engine remembers what not to run
    /// again of those that do. To be told as often as is cheap; that it is never told costs memory, which has a bound.
    pub fn accepted(&self, stream: Stream, below: u64) {
        self.shared.ledger.tracks().accept(stream, below);
    }

    fn take(&mut self, into: &mut Vec<(Seat, Outcome)>) -> bool {
        let start = into.len();
        if !self.shared.table.take(into) {
            return false;
        }
        let mut page = self.shared.ledger.page();
        for (seat, outcome) in &into[start..] {
            match outcome {
                Outcome::Ack => page.settled += 1,
                Outcome::Reject => page.rejected += 1,
                Outcome::Retry { .. } => page.handed_back += 1,
            }
            page.free.push(*seat);
        }
        drop(page);
        self.shared.ledger.freed().wake();
        true
    }

    fn drained(&self) -> bool {
        let page = self.shared.ledger.page();
        !page.reading && page.in_flight() == 0
    }
}

impl Drop for Settlements {
    fn drop(&mut self) {
        self.shared.table.abandon();
        {
            // Nobody can acknowledge any more what is still in flight: it stays with the broker.
            let mut page = self.shared.ledger.page();
            page.handed_back += page.in_flight() as u64;
            page.settling = false;
            page.capacity = 0;
            page.reserved = 0;
            page.free.clear();
        }
        self.shared.ledger.freed().wake();
    }
}
