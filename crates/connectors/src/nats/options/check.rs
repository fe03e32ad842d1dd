//! From options to a plan: pure, without secrets, everything that is wrong at once.

use std::time::Duration;

use engine::config::{AckPoint, Check, Period, Spanned};
use engine::registry::SourceCommon;

use super::plan::Plan;
use super::{Create, Durable, Options, Reading};
use crate::capture::{self, Filters};
use crate::credentials::secret;
use crate::nats::address::Address;
use crate::nats::auth::{Identity, Typed};
use crate::nats::subject;
use crate::normalise::{Origin, Template};
use crate::tls;

/// What events of a message without a template look like.
const ORIGIN: Origin = Origin { whole: "subject", r#type: "org.tidemill.nats.message", source: "/{subject}" };

/// Checks `options`; a plan if nothing is wrong with them.
pub(super) fn plan(options: &Options, common: &SourceCommon, check: &mut Check) -> Option<Plan> {
    let mut found = Check::default();
    let plan = read(options, common, &mut found);
    let failed = found.failed();
    for diagnostic in found.finish() {
        check.note(diagnostic);
    }
    plan.filter(|_| !failed)
}

fn read(options: &Options, common: &SourceCommon, check: &mut Check) -> Option<Plan> {
    address(options, check);
    let identity = Identity::check(
        Typed {
            user: options.user.as_ref(),
            password: options.password.as_ref(),
            token: options.token.as_ref(),
            nkey: options.nkey.as_ref(),
            credentials: options.credentials.as_ref(),
        },
        check,
    );
    let tls = tls::check(options.tls.as_ref(), check);
    let subjects = subjects(&options.subjects, check);
    let template = Template::compile(&common.event, subjects.names(), &ORIGIN, check);
    capture::lacking(&options.subjects, subject::parse, subjects.names(), &template, check);
    let reading = reading(options, &subjects, common, check);
    let ack = ack(common.ack.as_ref(), reading.as_ref(), check);
    let keep_alive = keep_alive(options.keep_alive.as_ref(), check);
    Some(Plan { url: options.url.value.clone(), identity, tls, keep_alive, subjects, template, ack, reading: reading? })
}

/// Silence after which a server is asked whether it is there, unless something else is written.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
const KEEP_ALIVE_MAX: Duration = Duration::from_secs(3600);

/// What is written under `keepAlive:`, of sources and outputs alike.
pub fn keep_alive(typed: Option<&Spanned<Period>>, check: &mut Check) -> Duration {
    let Some(typed) = typed else { return KEEP_ALIVE };
    if !(Duration::from_secs(1)..=KEEP_ALIVE_MAX).contains(&typed.value.0) {
        check.error(typed.span, "'keepAlive' is out of bounds", "write a time from 1s to 1h, such as 20s");
    }
    typed.value.0
}

/// What can be said about the URL before its references are resolved.
fn address(options: &Options, check: &mut Check) {
    let url = &options.url;
    let Some(literal) = url.value.literal() else {
        return secret(url, "nats://${env:NATS}:4222", check);
    };
    match Address::parse(literal) {
        Err(flaw) => check.error(url.span, flaw.message, flaw.help),
        Ok(address) => {
            if let (false, Some(tls)) = (address.is_tls(), &options.tls) {
                check.error(tls.span, "tls is set, but url is one without TLS", "write url: tls://host:4222");
            }
        }
    }
}

fn subjects(typed: &Spanned<Vec<Spanned<String>>>, check: &mut Check) -> Filters {
    if typed.is_empty() {
        let help = "write at least one, such as v1.{fleet}.{vehicle}.telemetry";
        check.error(typed.span, "there are no subjects to receive", help);
    }
    capture::checked(typed, subject::parse, check)
}

/// Core or JetStream: what is written must be of one of them.
fn reading(options: &Options, subjects: &Filters, common: &SourceCommon, check: &mut Check) -> Option<Reading> {
    let Options { stream, durable, domain, create, queue_group, .. } = options;
    let (stream, durable) = match (stream, durable) {
        (Some(stream), Some(durable)) => (stream, durable),
        (Some(stream), None) => {
            let help = "write durable: NAME; engines with the same one share the stream";
            check.error(stream.span, "there is a stream, but no durable consumer", help);
            return None;
        }
        (None, Some(durable)) => {
            check.error(durable.span, "there is a durable consumer, but no stream", "write stream: NAME");
            return None;
        }
        (None, None) => {
            let only = [domain.as_ref().map(|typed| typed.span), create.as_ref().map(|typed| typed.span)];
            for span in only.into_iter().flatten() {
                check.error(
                    span,
                    "this is for JetStream, and there is no stream",
                    "write stream: and durable: beside it",
                );
            }
            return Some(Reading::Core(queue_group.as_ref().map(|group| word("queueGroup", group, ".*>", check))));
        }
    };
    if let Some(group) = queue_group {
        let help = "leave it out: engines with the same durable share its messages";
        check.error(group.span, "a durable consumer has no queue group", help);
    }
    Some(Reading::Stream(Durable {
        subjects: subjects.wire().map(str::to_owned).collect(),
        stream: word("stream", stream, ".*>/\\", check),
        durable: word("durable", durable, ".*>/\\", check),
        domain: domain.as_ref().map(|domain| word("domain", domain, ".*>", check)),
        create: create.as_ref().map(|create| Create::check(create, common.seats, check)),
    }))
}

/// A name that becomes a token of subjects.
fn word(key: &str, typed: &Spanned<String>, forbidden: &str, check: &mut Check) -> String {
    if typed.is_empty() {
        check.error(typed.span, format!("'{key}' is empty"), "write a name of letters, digits, '-' and '_'");
    }
    let bad = |character: &char| character.is_whitespace() || character.is_control() || forbidden.contains(*character);
    if let Some((at, character)) = typed.char_indices().find(|(_, character)| bad(character)) {
        let message = format!("'{key}' cannot hold {character:?}");
        check.error(typed.span.part(at, character.len_utf8()), message, "use letters, digits, '-' and '_'");
    }
    typed.value.clone()
}

fn ack(typed: Option<&Spanned<AckPoint>>, reading: Option<&Reading>, check: &mut Check) -> AckPoint {
    let core = matches!(reading, Some(Reading::Core(_)));
    let natural = if core { AckPoint::Spooled } else { AckPoint::Processed };
    let Some(typed) = typed else { return natural };
    if typed.value == AckPoint::Processed && core {
        let help = "write stream: and durable: to receive from JetStream, or leave ack out";
        check.error(typed.span, "core NATS has no acknowledgements, so ack: processed cannot be kept", help);
        return natural;
    }
    typed.value
}

#[cfg(test)]
mod tests;
