//! Another configuration for a running engine.
//!
//! Decisions: **everything new is opened before anything is exchanged**, so that what cannot be made on this machine leaves the
//! old configuration as it was; the exchange itself waits for nothing and cannot fail. **What means the same is left alone**:
//! its connection, its workers, its lanes and its books go on. **A source takes the new routes between two of its batches**
//! (`Ledger::reroute`), and a rule's line takes its new configuration between two of its turns (`Feed::renew`), so an event is
//! under the one configuration or the other and never under both. What is gone ends in its own time (`retire`). What cannot be
//! exchanged while the engine runs is refused as a whole, with what to do.

mod exchange;
mod refusal;

use std::time::SystemTime;

use serde::{Serialize, Serializer};
use tokio::sync::watch;

use super::retire::Previous;
use super::{Engine, StartError};
use crate::config::{Change, Plan};

/// How a reload ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Result {
    /// The new configuration runs.
    Reloaded,
    /// It means the same as the one that runs.
    Unchanged,
    /// The old one goes on, because the new one is wrong.
    Invalid,
    /// The old one goes on, because the new one cannot be opened, or not while the engine runs.
    Failed,
}

/// The last time that somebody asked for another configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LastReload {
    /// When it ended.
    #[serde(serialize_with = "timestamp")]
    pub at: SystemTime,
    /// How it ended.
    pub result: Result,
    /// Why it failed, in one sentence.
    pub error: Option<String>,
}

/// Which configuration an engine runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigurationStatus {
    /// 1 for the one that it was started with.
    pub generation: u64,
    /// When it was taken over.
    #[serde(serialize_with = "timestamp")]
    pub loaded_at: SystemTime,
    /// The last time that somebody asked for another one.
    pub last_reload: Option<LastReload>,
    /// How often another one was refused or could not be opened.
    pub failures: u64,
}

/// What came of a reload that did not fail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reloaded {
    /// The number of the configuration that runs now.
    pub generation: u64,
    /// `reloaded` or `unchanged`.
    pub result: Result,
    /// What is different.
    #[serde(flatten)]
    pub change: Change,
}

/// The old configuration goes on.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// Something that the new one needs is missing on this machine.
    #[error("{0}; the old configuration goes on")]
    Open(#[from] StartError),
    /// It cannot be exchanged while the engine runs.
    #[error("{0}; the old configuration goes on")]
    Fixed(String),
    /// The engine takes nothing new.
    #[error("the engine is ending; start it again to apply the configuration")]
    Ending,
}

/// What is known of reloads.
pub(super) struct Reloads {
    status: ConfigurationStatus,
    /// Closes once what the last one has made leave has left.
    last: Option<watch::Receiver<()>>,
}

impl Reloads {
    pub(super) fn new(now: SystemTime) -> Reloads {
        let status = ConfigurationStatus { generation: 1, loaded_at: now, last_reload: None, failures: 0 };
        Reloads { status, last: None }
    }

    /// Whom to wait for, and what the next one waits for.
    fn chain(&mut self) -> Previous {
        let ending = watch::Sender::new(());
        (self.last.replace(ending.subscribe()), ending)
    }
}

fn timestamp<S: Serializer>(time: &SystemTime, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_str(&crate::dead_letter::timestamp((*time).into()))
}

impl Engine {
    /// Exchanges the configuration for another one while the engine runs, and says what is different.
    ///
    /// # Errors
    /// [`ReloadError`]; then the old configuration goes on as if nothing had been asked.
    pub async fn reload(&self, plan: Plan) -> std::result::Result<Reloaded, ReloadError> {
        let exchanged = self.exchange(plan).await;
        let (result, error) = match &exchanged {
            Ok(change) if change.is_empty() => (Result::Unchanged, None),
            Ok(_) => (Result::Reloaded, None),
            Err(error) => (Result::Failed, Some(error.to_string())),
        };
        let generation = self.note(result, error);
        exchanged.map(|change| Reloaded { generation, result, change })
    }

    /// Notes that a new configuration was not even understood, and why, in one sentence.
    pub fn reload_refused(&self, error: String) {
        self.note(Result::Invalid, Some(error));
    }

    /// Which configuration runs.
    #[must_use]
    pub fn configuration(&self) -> ConfigurationStatus {
        self.reloads.lock().status.clone()
    }

    fn note(&self, result: Result, error: Option<String>) -> u64 {
        let at = self.host.clock.now();
        let known = &mut self.reloads.lock().status;
        match result {
            Result::Reloaded => {
                known.generation += 1;
                known.loaded_at = at;
                tracing::info!(generation = known.generation, "another configuration runs");
            }
            Result::Unchanged => tracing::info!("the configuration means the same as the one that runs"),
            Result::Invalid | Result::Failed => {
                known.failures += 1;
                tracing::error!("not reloaded: {}", error.as_deref().unwrap_or_default());
            }
        }
        known.last_reload = Some(LastReload { at, result, error });
        known.generation
    }
}
