//! Deliveries that are put durably aside until their next attempt, or until it is their turn.
//!
//! Decisions: **being written is what frees a seat**: a delivery settles at its source once its row is on the disk, and not
//! before. **A row stays until its delivery has ended**, also while that runs again, so that a crash at any moment loses
//! none and forgets no attempt but the one that it interrupted; it becomes a dead letter in the transaction that writes the
//! letter. **Time is an index, and so is a key's line**: rows come back by the time of their next attempt, those behind a row
//! of their key when that has ended, and nothing ever looks at all of them but the start. What is in memory of a row is its
//! place in the calendar, which has a bound, or a count in its key's lane.
//!
//! Five tables of the file `deliveries`: `parked` has the rows by their sequence, which is never used twice; `parkedDue` the
//! times of those that wait for one; `parkedLanes` the sequences of each key; `parkedPauses` what is paused. These three
//! begin with the rule. `parkedTaken` has what need not run again of a message that its broker delivers again.

mod calendar;
mod keys;
mod lot;
mod orphan;
mod pause;
mod reader;
mod row;
mod seek;
mod taken;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::delivery::Tracks;
use crate::event::Text;
use crate::store::{Batch, ClockHandle, Error, Quota, Spec, Stamp, Store, Table, Usage};

pub use lot::Lot;
pub(crate) use lot::OUT;
pub(crate) use lot::{Back, Fork, Parking, Standing, Stored, Want};
pub(crate) use orphan::Stray;
use pause::Record;
pub use pause::{Cause, Pause};
pub(crate) use row::{Row, bounded};
pub use seek::Sighting;

const ROWS: &str = "parked";
const DUE: &str = "parkedDue";
const LANES: &str = "parkedLanes";
const PAUSES: &str = "parkedPauses";
const TAKEN: &str = "parkedTaken";

/// The parked deliveries of one engine.
#[derive(Clone, Debug)]
pub struct Yard(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    store: Store,
    rows: Table,
    due: Table,
    lanes: Table,
    pauses: Table,
    taken: Table,
    clock: ClockHandle,
    max_bytes: u64,
    /// The sequence of the next row.
    next: AtomicU64,
    /// Bytes of all rows, on the disk or on their way.
    bytes: AtomicU64,
    /// The streams in which messages stand.
    tracks: Tracks,
}

/// What has to go when a row goes.
#[derive(Debug)]
pub(crate) struct Removal(Vec<(Table, Vec<u8>)>);

impl Removal {
    /// Adds it to what is done together.
    pub(crate) fn add(&self, batch: &mut Batch) {
        self.0.iter().for_each(|(table, key)| batch.delete(*table, key));
    }
}

impl Yard {
    /// What has to be asked of a store that holds parked deliveries.
    #[must_use]
    pub fn specs() -> [Spec; 5] {
        // The bound is kept here, where it is known which row is new and which takes its own place again.
        [ROWS, DUE, LANES, PAUSES, TAKEN].map(|name| Spec { name: Text::new_static(name), quota: Quota::default() })
    }

    /// The parked deliveries in a store that was opened with [`Yard::specs`]: at most `max_bytes` of them.
    ///
    /// # Errors
    /// [`Error::Unreadable`] when it has no such tables, or their newest key is no sequence.
    pub fn of(store: &Store, max_bytes: u64, clock: ClockHandle) -> Result<Yard, Error> {
        let table = |name| store.table(name).ok_or_else(|| store.unreadable("it has no table of parked deliveries"));
        let [rows, due, lanes, pauses, taken] = [ROWS, DUE, LANES, PAUSES, TAKEN].map(table);
        let (rows, due, lanes, pauses, taken) = (rows?, due?, lanes?, pauses?, taken?);
        let highest = store.highest(rows);
        let next = match <[u8; 8]>::try_from(highest.as_slice()) {
            Ok(sequence) => u64::from_be_bytes(sequence) + 1,
            Err(_) if highest.is_empty() => 1,
            Err(_) => return Err(store.unreadable("the newest parked delivery has no sequence")),
        };
        let bytes = AtomicU64::new(store.usage(rows).bytes);
        let next = AtomicU64::new(next);
        let (store, tracks) = (store.clone(), Tracks::default());
        Ok(Yard(Arc::new(Shared { store, rows, due, lanes, pauses, taken, clock, max_bytes, next, bytes, tracks })))
    }

    /// The streams in which the messages of the engine's sources stand.
    #[must_use]
    pub fn tracks(&self) -> &Tracks {
        &self.0.tracks
    }

    /// How much there is.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.0.store.usage(self.0.rows)
    }

    /// How much there may be, in bytes.
    #[must_use]
    pub fn max_bytes(&self) -> u64 {
        self.0.max_bytes
    }

    /// The rules that have parked deliveries and are not among these, with how many. Blocks for as long as the disk takes.
    ///
    /// # Errors
    /// [`Error`] of the store.
    pub fn strangers(&self, known: &[Text]) -> Result<Vec<(Text, u64)>, Error> {
        let mut strangers: Vec<(Text, u64)> = Vec::new();
        for table in [self.0.lanes, self.0.due] {
            let mut from = Some(Vec::new());
            while let Some(start) = from.take() {
                let mut found = None;
                self.0.store.scan(table, &start, None, |key, _| {
                    found = Some(key.to_vec());
                    ControlFlow::Break(())
                })?;
                let Some(key) = found else { break };
                let Some((rule, prefix)) = keys::rule_of(&key) else { return Err(self.0.store.damaged(table, key)) };
                from = keys::behind(prefix);
                if known.iter().any(|name| name == rule) {
                    continue;
                }
                let count = self.count(table, prefix)?;
                match strangers.iter_mut().find(|(name, _)| name == rule) {
                    Some((_, sum)) => *sum += count,
                    None => strangers.push((rule.into(), count)),
                }
            }
        }
        Ok(strangers)
    }

    /// What is paused of a rule, itself first, in the order of keys; at most so much of it. Blocks for as long as the disk
    /// takes.
    ///
    /// # Errors
    /// [`Error`] of the store.
    pub fn pauses(&self, rule: &str, most: usize) -> Result<Vec<Pause>, Error> {
        let mut pauses = Vec::new();
        self.records(&keys::prefix(rule), |key, since, record| {
            if let Record::Paused(cause) = record {
                pauses.push(Pause { key, since, cause });
            }
            pauses.len() < most
        })?;
        Ok(pauses)
    }

    /// Shows every record of what is paused under a rule, the rule's own first, for as long as more are wanted.
    fn records(&self, prefix: &[u8], mut show: impl FnMut(Option<Text>, Stamp, Record) -> bool) -> Result<(), Error> {
        let (table, mut damaged) = (self.0.pauses, None);
        self.0.store.scan(table, prefix, keys::behind(prefix).as_deref(), |key, found| {
            let lane = keys::lane_of(prefix, key).map(Text::from);
            let record = Record::unpack(found.value).ok();
            let Some((lane, record)) = lane.zip(record) else {
                damaged = Some(key.to_vec());
                return ControlFlow::Break(());
            };
            let more = show(Some(lane).filter(|lane| !lane.is_empty()), found.stamp, record);
            if more { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        damaged.map_or(Ok(()), |key| Err(self.0.store.damaged(table, key)))
    }

    /// Counts what an index has under a rule; what stands in a lane is not counted again by its time.
    fn count(&self, table: Table, prefix: &[u8]) -> Result<u64, Error> {
        let mut count = 0;
        self.0.store.scan(table, prefix, keys::behind(prefix).as_deref(), |_, record| {
            count += u64::from(table == self.0.lanes || record.value.is_empty());
            ControlFlow::Continue(())
        })?;
        Ok(count)
    }

    /// Takes room for a row, if there is any. What finds none taken has room however large it is.
    fn admit(&self, size: usize) -> bool {
        let size = size as u64;
        let taken = self.0.bytes.fetch_add(size, Ordering::Relaxed);
        let fits = taken == 0 || taken + size <= self.0.max_bytes;
        if !fits {
            self.0.bytes.fetch_sub(size, Ordering::Relaxed);
        }
        fits
    }

    /// A row of the one size takes the place of one of the other, whatever room there is.
    fn exchange(&self, before: usize, after: usize) {
        self.0.bytes.fetch_add(after as u64, Ordering::Relaxed);
        self.0.bytes.fetch_sub(before as u64, Ordering::Relaxed);
    }

    fn sequence(&self) -> u64 {
        self.0.next.fetch_add(1, Ordering::Relaxed)
    }

    fn now(&self) -> Stamp {
        self.0.clock.0.now().into()
    }
}
