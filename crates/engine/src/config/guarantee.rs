//! The effective guarantee of a rule: what its whole chain promises, from the source to the last output.
//!
//! A chain is as weak as its weakest link. What is lost and what is repeated is said in sentences, because "at least
//! once" without its conditions is an advertisement.

use std::fmt;

use serde::Serialize;

use super::plan::{Output, Rule, Source, State};
use super::{AckPoint, ByteSize, Period};
use crate::retry::{Exhausted, Room};
use crate::spool::{OnFull, Policy};
use crate::store::{self, Quota, Sync};

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
    /// Once or more, if it has come as far as the spool.
    AtLeastOnceFromSpool,
    /// Once or more.
    AtLeastOnce,
}

/// In which order deliveries run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Order {
    /// Those of one key one after the other, and those without a key in parallel.
    Key,
    /// In parallel, in no order.
    None,
}

/// The outputs of results, and that of what is given up.
pub type Outputs<'o> = (&'o [&'o Output], Option<&'o Output>);

/// What `rule`, known as `id`, promises for events of `sources` that go to `outputs`, with this state; the
/// slices hold the rule's own.
#[must_use]
pub fn guarantee(id: &str, rule: &Rule, sources: &[&Source], outputs: Outputs<'_>, state: &State) -> Guarantee {
    let chains: Vec<Chain> = sources.iter().map(|source| chain((id, rule), source, outputs, state)).collect();
    let delivery = weakest(&chains);
    let keyed = sources.iter().any(|source| source.plan.facts().keyed);
    let order = if keyed { rule.order } else { Order::None };
    Guarantee { rule: id.to_owned(), delivery, order, sources: chains }
}

/// Sources of which some lose and others repeat promise nothing together.
fn weakest(chains: &[Chain]) -> Delivery {
    let least = chains.iter().map(|chain| chain.delivery).min().unwrap_or(Delivery::BestEffort);
    let same = chains.iter().all(|chain| chain.delivery == least);
    if same || least == Delivery::AtLeastOnceFromSpool { least } else { Delivery::BestEffort }
}

fn chain((id, rule): (&str, &Rule), source: &Source, (outputs, target): Outputs<'_>, state: &State) -> Chain {
    let sync = state.sync;
    let mut facts = source.plan.facts();
    let mut lost = Vec::new();
    let waits = facts.ack != AckPoint::Received;
    let dropped = source.spool.map_or_else(Vec::new, |policy| from_spool(policy, sync));
    let keeps = dropped.is_empty();
    if source.spool.is_some() {
        if !facts.redelivers {
            lost.push(
                "what is not yet durable in the spool when the engine crashes or is killed, for nobody sends it again"
                    .to_owned(),
            );
        }
        lost.extend(dropped);
    } else if !facts.redelivers {
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
    lost.extend(given_up(rule, &kept(state.dead_letters, target)));
    let mut repeated = Vec::new();
    if facts.redelivers {
        repeated.push("what was not yet acknowledged when the engine or its connection broke".to_owned());
    }
    if source.spool.is_some() {
        repeated.push("what was taken from the spool and not yet done when the engine broke".to_owned());
    }
    if rule.retry.max_attempts > 1 {
        repeated.push("what was done but not confirmed in time, by the next attempt".to_owned());
    }
    let whole = waits && keeps && rule.retry.exhausted != Exhausted::Drop && forgetful.is_empty();
    let delivery = match (whole && facts.redelivers, whole && source.spool.is_some(), repeated.is_empty()) {
        (true, ..) => Delivery::AtLeastOnce,
        (false, true, _) => Delivery::AtLeastOnceFromSpool,
        (false, false, true) => Delivery::AtMostOnce,
        (false, false, false) => Delivery::BestEffort,
    };
    let acknowledged = match (facts.ack, sync) {
        (AckPoint::Received, _) => "on receipt".to_owned(),
        (AckPoint::Spooled, Sync::Always) => "when it is durable in the spool".to_owned(),
        (AckPoint::Spooled, Sync::Interval(interval)) => {
            format!("when it is in the spool, which is forced to the disk every {}", Period(interval))
        }
        (AckPoint::Processed, _) => "when every matched delivery has ended".to_owned(),
    };
    let mut limits = std::mem::take(&mut facts.limits);
    limits.extend(crowd(rule));
    limits.extend(paused(id, rule));
    if let Some(policy) = source.spool.filter(|policy| policy.on_full == OnFull::Block) {
        let room = ByteSize(policy.max_bytes);
        limits.push(format!("a spool that holds {room} of events that are not settled holds the source back"));
    }
    if rule.order == Order::Key && facts.keyed && !facts.in_order && source.spool.is_none() {
        limits.push("events of one key keep their order until the engine or its connection breaks: what comes again may come after newer ones".to_owned());
    }
    for output in outputs {
        limits.extend(output.plan.limits().into_iter().map(|limit| format!("output '{}': {limit}", output.name)));
    }
    Chain { source: source.name.to_string(), delivery, acknowledged, lost, repeated, limits }
}

/// How an event fails for the last time.
fn fails(rule: &Rule) -> String {
    match rule.retry.max_attempts {
        1 => "whose only attempt fails".to_owned(),
        attempts => format!("that fails {attempts} times"),
    }
}

/// How many that wait on the disk hold the sources back, where the rule bounds that.
fn crowd(rule: &Rule) -> impl Iterator<Item = String> {
    let Room { rule: rows, key } = rule.retry.room;
    let rows = (rows < Room::ENDLESS.rule).then(|| format!("{rows} parked deliveries hold the source back (parkMax)"));
    let key = (key < Room::ENDLESS.key)
        .then(|| format!("{key} parked deliveries of one key hold the source back (parkMaxPerKey)"));
    rows.into_iter().chain(key)
}

/// What such an event brings to a stop, if it does.
fn paused(id: &str, rule: &Rule) -> Option<String> {
    let (what, rest) = match rule.retry.exhausted {
        Exhausted::PauseKey => ("its key", "; one without a key becomes a dead letter"),
        Exhausted::PauseRule => ("the rule", ""),
        Exhausted::DeadLetter | Exhausted::Drop => return None,
    };
    Some(format!("an event {} pauses {what} until 'tidemill resume {id}'{rest}", fails(rule)))
}

/// What the rule does not do what it should with, and where that is `kept`.
fn given_up(rule: &Rule, kept: &str) -> Vec<String> {
    let old = rule.retry.max_age.map(|age| format!(", or that is older than {} when it would be tried", Period(age)));
    let old = old.unwrap_or_default();
    let fails = fails(rule);
    match rule.retry.exhausted {
        Exhausted::DeadLetter => vec![format!("the effect of an event {fails} or is rejected{old}; {kept}")],
        Exhausted::PauseKey | Exhausted::PauseRule => {
            vec![format!("the effect of an event that is rejected{old}; {kept}")]
        }
        Exhausted::Drop => vec![
            format!("an event {fails}, which is counted and kept nowhere (onExhausted: drop)"),
            format!("the effect of an event that is rejected{old}; {kept}"),
        ],
    }
}

/// What becomes of an event that is given up.
fn kept(quota: Quota, target: Option<&Output>) -> String {
    let mut kept = "the event itself is kept as a dead letter".to_owned();
    if let Some(output) = target {
        kept += &format!(" and goes to output '{}'", output.name);
    }
    if let Some(age) = quota.max_age {
        kept += &format!(" for {}", Period(age));
    }
    if let Some(room) = quota.max_bytes.map(ByteSize) {
        kept += &match quota.on_full {
            store::OnFull::Block => format!(", and {room} of them hold the rule back"),
            store::OnFull::DropOldest => format!(", and the oldest go when there are more than {room}"),
        };
    }
    kept
}

/// What a spool takes and does not give.
fn from_spool(policy: Policy, sync: Sync) -> Vec<String> {
    let mut lost = Vec::new();
    if let Sync::Interval(interval) = sync {
        lost.push(format!(
            "what was acknowledged within the last {} when the engine or its machine crashes (fsync: interval)",
            Period(interval)
        ));
    }
    let room = ByteSize(policy.max_bytes);
    match policy.on_full {
        OnFull::Block => {}
        OnFull::DropOldest => lost.push(format!(
            "the oldest events that wait in the spool when it holds {room} and more come (onFull: dropOldest)"
        )),
        OnFull::DropNewest => {
            lost.push(format!("what comes while the spool holds {room} (onFull: dropNewest)"));
        }
    }
    if let Some(age) = policy.max_age {
        lost.push(format!("what waits in the spool for longer than {} (maxAge)", Period(age)));
    }
    lost
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
            Delivery::AtLeastOnceFromSpool => "at least once from the spool on",
            Delivery::AtLeastOnce => "at least once",
        })
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Order::Key => "in order of each key",
            Order::None => "in no order",
        })
    }
}
