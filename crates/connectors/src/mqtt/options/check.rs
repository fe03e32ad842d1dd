//! From options to a plan: pure, without secrets, everything that is wrong at once.

use std::time::Duration;

use engine::config::{AckPoint, Check, Spanned};
use engine::registry::SourceCommon;

use super::plan::Plan;
use super::{AckOrder, Options};
use crate::capture::{self, Filters};
use crate::mqtt::access::{Access, Typed, quality, seconds};
use crate::mqtt::order;
use crate::mqtt::topic;
use crate::normalise::{Origin, Template};

/// What events of a message without a template look like.
const ORIGIN: Origin = Origin { whole: "topic", r#type: "org.tidemill.mqtt.message", source: "/{topic}" };

const DAY: Duration = Duration::from_secs(24 * 3600);
const PACKET: u64 = 1 << 20;

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
    let quality = quality(options.qos.as_ref(), check);
    let access = Access::check(
        &Typed {
            url: &options.url,
            version: options.version.as_ref(),
            client_id: options.client_id.as_ref(),
            keep_alive: options.keep_alive.as_ref(),
            user: options.user.as_ref(),
            password: options.password.as_ref(),
            tls: options.tls.as_ref(),
        },
        check,
    );
    let topics = topics(&options.topics, check);
    let template = Template::compile(&common.event, topics.names(), &ORIGIN, check);
    capture::lacking(&options.topics, topic::parse, topics.names(), &template, check);
    let share = options.share_group.as_ref().map(|group| share(group, check));
    let expiry = seconds(options.session_expiry.as_ref().map_or(DAY, |typed| typed.value.0));
    let limit = packet_size(options, check);
    // What a broker sends only once is not worth an fsync unless somebody says so.
    let ack = common.ack_or(if quality == 1 { AckPoint::Spooled } else { AckPoint::Processed });
    Plan {
        access,
        quality,
        share,
        expiry,
        limit,
        ack,
        ack_order: match options.ack_order.unwrap_or_default() {
            AckOrder::Completion => order::AckOrder::Completion,
            AckOrder::Received => order::AckOrder::Received,
        },
        topics,
        template,
    }
}

fn topics(typed: &Spanned<Vec<Spanned<String>>>, check: &mut Check) -> Filters {
    if typed.is_empty() {
        let help = "write at least one, such as v1/{fleet}/{vehicle}/telemetry";
        check.error(typed.span, "there are no topics to subscribe to", help);
    }
    capture::checked(typed, topic::parse, check)
}

fn share(group: &Spanned<String>, check: &mut Check) -> String {
    if group.is_empty() {
        check.error(group.span, "the share group is empty", "write a name that all members have in common");
    }
    if let Some((at, character)) = group.char_indices().find(|(_, character)| "/+#\0".contains(*character)) {
        let message = format!("a share group cannot hold {character:?}");
        check.error(group.span.part(at, character.len_utf8()), message, "use letters, digits and dashes");
    }
    group.value.clone()
}

fn packet_size(options: &Options, check: &mut Check) -> usize {
    let Some(typed) = &options.max_packet_size else { return PACKET as usize };
    let size = typed.value.0;
    if !(128..=268_435_460).contains(&size) {
        let message = "the packet size is outside of what MQTT can carry usefully";
        check.error(typed.span, message, "write a size from 128B to 256MiB");
    }
    usize::try_from(size).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
