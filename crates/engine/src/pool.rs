//! The workers of one function.
//!
//! Jobs wait in one queue per function and rule, whose turns are fair (`pool::waiting`), and workers take them. A worker takes as many as it expects to finish within
//! [`GRAB`], so that quick functions move in batches; if a call has to wait after all, what was taken behind it goes back
//! to the front of the queue, so that no event waits in a busy worker's hands while another is idle.
//! The size follows the work: an arrival that finds nobody idle starts workers up to the maximum, and workers that have
//! been idle for [`Options::idle_after`] stop down to the minimum, never with an event in their hands.

mod queue;
mod starts;
#[cfg(test)]
mod tests;
mod waiting;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tracing::info;

use crate::dispatch::{Caller, Job};
use crate::event::Text;
use crate::invoke::Turns;
use crate::port::Function;
use queue::Queue;
use starts::Starts;
use worker::Crew;

/// How much work one worker takes at a time.
pub const GRAB: Duration = Duration::from_micros(100);

/// The bounds of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Workers that are kept when there is no work.
    pub min: usize,
    /// Workers at most, at least 1.
    pub max: usize,
}

/// What a pool is made of.
pub struct Options {
    /// The function's name.
    pub name: Text,
    /// What starts workers.
    pub function: Arc<dyn Function>,
    /// Its first bounds.
    pub limits: Limits,
    /// Calls that one worker runs at once, at least 1.
    pub concurrency: usize,
    /// How long a worker above the minimum may be idle.
    pub idle_after: Duration,
    /// The right to run on a thread, shared by all pools.
    pub turns: Arc<Turns>,
}

/// A handle to one function's workers.
#[derive(Clone)]
pub struct Pool(Arc<Shared>);

struct Shared {
    options: Options,
    queue: Queue,
    crew: Crew,
}

/// One reading of a pool.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reading {
    /// Running workers.
    pub workers: usize,
    /// Of those, the ones with an event in their hands.
    pub busy: usize,
    /// Events that wait for a worker.
    pub queued: usize,
    /// Workers started since the engine began.
    pub started: u64,
    /// Why the last worker did not start, until one does.
    pub start_error: Option<String>,
}

impl Pool {
    /// A pool without workers; [`Pool::run`] brings it to life.
    #[must_use]
    pub fn new(options: Options) -> Pool {
        let queue = Queue::new(options.limits);
        Pool(Arc::new(Shared { options, queue, crew: Crew::default() }))
    }

    /// Puts a batch in the queue and leaves `jobs` empty. Never waits: what is under way is bounded by the seats.
    pub(crate) fn submit(&self, jobs: &mut Vec<Job>) {
        self.0.queue.submit(jobs, self.0.crew.len());
    }

    /// Takes the jobs of a line that are called off out of the queue. Those that a worker has it answers by itself.
    pub(crate) fn take_back(&self, caller: &Arc<Caller>) -> Vec<Job> {
        self.0.queue.take_back(caller)
    }

    /// Takes every job of a line out of the queue. Those that a worker has it answers by itself.
    pub(crate) fn withdraw(&self, caller: &Arc<Caller>) -> Vec<Job> {
        self.0.queue.withdraw(caller)
    }

    /// Whether both are handles to the same workers.
    #[must_use]
    pub fn is(&self, other: &Pool) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Changes the bounds while running. Workers above a lower maximum finish what they hold.
    pub fn resize(&self, limits: Limits) {
        self.0.queue.resize(limits);
        self.0.retire_excess();
    }

    /// Tells every worker to end once its hands are empty; jobs that wait stay waiting.
    pub fn close(&self) {
        self.resize(Limits { min: 0, max: 0 });
    }

    /// Waits, after [`Pool::close`], until every worker has ended and is dropped. Giving up waiting drops their calls.
    pub async fn ended(&self) {
        self.0.crew.ended().await;
    }

    /// One reading; never waits.
    #[must_use]
    pub fn read(&self) -> Reading {
        let (queued, start_error) = self.0.queue.read();
        let (workers, busy, started) = self.0.crew.read();
        Reading { workers, busy, queued, started, start_error }
    }

    /// Keeps the pool at the size that its work asks for, until the future is dropped.
    pub async fn run(self) {
        let shared = &self.0;
        let interval = shared.options.idle_after.max(Duration::from_millis(6)) / 6;
        let mut sweep = Instant::now() + interval;
        let mut starts = Starts::default();
        loop {
            tokio::select! {
                () = shared.queue.change() => {}
                () = starts.next(shared) => {}
                // A moment of its own: a pool that always has something to look at must shrink, too.
                () = sleep_until(sweep) => {
                    sweep = Instant::now() + interval;
                    shared.retire_idle();
                    shared.queue.rouse(shared.crew.len());
                }
            }
            starts.begin(shared);
        }
    }
}

impl Shared {
    /// Whether one more worker should start while `starting` are about to, of which `soon` can be counted on.
    fn wants_worker(&self, starting: usize, soon: usize) -> bool {
        let limits = self.queue.limits();
        let workers = self.crew.len() + starting;
        // A worker that is idle takes what waits, and so does one that is about to start.
        workers < limits.min.min(limits.max)
            || (workers < limits.max && self.queue.wanted() > soon && self.crew.all_busy())
    }

    fn retire_idle(&self) {
        let Some(before) = Instant::now().checked_sub(self.options.idle_after) else { return };
        let min = self.queue.limits().min;
        if self.crew.retire(min, |worker| worker.idle_since().is_some_and(|since| since <= before)) > 0 {
            info!(function = %self.options.name, workers = self.crew.len(), "idle workers stop");
            self.queue.wake_all();
        }
    }

    fn retire_excess(&self) {
        if self.crew.retire(self.queue.limits().max, |_| true) > 0 {
            self.queue.wake_all();
        }
    }
}
