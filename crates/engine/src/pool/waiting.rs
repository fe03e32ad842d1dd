//! The jobs that wait for one pool, rule by rule, and whose turn is next.
//!
//! Decision: **fair queueing** (by start time, Goyal, Vin and Cheng 1996; a call counts as one). Rules that call the same function
//! have a queue each, and the next job is of the rule that has had the fewest calls for its weight since its jobs began to wait;
//! of those that have had the same, the one whose job waits longest. So a rule with a flood of events gets what the others leave,
//! and an event of a quiet rule waits for about one call of each other rule, however long their queues are. Nobody saves up:
//! a rule that had nothing to do begins where the others are. A rule that is alone, which is the usual case, pays one comparison
//! for a batch.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::dispatch::{Caller, Job};

/// What one call of a rule of weight 1 adds to what the rule has had.
const CALL: u64 = 1 << 32;

/// Jobs in the order of their rules' turns.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// Rules whose jobs wait; one that is alone may have none.
    shares: Vec<Share>,
    len: usize,
    /// What the rule had had that was served last: where a rule begins whose jobs begin to wait.
    level: u64,
}

/// The jobs of one rule.
#[derive(Debug)]
struct Share {
    /// The address of their caller, which is alive for as long as one of them is.
    caller: usize,
    /// What each call adds to `had`.
    step: u64,
    /// What the rule has had, in calls for its weight; it may have gone round.
    had: u64,
    jobs: VecDeque<Job>,
}

impl Waiting {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Appends what one rule wants done, and leaves `jobs` empty.
    pub(super) fn push(&mut self, jobs: &mut Vec<Job>) {
        let Some(first) = jobs.first() else { return };
        self.len += jobs.len();
        let share = self.share(&first.caller);
        if share.jobs.is_empty() {
            // An empty queue takes the batch over as it is, and leaves its own memory for the next one.
            let empty = std::mem::replace(&mut share.jobs, std::mem::take(jobs).into());
            *jobs = empty.into();
        } else {
            share.jobs.extend(jobs.drain(..));
        }
    }

    /// Puts a job back that nobody has begun with: it is the next of its rule.
    pub(super) fn put_back(&mut self, job: Job) {
        self.len += 1;
        let share = self.share(&job.caller);
        share.had = share.had.wrapping_sub(share.step);
        share.jobs.push_front(job);
    }

    /// Moves the next `count` jobs, of which there are so many, to the end of `into`.
    pub(super) fn take(&mut self, count: usize, into: &mut VecDeque<Job>) {
        self.len -= count;
        if let [share] = self.shares.as_mut_slice() {
            share.had = share.had.wrapping_add(share.step.wrapping_mul(count as u64));
            // Whoever comes begins where it is.
            self.level = share.had;
            if count == share.jobs.len() && into.is_empty() {
                std::mem::swap(into, &mut share.jobs);
            } else {
                into.extend(share.jobs.drain(..count));
            }
            return;
        }
        for _ in 0..count {
            let level = self.level;
            let waiting = self.shares.iter_mut().filter(|share| !share.jobs.is_empty());
            let Some(share) = waiting.min_by_key(|share| share.turn(level)) else { break };
            if share.beyond(level) > 0 {
                self.level = share.had;
            }
            share.had = share.had.wrapping_add(share.step);
            into.extend(share.jobs.pop_front());
        }
        self.forget_idle();
    }

    /// Takes out what is meant, wherever it stands.
    pub(super) fn take_out(&mut self, is_meant: impl Fn(&Job) -> bool) -> Vec<Job> {
        let mut taken = Vec::new();
        for share in &mut self.shares {
            let (meant, kept) = std::mem::take(&mut share.jobs).into_iter().partition::<Vec<_>, _>(&is_meant);
            share.jobs = kept.into();
            taken.extend(meant);
        }
        self.len -= taken.len();
        self.forget_idle();
        taken
    }

    fn share(&mut self, caller: &Arc<Caller>) -> &mut Share {
        let address = Arc::as_ptr(caller).addr();
        let known = self.shares.iter().position(|share| share.caller == address && !share.jobs.is_empty());
        let at = known.unwrap_or_else(|| {
            // What is left of one that was alone is room for the next.
            let at = self.shares.iter().position(|share| share.jobs.is_empty()).unwrap_or_else(|| {
                self.shares.push(Share { caller: 0, step: 0, had: 0, jobs: VecDeque::new() });
                self.shares.len() - 1
            });
            let share = &mut self.shares[at];
            (share.caller, share.step, share.had) = (address, CALL / u64::from(caller.weight.get()), self.level);
            at
        });
        &mut self.shares[at]
    }

    /// One empty share stays, for its memory.
    fn forget_idle(&mut self) {
        if self.shares.len() > 1 {
            self.shares.retain(|share| !share.jobs.is_empty());
        }
    }
}

impl Share {
    /// Whose turn is before others'.
    fn turn(&self, level: u64) -> (i64, u32) {
        (self.beyond(level), self.jobs.front().map_or(u32::MAX, |job| job.since))
    }

    /// How much more it has had than this; the numbers may have gone round.
    fn beyond(&self, level: u64) -> i64 {
        self.had.wrapping_sub(level) as i64
    }
}
