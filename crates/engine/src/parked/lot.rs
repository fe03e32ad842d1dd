//! The parked deliveries of one rule, as its line works with them: nothing here waits, but for [`Lot::changed`].

// Out of the lot again.
mod bring;
// What a source may deliver again.
mod fork;
// What an earlier run has left.
mod load;
// What is paused.
mod stop;

pub(crate) use bring::OUT;

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use tokio::task::{JoinError, JoinHandle};
use tokio::time::Instant;

use super::calendar::{Calendar, Due, Mark};
use super::reader::{Found, Page, Reader};
use super::{Removal, Row, keys};
use crate::delivery::{Position, Spot};
use crate::dispatch::{Key, Place};
use crate::event::Text;
use crate::store::{Batch, Confirmations, Error, Stamp, Ticket};
pub(crate) use fork::Fork;

/// The parked deliveries of one rule.
#[derive(Debug)]
pub struct Lot {
    reader: Reader,
    rule: Text,
    /// Nothing that is loaded is due later than so.
    max_delay: Duration,
    /// Whether anything more is parked.
    takes: bool,
    /// Rows of the rule, those of deliveries that run again included, and how many there may be.
    rows: u64,
    max_rows: u64,
    /// Whether anything comes back.
    brings: bool,
    /// How many rows may be out at once.
    most: usize,
    /// Since when the rule is paused, so that nothing comes back for now.
    stopped: Option<Stamp>,
    /// Of the rows below this sequence, those that are spent are given up once they are back.
    skips: u64,
    calendar: Calendar,
    /// Lanes whose next row is on the disk and has its turn.
    wants: VecDeque<Want>,
    staged: Batch,
    /// Rows whose deliveries have ended.
    frees: Batch,
    /// What was written and is not confirmed, and before that what is staged.
    coming: VecDeque<Coming>,
    /// How many of them are staged.
    unsent: usize,
    /// How many of them which ticket confirms.
    tickets: VecDeque<(Ticket, usize)>,
    /// How many of them are confirmed.
    reached: usize,
    confirmations: Confirmations,
    /// The newest of all writes.
    written: Option<Ticket>,
    reading: Option<JoinHandle<Result<Found, Error>>>,
    paging: Option<JoinHandle<Result<Page, Error>>>,
    /// What was read, until the line takes it.
    found: Option<Found>,
    /// Rows that are on the disk and nowhere else.
    waiting: u64,
    /// Rows that are asked for or back in the line's table, and the bytes of the latter.
    out: usize,
    out_bytes: usize,
    /// The times under which those that are out stand in the index, and since when each has failed.
    busy: HashMap<Mark, u64>,
    /// The times that have left the index while a page of it was read.
    gone: HashSet<Mark>,
    /// Lanes that an earlier run has left, until the line takes them.
    standing: Vec<Standing>,
    /// Why nothing can be parked or come back any more.
    fault: Option<String>,
    /// Whether somebody was told.
    told: bool,
    /// When the oldest was looked for, and what was found.
    aged: Option<(Instant, Option<u64>)>,
}

/// A delivery that is to be put aside.
#[derive(Debug)]
pub(crate) struct Parking {
    /// Which one, and its lane if its key orders it.
    pub(crate) key: Key,
    pub(crate) lane: Option<Lane>,
    pub(crate) attempts: u32,
    pub(crate) redrives: u32,
    pub(crate) failed: Option<Stamp>,
    pub(crate) received: Option<Stamp>,
    pub(crate) position: Option<Position>,
    /// What to know its copies by, unless it has a row already.
    pub(crate) fork: Option<Fork>,
    /// Whether it has had all its attempts.
    pub(crate) spent: bool,
    /// How long until its next attempt; nothing for what stands behind another of its key.
    pub(crate) delay: Option<Duration>,
    pub(crate) code: Option<Text>,
    pub(crate) message: Text,
    pub(crate) event: crate::event::Event,
    pub(crate) results: Vec<(Text, crate::event::Event)>,
}

/// The lane of a delivery.
pub(crate) type Lane = (Place, Text);

/// A row that is back in the line's table, and stays on the disk until its delivery has ended.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) sequence: u64,
    due: Option<u64>,
    size: usize,
    lane: Option<Text>,
    /// Where its message stands at its broker, if that is known.
    pub(crate) position: Option<Position>,
    /// Whether its lane is paused until it has ended.
    pub(crate) pauses: bool,
    /// Whether it was written while its delivery was here, so that nobody has heard yet that it is on the disk.
    early: bool,
}

/// A delivery whose row is on the disk now.
#[derive(Debug)]
pub(crate) struct Confirmed {
    pub(crate) key: Key,
    /// Whether it is a copy of one that has a row, and has none of its own.
    pub(crate) copy: bool,
    pub(crate) place: Option<Place>,
}

/// A delivery that is back.
#[derive(Debug)]
pub(crate) struct Back {
    pub(crate) stored: Stored,
    pub(crate) row: Row,
    /// The lane whose turn it is with this row; nothing for one that was due.
    pub(crate) place: Option<Place>,
}

/// A lane whose next row is wanted.
#[derive(Clone, Debug)]
pub(crate) struct Want {
    pub(crate) place: Place,
    pub(crate) lane: Text,
    /// The sequence of the row that has ended.
    pub(crate) behind: u64,
}

/// A lane that an earlier run has left.
#[derive(Debug)]
pub(crate) struct Standing {
    pub(crate) lane: Text,
    pub(crate) rows: u32,
    /// Whether the first of them waits for its time.
    pub(crate) waits: bool,
    /// Since when it is paused, if it is.
    pub(crate) paused: Option<Stamp>,
}

/// A row on its way to the disk.
#[derive(Debug)]
struct Coming {
    key: Key,
    place: Option<Place>,
    due: Option<Due>,
    /// What it replaces.
    before: Option<(Option<Mark>, usize)>,
    /// The message that it is a fork of.
    spot: Option<Spot>,
    copy: bool,
}

impl Lot {
    /// Puts a delivery aside; it is confirmed later. A row that it has already is replaced, however little room there is.
    /// Answers whether that is possible.
    pub(crate) fn park(&mut self, parking: Parking, before: Option<&Stored>) -> bool {
        let Some((coming, ..)) = self.write(parking, before) else { return false };
        self.coming.push_back(coming);
        self.unsent += 1;
        true
    }

    /// Writes a delivery down that stays in the line's table, and keeps its seat, until it has ended.
    pub(crate) fn keep(&mut self, parking: Parking) -> Option<Stored> {
        let (lane, position) = (parking.lane.as_ref().map(|(_, name)| name.clone()), parking.position.clone());
        let (_, sequence, size) = self.write(parking, None)?;
        self.out += 1;
        self.out_bytes += size;
        Some(Stored { sequence, due: None, size, lane, position, pauses: false, early: true })
    }

    /// Stages a row. Answers what will be there, its sequence and its size, or nothing if that is impossible.
    fn write(&mut self, parking: Parking, before: Option<&Stored>) -> Option<(Coming, u64, usize)> {
        if self.fault.is_some() || (before.is_none() && (!self.takes || self.rows >= self.max_rows)) {
            return None;
        }
        let sequence = before.map_or_else(|| self.reader.yard.sequence(), |stored| stored.sequence);
        let now = self.reader.yard.now();
        // Rounded up: nothing is tried before its time.
        let millis = |delay: Duration| u64::try_from(delay.as_micros().div_ceil(1000)).unwrap_or(u64::MAX);
        let due = parking.delay.map(|delay| (Instant::now() + delay, now.0.saturating_add(millis(delay))));
        let (place, lane) = parking.lane.unzip();
        let row = Row {
            rule: self.rule.clone(),
            attempts: parking.attempts,
            redrives: parking.redrives,
            due: due.map(|(_, due)| Stamp(due)),
            failed: parking.failed,
            // What nobody has noted is not younger than this.
            received: Some(parking.received.or(parking.failed).unwrap_or(now)),
            position: parking.position,
            laned: lane.is_some(),
            spent: parking.spent,
            code: parking.code,
            message: parking.message,
            event: parking.event,
            results: parking.results,
        };
        let (yard, key) = (&self.reader.yard, sequence.to_be_bytes());
        let since = row.failed.unwrap_or(now);
        self.staged.put(yard.0.rows, &key, since, |into| row.pack(into));
        let size = self.staged.last_bytes();
        match before {
            Some(stored) => yard.exchange(stored.size, size),
            None if yard.admit(size) => self.rows += 1,
            None => {
                self.staged.undo();
                return None;
            }
        }
        let prefix = &self.reader.prefix;
        if let Some(due) = before.and_then(|stored| stored.due) {
            self.staged.delete(yard.0.due, &keys::due(prefix, due, sequence));
        }
        if let Some((_, due)) = due {
            let name = lane.as_deref().unwrap_or_default();
            self.staged.put(yard.0.due, &keys::due(prefix, due, sequence), since, |into| {
                into.extend_from_slice(name.as_bytes());
            });
        }
        if let (Some(lane), None) = (&lane, before) {
            self.staged.put(yard.0.lanes, &keys::place(prefix, lane, sequence), now, |_| ());
        }
        let spot = before.is_none().then(|| self.take(parking.fork?)).flatten();
        let before = before.map(|stored| (stored.due.map(|due| (due, sequence)), stored.size));
        let due = due.map(|(at, due)| (at, (due, sequence), since.0));
        Some((Coming { key: parking.key, place, due, before, spot, copy: false }, sequence, size))
    }

    /// Whether anything more is put aside.
    pub(crate) fn takes(&self) -> bool {
        self.takes
    }

    /// Takes no more rows than so many.
    pub(crate) fn bound(&mut self, rows: u64) {
        self.max_rows = rows;
    }

    /// What has to go when the delivery of this row has ended.
    pub(crate) fn removal(&self, stored: &Stored) -> Removal {
        let (yard, prefix, sequence) = (&self.reader.yard.0, &self.reader.prefix, stored.sequence);
        let row = (yard.rows, sequence.to_be_bytes().to_vec());
        let due = stored.due.map(|due| (yard.due, keys::due(prefix, due, sequence)));
        let lane = stored.lane.as_ref().map(|lane| (yard.lanes, keys::place(prefix, lane, sequence)));
        let pause = stored.lane.as_ref().filter(|_| stored.pauses);
        let pause = pause.map(|lane| (yard.pauses, keys::lane(prefix, lane)));
        Removal([Some(row), due, lane, pause].into_iter().flatten().collect())
    }

    /// The delivery of this row has ended. Unless somebody has removed the row, it is removed.
    pub(crate) fn ended(&mut self, stored: &Stored, removed: bool) {
        if stored.early {
            // Removals go before what is written, and its writing may be on its way still.
            self.removal(stored).add(&mut self.staged);
        } else if !removed {
            self.removal(stored).add(&mut self.frees);
        }
        self.reader.yard.exchange(stored.size, 0);
        self.rows = self.rows.saturating_sub(1);
        self.came_in(stored.due.map(|due| (due, stored.sequence)), stored.size);
    }

    /// From now on nothing is due later than `max_delay` after it was loaded, and more is put aside if the rule `takes` any.
    pub(crate) fn renew(&mut self, max_delay: Duration, takes: bool) {
        (self.max_delay, self.takes) = (max_delay, takes);
    }

    /// The rows that are in the line's table stay parked: the line ends.
    pub(crate) fn stay(&mut self, rows: usize) {
        self.waiting += rows as u64;
    }

    /// One that was out is not any more.
    fn came_in(&mut self, mark: Option<Mark>, size: usize) {
        self.out = self.out.saturating_sub(1);
        self.out_bytes = self.out_bytes.saturating_sub(size);
        let Some(mark) = mark else { return };
        self.busy.remove(&mark);
        if self.paging.is_some() {
            self.gone.insert(mark);
        }
    }

    /// Sends everything on its way, as far as the store takes it now.
    pub(crate) fn flush(&mut self) {
        let store = &self.reader.yard.0.store;
        if !self.staged.is_empty() {
            match store.try_write_beyond_quotas(&mut self.staged) {
                Ok(Some(ticket)) => {
                    self.tickets.push_back((ticket, std::mem::take(&mut self.unsent)));
                    self.written = Some(ticket);
                }
                Ok(None) => {}
                Err(ended) => self.fault = Some(ended.to_string()),
            }
        }
        if !self.frees.is_empty() {
            match store.free(&mut self.frees) {
                Ok(ticket) => self.written = Some(ticket),
                // The rows stay, and their deliveries may run again.
                Err(ended) => self.fault = Some(ended.to_string()),
            }
        }
    }

    /// Whether [`Lot::changed`] waits for something.
    pub(crate) fn is_busy(&self) -> bool {
        let writes = !self.tickets.is_empty() || !self.staged.is_empty();
        self.reading.is_some() || self.paging.is_some() || writes && self.fault.is_none()
    }

    /// Waits until something is confirmed, was read, or may be written now. Cancel safe.
    pub(crate) async fn changed(&mut self) {
        let store = self.reader.yard.0.store.clone();
        // Listens before it looks.
        let moved = store.moved();
        if !self.staged.is_empty() {
            self.flush();
            if self.staged.is_empty() {
                return;
            }
        }
        let ticket = self.tickets.front().map(|(ticket, _)| *ticket).filter(|_| self.fault.is_none());
        tokio::select! {
            biased;
            reached = reach(&mut self.confirmations, ticket), if ticket.is_some() => if let Err(ended) = reached {
                self.fault = Some(ended.to_string());
            },
            found = joined(&mut self.reading), if self.reading.is_some() => {
                self.reading = None;
                let found = self.read(found);
                self.found = found;
            }
            page = joined(&mut self.paging), if self.paging.is_some() => {
                self.paging = None;
                let page = self.read(page);
                self.turn(page);
            }
            () = moved, if !self.staged.is_empty() && self.fault.is_none() => {}
        }
    }

    fn read<T>(&mut self, read: Result<Result<T, Error>, JoinError>) -> Option<T> {
        let store = &self.reader.yard.0.store;
        match read.unwrap_or_else(|panic| Err(store.unreadable(&panic.to_string()))) {
            Ok(read) => Some(read),
            Err(error) => {
                self.fault = Some(error.to_string());
                None
            }
        }
    }

    /// The next delivery whose row is on the disk now.
    pub(crate) fn confirmed(&mut self) -> Option<Confirmed> {
        while self.reached == 0 {
            let (_, count) = self.tickets.pop_front_if(|(ticket, _)| self.confirmations.has(*ticket))?;
            self.reached = count;
        }
        self.reached -= 1;
        let Coming { key, place, due, before, spot, copy } = self.coming.pop_front()?;
        self.waiting += u64::from(!copy);
        spot.iter().for_each(|spot| spot.confirm(&self.rule));
        if let Some((mark, size)) = before {
            self.came_in(mark, size);
        }
        if let Some(due) = due {
            self.calendar.add(due);
        }
        Some(Confirmed { key, place, copy })
    }

    /// `trigger/rule`.
    pub(crate) fn rule(&self) -> &Text {
        &self.rule
    }

    /// Rows that are on the disk and nowhere else.
    pub(crate) fn waiting(&self) -> u64 {
        self.waiting
    }

    /// Why nothing is parked or comes back any more; said once.
    pub(crate) fn fault(&mut self) -> Option<String> {
        if self.fault.is_none() || std::mem::replace(&mut self.told, true) {
            return None;
        }
        self.fault.as_ref().map(|fault| format!("parked deliveries stay where they are: {fault}"))
    }
}

async fn reach(confirmations: &mut Confirmations, ticket: Option<Ticket>) -> Result<(), Error> {
    match ticket {
        Some(ticket) => confirmations.reach(ticket).await,
        None => std::future::pending().await,
    }
}

async fn joined<T>(task: &mut Option<JoinHandle<T>>) -> Result<T, JoinError> {
    match task {
        Some(task) => task.await,
        None => std::future::pending().await,
    }
}

impl Drop for Lot {
    /// Nobody waits for what is read any more.
    fn drop(&mut self) {
        self.reading.iter().for_each(JoinHandle::abort);
        self.paging.iter().for_each(JoinHandle::abort);
    }
}
