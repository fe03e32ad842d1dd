//! The effective guarantee of a rule: what its whole chain promises, from the source to the last output.
//!
//! A chain is as weak as its weakest link. What is lost and what is repeated is said in sentences, because "at least
//! once" without its conditions is an advertisement.

use std::fmt;

use serde::Serialize;

use super::AckPoint;
use super::plan::{Output, Rule, Source};

/// What one rule promises.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Guarantee {
    /// `trigger/rule`.
    pub rule: String,
    /// How often an event has its effect, by the weakest of the sources.
    pub delivery: Delivery,
    /// In which order deliveries run.
    pub order: Order,
    /// What each of the sources adds.
    pub sources: Vec<Chain>,
}

/// What holds for the events of one source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Chain {
    /// The source's name.
    pub source: String,
    /// How often an event has its effect.
    pub delivery: Delivery,
    /// When the source acknowledges a message, as a sentence.
    pub acknowledged: String,
    /// What can be lost, and when.
    pub lost: Vec<String>,
    /// What can have its effect more than once, and when.
    pub repeated: Vec<String>,
    /// The broker's limits that a user should know.
    pub limits: Vec<String>,
}

/// How often an event has its effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Delivery {
    /// Perhaps not at all, perhaps more than once.
    BestEffort,
    /// Once or not at all.
    AtMostOnce,
    /// Once or more.
    AtLeastOnce,
}

/// In which order deliveries run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Order {
    /// In parallel, in no order.
    None,
}

/// What `rule`, known as `id`, promises for events of `sources` that go to `outputs`; the slices hold the rule's own.
#[must_use]
pub fn guarantee(id: &str, rule: &Rule, sources: &[&Source], outputs: &[&Output]) -> Guarantee {
    let sources: Vec<Chain> = sources.iter().map(|source| chain(rule, source, outputs)).collect();
    let delivery = weakest(&sources);
    Guarantee { rule: id.to_owned(), delivery, order: Order::None, sources }
}

/// Sources that promise different things promise nothing together.
fn weakest(chains: &[Chain]) -> Delivery {
    let mut deliveries = chains.iter().map(|chain| chain.delivery);
    let first = deliveries.next().unwrap_or(Delivery::BestEffort);
    if deliveries.all(|delivery| delivery == first) { first } else { Delivery::BestEffort }
}

fn chain(rule: &Rule, source: &Source, outputs: &[&Output]) -> Chain {
    let facts = source.plan.facts();
    let mut lost = Vec::new();
    let waits = facts.ack != AckPoint::Received;
    if !facts.redelivers {
        lost.push("what is in memory when the engine crashes or is killed, for nobody sends it again".to_owned());
    } else if !waits {
        lost.push(
            "what is in memory when the engine crashes or is killed, for it was acknowledged on receipt".to_owned(),
        );
    }
    let forgetful: Vec<&Output> = outputs.iter().copied().filter(|output| !output.plan.durable()).collect();
    for output in &forgetful {
        lost.push(format!("what output '{}' holds in memory when the engine crashes or restarts", output.name));
    }
    let attempts = rule.retry.max_attempts;
    let kept = "the event itself goes to rejects.jsonl in the state folder, 4 files of 64 MiB";
    lost.push(match attempts {
        1 => format!("the effect of an event whose only attempt fails or is rejected; {kept}"),
        _ => format!("the effect of an event that fails {attempts} times or is rejected; {kept}"),
    });
    let mut repeated = Vec::new();
    if facts.redelivers {
        repeated.push("what was not yet acknowledged when the engine or its connection broke".to_owned());
    }
    if attempts > 1 {
        repeated.push("what was done but not confirmed in time, by the next attempt".to_owned());
    }
    let delivery = match (facts.redelivers && waits && forgetful.is_empty(), repeated.is_empty()) {
        (true, _) => Delivery::AtLeastOnce,
        (false, true) => Delivery::AtMostOnce,
        (false, false) => Delivery::BestEffort,
    };
    let acknowledged = match facts.ack {
        AckPoint::Received => "on receipt",
        AckPoint::Spooled => "when it is durable in the spool",
        AckPoint::Processed => "when every matched delivery has ended",
    };
    let acknowledged = acknowledged.to_owned();
    let mut limits = facts.limits;
    for output in outputs {
        limits.extend(output.plan.limits().into_iter().map(|limit| format!("output '{}': {limit}", output.name)));
    }
    Chain { source: source.name.to_string(), delivery, acknowledged, lost, repeated, limits }
}

impl Guarantee {
    /// What keeps the rule from delivering at least once, for somebody who required it.
    #[must_use]
    pub fn weakness(&self) -> String {
        let weak = self.sources.iter().find(|chain| chain.delivery != Delivery::AtLeastOnce);
        weak.map_or_else(String::new, |chain| {
            let lost = chain.lost.first().map_or("", String::as_str);
            format!("from source '{}' it loses {lost}", chain.source)
        })
    }

    /// Why the rule does not deliver at most once, for somebody who required it.
    #[must_use]
    pub fn excess(&self) -> String {
        let reason = self.sources.iter().find_map(|chain| chain.repeated.first());
        reason.map_or_else(String::new, |reason| format!("it repeats {reason}"))
    }

    /// The guarantee in lines for people.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("{}: {}, {}", self.rule, self.delivery, self.order)];
        for chain in &self.sources {
            lines.push(format!("  from {}: {}, acknowledged {}", chain.source, chain.delivery, chain.acknowledged));
            for (word, sentences) in [("lost", &chain.lost), ("repeated", &chain.repeated), ("limit", &chain.limits)] {
                lines.extend(sentences.iter().map(|sentence| format!("    {word}: {sentence}")));
            }
        }
        lines
    }
}

impl fmt::Display for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Delivery::BestEffort => "best effort",
            Delivery::AtMostOnce => "at most once",
            Delivery::AtLeastOnce => "at least once",
        })
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Order::None => "in no order",
        })
    }
}
