//! The jobs of one pool, and who is woken for them.

use std::collections::VecDeque;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::Limits;
use crate::dispatch::Job;

/// Jobs that one worker takes at most.
const BATCH: usize = 64;

/// Jobs in the order of arrival; locks are held for a batch, never for an event.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// Idle workers wait here; the one that was busy last is woken first, so that the others can retire.
    work: Notify,
    /// The pool's keeper waits here.
    keeper: Notify,
}

#[derive(Debug)]
struct State {
    jobs: VecDeque<Job>,
    /// Slots that wait for work.
    idle: usize,
    limits: Limits,
    start_error: Option<String>,
    /// The smoothed time of one call in nanoseconds; 0 while unknown.
    service: f64,
}

impl Queue {
    pub(super) fn new(limits: Limits) -> Queue {
        let state = State { jobs: VecDeque::new(), idle: 0, limits, start_error: None, service: 0.0 };
        let queue = Queue { state: Mutex::new(state), work: Notify::new(), keeper: Notify::new() };
        // The minimum is due at once.
        queue.keeper.notify_one();
        queue
    }

    /// Appends jobs and wakes as many idle slots as they keep busy.
    pub(super) fn submit(&self, jobs: &mut Vec<Job>, workers: usize) {
        let mut state = self.state.lock();
        state.jobs.extend(jobs.drain(..));
        let wanted = state.jobs.len().div_ceil(state.grab());
        let wake = wanted.min(state.idle);
        let short = wanted > state.idle && workers < state.limits.max;
        drop(state);
        for _ in 0..wake {
            self.work.notify_last();
        }
        if short {
            self.keeper.notify_one();
        }
    }

    /// Takes what one slot should do next; waits for work unless `retired`. `None` when the slot should end.
    pub(super) async fn take(&self, into: &mut Vec<Job>, slots: usize, retired: impl Fn() -> bool) -> bool {
        loop {
            let notified = self.work.notified();
            tokio::pin!(notified);
            {
                let mut state = self.state.lock();
                if retired() {
                    return false;
                }
                if !state.jobs.is_empty() {
                    let share = state.jobs.len().div_ceil(slots.max(1));
                    let count = state.grab().min(share);
                    into.extend(state.jobs.drain(..count));
                    return true;
                }
                state.idle += 1;
                // Registered under the lock, so that no submit can fall between.
                notified.as_mut().enable();
            }
            let _idle = Idle(self);
            notified.await;
        }
    }

    /// Notes how long one call took on average over a batch; answers whether more jobs wait.
    pub(super) fn served(&self, nanoseconds: f64) -> bool {
        let mut state = self.state.lock();
        state.service = if state.service == 0.0 { nanoseconds } else { 0.8 * state.service + 0.2 * nanoseconds };
        !state.jobs.is_empty()
    }

    /// Whether jobs wait.
    pub(super) fn waits(&self) -> bool {
        !self.state.lock().jobs.is_empty()
    }

    /// Waits until the keeper has something to look at. Cancel safe.
    pub(super) async fn change(&self) {
        self.keeper.notified().await;
    }

    /// Lets the keeper look again.
    pub(super) fn nudge(&self) {
        self.keeper.notify_one();
    }

    pub(super) fn limits(&self) -> Limits {
        self.state.lock().limits
    }

    pub(super) fn resize(&self, limits: Limits) {
        self.state.lock().limits = limits;
        self.nudge();
    }

    /// Notes how the last start went.
    pub(super) fn started(&self, error: Option<String>) {
        self.state.lock().start_error = error;
    }

    pub(super) fn read(&self) -> (usize, Option<String>) {
        let state = self.state.lock();
        (state.jobs.len(), state.start_error.clone())
    }

    /// Wakes every idle slot, to look whether it is retired.
    pub(super) fn wake_all(&self) {
        self.work.notify_waiters();
    }
}

impl State {
    /// Jobs that take about [`super::GRAB`] together; one while that is unknown.
    fn grab(&self) -> usize {
        if self.service == 0.0 {
            return 1;
        }
        ((super::GRAB.as_nanos() as f64 / self.service) as usize).clamp(1, BATCH)
    }
}

/// Counts a waiting slot for as long as it waits, however the waiting ends.
struct Idle<'a>(&'a Queue);

impl Drop for Idle<'_> {
    fn drop(&mut self) {
        self.0.state.lock().idle -= 1;
    }
}
