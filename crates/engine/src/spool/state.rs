//! What a spool knows, without waiting for anything: which events are coming, near, far and in flight.
//!
//! In the order of sequences: what is in flight, `near` (in memory), far (on the disk only, from `edge` on), `coming` (not
//! confirmed, from `end` on), and what is not there yet (from `next` on).

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::time::Duration;

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
    next: u64,
    /// Sizes of what was taken.
    taken: FxHashMap<u64, usize>,
    /// When what was taken was appended, in the order of taking; what has left `taken` leaves this when it is looked at.
    since: VecDeque<(u64, Stamp)>,
    /// The size of what was refused last.
    wanted: usize,
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
            next,
            taken: FxHashMap::default(),
            since: VecDeque::new(),
            wanted: 0,
            bytes: usage.bytes,
            books: Books { recovered: usage.rows, ..Books::default() },
        })
    }

    /// The sequence of the next event.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// The first sequence that is not confirmed.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Bytes of what is not settled, and how many there may be.
    pub(super) fn bytes(&self) -> (u64, u64) {
        (self.bytes, self.policy.max_bytes)
    }

    /// Whether what was refused last would be taken now.
    pub(super) fn roomy(&self) -> bool {
        self.fits(self.wanted)
    }

    /// Whether an event of this size has room. What finds the spool empty fits however large it is, else it never would.
    fn fits(&self, size: usize) -> bool {
        self.bytes == 0 || self.bytes + size as u64 <= self.policy.max_bytes
    }

    /// How long it takes until the oldest that waits in memory is too old.
    pub(super) fn expiry(&self, now: Stamp) -> Option<Duration> {
        let age = self.policy.max_age?;
        let (front, _) = self.near.front()?;
        // A record keeps whole milliseconds, and the age has to be passed.
        Some(Duration::from_millis(front.received.0.saturating_sub(now.before(age).0) + 1))
    }

    /// What happens to an event of this size.
    pub(super) fn admit(&mut self, shared: &Shared, size: usize, now: Stamp) -> Admission {
        if self.fits(size) {
            return Admission::Yes;
        }
        let any = self.policy.on_full == OnFull::DropOldest;
        let mut gone = Batch::default();
        // What is too old goes before anything else is held up or dropped.
        while !self.fits(size)
            && (any || self.policy.max_age.is_some())
            && self.reach(shared)
            && (any || self.near.front().is_some_and(|(front, _)| self.aged(front, now)))
        {
            self.drop_front(shared.table, now, &mut gone);
        }
        // Where the store has ended, nothing that is appended would be confirmed.
        let ended = !gone.is_empty() && shared.store.free(&mut gone).is_err();
        if !ended && self.fits(size) {
            return Admission::Yes;
        }
        if self.policy.on_full == OnFull::DropNewest {
            self.books.appended += 1;
            self.books.dropped.newest += 1;
            return Admission::Never;
        }
        self.wanted = size;
        Admission::Later
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
            self.since.push_back((entry.sequence, entry.received));
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
        self.tidy();
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

    pub(super) fn hand_back_all(&mut self) {
        self.books.handed_back += self.taken.len() as u64;
        self.taken.clear();
    }

    pub(super) fn books(&self) -> Books {
        let stored = self.coming.len() as u64 + self.near.len() as u64 + self.far;
        Books { in_flight: self.taken.len() as u64, stored, ..self.books }
    }

    /// When the oldest that is not settled was appended.
    pub(super) fn oldest(&mut self) -> Option<Stamp> {
        self.tidy();
        let taken = self.since.front().map(|(_, received)| *received);
        let waiting = || self.near.front().or_else(|| self.coming.front().filter(|_| self.far == 0));
        taken.or_else(|| waiting().map(|(entry, _)| entry.received))
    }

    /// Forgets the ages of what is not taken any more: from the front, and all of them where one old event stands before
    /// many.
    fn tidy(&mut self) {
        let taken = &self.taken;
        while self.since.front().is_some_and(|(sequence, _)| !taken.contains_key(sequence)) {
            self.since.pop_front();
        }
        if self.since.len() > 64 + 2 * taken.len() {
            self.since.retain(|(sequence, _)| taken.contains_key(sequence));
        }
    }
}
