//! The thread that writes.
//!
//! While a transaction is being forced to the disk, everything that is written meanwhile gathers in the next one: that is
//! the group commit, and it needs no timer. **A write that was accepted is never refused later**: a transaction that fails
//! is tried again until it succeeds or the store ends, so that a full disk is back-pressure that goes away by itself, and
//! whoever waits has one number to compare and no error of its own to handle.

mod trims;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::Sync;
use super::batch::Batch;
use super::medium::{Failure, Group};
use super::queue::{Shared, Thread};

/// Why a store ended that was closed and lost nothing.
pub(super) const CLOSED: &str = "it was closed";
/// How long removals that nobody waits for are kept back for company.
const LAZY: Duration = Duration::from_millis(50);
/// How often ages are looked at.
const AGES: Duration = Duration::from_secs(10);
/// The waits after failures.
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// The thread's end. However the thread ends, whoever waits and whoever comes later learns it.
pub(super) struct Writer {
    shared: Arc<Shared>,
    group: Group,
    /// When something was confirmed that is not forced to the disk yet.
    unsynced: Option<Instant>,
    /// All of that, in order: a file that has to be opened anew has lost it.
    since: Batch,
    ages_seen: Instant,
    /// What the group in hand was accepted for, by table.
    growth: Vec<u64>,
    /// What failed for somebody else since.
    unread: Option<Failure>,
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.shared.stop();
        self.shared.progress.send_if_modified(|progress| {
            let fresh = progress.ended.is_none();
            progress.ended.get_or_insert_with(|| "its thread has ended".into());
            fresh
        });
    }
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>) -> Writer {
        Writer {
            shared,
            group: Group::default(),
            unsynced: None,
            since: Batch::default(),
            ages_seen: Instant::now(),
            growth: Vec::new(),
            unread: None,
        }
    }

    pub(super) fn run(mut self) {
        self.shared.settings.link.connected();
        let mut ended = None;
        while let Some(number) = self.take() {
            if let Err(why) = self.commit(number) {
                ended = Some(why);
                break;
            }
        }
        // What is confirmed within an interval is forced to the disk here.
        if ended.is_none() && self.unsynced.is_some() {
            ended = self.shared.medium.commit(&Group::default(), true).err().map(|failure| failure.to_string());
        }
        self.away(true);
        let closed = self.shared.medium.close().map_err(|failure| failure.to_string());
        match ended.or(closed.err()) {
            Some(why) => {
                tracing::error!(file = %self.shared.name, "the state file is not written to any more: {why}");
                self.shared.settings.link.error(why.as_str());
                self.end(&why);
            }
            None => self.end(CLOSED),
        }
        self.shared.settings.link.stopped();
    }

    fn end(&self, why: &str) {
        // Nothing is accepted any more by the time that this can be known.
        self.shared.stop();
        self.shared.progress.send_modify(|progress| progress.ended = Some(why.into()));
    }

    /// Waits for writes, or until something is due, and takes all there is; `None` when all is written and nothing can
    /// follow.
    fn take(&mut self) -> Option<u64> {
        let shared = Arc::clone(&self.shared);
        let due = self.due();
        let mut queue = shared.queue.lock();
        let mut lazy = None;
        while queue.puts.is_empty() && !queue.closing && !queue.unreadable {
            let wait = if queue.frees.is_empty() {
                queue.thread = Thread::Idle;
                due
            } else {
                queue.thread = Thread::Lazy;
                Some(LAZY.saturating_sub(lazy.get_or_insert_with(Instant::now).elapsed()))
            };
            let timed_out = match wait {
                None => {
                    shared.ready.wait(&mut queue);
                    false
                }
                Some(wait) => shared.ready.wait_for(&mut queue, wait).timed_out(),
            };
            if timed_out {
                break;
            }
        }
        queue.thread = Thread::Busy;
        if queue.closing && queue.puts.is_empty() && queue.frees.is_empty() {
            return None;
        }
        self.group.puts.append(&mut queue.puts);
        self.group.frees.append(&mut queue.frees);
        let number = queue.group;
        queue.group += 1;
        self.unread = std::mem::take(&mut queue.unreadable).then(|| Failure::Io("a page could not be read".into()));
        drop(queue);
        self.growth = (0_u16..).zip(shared.specs.iter()).map(|(number, _)| self.group.puts.growth(number)).collect();
        shared.room.notify_waiters();
        Some(number)
    }

    /// How long the file may be left alone.
    fn due(&self) -> Option<Duration> {
        let sync = match (self.shared.settings.sync, self.unsynced) {
            (Sync::Interval(interval), Some(since)) => Some(interval.saturating_sub(since.elapsed())),
            _ => None,
        };
        let aging = self.shared.specs.iter().any(|spec| spec.quota.max_age.is_some());
        let ages = aging.then(|| AGES.saturating_sub(self.ages_seen.elapsed()));
        sync.into_iter().chain(ages).min()
    }

    /// Does the group in hand, however often that takes; the sentence says why it can never be done.
    fn commit(&mut self, number: u64) -> Result<(), String> {
        self.group.trims = self.trims();
        let due = match self.shared.settings.sync {
            Sync::Always => true,
            Sync::Interval(interval) => {
                // It is kept in memory until then, which has its bound whatever the interval.
                let much = self.since.bytes() + self.group.puts.bytes() > self.shared.settings.queue_bytes;
                much || self.unsynced.is_some_and(|since| since.elapsed() >= interval)
            }
        };
        let nothing = self.group.puts.is_empty() && self.group.frees.is_empty() && self.group.trims.is_empty();
        if nothing && self.unread.is_none() && !(due && self.unsynced.is_some()) {
            self.confirm(number, 0);
            return Ok(());
        }
        let writes = (self.group.puts.len() + self.group.frees.len()) as u64;
        let mut pause = PAUSE;
        let mut failed = self.unread.is_some();
        if let Some(failure) = self.unread.take() {
            self.failed(&failure, Duration::ZERO);
            self.recover()?;
        }
        while let Err(failure) = self.attempt(due) {
            if let Failure::Broken(why) = failure {
                return Err(why.to_string());
            }
            failed = true;
            if self.failed(&failure, pause) {
                return Err(failure.to_string());
            }
            // At once, so that what is safe can be read while writes wait.
            self.recover()?;
            self.rest(pause);
            pause = (pause * 2).min(PAUSE_MAX);
        }
        if failed {
            // Whoever could not read meanwhile can now.
            self.shared.queue.lock().unreadable = false;
            self.away(false);
            self.shared.counters.full.store(0, Ordering::Relaxed);
            self.shared.settings.link.connected();
            tracing::info!(file = %self.shared.name, "the state file is written to again");
        }
        if due {
            self.unsynced = None;
            self.since.clear();
        } else {
            self.unsynced.get_or_insert_with(Instant::now);
            self.since.copy(&self.group.frees);
            self.since.copy(&self.group.puts);
        }
        self.release();
        self.confirm(number, writes);
        Ok(())
    }

    fn attempt(&self, durable: bool) -> Result<(), Failure> {
        let changes = self.shared.medium.commit(&self.group, durable)?;
        for change in changes {
            if let Some(gauge) = self.shared.gauges.get(usize::from(change.table)) {
                gauge.set(change.counts.rows, change.counts.bytes, change.dropped);
            }
        }
        Ok(())
    }

    /// The group in hand is done.
    fn release(&mut self) {
        for ((gauge, spec), growth) in self.shared.gauges.iter().zip(self.shared.specs.iter()).zip(&self.growth) {
            if spec.quota.max_bytes.is_some() {
                gauge.arrived(*growth);
            }
        }
        self.group.puts.clear();
        self.group.frees.clear();
    }

    fn confirm(&self, number: u64, writes: u64) {
        self.shared.counters.groups.fetch_add(u64::from(writes > 0), Ordering::Relaxed);
        self.shared.counters.writes.fetch_add(writes, Ordering::Relaxed);
        self.shared.progress.send_modify(|progress| progress.confirmed = number);
        self.shared.room.notify_waiters();
    }

    /// Says that an attempt failed; answers whether the store is to end.
    fn failed(&self, failure: &Failure, pause: Duration) -> bool {
        let shared = &self.shared;
        self.away(true);
        shared.counters.failures.fetch_add(1, Ordering::Relaxed);
        shared.settings.link.disconnected(format!("cannot write to '{}': {failure}", shared.name));
        shared.counters.full.store(u64::from(matches!(failure, Failure::Full(_))), Ordering::Release);
        tracing::error!(file = %shared.name, ?pause, "writes wait and hold their messages: {failure}");
        shared.queue.lock().closing
    }

    /// Leaves the disk alone, unless the store is being closed.
    fn rest(&self, pause: Duration) {
        let mut queue = self.shared.queue.lock();
        if !queue.closing {
            self.shared.ready.wait_for(&mut queue, pause);
        }
    }

    /// Says whether reading helps, for those who are not to wait for it.
    fn away(&self, away: bool) {
        self.shared.progress.send_if_modified(|progress| std::mem::replace(&mut progress.away, away) != away);
    }

    /// Opens the file afresh, and takes up again what only its memory had.
    fn recover(&mut self) -> Result<(), String> {
        match self.shared.medium.reopen() {
            Err(Failure::Broken(why)) => return Err(why.to_string()),
            // The next attempt finds it closed and comes back here.
            Err(Failure::Full(_) | Failure::Io(_)) => return Ok(()),
            Ok(whole) => self.away(!whole),
        }
        if !self.since.is_empty() {
            // In one piece and in their order: what was removed may have been written within the same interval.
            let mut again = std::mem::take(&mut self.since);
            again.append(&mut self.group.frees);
            again.append(&mut self.group.puts);
            self.group.puts = again;
        }
        Ok(())
    }
}
