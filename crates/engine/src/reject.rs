//! Where everything goes that is given up: `rejects.jsonl`, appended and forced to disk before the message is acknowledged.
//!
//! A record that cannot be written keeps its delivery in flight and is tried again, so that a full disk is back-pressure
//! and never a loss. Records are batched behind one task; whoever waits for one is told in the order of writing.

mod record;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::delivery::{Outcome, Receipt, Undecodable};
use crate::dispatch::{Caller, DropReason, Key};
use crate::event::{Event, Text};
use crate::journal::Journal;
use crate::metric::Link;
use crate::port::Clock;

/// Records in one write at most.
const BATCH: usize = 256;

/// A delivery that is given up.
#[derive(Debug)]
pub struct Rejected {
    /// Why.
    pub reason: DropReason,
    /// `trigger/rule`.
    pub rule: Text,
    /// The rule's function, if it has one.
    pub function: Option<Text>,
    /// Attempts of the stage that failed.
    pub attempts: u32,
    /// What the function or the output said last.
    pub message: String,
    /// The event.
    pub event: Event,
}

/// A handle to the rejects of one engine.
#[derive(Clone, Debug)]
pub struct Rejects {
    entries: mpsc::UnboundedSender<Entry>,
    clock: ClockHandle,
    unsettled: Unsettled,
}

/// How many messages that are no events wait for their records.
#[derive(Clone, Debug, Default)]
pub struct Unsettled(Arc<AtomicUsize>);

impl Unsettled {
    /// The number now.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Clone)]
struct ClockHandle(Arc<dyn Clock>);

impl std::fmt::Debug for ClockHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}

/// One record and who waits for it.
#[derive(Debug)]
struct Entry {
    line: Vec<u8>,
    owed: Owed,
}

#[derive(Debug)]
enum Owed {
    Line(Arc<Caller>, Key),
    Source(Receipt),
}

impl Rejects {
    /// Starts the writing task on the current runtime. It ends, after its last record, when every handle is dropped.
    #[must_use]
    pub fn start(journal: Journal, clock: Arc<dyn Clock>, link: Link) -> (Rejects, JoinHandle<()>) {
        #[expect(clippy::disallowed_methods, reason = "each entry holds a seat, and seats are bounded")]
        let (entries, receiver) = mpsc::unbounded_channel();
        let unsettled = Unsettled::default();
        let task = tokio::spawn(write(journal, receiver, link, unsettled.clone()));
        (Rejects { entries, clock: ClockHandle(clock), unsettled }, task)
    }

    /// Where to read how many messages wait for their records. Keeping it does not keep the writing task alive.
    #[must_use]
    pub fn unsettled(&self) -> Unsettled {
        self.unsettled.clone()
    }

    /// Keeps a delivery; its line is told once the record is durable.
    pub(crate) fn delivery(&self, rejected: &Rejected, caller: Arc<Caller>, key: Key) {
        let line = record::delivery(self.clock.0.now(), rejected);
        self.send(Entry { line, owed: Owed::Line(caller, key) });
    }

    /// Keeps a message that is no event; its receipt settles as [`Outcome::Reject`] once the record is durable.
    pub(crate) fn undecodable(&self, source: &str, message: &Undecodable, receipt: Receipt) {
        let line = record::undecodable(self.clock.0.now(), source, message);
        self.unsettled.0.fetch_add(1, Ordering::Relaxed);
        self.send(Entry { line, owed: Owed::Source(receipt) });
    }

    fn send(&self, entry: Entry) {
        // The task ends after the last handle, or is aborted once the grace time is over. Then dropping the entry hands a
        // message back; a delivery stays in its line's table until that is handed back, too.
        drop(self.entries.send(entry));
    }
}

async fn write(journal: Journal, mut entries: mpsc::UnboundedReceiver<Entry>, link: Link, unsettled: Unsettled) {
    let mut batch = Vec::with_capacity(BATCH);
    while entries.recv_many(&mut batch, BATCH).await > 0 {
        let mut pause = Duration::from_millis(100);
        while let Err(error) = journal.append_all(batch.iter().map(|entry| entry.line.as_slice())).await {
            let sentence = error.sentence();
            tracing::error!(?pause, "rejects wait and hold their messages: {sentence}");
            link.error(sentence);
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(5));
        }
        settle(&mut batch, &unsettled);
    }
    if let Err(error) = journal.close().await {
        tracing::error!("rejects were not closed: {}", error.sentence());
    }
}

fn settle(batch: &mut Vec<Entry>, unsettled: &Unsettled) {
    let mut kept: Option<(Arc<Caller>, Vec<Key>)> = None;
    for entry in batch.drain(..) {
        match entry.owed {
            Owed::Source(receipt) => {
                unsettled.0.fetch_sub(1, Ordering::Relaxed);
                receipt.settle(Outcome::Reject);
            }
            Owed::Line(caller, key) => match &mut kept {
                Some((same, keys)) if Arc::ptr_eq(same, &caller) => keys.push(key),
                _ => {
                    if let Some((done, keys)) = kept.replace((caller, vec![key])) {
                        done.kept(keys);
                    }
                }
            },
        }
    }
    if let Some((caller, keys)) = kept {
        caller.kept(keys);
    }
}
