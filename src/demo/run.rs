//! The demo put together: broker and fleet on a runtime of their own, the engine on its own, as if they were on three
//! machines.
//!
//! Decision: the engine runs the very file of the example, not a copy. Only the broker's address is put in its place, and
//! the state goes to a temporary folder that is removed at the end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use clap::ArgMatches;
use engine::config::{Colour, Environment, Files, Plan, load_files};
use engine::port::{Clock, SystemClock};
use engine::registry::Registry;
use parking_lot::Mutex;
use tokio::runtime::{Builder, Handle};
use tokio::sync::watch;
use tokio::time::sleep;

use super::broker::Broker;
use super::driver::{Driver, Progress};
use super::options::{self, Arguments};
use super::publisher::Publisher;
use super::report::{Remains, Report};
use super::scratch::Scratch;
use super::screen::Screen;
use super::session::{Session, Stage};
use super::simulator::{Options, Simulator};
use super::work::slowed;
use crate::admin::{self, Bound, Guard, Token};
use crate::cli::{Exit, Failure, LogFormat, data, note, start_log};
use crate::run::{Folder, Launch, Running, Signals, runtime};

/// The configuration that is demonstrated.
const EXAMPLE: &str = include_str!("../../examples/vehicle-telemetry/tidemill.yaml");
/// Its name in diagnostics, should there be any.
const EXAMPLE_NAME: &str = "examples/vehicle-telemetry/tidemill.yaml";
/// The one thing in it that is replaced.
const EXAMPLE_BROKER: &str = "mqtt://localhost:1883";
/// How long the end of the engine may take once everything is settled.
const GRACE: Duration = Duration::from_secs(10);

/// Runs `tidemill demo`.
pub(super) fn run(matches: &ArgMatches, registry: &Registry) -> Result<Exit, Failure> {
    let arguments = match options::read(matches) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help is no mistake. A closed pipe changes neither.
            let _ = error.print();
            return Ok(if error.use_stderr() { Exit::Refused } else { Exit::Well });
        }
    };
    // Whatever is wrong with the options is said before anything is started.
    Simulator::new(&arguments.simulation(SystemTime::UNIX_EPOCH)).map_err(Failure::refused)?;
    let token = Token::find(None, std::env::var(admin::TOKEN_VARIABLE).ok()).map_err(Failure::refused)?;
    let guard = Guard::admin(&arguments.admin, token).map_err(Failure::refused)?;
    let admin = Bound::bind(&arguments.admin, "--admin").map_err(Failure::failed)?;

    let outside = Builder::new_multi_thread().worker_threads(2).thread_name("fleet").enable_all().build();
    let outside = outside.map_err(Failure::failed)?;
    let broker = outside.block_on(Broker::start(0)).map_err(Failure::failed)?;
    let scratch = Scratch::create().map_err(Failure::failed)?;
    let folder = Folder::open(scratch.path(), None).map_err(Failure::failed)?;
    let plan = slowed(plan(registry, broker.address())?, arguments.work);
    let places = Places { broker: broker.address(), admin: admin.address().to_string() };
    let stage = stage(&places)?;

    let inside = runtime().map_err(Failure::failed)?;
    let launch = Launch { plan, folder, admin: Some((admin, guard)), observe: None, reloads: None };
    let ended = inside.block_on(drive(&arguments, launch, &places, stage, outside.handle()));
    inside.shutdown_background();
    let stopped = outside.block_on(broker.stop());
    outside.shutdown_background();
    let report = ended?;
    stopped.map_err(Failure::failed)?;

    let json = || serde_json::to_string(&report).map_err(Failure::failed);
    data(&if arguments.json { json()? } else { report.text() })?;
    match report.verdict() {
        None => Ok(Exit::Well),
        Some(problems) => Err(Failure::failed(problems)),
    }
}

/// Where the parts of a running demo are.
struct Places {
    broker: SocketAddr,
    admin: String,
}

/// The picture where there is a terminal, else the log and a line a second.
fn stage(places: &Places) -> Result<Stage, Failure> {
    if let Some(screen) = Screen::take() {
        return Ok(Stage::Screen(screen));
    }
    // Everything usual is in the lines.
    start_log(LogFormat::Text, "warn")?;
    note(&format!("broker mqtt://{}", places.broker));
    note(&format!("admin {}", places.admin));
    Ok(Stage::Lines)
}

/// The example with another broker.
fn plan(registry: &Registry, broker: SocketAddr) -> Result<Plan, Failure> {
    let mut files = Files::default();
    files.add(EXAMPLE_NAME, EXAMPLE.replace(EXAMPLE_BROKER, &format!("mqtt://{broker}")));
    let loaded = load_files(files, "demo", registry, &Environment::default());
    let problems = loaded.render(Colour::Never);
    loaded.plan.ok_or_else(|| Failure::refused(format!("the example is not sound in this build:\n{problems}")))
}

/// Drives the fleet and runs the engine to drain.
async fn drive(
    arguments: &Arguments,
    launch: Launch,
    places: &Places,
    stage: Stage,
    outside: &Handle,
) -> Result<Report, Failure> {
    let signals = Signals::catch().map_err(Failure::failed)?;
    let running = Running::start(launch).await.map_err(Failure::failed)?;
    let engine = Arc::clone(running.engine());
    tokio::select! {
        () = engine.becomes_ready() => {}
        () = signals.reached(1) => {
            running.drain_until(sleep(GRACE)).await;
            return Err(Failure::failed("stopped before the engine was connected to the demo's broker"));
        }
    }
    let options = arguments.simulation(SystemClock.now());
    let progress = Arc::new(Mutex::new(Progress::default()));
    let (received, seen) = watch::channel(0);
    let driver = outside.spawn({
        let fleet = Simulator::new(&options).map_err(Failure::refused)?;
        let (broker, progress, signals) = (places.broker, Arc::clone(&progress), signals.clone());
        async move { Driver::new(fleet, Publisher::new(broker), progress).run(seen, signals).await }
    });
    let session = Session {
        options: options.clone(),
        title: title(&options),
        places: format!("broker mqtt://{}   metrics {}/metrics", places.broker, places.admin),
        stage,
        engine: Arc::clone(&engine),
        progress: Arc::clone(&progress),
        received,
        signals: signals.clone(),
    };
    let seen = session.watch().await;
    driver.abort();
    let over = async {
        tokio::select! {
            () = sleep(GRACE) => {}
            () = signals.reached(2) => {}
        }
    };
    running.drain_until(over).await;
    let progress = progress.lock().clone();
    Ok(Report::new(Remains {
        options,
        work: arguments.work,
        elapsed: seen.elapsed,
        interrupted: seen.interrupted,
        progress,
        fleet: seen.last.fleet,
        status: engine.status(),
        peak_workers: seen.peak_workers,
        started_workers: seen.last.started,
        timeline: seen.history.points().to_vec(),
    }))
}

/// What was asked for, in one line.
fn title(options: &Options) -> String {
    let Options { vehicles, cycle, speed_up, faults, seed, .. } = options;
    let vehicles = format!("{vehicles} vehicle{}", if *vehicles == 1 { "" } else { "s" });
    format!("tidemill demo: {vehicles}, {cycle}, {speed_up} times as fast, {faults} faults, seed {seed}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tidemill;

    #[test]
    fn the_example_runs_as_it_is_but_for_the_address_of_its_broker() {
        assert_eq!(EXAMPLE.matches(EXAMPLE_BROKER).count(), 1);
        let plan = plan(&Tidemill::builtin().into_registry(), "127.0.0.1:40123".parse().unwrap()).unwrap();
        assert_eq!((plan.sources.len(), plan.functions.len(), plan.outputs.len()), (1, 1, 1));
        assert_eq!(plan.name, "demo");
    }

    #[test]
    fn a_binary_without_the_kinds_of_the_example_says_which() {
        let Err(failure) = plan(&Registry::default(), "127.0.0.1:1".parse().unwrap()) else {
            panic!("a plan of nothing")
        };
        let sentence = format!("{failure:?}");
        assert!(sentence.contains("the example is not sound in this build") && sentence.contains("mqtt"), "{sentence}");
    }
}
