//! One run of a reader: from joining the group to having nothing in flight.

mod census;
mod message;
mod moving;

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use engine::delivery::{Inbox, Intake, Outcome, Seat, Seats, Settlements, Stream};
use engine::port::{Shutdown, SourceError};
use futures_util::{FutureExt, Stream as _};
use rdkafka::consumer::{Consumer, MessageStream};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::BorrowedMessage;
use tokio::time::{Instant, sleep_until};

use super::Ingredients;
use crate::kafka::assignment::{self, Assignment, Partition, Place};
use crate::kafka::client::{Client, Member, News};
use census::Census;
use moving::Moving;

/// The most messages that are handed over at once, so that none of them waits long for the others.
const BATCH: usize = 256;
/// How often offsets are stored, from where they are committed once a second.
const STORE: Duration = Duration::from_millis(100);
/// How long there may be no seats before everything is paused, and how long it stays paused when few become free.
const PRESSURE: Duration = Duration::from_secs(1);
/// How long what else is in flight may take to finish once an event was handed back and the run is to begin anew.
const AGAIN: Duration = Duration::from_secs(5);

pub(super) struct Run<'r> {
    made_of: &'r Ingredients,
    member: &'r Arc<Member>,
    stream: MessageStream<'r, Client>,
    intake: Option<Intake>,
    settlements: Option<Settlements>,
    assignment: Assignment,
    /// Where the message in each seat stands, as long as that is to be told to the group.
    places: Vec<Option<Place>>,
    occupied: usize,
    /// Messages that were polled and have no seat yet.
    staged: VecDeque<BorrowedMessage<'r>>,
    news: VecDeque<News>,
    moving: Option<Moving>,
    /// Streams of which the group has accepted that everything below is settled.
    accepted: Vec<(Stream, u64)>,
    /// A look at the group that is under way, and whether there has been one.
    census: Option<Census>,
    counted: bool,
    /// Since when a message waits for a seat.
    waiting: Option<Instant>,
    /// Since when everything is paused.
    held: Option<Instant>,
    /// When offsets are to be stored.
    store: Option<Instant>,
    /// Until when the run lasts at most, because an event was handed back: only a new one reads it again.
    again: Option<Instant>,
    /// Nothing more is to be read.
    ending: bool,
}

impl<'r> Run<'r> {
    pub(super) fn new(made_of: &'r Ingredients, member: &'r Arc<Member>, inbox: Inbox) -> Run<'r> {
        let (intake, settlements) = inbox.split();
        Run {
            made_of,
            member,
            stream: member.stream(),
            places: vec![None; intake.capacity()],
            intake: Some(intake),
            settlements: Some(settlements),
            assignment: Assignment::default(),
            occupied: 0,
            staged: VecDeque::new(),
            news: VecDeque::new(),
            moving: None,
            accepted: Vec::new(),
            census: None,
            counted: false,
            waiting: None,
            held: None,
            store: None,
            again: None,
            ending: false,
        }
    }

    /// Serves until it is asked to stop and nothing is in flight, and leaves nothing unanswered that the group has asked.
    pub(super) async fn serve(mut self, stop: Shutdown) -> Result<(), SourceError> {
        let ended = self.turn(stop).await;
        self.store();
        self.leave();
        ended
    }

    async fn turn(&mut self, mut stop: Shutdown) -> Result<(), SourceError> {
        let Some(mut settlements) = self.settlements.take() else { return Ok(()) };
        let mut intake = self.intake.take();
        let mut settled = Vec::new();
        loop {
            if self.ending {
                intake = None;
            }
            if self.again.is_some_and(|until| until <= Instant::now()) {
                break;
            }
            self.hear();
            for (stream, below) in self.accepted.drain(..) {
                settlements.accepted(stream, below);
            }
            self.move_on();
            let due = self.due();
            let room = intake.as_mut().filter(|_| !self.staged.is_empty());
            let (polls, moving, census) = (self.polls(), self.moving.as_mut(), self.census.as_mut());
            tokio::select! {
                biased;
                more = settlements.next(&mut settled) => {
                    if !more {
                        break;
                    }
                    if self.settle(&mut settled) && !self.ending && stop.now().is_none() {
                        self.again = Some(Instant::now() + AGAIN);
                        self.end();
                    }
                }
                _ = stop.requested(), if !self.ending => self.end(),
                resolved = moving::resolved(moving) => self.resolved(resolved),
                forgotten = census::taken(census) => self.counted(forgotten),
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => self.tick(),
                message = next(&mut self.stream, self.member.context()), if polls => self.arrived(message)?,
                seats = reserve(room) => {
                    let seats = seats.map_err(|cause| SourceError::Restart(cause.to_string(), None))?;
                    self.hand_over(seats)?;
                    // A source that never waits must let others have the thread.
                    tokio::task::yield_now().await;
                }
            }
        }
        if self.again.is_some() && stop.now().is_none() {
            let reports = self.member.context().reports();
            let sentence =
                reports.sentence("an event was handed back, and kafka delivers again from its offset on only");
            return Err(SourceError::Restart(sentence, None));
        }
        Ok(())
    }

    /// Reads nothing more.
    fn end(&mut self) {
        self.ending = true;
        self.staged.clear();
        self.waiting = None;
        self.hold();
    }

    /// Whether to poll: for messages as long as none waits for a seat, and for the group's sake when everything is paused.
    fn polls(&self) -> bool {
        self.staged.is_empty() || self.held.is_some()
    }

    /// Reads what librdkafka has said.
    fn hear(&mut self) {
        let start = self.news.len();
        self.member.context().take_news(&mut self.news);
        let mut at = start;
        while let Some(news) = self.news.get(at) {
            let report = match news {
                News::Figures(report) => report,
                News::Committed(offsets) => {
                    for (topic, number, next) in offsets {
                        let slot = self.assignment.find(topic, *number);
                        let stream = slot.and_then(|slot| self.assignment.get(slot)?.stream);
                        self.accepted.extend(stream.map(|stream| (stream, *next)));
                    }
                    self.news.remove(at);
                    continue;
                }
                News::Assigned(_) | News::Revoked(_) | News::Lost(_) => {
                    at += 1;
                    continue;
                }
            };
            let link = self.member.context().reports().link();
            let parts = self.assignment.iter().map(|partition| (partition.topic.as_str(), partition.number));
            link.lag(if report.is_up() { report.lag(parts) } else { None });
            if report.is_up() && report.has_joined() {
                self.connected();
            }
            self.news.remove(at);
        }
    }

    /// The member has its place in the group.
    fn connected(&self) {
        self.member.context().reports().connected();
    }

    /// A message, or what went wrong with one, before there is a seat.
    fn arrived(&mut self, message: Option<KafkaResult<BorrowedMessage<'r>>>) -> Result<(), SourceError> {
        match message {
            // The loop reads the news first.
            None => {}
            // It stays with the broker.
            Some(Ok(_)) if self.ending => {}
            Some(Ok(message)) => {
                self.staged.push_back(message);
                self.waiting.get_or_insert_with(Instant::now);
            }
            Some(Err(cause)) => self.failed(&cause)?,
        }
        Ok(())
    }

    /// Only what cannot be mended ends a run; the rest was reported where it happened.
    fn failed(&self, cause: &KafkaError) -> Result<(), SourceError> {
        let reports = self.member.context().reports();
        match cause {
            KafkaError::MessageConsumptionFatal(code) => {
                let advice = "give every engine an instance of its own, if another member has taken its place; if the brokers \
                              were away for longer than sessionTimeout, it joins again";
                Err(SourceError::Restart(reports.sentence(&format!("the consumer ended: {code}; {advice}")), None))
            }
            other => {
                tracing::debug!(name = %reports.name(), "polling: {other}");
                Ok(())
            }
        }
    }

    /// Hands over what is staged and what can be polled without waiting, as far as there are seats.
    fn hand_over(&mut self, mut seats: Seats<'_>) -> Result<(), SourceError> {
        while !seats.is_empty() {
            let message = match self.staged.pop_front() {
                Some(message) => message,
                None if self.held.is_some() => break,
                None => match next(&mut self.stream, self.member.context()).now_or_never().flatten() {
                    Some(Ok(message)) => message,
                    Some(Err(cause)) => {
                        self.failed(&cause)?;
                        continue;
                    }
                    None => break,
                },
            };
            self.deliver(&message, &mut seats);
        }
        self.waiting = if self.staged.is_empty() { None } else { Some(Instant::now()) };
        Ok(())
    }

    /// Takes what has settled. Says whether something was handed back of a partition that stays here: nobody else will
    /// ever read it again.
    fn settle(&mut self, settled: &mut Vec<(Seat, Outcome)>) -> bool {
        let limit = self.made_of.max_uncommitted;
        let (mut halt, mut back) = (false, false);
        for (seat, outcome) in settled.drain(..) {
            self.occupied -= 1;
            let Some(place) = self.places[seat.index()].take() else { continue };
            // What is handed back holds its partition's watermark, so that it is read again.
            if matches!(outcome, Outcome::Retry { .. }) {
                back |= self.assignment.of(place).is_some_and(|partition| !partition.leaving);
                continue;
            }
            if let Some(partition) = self.assignment.finished(place) {
                halt |= partition.watermark.uncommitted() > limit || partition.halted;
            }
        }
        if halt {
            self.halt_and_resume();
        }
        if self.store.is_none() && self.assignment.has_progressed() {
            self.store = Some(Instant::now() + STORE);
        }
        if self.held.is_some() && self.occupied * 4 <= self.places.len() * 3 {
            self.release();
        }
        back
    }

    /// Pauses the partitions of which too much has finished above the watermark, and resumes those that have caught up.
    fn halt_and_resume(&mut self) {
        let limit = self.made_of.max_uncommitted;
        let (mut halt, mut resume) = (Vec::new(), Vec::new());
        for partition in self.assignment.iter_mut().filter(|partition| !partition.leaving) {
            let above = partition.watermark.uncommitted();
            if !partition.halted && above > limit {
                partition.halted = true;
                halt.push((partition.topic.to_string(), partition.number));
            } else if partition.halted && above <= limit / 2 {
                partition.halted = false;
                resume.push((partition.topic.to_string(), partition.number));
            }
        }
        if !halt.is_empty() {
            self.report(self.member.pause(&moving::named(&halt)));
        }
        if !resume.is_empty() && self.held.is_none() {
            self.report(self.member.resume(&moving::named(&resume)));
        }
    }

    /// Pauses everything.
    fn hold(&mut self) {
        if self.held.is_none() {
            self.held = Some(Instant::now());
            self.report(self.member.pause(&assignment::list(self.assignment.iter())));
        }
    }

    /// Resumes everything that has no reason of its own to be paused.
    fn release(&mut self) {
        if !self.ending && self.held.take().is_some() {
            self.report(self.member.resume(&assignment::list(self.assignment.iter().filter(reads))));
        }
    }

    /// When something is due that nobody else wakes this task for.
    fn due(&self) -> Option<Instant> {
        let hold = self.waiting.filter(|_| self.held.is_none()).map(|since| since + PRESSURE);
        let room = self.occupied < self.places.len() && self.staged.is_empty() && !self.ending;
        let release = self.held.filter(|_| room).map(|since| since + PRESSURE);
        let leave = self.moving.as_ref().and_then(Moving::due);
        [hold, release, self.store, leave, self.again].into_iter().flatten().min()
    }

    fn tick(&mut self) {
        let now = Instant::now();
        if self.store.is_some_and(|due| due <= now) {
            self.store();
        }
        if self.held.is_none() && self.waiting.is_some_and(|since| since + PRESSURE <= now) {
            self.hold();
        } else if self.held.is_some_and(|since| since + PRESSURE <= now)
            && self.occupied < self.places.len()
            && self.staged.is_empty()
        {
            self.release();
        }
    }

    /// Gives librdkafka what may be committed.
    fn store(&mut self) {
        self.store = None;
        let progress = self.assignment.take_progress();
        if progress.count() > 0 {
            self.report(self.member.store_offsets(&progress));
        }
    }

    /// A partition that was lost a moment ago can be neither paused nor stored, and its next owner begins where it stands.
    fn report(&self, done: KafkaResult<()>) {
        if let Err(cause) = done {
            tracing::debug!(name = %self.member.context().reports().name(), "{cause}");
        }
    }
}

/// Whether messages of a partition are wanted.
fn reads(partition: &&Partition) -> bool {
    !partition.halted && !partition.leaving
}

/// The next message or error, or nothing as soon as there is news: callbacks run inside this very poll. Cancel safe.
fn next<'s, 'r>(
    stream: &'s mut MessageStream<'r, Client>,
    client: &'s Client,
) -> impl Future<Output = Option<KafkaResult<BorrowedMessage<'r>>>> + use<'s, 'r> {
    std::future::poll_fn(move |context| match Pin::new(&mut *stream).poll_next(context) {
        Poll::Ready(message) => Poll::Ready(message),
        Poll::Pending if client.has_news() => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    })
}

/// Seats, if there is something to put into them.
async fn reserve(intake: Option<&mut Intake>) -> Result<Seats<'_>, engine::delivery::Closed> {
    match intake {
        Some(intake) => intake.reserve(BATCH).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
