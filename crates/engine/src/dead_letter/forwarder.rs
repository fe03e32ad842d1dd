//! Sends letters, or what is told of them, to an output besides: in the order of dying, until the output has confirmed each,
//! over restarts.
//!
//! Decisions: **no delivery waits for it**, for a delivery is settled by its letter being on the disk; **what is confirmed is
//! marked afterwards**, so that a crash in between sends a letter twice and never forgets one; and an output that fails is
//! tried for ever, with growing pauses, and named in the status, the metrics and the log for as long as it does. What it
//! refuses for good waits no more, is marked as refused, and holds nobody up.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};
use tracing::{error, info, warn};

use super::archive::{Fate, Found, Outbox};
use super::{Archive, Id, Post, Progress, send};
use crate::dispatch::publish;
use crate::event::{Event, Text};
use crate::port::{Confirm, Confirmations, Output, PublishError};
use crate::retry::{Backoff, Exhausted, Hold, Policy, Room};
use crate::store::{Batch, ClockHandle, Error, Stamp};

/// Letters that are on their way to an output at once, at most.
const WINDOW: usize = 64;
/// How often an output that goes on failing is named in the log.
const REMINDER: Duration = Duration::from_secs(60);
/// The pauses of an output that fails.
const PAUSES: Policy = Policy {
    max_attempts: u32::MAX,
    backoff: Backoff::Exponential,
    delay: Duration::from_millis(200),
    max_delay: Duration::from_secs(30),
    jitter: 0.2,
    hold: Hold::Source,
    max_age: None,
    exhausted: Exhausted::DeadLetter,
    room: Room::ENDLESS,
};

/// What a forwarder has done since it was started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Confirmed by the output.
    pub forwarded: u64,
    /// Refused by it for good.
    pub refused: u64,
    /// Times that it failed for now.
    pub failed: u64,
    /// When the oldest that waits was given up, as far as the last look went.
    pub oldest: Option<Stamp>,
    /// What went wrong last; nothing once it works again.
    pub last_error: Option<String>,
}

/// Where to read a forwarder's counts.
#[derive(Clone, Debug, Default)]
pub struct Reading(Arc<Mutex<Counts>>);

impl Reading {
    /// One consistent reading.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.0.lock().clone()
    }
}

/// Sends the letters that wait for one output.
pub struct Forwarder {
    output: Text,
    binding: Arc<dyn Output>,
    archive: Archive,
    outbox: Outbox,
    clock: ClockHandle,
    reading: Reading,
    /// Rounds that failed, one after the other.
    failures: u32,
    /// When the log has named them last.
    named: Option<Instant>,
}

/// What came of one round.
enum Round {
    /// Nothing waits.
    Empty,
    /// Something went its way.
    Moved,
    /// The output failed, and may wish to be left alone for so long.
    Failed(Option<Duration>, String),
}

/// A letter on its way.
type Sending = (Id, Stamp);
type Answer = (Sending, Result<(), PublishError>);

impl Forwarder {
    /// For what goes to the output of this name, if the archive was opened for it.
    #[must_use]
    pub fn new(
        (post, output): (Post, Text),
        binding: Arc<dyn Output>,
        archive: &Archive,
        clock: ClockHandle,
    ) -> Option<Forwarder> {
        let outbox = archive.outbox(post, &output)?.clone();
        let (archive, reading) = (archive.clone(), Reading::default());
        Some(Forwarder { output, binding, archive, outbox, clock, reading, failures: 0, named: None })
    }

    /// Where to read what it does.
    #[must_use]
    pub fn reading(&self) -> Reading {
        self.reading.clone()
    }

    /// Forwards until `stop` says so, or its sender is dropped; what is on its way then is waited for.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        loop {
            // Looked at between two rounds only: what is on its way has its answer written down.
            if *stop.borrow() || stop.has_changed().is_err() {
                return;
            }
            let round = self.round().await;
            let pause = match round {
                Ok(Round::Moved) => {
                    self.recovered();
                    continue;
                }
                Ok(Round::Empty) => None,
                Ok(Round::Failed(wish, sentence)) => self.failed(wish, sentence),
                Err(Error::Away { .. }) => {
                    tokio::select! {
                        biased;
                        _ = stop.wait_for(|stop| *stop) => return,
                        readable = self.archive.store().readable() => if readable.is_err() { return },
                    }
                    continue;
                }
                Err(error @ Error::Ended { .. }) => {
                    self.reading.0.lock().last_error = Some(error.to_string());
                    let noun = self.outbox.post.noun();
                    return error!(output = %self.output, "{noun} are not forwarded any more: {error}");
                }
                Err(error) => self.failed(None, error.to_string()),
            };
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return,
                () = self.outbox.news(), if pause.is_none() => {}
                () = sleep(pause.unwrap_or_default()), if pause.is_some() => {}
            }
        }
    }

    /// Sends what waits next, and writes down what became of it.
    async fn round(&mut self) -> Result<Round, Error> {
        let (archive, outbox) = (self.archive.clone(), self.outbox.clone());
        let found = spawn_blocking(move || archive.next(&outbox, WINDOW)).await;
        let found = found.map_err(|panic| self.archive.store().unreadable(&panic.to_string()))??;
        self.reading.0.lock().oldest = found.first().map(|found| found.last);
        if found.is_empty() {
            return Ok(Round::Empty);
        }
        let mut over = Vec::with_capacity(found.len());
        let answers = self.publish(found, &mut over).await;
        let (mut failed, mut counts) = (None, (0, 0, 0));
        let now = Stamp::from(self.clock.0.now());
        for ((id, last), answer) in answers {
            let progress = match answer {
                Ok(()) => Progress::Forwarded(now),
                Err(PublishError::Reject { reason }) => self.refused(id, now, &reason),
                Err(PublishError::Retry { after, error }) => {
                    counts.2 += 1;
                    failed.get_or_insert((after, error));
                    continue;
                }
            };
            over.push((id, last, Fate::Over(progress)));
        }
        for (_, _, fate) in &over {
            counts.0 += u64::from(matches!(fate, Fate::Over(Progress::Forwarded(_))));
            counts.1 += u64::from(matches!(fate, Fate::Over(Progress::Refused(..))));
        }
        self.write_down(&over).await?;
        let mut known = self.reading.0.lock();
        known.forwarded += counts.0;
        known.refused += counts.1;
        known.failed += counts.2;
        drop(known);
        Ok(failed.map_or(Round::Moved, |(wish, sentence)| Round::Failed(wish, sentence)))
    }

    /// Publishes letters in their order and waits for every answer; what cannot be sent is over.
    async fn publish(&self, found: Vec<Found>, over: &mut Vec<(Id, Stamp, Fate)>) -> Vec<Answer> {
        let mut confirmations = Confirmations::<Sending>::default();
        let mut answers = Vec::with_capacity(found.len());
        for Found { id, last, event } in found {
            let event: Event = match event {
                None => {
                    over.push((id, last, Fate::Gone));
                    continue;
                }
                Some(Ok(event)) => event,
                Some(Err(reason)) => {
                    answers.push(((id, last), Err(PublishError::Reject { reason })));
                    continue;
                }
            };
            match publish(self.binding.as_ref(), &event, confirmations.offer()) {
                Confirm::Now(answer) => answers.push(((id, last), answer)),
                Confirm::Later(promise) => confirmations.expect(&promise, (id, last)),
            }
        }
        while !confirmations.is_empty() {
            confirmations.next(&mut answers).await;
        }
        answers
    }

    fn refused(&self, id: Id, now: Stamp, reason: &str) -> Progress {
        match self.outbox.post {
            Post::Letters => warn!(
                output = %self.output, %id,
                "a dead letter was refused for good and is not sent again; it is kept, and 'tidemill dlq show' shows it: {reason}"
            ),
            Post::Notices => warn!(
                output = %self.output, %id,
                "what is told of a dead letter was refused for good and is not sent again; the letter is kept: {reason}"
            ),
        }
        Progress::Refused(now, super::letter::bounded(reason))
    }

    async fn write_down(&self, over: &[(Id, Stamp, Fate)]) -> Result<(), Error> {
        if over.is_empty() {
            return Ok(());
        }
        let mut batch = Batch::default();
        over.iter().for_each(|(id, last, fate)| self.archive.settle(&mut batch, &self.outbox, *id, *last, fate));
        let ticket = send(self.archive.store(), &mut batch).await?;
        // What is read next is what is on the disk.
        self.archive.store().confirmations().reach(ticket).await?;
        let archive = self.archive.clone();
        let swept = spawn_blocking(move || archive.sweep()).await;
        swept.map_err(|panic| self.archive.store().unreadable(&panic.to_string()))?
    }

    fn recovered(&mut self) {
        if std::mem::take(&mut self.failures) > 0 {
            self.reading.0.lock().last_error = None;
        }
        if self.named.take().is_some() {
            info!(output = %self.output, "{} go to their output again", self.outbox.post.noun());
        }
    }

    /// How long to leave the output alone.
    fn failed(&mut self, wish: Option<Duration>, sentence: String) -> Option<Duration> {
        self.failures = self.failures.saturating_add(1);
        if self.named.is_none_or(|named| named.elapsed() >= REMINDER) {
            self.named = Some(Instant::now());
            let (post, noun) = (self.outbox.post, self.outbox.post.noun());
            let waiting = self.archive.waiting(post, &self.output);
            warn!(
                output = %self.output, waiting,
                "{noun} wait for their output, which is tried until it takes them: {sentence}; put the output right; \
                 'tidemill dlq list' shows them meanwhile"
            );
        }
        self.reading.0.lock().last_error = Some(sentence);
        PAUSES.next(self.failures, wish, fastrand::f64())
    }
}
