//! What is parked when an engine starts: one lot for each rule, loaded before anything that delivers is started.
//!
//! Decision: what is parked of a rule that is not in the configuration any more is named and becomes dead letters, from which
//! somebody can replay it once a rule of that name is back. It is never bound to another rule, unless that says that it is the
//! same one by a new name (`renamedFrom`).

use std::sync::Arc;

use tokio::task::spawn_blocking;
use tracing::{info, warn};

use super::files::{File, refused};
use super::{Host, StartError};
use crate::config::plan::Plan;
use crate::dead_letter::{FILE, Postbox};
use crate::event::Text;
use crate::parked::{Lot, Yard};
use crate::retry::Hold;
use crate::store::{ClockHandle, Error};

/// The parked deliveries of an engine that starts.
pub(super) struct Opened {
    pub(super) yard: Yard,
    /// By trigger, by rule.
    pub(super) lots: Vec<Vec<Lot>>,
    /// How many there are of rules that are not in the configuration.
    pub(super) left: Vec<(Text, u64)>,
}

/// `trigger/rule`.
pub(super) fn name(trigger: &str, rule: &str) -> Text {
    format!("{trigger}/{rule}").into()
}

/// Loads what is parked.
///
/// # Errors
/// [`StartError`] when it cannot be read; it is left as it is.
pub(super) async fn open(plan: &Plan, file: &File, host: &Host) -> Result<Opened, StartError> {
    let clock = ClockHandle(Arc::clone(&host.clock));
    let (store, max_bytes) = (file.store.clone(), plan.state.parked);
    let rules = plan.triggers.iter().map(|trigger| {
        let rule = |rule: &crate::config::plan::Rule| {
            (name(&trigger.name, &rule.name), rule.retry.max_delay, rule.retry.hold == Hold::State)
        };
        trigger.rules.iter().map(rule).collect::<Vec<_>>()
    });
    let rules: Vec<Vec<_>> = rules.collect();
    let unreadable = |error: Error| refused(FILE, error.to_string());
    let yard = Yard::of(&store, max_bytes, clock).map_err(unreadable)?;
    let (yard, remembered) = spawn_blocking(move || (yard.clone(), yard.remember()))
        .await
        .map_err(|panic| refused(FILE, panic.to_string()))?;
    remembered.map_err(unreadable)?;
    for (before, now) in &plan.renamed {
        yard.tracks().rename(before, now);
        match yard.rename(before, now).await.map_err(unreadable)? {
            0 => {}
            deliveries => {
                info!(rule = %now, deliveries, "deliveries that were parked under '{before}' are parked under it");
            }
        }
    }
    let loading = spawn_blocking(move || {
        let known: Vec<Text> = rules.iter().flatten().map(|(name, ..)| name.clone()).collect();
        let left = yard.strangers(&known)?;
        let lot = |(name, max_delay, takes)| yard.lot(name, max_delay, takes);
        let lots = rules.into_iter().map(|rules| rules.into_iter().map(lot).collect::<Result<Vec<_>, _>>());
        let lots = lots.collect::<Result<Vec<_>, Error>>()?;
        Ok(Opened { yard, lots, left })
    });
    let loaded: Result<Opened, Error> = loading.await.map_err(|panic| refused(FILE, panic.to_string()))?;
    let opened = loaded.map_err(unreadable)?;
    for lot in opened.lots.iter().flatten().filter(|lot| lot.waiting() > 0) {
        info!(rule = %lot.rule(), deliveries = lot.waiting(), "deliveries of an earlier run are parked and go on");
    }
    for lot in opened.lots.iter().flatten().filter(|lot| lot.stopped().is_some()) {
        let rule = lot.rule();
        warn!(%rule, "the rule is paused; 'tidemill resume {rule}' lets it go on");
    }
    Ok(opened)
}

/// Makes dead letters of what is parked under rules that are not in the configuration; answers what could not be.
pub(super) async fn orphan(yard: &Yard, left: Vec<(Text, u64)>, postbox: &Postbox) -> Vec<(Text, u64)> {
    let mut stays = Vec::new();
    for (rule, deliveries) in left {
        warn!(
            %rule, deliveries,
            "there are parked deliveries of a rule that is not in the configuration; they become dead letters 'orphaned'"
        );
        if let Err(error) = yard.orphan(&rule, postbox).await {
            warn!(%rule, "they stay until the next start: {error}");
            stays.push((rule, deliveries));
        }
    }
    stays
}
