//! A delivery's results on their way to the outputs, until all of them are confirmed.
//!
//! Decision: a result that is confirmed at once is noted nowhere, so that what ends well costs no allocation; the others keep
//! the delivery open, and a failure repeats only those.

use super::super::delivery::{Pending, Stage, Unconfirmed};
use super::super::publish::{Confirmed, publish};
use super::circuits::Said;
use super::{Key, Line, renewal};
use crate::dead_letter::Reason;
use crate::event::Event;
use crate::notice::Notice;
use crate::port::{Confirm, PublishError};
use crate::router::returns::returned;

impl Line {
    /// Publishes a call's results; those that are confirmed at once cost no allocation.
    pub(super) fn publish_results(&mut self, key: Key, mut results: Vec<Event>) {
        let Some(delivery) = self.table.get(key) else { return };
        if delivery.attempts > 1 {
            delivery.past().calls = delivery.attempts;
        }
        delivery.attempts = 1;
        delivery.results = u8::try_from(results.len()).unwrap_or(u8::MAX);
        let notice = if self.tells { self.success(key, &results) } else { None };
        let notice = match self.guarded {
            true => match self.keeps_results(key, &mut results, notice) {
                Ok(()) => return,
                Err(notice) => notice,
            },
            false => notice,
        };
        let way = if self.guarded { self.way_of(key) } else { None };
        let Some(delivery) = self.table.get(key) else { return };
        let outputs = if delivery.era == self.era {
            &self.options.outputs
        } else {
            renewal::outputs(&self.earlier, delivery.era)
        };
        let (outputs, way_back) = (outputs.results(), outputs.way_back());
        let mut pending: Option<Pending> = None;
        for mut event in results {
            event.continue_trace(&delivery.event);
            for (output, (_, binding)) in outputs.iter().enumerate() {
                if Some(output) == way_back {
                    let event = returned(event.clone(), &delivery.event);
                    let confirm = publish(binding.as_ref(), &event, self.confirmations.offer());
                    let result = Unconfirmed { event, output };
                    pending.get_or_insert_default().add(&mut self.confirmations, key, result, confirm);
                    continue;
                }
                let confirm = publish(binding.as_ref(), &event, self.confirmations.offer());
                if let (Some(circuit), Confirm::Now(outcome)) =
                    (way.as_ref().and_then(|way| way.output(output)), &confirm)
                {
                    self.probes.said(circuit, key, Said::by_output(outcome));
                }
                if let Confirm::Now(Ok(())) = confirm {
                    continue;
                }
                let result = Unconfirmed { event: event.clone(), output };
                pending.get_or_insert_default().add(&mut self.confirmations, key, result, confirm);
            }
        }
        let Some(mut pending) = pending else { return self.conclude(key, notice) };
        pending.notice = notice;
        delivery.stage = Stage::Publish(pending);
        self.review(key);
    }

    /// What others are told of a delivery that has these results, if anybody is.
    #[cold]
    pub(super) fn success(&mut self, key: Key, results: &[Event]) -> Option<Event> {
        let function = self.function_of(key);
        let delivery = self.table.get(key)?;
        let present = delivery.era == self.era;
        let outputs = if present { &self.options.outputs } else { renewal::outputs(&self.earlier, delivery.era) };
        if outputs.told().is_empty() {
            return None;
        }
        let notice = Notice {
            rule: &self.options.rule,
            function: function.as_deref(),
            attempts: delivery.calls().max(1),
            redrives: delivery.redrives(),
            time: self.options.postbox.now(),
            event: &delivery.event,
        };
        notice.succeeded(results)
    }

    /// All results of a delivery are confirmed: it is done, unless somebody is to be told of it first.
    fn conclude(&mut self, key: Key, notice: Option<Event>) {
        let Some(notice) = notice else { return self.done(key) };
        let Some(delivery) = self.table.get(key) else { return };
        let present = delivery.era == self.era;
        let outputs = if present { &self.options.outputs } else { renewal::outputs(&self.earlier, delivery.era) };
        delivery.attempts = 1;
        let outgoing = |output| Unconfirmed { event: outputs.outgoing(output, &notice, &delivery.event), output };
        let results = outputs.told().map(outgoing).collect();
        self.publish(key, results, None);
    }

    /// Publishes results again, or for the first time the event of a rule without a function; with what is told of the delivery
    /// afterwards.
    pub(super) fn publish(&mut self, key: Key, results: Vec<Unconfirmed>, notice: Option<Event>) {
        let way = if self.guarded { self.way_of(key) } else { None };
        let Some(delivery) = self.table.get(key) else { return };
        let outputs = if delivery.era == self.era {
            &self.options.outputs
        } else {
            renewal::outputs(&self.earlier, delivery.era)
        };
        let mut pending = Pending { notice, ..Pending::default() };
        for result in results {
            if let Some((_, binding)) = outputs.get(result.output) {
                let confirm = publish(binding.as_ref(), &result.event, self.confirmations.offer());
                if let (Some(circuit), Confirm::Now(outcome)) =
                    (way.as_ref().and_then(|way| way.output(result.output)), &confirm)
                {
                    self.probes.said(circuit, key, Said::by_output(outcome));
                }
                pending.add(&mut self.confirmations, key, result, confirm);
            }
        }
        delivery.stage = Stage::Publish(pending);
        self.review(key);
    }

    pub(super) fn confirmed(&mut self, ((key, result), outcome): Confirmed) {
        if self.guarded
            && let Some(way) = self.way_of(key)
            && let Some(circuit) = way.output(result.output)
        {
            self.probes.said(circuit, key, Said::by_output(&outcome));
        }
        let Some(delivery) = self.table.get(key) else { return };
        if let Stage::Publish(pending) = &mut delivery.stage {
            pending.awaited -= 1;
            pending.note(result, outcome);
        }
        self.review(key);
    }

    /// Moves a publishing delivery on once no confirmation is awaited.
    fn review(&mut self, key: Key) {
        let Some(delivery) = self.table.get(key) else { return };
        let Stage::Publish(pending) = &mut delivery.stage else { return };
        if pending.awaited > 0 {
            return;
        }
        match pending.error.take().map(|error| *error) {
            None => {
                let notice = pending.notice.take();
                self.conclude(key, notice);
            }
            Some((output, error)) => {
                let outputs = if delivery.era == self.era {
                    &self.options.outputs
                } else {
                    renewal::outputs(&self.earlier, delivery.era)
                };
                let name = outputs.get(output).map_or("", |(name, _)| name.as_str());
                let sentence = format!("output '{name}': {error}");
                match error {
                    PublishError::Retry { after, .. } => self.failed(key, after, None, sentence),
                    PublishError::Reject { .. } => self.give_up(key, Reason::Rejected, None, sentence),
                }
            }
        }
    }
}
