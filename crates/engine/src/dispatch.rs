//! Deliveries of one rule, from the router's hand-over to their settlement.
//!
//! One task owns every delivery of its rule: the event, the receipt, the attempts and the stage it is in. Workers only
//! borrow the event and send a verdict back, so a worker that dies loses nothing, and the task's own table is the exact
//! count of what is in flight. Everything moves in batches of whatever is ready.
//!
//! ```text
//! router --Arrival--> Line --Job--> pool --Finished--> Line --publish--> outputs --confirm--> Line --settle--> receipt
//!                        ^------ due again (retry) -----'                                       '--spent--> dead letters
//! ```
//!
//! With a lot for what is parked, a delivery that waits for its next attempt leaves the table, and with it its seat, once its
//! row is on the disk; when it is due it comes back from there.

mod ages;
mod books;
mod called_off;
mod delivery;
mod lanes;
mod line;
mod outlets;
mod pace;
mod publish;
mod rate;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

pub use books::{Books, DropReason, Held, Paused, Reading};
pub(crate) use line::orphaned;
pub use line::{Hold, Line, NotPaused, Options, Renewal, Resumed, Sighting, Whereabouts};
pub use outlets::{Named, Outlets};
pub use pace::Pace;
pub use rate::{LEAST as BURST_LEAST, Rate};

use crate::account::Wanted;
use crate::delivery::{Recall, Receipt};
use crate::event::{Event, Text};
use crate::invoke::Failure;
use crate::port::Verdict;
use called_off::CalledOff;
pub(crate) use called_off::Watch;
pub(crate) use lanes::Place;
pub(crate) use publish::publish;

/// How much of a function is one rule's, beside other rules that call it: with 3 it gets three calls for each one of a rule with 1,
/// for as long as the jobs of both wait.
pub type Weight = std::num::NonZeroU16;

/// An event on its way to one rule, with the duty to settle it.
#[derive(Debug)]
pub struct Arrival {
    /// The event, shared with the message's other deliveries.
    pub event: Event,
    /// This delivery's fork.
    pub receipt: Receipt,
}

/// Where a rule's deliveries are handed over. Never waits: what is under way is bounded by the sources' seats.
#[derive(Clone, Debug)]
pub struct Feed(mpsc::UnboundedSender<Message>);

impl Feed {
    /// Hands a batch over. When the line is gone, dropping the receipts says so to the source.
    pub fn send(&self, batch: Vec<Arrival>) {
        drop(self.0.send(Message::Arrived(batch)));
    }

    /// Hands over a batch of results of rules.
    pub(crate) fn come_back(&self, batch: Vec<Arrival>) {
        drop(self.0.send(Message::Returned(batch)));
    }

    /// Hands over events that were given up before, each with how often it was sent on its way again, this time included.
    pub(crate) fn replay(&self, batch: Vec<(Arrival, u32)>) {
        drop(self.0.send(Message::Replayed(batch)));
    }

    /// Gives the rule another configuration, behind every batch that was handed over before.
    pub fn renew(&self, renewal: Renewal) {
        drop(self.0.send(Message::Renewed(Box::new(renewal))));
    }

    /// The rule is gone: what has begun ends, and nothing of it is tried again.
    pub fn retire(&self) {
        drop(self.0.send(Message::Retired));
    }

    /// Asks for deliveries back, behind every batch that was handed over before.
    pub fn recall(&self, recall: Recall) {
        drop(self.0.send(Message::Recalled(recall)));
    }

    /// Lets nothing of the rule begin until [`Feed::resume`]; what arrives meanwhile is put aside. Answers when that is on the
    /// disk. Cancel safe.
    pub async fn pause(&self) {
        let (answer, paused) = tokio::sync::oneshot::channel();
        drop(self.0.send(Message::Pause(answer)));
        // A line that is gone begins nothing either.
        let _ = paused.await;
    }

    /// Lets go on what is paused: one key, or everything of the rule, and with `skip` without what it was paused for, which
    /// becomes a dead letter. Answers when that is on the disk. Cancel safe.
    ///
    /// # Errors
    /// [`NotPaused`] names what is.
    pub async fn resume(&self, key: Option<Text>, skip: bool) -> Result<Resumed, NotPaused> {
        let (answer, resumed) = tokio::sync::oneshot::channel();
        drop(self.0.send(Message::Resume { key, skip, answer }));
        resumed.await.unwrap_or(Err(NotPaused::Ended))
    }

    /// Where the event is in the line: each of its deliveries that has not ended. Nothing if the line is gone. Cancel safe.
    pub async fn seek(&self, wanted: Wanted) -> Vec<Sighting> {
        let (answer, found) = tokio::sync::oneshot::channel();
        drop(self.0.send(Message::Seek(wanted, answer)));
        found.await.unwrap_or_default()
    }

    /// Waits until the line owes nothing any more. Cancel safe.
    pub async fn is_empty(&self) {
        let (answer, emptied) = tokio::sync::oneshot::channel();
        drop(self.0.send(Message::WhenEmpty(answer)));
        // A line that is gone owes nothing either.
        let _ = emptied.await;
    }

    /// Gives everything back to the sources, for the end of the grace time; answers how many deliveries that were of messages
    /// that are not on the disk here.
    pub async fn hand_back(&self) -> usize {
        let (answer, handed) = tokio::sync::oneshot::channel();
        drop(self.0.send(Message::HandBack(answer)));
        handed.await.unwrap_or(0)
    }
}

/// What a line is told.
#[derive(Debug)]
enum Message {
    Arrived(Vec<Arrival>),
    Returned(Vec<Arrival>),
    Replayed(Vec<(Arrival, u32)>),
    Recalled(Recall),
    Renewed(Box<Renewal>),
    Retired,
    Finished(Vec<Finished>),
    /// These deliveries are dead letters now; whether there are more of them than there may be.
    Kept(Vec<Key>, bool),
    /// Where is this event, as far as it is here?
    Seek(Wanted, tokio::sync::oneshot::Sender<Vec<Sighting>>),
    /// A circuit on the deliveries' way lets through more than before, or less.
    CircuitMoved,
    WhenEmpty(tokio::sync::oneshot::Sender<()>),
    Pause(tokio::sync::oneshot::Sender<()>),
    Resume {
        key: Option<Text>,
        skip: bool,
        answer: tokio::sync::oneshot::Sender<Result<Resumed, NotPaused>>,
    },
    HandBack(tokio::sync::oneshot::Sender<usize>),
}

/// One delivery in its line's table. The serial tells a late answer from one for the slot's next owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key {
    slot: usize,
    serial: u64,
}

impl Key {
    /// What no delivery ever has.
    const NOBODY: Key = Key { slot: usize::MAX, serial: 0 };
}

/// The answer to one [`Job`].
#[derive(Debug)]
pub(crate) struct Finished {
    key: Key,
    verdict: Result<Verdict, Failure>,
}

/// One call that a pool owes a line.
#[derive(Debug)]
pub(crate) struct Job {
    /// The event to judge.
    pub(crate) event: Event,
    /// 1 for the first attempt.
    pub(crate) attempt: u32,
    /// On whose behalf.
    pub(crate) caller: Arc<Caller>,
    /// When it began to wait: the low half of milliseconds since 1970.
    pub(crate) since: u32,
    key: Key,
    answered: bool,
}

/// What all jobs of a line have in common.
#[derive(Debug)]
pub(crate) struct Caller {
    /// `trigger/rule`.
    pub(crate) rule: Text,
    /// How long a call may take.
    pub(crate) timeout: Duration,
    /// How much of a pool that others use too is the line's, beside theirs.
    pub(crate) weight: Weight,
    /// Which of them nobody is to go on with.
    called_off: CalledOff,
    answers: mpsc::UnboundedSender<Message>,
}

impl Job {
    /// Takes the job back before anybody has begun with it, and answers whose it is.
    fn withdraw(mut self) -> Key {
        self.answered = true;
        self.key
    }

    /// Ends the job; the answer is sent with [`Caller::answer`].
    pub(crate) fn finish(mut self, verdict: Result<Verdict, Failure>) -> (Arc<Caller>, Finished) {
        self.answered = true;
        (Arc::clone(&self.caller), Finished { key: self.key, verdict })
    }

    /// Ends a job that was called off before its call began.
    pub(crate) fn finish_unbegun(self) -> (Arc<Caller>, Finished) {
        self.finish(Err(Failure::NotBegun))
    }

    /// Whether nobody is to go on with it.
    pub(crate) fn is_called_off(&self) -> bool {
        self.caller.called_off.has(self.key)
    }

    /// For as long as its call has to wait.
    pub(crate) fn watch(&self) -> Watch<'_> {
        self.caller.called_off.watch(self.key)
    }
}

impl Caller {
    fn new(rule: Text, timeout: Duration, weight: Weight, answers: mpsc::UnboundedSender<Message>) -> Caller {
        Caller { rule, timeout, weight, called_off: CalledOff::new(), answers }
    }

    /// The same line's next one, whose calls may take so long, and which has this weight.
    fn again(&self, timeout: Duration, weight: Weight) -> Caller {
        Caller::new(self.rule.clone(), timeout, weight, self.answers.clone())
    }

    /// Sends a batch of answers.
    pub(crate) fn answer(&self, batch: Vec<Finished>) {
        drop(self.answers.send(Message::Finished(batch)));
    }

    /// Says that these deliveries are dead letters now, and whether there are more of those than there may be.
    pub(crate) fn kept(&self, batch: Vec<Key>, full: bool) {
        drop(self.answers.send(Message::Kept(batch, full)));
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        if !self.answered {
            self.caller.answer(vec![Finished { key: self.key, verdict: Err(Failure::Lost) }]);
        }
    }
}
