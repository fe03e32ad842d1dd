//! One event to the broker that a source of a configuration receives from, without an engine.

use std::sync::Arc;
use std::time::Duration;

use engine::config::{Environment, load};
use engine::event::Event;
use engine::metric::{Link, Page};
use engine::port::{SystemClock, confirmed};
use engine::registry::{Registry, Sending, Setup};

use super::Arguments;
use crate::cli::check::say;
use crate::cli::{Exit, Failure};

/// How long a broker may take, unless somebody says it.
const PATIENCE: Duration = Duration::from_secs(10);
/// How much longer than that the output's own answer is waited for, which says what was in the way.
const SLACK: Duration = Duration::from_secs(2);

/// Publishes `event` with the keys of the source in the configuration, and answers where it is; or nothing where the
/// configuration was refused, which is said.
pub(super) fn send(arguments: &Arguments, event: &Event, registry: &Registry) -> Result<Result<Sent, Exit>, Failure> {
    let loaded = load(&arguments.config, registry, &Environment::current());
    if loaded.plan.is_none() {
        say(&loaded);
        return Ok(Err(Exit::Refused));
    }
    let patience = arguments.timeout.unwrap_or(PATIENCE);
    let sending = Sending { to: arguments.to.as_deref(), patience };
    let opening = loaded.entrance(&arguments.source, &sending, registry).map_err(Failure::refused)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::failed)?;
    runtime.block_on(async {
        let output = opening.plan.open(setup()).map_err(Failure::refused)?;
        let confirmed = tokio::time::timeout(patience + SLACK, confirmed(output.as_ref(), event)).await;
        let outcome = match confirmed {
            Ok(outcome) => outcome.map_err(|error| error.to_string()),
            Err(_) => Err(format!("{} was not confirmed within {patience:?}", opening.place)),
        };
        let closed = output.close().await;
        outcome.map_err(Failure::failed)?;
        if let Err(error) = closed {
            tracing::debug!("the output did not close well: {error}");
        }
        Ok(Ok(Sent { kind: opening.kind, place: opening.place }))
    })
}

/// Where an event is.
pub(super) struct Sent {
    pub(super) kind: String,
    pub(super) place: String,
}

/// Somebody whom nobody else can be taken for: a running engine must not lose its connection to this one.
fn setup() -> Setup {
    Setup {
        name: "send".into(),
        instance: format!("{:016x}", fastrand::u64(..)).into(),
        seats: 0,
        state: None,
        clock: Arc::new(SystemClock),
        link: Link::default(),
        page: Page::default(),
    }
}
