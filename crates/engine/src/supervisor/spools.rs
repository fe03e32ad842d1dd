//! The spools of an engine: one file, a table for each source that has one, and who takes in and hands out.
//!
//! Decisions: the file is opened before anything else is, because one that cannot be read stops the start; a source that
//! does not spool any more, but did, still has what it left delivered; and what a source left that is not in the
//! configuration any more stays where it is, and is named at every start.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::{AbortHandle, spawn_blocking};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};
use tracing::{error, info, warn};

use super::runs::{self, Runs};
use super::{Host, RouteMaker, StartError};
use crate::config::plan::{Plan, Source};
use crate::delivery::Ledger;
use crate::event::Text;
use crate::metric::Link;
use crate::registry::OpenError;
use crate::spool::{Desk, Feeder, Gauge, Outlet, Spool};
use crate::store::{ClockHandle, Quota, Schema, Settings, Spec, Store, Sync};

/// What the file of the spools is called, and what its tables' names begin with.
pub(super) const NAME: &str = "spool";

/// How often it is said how far the opening of a file is.
const PATIENCE: Duration = Duration::from_secs(5);

/// The file of all spools, while the engine runs.
pub(super) struct State {
    pub(super) store: Store,
    pub(super) link: Link,
    /// Whether what was acknowledged may still have to be forced to the disk.
    lagging: bool,
    /// Events of sources that are not in the configuration any more.
    pub(super) left: Vec<(Text, u64)>,
}

/// A source's spool that is not in use yet.
pub(super) struct Opened {
    /// Where its source delivers; nothing if it does not spool any more.
    pub(super) desk: Option<Desk>,
    outlet: Outlet,
}

/// A spool that is in use.
pub(super) struct Running {
    /// Its source's name.
    pub(super) name: Text,
    pub(super) seats: usize,
    pub(super) gauge: Gauge,
    /// What its own side has to say, which is nothing as long as everything can be read.
    pub(super) link: Link,
    /// Where its source delivers.
    pub(super) desk: Option<Desk>,
    /// Who settles what is on the disk.
    pub(super) clerk: Option<AbortHandle>,
    pub(super) run: runs::Running,
}

fn table(source: &str) -> Text {
    format!("{NAME}/{source}").into()
}

fn refused(message: String) -> StartError {
    StartError { kind: "state", name: Text::new_static(NAME), error: OpenError { message, cause: None } }
}

/// Opens what the sources of this plan need: the file, and the spool of each source by its place.
///
/// # Errors
/// [`StartError`] when the file cannot be used; it is left as it is.
pub(super) async fn open(plan: &Plan, host: &Host) -> Result<(Option<State>, Vec<Option<Opened>>), StartError> {
    let path = host.state.join(NAME);
    let mut names: Vec<&Text> = spooled(&plan.sources).map(|source| &source.name).collect();
    if names.is_empty() && !path.exists() {
        return Ok((None, plan.sources.iter().map(|_| None).collect()));
    }
    let mut state = file(&path, &names, plan, host).await?;
    // A source that once spooled and does so no more has what it left delivered all the same.
    let changed = plan.sources.iter().map(|source| &source.name);
    let changed: Vec<&Text> = changed.filter(|name| state.left.iter().any(|(left, _)| left == *name)).collect();
    if !changed.is_empty() {
        state.close().await.map_err(refused)?;
        names.extend(changed);
        state = file(&path, &names, plan, host).await?;
    }
    for (source, events) in &state.left {
        warn!(
            %source, events,
            "the spool holds events of a source that is not in the configuration; they stay, and are delivered once a source of that name is"
        );
    }
    let open = |source: &Source| {
        let Some(table) = state.store.table(&table(&source.name)) else { return Ok(None) };
        let policy = source.spool.unwrap_or_default();
        let clock = ClockHandle(Arc::clone(&host.clock));
        let spool = Spool::open(&state.store, table, policy, clock).map_err(|error| refused(error.to_string()))?;
        let (inlet, outlet) = spool.split();
        let events = outlet.books().recovered;
        if events > 0 {
            info!(source = %source.name, events, "the spool holds events of an earlier run; they are delivered first");
        }
        Ok(Some(Opened { desk: source.spool.map(|_| Desk::new(inlet)), outlet }))
    };
    let opened = plan.sources.iter().map(open).collect::<Result<Vec<_>, _>>()?;
    Ok((Some(state), opened))
}

fn spooled(sources: &[Source]) -> impl Iterator<Item = &Source> {
    sources.iter().filter(|source| source.spool.is_some())
}

/// Opens the file with a table for each of these sources, and says now and then how far that is.
async fn file(path: &Path, names: &[&Text], plan: &Plan, host: &Host) -> Result<State, StartError> {
    let (link, read) = (Link::default(), Arc::<AtomicU64>::default());
    let settings = Settings {
        sync: plan.state.sync,
        clock: ClockHandle(Arc::clone(&host.clock)),
        link: link.clone(),
        read: Arc::clone(&read),
        ..Settings::default()
    };
    let specs = names.iter().map(|name| Spec { name: table(name), quota: Quota::default() }).collect();
    let size = std::fs::metadata(path).map_or(0, |file| file.len());
    let place = path.to_owned();
    let mut opening = spawn_blocking(move || Store::open(&place, Schema::SPOOL, specs, settings));
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
    let opened = opened.map_err(|panic| refused(panic.to_string()))?;
    let store = opened.map_err(|error| refused(error.to_string()))?;
    let left = store.strangers().iter().map(|(name, rows)| {
        let source = name.strip_prefix(NAME).and_then(|name| name.strip_prefix('/')).unwrap_or(name);
        (source.into(), *rows)
    });
    let left = left.collect();
    Ok(State { store, link, lagging: plan.state.sync != Sync::Always, left })
}

impl State {
    /// Writes what waits and closes the file; the sentence says what could not be written.
    pub(super) async fn close(&self) -> Result<(), String> {
        self.store.close().await.map_err(|error| error.to_string())
    }

    /// The same before a deadline; answers whether everything that was acknowledged is on the disk.
    pub(super) async fn close_by(&self, deadline: Instant) -> bool {
        match timeout_at(deadline, self.close()).await {
            Ok(Ok(())) => return true,
            Ok(Err(sentence)) => error!("the state file was not closed: {sentence}"),
            Err(_) if self.lagging => {
                error!(
                    "the state file was not closed in time; what was acknowledged within the last interval may be lost"
                );
            }
            Err(_) => {
                warn!("the state file was not closed in time; events that were done may come again");
                return true;
            }
        }
        false
    }
}

impl Opened {
    /// Begins to deliver to `route`, for the source of this name, with as many seats as that has.
    pub(super) fn start(self, name: Text, seats: usize, route: Arc<RouteMaker>, home: &Handle) -> Running {
        let Opened { desk, outlet } = self;
        let (gauge, link) = (outlet.gauge(), Link::default());
        let clerk = desk.clone().map(|desk| {
            let source = name.clone();
            let task = home.spawn(async move {
                if let Err(error) = desk.serve().await {
                    error!(%source, "nothing more is taken in: {error}");
                }
            });
            task.abort_handle()
        });
        let runs = Runs {
            name: name.clone(),
            source: Box::new(Feeder::new(outlet)),
            seats,
            ledger: Ledger::default(),
            link: link.clone(),
            route,
            durable: true,
        };
        Running { name, seats, gauge, link, desk, clerk, run: runs.start(home) }
    }
}
