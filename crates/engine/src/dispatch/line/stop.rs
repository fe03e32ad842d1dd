//! What comes to a stop and goes on when somebody says so: a key whose first delivery is spent, or the whole rule.
//!
//! Decision: **what is paused waits on the disk**, as what waits for its time does, so that it takes no seat from anybody and
//! outlives the engine; only where there is no room does it wait in its seat, and holds its source back. A paused rule puts
//! aside whatever would begin, in the order of its turns, with no attempt spent. What goes on again has a whole set of attempts.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::super::books::{DropReason, Paused};
use super::super::delivery::Fault;
use super::parking::LOOK;
use super::{Key, Line};
use crate::account::{End, What};
use crate::dead_letter::Reason;
use crate::delivery::Outcome;
use crate::event::{Text, beginning};
use crate::parked::{Cause, bounded};
use crate::retry::Exhausted;
use crate::store::Stamp;

/// Bytes of a key that are shown in a sentence.
const KEY_MAX: usize = 120;

/// Why nothing of a rule begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stop {
    pub(super) since: Stamp,
    /// Whether a delivery was spent, so that there is something to skip.
    pub(super) spent: bool,
}

/// What goes on again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Resumed {
    /// Whether the rule was paused as a whole.
    pub rule: bool,
    /// How many of its keys were paused.
    pub keys: usize,
}

/// Why nothing goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotPaused {
    /// Nothing of the rule is paused.
    Nothing,
    /// This key is not.
    Key,
    /// Somebody has paused the rule, so there is nothing to skip.
    ByHand,
    /// The engine is ending.
    Ended,
}

/// Who waits for something to be on the disk.
pub(super) enum Told {
    Paused(oneshot::Sender<()>),
    Resumed(oneshot::Sender<Result<Resumed, NotPaused>>, Resumed),
}

impl Told {
    /// Whoever asked may have stopped waiting.
    fn tell(self) {
        match self {
            Told::Paused(answer) => drop(answer.send(())),
            Told::Resumed(answer, resumed) => drop(answer.send(Ok(resumed))),
        }
    }
}

impl Line {
    /// Notes whether deliveries may have to do something else than begin.
    pub(super) fn guard(&mut self) {
        let retry = &self.options.retry;
        let pauses = matches!(retry.exhausted, Exhausted::PauseKey | Exhausted::PauseRule);
        // What is under way went through the circuits of earlier configurations.
        let wired = self.wired.is_some() || self.earlier.iter().any(|earlier| earlier.wired.is_some());
        self.guarded = retry.max_age.is_some() || pauses || self.stop.is_some() || wired;
    }

    /// Does with a delivery whose last attempt has failed what its rule says.
    pub(super) fn exhausted(&mut self, key: Key, code: Option<Text>, error: String) {
        let Some(delivery) = self.table.get(key) else { return };
        match self.options.retry.exhausted {
            Exhausted::PauseKey if delivery.lane.is_some() => {
                self.spend(key, code.clone(), &error);
                self.stay(key);
                self.tell(key, What::Failed(None), code, &error);
            }
            Exhausted::PauseRule => {
                self.tell(key, What::Failed(None), code.clone(), &error);
                self.spend(key, code, &error);
                self.halt(key);
                self.turns.push_back(key);
            }
            Exhausted::Drop => {
                self.tell(key, What::Dropped(DropReason::Exhausted), code, &error);
                self.last_error = Some(error);
                if self.settle(key, Outcome::Ack, End::Dropped(DropReason::Exhausted)) {
                    self.books.dropped[DropReason::Exhausted as usize] += 1;
                }
            }
            Exhausted::DeadLetter | Exhausted::PauseKey => self.give_up(key, Reason::Exhausted, code, error),
        }
    }

    fn spend(&mut self, key: Key, code: Option<Text>, error: &str) {
        self.rest(key);
        if let Some(delivery) = self.table.get(key) {
            let past = delivery.past();
            (past.spent, past.last) = (true, Some(Fault { code, message: bounded(error) }));
        }
    }

    fn cause(&mut self, key: Key) -> Cause {
        let Some(delivery) = self.table.get(key) else { return Cause::default() };
        let attempts = delivery.attempts;
        let fault = delivery.known_past().last;
        fault.map_or_else(Cause::default, |Fault { code, message }| Cause { attempts, code, message })
    }

    /// Pauses the lane of a spent delivery, which stays first of it.
    fn stay(&mut self, key: Key) {
        let cause = self.cause(key);
        let placed = self.room(key).and_then(|(place, again)| Some((place?, self.lanes.key(place?)?, again)));
        let Some((place, name, again)) = placed.filter(|_| self.park(key, None)) else {
            let (rule, message) = (&self.options.rule, cause.message);
            self.last_error = Some(format!(
                "a key is to be paused and there is no room for it on the disk: {message}; 'tidemill resume {rule}' lets it go on"
            ));
            return self.waiting.push(Reverse((Instant::now() + LOOK, key)));
        };
        if let Some(lot) = &mut self.lot {
            let since = lot.pause_lane(&name, &cause);
            self.lanes.pause(place, again, since);
        }
        self.park_followers(place);
        let (rule, key, Cause { attempts, message, .. }) = (&self.options.rule, beginning(&name, KEY_MAX), cause);
        tracing::warn!(%rule, key, attempts, "the key is paused: {message}");
        self.last_error = Some(format!(
            "key '{key}' is paused after {attempts} attempts: {message}; 'tidemill resume {rule}' lets it go on"
        ));
    }

    /// A spent delivery that has found no room on the disk looks for some instead of beginning.
    pub(super) fn stays(&mut self, key: Key) -> bool {
        let pauses = self.options.retry.exhausted == Exhausted::PauseKey;
        let stays = pauses && self.table.get(key).is_some_and(|delivery| delivery.is_spent() && delivery.rests());
        if stays {
            self.stay(key);
        }
        stays
    }

    /// Pauses the rule for a spent delivery.
    fn halt(&mut self, key: Key) {
        let cause = self.cause(key);
        if self.stop.is_some_and(|stop| stop.spent) {
            return;
        }
        self.stop_for(&cause, true);
        let (rule, Cause { attempts, message, .. }) = (&self.options.rule, cause);
        tracing::warn!(%rule, attempts, "the rule is paused: {message}");
        self.last_error =
            Some(format!("paused after {attempts} attempts: {message}; 'tidemill resume {rule}' lets it go on"));
    }

    fn stop_for(&mut self, cause: &Cause, spent: bool) {
        let since = match &mut self.lot {
            Some(lot) => lot.stop(cause),
            None => self.options.postbox.now(),
        };
        self.stop = Some(Stop { since, spent });
        self.guard();
    }

    /// Puts aside what would begin if its rule were not paused; says whether it is out of the way.
    pub(super) fn put_off(&mut self, key: Key) -> bool {
        let rests = self.table.get(key).is_some_and(|delivery| delivery.rests());
        !rests || self.put_aside(key, Duration::ZERO)
    }

    /// When there may be room for what a paused rule, or a parked lane, holds in its seat.
    pub(super) fn look(&self) -> Option<Instant> {
        let stands = self.stop.is_some() || self.shut().is_some() && self.lot.as_ref().is_some_and(|lot| lot.takes());
        let waits = stands && !self.turns.is_empty() || !self.crowded.is_empty();
        waits.then(|| Instant::now() + LOOK)
    }

    /// Somebody pauses the rule.
    pub(super) fn pause(&mut self, answer: oneshot::Sender<()>) {
        if self.stop.is_none() {
            let cause = Cause { message: Text::new_static("somebody has paused it"), ..Cause::default() };
            self.stop_for(&cause, false);
            tracing::info!(rule = %self.options.rule, "paused");
        }
        self.told.push(Told::Paused(answer));
    }

    /// Somebody lets go on what is paused.
    pub(super) fn resume(
        &mut self,
        key: Option<&str>,
        skip: bool,
        answer: oneshot::Sender<Result<Resumed, NotPaused>>,
    ) {
        match self.release(key, skip) {
            Ok(resumed) => {
                tracing::info!(rule = %self.options.rule, keys = resumed.keys, skip, "resumed");
                self.told.push(Told::Resumed(answer, resumed));
            }
            Err(refusal) => drop(answer.send(Err(refusal))),
        }
    }

    fn release(&mut self, key: Option<&str>, skip: bool) -> Result<Resumed, NotPaused> {
        let stop = self.stop.filter(|_| key.is_none());
        let (places, seated) = (self.lanes.paused_places(key), self.seated(key));
        let keys = places.len() + seated.iter().filter(|_| stop.is_none()).count();
        if keys == 0 {
            match stop {
                None => return Err(if key.is_some() { NotPaused::Key } else { NotPaused::Nothing }),
                Some(stop) if skip && !stop.spent => return Err(NotPaused::ByHand),
                Some(_) => {}
            }
        }
        for place in places {
            self.release_lane(place, skip);
        }
        if let Some(stop) = stop {
            self.stop = None;
            self.guard();
            self.lot.iter_mut().for_each(|lot| lot.go_on(skip && stop.spent));
        }
        self.waiting.retain(|Reverse((_, key))| !seated.contains(key));
        self.turns.retain(|key| !seated.contains(key));
        for key in seated {
            if skip {
                self.skip(key);
            } else if let Some(delivery) = self.table.get(key) {
                delivery.refresh();
                self.turns.push_back(key);
            }
        }
        Ok(Resumed { rule: stop.is_some(), keys })
    }

    fn release_lane(&mut self, place: super::super::Place, skip: bool) {
        let (Some(lot), Some(name)) = (&mut self.lot, self.lanes.key(place)) else { return };
        let Some(want) = self.lanes.resume(place, skip) else { return };
        // What is skipped takes its pause with it, in the transaction that makes it a dead letter.
        if !skip {
            lot.resume_lane(&name);
        }
        want.into_iter().for_each(|want| lot.want(want));
    }

    /// Spent deliveries that have found no room on the disk: all of them, or those of one key.
    fn seated(&mut self, key: Option<&str>) -> HashSet<Key> {
        let waiting = self.waiting.iter().map(|Reverse((_, key))| *key);
        let some: Vec<Key> = waiting.chain(self.turns.iter().copied()).collect();
        let is_meant = |delivery: &super::super::delivery::Delivery| {
            let lane = || delivery.lane.and_then(|place| self.lanes.key(place));
            delivery.is_spent() && delivery.rests() && key.is_none_or(|key| lane().is_some_and(|lane| lane == key))
        };
        some.into_iter().filter(|key| self.table.get(*key).is_some_and(|delivery| is_meant(delivery))).collect()
    }

    /// Gives up a spent delivery that somebody goes on without.
    pub(super) fn skip(&mut self, key: Key) {
        let Cause { code, message, .. } = self.cause(key);
        self.give_up(key, Reason::Exhausted, code, message.into());
    }

    /// Tells who waits for it that what was paused or resumed is on the disk.
    pub(super) fn let_know(&mut self) {
        if self.told.is_empty() {
            return;
        }
        let told = std::mem::take(&mut self.told);
        match self.lot.as_mut().map(|lot| lot.durable()) {
            None => told.into_iter().for_each(Told::tell),
            Some(Some(durable)) => drop(tokio::spawn(async move {
                durable.await;
                told.into_iter().for_each(Told::tell);
            })),
            Some(None) => self.told = told,
        }
    }

    /// What is paused, for readers.
    pub(super) fn paused(&self) -> Paused {
        let (keys, oldest) = self.lanes.paused();
        let rule = self.stop.map(|stop| stop.since);
        Paused { rule, keys, oldest: rule.into_iter().chain(oldest).min() }
    }
}
