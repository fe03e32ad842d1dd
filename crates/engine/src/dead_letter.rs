//! What is given up, kept: the original, why it died, and where somebody finds it again.
//!
//! Decisions: **being a dead letter is what settles a delivery**, so that nothing is acknowledged that is neither done nor
//! kept; **dying never waits for a quota**, only for the disk: a record that cannot be written keeps its delivery in flight,
//! so that a full disk is back-pressure and never a loss. Where the quota is to block, a rule that has gone beyond it begins
//! nothing new until there is room, the other rules go on, and a message that no rule has keeps its seat. Letters are
//! written in batches behind one task, and always forced to the disk; whoever waits for one is told in the order of writing.
//! What is to go to an output besides is written down with its letter, and goes there afterwards ([`Forwarder`]): no delivery
//! waits for that.

mod archive;
mod forward;
mod forwarder;
mod id;
mod letter;
mod read;
mod selection;
mod shown;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::RwLock;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::delivery::{Outcome, Position, Receipt, Undecodable};
use crate::dispatch::{Caller, Key, orphaned};
use crate::event::{Event, Text};
use crate::parked::{Removal, Stray};
use crate::store::{Batch, ClockHandle, Confirmations, Error, Stamp, Store, Ticket};

pub use archive::{Addressees, Archive, By, EditError, FILE, Group, ImportError, Imported, Page, Post};
pub use forward::{Forward, Progress};
pub use forwarder::{Forwarder, Reading};
pub use id::{Id, NoId};
pub use letter::{Content, Letter, Reason};
pub use selection::{Selection, ago};
pub(crate) use shown::timestamp;

/// Letters in one write at most.
const BATCH: usize = 256;
/// Bytes in one write, but for the last letter.
const BATCH_BYTES: usize = 4 << 20;

/// A delivery that its rule gives up.
#[derive(Debug)]
pub(crate) struct Dying {
    /// Why.
    pub(crate) reason: Reason,
    /// `trigger/rule`.
    pub(crate) rule: Text,
    /// The rule's function, if it has one.
    pub(crate) function: Option<Text>,
    /// Attempts of the stage that failed.
    pub(crate) attempts: u32,
    /// How often it was given up before and sent on its way again.
    pub(crate) redrives: u32,
    /// What kind of failure the last one was, where it has a name.
    pub(crate) code: Option<Text>,
    /// What the function or the output said last.
    pub(crate) message: String,
    /// When an attempt failed first; nothing for now.
    pub(crate) first: Option<Stamp>,
    /// The event.
    pub(crate) event: Event,
    /// Where its message stands at its broker, if that is known.
    pub(crate) position: Option<Position>,
    /// The row that becomes a dead letter, if it was parked.
    pub(crate) removal: Option<Removal>,
}

/// Where one engine puts its dead letters.
#[derive(Clone, Debug)]
pub struct Postbox {
    entries: mpsc::UnboundedSender<Entry>,
    archive: Archive,
    clock: ClockHandle,
    unsettled: Unsettled,
    targets: Arc<RwLock<Targets>>,
}

/// Where letters go besides: names of outputs.
#[derive(Clone, Debug, Default)]
pub struct Targets {
    /// By the `trigger/rule` that gives up.
    pub rules: HashMap<Text, Text>,
    /// By the trigger of events that no rule takes.
    pub triggers: HashMap<Text, Text>,
    /// By the source of messages that are no events.
    pub sources: HashMap<Text, Text>,
    /// Those that are told of what a `trigger/rule` gives up.
    pub told: HashMap<Text, Arc<[Text]>>,
}

impl Targets {
    /// All of these outputs.
    #[must_use]
    pub fn addressees(&self) -> Addressees {
        let letters = [&self.rules, &self.triggers, &self.sources];
        let letters: BTreeSet<&Text> = letters.iter().flat_map(|named| named.values()).collect();
        let notices: BTreeSet<&Text> = self.told.values().flat_map(|outputs| outputs.iter()).collect();
        let list = |names: BTreeSet<&Text>| names.into_iter().cloned().collect();
        Addressees { letters: list(letters), notices: list(notices) }
    }
}

/// How many messages wait for their letters of which no rule has a delivery.
#[derive(Clone, Debug, Default)]
pub struct Unsettled(Arc<AtomicUsize>);

impl Unsettled {
    /// The number now.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// One letter and who waits for it.
#[derive(Debug)]
struct Entry {
    letter: Letter,
    /// Outputs that are told of it.
    told: Option<Arc<[Text]>>,
    /// What goes in the same transaction.
    removal: Option<Removal>,
    owed: Owed,
}

#[derive(Debug)]
enum Owed {
    Line(Arc<Caller>, Key),
    /// A message's fork, and what its letter makes of it.
    Source(Receipt, Outcome),
    /// Whoever clears up behind a rule that is gone, and counts.
    Clerk(mpsc::UnboundedSender<()>),
}

/// What is said of an event that no rule of a trigger takes.
pub(crate) fn unmatched(trigger: &str) -> Text {
    smol_str::format_smolstr!("no rule of trigger '{trigger}' matches")
}

impl Postbox {
    /// Starts the writing task on the current runtime. It ends, after its last letter, when every handle is dropped.
    #[must_use]
    pub fn start(archive: Archive, clock: ClockHandle, targets: Targets) -> (Postbox, JoinHandle<()>) {
        #[expect(clippy::disallowed_methods, reason = "each entry holds a seat, and seats are bounded")]
        let (entries, receiver) = mpsc::unbounded_channel();
        let unsettled = Unsettled::default();
        let writer = Writer {
            store: archive.store().clone(),
            confirmations: archive.store().confirmations(),
            archive: archive.clone(),
            clock: clock.clone(),
            newest: archive.newest(),
            rows: Batch::default(),
            held: VecDeque::new(),
            unsettled: unsettled.clone(),
        };
        let task = tokio::spawn(writer.run(receiver));
        (Postbox { entries, archive, clock, unsettled, targets: Arc::new(RwLock::new(targets)) }, task)
    }

    /// Where to read how many messages wait for their letters. Keeping it does not keep the writing task alive.
    #[must_use]
    pub fn unsettled(&self) -> Unsettled {
        self.unsettled.clone()
    }

    /// From now on letters go elsewhere besides.
    pub(crate) fn retarget(&self, targets: Targets) {
        *self.targets.write() = targets;
    }

    /// Wall time, for whoever notes when a delivery failed first.
    pub(crate) fn now(&self) -> Stamp {
        self.clock.0.now().into()
    }

    /// Waits until there is room for more. Cancel safe.
    pub(crate) async fn room(&self) {
        self.archive.room().await;
    }

    /// Keeps a delivery; its line is told once the letter is durable.
    pub(crate) fn delivery(&self, dying: Dying, caller: Arc<Caller>, key: Key) {
        let last = self.now();
        let (forward, told) = {
            let targets = self.targets.read();
            (targets.rules.get(&dying.rule).cloned(), targets.told.get(&dying.rule).cloned())
        };
        let letter = Letter {
            forward: forward.map(Forward::to),
            attempts: dying.attempts,
            redrives: dying.redrives,
            rule: Some(dying.rule),
            function: dying.function,
            code: dying.code,
            first: dying.first.unwrap_or(last),
            position: dying.position.map(|position| position.text()),
            ..Letter::new(dying.reason, &dying.message, last, Content::Event(dying.event))
        };
        self.send(Entry { letter, told, removal: dying.removal, owed: Owed::Line(caller, key) });
    }

    /// Keeps a message that is no event; its receipt settles as [`Outcome::Reject`] once the letter is durable.
    pub(crate) fn undecodable(&self, source: &Text, message: Undecodable, receipt: Receipt) {
        let content = Content::Raw { raw: message.raw, facts: message.facts };
        let letter = Letter {
            source: Some(source.clone()),
            position: receipt.position().map(|position| position.text()),
            forward: self.targets.read().sources.get(source).cloned().map(Forward::to),
            ..Letter::new(Reason::Undecodable, &message.reason, self.now(), content)
        };
        self.of_source(letter, receipt, Outcome::Reject);
    }

    /// Keeps an event that no rule of a trigger takes; its receipt settles as [`Outcome::Ack`] once the letter is durable.
    pub(crate) fn unmatched(&self, source: &Text, trigger: &Text, event: Event, receipt: Receipt) {
        let message = unmatched(trigger);
        let letter = Letter {
            rule: Some(trigger.clone()),
            source: Some(source.clone()),
            position: receipt.position().map(|position| position.text()),
            forward: self.targets.read().triggers.get(trigger).cloned().map(Forward::to),
            ..Letter::new(Reason::Unmatched, &message, self.now(), Content::Event(event))
        };
        self.of_source(letter, receipt, Outcome::Ack);
    }

    fn of_source(&self, letter: Letter, receipt: Receipt, outcome: Outcome) {
        self.unsettled.0.fetch_add(1, Ordering::Relaxed);
        self.send(Entry { letter, told: None, removal: None, owed: Owed::Source(receipt, outcome) });
    }

    /// Makes dead letters of these rows, and waits until all are durable; answers whether they are.
    pub(crate) async fn orphans(&self, strays: Vec<Stray>) -> bool {
        let count = strays.len();
        #[expect(clippy::disallowed_methods, reason = "each of these strays is answered once")]
        let (clerk, mut kept) = mpsc::unbounded_channel();
        let last = self.now();
        for Stray { row, removal, .. } in strays {
            let letter = Letter {
                forward: self.targets.read().rules.get(&row.rule).cloned().map(Forward::to),
                attempts: row.attempts,
                redrives: row.redrives,
                code: row.code,
                position: row.position.map(|position| position.text()),
                first: row.failed.unwrap_or(last),
                ..Letter::new(Reason::Orphaned, &orphaned(&row.rule, &row.message), last, Content::Event(row.event))
            };
            let letter = Letter { rule: Some(row.rule), ..letter };
            self.send(Entry { letter, told: None, removal: Some(removal), owed: Owed::Clerk(clerk.clone()) });
        }
        drop(clerk);
        for _ in 0..count {
            if kept.recv().await.is_none() {
                return false;
            }
        }
        true
    }

    fn send(&self, entry: Entry) {
        // The task ends after the last handle, or is aborted once the grace time is over. Then dropping the entry hands a
        // message back; a delivery stays in its line's table until that is handed back, too.
        drop(self.entries.send(entry));
    }
}

/// The task that writes.
struct Writer {
    archive: Archive,
    store: Store,
    confirmations: Confirmations,
    clock: ClockHandle,
    /// The name that was given last.
    newest: Option<Id>,
    rows: Batch,
    /// Messages that no rule has, for which there is no room. Each holds its seat.
    held: VecDeque<Entry>,
    unsettled: Unsettled,
}

impl Writer {
    async fn run(mut self, mut entries: mpsc::UnboundedReceiver<Entry>) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            tokio::select! {
                biased;
                () = self.archive.room(), if !self.held.is_empty() => {
                    let some = self.held.len().min(BATCH);
                    batch.extend(self.held.drain(..some));
                }
                count = entries.recv_many(&mut batch, BATCH) => if count == 0 { return },
            }
            if self.archive.is_full() {
                let (lines, sources) = batch.drain(..).partition(|entry| !matches!(entry.owed, Owed::Source(..)));
                batch = lines;
                self.held.extend(sources);
            }
            if let Err(error) = self.write(&batch).await {
                tracing::error!("dead letters are not kept any more and hold their messages: {error}");
                // Whoever waits has nothing to settle with, and nothing is to be dropped that would be delivered again at once.
                return std::future::pending().await;
            }
            for entry in &batch {
                entry.letter.forward.iter().for_each(|to| self.archive.wake(Post::Letters, &to.output));
                entry.told.iter().flat_map(|told| &**told).for_each(|to| self.archive.wake(Post::Notices, to));
            }
            self.settle(&mut batch);
        }
    }

    async fn write(&mut self, batch: &[Entry]) -> Result<(), Error> {
        let mut ticket = None;
        // Somebody may have brought letters that are newer than the last one here.
        self.newest = self.newest.max(self.archive.newest());
        for entry in batch {
            let id = Id::next(self.newest, self.clock.0.now().into());
            self.newest = Some(id);
            let letter = &entry.letter;
            self.archive.add(&mut self.rows, id, letter);
            entry.told.iter().for_each(|told| self.archive.tell(&mut self.rows, id, letter, told));
            entry.removal.iter().for_each(|removal| removal.add(&mut self.rows));
            if self.rows.bytes() >= BATCH_BYTES {
                ticket = Some(send(&self.store, &mut self.rows).await?);
            }
        }
        if !self.rows.is_empty() {
            ticket = Some(send(&self.store, &mut self.rows).await?);
        }
        match ticket {
            Some(ticket) => self.confirmations.reach(ticket).await,
            None => Ok(()),
        }
    }

    fn settle(&self, batch: &mut Vec<Entry>) {
        let full = self.archive.is_full();
        let mut kept: Option<(Arc<Caller>, Vec<Key>)> = None;
        for entry in batch.drain(..) {
            match entry.owed {
                Owed::Source(receipt, outcome) => {
                    self.unsettled.0.fetch_sub(1, Ordering::Relaxed);
                    receipt.settle(outcome);
                }
                Owed::Clerk(clerk) => drop(clerk.send(())),
                Owed::Line(caller, key) => match &mut kept {
                    Some((same, keys)) if Arc::ptr_eq(same, &caller) => keys.push(key),
                    _ => {
                        if let Some((done, keys)) = kept.replace((caller, vec![key])) {
                            done.kept(keys, full);
                        }
                    }
                },
            }
        }
        if let Some((caller, keys)) = kept {
            caller.kept(keys, full);
        }
    }
}

/// Sends rows on their way to the disk, beyond every quota.
pub(crate) async fn send(store: &Store, rows: &mut Batch) -> Result<Ticket, Error> {
    loop {
        // Listens before it looks.
        let moved = store.moved();
        if let Some(ticket) = store.try_write_beyond_quotas(rows)? {
            return Ok(ticket);
        }
        moved.await;
    }
}
