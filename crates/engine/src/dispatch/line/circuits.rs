//! Deliveries that wait because a circuit on their way is open: that of the function, or of an output.
//!
//! Decision: **a rule is held as a whole**. While one circuit on its way lets nothing through, nothing of the rule begins: what
//! has its turn is put aside as it is under a pause, with no attempt spent, and nothing comes back from the disk. A call that has
//! ended meanwhile keeps its results, and publishes them when the circuit lets it. Half open, as many rows are out as may probe.
//! Where there is no room on the disk, or no disk, what has its turn waits in its seat, and what is behind it, too.

use std::sync::Arc;

use tokio::time::Instant;

use super::super::Message;
use super::super::books::Held;
use super::super::delivery::{Pending, Stage, Unconfirmed};
use super::{Key, Line, renewal};
use crate::circuit::{Circuit, Listener, Permit, Way};
use crate::event::Event;
use crate::invoke::Failure;
use crate::parked::OUT;
use crate::port::{PublishError, Verdict};

/// The circuits on the way of a rule's deliveries, as a line listens to them.
#[derive(Clone)]
pub(super) struct Wired {
    way: Arc<Way>,
    /// Called for as long as it is here.
    _listener: Arc<Listener>,
}

/// What came of a call or a publish.
#[derive(Clone, Copy)]
pub(super) enum Said<'e> {
    Well,
    Failed(&'e str),
    /// Nothing about whoever was asked: the event is to blame, or nobody was asked.
    Nothing,
}

impl<'e> Said<'e> {
    pub(super) fn by_output(outcome: &'e Result<(), PublishError>) -> Said<'e> {
        match outcome {
            Ok(()) => Said::Well,
            Err(PublishError::Retry { error, .. }) => Said::Failed(error),
            Err(PublishError::Reject { .. }) => Said::Nothing,
        }
    }
}

/// Deliveries that try whether what was away works again.
#[derive(Debug, Default)]
pub(super) struct Probes(Vec<(Key, Permit)>);

impl Probes {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn has(&self, key: Key, circuit: &Circuit) -> bool {
        self.0.iter().any(|(probing, permit)| *probing == key && permit.is_of(circuit))
    }

    fn take(&mut self, key: Key, circuit: &Circuit) -> Option<Permit> {
        let at = self.0.iter().position(|(probing, permit)| *probing == key && permit.is_of(circuit))?;
        Some(self.0.swap_remove(at).1)
    }

    /// The delivery tries nothing any more.
    pub(super) fn release(&mut self, key: Key) {
        self.0.retain(|(probing, _)| *probing != key);
    }

    /// Tells a circuit what came of a delivery that went through it.
    pub(super) fn said(&mut self, circuit: &Circuit, key: Key, said: Said<'_>) {
        match said {
            Said::Well => circuit.succeeded(self.take(key, circuit)),
            Said::Failed(error) => circuit.failed(self.take(key, circuit).as_ref(), error),
            Said::Nothing => {}
        }
    }
}

impl Line {
    /// Listens to the circuits on the way of the rule's deliveries from here on.
    pub(super) fn wire(&mut self, way: Way) {
        self.wired = (!way.is_empty()).then(|| {
            let feed = self.weak.clone();
            // A line that is gone begins nothing.
            let listener: Arc<Listener> =
                Arc::new(move || drop(feed.upgrade().map(|feed| feed.send(Message::CircuitMoved))));
            way.all().for_each(|circuit| circuit.tell(&listener));
            Wired { way: Arc::new(way), _listener: listener }
        });
    }

    /// The circuits with which a delivery has begun.
    pub(super) fn way_of(&mut self, key: Key) -> Option<Arc<Way>> {
        let era = self.table.get(key)?.era;
        let wired = if era == self.era { self.wired.as_ref() } else { renewal::wired(&self.earlier, era) };
        wired.map(|wired| Arc::clone(&wired.way))
    }

    /// The circuit that lets nothing begin now.
    pub(super) fn shut(&self) -> Option<&Circuit> {
        self.wired.as_ref()?.way.all().find(|circuit| !circuit.has_room())
    }

    /// What keeps the rule from beginning anything, for readers.
    pub(super) fn held(&self) -> Held {
        let circuit = self.shut().map(|circuit| circuit.name().clone());
        Held { circuit, seats: self.limit < self.options.max_seats }
    }

    /// When the last of the circuits lets something through again.
    pub(super) fn reopens(&self) -> Option<Instant> {
        self.wired.as_ref()?.way.all().filter_map(Circuit::reopens).max()
    }

    /// Puts aside what would begin if no circuit were open; says whether it is out of the way.
    pub(super) fn waits_for_circuit(&mut self, key: Key) -> bool {
        if self.retired {
            self.orphan(key);
            return true;
        }
        self.put_off(key)
    }

    /// Lets a delivery begin; one that tries whether something works again is noted. Nothing of it stays noted if it may not.
    pub(super) fn admitted(&mut self, key: Key) -> bool {
        let Some(wired) = &self.wired else { return true };
        for circuit in wired.way.all() {
            match circuit.admit() {
                Ok(None) => {}
                Ok(Some(permit)) => self.probes.0.push((key, permit)),
                Err(crate::circuit::Shut) => {
                    self.probes.release(key);
                    return false;
                }
            }
        }
        true
    }

    /// As many rows come back as circuits let through.
    pub(super) fn let_back(&mut self) {
        let way = self.wired.iter().flat_map(|wired| wired.way.all());
        let most = way.filter_map(Circuit::bound).min().map_or(OUT, |bound| (bound as usize).min(OUT));
        self.lot.iter_mut().for_each(|lot| lot.let_out(most));
    }

    /// Tells the function's circuit what came of a call.
    pub(super) fn called(&mut self, key: Key, verdict: &Result<Verdict, Failure>) {
        let Some(way) = self.way_of(key) else { return };
        let Some(circuit) = &way.function else { return };
        let failure;
        let said = match verdict {
            Ok(Verdict::Done(_) | Verdict::Drop) => Said::Well,
            Ok(Verdict::Retry { error, .. }) => Said::Failed(error),
            Ok(Verdict::Reject { .. }) | Err(Failure::NotBegun | Failure::CalledOff) => Said::Nothing,
            Err(other) => {
                failure = other.to_string();
                Said::Failed(&failure)
            }
        };
        self.probes.said(circuit, key, said);
    }

    /// Keeps the results of a call, and what is told afterwards, while a circuit lets none of them through.
    ///
    /// # Errors
    /// The notice, if they are to be published now.
    pub(super) fn keeps_results(
        &mut self,
        key: Key,
        results: &mut Vec<Event>,
        notice: Option<Event>,
    ) -> Result<(), Option<Event>> {
        let Some(delivery) = self.table.get(key) else { return Err(notice) };
        let Some(wired) = self.wired.as_ref().filter(|_| delivery.era == self.era) else { return Err(notice) };
        let mut outputs = wired.way.outputs.iter().flatten();
        let open = outputs.all(|circuit| circuit.is_closed() || self.probes.has(key, circuit));
        if open || delivery.recalled || self.retired || results.is_empty() {
            return Err(notice);
        }
        let outputs = &self.options.outputs;
        let mut pending = Pending { notice, ..Pending::default() };
        for mut event in results.drain(..) {
            event.continue_trace(&delivery.event);
            let outgoing = |output| Unconfirmed { event: outputs.outgoing(output, &event, &delivery.event), output };
            pending.failed.extend((0..outputs.results().len()).map(outgoing));
        }
        // Nobody has tried to publish them yet.
        (delivery.attempts, delivery.stage) = (0, Stage::Publish(pending));
        self.rest(key);
        self.turns.push_back(key);
        Ok(())
    }
}
