//! The jobs of one pool, and who is woken for them.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use super::Limits;
use super::waiting::Waiting;
use super::worker::Member;
use crate::dispatch::{Caller, Job};

/// Jobs that one worker takes at most.
const BATCH: usize = 64;

/// Jobs in the order of their rules' turns; locks are held for a batch, never for an event.
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
    jobs: Waiting,
    /// Slots that wait for work.
    idle: usize,
    limits: Limits,
    start_error: Option<String>,
    /// The smoothed time of one call in nanoseconds; 0 while unknown.
    service: f64,
}

impl Queue {
    pub(super) fn new(limits: Limits) -> Queue {
        let state = State { jobs: Waiting::default(), idle: 0, limits, start_error: None, service: 0.0 };
        let queue = Queue { state: Mutex::new(state), work: Notify::new(), keeper: Notify::new() };
        // The minimum is due at once.
        queue.keeper.notify_one();
        queue
    }

    /// Appends jobs and wakes as many idle slots as they keep busy.
    pub(super) fn submit(&self, jobs: &mut Vec<Job>, workers: usize) {
        let mut state = self.state.lock();
        state.jobs.push(jobs);
        self.wake(state, workers);
    }

    /// Takes jobs back that a slot cannot begin soon; they are next again, in the same order. Those that were called off
    /// meanwhile are answered instead: whoever called them off may have searched the queue already.
    pub(super) fn give_back(&self, jobs: &mut VecDeque<Job>, workers: usize) {
        if jobs.is_empty() {
            return;
        }
        let mut called_off = Vec::new();
        let mut state = self.state.lock();
        while let Some(job) = jobs.pop_back() {
            if job.is_called_off() {
                called_off.push(job);
            } else {
                state.jobs.put_back(job);
            }
        }
        self.wake(state, workers);
        for job in called_off {
            let (caller, unbegun) = job.finish_unbegun();
            caller.answer(vec![unbegun]);
        }
    }

    /// Takes out what a line has called off.
    pub(super) fn take_back(&self, caller: &Arc<Caller>) -> Vec<Job> {
        self.take_out(|job| Arc::ptr_eq(&job.caller, caller) && job.is_called_off())
    }

    /// Takes out everything of a line.
    pub(super) fn withdraw(&self, caller: &Arc<Caller>) -> Vec<Job> {
        self.take_out(|job| Arc::ptr_eq(&job.caller, caller))
    }

    fn take_out(&self, is_meant: impl Fn(&Job) -> bool) -> Vec<Job> {
        self.state.lock().jobs.take_out(is_meant)
    }

    /// Wakes whoever is needed for the jobs that wait: a slot whose function blocks its thread, against all expectation,
    /// leaves jobs behind without anybody awake to take them.
    pub(super) fn rouse(&self, workers: usize) {
        self.wake(self.state.lock(), workers);
    }

    fn wake(&self, state: MutexGuard<'_, State>, workers: usize) {
        let wake = state.wanted().min(state.idle);
        let short = state.short(workers);
        drop(state);
        for _ in 0..wake {
            self.work.notify_last();
        }
        if short {
            self.keeper.notify_one();
        }
    }

    /// Takes what one slot of `member` should do next and marks it busy; waits for work unless the member is retired.
    /// Answers `false` when the slot should end.
    ///
    /// A task that this one has woken waits in this thread's own slot, where no other thread can take it away. So a slot
    /// that woke somebody steps aside before it calls user code, which may block the thread for ever.
    pub(super) async fn take(&self, into: &mut VecDeque<Job>, member: &Member, crew: Size, mut woke: bool) -> bool {
        loop {
            let notified = self.work.notified();
            tokio::pin!(notified);
            let next = {
                let mut state = self.state.lock();
                if member.is_retired() {
                    return false;
                }
                if state.jobs.len() == 0 {
                    state.idle += 1;
                    // Registered under the lock, so that no submit can fall between.
                    notified.as_mut().enable();
                    Next::Wait(Idle(self))
                } else if woke {
                    Next::StepAside
                } else {
                    // What one slot does within its time is not worth waking another for, and one answer costs less than
                    // several.
                    let share = state.jobs.len().div_ceil(crew.slots.clamp(1, state.wanted()));
                    let count = state.grab().min(share);
                    state.jobs.take(count, into);
                    // Under the lock: the keeper must not see what is left beside a member that seems idle.
                    member.begin();
                    Next::Work { short: state.short(crew.workers) }
                }
            };
            match next {
                Next::Wait(_idle) => notified.await,
                Next::StepAside => step_aside().await,
                Next::Work { short } => {
                    if short {
                        self.keeper.notify_one();
                        step_aside().await;
                    }
                    return true;
                }
            }
            woke = false;
        }
    }

    /// Notes how long one call took on average over a batch, at least [`super::GRAB`] if it had to wait for anything;
    /// answers whether more jobs wait.
    pub(super) fn served(&self, nanoseconds: f64, suspended: bool) -> bool {
        let least = if suspended { super::GRAB.as_nanos() as f64 } else { 1.0 };
        let nanoseconds = nanoseconds.max(least);
        let mut state = self.state.lock();
        state.service = if state.service == 0.0 { nanoseconds } else { 0.8 * state.service + 0.2 * nanoseconds };
        !state.jobs.len() == 0
    }

    /// Slots that the waiting jobs would keep busy.
    pub(super) fn wanted(&self) -> usize {
        self.state.lock().wanted()
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
    /// Slots that the waiting jobs keep busy.
    fn wanted(&self) -> usize {
        self.jobs.len().div_ceil(self.grab())
    }

    /// Whether one more worker would find work.
    fn short(&self, workers: usize) -> bool {
        self.wanted() > self.idle && workers < self.limits.max
    }

    /// Jobs that take about [`super::GRAB`] together; one while that is unknown.
    fn grab(&self) -> usize {
        if self.service == 0.0 {
            return 1;
        }
        ((super::GRAB.as_nanos() as f64 / self.service) as usize).clamp(1, BATCH)
    }
}

/// What a slot that asks for work does next.
enum Next<'a> {
    Wait(Idle<'a>),
    StepAside,
    Work { short: bool },
}

/// How many others there are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    pub(super) workers: usize,
    /// Calls that they can run at once.
    pub(super) slots: usize,
}

/// Lets every other task that is ready run first. Unlike `tokio::task::yield_now`, which keeps the task back until this
/// thread has nothing else to do, it waits where another thread can take it.
pub(super) async fn step_aside() {
    let mut aside = false;
    poll_fn(|context| {
        if std::mem::replace(&mut aside, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Counts a waiting slot for as long as it waits, however the waiting ends.
struct Idle<'a>(&'a Queue);

impl Drop for Idle<'_> {
    fn drop(&mut self) {
        self.0.state.lock().idle -= 1;
    }
}
