//! What is parked under rules that the configuration has no more: given up, or moved to the rule that has taken their place.
//!
//! Decision: **nothing is ever bound to another rule by itself**. A rule that is gone leaves dead letters, each written in the
//! transaction that removes its row, unless another rule says that it is the same one by a new name.

use std::ops::ControlFlow;
use std::sync::Arc;

use tokio::task::spawn_blocking;

use super::reader::Reader;
use super::{Removal, Row, Yard, keys};
use crate::dead_letter::{Postbox, send};
use crate::event::Text;
use crate::store::{Batch, Error};

/// Rows that are taken at once, at most.
const ROWS: usize = 256;

/// A row without a rule.
#[derive(Debug)]
pub(crate) struct Stray {
    pub(crate) row: Row,
    pub(crate) removal: Removal,
    sequence: u64,
    size: usize,
}

impl Yard {
    /// Makes dead letters of everything that is parked under a rule which nobody serves, and answers how many there were.
    ///
    /// # Errors
    /// [`Error`] of the store; what is left stays.
    pub(crate) async fn orphan(&self, rule: &Text, postbox: &Postbox) -> Result<u64, Error> {
        self.written(rule).await?;
        let mut count = 0;
        loop {
            let strays = self.page_of(rule).await?;
            if strays.is_empty() {
                self.repause(rule, None).await?;
                return Ok(count);
            }
            count += strays.len() as u64;
            let sizes: usize = strays.iter().map(|stray| stray.size).sum();
            if !postbox.orphans(strays).await {
                return Err(self.0.store.unreadable("dead letters are not kept any more"));
            }
            self.exchange(sizes, 0);
        }
    }

    /// Moves everything that is parked under one rule to another, which has not been loaded, and answers how much there was.
    ///
    /// # Errors
    /// [`Error`] of the store; what is left stays where it is.
    pub(crate) async fn rename(&self, before: &Text, now: &Text) -> Result<u64, Error> {
        let (mut count, old, prefix) = (0, keys::prefix(before), keys::prefix(now));
        loop {
            let strays = self.page_of(before).await?;
            if strays.is_empty() {
                self.repause(before, Some(now)).await?;
                return Ok(count);
            }
            count += strays.len() as u64;
            let mut batch = Batch::default();
            for Stray { mut row, sequence, size, .. } in strays {
                row.rule = now.clone();
                let since = row.failed.or(row.due).unwrap_or_else(|| self.now());
                let lane = row.event.key().filter(|_| row.laned).map(|lane| Text::from(lane.as_ref()));
                batch.put(self.0.rows, &sequence.to_be_bytes(), since, |into| row.pack(into));
                self.exchange(size, batch.last_bytes());
                if let Some(due) = row.due {
                    batch.delete(self.0.due, &keys::due(&old, due.0, sequence));
                    let name = lane.as_deref().unwrap_or_default();
                    batch.put(self.0.due, &keys::due(&prefix, due.0, sequence), since, |into| {
                        into.extend_from_slice(name.as_bytes());
                    });
                }
                if let Some(lane) = &lane {
                    batch.delete(self.0.lanes, &keys::place(&old, lane, sequence));
                    batch.put(self.0.lanes, &keys::place(&prefix, lane, sequence), since, |_| ());
                }
            }
            let ticket = send(&self.0.store, &mut batch).await?;
            self.0.store.confirmations().reach(ticket).await?;
        }
    }

    /// Lets what is paused under one rule be so under another, or forgets it, for whoever comes by that name is not paused.
    async fn repause(&self, before: &Text, now: Option<&Text>) -> Result<(), Error> {
        let (yard, old) = (self.clone(), keys::prefix(before));
        let reading = spawn_blocking(move || {
            let mut found = Vec::new();
            yard.0.store.scan(yard.0.pauses, &old, keys::behind(&old).as_deref(), |key, record| {
                found.push((key.to_vec(), key[old.len()..].to_vec(), record.value.to_vec(), record.stamp));
                ControlFlow::Continue(())
            })?;
            Ok(found)
        });
        let read: Result<Vec<_>, Error> =
            reading.await.unwrap_or_else(|panic| Err(self.0.store.unreadable(&panic.to_string())));
        let mut batch = Batch::default();
        for (key, lane, record, since) in read? {
            batch.delete(self.0.pauses, &key);
            if let Some(now) = now {
                let key = [keys::prefix(now), lane].concat();
                batch.put(self.0.pauses, &key, since, |into| into.extend_from_slice(&record));
            }
        }
        if batch.is_empty() {
            return Ok(());
        }
        let ticket = send(&self.0.store, &mut batch).await?;
        self.0.store.confirmations().reach(ticket).await
    }

    /// Waits until everything is on the disk that the rule's line has written: a row whose removal is still on its way is none.
    async fn written(&self, rule: &Text) -> Result<(), Error> {
        let mut nothing = Batch::default();
        // A key that no row has, so that there is something to wait for.
        nothing.delete(self.0.due, &keys::prefix(rule));
        let ticket = self.0.store.free(&mut nothing)?;
        self.0.store.confirmations().reach(ticket).await
    }

    async fn page_of(&self, rule: &Text) -> Result<Vec<Stray>, Error> {
        let (yard, rule) = (self.clone(), rule.clone());
        let read = spawn_blocking(move || yard.strays(&rule)).await;
        read.unwrap_or_else(|panic| Err(self.0.store.unreadable(&panic.to_string())))
    }

    /// Some of what is parked under a rule.
    fn strays(&self, rule: &str) -> Result<Vec<Stray>, Error> {
        let reader = Reader { yard: self.clone(), prefix: Arc::from(keys::prefix(rule)) };
        let mut sequences = Vec::new();
        for table in [self.0.lanes, self.0.due] {
            let (store, prefix) = (&self.0.store, &reader.prefix);
            let mut damaged = None;
            store.scan(table, prefix, keys::behind(prefix).as_deref(), |key, record| {
                // What stands in a lane is in the other index.
                if table == self.0.due && !record.value.is_empty() {
                    return ControlFlow::Continue(());
                }
                let known = match table == self.0.lanes {
                    true => keys::place_of(prefix, key).map(|(_, sequence)| sequence),
                    false => keys::due_of(prefix, key).map(|(_, sequence)| sequence),
                };
                match known {
                    Some(sequence) => sequences.push(sequence),
                    None => damaged = Some(key.to_vec()),
                }
                let enough = sequences.len() >= ROWS || damaged.is_some();
                if enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
            if let Some(key) = damaged {
                return Err(store.damaged(table, key));
            }
            if sequences.len() >= ROWS {
                break;
            }
        }
        sequences.into_iter().map(|sequence| self.stray(&reader, sequence)).collect()
    }

    fn stray(&self, reader: &Reader, sequence: u64) -> Result<Stray, Error> {
        let (_, row, size) = reader.row(sequence)?;
        let prefix = &reader.prefix;
        let due = row.due.map(|due| (self.0.due, keys::due(prefix, due.0, sequence)));
        let named = row.event.key().filter(|_| row.laned);
        let lane = named.map(|lane| (self.0.lanes, keys::place(prefix, &lane, sequence)));
        let removal =
            Removal([Some((self.0.rows, sequence.to_be_bytes().to_vec())), due, lane].into_iter().flatten().collect());
        Ok(Stray { row, removal, sequence, size })
    }
}
