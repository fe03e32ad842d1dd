//! The running engine: put together from a plan, watched, and ended in order.
//!
//! Start order: state, outputs, pools, lines, spools, sources; whoever hands on is started after whoever takes. End
//! order is the reverse and keeps the promises: sources stop reading, then spools, what is in flight finishes and is
//! acknowledged, and only what the grace time does not suffice for is handed back, or stays in its spool.

mod audit;
mod build;
mod circuits;
mod end;
mod explain;
mod exposition;
mod files;
mod fire;
mod homes;
mod ledger;
mod letters;
mod live;
mod parked;
mod pause;
mod reload;
mod replay;
mod retire;
mod runs;
mod send;
mod spools;
mod status;
mod stop;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use crate::account::Account;
use crate::config::plan::Plan;
use crate::dead_letter::{Archive, Postbox, Unsettled};
use crate::delivery::Route;
use crate::event::Text;
use crate::invoke::Turns;
use crate::metric::Page;
use crate::parked::Yard;
use crate::port::Clock;
use crate::registry::OpenError;
use live::{Live, RunningOutput, RunningRule, RunningSource};

pub use circuits::CircuitsStatus;
pub use end::{Drained, LeaveError};
pub use explain::{Explanation, Gap, Reach, RuleStory, Spooled, State, Step, Story, Unmatched, explain_stopped};
pub use fire::FireError;
pub use homes::Housing;
pub use ledger::LedgerStatus;
pub use pause::UnknownSource;
pub use reload::{ConfigurationStatus, LastReload, ReloadError, Reloaded, Result as ReloadResult};
pub use replay::{Drive, REDRIVES_MAX, REPLAYS_MAX, ReplayError, Replayed, Span, Through};
pub use send::SendError;
pub use status::{
    DeadLetterStatus, ForwardStatus, OutputStatus, ParkedStatus, RuleStatus, SourceStatus, SpoolStatus, Status,
    StoreStatus, TriggerStatus,
};
pub use stop::RuleError;

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
    /// Where the engine's own tasks run; user code runs where the engine is started.
    pub housing: Housing,
    /// How long a worker above a pool's minimum may be idle.
    pub idle_after: std::time::Duration,
}

/// A running engine.
pub struct Engine {
    name: Text,
    host: Host,
    began: Instant,
    /// What another configuration exchanges.
    live: Arc<RwLock<Arc<Live>>>,
    /// What is between some of the sources and their rules, and what earlier runs of others have left.
    spools: Vec<spools::Running>,
    /// The file of the spools.
    state: Option<spools::State>,
    /// The file of the deliveries.
    deliveries: files::File,
    letters: Archive,
    /// What became of every event.
    account: Account,
    /// What new lines and routers are given; nothing once the engine ends, for what is written with it ends with its last
    /// handle.
    postbox: Mutex<Option<Postbox>>,
    /// The configuration that runs, held by whoever exchanges it.
    present: tokio::sync::Mutex<Plan>,
    reloads: Mutex<reload::Reloads>,
    /// The right of user code to run on a thread, and where it runs.
    turns: Arc<Turns>,
    runtime: Handle,
    /// What is parked in that file, and how much of it belongs to rules that are not in the configuration.
    yard: Yard,
    left: Vec<(Text, u64)>,
    /// Dead letters that somebody has removed since the start.
    purged: std::sync::atomic::AtomicU64,
    /// Held by whoever replays dead letters, so that none is replayed twice at once.
    replaying: Arc<Semaphore>,
    /// Read by whoever removes dead letters, written by whoever changes one.
    tending: tokio::sync::RwLock<()>,
    /// Places for events that are sent by hand.
    sends: Arc<Semaphore>,
    page: Page,
    /// The threads that most of the above run on.
    homes: Vec<homes::Home>,
    draining: std::sync::atomic::AtomicBool,
    tasks: Mutex<Tasks>,
}

impl Drop for Engine {
    /// Workers hold each other alive through their pool, so an engine that was never drained tells them to go.
    fn drop(&mut self) {
        self.live().every_pool().for_each(|(_, pool)| pool.close());
    }
}

/// What has to be awaited or ended when the engine ends.
#[derive(Default)]
struct Tasks {
    lines: JoinSet<()>,
    pools: JoinSet<()>,
    letters: Option<(JoinHandle<()>, Unsettled)>,
    forwarders: JoinSet<()>,
    /// What ends of earlier configurations.
    retiring: JoinSet<()>,
}

/// Makes the router of one run of a source.
type RouteMaker = dyn Fn() -> Box<dyn Route> + Send + Sync;

/// The engine did not start.
#[derive(Debug, thiserror::Error)]
#[error("{kind} '{name}': {error}")]
pub struct StartError {
    /// `source`, `function`, `output`, `state` or `thread`.
    pub kind: &'static str,
    /// Which one.
    pub name: Text,
    /// Why.
    #[source]
    pub error: OpenError,
}
