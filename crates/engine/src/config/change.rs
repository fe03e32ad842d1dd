//! What differs between the configuration that an engine runs and the one that it is to run.
//!
//! Decision: **names are identities**. What has another name is another thing, and what has the same name and means the same is
//! left alone, wherever it stands in the files.

use serde::Serialize;

use super::Plan;
use super::plan::{Function, Output, Rule, Source, Trigger};
use crate::circuit;
use crate::event::Text;

/// What became of one sort of things, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Changes {
    /// There was none of this name.
    pub added: Vec<Text>,
    /// There is none of this name any more.
    pub removed: Vec<Text>,
    /// It means something else.
    pub changed: Vec<Text>,
    /// It means the same.
    pub unchanged: Vec<Text>,
}

/// What differs between two plans.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Change {
    /// By their names.
    pub sources: Changes,
    /// By their names.
    pub functions: Changes,
    /// By their names.
    pub outputs: Changes,
    /// By `trigger/rule`. A rule whose trigger takes other events, or from other sources, has changed.
    pub rules: Changes,
}

impl Changes {
    fn between(before: &[&Text], after: &[(&Text, bool)]) -> Changes {
        let mut changes = Changes::default();
        for (name, same) in after {
            let into = match (before.contains(name), same) {
                (false, _) => &mut changes.added,
                (true, false) => &mut changes.changed,
                (true, true) => &mut changes.unchanged,
            };
            into.push(Text::clone(name));
        }
        let gone = before.iter().filter(|name| after.iter().all(|(known, _)| known != *name));
        changes.removed = gone.map(|name| Text::clone(name)).collect();
        changes
    }

    /// Whether nothing was added, removed or changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }
}

impl Change {
    /// What is different in `after`.
    #[must_use]
    pub fn between(before: &Plan, after: &Plan) -> Change {
        let sources = |source: &Source| {
            let old = before.sources.iter().find(|old| old.name == source.name);
            old.is_some_and(|old| {
                !before.replaces_source(after, &source.name)
                    && old.spool == source.spool
                    && output(before, old.dead_letter) == output(after, source.dead_letter)
            })
        };
        let functions = |function: &Function| {
            let old = before.functions.iter().find(|old| old.name == function.name);
            old.is_some_and(|old| {
                let how = |function: &Function| (function.workers, function.circuit);
                !before.replaces_function(after, &function.name) && how(old) == how(function)
            })
        };
        let outputs = |output: &Output| {
            let same = !before.replaces_output(after, &output.name);
            same && before.circuit_of_output(&output.name) == after.circuit_of_output(&output.name)
        };
        let rules = |trigger: &Trigger, rule: &Rule| {
            let old = before.rule(&trigger.name, &rule.name);
            old.is_some_and(|(trigger_before, old)| facts(before, trigger_before, old) == facts(after, trigger, rule))
        };
        let ids = |plan: &Plan| {
            let of = |trigger: &Trigger| trigger.rules.iter().map(|rule| rule.id(trigger)).collect::<Vec<_>>();
            plan.triggers.iter().flat_map(of).collect::<Vec<Text>>()
        };
        let (old_ids, ids) = (ids(before), ids(after));
        let same = after.triggers.iter().flat_map(|trigger| trigger.rules.iter().map(move |rule| rules(trigger, rule)));
        Change {
            sources: Changes::between(
                &before.sources.iter().map(|source| &source.name).collect::<Vec<_>>(),
                &after.sources.iter().map(|source| (&source.name, sources(source))).collect::<Vec<_>>(),
            ),
            functions: Changes::between(
                &before.functions.iter().map(|function| &function.name).collect::<Vec<_>>(),
                &after.functions.iter().map(|function| (&function.name, functions(function))).collect::<Vec<_>>(),
            ),
            outputs: Changes::between(
                &before.outputs.iter().map(|output| &output.name).collect::<Vec<_>>(),
                &after.outputs.iter().map(|output| (&output.name, outputs(output))).collect::<Vec<_>>(),
            ),
            rules: Changes::between(&old_ids.iter().collect::<Vec<_>>(), &ids.iter().zip(same).collect::<Vec<_>>()),
        }
    }

    /// Whether both mean the same.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        [&self.sources, &self.functions, &self.outputs, &self.rules].iter().all(|changes| changes.is_empty())
    }
}

impl Rule {
    /// `trigger/rule`.
    #[must_use]
    pub fn id(&self, trigger: &Trigger) -> Text {
        format!("{}/{}", trigger.name, self.name).into()
    }
}

impl Plan {
    /// A rule by its trigger's name and its own.
    #[must_use]
    pub fn rule(&self, trigger: &str, rule: &str) -> Option<(&Trigger, &Rule)> {
        let trigger = self.triggers.iter().find(|known| known.name == trigger)?;
        Some((trigger, trigger.rules.iter().find(|known| known.name == rule)?))
    }

    /// Whether a source of both plans is another one in `after`, so that it has to begin anew.
    #[must_use]
    pub fn replaces_source(&self, after: &Plan, name: &str) -> bool {
        let seats = |plan: &Plan| plan.sources.iter().find(|source| source.name == name).map(|source| source.seats);
        !self.wording.sources.same(&after.wording.sources, name) || seats(self) != seats(after)
    }

    /// Whether the workers of a function of both plans cannot go on in `after`.
    #[must_use]
    pub fn replaces_function(&self, after: &Plan, name: &str) -> bool {
        let of = |plan: &Plan| {
            plan.functions.iter().find(|function| function.name == name).map(|function| function.concurrency)
        };
        !self.wording.functions.same(&after.wording.functions, name) || of(self) != of(after)
    }

    /// Whether the line of a rule of both plans goes on in another way in `after`; what it takes is its trigger's business.
    #[must_use]
    pub(crate) fn renews_rule(&self, after: &Plan, old: &Rule, new: &Rule) -> bool {
        let function = |plan: &Plan, rule: &Rule| Some(plan.functions.get(rule.function?)?.name.clone());
        let names = |plan: &Plan, places: &[usize]| {
            places.iter().filter_map(|place| output(plan, Some(*place)).cloned()).collect::<Vec<_>>()
        };
        let outputs = |plan: &Plan, rule: &Rule| (names(plan, &rule.outputs), names(plan, &rule.on_success));
        let how = |rule: &Rule| {
            let limits = (rule.max_in_flight, rule.max_seats, rule.rate, rule.weight);
            (rule.order, limits, rule.timeout, rule.retry.clone(), rule.is_fed_back)
        };
        let (called, published) = (function(after, new), outputs(after, new));
        function(self, old) != called
            || outputs(self, old) != published
            || how(old) != how(new)
            || called.is_some_and(|name| {
                let circuit = |plan: &Plan| {
                    plan.functions.iter().find(|function| function.name == name).map(|function| function.circuit)
                };
                self.replaces_function(after, &name) || circuit(self) != circuit(after)
            })
            || published.0.iter().chain(&published.1).any(|name| {
                self.replaces_output(after, name) || self.circuit_of_output(name) != after.circuit_of_output(name)
            })
    }

    fn circuit_of_output(&self, name: &str) -> Option<circuit::Settings> {
        self.outputs.iter().find(|output| output.name == name)?.circuit
    }

    /// Whether an output is another one in `after`.
    #[must_use]
    pub fn replaces_output(&self, after: &Plan, name: &str) -> bool {
        !self.wording.outputs.same(&after.wording.outputs, name)
    }
}

/// The name of the output at a place.
fn output(plan: &Plan, place: Option<usize>) -> Option<&Text> {
    Some(&plan.outputs.get(place?)?.name)
}

/// Everything that a rule means, with names for places.
fn facts<'p>(plan: &'p Plan, trigger: &'p Trigger, rule: &'p Rule) -> impl PartialEq + use<'p> {
    let sources: Vec<_> = trigger.sources.iter().filter_map(|place| Some(&plan.sources.get(*place)?.name)).collect();
    let function = rule.function.and_then(|place| Some(&plan.functions.get(place)?.name));
    let names = |places: &[usize]| places.iter().map(|place| output(plan, Some(*place))).collect::<Vec<_>>();
    let (outputs, told) = (names(&rule.outputs), (names(&rule.on_success), names(&rule.on_failure)));
    (
        (sources, &trigger.filter, &rule.filter),
        (trigger.unmatched, output(plan, trigger.dead_letter)),
        (function, outputs, told, output(plan, rule.dead_letter)),
        (rule.order, rule.max_in_flight, rule.max_seats, rule.rate, rule.weight, rule.timeout, &rule.retry),
    )
}
