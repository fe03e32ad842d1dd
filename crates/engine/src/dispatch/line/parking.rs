//! What waits on the disk instead of in its seat, and how it comes back.
//!
//! Decision: a delivery leaves the table only when its row is on the disk, and a row is only ever out because it is in the
//! table, so that every delivery is counted in one place. Where there is no room on the disk, it waits in its seat, and what
//! stands behind it with it: that is the back-pressure of a rule that fails for long.

use std::cmp::Reverse;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::super::delivery::{Fault, Past, Pending, Stage, Unconfirmed};
use super::super::lanes::{Left, Place};
use super::{Key, Line, Stop};
use crate::dead_letter::Reason;
use crate::delivery::{Outcome, print};
use crate::event::Text;
use crate::parked::{Back, Fork, Lot, Parking, Row, Stored};

/// Lanes that are parked at most: each takes about 200 bytes of memory.
pub(super) const LANES: usize = 1 << 20;
/// How often what has found no room on the disk looks for some.
pub(super) const LOOK: Duration = Duration::from_secs(1);

/// Stands in a row for the output of what is told of the delivery once everything else is confirmed; no output is called so.
const NOTICE: Text = Text::new_static("");

/// What is said of a delivery whose results this output has not confirmed.
pub(super) fn gone(output: &str) -> String {
    format!("output '{output}', which has not confirmed a result, is none of the rule any more")
}

/// Waits until the lot has something for the line. Cancel safe.
pub(super) async fn changed(lot: &mut Option<Box<Lot>>) {
    match lot {
        Some(lot) => lot.changed().await,
        None => std::future::pending().await,
    }
}

impl Line {
    /// Takes over what an earlier run has parked.
    pub(super) fn recover(&mut self) {
        let Some(lot) = &mut self.lot else { return };
        self.books.recovered = lot.waiting();
        for standing in lot.take_standing() {
            if let Some(want) = self.lanes.restore(standing) {
                lot.want(want);
            }
        }
        self.stop = lot.stopped().map(|since| Stop { since, spent: true });
        self.publish_books();
    }

    /// Lets a delivery wait for its next attempt: on the disk if that is possible, else in its seat. Says whether it does; what
    /// cannot be tried again is given up.
    pub(super) fn wait(&mut self, key: Key, delay: Duration) -> bool {
        if self.retired {
            self.orphan(key);
            return false;
        }
        if !self.translate(key) {
            return false;
        }
        self.rest(key);
        // One that has its key's turn stands behind nothing that is on its way to the disk.
        if self.is_copy(key) {
            return false;
        }
        if !self.put_aside(key, delay) {
            self.waiting.push(Reverse((Instant::now() + delay, key)));
        }
        true
    }

    /// Puts a delivery aside that has its turn, and what stands behind it; says whether there was room.
    pub(super) fn put_aside(&mut self, key: Key, delay: Duration) -> bool {
        let Some((place, again)) = self.room(key) else { return false };
        if !self.park(key, Some(delay)) {
            return false;
        }
        if let Some(place) = place {
            self.lanes.park(place, again);
            self.park_followers(place);
        }
        true
    }

    /// The lane of a delivery and whether it has a row, unless its lane would be one too many that is parked.
    pub(super) fn room(&mut self, key: Key) -> Option<(Option<Place>, bool)> {
        let delivery = self.table.get(key)?;
        let (place, again) = (delivery.lane, delivery.stored().is_some());
        (place.is_none() || again || self.lanes.parked() < LANES).then_some((place, again))
    }

    /// Puts a delivery aside, if that is possible; it settles when it is on the disk.
    pub(super) fn park(&mut self, key: Key, delay: Option<Duration>) -> bool {
        let Some(parking) = self.parking(key, delay) else { return false };
        let (Some(lot), Some(delivery)) = (self.lot.as_mut(), self.table.get(key)) else { return false };
        let parked = lot.park(parking, delivery.stored());
        if parked {
            delivery.stage = Stage::Park;
            self.table.leaves(key, false);
        }
        parked
    }

    /// What is to be written of a delivery.
    pub(super) fn parking(&mut self, key: Key, delay: Option<Duration>) -> Option<Parking> {
        let (lot, delivery) = (self.lot.as_ref()?, self.table.get(key)?);
        let outputs = &self.options.outputs;
        let named = |result: &Unconfirmed| Some((outputs.get(result.output)?.0.clone(), result.event.clone()));
        let results = match &delivery.stage {
            Stage::Publish(pending) => {
                let notice = pending.notice.iter().map(|notice| (NOTICE, notice.clone()));
                pending.failed.iter().filter_map(named).chain(notice).collect()
            }
            Stage::Call | Stage::Keep(_) | Stage::Park => Vec::new(),
        };
        let lane = delivery.lane.and_then(|place| Some((place, self.lanes.key(place)?)));
        let fork = delivery.receipt().and_then(|receipt| {
            let (spot, done) = (receipt.spot()?, lot.rules(receipt.parks()));
            Some(Fork { spot, print: print(&delivery.event), done })
        });
        let past = delivery.known_past();
        let (code, message) = past.last.map(|fault| (fault.code, fault.message)).unwrap_or_default();
        Some(Parking {
            key,
            lane,
            attempts: delivery.attempts,
            redrives: past.redrives,
            failed: past.failed,
            received: delivery.received(),
            position: delivery.position(),
            fork,
            spent: past.spent,
            delay,
            code,
            message,
            event: delivery.event.clone(),
            results,
        })
    }

    /// Puts aside what stands in memory behind the stored part of a lane, in its order, as far as there is room.
    pub(super) fn park_followers(&mut self, place: Place) {
        while let Some(follower) = self.lanes.follower(place, |key| self.table.has(key)) {
            if self.is_copy(follower) {
                self.lanes.pass(place, follower);
                continue;
            }
            if self.lanes.rows(place) >= self.options.retry.room.key {
                // Its own lane makes room, and nobody else.
                return;
            }
            if !self.park(follower, None) {
                self.crowded.insert(place);
                return;
            }
            self.lanes.follow(place);
        }
    }

    /// Others may have made room for what stands in memory behind what is stored.
    pub(super) fn look_for_room(&mut self) {
        if self.crowded.is_empty() || self.looked.is_some_and(|at| at.elapsed() < LOOK) {
            return;
        }
        self.looked = Some(Instant::now());
        for place in std::mem::take(&mut self.crowded) {
            self.park_followers(place);
        }
    }

    /// Takes over what is on the disk now, and what has come back from there.
    pub(super) fn bring_back(&mut self) {
        while let Some(confirmed) = self.lot.as_mut().and_then(|lot| lot.confirmed()) {
            if confirmed.copy {
                self.end_copy(confirmed.key);
                continue;
            }
            self.table.leaves(confirmed.key, true);
            // It neither ends nor leaves its lane, and nobody works on it.
            self.table.settle(confirmed.key, Outcome::Ack, |_| ());
            let want = confirmed.place.and_then(|place| self.lanes.confirmed(place, confirmed.key));
            if let (Some(lot), Some(want)) = (&mut self.lot, want) {
                lot.want(want);
            }
        }
        let Some(lot) = &mut self.lot else { return };
        if let Some(fault) = lot.fault() {
            tracing::error!(rule = %self.options.rule, "{fault}");
            self.last_error = Some(fault);
        }
        for back in lot.backs() {
            self.returned(back);
        }
    }

    /// A delivery is back, and has its turn.
    fn returned(&mut self, back: Back) {
        let Back { mut stored, row, place } = back;
        let Row { attempts, redrives, failed, received, laned, spent, code, message, event, results, .. } = row;
        let now = self.now() as u32;
        let (stage, unknown) = self.stage(results);
        let named = event.key().map(|key| Text::from(key.as_ref())).filter(|_| laned);
        stored.pauses = named.as_ref().is_some_and(|named| self.lanes.skips(place, named));
        let skipped = stored.pauses || spent && self.lot.as_ref().is_some_and(|lot| lot.skips(&stored));
        let key = self.table.insert_row(event, stored, attempts, stage, now);
        let lane = named.and_then(|named| self.lanes.arrive(place, &named, key));
        if let Some(delivery) = self.table.get(key) {
            delivery.lane = lane;
            delivery.received_at(received.or(failed).unwrap_or_default());
            if redrives > 0 || failed.is_some() {
                let last = failed.map(|_| Fault { code, message });
                *delivery.past() = Past { failed, redrives, spent, last, calls: 0 };
            }
            if spent && !skipped {
                delivery.refresh();
            }
        }
        match unknown {
            _ if skipped => self.skip(key),
            None => self.turns.push_back(key),
            Some(output) => {
                self.give_up(key, Reason::Rejected, None, gone(&output));
            }
        }
    }

    /// What a delivery owes that comes back with these results; the name of one that has no output any more.
    fn stage(&self, results: Vec<(Text, crate::event::Event)>) -> (Stage, Option<Text>) {
        if results.is_empty() {
            return (Stage::Call, None);
        }
        let mut pending = Pending::default();
        for (name, event) in results {
            if name == NOTICE {
                pending.notice = Some(event);
                continue;
            }
            match self.options.outputs.place(&name) {
                Some(output) => pending.failed.push(Unconfirmed { event, output }),
                None => return (Stage::Publish(pending), Some(name)),
            }
        }
        (Stage::Publish(pending), None)
    }

    /// A delivery that has a row has ended, and the next of its lane has its turn.
    pub(super) fn leave_row(&mut self, key: Key, lane: Option<Place>, stored: &Stored, kept: bool) {
        let Some(lot) = &mut self.lot else { return };
        lot.ended(stored, kept);
        let Some(place) = lane else { return };
        match self.lanes.leave(place, key, Some(stored.sequence), |follower| self.table.has(follower)) {
            Left::Next(next) => return self.turns.push_back(next),
            Left::Row(want) => lot.want(want),
            Left::Nobody => {}
        }
        // There may be room where there was none.
        if !self.retired {
            self.park_followers(place);
        }
    }

    /// Asks for what is due, and sends on its way what this turn has put aside or ended.
    pub(super) fn send_parked(&mut self) {
        if self.guarded {
            self.let_back();
        }
        if let Some(lot) = &mut self.lot {
            lot.ask();
            lot.flush();
        }
    }

    /// Whoever asks waits for the end: nothing comes back from the disk any more.
    pub(super) fn when_empty(&mut self, answer: oneshot::Sender<()>) {
        if let Some(lot) = &mut self.lot {
            lot.close();
        }
        self.curious.push(answer);
    }
}
