//! Running workers, and the loop of one of their slots.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures_util::FutureExt;
use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::task::yield_now;
use tokio::time::Instant;

use super::Shared;
use crate::dispatch::{Caller, Finished};
use crate::invoke::{Failure, invoke};
use crate::port::{Call, StartError, Worker};

/// The workers of one pool.
#[derive(Debug, Default)]
pub(super) struct Crew(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    members: Vec<Arc<Member>>,
    started: u64,
}

/// What is known of one running worker.
#[derive(Debug)]
pub(super) struct Member {
    /// Slots with events in their hands.
    busy: AtomicUsize,
    retired: AtomicBool,
    /// When the last slot became idle.
    since: Mutex<Instant>,
}

impl Member {
    /// Since when every slot is idle.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        (self.busy.load(Ordering::Acquire) == 0).then(|| *self.since.lock())
    }
}

impl Crew {
    pub(super) fn len(&self) -> usize {
        self.0.lock().members.len()
    }

    pub(super) fn all_busy(&self) -> bool {
        self.0.lock().members.iter().all(|member| member.busy.load(Ordering::Acquire) > 0)
    }

    /// Workers, busy workers, and workers started so far.
    pub(super) fn read(&self) -> (usize, usize, u64) {
        let state = self.0.lock();
        let busy = state.members.iter().filter(|member| member.busy.load(Ordering::Acquire) > 0).count();
        (state.members.len(), busy, state.started)
    }

    /// Tells workers that `may` go to end once their hands are empty, idle ones first, until `keep` are left.
    pub(super) fn retire(&self, keep: usize, may: impl Fn(&Member) -> bool) -> usize {
        let mut state = self.0.lock();
        let mut left = state.members.len().saturating_sub(keep);
        let before = left;
        state.members.sort_by_key(|member| member.busy.load(Ordering::Acquire) == 0);
        state.members.reverse();
        state.members.retain(|member| {
            let goes = left > 0 && may(member);
            if goes {
                left -= 1;
                member.retired.store(true, Ordering::Release);
            }
            !goes
        });
        before - left
    }
}

/// Starts one worker and its slots.
pub(super) async fn start(shared: &Arc<Shared>) -> Result<(), StartError> {
    let worker = shared.options.function.start().await?;
    let member = Arc::new(Member {
        busy: AtomicUsize::new(0),
        retired: AtomicBool::new(false),
        since: Mutex::new(Instant::now()),
    });
    let mut state = shared.crew.0.lock();
    state.members.push(Arc::clone(&member));
    state.started += 1;
    drop(state);
    tokio::spawn(serve(Arc::clone(shared), worker, member));
    Ok(())
}

async fn serve(shared: Arc<Shared>, worker: Box<dyn Worker>, member: Arc<Member>) {
    let slots = (0..shared.options.concurrency.max(1)).map(|_| slot(&shared, worker.as_ref(), &member));
    join_all(slots).await;
    // Work that arrived while this worker was told to go may need another one.
    shared.queue.nudge();
}

/// One of the calls that a worker can run at once.
///
/// Nothing is woken between two calls of the same poll: a woken task waits in this thread's slot, where nobody can take
/// it away, and the next call may block the thread for ever.
async fn slot(shared: &Shared, worker: &dyn Worker, member: &Member) {
    let mut jobs = Vec::new();
    let mut answers = Answers::default();
    loop {
        let slots = shared.crew.len() * shared.options.concurrency;
        if !shared.queue.take(&mut jobs, slots, || member.retired.load(Ordering::Acquire)).await {
            return;
        }
        member.busy.fetch_add(1, Ordering::AcqRel);
        let begun = Instant::now();
        let (count, mut now) = (jobs.len(), begun);
        for job in jobs.drain(..) {
            let timeout = job.caller.timeout;
            let deadline = now + timeout;
            let call = Call { rule: job.caller.rule.clone(), attempt: job.attempt, deadline };
            let verdict = match invoke(worker, std::slice::from_ref(&job.event), &call, timeout, &shared.options.turns)
            {
                Ok(mut invocation) => {
                    let mut suspended = false;
                    let verdicts = poll_fn(|context| {
                        let polled = invocation.poll_unpin(context);
                        if polled.is_pending() && !suspended {
                            suspended = true;
                            answers.flush();
                        }
                        polled
                    });
                    let verdicts = verdicts.await;
                    if suspended {
                        now = Instant::now();
                    }
                    verdicts.and_then(|mut verdicts| verdicts.pop().ok_or(Failure::Silent))
                }
                Err(failure) => Err(failure),
            };
            answers.push(job.finish(verdict));
        }
        let end = Instant::now();
        *member.since.lock() = end;
        member.busy.fetch_sub(1, Ordering::AcqRel);
        let waits = shared.queue.served((end - begun).as_nanos() as f64 / count as f64);
        answers.flush();
        if waits {
            yield_now().await;
        }
    }
}

/// Answers of one slot, sent in batches per line.
#[derive(Default)]
struct Answers {
    to: Option<Arc<Caller>>,
    batch: Vec<Finished>,
}

impl Answers {
    fn push(&mut self, (caller, finished): (Arc<Caller>, Finished)) {
        if self.to.as_ref().is_some_and(|to| !Arc::ptr_eq(to, &caller)) {
            self.flush();
        }
        self.to = Some(caller);
        self.batch.push(finished);
    }

    fn flush(&mut self) {
        if let Some(to) = self.to.take() {
            to.answer(std::mem::take(&mut self.batch));
        }
    }
}
