//! What cannot be exchanged while the engine runs, each in a sentence that says what to do.

use std::sync::Arc;

use crate::config::Plan;
use crate::config::guarantee::Order;
use crate::dead_letter::{Addressees, Archive, Post};
use crate::event::Text;
use crate::router::returns;

use super::super::letters::targets;
use super::super::live::{Live, RunningSource};

/// Why the one plan cannot follow the other in a running engine.
pub(super) fn refusal(before: &Plan, after: &Plan, live: &Live, letters: &Archive) -> Option<String> {
    if before.name != after.name {
        let message = format!("the configuration is called '{}' and not '{}' any more", after.name, before.name);
        return Some(format!("{message}: start another engine for it"));
    }
    if before.state != after.state {
        return Some("'state' changed: restart to apply".to_owned());
    }
    let Addressees { letters: forwarded, notices } = targets(after).addressees();
    if let Some(output) = forwarded.iter().find(|output| letters.outbox(Post::Letters, output).is_none()) {
        return Some(format!("output '{output}' gets dead letters for the first time: restart to apply"));
    }
    if let Some(output) = notices.iter().find(|output| letters.outbox(Post::Notices, output).is_none()) {
        return Some(format!("output '{output}' is told of failures for the first time: restart to apply"));
    }
    let was = |(was, _): &&(Text, Text)| {
        was.split_once('/').is_some_and(|(trigger, rule)| before.rule(trigger, rule).is_some())
    };
    if let Some((was, is)) = after.renamed.iter().find(was) {
        return Some(format!("rule '{is}' is renamed from '{was}': restart to apply"));
    }
    way_back(before, after)
        .or_else(|| spools(before, after))
        .or_else(|| names(after, live))
        .or_else(|| orders(before, after))
}

/// The way back into the router is a spool, and somebody may be about to take it.
fn way_back(before: &Plan, after: &Plan) -> Option<String> {
    let there = |plan: &Plan| plan.sources.iter().any(|source| returns::is(&source.name));
    match (there(before), there(after)) {
        (false, true) => Some("results go back into the router for the first time: restart to apply".to_owned()),
        (true, false) => Some("no result goes back into the router any more: restart to apply".to_owned()),
        _ => None,
    }
}

/// A spool is a table of a file, which is made when that is opened.
fn spools(before: &Plan, after: &Plan) -> Option<String> {
    after.sources.iter().find_map(|source| {
        let old = before.sources.iter().find(|old| old.name == source.name);
        let (name, policy) = (&source.name, old.map(|old| (old.spool, old.seats)));
        match (policy, source.spool) {
            (None, Some(_)) => Some(format!("source '{name}' is new and acknowledges from a spool: restart to apply")),
            (Some((Some(_), seats)), Some(_)) if seats != source.seats => {
                Some(format!("'seats' of source '{name}' changed, and they are its spool's, too: restart to apply"))
            }
            (Some((old, _)), new) if old != new => {
                Some(format!("what the spool of source '{name}' is and holds changed: restart to apply"))
            }
            _ => None,
        }
    })
}

/// What is new must not meet what has its name and has not ended.
fn names(after: &Plan, live: &Live) -> Option<String> {
    let leaving = |name: &Text| live.leaving.rules.iter().any(|rule| rule.name == *name);
    let ids = after.triggers.iter().flat_map(|trigger| trigger.rules.iter().map(|rule| rule.id(trigger)));
    let rule = ids.into_iter().find(leaving).map(|id| format!("rule '{id}'"));
    // One that begins anew waits for its own earlier run.
    let has = |sources: &[Arc<RunningSource>], name: &Text| sources.iter().any(|known| known.name == *name);
    let source = after
        .sources
        .iter()
        .find(|source| has(&live.leaving.sources, &source.name) && !has(&live.sources, &source.name));
    let met = rule.or_else(|| source.map(|source| format!("source '{}'", source.name)))?;
    Some(format!("{met} of an earlier configuration has not ended yet: reload again in a moment"))
}

/// What runs side by side has no order, and what follows cannot be put behind it.
fn orders(before: &Plan, after: &Plan) -> Option<String> {
    let rules = after.triggers.iter().flat_map(|trigger| trigger.rules.iter().map(move |rule| (trigger, rule)));
    let mut begins = rules.filter(|(trigger, rule)| {
        let old = before.rule(&trigger.name, &rule.name);
        old.is_some_and(|(_, old)| old.order == Order::None && rule.order == Order::Key)
    });
    begins.next().map(|(trigger, rule)| {
        format!("rule '{}' kept no order and is to keep that of keys: restart to apply", rule.id(trigger))
    })
}
