//! Whom a rule tells of what became of its deliveries: the outputs that `onSuccess` and `onFailure` name.
//!
//! Decision: what a rule writes **replaces** what it would have from `defaults`, list for list, so that an empty list is how
//! somebody is told nothing.

use schemars::{Schema, SchemaGenerator, json_schema};

use super::dead_letter::Targets;
use super::file::RuleEntry;
use super::plan::{Rule, Source};
use super::{Check, Many, Span, Spanned};
use crate::retry::Exhausted;

/// A name or a list of names, which may be empty.
pub(super) fn names(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }] })
}

/// Places of outputs.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    /// Those that are told of what ends well.
    pub(super) success: Vec<usize>,
    /// Those that are told of what is given up.
    pub(super) failure: Vec<usize>,
}

/// What one rule says of it.
#[derive(Clone, Copy)]
pub(super) struct Telling<'r> {
    pub(super) written: &'r RuleEntry,
    /// Where to say what is wrong with something that the rule inherits.
    pub(super) name: Span,
    /// The rule, as sentences call it.
    pub(super) owner: &'r str,
    /// The sources of its events.
    pub(super) from: &'r [&'r Source],
    pub(super) targets: Targets<'r>,
}

impl Telling<'_> {
    /// Who is told, on top of what holds otherwise; what cannot be is noted.
    pub(super) fn read(&self, usual: &Told, check: &mut Check) -> Told {
        Told {
            success: self.list("onSuccess", self.written.on_success.as_ref(), &usual.success, check),
            failure: self.list("onFailure", self.written.on_failure.as_ref(), &usual.failure, check),
        }
    }

    fn list(
        &self,
        key: &str,
        written: Option<&Many<Spanned<String>>>,
        usual: &[usize],
        check: &mut Check,
    ) -> Vec<usize> {
        let (places, span) = match written {
            Some(named) => {
                let span = named.0.first().map_or(self.name, |name| name.span);
                (self.targets.find_all(&named.0, check), span)
            }
            None => (usual.to_vec(), self.name),
        };
        let what = format!("what '{key}' of {} tells", self.owner);
        for (place, source) in places.iter().flat_map(|place| self.from.iter().map(move |source| (*place, source))) {
            self.targets.refuse_circle(&what, source, (place, span), check);
        }
        places
    }

    /// Warns where somebody will not be told of what he may wait for.
    pub(super) fn lacks(&self, rule: &Rule, check: &mut Check) {
        let span =
            self.written.on_failure.as_ref().and_then(|named| named.0.first()).map_or(self.name, |name| name.span);
        if rule.retry.exhausted == Exhausted::Drop && !rule.on_failure.is_empty() {
            let message =
                "'onFailure' tells of dead letters, and 'onExhausted: drop' makes none of what fails every attempt";
            check.warning(span, message.to_owned(), "leave 'onExhausted' out, and it tells of those, too");
        }
    }
}
