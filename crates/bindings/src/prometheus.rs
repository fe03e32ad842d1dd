//! `prometheus`: keeps the samples that functions send and shows them at `/metrics`, or pushes them to a Pushgateway.
//!
//! The totals live here and not in a function, so they survive every restart of a worker. An event is applied whole or not
//! at all; a wrong one is rejected with a sentence. What a function calls a family is kept: `promtool check metrics` warns
//! of a counter without `_total`, a unit that is no base unit or a missing help text, and only the function can mend
//! that. The engine's own prefix `tidemill_` is refused, which lets both be told apart.
//!
//! The series are in memory: a restart of the engine begins at zero, which Prometheus' `rate` and `increase` understand.
//! Three figures about the output itself are shown too: `tidemill_prometheus_series`,
//! `tidemill_prometheus_refused_samples_total` and `tidemill_prometheus_expired_series_total`.

mod board;
mod bucket;
mod bundle;
mod name;
mod options;
mod store;
#[cfg(test)]
mod tests;
mod text;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use engine::config::Check;
use engine::event::Event;
use engine::metric::Link;
use engine::metric::sample::EVENT_TYPE;
use engine::port::{BoxFuture, Confirm, Offer, Output, PublishError};
use engine::registry::{OpenError, OutputKind, OutputPlan, Setup};
use tokio::task::AbortHandle;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

pub use options::{Options, Push};

pub(crate) use options::Target;

use crate::push::Pusher;
use board::Board;
use bundle::Bundle;
use options::Meaning;
use store::{Store, TICKS};

/// The kind `prometheus`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Prometheus;

impl OutputKind for Prometheus {
    type Options = Options;
    const NAME: &'static str = "prometheus";

    fn check(&self, options: Options, check: &mut Check) -> Option<Box<dyn OutputPlan>> {
        let mut own = Check::default();
        let meaning = options.meaning(&mut own);
        let failed = own.failed();
        own.finish().into_iter().for_each(|diagnostic| check.note(diagnostic));
        (!failed).then(|| Box::new(Plan(meaning)) as _)
    }
}

struct Plan(Meaning);

impl OutputPlan for Plan {
    fn durable(&self) -> bool {
        false
    }

    fn open(&self, setup: Setup) -> Result<Box<dyn Output>, OpenError> {
        let Meaning { ttl, limits, push } = &self.0;
        let board = setup.page.shared::<Board>();
        let store = Store::new(setup.name.clone(), limits.clone(), Arc::clone(&board));
        let pusher = match push {
            None => {
                setup.link.connected();
                None
            }
            Some(target) => Some(pusher(target, &setup, &board, &store)?),
        };
        let sweep = ttl.map(|ttl| tokio::spawn(sweep(Arc::downgrade(&store), ttl / TICKS)).abort_handle());
        Ok(Box::new(Metrics { store, link: setup.link, sweep, pusher, full: AtomicBool::new(false) }))
    }
}

fn pusher(target: &Target, setup: &Setup, board: &Board, store: &Arc<Store>) -> Result<Pusher, OpenError> {
    let pushed = Arc::clone(store);
    let body = move || {
        let mut families = pushed.families();
        families.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        families.iter().fold(String::new(), |mut page, family| {
            text::family(&mut page, family);
            page
        })
    };
    let pusher = Pusher::start(target, setup, Box::new(body))?;
    board.join(pusher.group(), &setup.name).map_err(|holder| OpenError {
        message: format!(
            "outputs '{holder}' and '{}' push to the same group '{}', where each would replace the other's series; \
             give one of them another job",
            setup.name,
            pusher.group()
        ),
        cause: None,
    })?;
    Ok(pusher)
}

/// Removes old series for as long as the output lives.
async fn sweep(store: std::sync::Weak<Store>, tick: Duration) {
    let mut ticks = interval_at(Instant::now() + tick, tick);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(store) = store.upgrade() else { return };
        store.tick();
    }
}

struct Metrics {
    store: Arc<Store>,
    link: Link,
    sweep: Option<AbortHandle>,
    pusher: Option<Pusher>,
    /// Samples were refused, and this was said.
    full: AtomicBool,
}

impl Metrics {
    fn apply(&self, event: &Event) -> Result<(), String> {
        if event.r#type() != EVENT_TYPE {
            return Err(format!(
                "output '{}' takes events of type '{EVENT_TYPE}' and got '{}'",
                self.store.output(),
                event.r#type()
            ));
        }
        let data = event.data().ok_or_else(|| "the event has no data and so no samples".to_owned())?;
        let refused = self.store.apply(&Bundle::read(data)?)?;
        if refused > 0 && !self.full.swap(true, Ordering::Relaxed) {
            let output = self.store.output();
            let error = format!("output '{output}' has maxSeries series and refuses samples that would begin another");
            tracing::warn!("{error}; use fewer label values, a shorter ttl or a greater maxSeries");
            self.link.error(error);
        }
        Ok(())
    }
}

impl Output for Metrics {
    fn publish(&self, event: &Event, _: Offer<'_>) -> Confirm {
        Confirm::Now(self.apply(event).map_err(|reason| PublishError::Reject { reason }))
    }

    fn close(&self) -> BoxFuture<'_, Result<(), PublishError>> {
        if let Some(sweep) = &self.sweep {
            sweep.abort();
        }
        match &self.pusher {
            Some(pusher) => pusher.close(),
            None => {
                self.link.stopped();
                Box::pin(std::future::ready(Ok(())))
            }
        }
    }
}

impl Drop for Metrics {
    fn drop(&mut self) {
        if let Some(sweep) = &self.sweep {
            sweep.abort();
        }
    }
}
