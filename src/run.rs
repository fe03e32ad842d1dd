//! Build and run to drain: the engine, the thread that answers for it, and the folder that is theirs alone.
//!
//! The parts are started in the order in which they can fail without harm: the state folder is locked and the addresses
//! are bound before the engine is built, and nobody is answered before there is an engine to answer for.

mod reload;
mod signals;
mod state;
mod watch;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use engine::config::Plan;
use engine::port::SystemClock;
use engine::supervisor::{self, Drained, Engine, Host, Housing};
use tokio::runtime::{self, Runtime};

use crate::admin::{Bound, Guard, Server};

pub use reload::{Answer, Origin, Reloads, Wishes};
pub use signals::Signals;
pub use state::{Error as StateError, Folder};
pub use watch::Watch;

/// How long a worker above a pool's minimum may be idle.
const IDLE_AFTER: Duration = Duration::from_secs(60);

/// Everything that an engine needs besides the runtime that it is started on.
pub struct Launch {
    /// What it runs.
    pub plan: Plan,
    /// Where it keeps what must survive.
    pub folder: Folder,
    /// Where it can be controlled, and by whom.
    pub admin: Option<(Bound, Guard)>,
    /// Where anybody may read.
    pub observe: Option<Bound>,
    /// How its configuration is read again, if it was read from files.
    pub reloads: Option<Reloads>,
}

/// A running engine and those who answer for it.
pub struct Running {
    engine: Arc<Engine>,
    // In this order they are dropped: nobody answers any more when the folder is free again.
    server: Server,
    folder: Folder,
}

/// The engine did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A part of the plan could not be made on this machine.
    #[error(transparent)]
    Engine(#[from] supervisor::StartError),
    /// The operating system gave no thread.
    #[error("the thread of the admin API did not start")]
    Admin(#[source] io::Error),
}

/// How many threads the runtime of user code has, besides those on which the engine itself lives. One per core runs
/// functions; one more keeps time while all of them block, and a machine with one core still gets two for functions.
#[must_use]
pub fn threads() -> usize {
    (cores() + 1).max(3)
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The runtime of user code, with [`threads`] threads.
///
/// # Errors
/// When the operating system gives no threads.
pub fn runtime() -> io::Result<Runtime> {
    runtime::Builder::new_multi_thread().worker_threads(threads()).thread_name("function").enable_all().build()
}

impl Running {
    /// Starts the engine and then answers for it. To be called on a [`runtime()`].
    ///
    /// # Errors
    /// [`StartError`]; nothing keeps running then.
    pub async fn start(launch: Launch) -> Result<Running, StartError> {
        let host = Host {
            instance: launch.folder.instance().clone(),
            state: launch.folder.path().to_owned(),
            clock: Arc::new(SystemClock),
            // All threads but one: see `engine::invoke` for why.
            turns: threads() - 1,
            housing: Housing::Threads(cores()),
            idle_after: IDLE_AFTER,
        };
        let engine = Arc::new(Engine::start(launch.plan, host).await?);
        tokio::spawn(Engine::audit(Arc::downgrade(&engine)));
        let server = match Server::start(&engine, launch.admin, launch.observe, launch.reloads) {
            Ok(server) => server,
            Err(cause) => {
                engine.drain(Duration::ZERO).await;
                return Err(StartError::Admin(cause));
            }
        };
        Ok(Running { engine, server, folder: launch.folder })
    }

    /// The engine, for its status, its metrics and its readiness.
    #[must_use]
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Ends the engine, with a grace time that is over when `over` is, and then everything else. It answers until the end.
    pub async fn drain_until(self, over: impl Future<Output = ()>) -> Drained {
        let drained = self.engine.drain_until(over).await;
        self.server.stop();
        drop(self.folder);
        drained
    }
}
