//! The running engine: put together from a plan, watched, and ended in order.
//!
//! Start order: rejects, outputs, pools, lines, sources; whoever hands on is started after whoever takes. End order is the
//! reverse and keeps the promises: sources stop reading, what is in flight finishes and is acknowledged, and only what the
//! grace time does not suffice for is handed back.

mod build;
mod exposition;
mod runs;
mod status;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, timeout_at};
use tracing::{info, warn};

use crate::delivery::Ledger;
use crate::dispatch::{self, Feed};
use crate::event::Text;
use crate::metric::{Link, Page};
use crate::pool::Pool;
use crate::port::{Clock, Output, Stop, Trigger as StopTrigger};
use crate::registry::OpenError;
use crate::router::Tally;

pub use status::{OutputStatus, RuleStatus, SourceStatus, Status, TriggerStatus};

/// How long a source may take to flush its acknowledgements after the grace time handed everything back.
const FLUSH: Duration = Duration::from_secs(2);

/// What the engine is given besides its plan.
#[derive(Clone)]
pub struct Host {
    /// This engine's instance id.
    pub instance: Text,
    /// The state folder, which exists.
    pub state: PathBuf,
    /// Wall time.
    pub clock: Arc<dyn Clock>,
    /// How many threads user code may occupy at once.
    pub turns: usize,
    /// How long a worker above a pool's minimum may be idle.
    pub idle_after: Duration,
}

/// A running engine.
pub struct Engine {
    name: Text,
    host: Host,
    began: Instant,
    sources: Vec<RunningSource>,
    triggers: Vec<(Text, Arc<Tally>)>,
    rules: Vec<RunningRule>,
    pools: Vec<(Text, Pool)>,
    outputs: Vec<RunningOutput>,
    rejects: Link,
    page: Page,
    draining: std::sync::atomic::AtomicBool,
    tasks: Mutex<Tasks>,
}

/// What has to be awaited or ended when the engine ends.
#[derive(Default)]
struct Tasks {
    lines: JoinSet<()>,
    pools: JoinSet<()>,
    rejects: Option<JoinHandle<()>>,
}

struct RunningSource {
    name: Text,
    seats: usize,
    ledger: Ledger,
    link: Link,
    stop: StopTrigger,
    task: Mutex<Option<JoinHandle<()>>>,
}

struct RunningRule {
    /// `trigger/rule`.
    name: Text,
    /// The trigger's place, and the rule's within it.
    place: (usize, usize),
    feed: Feed,
    reading: dispatch::Reading,
}

struct RunningOutput {
    name: Text,
    link: Link,
    binding: Arc<dyn Output>,
}

/// How an engine ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Deliveries that did not fit the grace time and are left with their sources.
    pub handed_back: usize,
    /// Outputs that could not be closed.
    pub unclosed: usize,
}

/// The engine did not start.
#[derive(Debug, thiserror::Error)]
#[error("{kind} '{name}': {error}")]
pub struct StartError {
    /// `source`, `function`, `output` or `state`.
    pub kind: &'static str,
    /// Which one.
    pub name: Text,
    /// Why.
    #[source]
    pub error: OpenError,
}

/// There is no such running source.
#[derive(Debug, thiserror::Error)]
#[error("no source '{name}' is running; the running ones are: {known}")]
pub struct UnknownSource {
    name: String,
    known: String,
}

impl Engine {
    /// Asks one source to end its session at the broker and waits until it has. The engine goes on without it.
    ///
    /// # Errors
    /// [`UnknownSource`] names the ones there are.
    pub async fn leave(&self, name: &str) -> Result<(), UnknownSource> {
        let source = self.sources.iter().find(|source| source.name == name);
        let running = source.and_then(|source| source.task.lock().take().map(|task| (source, task)));
        let Some((source, task)) = running else {
            let known: Vec<_> = self
                .sources
                .iter()
                .filter(|source| source.task.lock().is_some())
                .map(|source| source.name.as_str())
                .collect();
            return Err(UnknownSource { name: name.to_owned(), known: known.join(", ") });
        };
        source.stop.stop(Stop::Leave);
        drop(task.await);
        info!(source = %name, "left: its session at the broker is ended");
        Ok(())
    }

    /// Ends the engine: stops reading, finishes within `grace`, and hands the rest back.
    pub async fn drain(&self, grace: Duration) -> Drained {
        self.draining.store(true, std::sync::atomic::Ordering::Relaxed);
        let deadline = Instant::now() + grace;
        for source in &self.sources {
            source.stop.stop(Stop::Keep);
        }
        let mut handed_back = 0;
        if !self.sources_end(deadline).await {
            for rule in &self.rules {
                handed_back += rule.feed.hand_back().await;
            }
            warn!(handed_back, "the grace time is over; unfinished deliveries stay with their sources");
            if !self.sources_end(Instant::now() + FLUSH).await {
                warn!("a source did not end; what it has not acknowledged is delivered again");
            }
        }
        for rule in &self.rules {
            handed_back += rule.feed.hand_back().await;
        }
        for (_, pool) in &self.pools {
            pool.close();
        }
        let unclosed = self.close_outputs().await;
        self.end_tasks().await;
        Drained { handed_back, unclosed }
    }

    /// Waits for every source's task; answers whether all ended in time.
    async fn sources_end(&self, deadline: Instant) -> bool {
        let mut all = true;
        for source in &self.sources {
            let task = source.task.lock().take();
            let Some(mut task) = task else { continue };
            if timeout_at(deadline, &mut task).await.is_err() {
                *source.task.lock() = Some(task);
                all = false;
            }
        }
        all
    }

    async fn close_outputs(&self) -> usize {
        let mut unclosed = 0;
        for output in &self.outputs {
            if let Err(error) = output.binding.close().await {
                warn!(output = %output.name, "not closed: {error}");
                unclosed += 1;
            }
        }
        unclosed
    }

    async fn end_tasks(&self) {
        let mut tasks = std::mem::take(&mut *self.tasks.lock());
        // Lines have ended with their hand-over; with them the last handles to the rejects are gone.
        tasks.lines.join_all().await;
        tasks.pools.abort_all();
        if let Some(rejects) = tasks.rejects.take() {
            drop(rejects.await);
        }
    }
}
