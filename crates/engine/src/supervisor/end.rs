//! The end of one source or of the whole engine, in the order that keeps every promise and within bounded time.
//!
//! Whatever waits for something outside waits at most until the grace time is over: a full disk, an output that does not
//! close or a source that does not listen must not keep the process from ending. What is not finished then was not
//! acknowledged, so nothing is lost by leaving it.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout_at};
use tracing::{error, info, warn};

use super::{Engine, Live, RunningOutput, RunningSource, UnknownSource, runs};
use crate::invoke::panic_text;
use crate::port::Stop;
use crate::spool::Desk;

/// How long any part may take to end itself after the grace time is over.
pub(super) const FLUSH: Duration = Duration::from_secs(2);

/// How an engine ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// Deliveries, and messages that could not be decoded, that did not fit the grace time and are left with their
    /// sources.
    pub handed_back: usize,
    /// Sources that did not end as asked: what they have not acknowledged comes again.
    pub unended: usize,
    /// Outputs that could not be closed.
    pub unclosed: usize,
    /// State files that could not be closed: what is in them may be older than what was acknowledged.
    pub unsaved: usize,
}

/// A source did not leave its broker.
#[derive(Debug, thiserror::Error)]
pub enum LeaveError {
    /// There is no such running source.
    #[error(transparent)]
    Unknown(#[from] UnknownSource),
    /// It ended, but not as asked.
    #[error("source '{name}' ended, but its session may remain at the broker: {reason}")]
    Remains {
        /// The source.
        name: String,
        /// Why.
        reason: String,
    },
}

impl Engine {
    /// Asks one source to end its session at the broker and waits until it has. The engine goes on without it. Cancel
    /// safe: the request stands.
    ///
    /// # Errors
    /// [`LeaveError::Unknown`] names the sources there are, [`LeaveError::Remains`] says why the session was not ended.
    pub async fn leave(&self, name: &str) -> Result<(), LeaveError> {
        let source = self.source(name)?;
        let ended = match source.run.stop.stop(Stop::Leave) {
            Stop::Leave => source.run.ended().await,
            Stop::Keep => Err("the engine is ending and keeps its sessions; start it again, then leave".to_owned()),
        };
        ended.map_err(|reason| LeaveError::Remains { name: name.to_owned(), reason })?;
        info!(source = %name, "left: its session at the broker is ended");
        Ok(())
    }

    /// Ends the engine: stops reading, finishes within `grace`, and hands the rest back. What waits in a spool stays there.
    pub async fn drain(&self, grace: Duration) -> Drained {
        self.drain_until(sleep(grace)).await
    }

    /// Like [`Engine::drain`], with a grace time that is over when `over` is, such as at a second signal.
    pub async fn drain_until(&self, over: impl Future<Output = ()>) -> Drained {
        {
            // Whoever is exchanging the configuration has done so, or does not.
            let _alone = self.live.write();
            self.draining.store(true, Ordering::Relaxed);
        }
        // What is written with it ends with its last handle.
        drop(self.postbox.lock().take());
        let live = self.live();
        let running: Vec<&Arc<RunningSource>> = live.every_source().filter(|source| !source.run.has_ended()).collect();
        for source in &running {
            source.run.stop.stop(Stop::Keep);
        }
        let mut handed_back = 0;
        tokio::pin!(over);
        let in_time = tokio::select! {
            biased;
            () = self.everything_ended(&live) => true,
            () = &mut over => false,
        };
        if !in_time {
            // What goes back to its source may be called elsewhere at once, so it is not begun here any more.
            live.every_pool().for_each(|(_, pool)| pool.close());
            self.stop_spools();
            handed_back += self.hand_back(&live).await + self.abandon_letters();
            handed_back += self.desks().map(Desk::hand_back).sum::<usize>();
            warn!(
                handed_back,
                "the grace time is over; unfinished deliveries stay with their sources, or in their spools"
            );
            if !self.sources_end(&live, Instant::now() + FLUSH).await {
                warn!("a source did not end; what it has not acknowledged is delivered again");
                self.runs(&live).for_each(|run| run.abort.abort());
                self.sources_end(&live, Instant::now() + FLUSH).await;
            }
        }
        for rule in &live.rules {
            let parked = rule.reading.books().parked;
            if parked > 0 {
                info!(rule = %rule.name, parked, "parked deliveries stay until the next start");
            }
        }
        let unended = running.iter().filter(|source| !source.run.ended_well()).count();
        handed_back += self.hand_back(&live).await;
        let mut unsaved = self.close_spools(Instant::now() + FLUSH).await;
        // An event that somebody sent in the last moment.
        handed_back += self.desks().map(Desk::hand_back).sum::<usize>();
        live.every_pool().for_each(|(_, pool)| pool.close());
        self.end_workers(&live, Instant::now() + FLUSH).await;
        self.end_forwarding(Instant::now() + FLUSH).await;
        // Outputs may have what is left of the grace time: nothing else is waited for any more.
        let least = sleep(FLUSH);
        let enough = async {
            if in_time {
                over.await;
            }
            least.await;
        };
        self.end_retiring(Instant::now() + FLUSH).await;
        let outputs: Vec<_> = live.outputs.iter().chain(&self.live().leaving.outputs).cloned().collect();
        let unclosed = close(&outputs, enough).await;
        handed_back += self.end_tasks(Instant::now() + FLUSH).await;
        // Whoever writes to it has ended.
        unsaved += usize::from(!self.deliveries.close_by(Instant::now() + FLUSH).await);
        self.close_account().await;
        Drained { handed_back, unended, unclosed, unsaved }
    }

    /// Waits for the sources, then for what their spools hold in seats, and then for what neither waits for: events that
    /// were sent by hand, and what an earlier run of a source has left behind.
    async fn everything_ended(&self, live: &Live) {
        for source in live.every_source() {
            // How it ended is in its log; here counts that it did.
            drop(source.run.ended().await);
        }
        // Spools go on until here: what their sources have received may be waiting for room in them.
        for desk in self.desks() {
            desk.is_empty().await;
        }
        self.stop_spools();
        self.every_run_ended(live).await;
        for rule in live.every_rule() {
            rule.feed.is_empty().await;
        }
    }

    /// Sources and spools.
    fn runs<'a>(&'a self, live: &'a Live) -> impl Iterator<Item = &'a runs::Running> {
        live.every_source().map(|source| &source.run).chain(self.spools.iter().map(|spool| &spool.run))
    }

    fn desks(&self) -> impl Iterator<Item = &Desk> {
        self.spools.iter().filter_map(|spool| spool.desk.as_ref())
    }

    /// From here on nothing more comes out of a spool.
    fn stop_spools(&self) {
        for spool in &self.spools {
            spool.run.stop.stop(Stop::Keep);
        }
    }

    async fn every_run_ended(&self, live: &Live) {
        for run in self.runs(live) {
            drop(run.ended().await);
        }
    }

    /// Waits until every source and spool has ended; answers whether all did in time.
    async fn sources_end(&self, live: &Live, deadline: Instant) -> bool {
        timeout_at(deadline, self.every_run_ended(live)).await.is_ok()
    }

    /// Closes the file of the spools, in which everything lies that was not finished; answers how many could not be.
    async fn close_spools(&self, deadline: Instant) -> usize {
        for spool in &self.spools {
            spool.clerk.iter().for_each(AbortHandle::abort);
            let events = spool.gauge.read().books;
            let events = events.stored + events.in_flight + events.handed_back;
            if events > 0 {
                info!(source = %spool.name, events, "stay in the spool until the next start");
            }
        }
        match &self.state {
            Some(state) => usize::from(!state.file.close_by(deadline).await),
            None => 0,
        }
    }

    /// Ends every line and answers how many deliveries were left.
    async fn hand_back(&self, live: &Live) -> usize {
        let deadline = Instant::now() + FLUSH;
        let mut handed_back = 0;
        for rule in live.every_rule() {
            match timeout_at(deadline, rule.feed.hand_back()).await {
                Ok(count) => handed_back += count,
                Err(_) => {
                    error!(rule = %rule.name, "does not answer; a function may block every thread");
                    handed_back += usize::try_from(rule.reading.books().in_flight).unwrap_or(usize::MAX);
                }
            }
        }
        handed_back
    }

    /// Gives up on letters that cannot be written, so that their messages go back to the sources.
    fn abandon_letters(&self) -> usize {
        match &self.tasks.lock().letters {
            Some((task, unsettled)) => {
                task.abort();
                unsettled.count()
            }
            None => 0,
        }
    }

    async fn end_workers(&self, live: &Live, deadline: Instant) {
        for (name, pool) in live.every_pool() {
            if timeout_at(deadline, pool.ended()).await.is_err() {
                warn!(function = %name, "its calls did not end in time and are dropped");
            }
        }
    }

    async fn end_tasks(&self, deadline: Instant) -> usize {
        let mut tasks = std::mem::take(&mut *self.tasks.lock());
        tasks.pools.abort_all();
        // Lines have ended with their hand-over; with them the last handles to the postbox are gone.
        let lines = async { while tasks.lines.join_next().await.is_some() {} };
        drop(timeout_at(deadline, lines).await);
        tasks.lines.abort_all();
        let Some((mut letters, unsettled)) = tasks.letters.take() else { return 0 };
        if timeout_at(deadline, &mut letters).await.is_ok() {
            return 0;
        }
        warn!("dead letters could not be written in time; their messages are delivered again");
        letters.abort();
        unsettled.count()
    }
}

/// Closes outputs side by side; answers how many could not be closed before `enough`.
pub(super) async fn close(outputs: &[Arc<RunningOutput>], enough: impl Future<Output = ()>) -> usize {
    let mut closing = JoinSet::new();
    for (place, output) in outputs.iter().enumerate() {
        let binding = Arc::clone(&output.binding);
        let ending = async move {
            let close = AssertUnwindSafe(async { binding.close().await }).catch_unwind();
            let sentence = match close.await {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(payload) => Some(format!("it panicked: {}", panic_text(payload.as_ref()))),
            };
            (place, sentence)
        };
        closing.spawn_on(ending, &output.home);
    }
    let mut unclosed: Vec<Option<String>> = vec![Some("it took too long".to_owned()); outputs.len()];
    let closed = async {
        while let Some(closed) = closing.join_next().await {
            if let Ok((place, sentence)) = closed {
                unclosed[place] = sentence;
            }
        }
    };
    tokio::select! {
        biased;
        () = closed => {}
        () = enough => {}
    }
    for (output, sentence) in outputs.iter().zip(&unclosed) {
        if let Some(sentence) = sentence {
            warn!(output = %output.name, "not closed: {sentence}");
        }
    }
    unclosed.iter().flatten().count()
}
