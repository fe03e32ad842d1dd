//! What no rule of a trigger takes, where the trigger keeps that.

use crate::account::{End, Facts, Name, Pen, Trouble, What};
use crate::dead_letter::{Postbox, Reason, unmatched};
use crate::delivery::Receipt;
use crate::event::{Event, Text};

/// A trigger that keeps what none of its rules takes.
pub(super) struct Keeper {
    trigger: Text,
    /// Who writes down what it keeps.
    pen: Pen,
}

impl Keeper {
    /// The keeper of this trigger, for the account of this pen.
    pub(super) fn new(trigger: Text, pen: &Pen) -> Keeper {
        let pen = pen.of(Name { name: trigger.clone(), ..Name::default() });
        Keeper { trigger, pen }
    }

    /// Makes an event of this source a dead letter, with which its receipt settles.
    pub(super) fn keep(&mut self, source: &Text, event: Event, receipt: Receipt, postbox: &Postbox) {
        let now = postbox.now();
        let trouble = Trouble {
            time: now,
            id: event.id().clone(),
            source: event.source().clone(),
            rule: self.trigger.clone(),
            what: What::GivenUp(Reason::Unmatched),
            publishing: false,
            attempt: 0,
            of: 0,
            took: 0,
            redrives: 0,
            code: None,
            message: unmatched(&self.trigger),
        };
        self.pen.trouble(&trouble, false);
        let facts = Facts { ended: now.0, ..Facts::default() };
        self.pen.record(&event, End::DeadLettered(Reason::Unmatched), facts);
        self.pen.flush();
        postbox.unmatched(source, &self.trigger, event, receipt);
    }
}
