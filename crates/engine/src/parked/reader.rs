//! Rows on their way back into memory.
//!
//! Decision: **whoever waits for the disk is a task of its own**: the line goes on meanwhile, and a file that cannot be read
//! for now, as while a full disk has it opened anew, delays what is parked and nothing else.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::sleep;

use super::calendar::{Due, Mark, PAGE};
use super::lot::Want;
use super::{Row, Yard, keys};
use crate::store::{Error, Ticket};

/// How long a file that cannot be read, although it is open, is left alone.
const AWAY: Duration = Duration::from_secs(1);
/// Bytes that are read at a time, but for the last row.
const BYTES: usize = 4 << 20;

/// Reads the rows of one rule.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    pub(super) yard: Yard,
    pub(super) prefix: Arc<[u8]>,
}

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    /// Rows that are due.
    pub(super) due: Vec<Due>,
    /// The next rows of lanes.
    pub(super) next: Vec<Want>,
}

/// A row with its sequence and its size.
pub(super) type Sized = (u64, Row, usize);

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) due: Vec<(Due, Sized)>,
    pub(super) next: Vec<(Want, Sized)>,
    /// What is to be asked for again.
    pub(super) left: Wanted,
}

/// A page of the index of times, and whether it is the last.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) from: Mark,
    /// Each with since when it has failed.
    pub(super) marks: Vec<(Mark, u64)>,
    pub(super) last: bool,
}

impl Reader {
    /// Begins to read rows.
    pub(super) fn fetch(&self, wanted: Wanted) -> JoinHandle<Result<Found, Error>> {
        let reader = self.clone();
        tokio::spawn(async move { reader.patiently(move |reader| reader.find(wanted.clone())).await })
    }

    /// Begins to read a page, as it is once these writes are done.
    pub(super) fn turn(&self, from: Mark, written: Option<Ticket>) -> JoinHandle<Result<Page, Error>> {
        let reader = self.clone();
        tokio::spawn(async move {
            if let Some(ticket) = written {
                reader.yard.0.store.confirmations().reach(ticket).await?;
            }
            reader.patiently(move |reader| reader.page(from)).await
        })
    }

    async fn patiently<T: Send + 'static>(
        &self,
        read: impl Fn(&Reader) -> Result<T, Error> + Clone + Send + 'static,
    ) -> Result<T, Error> {
        let store = &self.yard.0.store;
        loop {
            store.readable().await?;
            let (reader, read) = (self.clone(), read.clone());
            let answer = spawn_blocking(move || read(&reader)).await;
            let answer = answer.unwrap_or_else(|panic| Err(store.unreadable(&panic.to_string())));
            let Err(Error::Away { why, .. }) = answer else { return answer };
            if !store.is_away() {
                tracing::warn!(%why, "parked deliveries cannot be read and are tried again");
                sleep(AWAY).await;
            }
        }
    }

    fn find(&self, wanted: Wanted) -> Result<Found, Error> {
        let (mut found, mut bytes) = (Found::default(), 0);
        for due in wanted.due {
            if bytes >= BYTES {
                found.left.due.push(due);
                continue;
            }
            let row = self.row(due.1.1)?;
            bytes += row.2;
            found.due.push((due, row));
        }
        for want in wanted.next {
            if bytes >= BYTES {
                found.left.next.push(want);
                continue;
            }
            let row = self.row(self.behind(&want)?)?;
            bytes += row.2;
            found.next.push((want, row));
        }
        Ok(found)
    }

    pub(super) fn row(&self, sequence: u64) -> Result<Sized, Error> {
        let (store, table, key) = (&self.yard.0.store, self.yard.0.rows, sequence.to_be_bytes());
        let mut found = None;
        store.scan(table, &key, Some(&(sequence + 1).to_be_bytes()), |_, record| {
            found = Some(Row::unpack(record.value).map(|row| (sequence, row, key.len() + record.size())));
            ControlFlow::Break(())
        })?;
        match found {
            Some(Ok(row)) => Ok(row),
            Some(Err(_)) => Err(store.damaged(table, key.to_vec())),
            None => Err(store.unreadable("a parked delivery that it should hold is not there")),
        }
    }

    /// The first row of a lane behind the one that has ended.
    fn behind(&self, want: &Want) -> Result<u64, Error> {
        let (store, table) = (&self.yard.0.store, self.yard.0.lanes);
        let from = keys::place(&self.prefix, &want.lane, want.behind + 1);
        let lane = keys::lane(&self.prefix, &want.lane);
        let mut found = None;
        store.scan(table, &from, keys::behind(&lane).as_deref(), |key, _| {
            found = keys::place_of(&self.prefix, key).map(|(_, sequence)| sequence);
            ControlFlow::Break(())
        })?;
        found.ok_or_else(|| store.unreadable("a parked delivery that it should hold is not there"))
    }

    fn page(&self, from: Mark) -> Result<Page, Error> {
        let (store, table) = (&self.yard.0.store, self.yard.0.due);
        let (mut marks, mut last, mut damaged) = (Vec::new(), true, None);
        let start = keys::due(&self.prefix, from.0, from.1);
        store.scan(table, &start, keys::behind(&self.prefix).as_deref(), |key, record| {
            if marks.len() == PAGE {
                last = false;
                return ControlFlow::Break(());
            }
            match keys::due_of(&self.prefix, key) {
                Some(mark) => marks.push((mark, record.stamp.0)),
                None => damaged = Some(key.to_vec()),
            }
            if damaged.is_none() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        damaged.map_or(Ok(Page { from, marks, last }), |key| Err(store.damaged(table, key)))
    }
}
