//! The two neighbours of a line, for the tests of what stands beside it: what it would take over, and the jobs that it
//! would give.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::{Arrival, Caller, Feed, Job, Key, Message, Weight};
use crate::invoke::Failure;
use crate::port::Verdict;

/// The far end of a feed without a line.
pub(crate) struct Taken(mpsc::UnboundedReceiver<Message>);

/// A feed and its far end.
pub(crate) fn feed() -> (Feed, Taken) {
    #[expect(clippy::disallowed_methods, reason = "it is what a feed holds")]
    let (sender, receiver) = mpsc::unbounded_channel();
    (Feed(sender), Taken(receiver))
}

impl Taken {
    /// The batches that have arrived since.
    pub(crate) fn batches(&mut self) -> Vec<Vec<Arrival>> {
        let mut batches = Vec::new();
        while let Ok(message) = self.0.try_recv() {
            match message {
                Message::Arrived(batch) => batches.push(batch),
                other => panic!("nobody sends {other:?} here"),
            }
        }
        batches
    }

    /// Their deliveries.
    pub(crate) fn all(&mut self) -> Vec<Arrival> {
        self.batches().into_iter().flatten().collect()
    }
}

/// Whoever submits jobs to a pool and hears the answers.
pub(crate) struct Client {
    pub(crate) caller: Arc<Caller>,
    answers: mpsc::UnboundedReceiver<Message>,
    serial: u64,
}

impl Client {
    pub(crate) fn new(timeout: Duration) -> Client {
        Client::weighing(timeout, Weight::MIN)
    }

    /// One whose line has this weight.
    pub(crate) fn weighing(timeout: Duration, weight: Weight) -> Client {
        #[expect(clippy::disallowed_methods, reason = "it is what a line holds")]
        let (sender, answers) = mpsc::unbounded_channel();
        Client { caller: Arc::new(Caller::new("t/r".into(), timeout, weight, sender)), answers, serial: 0 }
    }

    /// Jobs with these ids, numbered on.
    pub(crate) fn jobs(&mut self, ids: impl IntoIterator<Item = impl AsRef<str>>) -> Vec<Job> {
        let job = |id: String| {
            self.serial += 1;
            let key = Key { slot: 0, serial: self.serial };
            let event = crate::fake::event(&id);
            Job { event, attempt: 1, caller: Arc::clone(&self.caller), since: 0, key, answered: false }
        };
        ids.into_iter().map(|id| id.as_ref().to_owned()).map(job).collect()
    }

    /// Whom dead letters are confirmed to, and a delivery's key.
    pub(crate) fn owner(&mut self) -> (Arc<Caller>, Key) {
        self.serial += 1;
        (Arc::clone(&self.caller), Key { slot: 0, serial: self.serial })
    }

    /// The next batch of answers: the jobs' numbers from 1, and what became of them.
    pub(crate) async fn answers(&mut self) -> Vec<(u64, Result<Verdict, Failure>)> {
        match self.answers.recv().await {
            Some(Message::Finished(batch)) => {
                batch.into_iter().map(|finished| (finished.key.serial, finished.verdict)).collect()
            }
            other => panic!("{other:?} is no answer"),
        }
    }

    /// The next confirmed dead letters, by number.
    pub(crate) async fn kept(&mut self) -> Vec<u64> {
        self.kept_and(false).await
    }

    /// The same, where it has to be said whether there are too many now.
    pub(crate) async fn kept_and(&mut self, full: bool) -> Vec<u64> {
        match self.answers.recv().await {
            Some(Message::Kept(keys, said)) if said == full => keys.into_iter().map(|key| key.serial).collect(),
            other => panic!("{other:?} does not confirm a dead letter that way"),
        }
    }

    /// Waits for this many answers, in their order.
    pub(crate) async fn numbers(&mut self, count: usize) -> Vec<u64> {
        let mut numbers = Vec::new();
        while numbers.len() < count {
            numbers.extend(self.answers().await.into_iter().map(|(number, _)| number));
        }
        numbers
    }

    /// Whether nothing has come.
    pub(crate) fn is_silent(&self) -> bool {
        self.answers.is_empty()
    }
}
