//! Asking a source for one more event now, by the bell that it has hung out.

use std::time::Duration;

use tokio::time::timeout;

use super::{Engine, UnknownSource};
use crate::event::Text;
use crate::port::Bell;

/// How long a source may take to hand an event over; it may be paused, or have no seat.
const PATIENCE: Duration = Duration::from_secs(10);

/// A source made no event.
#[derive(Debug, thiserror::Error)]
pub enum FireError {
    /// There is no such running source.
    #[error(transparent)]
    Unknown(#[from] UnknownSource),
    /// Its events come from elsewhere.
    #[error("source '{0}' cannot be fired: its events come from elsewhere; only cron sources make their own")]
    Deaf(String),
    /// It did not hand one over in time, and will not any more.
    #[error(
        "source '{0}' handed no event over within {PATIENCE:?}; 'tidemill status' shows whether it is paused or full"
    )]
    Busy(String),
}

impl Engine {
    /// Asks one source for one event now, and answers its id once it is handed over. Cancel safe: whoever does not wait
    /// takes the wish back.
    ///
    /// # Errors
    /// [`FireError`]; nothing was handed over then.
    pub async fn fire(&self, name: &str) -> Result<Text, FireError> {
        let source = self.source(name)?;
        pull(name, source.bell.as_ref()).await
    }
}

async fn pull(name: &str, bell: Option<&Bell>) -> Result<Text, FireError> {
    let bell = bell.ok_or_else(|| FireError::Deaf(name.to_owned()))?;
    match timeout(PATIENCE, bell.pull()).await {
        Ok(Some(id)) => Ok(id),
        Ok(None) | Err(_) => Err(FireError::Busy(name.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn whoever_fires_is_told_what_came_of_it() {
        let (bell, mut rings) = Bell::hang();
        let (fired, ()) = tokio::join!(pull("nightly", Some(&bell)), async { rings.next().await.answer("e-1".into()) });
        assert_eq!(fired.unwrap(), "e-1");
        let busy = pull("nightly", Some(&bell)).await.unwrap_err().to_string();
        assert!(busy.starts_with("source 'nightly' handed no event over within 10s"), "{busy}");
        drop(rings);
        assert!(matches!(pull("nightly", Some(&bell)).await, Err(FireError::Busy(_))));
        assert!(matches!(pull("hook", None).await, Err(FireError::Deaf(name)) if name == "hook"));
    }
}
