//! The task that owns one rule's deliveries.

// What is too old.
mod age;
// What a circuit lets wait.
mod circuits;
// What its source delivers again.
mod copies;
// What waits on the disk.
mod parking;
// What a source wants back.
mod recall;
// Another configuration, while deliveries are under way.
mod renewal;
// Results on their way to the outputs.
mod publishing;
// Its share of the seats.
mod seats;
// Where an event is, for whoever asks.
mod seek;
// What is paused.
mod stop;
// What is told of deliveries for the account.
mod telling;
// Who may begin.
mod turns;

pub use stop::{NotPaused, Resumed};

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use super::books::{Books, DropReason, Reading};
use super::delivery::{Fault, Stage, Table, Unconfirmed};
use super::lanes::{Lanes, Place};
use super::outlets::Outlets;
use super::pace::Pace;
use super::publish::Confirmations;
use super::rate::{Limiter, Rate};
use super::{Arrival, Caller, Feed, Finished, Job, Key, Message, Weight};
use crate::account::{End, Pen, What};
use crate::circuit::Way;
use crate::dead_letter::{Dying, Postbox, Reason};
use crate::delivery::Outcome;
use crate::event::Text;
use crate::invoke::Failure;
use crate::parked::{Lot, bounded};
use crate::pool::Pool;
use crate::port::Verdict;
use crate::retry::Policy;
use circuits::{Probes, Wired};
use renewal::Earlier;
pub(crate) use renewal::orphaned;
pub use renewal::{Hold, Renewal};
pub use seek::{Sighting, Whereabouts};
use stop::{Stop, Told};

/// Messages that one turn takes at most; each is a batch already.
const TURN: usize = 64;

/// What a rule's line is made of.
pub struct Options {
    /// `trigger/rule`.
    pub rule: Text,
    /// The function's name and pool; without one the event itself is the result.
    pub function: Option<(Text, Pool)>,
    /// Where the rule publishes.
    pub outputs: Outlets,
    /// Whether deliveries of one key run one after the other.
    pub ordered: bool,
    /// The circuits on their way.
    pub way: Way,
    /// Deliveries that are called or published at once.
    pub max_in_flight: usize,
    /// Seats that the rule may have before what comes for it is put aside.
    pub max_seats: usize,
    /// How often one is called or published.
    pub rate: Option<Rate>,
    /// How much of a function that other rules call too is this rule's.
    pub weight: Weight,
    /// When what failed is tried again.
    pub retry: Policy,
    /// How long one call may take.
    pub timeout: Duration,
    /// Where what is given up is kept.
    pub postbox: Postbox,
    /// Where what waits for another attempt is put aside; without one it waits in its seat.
    pub lot: Option<Lot>,
    /// The pace of the thread that the line runs on.
    pub pace: Arc<Pace>,
    /// Who writes down what becomes of its deliveries.
    pub pen: Pen,
}

/// One rule's deliveries, owned by one task.
pub struct Line {
    options: Options,
    caller: Arc<Caller>,
    messages: mpsc::UnboundedReceiver<Message>,
    /// By which others can tell it something for as long as it is there.
    weak: mpsc::WeakUnboundedSender<Message>,
    table: Table,
    lanes: Lanes,
    /// Deliveries that may begin once there is room, the next one first.
    turns: VecDeque<Key>,
    /// Deliveries that are called or published now.
    active: usize,
    /// The number of the present configuration, and the earlier ones with which something is under way.
    era: u32,
    earlier: Vec<Earlier>,
    /// Whether the rule is gone, so that nothing is tried again.
    retired: bool,
    limiter: Option<Limiter>,
    /// Until when the rate lets nothing begin.
    hushed: Option<Instant>,
    confirmations: Confirmations,
    lot: Option<Box<Lot>>,
    /// Failed deliveries that keep their seat, by the time of their next attempt.
    waiting: BinaryHeap<Reverse<(Instant, Key)>>,
    /// Deliveries that have not begun, since the rule has left more dead letters than there may be.
    held: VecDeque<Key>,
    /// Whether nothing new is begun.
    is_held: bool,
    /// The circuits on the deliveries' way, and which of those try one.
    wired: Option<Wired>,
    probes: Probes,
    /// Whether a delivery whose turn it is may have to do something else than begin.
    guarded: bool,
    /// Whether somebody may have to be told of a delivery that ends well.
    tells: bool,
    /// Why nothing of the rule begins, if it is paused.
    stop: Option<Stop>,
    /// Deliveries that hold a seat, and with more of which what comes is put aside.
    limit: usize,
    /// Parked lanes of which something stands in memory, because there was no room for it.
    crowded: HashSet<Place>,
    /// When room was looked for last.
    looked: Option<Instant>,
    /// Who waits for what has been paused or resumed to be on the disk.
    told: Vec<Told>,
    /// Jobs of the present turn.
    jobs: Vec<Job>,
    books: Books,
    /// When the present turn is, in milliseconds since 1970.
    time: u64,
    /// Deliveries that the pace was told of.
    paced: u64,
    last_error: Option<String>,
    reading: Reading,
    /// Who wants to be told once the table is empty.
    curious: Vec<oneshot::Sender<()>>,
    random: fastrand::Rng,
}

impl Line {
    /// A line, where to hand deliveries over, and where to read its books.
    #[must_use]
    pub fn new(mut options: Options) -> (Feed, Reading, Line) {
        #[expect(clippy::disallowed_methods, reason = "the sources' seats bound it, and a hand-over must never wait")]
        let (sender, messages) = mpsc::unbounded_channel();
        let limiter = options.rate.and_then(Limiter::new);
        let caller = Caller::new(options.rule.clone(), options.timeout, options.weight, sender.clone());
        let mut lot = options.lot.take().map(Box::new);
        lot.iter_mut().for_each(|lot| lot.bound(options.retry.room.rule));
        let way = std::mem::take(&mut options.way);
        let mut line = Line {
            options,
            caller: Arc::new(caller),
            messages,
            weak: sender.downgrade(),
            table: Table::default(),
            lanes: Lanes::default(),
            turns: VecDeque::new(),
            active: 0,
            era: 0,
            earlier: Vec::new(),
            retired: false,
            limiter,
            hushed: None,
            confirmations: Confirmations::default(),
            lot,
            waiting: BinaryHeap::new(),
            held: VecDeque::new(),
            is_held: false,
            wired: None,
            probes: Probes::default(),
            guarded: false,
            tells: false,
            stop: None,
            limit: usize::MAX,
            crowded: HashSet::new(),
            looked: None,
            told: Vec::new(),
            jobs: Vec::new(),
            books: Books::default(),
            time: 0,
            paced: 0,
            last_error: None,
            reading: Reading::default(),
            curious: Vec::new(),
            random: fastrand::Rng::new(),
        };
        line.limit = line.options.max_seats;
        line.wire(way);
        line.table.rule = line.lot.as_ref().and_then(|lot| lot.enroll());
        line.recover();
        line.guard();
        line.tells = !line.options.outputs.told().is_empty();
        (Feed(sender), line.reading.clone(), line)
    }

    /// Serves until everything is handed back.
    pub async fn run(mut self) {
        let mut messages = Vec::with_capacity(TURN);
        let mut confirmed = Vec::new();
        self.send_parked();
        loop {
            let due = self.due();
            let parking = self.lot.as_ref().is_some_and(|lot| lot.is_busy());
            tokio::select! {
                biased;
                () = self.confirmations.next(&mut confirmed), if !self.confirmations.is_empty() => {}
                _ = self.messages.recv_many(&mut messages, TURN) => {}
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
                () = self.options.postbox.room(), if self.is_held => self.begin_held(),
                () = parking::changed(&mut self.lot), if parking => {}
            }
            self.begin_turn();
            // A flood of confirmations must not keep the messages waiting.
            while messages.len() < TURN
                && let Ok(message) = self.messages.try_recv()
            {
                messages.push(message);
            }
            for confirmed in confirmed.drain(..) {
                self.confirmed(confirmed);
            }
            for message in messages.drain(..) {
                match message {
                    Message::Arrived(batch) => batch.into_iter().for_each(|arrival| self.arrived(arrival)),
                    Message::Returned(batch) => batch.into_iter().for_each(|arrival| self.returned_to(arrival)),
                    Message::Replayed(batch) => batch.into_iter().for_each(|(arrival, redrives)| {
                        self.replayed(arrival, redrives);
                    }),
                    Message::Recalled(recall) => self.recall(&recall),
                    Message::Renewed(renewal) => self.renew(*renewal),
                    Message::Retired => self.retire(),
                    Message::Finished(batch) => self.answered(batch),
                    Message::Kept(keys, full) => {
                        keys.into_iter().for_each(|key| self.kept(key));
                        if full {
                            self.hold();
                        }
                    }
                    Message::WhenEmpty(answer) => self.when_empty(answer),
                    // It is looked at in every turn.
                    Message::CircuitMoved => {}
                    Message::Pause(answer) => self.pause(answer),
                    Message::Resume { key, skip, answer } => self.resume(key.as_deref(), skip, answer),
                    // Whoever asked may have stopped waiting.
                    Message::Seek(wanted, answer) => drop(answer.send(self.seek(&wanted))),
                    Message::HandBack(answer) => {
                        // Whoever asked may have stopped waiting.
                        let _ = answer.send(self.hand_back());
                        return;
                    }
                }
            }
            self.wake_due();
            self.look_for_room();
            self.bring_back();
            self.take_turns();
            self.end_turn();
        }
    }

    fn arrived(&mut self, arrival: Arrival) {
        self.books.matched += 1;
        self.begin(arrival);
    }

    /// Begins with a result of some rule.
    fn returned_to(&mut self, arrival: Arrival) {
        self.books.looped += 1;
        self.begin(arrival);
    }

    #[inline(always)]
    fn begin(&mut self, arrival: Arrival) {
        let now = self.now() as u32;
        let again = arrival.receipt.is_again();
        let key = self.table.insert(arrival, now);
        if again && self.is_copy(key) {
            return;
        }
        if self.guarded {
            self.note_age(key);
        }
        if self.table.len() > self.limit && self.makes_way(key) {
            return;
        }
        self.enter(key);
    }

    /// Begins again with what was given up before. It is never held for dead letters: in the end it takes no more room than
    /// before.
    fn replayed(&mut self, arrival: Arrival, redrives: u32) {
        self.books.replayed += 1;
        let now = self.now() as u32;
        let key = self.table.insert(arrival, now);
        if let Some(delivery) = self.table.get(key) {
            delivery.past().redrives = redrives;
        }
        if self.guarded {
            self.note_age(key);
        }
        self.enter(key);
    }

    /// Begins the next attempt of whatever the delivery owes.
    fn attempt(&mut self, key: Key) {
        let now = self.now() as u32;
        let Some(delivery) = self.table.get(key) else { return };
        self.active += usize::from(!std::mem::replace(&mut delivery.active, true));
        delivery.attempts += 1;
        delivery.era = self.era;
        delivery.began = now;
        let event = delivery.event.clone();
        match &mut delivery.stage {
            Stage::Call if self.options.function.is_some() => {
                let attempt = delivery.attempts;
                let caller = Arc::clone(&self.caller);
                self.jobs.push(Job { event, attempt, caller, since: now, key, answered: false });
            }
            Stage::Call => {
                delivery.results = 1;
                let outputs = &self.options.outputs;
                let result = |output| Unconfirmed { event: outputs.outgoing(output, &event, &event), output };
                let results = (0..outputs.results().len()).map(result).collect();
                let notice = if self.tells { self.success(key, &[event]) } else { None };
                self.publish(key, results, notice);
            }
            Stage::Publish(pending) => {
                let (failed, notice) = (std::mem::take(&mut pending.failed), pending.notice.take());
                self.publish(key, failed, notice);
            }
            Stage::Keep(_) | Stage::Park => {}
        }
    }

    fn finished(&mut self, answer: Finished) {
        let Finished { key, verdict } = answer;
        if self.guarded {
            self.called(key, &verdict);
        }
        match verdict {
            Ok(Verdict::Done(results)) if results.is_empty() && !self.tells => self.done(key),
            Ok(Verdict::Done(results)) => self.publish_results(key, results),
            Ok(Verdict::Retry { after, error }) => self.failed(key, after, None, error),
            Ok(Verdict::Reject { reason }) => self.give_up(key, Reason::Rejected, None, reason),
            Ok(Verdict::Drop) => {
                self.tell(key, What::Dropped(DropReason::Function), None, "");
                if self.settle(key, Outcome::Ack, End::Dropped(DropReason::Function)) {
                    self.books.dropped[DropReason::Function as usize] += 1;
                }
            }
            Err(Failure::NotBegun) => self.give_back(key),
            Err(failure) => {
                let error = self.describe(key, &failure);
                self.failed(key, None, Some(Text::new_static(failure.code())), error);
            }
        }
    }

    fn describe(&mut self, key: Key, failure: &Failure) -> String {
        let name = self.function_of(key).unwrap_or_default();
        format!("function '{name}': {failure}")
    }

    fn done(&mut self, key: Key) {
        if self.settle(key, Outcome::Ack, End::Done) {
            self.books.done += 1;
        }
    }

    fn failed(&mut self, key: Key, wish: Option<Duration>, code: Option<Text>, error: String) {
        let Some(delivery) = self.table.get(key) else { return };
        self.books.failed_attempts += 1;
        delivery.past().failed.get_or_insert_with(|| self.options.postbox.now());
        match self.options.retry.next(delivery.attempts, wish, self.random.f64()) {
            Some(_) if delivery.recalled => {
                self.tell(key, What::Failed(None), code, &error);
                self.last_error = Some(error);
                self.give_back(key);
            }
            Some(delay) => {
                delivery.past().last = Some(Fault { code: code.clone(), message: bounded(&error) });
                let delay = self.until_expiry(key, delay);
                let due = self.after(delay);
                if self.wait(key, delay) {
                    self.tell(key, What::Failed(Some(due)), code, &error);
                }
                self.last_error = Some(error);
            }
            None => self.exhausted(key, code, error),
        }
    }

    /// Makes the delivery a dead letter; it settles when that is durable.
    fn give_up(&mut self, key: Key, reason: Reason, code: Option<Text>, message: String) {
        self.tell(key, What::GivenUp(reason), code.clone(), &message);
        let function = self.function_of(key);
        let Some(delivery) = self.table.get(key) else { return };
        let past = delivery.known_past();
        let dying = Dying {
            reason,
            rule: self.options.rule.clone(),
            function,
            attempts: delivery.attempts,
            code,
            message: message.clone(),
            redrives: past.redrives,
            first: past.failed,
            event: delivery.event.clone(),
            position: delivery.position(),
            removal: self.lot.as_ref().zip(delivery.stored()).map(|(lot, stored)| lot.removal(stored)),
        };
        delivery.stage = Stage::Keep(reason);
        self.rest(key);
        self.last_error = Some(message);
        self.options.postbox.delivery(dying, Arc::clone(&self.caller), key);
    }

    fn kept(&mut self, key: Key) {
        let Some(delivery) = self.table.get(key) else { return };
        if let Stage::Keep(reason) = delivery.stage
            && self.settle(key, Outcome::Ack, End::DeadLettered(reason))
            && let Some(count) = self.books.dead_lettered.get_mut(reason as usize)
        {
            *count += 1;
        }
    }

    /// When something is due that nobody wakes this task for.
    fn due(&self) -> Option<Instant> {
        let waiting = self.waiting.peek().map(|Reverse((due, _))| *due);
        let hushed = self.hushed.filter(|_| !self.turns.is_empty());
        let parked = self.lot.as_ref().and_then(|lot| lot.due().into_iter().chain(lot.look()).min());
        [waiting, hushed, parked, self.look(), self.reopens()].into_iter().flatten().min()
    }

    fn wake_due(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let now = Instant::now();
        while let Some(Reverse((due, key))) = self.waiting.peek().copied()
            && due <= now
        {
            self.waiting.pop();
            self.turns.push_back(key);
        }
    }

    fn end_turn(&mut self) {
        if let (Some((_, pool)), false) = (&self.options.function, self.jobs.is_empty()) {
            pool.submit(&mut self.jobs);
        }
        self.send_parked();
        self.let_know();
        self.options.pen.flush();
        self.publish_books();
        if self.table.len() == 0 {
            for answer in self.curious.drain(..) {
                // Whoever asked may have stopped waiting.
                let _ = answer.send(());
            }
        }
    }

    fn publish_books(&mut self) {
        let (before, after) = (self.books.in_flight as usize, self.table.len());
        let arrived = self.books.matched + self.books.looped;
        self.options.pace.turn((arrived - self.paced) as usize, before, after);
        self.paced = arrived;
        self.books.in_flight = after as u64;
        self.books.parked = self.lot.as_ref().map_or(0, |lot| lot.waiting());
        let oldest = self.lot.as_mut().and_then(|lot| lot.oldest());
        let oldest = [oldest, self.table.oldest()];
        self.breathe();
        let held = self.held();
        self.reading.publish(&self.books, (oldest, self.paused(), held), &mut self.last_error);
    }
}
