//! From options to a plan: pure, without secrets, everything that is wrong at once.

use std::time::Duration;

use engine::config::{AckPoint, Check, Spanned};
use engine::registry::SourceCommon;

use super::Options;
use super::plan::Plan;
use crate::amqp::access::Access;
use crate::amqp::queue::Queue;
use crate::capture::{self, Filter, Filters, Flaw, Syntax};
use crate::normalise::{Origin, Template};

/// What events of a message without a template look like.
const ORIGIN: Origin = Origin { whole: "routingKey", r#type: "org.tidemill.amqp.message", source: "/{routingKey}" };

/// The longest name that AMQP can carry, in bytes.
const LONGEST: usize = 255;

/// How AMQP writes routing keys.
static ROUTING_KEYS: Syntax = Syntax {
    whole: "routing key",
    filter: "routing key",
    part: "word",
    separator: '.',
    one: '*',
    rest: '#',
    rest_of_none: true,
    empty_parts: true,
    spaces: true,
    reserved: None,
    longest: LONGEST,
    example: "v1.{fleet}.{vehicle}.telemetry",
};

const TIMEOUT: Duration = Duration::from_secs(1800);
const TIMEOUT_MIN: Duration = Duration::from_secs(1);
const TIMEOUT_MAX: Duration = Duration::from_secs(30 * 24 * 3600);
const MESSAGE: u64 = 16 << 20;
/// The largest that RabbitMQ can be told to take.
const MESSAGE_MAX: u64 = 512 << 20;

fn parse(text: &str) -> Result<Filter, Flaw> {
    Filter::parse(&ROUTING_KEYS, text)
}

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
    let Options { url, user, password, tls, .. } = options;
    let access = Access::check(url, user.as_ref(), password.as_ref(), tls.as_ref(), check);
    let typed: &[Spanned<String>] = options.routing_keys.as_ref().map_or(&[], |typed| &typed.value);
    if let Some(list) = options.routing_keys.as_ref().filter(|list| list.is_empty()) {
        let help = "write at least one, such as v1.{fleet}.{vehicle}.telemetry, or leave routingKeys out";
        check.error(list.span, "there are no routing keys", help);
    }
    let routing_keys: Filters = capture::checked(typed, parse, check);
    let template = Template::compile(&common.event, routing_keys.names(), &ORIGIN, check);
    capture::lacking(typed, parse, routing_keys.names(), &template, check);
    Plan {
        access,
        queue: queue(options, check),
        routing_keys,
        template,
        timeout: timeout(options, check),
        written: options.consumer_timeout.as_ref().map(|typed| typed.span),
        limit: size(options, check),
        ack: common.ack_or(AckPoint::Processed),
    }
}

fn queue(options: &Options, check: &mut Check) -> Queue {
    let typed = &options.queue;
    if typed.is_empty() {
        check.error(typed.span, "the queue has no name", "write the name of the queue to consume");
    }
    if typed.len() > LONGEST {
        check.error(typed.span, "the queue's name is longer than 255 bytes", "write a shorter one");
    }
    if typed.starts_with("amq.") && options.declare.is_some() {
        check.error(typed.span, "names that begin with amq. are the broker's own", "write another name");
    }
    let declare = options.declare.as_ref().map(|declare| declare.meaning(check));
    Queue { name: typed.value.clone(), declare }
}

fn timeout(options: &Options, check: &mut Check) -> Duration {
    let Some(typed) = &options.consumer_timeout else { return TIMEOUT };
    if !(TIMEOUT_MIN..=TIMEOUT_MAX).contains(&typed.value.0) {
        check.error(typed.span, "'consumerTimeout' is out of bounds", "write the broker's own, from 1s to 30d");
    }
    typed.value.0.clamp(TIMEOUT_MIN, TIMEOUT_MAX)
}

fn size(options: &Options, check: &mut Check) -> u64 {
    let Some(typed) = &options.max_message_size else { return MESSAGE };
    if !(1..=MESSAGE_MAX).contains(&typed.value.0) {
        let message = format!("'maxMessageSize' is {} bytes", typed.value.0);
        check.error(typed.span, message, "write a size from 1B to 512MiB");
    }
    typed.value.0
}

#[cfg(test)]
mod tests;
