//! Until when a delivery is tried, and what becomes of it when that is over.

use super::file::{DefaultsEntry, RetryEntry, RuleEntry};
use super::state::max_age;
use super::{Check, Period, Spanned, setting};
use crate::retry::Policy;

/// What is written of it in one place.
#[derive(Clone, Copy)]
pub(super) struct Ending<'w> {
    retry: Option<&'w Spanned<RetryEntry>>,
    max_age: Option<&'w Spanned<Period>>,
}

impl<'w> From<&'w RuleEntry> for Ending<'w> {
    fn from(written: &'w RuleEntry) -> Ending<'w> {
        Ending { retry: written.retry.as_ref(), max_age: written.max_age.as_ref() }
    }
}

impl<'w> From<&'w DefaultsEntry> for Ending<'w> {
    fn from(written: &'w DefaultsEntry) -> Ending<'w> {
        Ending { retry: written.retry.as_ref(), max_age: written.max_age.as_ref() }
    }
}

impl Ending<'_> {
    /// What is written, on top of what holds otherwise.
    pub(super) fn policy(self, base: Policy, check: &mut Check) -> Policy {
        let mut policy = setting::retry(self.retry, base, check);
        if let Some(age) = self.max_age {
            policy.max_age = Some(max_age(age, check));
        }
        self.in_time(&policy, check);
        policy
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
