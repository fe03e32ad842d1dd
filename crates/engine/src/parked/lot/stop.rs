//! What is paused of a rule, in the lot: a lane whose first row waits for somebody's word, or the rule, of which nothing
//! comes back meanwhile.

use super::super::pause::Record;
use super::super::{Cause, keys};
use super::{Lot, Stored};
use crate::store::Stamp;

impl Lot {
    /// Writes down that a lane is paused, with whatever else is staged.
    pub(crate) fn pause_lane(&mut self, lane: &str, cause: &Cause) -> Stamp {
        self.note(lane, &Record::Paused(cause.clone()))
    }

    /// A lane goes on.
    pub(crate) fn resume_lane(&mut self, lane: &str) {
        let table = self.reader.yard.0.pauses;
        self.staged.delete(table, &keys::lane(&self.reader.prefix, lane));
    }

    /// Nothing comes back until the rule goes on.
    pub(crate) fn stop(&mut self, cause: &Cause) -> Stamp {
        let since = self.note("", &Record::Paused(cause.clone()));
        *self.stopped.get_or_insert(since)
    }

    /// The rule goes on; with `skip`, what was spent by now is given up when it is back.
    pub(crate) fn go_on(&mut self, skip: bool) {
        self.stopped = None;
        if skip {
            self.skips = self.reader.yard.sequence();
            self.note("", &Record::Skips(self.skips));
        } else {
            self.resume_lane("");
        }
    }

    fn note(&mut self, lane: &str, record: &Record) -> Stamp {
        let (yard, prefix) = (&self.reader.yard, &self.reader.prefix);
        let now = yard.now();
        self.staged.put(yard.0.pauses, &keys::lane(prefix, lane), now, |into| record.pack(into));
        now
    }

    /// Since when the rule is paused.
    pub(crate) fn stopped(&self) -> Option<Stamp> {
        self.stopped
    }

    /// Whether a spent delivery that is back is to be given up, for its rule went on without it.
    pub(crate) fn skips(&self, stored: &Stored) -> bool {
        stored.sequence < self.skips
    }

    /// Resolves when everything that is staged by now is on the disk; nothing while the store takes no more.
    pub(crate) fn durable(&mut self) -> Option<impl Future<Output = ()> + Send + 'static> {
        self.flush();
        let (store, ticket) = (self.reader.yard.0.store.clone(), self.written);
        (self.staged.is_empty() || self.fault.is_some()).then_some(async move {
            if let Some(ticket) = ticket {
                // A store that has ended keeps nothing any more, which is said elsewhere.
                drop(store.confirmations().reach(ticket).await);
            }
        })
    }
}
