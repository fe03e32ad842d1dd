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
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::{error, info, warn};

use super::{Engine, RunningOutput, RunningSource, UnknownSource};
use crate::invoke::panic_text;
use crate::port::Stop;

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
        let ended = match source.stop.stop(Stop::Leave) {
            Stop::Leave => source.ended().await,
            Stop::Keep => Err("the engine is ending and keeps its sessions; start it again, then leave".to_owned()),
        };
        ended.map_err(|reason| LeaveError::Remains { name: name.to_owned(), reason })?;
        info!(source = %name, "left: its session at the broker is ended");
        Ok(())
    }

    /// Ends the engine: stops reading, finishes within `grace`, and hands the rest back.
    pub async fn drain(&self, grace: Duration) -> Drained {
        self.drain_until(sleep(grace)).await
    }

    /// Like [`Engine::drain`], with a grace time that is over when `over` is, such as at a second signal.
    pub async fn drain_until(&self, over: impl Future<Output = ()>) -> Drained {
        self.draining.store(true, Ordering::Relaxed);
        let running: Vec<&RunningSource> = self.sources.iter().filter(|source| !source.has_ended()).collect();
        for source in &running {
            source.stop.stop(Stop::Keep);
        }
        let mut handed_back = 0;
        tokio::pin!(over);
        let in_time = tokio::select! {
            biased;
            () = self.everything_ended() => true,
            () = &mut over => false,
        };
        if !in_time {
            // What goes back to its source may be called elsewhere at once, so it is not begun here any more.
            self.pools.iter().for_each(|(_, pool)| pool.close());
            handed_back += self.hand_back().await + self.abandon_rejects();
            warn!(handed_back, "the grace time is over; unfinished deliveries stay with their sources");
            if !self.sources_end(Instant::now() + FLUSH).await {
                warn!("a source did not end; what it has not acknowledged is delivered again");
                self.sources.iter().for_each(|source| source.abort.abort());
                self.sources_end(Instant::now() + FLUSH).await;
            }
        }
        let unended = running.iter().filter(|source| !source.ended_well()).count();
        handed_back += self.hand_back().await;
        self.pools.iter().for_each(|(_, pool)| pool.close());
        self.end_workers(Instant::now() + FLUSH).await;
        // Outputs may have what is left of the grace time: nothing else is waited for any more.
        let least = sleep(FLUSH);
        let enough = async {
            if in_time {
                over.await;
            }
            least.await;
        };
        let unclosed = close(&self.outputs, enough).await;
        handed_back += self.end_tasks(Instant::now() + FLUSH).await;
        Drained { handed_back, unended, unclosed }
    }

    /// Waits for the sources, and then for what they do not wait for: events that were sent by hand, and what an earlier
    /// run of a source has left behind.
    async fn everything_ended(&self) {
        self.every_source_ended().await;
        for rule in &self.rules {
            rule.feed.is_empty().await;
        }
    }

    async fn every_source_ended(&self) {
        for source in &self.sources {
            // How it ended is in its log; here counts that it did.
            drop(source.ended().await);
        }
    }

    /// Waits until every source has ended; answers whether all did in time.
    async fn sources_end(&self, deadline: Instant) -> bool {
        timeout_at(deadline, self.every_source_ended()).await.is_ok()
    }

    /// Ends every line and answers how many deliveries were left.
    async fn hand_back(&self) -> usize {
        let deadline = Instant::now() + FLUSH;
        let mut handed_back = 0;
        for rule in &self.rules {
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

    /// Gives up on records that cannot be written, so that their messages go back to the sources.
    fn abandon_rejects(&self) -> usize {
        match &self.tasks.lock().rejects {
            Some((task, unsettled)) => {
                task.abort();
                unsettled.count()
            }
            None => 0,
        }
    }

    async fn end_workers(&self, deadline: Instant) {
        for (name, pool) in &self.pools {
            if timeout_at(deadline, pool.ended()).await.is_err() {
                warn!(function = %name, "its calls did not end in time and are dropped");
            }
        }
    }

    async fn end_tasks(&self, deadline: Instant) -> usize {
        let mut tasks = std::mem::take(&mut *self.tasks.lock());
        tasks.pools.abort_all();
        // Lines have ended with their hand-over; with them the last handles to the rejects are gone.
        let lines = async { while tasks.lines.join_next().await.is_some() {} };
        drop(timeout_at(deadline, lines).await);
        tasks.lines.abort_all();
        let Some((mut rejects, unsettled)) = tasks.rejects.take() else { return 0 };
        if timeout_at(deadline, &mut rejects).await.is_ok() {
            return 0;
        }
        warn!("rejects could not be written in time; their messages are delivered again");
        rejects.abort();
        unsettled.count()
    }
}

impl RunningSource {
    pub(super) fn has_ended(&self) -> bool {
        self.ended.borrow().is_some() || self.ended.has_changed().is_err()
    }

    /// Whether the source has left as it was asked to.
    pub(super) fn ended_well(&self) -> bool {
        matches!(*self.ended.borrow(), Some(Ok(())))
    }

    /// Waits until the source has ended. Cancel safe.
    async fn ended(&self) -> Result<(), String> {
        let mut ended = self.ended.clone();
        match ended.wait_for(Option::is_some).await {
            Ok(result) => (*result).clone().unwrap_or(Ok(())),
            Err(_) => Err("it was aborted".to_owned()),
        }
    }
}

/// Closes outputs side by side; answers how many could not be closed before `enough`.
pub(super) async fn close(outputs: &[RunningOutput], enough: impl Future<Output = ()>) -> usize {
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
