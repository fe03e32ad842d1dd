//! Out of the lot again: what is due, and what has its turn behind a row of its key that has ended. At most a window of rows
//! is out at once, whatever their number, so that a rule that was away for hours does not fill the memory.

use std::time::Duration;

use tokio::time::Instant;

use super::super::calendar::{Due, Mark};
use super::super::reader::{Page, Wanted};
use super::{Back, Lot, Stored, Want};
use crate::store::Stamp;

/// Rows that are out at once, at most.
pub(crate) const OUT: usize = 256;
/// Bytes of rows in the line's table with which no more are asked for.
const OUT_BYTES: usize = 8 << 20;
/// How often the oldest is looked for.
const LOOK: Duration = Duration::from_secs(1);

impl Lot {
    /// When something is due that nobody is asked for yet.
    pub(crate) fn due(&self) -> Option<Instant> {
        if self.may_ask() { self.calendar.next() } else { None }
    }

    fn may_ask(&self) -> bool {
        let room = self.out < self.most && self.out_bytes < OUT_BYTES;
        self.brings
            && self.stopped.is_none()
            && room
            && self.reading.is_none()
            && self.found.is_none()
            && self.fault.is_none()
    }

    /// Lets at most so many rows out at once from here on; those that are stay.
    pub(crate) fn let_out(&mut self, most: usize) {
        self.most = most.min(OUT);
    }

    /// Asks for what is due and for the next of lanes, as far as there is room; whichever of both there is more of, the other
    /// gets its half.
    pub(crate) fn ask(&mut self) {
        if self.may_ask() {
            let room = self.most - self.out;
            let mut wanted = Wanted::default();
            let first = self.wants.len().min(room.div_ceil(2));
            wanted.next.extend(self.wants.drain(..first));
            self.take_due(room - first, &mut wanted.due);
            let rest = self.wants.len().min(room - first - wanted.due.len());
            wanted.next.extend(self.wants.drain(..rest));
            let asked = wanted.due.len() + wanted.next.len();
            if asked > 0 {
                self.out += asked;
                self.reading = Some(self.reader.fetch(wanted));
            }
        }
        if self.paging.is_none()
            && self.fault.is_none()
            && let Some(from) = self.calendar.wants()
        {
            self.paging = Some(self.reader.turn(from, self.written));
        }
    }

    fn take_due(&mut self, most: usize, into: &mut Vec<Due>) {
        if self.calendar.next().is_none() {
            return;
        }
        let now = Instant::now();
        while into.len() < most
            && let Some(due) = self.calendar.take(now)
        {
            self.busy.insert(due.1, due.2);
            into.push(due);
        }
    }

    /// The next row of this lane is on the disk and has its turn.
    pub(crate) fn want(&mut self, want: Want) {
        self.wants.push_back(want);
    }

    /// What was read. Once nothing is brought back any more, it stays where it is.
    pub(crate) fn backs(&mut self) -> Vec<Back> {
        let Some(found) = self.found.take() else { return Vec::new() };
        let left = found.left.due.len() + found.left.next.len();
        self.out = self.out.saturating_sub(left);
        for due in found.left.due {
            self.busy.remove(&due.1);
            self.calendar.add(due);
        }
        for want in found.left.next.into_iter().rev() {
            self.wants.push_front(want);
        }
        if !self.brings {
            return Vec::new();
        }
        let due = found.due.into_iter().map(|((_, mark, _), row)| (Some(mark.0), None, row));
        let next = found.next.into_iter().map(|(want, row)| (None, Some(want.place), row));
        let backs: Vec<Back> = due
            .chain(next)
            .map(|(due, place, (sequence, mut row, size))| {
                let lane = if row.laned { row.event.key().map(|key| key.as_ref().into()) } else { None };
                let position = row.position.take();
                Back { stored: Stored { sequence, due, size, lane, position, pauses: false, early: false }, row, place }
            })
            .collect();
        self.waiting = self.waiting.saturating_sub(backs.len() as u64);
        self.out_bytes += backs.iter().map(|back| back.stored.size).sum::<usize>();
        backs
    }

    /// Since when the oldest that is parked has failed, as far as that is known without reading the disk; looked at once a
    /// second at most.
    pub(crate) fn oldest(&mut self) -> Option<Stamp> {
        if self.waiting == 0 {
            self.aged = None;
        } else if self.aged.is_none_or(|(at, _)| at.elapsed() >= LOOK) {
            let oldest = self.calendar.oldest().into_iter().chain(self.busy.values().copied()).min();
            self.aged = Some((Instant::now(), oldest));
        }
        self.aged.and_then(|(_, oldest)| oldest).map(Stamp)
    }

    /// When the oldest is to be looked at again.
    pub(crate) fn look(&self) -> Option<Instant> {
        self.aged.map(|(at, _)| at + LOOK)
    }

    /// Brings nothing back any more: the engine ends.
    pub(crate) fn close(&mut self) {
        self.brings = false;
    }

    /// Takes over a page of the calendar.
    pub(super) fn turn(&mut self, page: Option<Page>) {
        let Some(page) = page else { return self.calendar.unread() };
        let at = due_at(self.reader.yard.now().0, self.max_delay);
        let (busy, gone) = (&self.busy, &self.gone);
        let is_stale = |mark: &Mark| busy.contains_key(mark) || gone.contains(mark);
        let missing = self.calendar.turn(page.from, &page.marks, page.last, at, is_stale);
        self.gone.clear();
        if missing > 0 {
            self.fault = Some(format!("the times of {missing} parked deliveries are not there"));
        }
    }
}

/// When a time of the index is due: never later than the longest delay from now, whatever the clock has done.
pub(super) fn due_at(now: u64, max_delay: Duration) -> impl Fn(Mark) -> Instant {
    let began = Instant::now();
    move |(due, _)| began + Duration::from_millis(due.saturating_sub(now)).min(max_delay)
}
