//! Results that go back into the router: who sends them, who takes them, and which would go round for ever.
//!
//! Decisions: a trigger takes what comes back **by naming the router among its sources**, so that no rule meets its own results
//! by accident; what is **certain** to go round for ever is refused, what goes round unless the function's results differ is
//! warned of, and a filter that may tell both apart is believed: the count of rounds ends what nobody saw.

use super::build::Adapters;
use super::node::{Entry, Node, Value};
use super::plan::{Output, Rule, Source, Trigger};
use super::section::Sections;
use super::suggest::quoted;
use super::{Check, Span, Spanned};
use crate::event::{Event, Text};
use crate::notice::{Failure, Notice};
use crate::router::returns::{NAME, Plan};
use crate::spool::{OnFull, Policy};
use crate::store::Stamp;

/// Whether a value names the router, alone or among others.
fn names(value: &Node) -> bool {
    match &value.value {
        Value::List(items) => items.iter().any(|item| item.text() == Some(NAME)),
        Value::Scalar { text, .. } => text == NAME,
        Value::Map(_) => false,
    }
}

fn any(node: &Node, keys: &[&str]) -> bool {
    node.entries().unwrap_or_default().iter().any(|entry| keys.contains(&entry.name()) && names(&entry.value))
}

/// The rules of a trigger, as they are written.
fn rules(trigger: &Entry) -> &[Entry] {
    let entries = trigger.value.entries().unwrap_or_default();
    let rules = entries.iter().find(|entry| entry.name() == "rules");
    rules.and_then(|rules| rules.value.entries()).unwrap_or_default()
}

/// Whether anything in the files goes back into the router, or is taken from there.
pub(super) fn is_named(sections: &Sections) -> bool {
    const SENDS: [&str; 3] = ["output", "onSuccess", "onFailure"];
    let of_trigger = |trigger: &Entry| {
        any(&trigger.value, &["source"]) || rules(trigger).iter().any(|rule| any(&rule.value, &SENDS))
    };
    sections.triggers.iter().any(of_trigger) || sections.defaults.iter().any(|entry| any(&entry.value, &SENDS))
}

/// Adds the way back to the outputs.
pub(super) fn add_output(outputs: &mut Adapters<Output>) {
    let output = Output { name: NAME.into(), circuit: None, plan: Box::new(Plan) };
    outputs.add(Spanned::new(NAME.into(), Span::default()), Some(output));
}

/// Adds what comes back to the sources; it is kept like everything in a spool, but nothing of it is dropped.
pub(super) fn add_source(sources: &mut Adapters<Source>, seats: usize, spool: Policy) {
    let spool = Some(Policy { on_full: OnFull::Block, max_age: None, ..spool });
    let source = Source { name: NAME.into(), seats, spool, dead_letter: None, plan: Box::new(Plan) };
    sources.add(Spanned::new(NAME.into(), Span::default()), Some(source));
}

/// Refuses the router's name for anything else.
pub(super) fn reserve(noun: &str, name: &Spanned<Text>, check: &mut Check) {
    if name.as_str() == NAME {
        let help = "choose another name; it stands for results that go back into the router";
        check.error(name.span, format!("the {noun} name '{NAME}' is reserved"), help);
    }
}

/// What goes where, of one configuration.
struct Ways<'w> {
    sections: &'w Sections,
    source: usize,
    output: usize,
}

/// Notes what is taken by nobody, what nobody sends, and what goes round for ever.
pub(super) fn judge(
    sections: &Sections,
    sources: &Adapters<Source>,
    outputs: &Adapters<Output>,
    triggers: &[Trigger],
    check: &mut Check,
) {
    let (Some(source), Some(output)) = (sources.places.get(NAME), outputs.places.get(NAME)) else { return };
    let ways = Ways { sections, source: *source, output: *output };
    let all = || triggers.iter().flat_map(|trigger| trigger.rules.iter().map(move |rule| (trigger, rule)));
    let takes = |trigger: &&Trigger| trigger.sources.contains(&ways.source);
    let sender = all().find(|(_, rule)| ways.sends(rule));
    match (sender, triggers.iter().find(takes)) {
        (Some((trigger, rule)), None) => {
            let message = format!("what rule {} sends back into the router is taken by no trigger", id(trigger, rule));
            let help = format!("write 'source: {NAME}', alone or in a list, on the trigger whose rules are to take it");
            check.error(ways.span(trigger, Some(rule)), message, help);
        }
        (None, Some(trigger)) => {
            let message =
                format!("trigger {} takes results from the router, and no rule sends any", quoted(&trigger.name));
            let help = format!("write 'output: {NAME}' on the rules whose results it is to take");
            check.warning(ways.span(trigger, None), message, help);
        }
        _ => {}
    }
    for (trigger, rule) in all().filter(|(trigger, _)| takes(trigger)) {
        ways.round(trigger, rule, check);
        ways.told_of_itself(trigger, rule, check);
    }
}

fn id(trigger: &Trigger, rule: &Rule) -> String {
    quoted(&rule.id(trigger))
}

impl Ways<'_> {
    fn sends(&self, rule: &Rule) -> bool {
        rule.outputs.iter().chain(&rule.on_success).chain(&rule.on_failure).any(|place| *place == self.output)
    }

    /// Where a trigger is written, or a rule of it.
    fn span(&self, trigger: &Trigger, rule: Option<&Rule>) -> Span {
        let Some(entry) = self.sections.triggers.iter().find(|entry| entry.name() == trigger.name) else {
            return Span::default();
        };
        let rule = rule.and_then(|rule| rules(entry).iter().find(|entry| entry.name() == rule.name));
        rule.map_or(entry.key.span, |rule| rule.key.span)
    }

    /// Notes a rule that takes its own results again.
    fn round(&self, trigger: &Trigger, rule: &Rule, check: &mut Check) {
        if !rule.outputs.contains(&self.output) {
            return;
        }
        let span = self.span(trigger, Some(rule));
        if rule.function.is_none() {
            let message = format!(
                "rule {} sends events back into the router as they are, and takes them again",
                id(trigger, rule)
            );
            check.error(span, message, "name another output, or a trigger that does not take from the router");
        } else if trigger.filter.is_none() && rule.filter.is_none() {
            let message = format!("rule {} takes its own results again", id(trigger, rule));
            let help = "write a 'when' that they do not fit, such as another type; what goes round 16 times becomes a dead letter";
            check.warning(span, message, help);
        }
    }

    /// Warns of a rule that takes what is told of its own deliveries.
    fn told_of_itself(&self, trigger: &Trigger, rule: &Rule, check: &mut Check) {
        let takes = |notice: Option<Event>| {
            let fits = |event: &Event| {
                [&trigger.filter, &rule.filter].into_iter().flatten().all(|filter| filter.matches(event))
            };
            notice.as_ref().is_some_and(fits)
        };
        let Ok(event) = Event::new("1".into(), "/".into(), "event".into()) else { return };
        let rule_id = rule.id(trigger);
        let notice =
            Notice { rule: &rule_id, function: None, attempts: 1, redrives: 0, time: Stamp::default(), event: &event };
        let failure =
            Failure { reason: "rejected", code: None, message: "", first: Stamp::default(), letter: String::new() };
        for (key, places, notice) in [
            ("onSuccess", &rule.on_success, notice.succeeded(&[])),
            ("onFailure", &rule.on_failure, notice.failed(&failure)),
        ] {
            if places.contains(&self.output) && takes(notice) {
                let message = format!("rule {} takes what its own '{key}' tells", id(trigger, rule));
                let help = "write a 'when' that it does not fit, such as another type, or name another output";
                check.warning(self.span(trigger, Some(rule)), message, help);
            }
        }
    }
}
