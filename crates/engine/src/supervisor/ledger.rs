//! The account of an engine: opened after the files that refuse a second engine, closed after everybody who writes to it.

use std::collections::BTreeMap;

use serde::Serialize;
use tokio::task::spawn_blocking;
use tracing::warn;

use super::files::refused;
use super::{Engine, Host, StartError};
use crate::account::{Account, FILE};
use crate::config::plan::Plan;
use crate::store::ClockHandle;

/// The account of finished deliveries.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LedgerStatus {
    /// Finished deliveries of this run that are in memory.
    pub records: usize,
    /// How many there may be; the files have between one and two times as many.
    pub max_records: usize,
    /// Bytes of its files.
    pub bytes: u64,
    /// What could not be written down since the start: `failures`, which are failures, retries and drops.
    pub lost: BTreeMap<&'static str, u64>,
    /// Why nothing can be written now.
    pub last_error: Option<String>,
}

/// Opens the account.
///
/// # Errors
/// [`StartError`] when a file cannot be used; it is left as it is.
pub(super) async fn open(plan: &Plan, host: &Host) -> Result<Account, StartError> {
    let (folder, records) = (host.state.clone(), plan.state.ledger);
    let clock = ClockHandle(std::sync::Arc::clone(&host.clock));
    let place = folder.join(FILE);
    let opened = spawn_blocking(move || Account::open(&folder, records, clock)).await;
    let opened = opened.map_err(|panic| refused(FILE, panic.to_string()))?;
    opened.map_err(|cause| refused(FILE, format!("cannot open '{}' and its neighbours: {cause}", place.display())))
}

impl Engine {
    /// Writes what is left; a ledger that cannot be written is no reason to end badly.
    pub(super) async fn close_account(&self) {
        let account = self.account.clone();
        if !spawn_blocking(move || account.close()).await.unwrap_or_default() {
            warn!("the ledger was not closed in time; what ended last may be missing in it");
        }
    }

    pub(super) fn ledger_status(&self) -> LedgerStatus {
        let reading = self.account.read();
        LedgerStatus {
            records: reading.records,
            max_records: reading.capacity,
            bytes: reading.bytes,
            lost: BTreeMap::from([("failures", reading.lost)]),
            last_error: reading.error,
        }
    }
}
