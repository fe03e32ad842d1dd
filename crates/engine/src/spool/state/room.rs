//! Room in a spool: what an event meets that comes, and what has to go for it.
//!
//! Decisions: **nothing here reads the disk**: what lies there only has to be brought near before it can be dropped, a page
//! at a time; **nothing is dropped in vain**: where all that waits would not make room enough, because what is begun holds
//! the rest, the newest goes instead, whose policy says that its source is not to wait.

use std::time::Duration;

use super::super::page::Span;
use super::super::{Entry, OnFull};
use super::{Next, State};
use crate::store::{Batch, Stamp, Table};

/// Whether an event may be appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Admission {
    Yes,
    /// Not now; whether that was said of nothing so far.
    Later {
        news: bool,
    },
    Never,
}

/// Why an event that was refused is not tried again at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Pause {
    /// This has to be brought near, which nobody does yet.
    Page(Span),
    /// Something has to happen; or, if there is a time, to grow too old.
    Change(Option<Duration>),
}

/// What an event meets.
enum Look {
    Room,
    /// The oldest that is near has to go.
    Oldest,
    /// The oldest has to be brought near, to go or to tell its age.
    Far,
    Full,
    /// It has to go itself.
    Newest,
    /// It never fits.
    Oversized,
}

impl State {
    /// What happens to an event of this size; the sequences of what goes for it are in `gone`.
    pub(in super::super) fn admit(&mut self, size: usize, now: Stamp, table: Table, gone: &mut Batch) -> Admission {
        let mut dropped = Vec::new();
        let admission = loop {
            let reason = match self.look(size, now) {
                Look::Room => {
                    self.wanted = 0;
                    break Admission::Yes;
                }
                Look::Oldest => {
                    dropped.extend(self.drop_front(now));
                    continue;
                }
                Look::Far | Look::Full => {
                    let news = self.wanted == 0;
                    self.wanted = size;
                    break Admission::Later { news };
                }
                Look::Newest => &mut self.books.dropped.newest,
                Look::Oversized => &mut self.books.dropped.oversized,
            };
            *reason += 1;
            self.books.appended += 1;
            break Admission::Never;
        };
        super::remove(table, &dropped, gone);
        admission
    }

    /// The size of what waits until nothing else is there, because it is larger than the spool may be.
    pub(in super::super) fn alone(&self) -> Option<u64> {
        Some(self.wanted as u64).filter(|size| *size > self.policy.max_bytes)
    }

    /// Whether an event of this size, which was not taken in, is the first of those that are dropped for being too large.
    pub(in super::super) fn is_first_oversized(&self, size: usize) -> bool {
        size as u64 > self.policy.max_bytes && self.books.dropped.oversized == 1
    }

    /// What was refused last waits no more.
    pub(in super::super) fn withdraw(&mut self) {
        self.wanted = 0;
    }

    /// Whether what was refused last has to wait still, and for what.
    pub(in super::super) fn pause(&mut self, now: Stamp) -> Option<Pause> {
        match self.look(self.wanted, now) {
            Look::Far => Some(self.ahead().map_or(Pause::Change(None), Pause::Page)),
            Look::Full => Some(Pause::Change(self.expiry(now))),
            _ => None,
        }
    }

    fn look(&self, size: usize, now: Stamp) -> Look {
        let (size, max, on_full) = (size as u64, self.policy.max_bytes, self.policy.on_full);
        // What blocks has to come in at last, however large it is.
        if self.bytes + size <= max || on_full == OnFull::Block && self.bytes == 0 {
            return Look::Room;
        }
        if on_full != OnFull::Block && size > max {
            return Look::Oversized;
        }
        let any = on_full == OnFull::DropOldest;
        if any && self.held + size > max {
            return Look::Newest;
        }
        match self.near.front() {
            Some((front, _)) if any || self.aged(front, now) => Look::Oldest,
            None if self.is_behind() && (any || self.policy.max_age.is_some()) => Look::Far,
            _ if on_full == OnFull::DropNewest => Look::Newest,
            _ => Look::Full,
        }
    }

    /// Whether what comes next is on the disk only, and can be read as far as is known.
    fn is_behind(&self) -> bool {
        self.edge < self.end && !matches!(self.ahead, Next::Broken(_))
    }

    /// How long it takes until the oldest that waits in memory is too old.
    fn expiry(&self, now: Stamp) -> Option<Duration> {
        let age = self.policy.max_age?;
        let (front, _) = self.near.front()?;
        // A record keeps whole milliseconds, and the age has to be passed.
        Some(Duration::from_millis(front.received.0.saturating_sub(now.before(age).0) + 1))
    }

    /// Drops the oldest that is near; answers its sequence.
    pub(super) fn drop_front(&mut self, now: Stamp) -> Option<u64> {
        let (entry, size) = self.near.pop_front()?;
        self.near_bytes -= size;
        self.bytes = self.bytes.saturating_sub(size as u64);
        let expired = self.aged(&entry, now);
        let reason = if expired { &mut self.books.dropped.expired } else { &mut self.books.dropped.oldest };
        *reason += 1;
        Some(entry.sequence)
    }

    pub(super) fn aged(&self, entry: &Entry, now: Stamp) -> bool {
        self.policy.max_age.is_some_and(|age| entry.received < now.before(age))
    }
}
