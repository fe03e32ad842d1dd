//! The queue in front of the writing thread, and what everybody may know of the thread.
//!
//! A write costs its caller one short lock and one copy; nobody waits here. What is refused stays with its caller, who waits
//! for room: that is the back-pressure.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Condvar, Mutex};
use tokio::sync::{Notify, watch};

use super::batch::{Batch, Table};
use super::medium::{Medium, Spec};
use super::quota::Gauge;
use super::record;
use super::{Settings, Ticket};

/// Where the thread stands.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    /// The newest group that is confirmed; 0 for none.
    pub(super) confirmed: u64,
    /// Whether the file cannot be read, or lacks something that was confirmed.
    pub(super) away: bool,
    /// Set once nothing more will be confirmed, with the reason.
    pub(super) ended: Option<Arc<str>>,
}

/// What a store counted since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reading {
    /// Transactions that were confirmed.
    pub groups: u64,
    /// Writes in them.
    pub writes: u64,
    /// Attempts that failed.
    pub failures: u64,
    /// Whether the last attempt found no space on the disk.
    pub full: bool,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) groups: AtomicU64,
    pub(super) writes: AtomicU64,
    pub(super) failures: AtomicU64,
    pub(super) full: AtomicU64,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) name: Arc<str>,
    pub(super) specs: Arc<[Spec]>,
    pub(super) gauges: Vec<Gauge>,
    pub(super) medium: Box<dyn Medium>,
    pub(super) progress: watch::Sender<Progress>,
    /// Told whenever there may be room again.
    pub(super) room: Notify,
    pub(super) settings: Settings,
    pub(super) queue: Mutex<Queue>,
    pub(super) ready: Condvar,
    pub(super) counters: Counters,
    /// Tables that nobody asked for, with the records they had when the file was opened.
    pub(super) strangers: Vec<(String, u64)>,
}

/// Whether the thread has to be woken, and for what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Thread {
    /// It looks for itself.
    #[default]
    Busy,
    /// It waits for anything.
    Idle,
    /// It has removals and waits a moment for somebody who is in more of a hurry.
    Lazy,
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    pub(super) puts: Batch,
    pub(super) frees: Batch,
    /// The number of the group that gathers.
    pub(super) group: u64,
    pub(super) thread: Thread,
    pub(super) closing: bool,
    /// Whether somebody could not read the file.
    pub(super) unreadable: bool,
}

/// Why a batch was not accepted. It is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    Full,
    Ended,
}

impl Shared {
    pub(super) fn new(
        name: Arc<str>,
        specs: Arc<[Spec]>,
        medium: Box<dyn Medium>,
        strangers: Vec<(String, u64)>,
        settings: Settings,
    ) -> Shared {
        Shared {
            name,
            gauges: specs.iter().map(|_| Gauge::default()).collect(),
            specs,
            medium,
            progress: watch::Sender::default(),
            room: Notify::new(),
            settings,
            queue: Mutex::new(Queue { group: 1, ..Queue::default() }),
            ready: Condvar::new(),
            counters: Counters::default(),
            strangers,
        }
    }

    pub(super) fn table(&self, number: usize) -> Option<Table> {
        let spec = self.specs.get(number)?;
        Some(Table { number: u16::try_from(number).ok()?, seed: record::seed(&spec.name) })
    }

    pub(super) fn read(&self) -> Reading {
        Reading {
            groups: self.counters.groups.load(Ordering::Relaxed),
            writes: self.counters.writes.load(Ordering::Relaxed),
            failures: self.counters.failures.load(Ordering::Relaxed),
            full: self.counters.full.load(Ordering::Acquire) > 0,
        }
    }

    /// Takes everything out of `batch`, unless too much waits already or, where it counts, a quota is full.
    pub(super) fn write(&self, batch: &mut Batch, quotas: bool) -> Result<Ticket, Refused> {
        let mut queue = self.queue.lock();
        if queue.closing {
            return Err(Refused::Ended);
        }
        // What finds the queue empty is taken however large it is, else it could never be written.
        if !queue.puts.is_empty() && queue.puts.bytes() + batch.bytes() > self.settings.queue_bytes {
            return Err(Refused::Full);
        }
        let growing = || self.gauges.iter().zip(self.specs.iter()).zip(0_u16..);
        if quotas && !growing().all(|((gauge, spec), number)| gauge.fits(&spec.quota, batch.growth(number))) {
            return Err(Refused::Full);
        }
        for ((gauge, spec), number) in growing() {
            if spec.quota.max_bytes.is_some() {
                gauge.expect(batch.growth(number));
            }
        }
        queue.puts.append(batch);
        self.wake(&mut queue, true);
        Ok(Ticket(queue.group))
    }

    pub(super) fn free(&self, batch: &mut Batch) -> Result<Ticket, Refused> {
        let mut queue = self.queue.lock();
        if queue.closing {
            return Err(Refused::Ended);
        }
        queue.frees.append(batch);
        self.wake(&mut queue, false);
        Ok(Ticket(queue.group))
    }

    /// Has the file opened anew that somebody could not read: redb refuses everything after any error.
    pub(super) fn look(&self) {
        let mut queue = self.queue.lock();
        queue.unreadable = true;
        self.wake(&mut queue, true);
    }

    fn wake(&self, queue: &mut Queue, urgent: bool) {
        if queue.thread == Thread::Idle || urgent && queue.thread == Thread::Lazy {
            queue.thread = Thread::Busy;
            self.ready.notify_one();
        }
    }

    pub(super) fn stop(&self) {
        self.queue.lock().closing = true;
        self.ready.notify_one();
        self.room.notify_waiters();
    }
}
