//! Rules that are paused, as a whole or for some of their keys: by whom, why, and how they go on.

use tokio::task::spawn_blocking;

use super::{Engine, RunningRule};
use crate::dispatch::{NotPaused, Resumed};
use crate::event::{Text, beginning};
use crate::parked::Pause;
use crate::store::Error;

/// Keys that a refusal names.
const NAMED: usize = 10;
/// Bytes of a key that a refusal shows.
const KEY_MAX: usize = 120;

/// A rule could not be paused, or does not go on.
#[derive(Debug, thiserror::Error)]
pub enum RuleError {
    /// There is no such rule.
    #[error("there is no rule '{name}'; the rules are: {known}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// The rules there are.
        known: String,
    },
    /// What is meant is not paused, and what is instead.
    #[error("{0}")]
    NotPaused(String),
    /// The state file cannot be read.
    #[error("what is paused cannot be read: {0}")]
    Unreadable(String),
}

impl Engine {
    /// Lets nothing of a rule begin until [`Engine::resume_rule`], over restarts; what arrives meanwhile is put aside on the
    /// disk. What is under way goes on. Answers when the pause is on the disk. Cancel safe.
    ///
    /// # Errors
    /// [`RuleError::Unknown`] names the rules there are.
    pub async fn pause_rule(&self, name: &str) -> Result<(), RuleError> {
        self.rule(name)?.feed.pause().await;
        Ok(())
    }

    /// Lets go on what is paused of a rule: one key, or everything. What was tried in vain has as many attempts as one that
    /// has just arrived; with `skip` it becomes a dead letter instead, `exhausted`, and the next has its turn. Cancel safe.
    ///
    /// # Errors
    /// [`RuleError`] says what is paused.
    pub async fn resume_rule(&self, name: &str, key: Option<&str>, skip: bool) -> Result<Resumed, RuleError> {
        let rule = self.rule(name)?;
        match rule.feed.resume(key.map(Text::from), skip).await {
            Ok(resumed) => Ok(resumed),
            Err(refusal) => Err(RuleError::NotPaused(self.sentence(name, key, refusal).await?)),
        }
    }

    /// What is paused of a rule, itself first, in the order of keys; at most so much of it.
    ///
    /// # Errors
    /// [`RuleError::Unknown`], [`RuleError::Unreadable`].
    pub async fn paused(&self, name: &str, most: usize) -> Result<Vec<Pause>, RuleError> {
        let (rule, yard) = (self.rule(name)?.name, self.yard.clone());
        let read = spawn_blocking(move || yard.pauses(&rule, most)).await;
        let read = read.map_err(|panic| RuleError::Unreadable(panic.to_string()))?;
        read.map_err(|error: Error| RuleError::Unreadable(error.to_string()))
    }

    async fn sentence(&self, name: &str, key: Option<&str>, refusal: NotPaused) -> Result<String, RuleError> {
        let what = match (refusal, key) {
            (NotPaused::Key, Some(key)) => format!("key '{}' of rule '{name}' is not paused", beginning(key, KEY_MAX)),
            (NotPaused::Ended, _) => return Ok("the engine is ending; what is paused stays so".to_owned()),
            (NotPaused::ByHand, _) => {
                let sentence = "was paused by somebody and not by a delivery, so there is no head to skip";
                return Ok(format!("rule '{name}' {sentence}; resume it without --skip-head"));
            }
            (NotPaused::Nothing | NotPaused::Key, _) => return Ok(format!("nothing of rule '{name}' is paused")),
        };
        let paused = self.paused(name, NAMED + 1).await?;
        let shown = |pause: &Pause| match &pause.key {
            Some(key) => format!("key '{}'", beginning(key, KEY_MAX)),
            None => "the rule as a whole".to_owned(),
        };
        let named: Vec<String> = paused.iter().take(NAMED).map(shown).collect();
        let more = if paused.len() > NAMED { ", and more" } else { "" };
        Ok(match named.is_empty() {
            true => format!("{what}, and nothing else of it is"),
            false => format!("{what}; paused is: {}{more}", named.join(", ")),
        })
    }

    fn rule(&self, name: &str) -> Result<RunningRule, RuleError> {
        let live = self.live();
        live.rules.iter().find(|rule| rule.name == name).cloned().ok_or_else(|| {
            let known: Vec<_> = live.rules.iter().map(|rule| rule.name.as_str()).collect();
            RuleError::Unknown { name: name.to_owned(), known: known.join(", ") }
        })
    }
}
