//! An engine in the test's own process, for functions that the test holds in its hands.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use engine::config::plan::Plan;
use engine::config::{Environment, Files, load_files};
use engine::port::SystemClock;
use engine::registry::Registry;
use engine::supervisor::{Engine, Host, Housing, SourceStatus};
use testkit::patience::{RETRY, within};

/// An engine with the functions of `registry` and the file `yaml`, once its sources are connected.
pub(crate) async fn start(registry: &Registry, yaml: &str, state: &Path) -> Engine {
    start_as("one", registry, yaml, state).await
}

/// The same, as one of several instances.
pub(crate) async fn start_as(instance: &str, registry: &Registry, yaml: &str, state: &Path) -> Engine {
    start_plan(instance, plan(registry, yaml), state).await
}

/// What the file `yaml` means.
pub(crate) fn plan(registry: &Registry, yaml: &str) -> Plan {
    let mut files = Files::default();
    files.add("inside.yaml", yaml);
    let loaded = load_files(files, "inside", registry, &Environment::default());
    loaded.plan.unwrap_or_else(|| panic!("{:?}", loaded.diagnostics))
}

/// An engine with this plan, once its sources are connected.
pub(crate) async fn start_plan(instance: &str, plan: Plan, state: &Path) -> Engine {
    let host = Host {
        instance: instance.into(),
        state: state.to_owned(),
        clock: Arc::new(SystemClock),
        turns: 2,
        housing: Housing::Threads(2),
        idle_after: Duration::from_secs(60),
    };
    let engine = Engine::start(plan, host).await.expect("it starts");
    engine.becomes_ready().await;
    engine
}

/// The status of the source `fleet` as soon as `is_it` likes it.
pub(crate) async fn fleet_where(engine: &Engine, what: &str, is_it: impl Fn(&SourceStatus) -> bool) -> SourceStatus {
    within(what, async {
        loop {
            let source = engine.status().sources["fleet"].clone();
            if is_it(&source) {
                return source;
            }
            tokio::time::sleep(RETRY).await;
        }
    })
    .await
}
