//! Workers that are about to start: several at once, because one that hangs must not hold up the next.
//!
//! Never more than the pool has room for. After a failure they are tried one at a time, with a growing pause between; a
//! start that takes longer than [`PATIENCE`] keeps its place in the pool but is no longer counted on.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::task::{Id, JoinSet};
use tokio::time::{Instant, sleep_until};
use tracing::warn;

use super::{Shared, worker};
use crate::port::StartError;

/// The longest pause between two attempts to start a worker.
pub(super) const PAUSE_MAX: Duration = Duration::from_secs(10);
/// How long a start may take until another is made in its stead, where there is room.
const PATIENCE: Duration = Duration::from_secs(10);

/// The starts of one pool.
#[derive(Default)]
pub(super) struct Starts {
    under_way: JoinSet<Result<(), StartError>>,
    begun: Vec<(Id, Instant)>,
    /// Failures since the last success.
    failures: u32,
    /// No start before this.
    pause: Option<Instant>,
}

impl Starts {
    /// Starts as many workers as the work asks for.
    pub(super) fn begin(&mut self, shared: &Arc<Shared>) {
        while self.may_begin() && shared.wants_worker(self.under_way.len(), self.counted_on()) {
            let starting = Arc::clone(shared);
            let mut start = Box::pin(async move { worker::start(&starting).await });
            // Most workers are there at once, and the next decision is to know of this one.
            match start.as_mut().now_or_never() {
                Some(result) => self.ended(shared, result),
                None => {
                    let task = self.under_way.spawn(start);
                    self.begun.push((task.id(), Instant::now()));
                }
            }
        }
    }

    /// Waits until there may be something to begin: a start has ended, or the pause after a failure has. Cancel safe.
    pub(super) async fn next(&mut self, shared: &Arc<Shared>) {
        let pause = self.pause;
        tokio::select! {
            Some(ended) = self.under_way.join_next_with_id() => {
                let (id, result) = match ended {
                    Ok((id, result)) => (id, result),
                    // A panic of a start is contained, so it was one of ours.
                    Err(error) => (error.id(), Err(StartError { message: error.to_string(), cause: None })),
                };
                self.begun.retain(|(other, _)| *other != id);
                self.ended(shared, result);
            }
            () = sleep_until(pause.unwrap_or_else(Instant::now)), if pause.is_some() => self.pause = None,
            else => std::future::pending().await,
        }
    }

    fn may_begin(&self) -> bool {
        self.pause.is_none() && (self.failures == 0 || self.counted_on() == 0)
    }

    /// Starts that may end any moment.
    fn counted_on(&self) -> usize {
        self.begun.iter().filter(|(_, begun)| begun.elapsed() < PATIENCE).count()
    }

    fn ended(&mut self, shared: &Shared, result: Result<(), StartError>) {
        match result {
            Ok(()) => {
                self.failures = 0;
                shared.queue.started(None);
                // The bounds may have changed while it started.
                shared.retire_excess();
            }
            Err(error) => {
                // Several that fail together are one failure.
                if self.pause.is_none() {
                    self.failures = self.failures.saturating_add(1);
                    self.pause = Some(Instant::now() + pause(self.failures));
                }
                let name = &shared.options.name;
                let pause = self.pause.map(|until| until - Instant::now());
                warn!(function = %name, ?pause, "worker did not start: {error}");
                shared.queue.started(Some(error.to_string()));
            }
        }
    }
}

/// Doubles from 100 ms, with up to a quarter of jitter, capped.
pub(super) fn pause(failures: u32) -> Duration {
    let longest = Duration::from_millis(100).saturating_mul(1 << failures.saturating_sub(1).min(10));
    longest.min(PAUSE_MAX).mul_f64(0.75 + 0.25 * fastrand::f64())
}
