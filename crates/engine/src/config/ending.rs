//! Until when a delivery is tried, and what becomes of it when that is over.

use super::file::{DefaultsEntry, RetryEntry, RuleEntry};
use super::guarantee::Order;
use super::plan::Source;
use super::state::max_age;
use super::suggest::quoted;
use super::{Check, Period, Span, Spanned, setting};
use crate::retry::{Exhausted, Hold, Policy, Room};

/// What is written of it in one place.
#[derive(Clone, Copy)]
pub(super) struct Ending<'w> {
    retry: Option<&'w Spanned<RetryEntry>>,
    max_age: Option<&'w Spanned<Period>>,
    exhausted: Option<&'w Spanned<Exhausted>>,
}

/// What a rule is made of that pauses.
pub(super) struct Pausing<'p> {
    /// Where to say what is wrong with something that the rule inherits.
    pub(super) name: Span,
    pub(super) order: Order,
    pub(super) sources: &'p [&'p Source],
    /// Whether there is no state.
    pub(super) stateless: bool,
}

impl<'w> From<&'w RuleEntry> for Ending<'w> {
    fn from(written: &'w RuleEntry) -> Ending<'w> {
        let exhausted = written.on_exhausted.as_ref();
        Ending { retry: written.retry.as_ref(), max_age: written.max_age.as_ref(), exhausted }
    }
}

impl<'w> From<&'w DefaultsEntry> for Ending<'w> {
    fn from(written: &'w DefaultsEntry) -> Ending<'w> {
        let exhausted = written.on_exhausted.as_ref();
        Ending { retry: written.retry.as_ref(), max_age: written.max_age.as_ref(), exhausted }
    }
}

impl Ending<'_> {
    /// What is written, on top of what holds otherwise.
    pub(super) fn policy(self, base: Policy, check: &mut Check) -> Policy {
        let mut policy = setting::retry(self.retry, base, check);
        if let Some(age) = self.max_age {
            policy.max_age = Some(max_age(age, check));
        }
        if let Some(exhausted) = self.exhausted {
            policy.exhausted = exhausted.value;
        }
        self.in_time(&policy, check);
        policy
    }

    /// How many of a rule's deliveries may wait on the disk, as it is written.
    pub(super) fn room(written: &RuleEntry, policy: &mut Policy, order: Order, check: &mut Check) {
        let read = |key: &str, most: &Option<Spanned<u32>>, check: &mut Check| {
            let most = most.as_ref()?;
            if policy.hold == Hold::Source {
                let message = format!("'{key}' bounds what waits on the disk, and 'hold: source' keeps nothing there");
                check.error(most.span, message, "leave it out, or write 'hold: state'");
            }
            Some(setting::number(key, most, 1, u32::MAX, check))
        };
        let rule = read("parkMax", &written.park_max, check);
        let key = read("parkMaxPerKey", &written.park_max_per_key, check);
        if let Some(most) = written.park_max_per_key.as_ref().filter(|_| order == Order::None) {
            let message = "'parkMaxPerKey' bounds what stands behind a key, and without an order nothing does";
            check.error(most.span, message, "write 'order: key', or 'parkMax' instead");
        }
        let Room { rule: endless, key: whole } = policy.room;
        policy.room = Room {
            rule: rule.map_or(endless, |rows| rows as u64),
            key: key.map_or(whole, |rows| u32::try_from(rows).unwrap_or(whole)),
        };
    }

    /// Notes a pause that the rest of the rule does not bear.
    pub(super) fn pauses(self, policy: &Policy, rule: &Pausing<'_>, check: &mut Check) {
        let word = match policy.exhausted {
            Exhausted::PauseKey => "onExhausted: pauseKey",
            Exhausted::PauseRule => "onExhausted: pauseRule",
            Exhausted::DeadLetter | Exhausted::Drop => return,
        };
        let span = self.exhausted.map_or(rule.name, |written| written.span);
        let by_key = policy.exhausted == Exhausted::PauseKey;
        let instead = "write 'onExhausted: deadLetter' on this rule";
        if rule.stateless {
            check.error(span, format!("'{word}' needs a state folder, and the file says 'state: none'"), instead);
        } else if policy.hold == Hold::Source {
            let message = format!("'{word}' keeps what is paused on the disk, and 'hold: source' keeps nothing there");
            check.error(span, message, format!("write 'hold: state', or {instead}"));
        }
        if !by_key {
            return;
        }
        if rule.order == Order::None {
            let message = format!("'{word}' pauses a key, and without an order no delivery stands behind its key");
            check.error(span, message, format!("write 'order: key' or 'onExhausted: pauseRule', or {instead}"));
        } else if let Some(source) = rule.sources.iter().find(|source| !source.plan.facts().keyed) {
            let message = format!("'{word}', but events of source {} carry no key", quoted(&source.name));
            check.error(span, message, format!("write 'onExhausted: pauseRule', or {instead}"));
        }
    }

    /// Notes an age before which the last attempt cannot come. What is inherited whole was looked at where it is written.
    fn in_time(self, policy: &Policy, check: &mut Check) {
        let (Some(bound), window) = (policy.max_age, policy.window()) else { return };
        let is_wrong = self.max_age.is_some_and(|age| age.value.0.is_zero());
        if window <= bound || is_wrong {
            return;
        }
        let (attempts, window, bound) = (policy.max_attempts, Period(window), Period(bound));
        let message = format!("{attempts} attempts take {window} at least, and 'maxAge' is {bound}");
        let help = "write a longer 'maxAge', fewer attempts, or shorter waits";
        match (self.max_age, self.retry) {
            (Some(age), Some(retry)) => check.clash(age.span, message, retry.span, "the attempts", help),
            (Some(age), None) => check.error(age.span, message, help),
            (None, Some(retry)) => check.error(retry.span, message, help),
            (None, None) => {}
        }
    }
}
