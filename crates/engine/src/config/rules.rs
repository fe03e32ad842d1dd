//! Triggers and rules: what refers to what, and what it adds up to.

use std::collections::HashSet;
use std::num::NonZeroU32;
use std::time::Duration;

use super::build::{Adapters, Called, Defaults, without};
use super::dead_letter::Targets;
use super::decode::{Whole, decode_whole};
use super::ending::{Ending, Pausing};
use super::file::{DeliveryEntry, OrderEntry, RateEntry, RequireEntry, RuleEntry, TriggerEntry, UnmatchedEntry};
use super::guarantee::{Delivery, Guarantee, Order, guarantee};
use super::node::Entry;
use super::plan::{Output, Rule, Source, State, Trigger, Unmatched};
use super::prune::Used;
use super::renamed::Renamed;
use super::section::name;
use super::share::Shares;
use super::suggest::{instead, quoted};
use super::told::{Telling, Told};
use super::when::WhenEntry;
use super::{Check, Period, Span, Spanned, setting};
use crate::dispatch::{BURST_LEAST, Rate, Weight};
use crate::event::Text;
use crate::filter::Filter;
use crate::router::returns;

/// Reads triggers against the adapters that the files define.
pub(super) struct Rules<'a> {
    sources: &'a Adapters<Source>,
    functions: &'a Adapters<Called>,
    outputs: &'a Adapters<Output>,
    targets: Targets<'a>,
    defaults: Defaults,
    used: [Vec<bool>; 3],
    guarantees: Vec<Guarantee>,
    /// Whether names may be missing, so that an unknown one says nothing.
    torn: bool,
    /// What is kept, and how.
    pub(super) state: State,
    /// Whether nothing is to be kept.
    pub(super) stateless: bool,
    /// What rules were called before.
    pub(super) renamed: Renamed,
    /// Their shares of the seats, where they are written.
    pub(super) shares: Shares,
}

/// The most that a rule may weigh.
const WEIGHT_MAX: u32 = 1000;

const SOURCES: usize = 0;
const FUNCTIONS: usize = 1;
const OUTPUTS: usize = 2;

impl<'a> Rules<'a> {
    pub(super) fn new(
        sources: &'a Adapters<Source>,
        functions: &'a Adapters<Called>,
        targets: Targets<'a>,
        defaults: Defaults,
    ) -> Rules<'a> {
        let outputs = targets.outputs;
        let mut used =
            [sources.names.len(), functions.names.len(), outputs.names.len()].map(|count| vec![false; count]);
        let targeted = sources.built.iter().flatten().filter_map(|source| source.dead_letter);
        targeted.for_each(|place| used[OUTPUTS][place] = true);
        Rules {
            sources,
            functions,
            outputs,
            targets,
            defaults,
            used,
            guarantees: Vec::new(),
            torn: targets.sections.torn,
            state: State::default(),
            stateless: false,
            renamed: Renamed::new(),
            shares: Shares::new(),
        }
    }

    /// Every trigger that makes sense; what does not is noted.
    pub(super) fn read(&mut self, entries: &[Entry], check: &mut Check) -> Vec<Trigger> {
        let triggers = entries.iter().filter_map(|entry| self.trigger(entry, check)).collect();
        // A reference that is wrong leaves what it meant unused, which is not worth a word.
        if !check.failed() {
            self.unused(check);
        }
        triggers
    }

    /// What the rules promise, in their order, and what they use.
    pub(super) fn end(self) -> (Vec<Guarantee>, Used) {
        let [sources, functions, outputs] = self.used;
        (self.guarantees, Used { sources, functions, outputs })
    }

    fn trigger(&mut self, entry: &Entry, check: &mut Check) -> Option<Trigger> {
        let name = name("trigger", &entry.key, check);
        let Some(entries) = entry.value.entries() else {
            let message = format!("trigger {} must be a map, not {}", quoted(&name), entry.value.sort());
            check.error(entry.value.span, message, "write 'source' and 'rules' below it");
            return None;
        };
        let rules = entries.iter().find(|inner| inner.name() == "rules");
        let common = without(&entry.value, &["rules"]);
        let (written, whole) = match decode_whole::<TriggerEntry>(&common, &entry.key, check) {
            Some((written, whole)) => (Some(written), whole),
            None => (None, Whole::No),
        };
        let mut sources = Vec::new();
        if let Some(written) = &written {
            let used = &mut self.used[SOURCES];
            sources = resolve(("source", self.torn), &written.source.0, self.sources, used, check);
            if written.source.0.is_empty() && whole == Whole::Yes {
                check.error(entry.key.span, format!("trigger {} has no source", quoted(&name)), "name at least one");
            }
        }
        let when = written.as_ref().and_then(|written| written.when.as_ref());
        let filter = when.and_then(|when| filter(when, whole, check));
        let mut trigger = Trigger {
            name: name.value,
            sources,
            filter,
            unmatched: unmatched(written.as_ref().and_then(|written| written.unmatched.as_ref())),
            dead_letter: None,
            rules: Vec::new(),
        };
        let target = written.as_ref().and_then(|written| written.dead_letter.as_ref());
        // What its rules give up is compared with its sources there.
        let keeps = trigger.unmatched == Unmatched::DeadLetter;
        let from: Vec<&Source> = self.sources_of(&trigger).filter(|_| keeps).collect();
        let (owner, usual) = (format!("trigger {}", quoted(&trigger.name)), (self.defaults.dead_letter, name.span));
        trigger.dead_letter = self.targets.of_events(&owner, &from, target, usual, check);
        trigger.dead_letter.filter(|_| keeps).into_iter().for_each(|place| self.used[OUTPUTS][place] = true);
        self.rules(entry, rules, &mut trigger, check);
        written.map(|_| trigger)
    }

    fn rules(&mut self, owner: &Entry, rules: Option<&Entry>, trigger: &mut Trigger, check: &mut Check) {
        let empty = rules.is_none_or(|rules| rules.value.entries().is_some_and(<[Entry]>::is_empty));
        if empty {
            let message = format!("trigger {} has no rules", quoted(&trigger.name));
            check.error(owner.key.span, message, "add 'rules', for without one its events go nowhere");
        }
        let Some(rules) = rules else { return };
        let Some(entries) = rules.value.entries() else {
            let message = format!("'rules' must be a map of names, not {}", rules.value.sort());
            check.error(rules.value.span, message, "write the rule's name and, below it, what it does");
            return;
        };
        for entry in entries {
            let name = name("rule", &entry.key, check);
            if let Some((written, whole)) = decode_whole::<RuleEntry>(&entry.value, &entry.key, check) {
                let rule = self.rule(&name, &written, whole, trigger, check);
                trigger.rules.push(rule);
            }
        }
    }

    fn rule(
        &mut self,
        name: &Spanned<Text>,
        written: &RuleEntry,
        whole: Whole,
        trigger: &Trigger,
        check: &mut Check,
    ) -> Rule {
        let id = format!("{}/{}", trigger.name, name.value);
        let called = written.function.as_slice();
        let function = resolve(("function", self.torn), called, self.functions, &mut self.used[FUNCTIONS], check).pop();
        let outputs = resolve(("output", self.torn), &written.output.0, self.outputs, &mut self.used[OUTPUTS], check);
        if written.function.is_none() && written.output.0.is_empty() && whole == Whole::Yes {
            let message = format!("rule {} has neither a function nor an output", quoted(&id));
            check.error(name.span, message, "add 'function', or 'output' to forward the events themselves");
        }
        let filter = written.when.as_ref().and_then(|when| filter(when, whole, check));
        if let (Some(when), Some(filter)) = (&written.when, &filter) {
            never(when.span, trigger.filter.as_ref(), filter, check);
        }
        let order = written.order.as_ref().map(|order| self.ordered("order", order, trigger, check));
        let timeout = written.timeout.as_ref().map(|timeout| setting::period("timeout", timeout, check));
        if let (Some(timeout), None) = (&written.timeout, &written.function) {
            let help = "leave it out, or name a 'function' that is called";
            check.error(timeout.span, "'timeout' bounds a call, but no function is called", help);
        }
        let from: Vec<&Source> = self.sources_of(trigger).collect();
        let target = written.dead_letter.as_ref();
        let owner = format!("rule {}", quoted(&id));
        let dead_letter = self.targets.of_events(&owner, &from, target, (trigger.dead_letter, name.span), check);
        dead_letter.into_iter().for_each(|place| self.used[OUTPUTS][place] = true);
        let told = Telling { written, name: name.span, owner: &owner, from: &from, targets: self.targets };
        let Told { success, failure } = told.read(&self.defaults.told, check);
        success.iter().chain(&failure).for_each(|place| self.used[OUTPUTS][*place] = true);
        let order = order.unwrap_or(Order::Key);
        let mut retry = Ending::from(written).policy(self.defaults.retry.clone(), check);
        Ending::room(written, &mut retry, order, check);
        let rule = Rule {
            name: name.value.clone(),
            filter,
            function,
            outputs,
            order,
            max_seats: usize::MAX,
            max_in_flight: written.max_in_flight.as_ref().map_or(usize::MAX, |most| at_least_one(most, check)),
            rate: written.rate_limit.as_ref().and_then(|limit| rate(limit, check)),
            weight: written.weight.as_ref().map_or(Weight::MIN, |weight| heavy(weight, written, check)),
            timeout: timeout.unwrap_or_else(|| self.timeout(function)),
            retry,
            dead_letter,
            is_fed_back: from.iter().any(|source| returns::is(&source.name)),
            on_success: success,
            on_failure: failure,
        };
        told.lacks(&rule, check);
        let allowed = written.timeout.as_ref().map_or(name.span, |timeout| timeout.span);
        leased(&rule, &id, &from, allowed, check);
        let pausing = Pausing { name: name.span, order: rule.order, sources: &from, stateless: self.stateless };
        Ending::from(written).pauses(&rule.retry, &pausing, check);
        self.promise(&id, &rule, trigger, written.require.as_ref(), check);
        self.shares.extend(written.max_seats.clone().map(|most| (Text::from(id.as_str()), most)));
        self.renamed.extend(written.renamed_from.clone().map(|before| (before, Text::from(id))));
        rule
    }

    /// Works out what the rule promises, and compares it with what the file insists on.
    fn promise(
        &mut self,
        id: &str,
        rule: &Rule,
        trigger: &Trigger,
        require: Option<&Spanned<RequireEntry>>,
        check: &mut Check,
    ) {
        let sources: Vec<&Source> = self.sources_of(trigger).collect();
        let outputs: Vec<&Output> =
            rule.outputs.iter().filter_map(|at| self.outputs.built.get(*at)?.as_ref()).collect();
        // An adapter that could not be made promises nothing that one could compare with.
        let whole =
            sources.len() == trigger.sources.len() && outputs.len() == rule.outputs.len() && !sources.is_empty();
        let required = require.and_then(|require| require.order.as_ref());
        let wanted = required.map(|order| self.ordered("require: order", order, trigger, check));
        if !whole {
            return;
        }
        let target = rule.dead_letter.and_then(|place| self.outputs.built.get(place)?.as_ref());
        let promised = guarantee(id, rule, &sources, (&outputs, target), &self.state);
        if let (Some(required), Some(Order::Key), Order::None) = (required, wanted, promised.order) {
            let message = format!("rule {} does not keep the order of keys", quoted(id));
            check.error(required.span, message, "write 'order: key', or leave 'require: order' out");
        }
        if let Some(wanted) = require.and_then(|require| require.delivery.as_ref()) {
            insist(wanted, &promised, check);
        }
        self.guarantees.push(promised);
    }

    fn sources_of(&self, trigger: &Trigger) -> impl Iterator<Item = &'a Source> {
        let sources = self.sources;
        trigger.sources.clone().into_iter().filter_map(move |at| sources.built.get(at)?.as_ref())
    }

    /// The order that somebody wrote, which every source has to be able to give.
    fn ordered(&self, key: &str, order: &Spanned<OrderEntry>, trigger: &Trigger, check: &mut Check) -> Order {
        match order.value {
            OrderEntry::Key => {
                if let Some(source) = self.sources_of(trigger).find(|source| !source.plan.facts().keyed) {
                    let message = format!("'{key}: key', but events of source {} carry no key", quoted(&source.name));
                    check.error(order.span, message, "leave it out, or write none");
                }
                Order::Key
            }
            OrderEntry::Partition => {
                let message = format!("'{key}: partition' is not available yet");
                check.error(order.span, message, "write key for events that carry one, or none");
                Order::None
            }
            OrderEntry::None => Order::None,
        }
    }

    /// The function's own timeout goes before the defaults, for it is nearer to what is called.
    fn timeout(&self, function: Option<usize>) -> Duration {
        let own = function.and_then(|at| self.functions.built.get(at)?.as_ref()?.1);
        own.or(self.defaults.timeout).unwrap_or(setting::TIMEOUT)
    }

    fn unused(&self, check: &mut Check) {
        for (noun, names, used, help) in [
            ("source", &self.sources.names, &self.used[SOURCES], "no trigger reads it; it will not be started"),
            ("function", &self.functions.names, &self.used[FUNCTIONS], "no rule calls it; it will not be started"),
            ("output", &self.outputs.names, &self.used[OUTPUTS], "no rule writes to it; it will not be opened"),
        ] {
            for (name, _) in names.iter().zip(used).filter(|(name, used)| !**used && !returns::is(name)) {
                check.warning(name.span, format!("{noun} {} is not used", quoted(name)), help);
            }
        }
    }
}

/// The indices of names, each once; unknown ones are noted with what was probably meant. Where names are `torn` away, a
/// name that nobody has says nothing.
pub(super) fn resolve<T>(
    (noun, torn): (&str, bool),
    wanted: &[Spanned<String>],
    known: &Adapters<T>,
    used: &mut [bool],
    check: &mut Check,
) -> Vec<usize> {
    let mut found: Vec<usize> = Vec::new();
    let mut once = HashSet::new();
    for name in wanted {
        let Some(at) = known.places.get(name.as_str()).copied() else {
            if !(torn && known.names.is_empty()) {
                unknown(noun, name, known, check);
            }
            continue;
        };
        if !once.insert(at) {
            let message = format!("{noun} {} is named twice", quoted(name));
            check.error(name.span, message, "name it once");
            continue;
        }
        found.push(at);
        used[at] = true;
    }
    found
}

pub(super) fn unknown<T>(noun: &str, name: &Spanned<String>, known: &Adapters<T>, check: &mut Check) {
    let names = known.names.iter().map(|known| known.as_str());
    let help = if check.is_full() { String::new() } else { instead(name, &format!("{noun}s"), names) };
    check.error(name.span, format!("unknown {noun} {}", quoted(name)), help);
}

/// Notes calls that may take longer than the broker bears: each of them would be dropped, and its event come again for ever.
fn leased(rule: &Rule, id: &str, sources: &[&Source], allowed: Span, check: &mut Check) {
    let of = |source: &Source| source.plan.lease().filter(|_| rule.function.is_some() && source.spool.is_none());
    for (source, lease) in sources.iter().filter_map(|source| Some((source, of(source)?))) {
        if lease.value < rule.timeout {
            let (name, lease_is, may) = (quoted(&source.name), Period(lease.value), Period(rule.timeout));
            let message = format!("source {name} has to give an event back after {lease_is}, before a call has to end");
            let label = format!("a call of rule {} may take {may}", quoted(id));
            check.clash(
                lease.span,
                message,
                allowed,
                &label,
                "write a longer one, a shorter 'timeout', or 'ack: spooled'",
            );
        }
    }
}

fn unmatched(written: Option<&Spanned<UnmatchedEntry>>) -> Unmatched {
    written.map_or(Unmatched::default(), |written| match written.value {
        UnmatchedEntry::Drop => Unmatched::Drop,
        UnmatchedEntry::DeadLetter => Unmatched::DeadLetter,
    })
}

fn filter(when: &Spanned<WhenEntry>, whole: Whole, check: &mut Check) -> Option<Filter> {
    if when.fits(when.span, check) { when.filter(whole, check) } else { None }
}

/// Warns of a rule that asks for something else than its trigger lets through.
fn never(span: Span, trigger: Option<&Filter>, rule: &Filter, check: &mut Check) {
    let mut pins = trigger.map(Filter::pinned).unwrap_or_default();
    pins.extend(rule.pinned());
    for (at, (attribute, text)) in pins.iter().enumerate() {
        if let Some((_, other)) = pins[..at].iter().find(|(known, other)| known == attribute && other != text) {
            let message = format!(
                "nothing matches: {} would have to be {} and {}",
                attribute.name(),
                quoted(other),
                quoted(text)
            );
            check.warning(span, message, "compare with one text, or write 'any' for either");
            return;
        }
    }
}

fn at_least_one(most: &Spanned<u32>, check: &mut Check) -> usize {
    if most.value == 0 {
        check.error(most.span, "'maxInFlight: 0' lets nothing run", "write at least 1, or leave it out");
    }
    most.value as usize
}

/// A rule's share of the function that it calls.
fn heavy(weight: &Spanned<u32>, written: &RuleEntry, check: &mut Check) -> Weight {
    if written.function.is_none() {
        let help = "leave it out, or name a 'function' that other rules call too";
        check.error(weight.span, "'weight' is a share of a function, but no function is called", help);
    }
    Weight::new(setting::number("weight", weight, 1, WEIGHT_MAX, check) as u16).unwrap_or(Weight::MIN)
}

fn rate(limit: &Spanned<RateEntry>, check: &mut Check) -> Option<Rate> {
    let RateEntry { per_second, burst } = &limit.value;
    let Some(rate) = Rate::per_second(per_second.value) else {
        // The number itself may have three hundred digits; the file shows how it was written.
        let help = "write how many in a second, such as 100 or 0.5";
        check.error(per_second.span, "'perSecond' must be more than 0 and at most a billion", help);
        return None;
    };
    let Some(burst) = burst else { return Some(rate) };
    match NonZeroU32::new(burst.value).filter(|burst| *burst >= rate.burst) {
        Some(burst) => Some(Rate { burst, ..rate }),
        None => {
            let message = format!("'burst: {}' is less than {} ms of the rate", burst.value, BURST_LEAST.as_millis());
            check.error(burst.span, message, format!("write at least {}, or leave it out", rate.burst));
            None
        }
    }
}

fn insist(wanted: &Spanned<DeliveryEntry>, promised: &Guarantee, check: &mut Check) {
    let (fits, words) = match wanted.value {
        DeliveryEntry::AtLeastOnce => (promised.delivery == Delivery::AtLeastOnce, "at least once"),
        DeliveryEntry::AtMostOnce => (promised.delivery == Delivery::AtMostOnce, "at most once"),
    };
    if fits {
        return;
    }
    let reason = match wanted.value {
        DeliveryEntry::AtLeastOnce => promised.weakness(),
        DeliveryEntry::AtMostOnce => promised.excess(),
    };
    let help = format!("{reason}; change that, or leave 'delivery' out");
    let message = format!("{} cannot promise {words}, only {}", quoted(&promised.rule), promised.delivery);
    check.error(wanted.span, message, help);
}
