//! Pages of a spool: what lies on the disk only, on its way into memory.
//!
//! Decision: **a page is read by a task of its own, one at a time**, whichever end of the spool wants it. So nobody waits for
//! the disk while others wait for him, no page is thrown away because somebody gave up waiting, and a file that cannot be
//! read for now, as while a full disk has it opened anew, delays what lies there and nothing else.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::Shared;
use super::entry::{self, Entry};
use crate::store::Error;

/// Events that are read from the disk at a time, and their bytes.
const ROWS: usize = 512;
const BYTES: usize = 1 << 20;

/// How long a page that cannot be read, although the file is open, is left alone.
const AWAY: Duration = Duration::from_secs(1);

/// What lies on the disk only: from this sequence on, and below that one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) from: u64,
    pub(super) to: u64,
}

/// The beginning of a span, with the size of each event, and whether it is the whole.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) rows: Vec<(Entry, usize)>,
    pub(super) last: bool,
}

impl Shared {
    /// Has a page of this span read. Everybody who waits for events or for room is told when it is there.
    pub(super) fn fetch(self: &Arc<Self>, span: Span) {
        let shared = Arc::clone(self);
        tokio::spawn(async move {
            let page = shared.page(span).await;
            shared.state.lock().refill(span, page, &shared.store);
            shared.ready.notify_waiters();
            shared.room.notify_waiters();
        });
    }

    async fn page(self: &Arc<Self>, span: Span) -> Result<Page, Error> {
        loop {
            self.store.readable().await?;
            let shared = Arc::clone(self);
            let read = spawn_blocking(move || shared.read(span)).await;
            let read = read.unwrap_or_else(|panic| Err(self.store.unreadable(&panic.to_string())));
            let Err(Error::Away { why, .. }) = read else { return read };
            if !self.store.is_away() {
                tracing::warn!(%why, "a page of the spool cannot be read and is tried again");
                sleep(AWAY).await;
            }
        }
    }

    fn read(&self, span: Span) -> Result<Page, Error> {
        let (mut page, mut bytes, mut damaged) = (Page { rows: Vec::new(), last: true }, 0, None);
        let (from, to) = (span.from.to_be_bytes(), span.to.to_be_bytes());
        self.store.scan(self.table, &from, Some(&to), |key, record| {
            if page.rows.len() == ROWS || bytes >= BYTES {
                page.last = false;
                return ControlFlow::Break(());
            }
            let sequence = key.try_into().ok().map(u64::from_be_bytes);
            let entry = sequence.and_then(|sequence| entry::read(sequence, record.stamp, record.value).ok());
            let Some(entry) = entry else {
                damaged = Some(key.to_vec());
                return ControlFlow::Break(());
            };
            let size = key.len() + record.size();
            bytes += size;
            page.rows.push((entry, size));
            ControlFlow::Continue(())
        })?;
        damaged.map_or(Ok(page), |key| Err(self.store.damaged(self.table, key)))
    }
}
