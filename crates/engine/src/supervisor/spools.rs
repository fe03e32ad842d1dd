//! The spools of an engine: one file, a table for each source that has one, and who takes in and hands out.
//!
//! Decisions: the file is opened before anything else is, because one that cannot be read stops the start; a source that
//! does not spool any more, but did, still has what it left delivered; and what a source left that is not in the
//! configuration any more stays where it is, and is named at every start.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tracing::{error, info, warn};

use super::files::{File, refused};
use super::runs::{self, Runs};
use super::{Host, RouteMaker, StartError};
use crate::config::plan::{Plan, Source};
use crate::delivery::Ledger;
use crate::event::Text;
use crate::metric::Link;
use crate::spool::{Desk, Feeder, Gauge, Outlet, Spool};
use crate::store::{ClockHandle, Quota, Schema, Spec};

/// What the file of the spools is called, and what its tables' names begin with.
const NAME: &str = Schema::SPOOL.kind;

/// The file of all spools, while the engine runs.
pub(super) struct State {
    pub(super) file: File,
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

pub(super) fn table(source: &str) -> Text {
    format!("{NAME}/{source}").into()
}

/// Opens what the sources of this plan need: the file, and the spool of each source by its place.
///
/// # Errors
/// [`StartError`] when the file cannot be used; it is left as it is.
pub(super) async fn open(plan: &Plan, host: &Host) -> Result<(Option<State>, Vec<Option<Opened>>), StartError> {
    let mut names: Vec<&Text> = spooled(&plan.sources).map(|source| &source.name).collect();
    if names.is_empty() && !File::path(Schema::SPOOL, host).exists() {
        return Ok((None, plan.sources.iter().map(|_| None).collect()));
    }
    let mut state = file(&names, plan, host).await?;
    // A source that once spooled and does so no more has what it left delivered all the same.
    let changed = plan.sources.iter().map(|source| &source.name);
    let changed: Vec<&Text> = changed.filter(|name| state.left.iter().any(|(left, _)| left == *name)).collect();
    if !changed.is_empty() {
        state.file.close().await.map_err(|sentence| refused(NAME, sentence))?;
        names.extend(changed);
        state = file(&names, plan, host).await?;
    }
    for (source, events) in &state.left {
        warn!(
            %source, events,
            "the spool holds events of a source that is not in the configuration; they stay, and are delivered once a source of that name is"
        );
    }
    let open = |source: &Source| {
        let store = &state.file.store;
        let Some(table) = store.table(&table(&source.name)) else { return Ok(None) };
        let policy = source.spool.unwrap_or_default();
        let clock = ClockHandle(Arc::clone(&host.clock));
        let spool = Spool::open(store, table, policy, clock).map_err(|error| refused(NAME, error.to_string()))?;
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

/// Opens the file with a table for each of these sources.
async fn file(names: &[&Text], plan: &Plan, host: &Host) -> Result<State, StartError> {
    let specs = names.iter().map(|name| Spec { name: table(name), quota: Quota::default() }).collect();
    let file = File::open(Schema::SPOOL, specs, plan.state.sync, host).await?;
    let left = file.store.strangers().iter().map(|(name, rows)| {
        let source = name.strip_prefix(NAME).and_then(|name| name.strip_prefix('/')).unwrap_or(name);
        (source.into(), *rows)
    });
    let left = left.collect();
    Ok(State { file, left })
}

impl Opened {
    /// Begins to deliver to `route`, for the source of this name, with as many seats as that has.
    /// The events that it delivers are counted in `ledger`.
    pub(super) fn start(
        self,
        name: Text,
        seats: usize,
        ledger: Ledger,
        route: Arc<RouteMaker>,
        home: &Handle,
    ) -> Running {
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
            source: Box::new(Feeder::new(outlet, &name)),
            name: name.clone(),
            seats,
            ledger,
            link: link.clone(),
            route,
            durable: true,
        };
        Running { name, seats, gauge, link, desk, clerk, run: runs.start(home, None) }
    }
}
