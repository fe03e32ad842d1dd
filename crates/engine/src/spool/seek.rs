//! Whether an event lies in spools, for whoever asks. There is no index of ids: every entry is looked at.

use std::ops::ControlFlow;
use std::path::Path;

use super::entry;
use crate::account::Wanted;
use crate::event::{Event, Text};
use crate::store::{Error, OpenError, Quota, Schema, Settings, Spec, Stamp, Store, Table};

/// One event that is in a spool, or was given out and has not settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// The source whose spool it is.
    pub source: Text,
    /// The event, whole.
    pub event: Event,
    /// When it was taken in.
    pub received: Stamp,
}

/// Events that are shown at most.
const MOST: usize = 1000;

/// Every entry of this event in a spool's table; of a great many, the first. Blocks for as long as the disk takes.
///
/// # Errors
/// [`Error`] of the store.
pub fn seek(store: &Store, table: Table, source: &Text, wanted: &Wanted) -> Result<Vec<Sighting>, Error> {
    let (mut found, mut damaged) = (Vec::new(), None);
    store.scan(table, &[], None, |key, record| {
        match entry::read(0, record.stamp, record.value) {
            Ok(entry) if wanted.takes(&entry.event) => {
                found.push(Sighting { source: source.clone(), event: entry.event, received: entry.received });
            }
            Ok(_) => {}
            Err(_) => damaged = Some(key.to_vec()),
        }
        if damaged.is_none() && found.len() < MOST { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    damaged.map_or(Ok(found), |key| Err(store.damaged(table, key)))
}

/// The same in every spool in the folder of an engine that is stopped, which the caller has locked.
///
/// # Errors
/// A sentence that says what cannot be read.
pub fn look(folder: &Path, wanted: &Wanted) -> Result<Vec<Sighting>, String> {
    let path = folder.join(Schema::SPOOL.kind);
    if !path.is_file() {
        return Ok(Vec::new());
    }
    let open = |specs| Store::open(&path, Schema::SPOOL, specs, Settings::default());
    let sentence = |error: OpenError| error.to_string();
    // The file itself says which spools it has.
    let first = open(Vec::new()).map_err(sentence)?;
    let names: Vec<Text> = first.strangers().iter().map(|(name, _)| name.as_str().into()).collect();
    close(&first)?;
    let specs = names.iter().map(|name| Spec { name: name.clone(), quota: Quota::default() }).collect();
    let store = open(specs).map_err(sentence)?;
    let mut found = Vec::new();
    for name in &names {
        let Some(table) = store.table(name) else { continue };
        let source = name.split_once('/').map_or(name.as_str(), |(_, source)| source).into();
        found.extend(seek(&store, table, &source, wanted).map_err(|error| error.to_string())?);
    }
    close(&store)?;
    Ok(found)
}

/// Waits until nobody has the file any more.
pub(crate) fn close(store: &Store) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(|error| error.to_string())?;
    runtime.block_on(store.close()).map_err(|error| error.to_string())
}
