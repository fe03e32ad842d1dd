//! What a spool knows, without waiting for anything: which events are coming, near, far and in flight.
//!
//! In the order of sequences: what is in flight, `near` (in memory), far (on the disk only, from `edge` on), `coming` (not
//! confirmed, from `end` on), and what is not there yet (from `next` on).

use std::collections::VecDeque;
use std::ops::ControlFlow;

use rustc_hash::FxHashMap;

use super::entry::{self, Entry};
use super::{Books, OnFull, Policy, Shared};
use crate::store::{Batch, Confirmations, Error, Stamp, Store, Table, Ticket};

/// Events that are read from the disk at a time, and their bytes.
const PAGE_ROWS: usize = 512;
const PAGE_BYTES: usize = 1 << 20;

#[derive(Debug)]
pub(super) struct State {
    policy: Policy,
    coming: VecDeque<(Entry, usize)>,
    /// Which transaction confirms everything below which sequence.
    tickets: VecDeque<(Ticket, u64)>,
    near: VecDeque<(Entry, usize)>,
    near_bytes: usize,
    /// The first sequence that is neither taken nor near.
    edge: u64,
    /// Events from `edge` on, below `end`.
    far: u64,
    /// The first sequence that is not confirmed.
    end: u64,
    /// What [`State::news`] has told.
    told: u64,
    next: u64,
    /// Sizes of what was taken.
    taken: FxHashMap<u64, usize>,
    /// Bytes of everything that is not settled.
    bytes: u64,
    books: Books,
}

/// Whether an event may be appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    Yes,
    Later,
    Never,
}

/// What [`State::draw`] found.
pub(super) enum Drawn {
    Some,
    /// What comes next is on the disk only.
    Behind {
        from: u64,
        to: u64,
    },
    /// Nothing waits; what is on its way is confirmed with this ticket.
    Level(Option<Ticket>),
}

/// One page of a spool, and whether it is the last.
#[derive(Debug)]
pub(super) struct Page {
    rows: Vec<(Entry, usize)>,
    last: bool,
}

/// Reads what lies on the disk from `from` on, below `to`.
pub(super) fn page(store: &Store, table: Table, from: u64, to: u64) -> Result<Page, Error> {
    let mut page = Page { rows: Vec::new(), last: true };
    let (mut bytes, mut unreadable) = (0, None);
    store.scan(table, &from.to_be_bytes(), Some(&to.to_be_bytes()), |key, record| {
        if page.rows.len() == PAGE_ROWS || bytes >= PAGE_BYTES {
            page.last = false;
            return ControlFlow::Break(());
        }
        let entry = key.try_into().ok().map(u64::from_be_bytes);
        let entry = entry.and_then(|sequence| entry::read(sequence, record.stamp, record.value).ok());
        let Some(entry) = entry else {
            unreadable = Some(key.to_vec());
            return ControlFlow::Break(());
        };
        let size = key.len() + record.size();
        bytes += size;
        page.rows.push((entry, size));
        ControlFlow::Continue(())
    })?;
    unreadable.map_or(Ok(page), |key| Err(store.damaged(table, key)))
}

impl State {
    pub(super) fn recover(store: &Store, table: Table, policy: Policy) -> Result<State, Error> {
        let (usage, highest) = (store.usage(table), store.highest(table));
        let next = match <[u8; 8]>::try_from(highest.as_slice()) {
            Ok(sequence) => u64::from_be_bytes(sequence) + 1,
            Err(_) if highest.is_empty() => 0,
            Err(_) => return Err(store.unreadable("its newest key is no sequence")),
        };
        Ok(State {
            policy,
            coming: VecDeque::new(),
            tickets: VecDeque::new(),
            near: VecDeque::new(),
            near_bytes: 0,
            edge: if usage.rows == 0 { next } else { 0 },
            far: usage.rows,
            end: next,
            told: next,
            next,
            taken: FxHashMap::default(),
            bytes: usage.bytes,
            books: Books { recovered: usage.rows, ..Books::default() },
        })
    }

    /// The sequence of the next event.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    #[cfg(test)]
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    pub(super) fn roomy(&self) -> bool {
        self.bytes < self.policy.max_bytes
    }

    /// What happens to an event of this size.
    pub(super) fn admit(&mut self, shared: &Shared, size: usize, now: Stamp) -> Admission {
        let fits = |state: &State| state.bytes == 0 || state.bytes + size as u64 <= state.policy.max_bytes;
        if fits(self) {
            return Admission::Yes;
        }
        match self.policy.on_full {
            OnFull::Block => Admission::Later,
            OnFull::DropNewest => {
                self.books.appended += 1;
                self.books.dropped.newest += 1;
                Admission::Never
            }
            OnFull::DropOldest => {
                let mut gone = Batch::default();
                while !fits(self) && self.reach(shared) {
                    self.drop_front(shared.table, now, &mut gone);
                }
                if !gone.is_empty() && shared.store.free(&mut gone).is_err() {
                    // The store has ended: nothing that is appended would be confirmed.
                    return Admission::Later;
                }
                if fits(self) { Admission::Yes } else { Admission::Later }
            }
        }
    }

    /// Whether something is near, after a look at the disk if need be.
    fn reach(&mut self, shared: &Shared) -> bool {
        if self.near.is_empty() && self.edge < self.end {
            let (from, to) = (self.edge, self.end);
            // What cannot be read cannot be dropped; whoever takes it next says so.
            let Ok(page) = page(&shared.store, shared.table, from, to) else { return false };
            if self.refill(from, to, page).is_err() {
                return false;
            }
        }
        !self.near.is_empty()
    }

    fn drop_front(&mut self, table: Table, now: Stamp, gone: &mut Batch) {
        let Some((entry, size)) = self.near.pop_front() else { return };
        self.near_bytes -= size;
        self.bytes = self.bytes.saturating_sub(size as u64);
        let expired = self.aged(&entry, now);
        let reason = if expired { &mut self.books.dropped.expired } else { &mut self.books.dropped.oldest };
        *reason += 1;
        gone.delete(table, &entry.sequence.to_be_bytes());
    }

    fn aged(&self, entry: &Entry, now: Stamp) -> bool {
        self.policy.max_age.is_some_and(|age| entry.received < now.before(age))
    }

    pub(super) fn append(&mut self, entry: Entry, size: usize) {
        self.next = entry.sequence + 1;
        self.bytes += size as u64;
        self.books.appended += 1;
        self.coming.push_back((entry, size));
    }

    /// Everything that was appended so far is confirmed with this ticket.
    pub(super) fn sent(&mut self, ticket: Ticket) {
        self.tickets.push_back((ticket, self.next));
    }

    pub(super) fn oldest_ticket(&self) -> Option<Ticket> {
        self.tickets.front().map(|(ticket, _)| *ticket)
    }

    /// Takes over what has been confirmed.
    pub(super) fn advance(&mut self, confirmations: &Confirmations) {
        while let Some((_, below)) = self.tickets.front().filter(|(ticket, _)| confirmations.has(*ticket)) {
            let below = *below;
            self.tickets.pop_front();
            while self.coming.front().is_some_and(|(entry, _)| entry.sequence < below) {
                let Some((entry, size)) = self.coming.pop_front() else { break };
                let level = self.edge == entry.sequence;
                if level && (self.near.is_empty() || self.near_bytes + size <= self.policy.memory) {
                    self.edge = entry.sequence + 1;
                    self.near_bytes += size;
                    self.near.push_back((entry, size));
                } else {
                    self.far += 1;
                }
            }
            self.end = below;
        }
    }

    /// The first sequence that is not confirmed, if more is than when this was last asked.
    pub(super) fn news(&mut self) -> Option<u64> {
        let news = (self.end > self.told).then_some(self.end);
        self.told = self.end;
        news
    }

    /// Takes what is near, at most `up_to`; what is too old goes into `gone` instead.
    pub(super) fn draw(
        &mut self,
        table: Table,
        up_to: usize,
        now: Stamp,
        into: &mut Vec<Entry>,
        gone: &mut Batch,
    ) -> Drawn {
        let before = into.len();
        while into.len() - before < up_to.max(1) {
            let Some((front, _)) = self.near.front() else { break };
            if self.aged(front, now) {
                self.drop_front(table, now, gone);
                continue;
            }
            let Some((entry, size)) = self.near.pop_front() else { break };
            self.near_bytes -= size;
            self.taken.insert(entry.sequence, size);
            into.push(entry);
        }
        if into.len() > before {
            Drawn::Some
        } else if self.edge < self.end {
            Drawn::Behind { from: self.edge, to: self.end }
        } else {
            Drawn::Level(self.oldest_ticket())
        }
    }

    /// Takes over a page that was read from `from`, when nothing from there to `to` was near; an older one is forgotten.
    /// Fails with the number of events that should have been there by now and were not.
    pub(super) fn refill(&mut self, from: u64, to: u64, page: Page) -> Result<(), u64> {
        if self.edge != from || !self.near.is_empty() {
            return Ok(());
        }
        for (entry, size) in page.rows {
            self.edge = entry.sequence + 1;
            self.far = self.far.saturating_sub(1);
            self.near_bytes += size;
            self.near.push_back((entry, size));
        }
        if page.last {
            self.edge = to;
            if to == self.end && self.far > 0 {
                return Err(self.far);
            }
        }
        Ok(())
    }

    pub(super) fn settle(&mut self, table: Table, sequences: &[u64], gone: &mut Batch) {
        let mut settled: Vec<u64> = Vec::with_capacity(sequences.len());
        for sequence in sequences {
            if let Some(size) = self.taken.remove(sequence) {
                self.bytes = self.bytes.saturating_sub(size as u64);
                self.books.settled += 1;
                settled.push(*sequence);
            }
        }
        settled.sort_unstable();
        for run in settled.chunk_by(|one, next| one + 1 == *next) {
            match run {
                [one] => gone.delete(table, &one.to_be_bytes()),
                [first, .., last] => gone.delete_range(table, &first.to_be_bytes(), &(last + 1).to_be_bytes()),
                [] => {}
            }
        }
    }

    pub(super) fn hand_back(&mut self, sequences: &[u64]) {
        let given = sequences.iter().filter(|sequence| self.taken.remove(sequence).is_some()).count();
        self.books.handed_back += given as u64;
    }

    pub(super) fn books(&self) -> Books {
        let stored = self.coming.len() as u64 + self.near.len() as u64 + self.far;
        Books { in_flight: self.taken.len() as u64, stored, ..self.books }
    }

    pub(super) fn oldest(&self) -> Option<Stamp> {
        let waiting = self.near.front().or_else(|| self.coming.front().filter(|_| self.far == 0));
        waiting.map(|(entry, _)| entry.received)
    }
}
