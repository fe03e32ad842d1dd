//! What has to go for a quota's sake. Decision: it goes in the transaction that makes it too much, so that no reader ever
//! sees a table beyond its bounds.

use std::ops::ControlFlow;

use tokio::time::Instant;

use super::super::medium::Trim;
use super::super::quota::OnFull;
use super::super::record::{self, Stamp};
use super::{AGES, Writer};

impl Writer {
    /// What quotas ask for now.
    pub(super) fn trims(&mut self) -> Vec<Trim> {
        let now = Stamp::from(self.shared.settings.clock.0.now());
        let look = self.ages_seen.elapsed() >= AGES;
        if look {
            self.ages_seen = Instant::now();
        }
        let mut trims = Vec::new();
        for (number, (spec, gauge)) in (0_u16..).zip(self.shared.specs.iter().zip(&self.shared.gauges)) {
            let growth = self.group.puts.growth(number);
            let max_bytes = spec.quota.max_bytes.filter(|_| spec.quota.on_full == OnFull::DropOldest);
            let over = max_bytes.is_some_and(|max| gauge.read().bytes + growth > max);
            let aged = spec.quota.max_age.filter(|_| look || growth > 0).map(|age| now.before(age));
            let aged = aged.filter(|bound| growth > 0 || self.oldest(number).is_some_and(|oldest| oldest < *bound));
            if over || aged.is_some() {
                let older_than = aged.unwrap_or_default();
                trims.push(Trim { table: number, max_bytes: max_bytes.unwrap_or(u64::MAX), older_than });
            }
        }
        trims
    }

    fn oldest(&self, number: u16) -> Option<Stamp> {
        let mut oldest = None;
        let seed = self.shared.table(usize::from(number))?.seed;
        let first = |key: &[u8], bytes: &[u8]| {
            oldest = Some(record::read(seed, key, bytes).map_or(Stamp::default(), |record| record.stamp));
            ControlFlow::Break(())
        };
        let mut first = first;
        self.shared.medium.scan(number, &[], None, &mut first).ok()?;
        oldest
    }
}
