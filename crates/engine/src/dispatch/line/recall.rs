//! What a line's source wants back, because its broker would take it away soon.
//!
//! Decision: nothing is given back while somebody works on it. What waits for its next attempt or its turn goes at once, a job
//! that has not begun is taken out of the pool's queue, and a call that runs is called off and goes when the pool has dropped
//! it; it was an attempt, and when it was the last one the delivery is given up instead. Results that are on their way cannot
//! be called back, so those deliveries end as they would have, except that a failure is not waited upon again.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::time::Duration;

use super::{Finished, Key, Line};
use crate::account::End;
use crate::delivery::{Outcome, Recall};

impl Line {
    /// Gives back what a source asks for, as soon as nobody works on it.
    pub(super) fn recall(&mut self, recall: &Recall) {
        let meant = self.table.recall(recall);
        if meant.is_empty() {
            return;
        }
        let (resting, called) = self.resting(&meant);
        for &key in &resting {
            self.give_back(key);
        }
        self.waiting.retain(|Reverse((_, key))| !resting.contains(key));
        self.held.retain(|key| !resting.contains(key));
        if called.is_empty() {
            return;
        }
        // In the pool's queue, before that is searched.
        if let (Some((_, pool)), false) = (&self.options.function, self.jobs.is_empty()) {
            pool.submit(&mut self.jobs);
        }
        let mut unbegun = Vec::new();
        for (caller, pool) in self.callers() {
            caller.called_off.add(called.iter().copied());
            unbegun.extend(pool.take_back(caller).into_iter().map(|job| job.finish_unbegun().1));
        }
        self.answered(unbegun);
    }

    /// Of those that are meant, the ones that nobody works on, and the ones that a pool has a job of.
    fn resting(&mut self, meant: &[Key]) -> (HashSet<Key>, Vec<Key>) {
        let mut rests = |key: &Key| self.table.get(*key).is_some_and(|delivery| delivery.rests());
        let (resting, others): (Vec<_>, Vec<_>) = meant.iter().partition(|key| rests(key));
        let called = others.into_iter().filter(|key| self.table.get(*key).is_some_and(|delivery| delivery.is_called()));
        (resting.into_iter().collect(), called.collect())
    }

    /// Takes a pool's answers; what was called off among them is looked for no more.
    pub(super) fn answered(&mut self, batch: Vec<Finished>) {
        self.caller.called_off.forget(batch.iter().map(|answer| answer.key));
        for earlier in &self.earlier {
            earlier.caller.called_off.forget(batch.iter().map(|answer| answer.key));
        }
        batch.into_iter().for_each(|answer| self.finished(answer));
    }

    /// Leaves the delivery with its source.
    pub(super) fn give_back(&mut self, key: Key) {
        if self.settle(key, Outcome::Retry { after: Duration::ZERO }, End::HandedBack) {
            self.books.handed_back += 1;
        }
    }

    /// Leaves everything with its sources, or on the disk, at the end of the grace time; answers how many deliveries that were of
    /// messages that are not on the disk here.
    pub(super) fn hand_back(&mut self) -> usize {
        self.tell_handed_back();
        let rest = self.table.settle_all(Outcome::Retry { after: Duration::ZERO });
        self.books.handed_back += rest.handed as u64;
        if let Some(lot) = &mut self.lot {
            lot.flush();
            lot.stay(rest.rows);
        }
        self.publish_books();
        rest.elsewhere
    }
}
