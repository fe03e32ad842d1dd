//! Another configuration for a rule whose deliveries are under way.
//!
//! Decision: **a line is never exchanged**. Its lanes, its parked deliveries and its books go on, so that no event of a key can
//! overtake an older one and nothing is counted twice. What has begun, a call or a publish, ends with the function and the
//! outputs with which it has begun; whatever begins afterwards, an attempt that follows included, does so under the new
//! configuration. An earlier one is kept until nothing is under way with it, and letting go of it is how whoever owns its
//! outputs and workers learns that they may end.

use std::convert::Infallible;
use std::fmt;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use tokio::sync::mpsc;

use super::super::Weight;
use super::super::delivery::Stage;
use super::super::outlets::Outlets;
use super::super::rate::{Limiter, Rate};
use super::parking::gone;
use super::{Caller, Key, Line, Wired};
use crate::account::Pen;
use crate::circuit::Way;
use crate::dead_letter::Reason;
use crate::event::Text;
use crate::pool::Pool;
use crate::retry::{self, Policy};

/// Kept for as long as something is in use; the far end closes when every one is dropped.
pub type Hold = mpsc::Sender<Infallible>;

/// What is said of a delivery whose rule is gone, and of which this was said last.
pub(crate) fn orphaned(rule: &str, error: &str) -> String {
    let last = if error.is_empty() { String::new() } else { format!("; what was said last: {error}") };
    format!("rule '{rule}' is not in the configuration any more{last}")
}

/// What is called by its name.
type Named<T> = (Text, T);

/// Another configuration of a rule; the words are those of [`Options`](super::Options).
pub struct Renewal {
    /// The function's name and pool.
    pub function: Option<Named<Pool>>,
    /// Where the rule publishes.
    pub outputs: Outlets,
    /// Whether deliveries of one key run one after the other. An order that was not kept before cannot begin here.
    pub ordered: bool,
    /// The circuits on their way.
    pub way: Way,
    /// Deliveries that are called or published at once.
    pub max_in_flight: usize,
    /// Seats that the rule may have before what comes for it is put aside.
    pub max_seats: usize,
    /// How often one is called or published.
    pub rate: Option<Rate>,
    /// How much of a function that other rules call too is this rule's.
    pub weight: Weight,
    /// When what failed is tried again.
    pub retry: Policy,
    /// How long one call may take.
    pub timeout: Duration,
    /// Who writes down what becomes of the deliveries.
    pub pen: Pen,
    /// Let go of once nothing is under way any more with the configuration that this one follows.
    pub hold: Hold,
}

impl fmt::Debug for Renewal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Renewal").finish_non_exhaustive()
    }
}

/// An earlier configuration, with which something is under way.
pub(super) struct Earlier {
    era: u32,
    /// How many deliveries.
    active: usize,
    pub(super) caller: Arc<Caller>,
    function: Option<Named<Pool>>,
    outputs: Outlets,
    pub(super) wired: Option<Wired>,
    pub(super) pen: Pen,
    _hold: Hold,
}

/// No outputs.
static NONE: LazyLock<Outlets> = LazyLock::new(Outlets::default);

/// The outputs of an earlier configuration.
pub(super) fn outputs(earlier: &[Earlier], era: u32) -> &Outlets {
    earlier.iter().find(|earlier| earlier.era == era).map_or(&NONE, |earlier| &earlier.outputs)
}

/// The circuits of an earlier configuration.
pub(super) fn wired(earlier: &[Earlier], era: u32) -> Option<&Wired> {
    earlier.iter().find(|earlier| earlier.era == era)?.wired.as_ref()
}

/// Who writes down what ends under an earlier configuration.
#[cold]
pub(super) fn pen(earlier: &mut [Earlier], era: u32) -> Option<&mut Pen> {
    earlier.iter_mut().find(|earlier| earlier.era == era).map(|earlier| &mut earlier.pen)
}

impl Line {
    /// Takes over another configuration.
    pub(super) fn renew(&mut self, renewal: Renewal) {
        let Renewal {
            function,
            outputs,
            ordered,
            way,
            max_in_flight,
            max_seats,
            rate,
            weight,
            retry,
            timeout,
            pen,
            hold,
        } = renewal;
        let unbegun = self.unbegun(function.as_ref());
        // What has ended before did so under the earlier one.
        self.options.pen.flush();
        let caller = Arc::new(self.caller.again(timeout, weight));
        let earlier = Earlier {
            era: self.era,
            active: 0,
            caller: std::mem::replace(&mut self.caller, caller),
            function: std::mem::replace(&mut self.options.function, function),
            outputs: std::mem::replace(&mut self.options.outputs, outputs),
            wired: self.wired.take(),
            pen: std::mem::replace(&mut self.options.pen, pen),
            _hold: hold,
        };
        self.earlier.push(earlier);
        self.wire(way);
        self.era += 1;
        if self.options.rate != rate {
            self.limiter = rate.and_then(Limiter::new);
            self.hushed = None;
        }
        if let Some(lot) = &mut self.lot {
            lot.renew(retry.max_delay, retry.hold == retry::Hold::State);
            lot.bound(retry.room.rule);
        }
        let options = &mut self.options;
        (options.ordered, options.max_in_flight, options.rate) = (ordered, max_in_flight, rate);
        (options.retry, options.timeout) = (retry, timeout);
        (self.options.max_seats, self.limit) = (max_seats, max_seats);
        self.guard();
        self.tells |= !self.options.outputs.told().is_empty();
        self.resettle();
        for key in unbegun {
            if let Some(delivery) = self.table.get(key) {
                delivery.attempts -= 1;
                self.attempt(key);
            }
        }
        let (before, table) = (self.era - 1, &mut self.table);
        let active = table.iter_mut().filter(|(_, delivery)| delivery.active && delivery.era == before).count();
        match self.earlier.last_mut() {
            Some(earlier) if active > 0 => earlier.active = active,
            _ => drop(self.earlier.pop()),
        }
        self.guard();
        self.let_back();
    }

    /// What nobody has begun with, where that begins with another function and has spent no attempt.
    fn unbegun(&mut self, function: Option<&Named<Pool>>) -> Vec<Key> {
        let Some((_, pool)) = &self.options.function else { return Vec::new() };
        if function.is_some_and(|(_, after)| pool.is(after)) {
            if !self.jobs.is_empty() {
                pool.submit(&mut self.jobs);
            }
            return Vec::new();
        }
        let queued = pool.withdraw(&self.caller);
        self.jobs.drain(..).chain(queued).map(super::super::Job::withdraw).collect()
    }

    /// Lets what rests go on under the present configuration.
    fn resettle(&mut self) {
        let resting = self.table.iter_mut().filter(|(_, delivery)| !delivery.active);
        let published = resting.filter(|(_, delivery)| matches!(delivery.stage, Stage::Publish(_)));
        let keys: Vec<Key> = published.map(|(key, _)| key).collect();
        for key in keys {
            self.translate(key);
        }
    }

    /// Lets a delivery that waits for its next attempt make it under the present configuration. One with a result whose output
    /// is gone is given up, and then the answer is false.
    pub(super) fn translate(&mut self, key: Key) -> bool {
        let Some(delivery) = self.table.get(key) else { return false };
        if delivery.era == self.era {
            return true;
        }
        let (era, active) = (delivery.era, delivery.active);
        let before = outputs(&self.earlier, era);
        let mut missing = None;
        if let Stage::Publish(pending) = &mut delivery.stage {
            for result in &mut pending.failed {
                let name = before.get(result.output).map(|(name, _)| name);
                match name.and_then(|name| self.options.outputs.place(name)) {
                    Some(output) => result.output = output,
                    None => missing = name.cloned(),
                }
            }
        }
        if let Some(output) = missing {
            self.give_up(key, Reason::Rejected, None, gone(&output));
            return false;
        }
        delivery.era = self.era;
        if active {
            self.left_behind(era);
        }
        true
    }

    /// One delivery fewer is under way with an earlier configuration.
    pub(super) fn left_behind(&mut self, era: u32) {
        let Some(at) = self.earlier.iter().position(|earlier| earlier.era == era) else { return };
        self.earlier[at].active -= 1;
        self.earlier[at].pen.flush();
        if self.earlier[at].active == 0 {
            self.earlier.remove(at);
        }
    }

    /// The name of the function with which a delivery has begun.
    pub(super) fn function_of(&mut self, key: Key) -> Option<Text> {
        let era = self.table.get(key).map_or(self.era, |delivery| delivery.era);
        let earlier = self.earlier.iter().find(|earlier| earlier.era == era);
        let function = earlier.map_or(&self.options.function, |earlier| &earlier.function);
        function.as_ref().map(|(name, _)| name.clone())
    }

    /// On whose behalf somebody may be calling now, and who.
    pub(super) fn callers(&self) -> impl Iterator<Item = (&Arc<Caller>, &Pool)> {
        let earlier = self.earlier.iter().map(|earlier| (&earlier.caller, &earlier.function));
        let all = earlier.chain([(&self.caller, &self.options.function)]);
        all.filter_map(|(caller, function)| Some((caller, &function.as_ref()?.1)))
    }

    /// The rule is gone. What has its turn ends as it would have; what only waits is given up, and so is what fails.
    pub(super) fn retire(&mut self) {
        self.retired = true;
        // Nobody will let it go on.
        self.stop = None;
        self.options.retry.exhausted = retry::Exhausted::DeadLetter;
        self.guard();
        if let Some(lot) = &mut self.lot {
            lot.close();
        }
        let lanes = &self.lanes;
        let shut = self.table.iter_mut().filter(|(_, delivery)| {
            delivery.rests() && delivery.lane.is_some_and(|place| lanes.is_parked(place)) && delivery.stored().is_none()
        });
        let mut waiting: Vec<Key> = shut.map(|(key, _)| key).collect();
        waiting.extend(self.waiting.drain().map(|std::cmp::Reverse((_, key))| key));
        for key in waiting {
            self.orphan(key);
        }
    }

    /// Gives a delivery up because its rule is gone.
    pub(super) fn orphan(&mut self, key: Key) {
        let last = self.table.get(key).and_then(|delivery| delivery.known_past().last);
        let (code, message) = last.map_or_else(Default::default, |fault| (fault.code, fault.message));
        self.give_up(key, Reason::Orphaned, code, orphaned(&self.options.rule, &message));
    }
}
