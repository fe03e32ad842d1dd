//! The state files of an engine: opened before anything else is, because one that cannot be read stops the start, and closed
//! after everything that writes to them.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};
use tracing::{error, info, warn};

use super::{Host, StartError};
use crate::dead_letter::{Addressees, Archive, FILE};
use crate::event::Text;
use crate::metric::{Connection, Link};
use crate::parked::Yard;
use crate::registry::OpenError;
use crate::store::{ClockHandle, Quota, Schema, Settings, Spec, Store, Sync};

/// How often it is said how far the opening of a file is.
const PATIENCE: Duration = Duration::from_secs(5);

/// One state file, while the engine runs.
pub(super) struct File {
    /// What it is called.
    pub(super) name: &'static str,
    pub(super) store: Store,
    pub(super) link: Link,
    /// Whether what was acknowledged may still have to be forced to the disk.
    lagging: bool,
}

/// A file that cannot be used, as the start says it.
pub(super) fn refused(name: &'static str, message: String) -> StartError {
    StartError { kind: "state", name: Text::new_static(name), error: OpenError { message, cause: None } }
}

impl File {
    /// Where a file of this kind is.
    pub(super) fn path(schema: Schema, host: &Host) -> PathBuf {
        host.state.join(schema.kind)
    }

    /// Opens the file with these tables, and says now and then how far that is.
    ///
    /// # Errors
    /// [`StartError`] when it cannot be used; it is left as it is.
    pub(super) async fn open(schema: Schema, specs: Vec<Spec>, sync: Sync, host: &Host) -> Result<File, StartError> {
        let (link, read) = (Link::default(), Arc::<AtomicU64>::default());
        let settings = Settings {
            sync,
            clock: ClockHandle(Arc::clone(&host.clock)),
            link: link.clone(),
            read: Arc::clone(&read),
            ..Settings::default()
        };
        let path = File::path(schema, host);
        let size = std::fs::metadata(&path).map_or(0, |file| file.len());
        let place = path.clone();
        let mut opening = spawn_blocking(move || Store::open(&place, schema, specs, settings));
        let mut tick = interval(PATIENCE);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tick.tick().await;
        let opened = loop {
            tokio::select! {
                biased;
                opened = &mut opening => break opened,
                _ = tick.tick() => {
                    let (read, size) = (read.load(Ordering::Relaxed) >> 20, size >> 20);
                    info!(file = %path.display(), "verifying the state file: {read} of {size} MiB are read");
                }
            }
        };
        let opened = opened.map_err(|panic| refused(schema.kind, panic.to_string()))?;
        let store = opened.map_err(|error| refused(schema.kind, error.to_string()))?;
        Ok(File { name: schema.kind, store, link, lagging: sync != Sync::Always })
    }

    /// Opens the file of the deliveries, of which dead letters may go to these outputs. What is in it is always forced to the disk before anybody counts on it: little is,
    /// and nobody would bring it again.
    ///
    /// # Errors
    /// [`StartError`] when it cannot be used; it is left as it is.
    pub(super) async fn deliveries(
        quota: Quota,
        outputs: &Addressees,
        host: &Host,
    ) -> Result<(File, Archive), StartError> {
        let specs = Archive::specs(quota, outputs).into_iter().chain(Yard::specs()).collect();
        let file = File::open(Schema::DELIVERIES, specs, Sync::Always, host).await?;
        let archive = Archive::of(&file.store, quota, outputs);
        let archive = archive.ok_or_else(|| refused(FILE, "it has no table of dead letters".to_owned()))?;
        Ok((file, archive))
    }

    /// What is wrong with it now.
    pub(super) fn error(&self) -> Option<String> {
        let link = self.link.read();
        let error = link.last_error.filter(|_| link.connection != Connection::Connected);
        let closed = || format!("the state file '{}' is closed", self.name);
        error.or_else(|| (link.connection == Connection::Stopped).then(closed))
    }

    /// Writes what waits and closes the file; the sentence says what could not be written.
    pub(super) async fn close(&self) -> Result<(), String> {
        self.store.close().await.map_err(|error| error.to_string())
    }

    /// The same before a deadline; answers whether everything that was acknowledged is on the disk.
    pub(super) async fn close_by(&self, deadline: Instant) -> bool {
        let name = self.name;
        match timeout_at(deadline, self.close()).await {
            Ok(Ok(())) => return true,
            Ok(Err(sentence)) => error!("the state file was not closed: {sentence}"),
            Err(_) if self.lagging => {
                error!(
                    "the state file '{name}' was not closed in time; what was acknowledged within the last interval may be lost"
                );
            }
            Err(_) => {
                warn!("the state file '{name}' was not closed in time; what was done may come again");
                return true;
            }
        }
        false
    }
}
