//! `tidemill run`: an engine until somebody asks it to stop.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use engine::config::{Environment, load};
use engine::registry::Registry;
use engine::supervisor::{Drained, Engine};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::log::{self, Format};
use super::{Exit, Failure, check, note, remote};
use crate::admin::{self, Address, Bound, Guard};
use crate::run::{Folder, Launch, Origin, Reloads, Running, Signals, Watch, Wishes, runtime};

/// Run a configuration until SIGTERM or SIGINT
///
/// Prints the state folder, the instance id and its addresses to standard error, one per line. When it is asked to stop it
/// stops reading, finishes what is in flight within the grace time, acknowledges it, and hands the rest back to the
/// brokers; a second signal ends the grace time. Ends with 0 if everything fitted, else with 1. Sessions at brokers are
/// kept; see `tidemill leave`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidemill run tidemill.yaml
  tidemill run config/ --admin unix:/run/tidemill.sock --observe 0.0.0.0:9411
  tidemill run --watch tidemill.yaml

SIGHUP, 'tidemill reload' and --watch have the files read again while it runs.
The state folder is what 'state: { dir: ... }' says, else $STATE_DIRECTORY, else ./tidemill-state/NAME.
TIDEMILL_INSTANCE sets the instance id, which is else kept in the state folder.")]
pub(super) struct Arguments {
    /// Files, or folders with .yaml and .yml files in them
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Where the admin API listens: IP:PORT or unix:PATH; port 0 picks a free one
    #[arg(long, value_name = "ADDR", default_value_t = admin::DEFAULT)]
    admin: Address,
    /// A file with the token that the admin API asks for; else TIDEMILL_ADMIN_TOKEN counts, where it is set
    #[arg(long, value_name = "PATH")]
    admin_token_file: Option<PathBuf>,
    /// Where /metrics, /healthz and /readyz can be read by anybody
    #[arg(long, value_name = "ADDR")]
    observe: Option<Address>,
    /// Take changes of the files over while it runs; wrong ones are reported, and the old configuration goes on
    #[arg(long)]
    watch: bool,
    /// How long a stop may take until the rest is handed back
    #[arg(long, value_name = "DURATION", default_value = "25s", value_parser = super::duration)]
    grace: Duration,
    /// The form of log lines
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Format::Text)]
    log_format: Format,
}

pub(super) fn run(arguments: &Arguments, registry: &Registry) -> Result<Exit, Failure> {
    let began = Instant::now();
    let token = remote::token(arguments.admin_token_file.as_deref())?;
    let guard = Guard::admin(&arguments.admin, token).map_err(Failure::refused)?;
    log::start(arguments.log_format, "info")?;
    let environment = Environment::current();
    // Before the files are read, so that no change of them falls in between.
    let watch = arguments.watch.then(|| Watch::begin(&arguments.paths));
    let loaded = load(&arguments.paths, registry, &environment);
    check::say(&loaded);
    let Some(plan) = loaded.plan else { return Ok(Exit::Refused) };

    let state = environment.state_folder(plan.state.dir.as_deref(), &plan.name);
    let folder = Folder::open(&state, environment.instance.as_deref()).map_err(Failure::failed)?;
    let bind = |address, option| Bound::bind(address, option).map_err(Failure::failed);
    let admin = bind(&arguments.admin, "--admin")?;
    let observe = arguments.observe.as_ref().map(|address| bind(address, "--observe")).transpose()?;
    let say = |key: &str, value: &dyn ToString| announce(arguments.log_format, key, &value.to_string());
    say("state", &folder.path().display());
    say("instance", folder.instance());
    say("admin", admin.address());
    if let Some(observe) = &observe {
        say("observe", observe.address());
    }

    let runtime = runtime().map_err(Failure::failed)?;
    let (reloads, wishes) = Reloads::channel();
    let launch = Launch { plan, folder, admin: Some((admin, guard)), observe, reloads: Some(reloads.clone()) };
    let origin = Origin { paths: &arguments.paths, registry, environment: &environment };
    let changes = Changes { reloads, wishes, origin, watch };
    let ended = runtime.block_on(until_stopped(launch, changes, arguments.grace, began));
    // A function that blocks its thread for ever must not keep the process.
    runtime.shutdown_background();
    verdict(ended?)
}

/// One fact that a script may wait for. It is no log line, so that no level hides it.
fn announce(format: Format, key: &str, value: &str) {
    match format {
        Format::Text => note(&format!("{key} {value}")),
        Format::Json => note(&serde_json::json!({ key: value }).to_string()),
    }
}

/// How the configuration may change while the engine runs.
struct Changes<'a> {
    reloads: Reloads,
    wishes: Wishes,
    origin: Origin<'a>,
    watch: Option<Watch>,
}

impl Changes<'_> {
    /// Takes changes over for as long as the engine runs.
    async fn take(self, mut hangups: Signal, engine: &Arc<Engine>) -> Infallible {
        let Changes { reloads, wishes, origin, mut watch } = self;
        let asks = async {
            loop {
                tokio::select! {
                    _ = hangups.recv() => info!("SIGHUP: the configuration is read again"),
                    () = changed(&mut watch) => info!("files have changed: the configuration is read again"),
                }
                // What came of it is in the log.
                drop(reloads.ask().await);
            }
        };
        tokio::select! {
            never = asks => never,
            () = wishes.grant(&origin, engine) => std::future::pending().await,
        }
    }
}

async fn changed(watch: &mut Option<Watch>) {
    match watch {
        Some(watch) => watch.changed().await,
        None => std::future::pending().await,
    }
}

/// Runs the engine; `None` when it was given up at the third signal.
async fn until_stopped(
    launch: Launch,
    changes: Changes<'_>,
    grace: Duration,
    began: Instant,
) -> Result<Option<Drained>, Failure> {
    let signals = Signals::catch().map_err(Failure::failed)?;
    // From here on it no longer ends the process.
    let hangups = signal(SignalKind::hangup()).map_err(Failure::failed)?;
    let running = Running::start(launch).await.map_err(Failure::failed)?;
    let engine = running.engine();
    info!(after_ms = millis(began), "started");
    let ready = async {
        engine.becomes_ready().await;
        info!(after_ms = millis(began), "ready: every source is connected");
        std::future::pending::<Infallible>().await
    };
    tokio::select! {
        () = signals.reached(1) => {}
        never = ready => match never {},
        never = changes.take(hangups, engine) => match never {},
    }
    let asked = Instant::now();
    info!(?grace, "draining; a second signal hands back at once what is unfinished");
    let over = async {
        tokio::select! {
            () = sleep(grace) => {}
            () = signals.reached(2) => warn!("the second signal ends the grace time"),
        }
    };
    tokio::select! {
        drained = running.drain_until(over) => {
            let Drained { handed_back, unended, unclosed, unsaved } = drained;
            info!(handed_back, unended, unclosed, unsaved, after_ms = millis(asked), "drained");
            Ok(Some(drained))
        }
        () = signals.reached(3) => Ok(None),
    }
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

fn verdict(drained: Option<Drained>) -> Result<Exit, Failure> {
    match drained {
        Some(Drained { handed_back: 0, unended: 0, unclosed: 0, unsaved: 0 }) => Ok(Exit::Well),
        Some(Drained { handed_back: 0, unended: 0, unclosed: 0, .. }) => {
            Err(Failure::failed("the state could not be written to its end; the log says why"))
        }
        Some(Drained { handed_back: 0, unended: 0, unclosed, .. }) => {
            Err(Failure::failed(format!("{unclosed} outputs could not be closed; the log says why")))
        }
        Some(Drained { handed_back: 0, unended, .. }) => Err(Failure::failed(format!(
            "{unended} sources did not end as asked; the log says why, and what they have not acknowledged comes again"
        ))),
        Some(Drained { handed_back, .. }) => Err(Failure::failed(format!(
            "{handed_back} deliveries did not fit the grace time and were handed back; they come again, or set a longer --grace"
        ))),
        None => Err(Failure::failed("given up at the third signal; what was unfinished comes again")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_drain_is_well() {
        let ended = |handed_back, unended, unclosed, unsaved| {
            verdict(Some(Drained { handed_back, unended, unclosed, unsaved }))
        };
        assert_eq!(ended(0, 0, 0, 0).unwrap(), Exit::Well);
        let failures = [
            (ended(3, 1, 1, 1), "3 deliveries"),
            (ended(0, 2, 1, 1), "2 sources"),
            (ended(0, 0, 1, 1), "1 outputs"),
            (ended(0, 0, 0, 1), "the state"),
        ];
        for (failure, word) in failures.into_iter().chain([(verdict(None), "third")]) {
            let failure = failure.unwrap_err();
            assert_eq!(failure.exit, Exit::Failed);
            assert!(failure.sentence().contains(word), "{}", failure.sentence());
        }
    }
}
