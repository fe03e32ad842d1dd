//! Whether the conservation law holds, looked at for as long as the engine runs.
//!
//! Decision: what is checked is what everybody is shown ([`Status`]), with no help from those who count; so a figure that
//! cannot be trusted is called so beside it. A drift is a bug of the engine and mends itself never, so it is said once, and
//! again when it grows.

use std::collections::BTreeMap;
use std::sync::Weak;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tracing::error;

use super::{Engine, Status};
use crate::event::Text;

/// How often the books are looked at.
const PERIOD: Duration = Duration::from_secs(10);

/// What one owner of books took over, and what it can account for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Account {
    /// `source`, `rule` or `spool`.
    pub(super) kind: &'static str,
    pub(super) name: Text,
    taken: u64,
    accounted: u64,
}

impl Account {
    /// Zero where the law holds; more for what is gone without a trace, less for what nobody ever took over.
    pub(super) fn drift(&self) -> i128 {
        i128::from(self.taken) - i128::from(self.accounted)
    }
}

impl Status {
    /// The identities of the conservation law, one for each source, rule and spool.
    pub(super) fn accounts(&self) -> impl Iterator<Item = Account> {
        let sources = self.sources.iter().map(|(name, books)| Account {
            kind: "source",
            name: name.clone(),
            taken: books.received,
            accounted: books.settled + books.rejected + books.handed_back + books.in_flight,
        });
        let rules = self.rules.iter().map(|(name, books)| Account {
            kind: "rule",
            name: name.clone(),
            taken: books.matched + books.recovered + books.replayed + books.looped,
            accounted: books.done
                + books.dead_lettered
                + books.dropped.values().sum::<u64>()
                + books.handed_back
                + books.parked
                + books.in_flight,
        });
        let spools = self.spools.iter().map(|(name, books)| Account {
            kind: "spool",
            name: name.clone(),
            taken: books.appended + books.recovered,
            accounted: books.settled
                + books.dropped.values().sum::<u64>()
                + books.handed_back
                + books.in_flight
                + books.stored,
        });
        sources.chain(rules).chain(spools)
    }
}

impl Status {
    /// The drifts, by kind and name.
    pub(super) fn drifts(&self) -> BTreeMap<String, f64> {
        let drifted = self.accounts().filter(|account| account.drift() != 0);
        drifted.map(|account| (format!("{} {}", account.kind, account.name), account.drift() as f64)).collect()
    }
}

/// Who remembers what was said.
#[derive(Debug, Default)]
pub(super) struct Auditor(BTreeMap<(&'static str, Text), i128>);

impl Auditor {
    /// Those that have drifted, or further than before.
    pub(super) fn look(&mut self, status: &Status) -> Vec<Account> {
        let news = status.accounts().filter(|account| {
            let drift = account.drift();
            let before = self.0.insert((account.kind, account.name.clone()), drift).unwrap_or_default();
            drift != 0 && drift != before
        });
        news.collect()
    }
}

impl Engine {
    /// Looks at the books again and again for as long as there is an engine, which it keeps nobody from dropping, and reports
    /// each drift in the log.
    pub async fn audit(engine: Weak<Engine>) {
        let (mut auditor, mut ticks) = (Auditor::default(), interval(PERIOD));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let Some(status) = engine.upgrade().map(|engine| engine.status()) else { return };
            for account in auditor.look(&status) {
                let Account { kind, name, taken, accounted } = account;
                error!(
                    %kind, %name, taken, accounted,
                    "the books do not balance: please report this, with what was done before; the figures of this {kind} \
                     cannot be trusted"
                );
            }
        }
    }
}
