//! What a spool knows, without waiting for anything: which events are coming, near, far and in flight.
//!
//! In the order of sequences: what is in flight, `near` (in memory), far (on the disk only, from `edge` on), `coming` (not
//! confirmed, from `end` on), and what is not there yet (from `next` on).

mod room;

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use super::page::{Page, Span};
use super::{Books, Entry, Policy};
use crate::store::{Batch, Confirmations, Error, Stamp, Store, Table, Ticket};
pub(super) use room::{Admission, Pause};

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
    /// Who brings them near.
    ahead: Next,
    /// The first sequence that is not confirmed.
    end: u64,
    next: u64,
    /// Sizes of what was taken.
    taken: FxHashMap<u64, usize>,
    /// When what was taken was appended, in the order of taking; what has left `taken` leaves this when it is looked at.
    since: VecDeque<(u64, Stamp)>,
    /// The size of what waits for room; 0 if nothing does.
    wanted: usize,
    /// Bytes of everything that is not settled.
    bytes: u64,
    /// Of those, the bytes of what was taken: nobody may drop it.
    held: u64,
    books: Books,
}

/// The next page that is on the disk only.
#[derive(Debug)]
enum Next {
    Unread,
    /// Somebody reads it; when he began, so many events were far.
    Coming(u64),
    /// It cannot be read.
    Broken(Error),
}

/// What [`State::draw`] found.
pub(super) enum Drawn {
    Some,
    /// What comes next is on the disk only; if nobody reads it yet, it is this.
    Behind(Option<Span>),
    /// What comes next cannot be read.
    Broken(Error),
    /// Nothing waits; what is on its way is confirmed with this ticket.
    Level(Option<Ticket>),
}

/// Removes these from the disk, in runs.
fn remove(table: Table, sequences: &[u64], gone: &mut Batch) {
    for run in sequences.chunk_by(|one, next| one + 1 == *next) {
        match run {
            [one] => gone.delete(table, &one.to_be_bytes()),
            [first, .., last] => gone.delete_range(table, &first.to_be_bytes(), &(last + 1).to_be_bytes()),
            [] => {}
        }
    }
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
            ahead: Next::Unread,
            end: next,
            next,
            taken: FxHashMap::default(),
            since: VecDeque::new(),
            wanted: 0,
            bytes: usage.bytes,
            held: 0,
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
        let (before, mut expired) = (into.len(), Vec::new());
        while into.len() - before < up_to.max(1) {
            let Some((front, _)) = self.near.front() else { break };
            if self.aged(front, now) {
                expired.extend(self.drop_front(now));
                continue;
            }
            let Some((entry, size)) = self.near.pop_front() else { break };
            self.near_bytes -= size;
            self.held += size as u64;
            self.taken.insert(entry.sequence, size);
            self.since.push_back((entry.sequence, entry.received));
            into.push(entry);
        }
        remove(table, &expired, gone);
        if into.len() > before {
            return Drawn::Some;
        }
        match &self.ahead {
            Next::Broken(error) => Drawn::Broken(error.clone()),
            _ if self.edge < self.end => Drawn::Behind(self.ahead()),
            _ => Drawn::Level(self.oldest_ticket()),
        }
    }

    /// What is to be read next, if nobody does; whoever asks does from now on, and owes it to [`State::refill`].
    fn ahead(&mut self) -> Option<Span> {
        let to_do = self.near.is_empty() && self.edge < self.end && matches!(self.ahead, Next::Unread);
        to_do.then(|| {
            self.ahead = Next::Coming(self.far);
            Span { from: self.edge, to: self.end }
        })
    }

    /// Takes over what was read of this span. A page that lacks something which should be there is none.
    pub(super) fn refill(&mut self, span: Span, read: Result<Page, Error>, store: &Store) {
        let Next::Coming(far) = std::mem::replace(&mut self.ahead, Next::Unread) else { return };
        let page = read.and_then(|page| match far.saturating_sub(page.rows.len() as u64) {
            missing if page.last && missing > 0 => Err(store.unreadable(&format!(
                "{missing} events that it should hold are not there; 'tidemill state check' looks closer"
            ))),
            _ => Ok(page),
        });
        let page = match page {
            Ok(page) => page,
            Err(error) => return self.ahead = Next::Broken(error),
        };
        for (entry, size) in page.rows {
            self.edge = entry.sequence + 1;
            self.far = self.far.saturating_sub(1);
            self.near_bytes += size;
            self.near.push_back((entry, size));
        }
        if page.last {
            self.edge = span.to;
        }
    }

    pub(super) fn settle(&mut self, table: Table, sequences: &[u64], gone: &mut Batch) {
        let mut settled: Vec<u64> = Vec::with_capacity(sequences.len());
        for sequence in sequences {
            if let Some(size) = self.taken.remove(sequence) {
                self.bytes = self.bytes.saturating_sub(size as u64);
                self.held = self.held.saturating_sub(size as u64);
                self.books.settled += 1;
                settled.push(*sequence);
            }
        }
        self.tidy();
        settled.sort_unstable();
        remove(table, &settled, gone);
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

    /// Every event below is settled.
    pub(super) fn floor(&mut self) -> u64 {
        self.tidy();
        let taken = self.since.front().map(|(sequence, _)| *sequence);
        taken.or_else(|| self.near.front().map(|(entry, _)| entry.sequence)).unwrap_or(self.edge)
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
