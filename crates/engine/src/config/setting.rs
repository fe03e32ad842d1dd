//! Numbers and times within their bounds, with their defaults.

use std::time::Duration;

use super::file::{CircuitEntry, RetryEntry, WorkersEntry};
use super::suggest::quoted;
use super::{Check, Period, Spanned};
use crate::circuit;
use crate::pool::Limits;
use crate::retry::Policy;

/// How many messages a source may have in flight unless it says otherwise.
pub(super) const SEATS: usize = 1000;
/// How long a call may take unless somebody says otherwise.
pub(super) const TIMEOUT: Duration = Duration::from_secs(30);
/// Longer waits are a mistake, and far longer ones overflow clocks.
const PERIOD_MAX: Duration = Duration::from_secs(7 * 86_400);

/// A whole number within bounds; outside of them the nearest bound, so that checks can go on.
pub(super) fn number(key: &str, value: &Spanned<u32>, min: u32, max: u32, check: &mut Check) -> usize {
    if !(min..=max).contains(&value.value) {
        let message = format!("'{key}' is {}", value.value);
        check.error(value.span, message, format!("write a number from {min} to {max}"));
    }
    value.value.clamp(min, max) as usize
}

/// A time that is not zero and not absurd.
pub(super) fn period(key: &str, value: &Spanned<Period>, check: &mut Check) -> Duration {
    let time = value.value.0;
    if time.is_zero() {
        check.error(value.span, format!("'{key}' is zero"), "write a time such as 500ms or 30s");
    } else if time > PERIOD_MAX {
        check.error(value.span, format!("'{key}' is longer than 7d"), "write a time of at most 7d");
    }
    time.clamp(Duration::from_millis(1), PERIOD_MAX)
}

/// What is written, on top of what holds otherwise.
pub(super) fn retry(written: Option<&Spanned<RetryEntry>>, base: Policy, check: &mut Check) -> Policy {
    let Some(written) = written else { return base };
    let mut retry = base;
    if let Some(attempts) = &written.max_attempts {
        retry.max_attempts = u32::try_from(number("maxAttempts", attempts, 1, 1000, check)).unwrap_or(1);
    }
    if let Some(backoff) = &written.backoff_policy {
        retry.backoff = backoff.value;
    }
    if let Some(delay) = &written.backoff_delay {
        retry.delay = period("backoffDelay", delay, check);
    }
    if let Some(max) = &written.max_delay {
        retry.max_delay = period("maxDelay", max, check);
    }
    match (&written.backoff_delay, &written.max_delay) {
        (Some(delay), Some(max)) if delay.value.0 > max.value.0 => {
            let message = "'maxDelay' is shorter than 'backoffDelay'";
            check.clash(max.span, message, delay.span, "the first wait", "write at least the first wait");
        }
        (_, Some(_)) => retry.delay = retry.delay.min(retry.max_delay),
        (_, None) => retry.max_delay = retry.max_delay.max(retry.delay),
    }
    if let Some(hold) = &written.hold {
        retry.hold = hold.value;
    }
    if let Some(jitter) = &written.jitter {
        if (0.0..=1.0).contains(&jitter.value) {
            retry.jitter = jitter.value;
        } else {
            let message = format!("'jitter' is {}", jitter.value);
            check.error(jitter.span, message, "write the share of a wait that is left to chance, from 0 to 1");
        }
    }
    retry
}

/// How many workers a function has, and how many calls each takes at once.
pub(super) fn workers(written: Option<&Spanned<WorkersEntry>>, function: &str, check: &mut Check) -> (Limits, usize) {
    let mut limits = Limits { min: 0, max: 8 };
    let Some(written) = written else { return (limits, 1) };
    if let Some(max) = &written.max {
        limits.max = number("max", max, 1, 10_000, check);
    }
    if let Some(min) = &written.min {
        limits.min = number("min", min, 0, 10_000, check);
        if let Some(max) = &written.max
            && limits.min > limits.max
        {
            let message = format!("function {} has more workers at least than at most", quoted(function));
            check.clash(min.span, message, max.span, "at most", format!("write at most {}", limits.max));
        }
    }
    limits.max = limits.max.max(limits.min);
    let concurrency = written.concurrency.as_ref();
    (limits, concurrency.map_or(1, |concurrency| number("concurrency", concurrency, 1, 100_000, check)))
}

/// When a circuit opens and closes, if there is to be one.
pub(super) fn circuit(written: Option<&Spanned<CircuitEntry>>, check: &mut Check) -> Option<circuit::Settings> {
    let CircuitEntry { consecutive_failures, open_for, probes } = &written?.value;
    let mut circuit = circuit::Settings::default();
    let count = |key, value, max, check: &mut Check| u32::try_from(number(key, value, 1, max, check)).unwrap_or(1);
    if let Some(failures) = consecutive_failures {
        circuit.consecutive_failures = count("consecutiveFailures", failures, 1_000_000, check);
    }
    if let Some(time) = open_for {
        circuit.open_for = period("openFor", time, check);
    }
    if let Some(probes) = probes {
        circuit.probes = count("probes", probes, 1000, check);
    }
    Some(circuit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Span;

    fn spanned<T>(value: T) -> Option<Spanned<T>> {
        Some(Spanned::new(value, Span::default()))
    }

    #[test]
    fn what_is_not_written_keeps_its_default() {
        let mut check = Check::default();
        let written = RetryEntry {
            max_attempts: spanned(2),
            backoff_delay: spanned(Period(Duration::from_secs(10))),
            ..RetryEntry::default()
        };
        let retry = retry(spanned(written).as_ref(), Policy::default(), &mut check);
        assert!(!check.failed());
        assert_eq!(retry.max_attempts, 2);
        assert_eq!(retry.max_delay, Duration::from_secs(10), "never shorter than the first wait");
        assert_eq!(retry.jitter, Policy::default().jitter);
    }

    #[test]
    fn a_longest_wait_bounds_an_inherited_first_one() {
        let mut check = Check::default();
        let written = RetryEntry { max_delay: spanned(Period(Duration::from_millis(50))), ..RetryEntry::default() };
        let retry = retry(spanned(written).as_ref(), Policy::default(), &mut check);
        assert!(!check.failed());
        assert_eq!(retry.delay, Duration::from_millis(50));
    }

    #[test]
    fn more_workers_than_the_default_maximum_may_always_run() {
        let mut check = Check::default();
        let written = WorkersEntry { min: spanned(20), ..WorkersEntry::default() };
        let (workers, _) = workers(spanned(written).as_ref(), "f", &mut check);
        assert!(!check.failed());
        assert_eq!((workers.min, workers.max), (20, 20));
    }
}
