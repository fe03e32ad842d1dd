//! What the prometheus outputs of one page share, so that no family stands on it twice.
//!
//! The text format has one TYPE line per family and one line per series. Two outputs that kept the same family would
//! break both, so a family belongs to the output that showed it first, until its last series is gone; a sample of it that
//! comes to another output is refused. A configuration cannot tell what functions will name their metrics, so this is
//! decided when a family appears, which is rare, and costs known series nothing.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use engine::event::Text;
use engine::metric::Exposition;
use engine::metric::sample::Kind;
use parking_lot::Mutex;

use super::name;
use super::store::Store;
use super::text;

/// The shared part of one page.
#[derive(Default)]
pub(super) struct Board {
    stores: Mutex<Vec<Weak<Store>>>,
    names: Mutex<HashMap<String, Claim>>,
    groups: Mutex<HashMap<String, Text>>,
}

/// Whose a name is.
struct Claim {
    output: Text,
    family: String,
}

impl Board {
    pub(super) fn show(&self, store: &Arc<Store>) {
        let mut stores = self.stores.lock();
        stores.retain(|store| store.strong_count() > 0);
        stores.push(Arc::downgrade(store));
    }

    fn stores(&self) -> Vec<Arc<Store>> {
        self.stores.lock().iter().filter_map(Weak::upgrade).collect()
    }

    /// Takes every name that the family writes for `output`.
    ///
    /// # Errors
    /// A sentence that says who has one of them.
    pub(super) fn claim(&self, output: &Text, family: &str, kind: Kind) -> Result<(), String> {
        let written = name::written(family, kind);
        let mut names = self.names.lock();
        if let Some((name, holder)) = written.iter().find_map(|name| names.get(name).map(|holder| (name, holder))) {
            return Err(if holder.output == *output {
                format!("'{family}' cannot be shown: histogram '{}' has '{name}' already; rename one", holder.family)
            } else {
                format!("'{family}' cannot be shown: output '{}' has '{name}' already; rename one", holder.output)
            });
        }
        names.extend(written.into_iter().map(|name| {
            let claim = Claim { output: output.clone(), family: family.to_owned() };
            (name, claim)
        }));
        Ok(())
    }

    /// Gives the names of a family free again.
    pub(super) fn release(&self, family: &str, kind: Kind) {
        let mut names = self.names.lock();
        for name in name::written(family, kind) {
            names.remove(&name);
        }
    }

    /// Takes a Pushgateway's group for `output`, for as long as the page lives.
    ///
    /// # Errors
    /// The output that has it.
    pub(super) fn join(&self, group: &str, output: &Text) -> Result<(), Text> {
        let mut groups = self.groups.lock();
        match groups.get(group) {
            Some(holder) if holder != output => Err(holder.clone()),
            _ => {
                groups.insert(group.to_owned(), output.clone());
                Ok(())
            }
        }
    }
}

impl Exposition for Board {
    fn render(&self, page: &mut String) {
        let mut families: Vec<_> = self.stores().iter().flat_map(|store| store.families()).collect();
        families.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        for family in &families {
            text::family(page, family);
        }
    }

    fn render_own(&self, page: &mut String) {
        let figures: Vec<_> = self.stores().iter().map(|store| (store.output().clone(), store.figures())).collect();
        if figures.is_empty() {
            return;
        }
        let mut family = |name: &str, kind: &str, help: &str, value: fn(&super::store::Figures) -> u64| {
            text::header(page, name, kind, help);
            for (output, figures) in &figures {
                text::line(page, name, &text::label("output", output), value(figures) as f64);
            }
        };
        family("tidemill_prometheus_series", "gauge", "Series that the output keeps.", |own| own.series);
        family(
            "tidemill_prometheus_refused_samples_total",
            "counter",
            "Samples refused because they would have begun a series beyond maxSeries.",
            |own| own.refused,
        );
        family(
            "tidemill_prometheus_expired_series_total",
            "counter",
            "Series removed because no sample came for the time given by ttl.",
            |own| own.expired,
        );
    }
}
