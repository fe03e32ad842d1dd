//! From options to a plan: pure, without secrets, everything that is wrong at once.

use std::time::Duration;

use engine::config::{AckPoint, Check, Spanned};
use engine::event::Name;
use engine::registry::SourceCommon;

use super::plan::Plan;
use super::{IsolationLevel, Options};
use crate::kafka::access::Access;
use crate::kafka::source::Initial;
use crate::kafka::topics::Topics;
use crate::normalise::{Origin, Template};

/// What events of a message without a template look like.
const ORIGIN: Origin = Origin { whole: "topic", r#type: "org.tidemill.kafka.message", source: "/{topic}" };

const SESSION: Duration = Duration::from_secs(10);
/// What brokers allow unless they are told otherwise.
const SESSION_MIN: Duration = Duration::from_secs(6);
const SESSION_MAX: Duration = Duration::from_secs(1800);
const MESSAGE: u64 = 16 << 20;
const MESSAGE_MAX: u64 = 1 << 30;
const PREFETCH: u64 = 4 << 20;
const PREFETCH_MIN: u64 = 64 << 10;
const PREFETCH_MAX: u64 = 1 << 30;
/// Entries above a watermark take eight bytes each.
const UNCOMMITTED_MAX: u32 = 10_000_000;

/// Checks `options`; a plan if nothing is wrong with them.
pub(super) fn plan(options: &Options, common: &SourceCommon, check: &mut Check) -> Option<Plan> {
    let mut found = Check::default();
    let plan = read(options, common, &mut found);
    let failed = found.failed();
    for diagnostic in found.finish() {
        check.note(diagnostic);
    }
    (!failed).then_some(plan)
}

fn read(options: &Options, common: &SourceCommon, check: &mut Check) -> Plan {
    let access = Access::check(&options.brokers, options.tls.as_ref(), options.sasl.as_ref(), check);
    let (topics, template) = topics(options, common, check);
    Plan {
        access,
        topics,
        template,
        group: group(options.group.as_ref(), &common.name, check),
        initial: options.initial_offset.map_or(Initial::Earliest, |typed| typed.0),
        committed_only: options.isolation_level.unwrap_or_default() == IsolationLevel::ReadCommitted,
        max_uncommitted: uncommitted(options, common.seats, check),
        limit: size("maxMessageSize", options.max_message_size.as_ref(), (1, MESSAGE, MESSAGE_MAX), check),
        prefetch: size("prefetch", options.prefetch.as_ref(), (PREFETCH_MIN, PREFETCH, PREFETCH_MAX), check),
        session: session(options, check),
        ack: common.ack_or(AckPoint::Processed),
    }
}

fn topics(options: &Options, common: &SourceCommon, check: &mut Check) -> (Topics, Template) {
    let (list, pattern) = (options.topics.as_ref(), options.topic_pattern.as_ref());
    let help = "write topics: such as [orders, \"fleet.{fleet}.telemetry\"], or topicPattern:";
    match (list, pattern) {
        (None, None) => check.error(options.brokers.span, "there are no topics to read", help),
        (Some(list), _) if list.is_empty() => check.error(list.span, "there are no topics to read", help),
        _ => {}
    }
    let typed: &[Spanned<String>] = list.map_or(&[], |list| list.value.as_slice());
    let topics = Topics::check(typed, pattern, check);
    // The key is a capture like any other, the last one.
    let captures: Vec<_> = topics.names().iter().cloned().chain(Name::new("kafkakey")).collect();
    let template = Template::compile(&common.event, &captures, &ORIGIN, check);
    topics.lacking(typed, pattern, &template, check);
    (topics, template)
}

fn group(typed: Option<&Spanned<String>>, source: &str, check: &mut Check) -> String {
    let Some(typed) = typed else { return format!("tidemill-{source}") };
    if typed.is_empty() {
        check.error(typed.span, "the group is empty", "write a name that all members have in common");
    }
    if let Some(at) = typed.find('\0') {
        check.error(typed.span.part(at, 1), "a group cannot hold a null character", "remove it");
    }
    typed.value.clone()
}

fn uncommitted(options: &Options, seats: usize, check: &mut Check) -> usize {
    match &options.max_uncommitted {
        None => seats.saturating_mul(10),
        Some(typed) if !(1..=UNCOMMITTED_MAX).contains(&typed.value) => {
            let message = format!("'maxUncommitted' is {}", typed.value);
            check.error(typed.span, message, format!("write a number from 1 to {UNCOMMITTED_MAX}"));
            1
        }
        Some(typed) => typed.value as usize,
    }
}

fn size(
    key: &str,
    typed: Option<&Spanned<engine::config::ByteSize>>,
    (min, usual, max): (u64, u64, u64),
    check: &mut Check,
) -> usize {
    let size = typed.map_or(usual, |typed| {
        if !(min..=max).contains(&typed.value.0) {
            let least = if min >= 1024 { format!("{}KiB", min / 1024) } else { format!("{min}B") };
            let help = format!("write a size from {least} to {}MiB", max >> 20);
            check.error(typed.span, format!("'{key}' is {} bytes", typed.value.0), help);
        }
        typed.value.0.clamp(min, max)
    });
    usize::try_from(size).unwrap_or(usize::MAX)
}

fn session(options: &Options, check: &mut Check) -> Duration {
    let Some(typed) = &options.session_timeout else { return SESSION };
    if !(SESSION_MIN..=SESSION_MAX).contains(&typed.value.0) {
        let message = "'sessionTimeout' is outside of what brokers allow by default";
        check.error(typed.span, message, "write a time from 6s to 30m");
    }
    typed.value.0.clamp(SESSION_MIN, SESSION_MAX)
}

#[cfg(test)]
mod tests;
