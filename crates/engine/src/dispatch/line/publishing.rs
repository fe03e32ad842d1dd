//! A delivery's results on their way to the outputs, until all of them are confirmed.
//!
//! Decision: a result that is confirmed at once is noted nowhere, so that what ends well costs no allocation; the others keep
//! the delivery open, and a failure repeats only those.

use super::super::delivery::{Pending, Stage, Unconfirmed};
use super::super::publish::{Confirmed, publish};
use super::{Key, Line, renewal};
use crate::dead_letter::Reason;
use crate::event::Event;
use crate::port::{Confirm, PublishError};

impl Line {
    /// Publishes a call's results; those that are confirmed at once cost no allocation.
    pub(super) fn publish_results(&mut self, key: Key, results: Vec<Event>) {
        let Some(delivery) = self.table.get(key) else { return };
        if delivery.attempts > 1 {
            delivery.past().calls = delivery.attempts;
        }
        delivery.attempts = 1;
        delivery.results = u8::try_from(results.len()).unwrap_or(u8::MAX);
        let outputs = if delivery.era == self.era {
            &self.options.outputs
        } else {
            renewal::outputs(&self.earlier, delivery.era)
        };
        let mut pending: Option<Pending> = None;
        for mut event in results {
            event.continue_trace(&delivery.event);
            for (output, (_, binding)) in outputs.iter().enumerate() {
                let confirm = publish(binding.as_ref(), &event, self.confirmations.offer());
                if let Confirm::Now(Ok(())) = confirm {
                    continue;
                }
                let result = Unconfirmed { event: event.clone(), output };
                pending.get_or_insert_default().add(&mut self.confirmations, key, result, confirm);
            }
        }
        let Some(pending) = pending else { return self.done(key) };
        delivery.stage = Stage::Publish(pending);
        self.review(key);
    }

    /// Publishes results again, or for the first time the event of a rule without a function.
    pub(super) fn publish(&mut self, key: Key, results: Vec<Unconfirmed>) {
        let Some(delivery) = self.table.get(key) else { return };
        let mut pending = Pending::default();
        for result in results {
            if let Some((_, binding)) = self.options.outputs.get(result.output) {
                let confirm = publish(binding.as_ref(), &result.event, self.confirmations.offer());
                pending.add(&mut self.confirmations, key, result, confirm);
            }
        }
        delivery.stage = Stage::Publish(pending);
        self.review(key);
    }

    pub(super) fn confirmed(&mut self, ((key, result), outcome): Confirmed) {
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
            None => self.done(key),
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
