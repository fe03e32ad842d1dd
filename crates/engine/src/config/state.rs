//! What is kept, where, how surely and how much of it.

use std::path::PathBuf;
use std::time::Duration;

use super::decode::decode;
use super::file::{
    DeadLettersEntry, FsyncEntry, FullOfLettersEntry, LedgerEntry, OnFullEntry, ParkedEntry, SpoolEntry, StateEntry,
};
use super::node::Entry;
use super::plan::State;
use super::suggest::quoted;
use super::{Check, Period, Spanned};
use crate::spool::{OnFull, Policy};
use crate::store::{self, Quota, Sync};

/// How often `fsync: interval` forces what is written to the disk.
const INTERVAL: Duration = Duration::from_secs(1);
const INTERVAL_MIN: Duration = Duration::from_millis(10);
const INTERVAL_MAX: Duration = Duration::from_secs(60);
/// A spool below this holds little more than one event.
const BYTES_MIN: u64 = 64 << 10;
/// Nobody waits longer for an event.
const AGE_MAX: Duration = Duration::from_secs(366 * 86_400);

/// Fewer are no account, and more fill the memory.
const RECORDS: std::ops::RangeInclusive<u64> = 1_000..=100_000_000;

/// What a file says of the state.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) state: State,
    /// Whether there is to be none.
    pub(super) none: bool,
    /// How much each source's spool holds.
    pub(super) spool: Policy,
}

/// Reads `state:`.
pub(super) fn kept(entry: Option<&Entry>, check: &mut Check) -> Kept {
    let mut kept = Kept::default();
    let Some(entry) = entry else { return kept };
    if entry.value.text() == Some("none") {
        let help = "write 'state: { dir: ... }'; what is given up needs a folder so that nothing vanishes";
        check.error(entry.value.span, "'state: none' is not available yet", help);
        kept.none = true;
        return kept;
    }
    let Some(written) = decode::<StateEntry>(&entry.value, &entry.key, check) else { return kept };
    if let Some(folder) = &written.dir
        && (folder.is_empty() || folder.contains('\0'))
    {
        check.error(folder.span, format!("{} is no folder", quoted(folder)), "write a path, or leave 'dir' out");
    }
    kept.state.dir = written.dir.as_ref().map(|folder| PathBuf::from(&folder.value));
    kept.state.sync = sync(written.fsync, written.interval.as_ref(), check);
    kept.spool = spool(written.quotas.spool.as_ref(), Policy::default(), check);
    kept.state.dead_letters = dead_letters(written.quotas.dead_letters.as_ref(), kept.state.dead_letters, check);
    kept.state.parked = parked(written.quotas.parked.as_ref(), kept.state.parked, check);
    kept.state.ledger = ledger(written.ledger.as_ref(), kept.state.ledger, check);
    kept
}

fn sync(fsync: FsyncEntry, interval: Option<&Spanned<Period>>, check: &mut Check) -> Sync {
    match (fsync, interval) {
        (FsyncEntry::Always, None) => Sync::Always,
        (FsyncEntry::Always, Some(interval)) => {
            let help = "remove it, or write fsync: interval";
            check.error(interval.span, "only fsync: interval has an interval", help);
            Sync::Always
        }
        (FsyncEntry::Interval, None) => Sync::Interval(INTERVAL),
        (FsyncEntry::Interval, Some(interval)) => {
            if !(INTERVAL_MIN..=INTERVAL_MAX).contains(&interval.0) {
                let help = "write a time from 10ms to 60s, or fsync: always";
                check.error(interval.span, "the interval is too short or too long", help);
            }
            Sync::Interval(interval.0.clamp(INTERVAL_MIN, INTERVAL_MAX))
        }
    }
}

pub(super) fn max_age(age: &Spanned<Period>, check: &mut Check) -> Duration {
    if age.0.is_zero() || age.0 > AGE_MAX {
        check.error(age.span, "'maxAge' is zero or longer than a year", "write a time such as 30s, 6h or 7d");
    }
    age.0.clamp(Duration::from_millis(1), AGE_MAX)
}

/// What is written of dead letters, on top of what holds otherwise.
fn dead_letters(written: Option<&Spanned<DeadLettersEntry>>, base: Quota, check: &mut Check) -> Quota {
    let Some(written) = written else { return base };
    let mut quota = base;
    if let Some(bytes) = &written.max_bytes {
        if bytes.0 < BYTES_MIN {
            check.error(bytes.span, "this is room for hardly a dead letter", "write at least 64KiB");
        }
        quota.max_bytes = Some(bytes.0.max(BYTES_MIN));
    }
    if let Some(age) = &written.max_age {
        quota.max_age = Some(max_age(age, check));
    }
    if let Some(on_full) = &written.on_full {
        quota.on_full = match on_full.value {
            FullOfLettersEntry::Block => store::OnFull::Block,
            FullOfLettersEntry::DropOldest => store::OnFull::DropOldest,
        };
    }
    quota
}

/// What is written of parked deliveries, on top of what holds otherwise.
fn parked(written: Option<&Spanned<ParkedEntry>>, base: u64, check: &mut Check) -> u64 {
    let Some(written) = written else { return base };
    if let Some(on_full) = written.on_full.as_ref().filter(|on_full| on_full.value == FullOfLettersEntry::DropOldest) {
        let help = "write block, or leave it out; what is parked has neither succeeded nor been given up";
        check.error(on_full.span, "parked deliveries are never dropped", help);
    }
    let Some(bytes) = &written.max_bytes else { return base };
    if bytes.0 < BYTES_MIN {
        check.error(bytes.span, "this is room for hardly a delivery", "write at least 64KiB");
    }
    bytes.0.max(BYTES_MIN)
}

/// What is written of the account, on top of what holds otherwise.
fn ledger(written: Option<&Spanned<LedgerEntry>>, base: usize, check: &mut Check) -> usize {
    let Some(records) = written.and_then(|written| written.records.as_ref()) else { return base };
    if !RECORDS.contains(&records.value) {
        let help = "write a number from 1000 to 100000000; each takes 32 bytes of memory";
        check.error(records.span, "the account is too short or too long", help);
    }
    usize::try_from(records.value.clamp(*RECORDS.start(), *RECORDS.end())).unwrap_or(base)
}

/// What is written of a spool, on top of what holds otherwise.
pub(super) fn spool(written: Option<&Spanned<SpoolEntry>>, base: Policy, check: &mut Check) -> Policy {
    let Some(written) = written else { return base };
    let mut policy = base;
    if let Some(bytes) = &written.max_bytes {
        if bytes.0 < BYTES_MIN {
            check.error(bytes.span, "a spool this small holds hardly an event", "write at least 64KiB");
        }
        policy.max_bytes = bytes.0.max(BYTES_MIN);
    }
    if let Some(age) = &written.max_age {
        policy.max_age = Some(max_age(age, check));
    }
    if let Some(on_full) = &written.on_full {
        policy.on_full = match on_full.value {
            OnFullEntry::Block => OnFull::Block,
            OnFullEntry::DropOldest => OnFull::DropOldest,
            OnFullEntry::DropNewest => OnFull::DropNewest,
        };
    }
    policy
}
