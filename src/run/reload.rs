//! Another configuration for the engine of this process: asked for by anybody, read by one.
//!
//! Decision: whoever asks, a command, a signal or a file that has changed, puts a wish into one queue, and they are granted one
//! after the other where the engine was started. So the files are never read twice at once, and what they say is understood by
//! the same kinds and the same environment as at the start.

use std::path::PathBuf;
use std::sync::Arc;

use engine::config::{Colour, Environment, load};
use engine::registry::Registry;
use engine::supervisor::{Engine, ReloadError, Reloaded};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

/// Wishes that wait at most; whoever comes later waits for room.
const WISHES: usize = 16;

/// What came of a wish.
#[derive(Debug)]
pub enum Answer {
    /// The files were taken over, or mean the same as before.
    Done(Box<Reloaded>),
    /// They are wrong, and the old configuration goes on.
    Invalid {
        /// Every problem with its line and a caret, for people.
        text: String,
        /// The same for programs.
        diagnostics: Value,
    },
    /// They are right, and the old configuration goes on for this reason.
    Kept(ReloadError),
}

/// By which somebody asks for the files to be read again.
#[derive(Clone, Debug)]
pub struct Reloads(mpsc::Sender<oneshot::Sender<Answer>>);

/// What was asked for.
#[derive(Debug)]
pub struct Wishes(mpsc::Receiver<oneshot::Sender<Answer>>);

/// What a configuration is read from.
pub struct Origin<'a> {
    /// Files and folders.
    pub paths: &'a [PathBuf],
    /// The kinds that the binary knows.
    pub registry: &'a Registry,
    /// Where the process runs.
    pub environment: &'a Environment,
}

impl Reloads {
    /// A way to ask, and what was asked for.
    #[must_use]
    pub fn channel() -> (Reloads, Wishes) {
        let (sender, receiver) = mpsc::channel(WISHES);
        (Reloads(sender), Wishes(receiver))
    }

    /// Has the files read again, and waits for what comes of it; nothing if the engine is ending.
    pub async fn ask(&self) -> Option<Answer> {
        let (answer, answered) = oneshot::channel();
        self.0.send(answer).await.ok()?;
        answered.await.ok()
    }
}

impl Wishes {
    /// Grants wishes for as long as anybody can ask.
    pub async fn grant(mut self, origin: &Origin<'_>, engine: &Arc<Engine>) {
        while let Some(wish) = self.0.recv().await {
            let answer = origin.reload(engine).await;
            // Whoever asked may have gone.
            drop(wish.send(answer));
        }
    }
}

impl Origin<'_> {
    async fn reload(&self, engine: &Engine) -> Answer {
        let loaded = load(self.paths, self.registry, self.environment);
        let text = loaded.render(Colour::Never);
        let diagnostics = loaded.json();
        if loaded.plan.is_some() && !loaded.diagnostics.is_empty() {
            tracing::warn!("the configuration has warnings:\n{}", text.trim_end());
        }
        let Some(plan) = loaded.plan else {
            let first = loaded.diagnostics.first().map_or("it cannot be read", |first| first.message.as_str());
            engine.reload_refused(format!("the configuration is wrong, and the old one goes on: {first}"));
            tracing::error!("the configuration was not taken over:\n{}", text.trim_end());
            return Answer::Invalid { text, diagnostics };
        };
        match engine.reload(plan).await {
            Ok(reloaded) => Answer::Done(Box::new(reloaded)),
            Err(error) => Answer::Kept(error),
        }
    }
}
