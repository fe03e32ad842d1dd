//! Running workers, and the loop of one of their slots.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Poll, ready};

use futures_util::FutureExt;
use parking_lot::Mutex;
use smallvec::SmallVec;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Shared;
use super::queue::{Size, step_aside};
use crate::dispatch::{Caller, Finished, Job};
use crate::invoke::{Failure, Turns, invoke, panic_text};
use crate::port::{Call, Function, StartError, Worker};

/// The workers of one pool.
#[derive(Debug, Default)]
pub(super) struct Crew {
    state: Mutex<State>,
    slots: Mutex<JoinSet<()>>,
}

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
    /// A worker that has just started.
    pub(super) fn new() -> Member {
        Member { busy: AtomicUsize::new(0), retired: AtomicBool::new(false), since: Mutex::new(Instant::now()) }
    }

    /// Since when every slot is idle.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        (self.busy.load(Ordering::Acquire) == 0).then(|| *self.since.lock())
    }

    /// Whether it should end once its hands are empty.
    pub(super) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }

    /// A slot has events in its hands from now on.
    pub(super) fn begin(&self) {
        self.busy.fetch_add(1, Ordering::AcqRel);
    }

    fn end(&self, now: Instant) {
        *self.since.lock() = now;
        self.busy.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Crew {
    pub(super) fn len(&self) -> usize {
        self.state.lock().members.len()
    }

    /// Waits until every slot has ended, when nobody starts workers any more.
    pub(super) async fn ended(&self) {
        let mut slots = std::mem::take(&mut *self.slots.lock());
        while slots.join_next().await.is_some() {}
    }

    fn forget(&self, member: &Arc<Member>) {
        self.state.lock().members.retain(|other| !Arc::ptr_eq(other, member));
    }

    pub(super) fn all_busy(&self) -> bool {
        self.state.lock().members.iter().all(|member| member.busy.load(Ordering::Acquire) > 0)
    }

    /// Workers, busy workers, and workers started so far.
    pub(super) fn read(&self) -> (usize, usize, u64) {
        let state = self.state.lock();
        let busy = state.members.iter().filter(|member| member.busy.load(Ordering::Acquire) > 0).count();
        (state.members.len(), busy, state.started)
    }

    /// Tells workers that `may` go to end once their hands are empty, idle ones first, until `keep` are left.
    pub(super) fn retire(&self, keep: usize, may: impl Fn(&Member) -> bool) -> usize {
        let mut state = self.state.lock();
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

/// Starts one worker and its slots, each a task of its own: a call that blocks its thread holds up no other.
pub(super) async fn start(shared: &Arc<Shared>) -> Result<(), StartError> {
    let worker = contained(shared.options.function.as_ref(), &shared.options.turns).await?;
    let member = Arc::new(Member::new());
    let mut state = shared.crew.state.lock();
    state.members.push(Arc::clone(&member));
    state.started += 1;
    drop(state);
    let place = Arc::new(Place { shared: Arc::clone(shared), member, worker });
    for _ in 0..shared.options.concurrency.max(1) {
        let mut slots = shared.crew.slots.lock();
        // Those that have ended are of no interest any more.
        while slots.try_join_next().is_some() {}
        slots.spawn(slot(Arc::clone(&place)));
    }
    Ok(())
}

/// A panic while starting is a failed start, not the end of the pool. User code begins here, so each step takes a turn.
async fn contained(function: &dyn Function, turns: &Turns) -> Result<Box<dyn Worker>, StartError> {
    let mut start = std::pin::pin!(AssertUnwindSafe(async { function.start().await }).catch_unwind());
    let started = poll_fn(|context| {
        let turn = ready!(turns.poll_turn(context));
        let polled = start.as_mut().poll(context);
        drop(turn);
        polled
    });
    let started = started.await;
    started.unwrap_or_else(|payload| {
        let message = format!("the function panicked while it started: {}", panic_text(payload.as_ref()));
        Err(StartError { message, cause: None })
    })
}

/// One worker, shared by its slots and dropped with the last of them.
struct Place {
    shared: Arc<Shared>,
    member: Arc<Member>,
    worker: Box<dyn Worker>,
}

impl Drop for Place {
    fn drop(&mut self) {
        // However it ended: a worker that is gone must not count as one.
        self.shared.crew.forget(&self.member);
        // Work that arrived while this worker was told to go may need another one.
        self.shared.queue.nudge();
    }
}

/// One of the calls that a worker can run at once.
///
/// Nobody is woken between two calls of the same poll; see [`take`](super::queue::Queue::take) for the reason.
async fn slot(place: Arc<Place>) {
    let Place { shared, member, .. } = &*place;
    let mut hands = Hands::default();
    let mut woke = false;
    loop {
        let workers = shared.crew.len();
        let crew = Size { workers, slots: workers * shared.options.concurrency };
        if !shared.queue.take(&mut hands.jobs, member, crew, woke).await {
            return;
        }
        let busy = Busy(member);
        let begun = Instant::now();
        let (count, suspended) = hands.work(&place, begun).await;
        let end = Instant::now();
        busy.end(end);
        let waits = shared.queue.served((end - begun).as_nanos() as f64 / count.max(1) as f64, suspended);
        hands.flush();
        if waits {
            step_aside().await;
        }
        woke = !waits;
    }
}

/// Marks a slot as busy until it is done, however that ends.
struct Busy<'a>(&'a Member);

impl Busy<'_> {
    fn end(self, now: Instant) {
        self.0.end(now);
        std::mem::forget(self);
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.end(Instant::now());
    }
}

/// What a slot has taken and what it has to answer, in batches per line.
#[derive(Default)]
struct Hands {
    jobs: VecDeque<Job>,
    answers: SmallVec<[(Arc<Caller>, Vec<Finished>); 2]>,
}

impl Hands {
    /// Works off what was taken, in one turn as long as no call has to wait; answers how many calls were made and whether
    /// one of them had to.
    async fn work(&mut self, place: &Place, begun: Instant) -> (usize, bool) {
        let (mut now, mut count, mut waited) = (begun, 0, false);
        let mut turn = None;
        while let Some(job) = self.jobs.pop_front() {
            if place.member.is_retired() {
                self.jobs.push_front(job);
                place.shared.queue.give_back(&mut self.jobs, place.shared.crew.len());
                break;
            }
            if job.is_called_off() {
                self.answer(job.finish_unbegun());
                continue;
            }
            count += 1;
            let held = match turn.take() {
                Some(turn) => turn,
                None => {
                    let turns = &place.shared.options.turns;
                    let (turn, suspended) = self.give_way(place, &job, turns.turn()).await;
                    if suspended {
                        now = Instant::now();
                        waited = true;
                    }
                    let Some(turn) = turn else {
                        self.answer(job.finish_unbegun());
                        continue;
                    };
                    turn
                }
            };
            let call = Call { rule: job.caller.rule.clone(), attempt: job.attempt, deadline: now + job.caller.timeout };
            let mut invocation =
                invoke(place.worker.as_ref(), std::slice::from_ref(&job.event), &call, job.caller.timeout, held);
            let (verdicts, suspended) = self.give_way(place, &job, &mut invocation).await;
            let verdicts = verdicts.unwrap_or_else(|| invocation.call_off());
            turn = invocation.into_turn();
            if suspended {
                now = Instant::now();
                waited = true;
            }
            let verdict = verdicts.and_then(|mut verdicts| verdicts.pop().ok_or(Failure::Silent));
            self.answer(job.finish(verdict));
        }
        (count, waited)
    }

    /// Awaits `future` for `job` and answers whether it had to wait; nothing comes of it when the job is called off
    /// meanwhile. While it waits, what was taken behind it is for others.
    async fn give_way<T>(&mut self, place: &Place, job: &Job, future: impl Future<Output = T>) -> (Option<T>, bool) {
        let mut future = std::pin::pin!(future);
        let mut watch = None;
        let output = poll_fn(|context| {
            if let Poll::Ready(output) = future.as_mut().poll(context) {
                return Poll::Ready(Some(output));
            }
            if watch.is_none() {
                self.flush();
                place.shared.queue.give_back(&mut self.jobs, place.shared.crew.len());
            }
            watch.get_or_insert_with(|| job.watch()).poll(context).map(|()| None)
        });
        let output = output.await;
        (output, watch.is_some())
    }

    fn answer(&mut self, (caller, finished): (Arc<Caller>, Finished)) {
        match self.answers.iter_mut().find(|(to, _)| Arc::ptr_eq(to, &caller)) {
            Some((_, batch)) => batch.push(finished),
            None => {
                let mut batch = Vec::with_capacity(1 + self.jobs.len());
                batch.push(finished);
                self.answers.push((caller, batch));
            }
        }
    }

    fn flush(&mut self) {
        for (to, batch) in self.answers.drain(..) {
            to.answer(batch);
        }
    }
}
