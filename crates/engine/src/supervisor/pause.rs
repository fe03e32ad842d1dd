//! Keeping a running source from reading for a while, and letting it read again.

use std::sync::Arc;

use tracing::info;

use super::{Engine, RunningSource};

/// There is no such running source.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no source '{name}' is running; the running ones are: {known}")]
pub struct UnknownSource {
    name: String,
    known: String,
}

impl Engine {
    /// Keeps one source from taking in anything more; what is in flight goes on. Its session at the broker is held, and
    /// the pause ends with [`Engine::resume`] or with the engine.
    ///
    /// # Errors
    /// [`UnknownSource`] names the sources there are.
    pub fn pause(&self, name: &str) -> Result<(), UnknownSource> {
        self.source(name)?.ledger.pause();
        info!(source = %name, "paused");
        Ok(())
    }

    /// Lets a paused source read again; one that is not paused goes on.
    ///
    /// # Errors
    /// [`UnknownSource`] names the sources there are.
    pub fn resume(&self, name: &str) -> Result<(), UnknownSource> {
        self.source(name)?.ledger.resume();
        info!(source = %name, "resumed");
        Ok(())
    }

    /// A running source by its name.
    pub(super) fn source(&self, name: &str) -> Result<Arc<RunningSource>, UnknownSource> {
        let live = self.live();
        let running = || live.sources.iter().filter(|source| !source.run.has_ended());
        running().find(|source| source.name == name).cloned().ok_or_else(|| {
            let known: Vec<_> = running().map(|source| source.name.as_str()).collect();
            UnknownSource { name: name.to_owned(), known: known.join(", ") }
        })
    }
}
