//! From options to a plan: pure, without secrets, everything that is wrong at once.

use std::time::Duration;

use engine::config::{AckPoint, Check, Spanned};
use engine::registry::SourceCommon;

use super::plan::Plan;
use super::{AckOrder, Options, Version};
use crate::capture::{self, Filters};
use crate::credentials::Login;
use crate::mqtt::address::Address;
use crate::mqtt::order;
use crate::mqtt::topic::{self, LONGEST};
use crate::normalise::{Origin, Template};
use crate::tls;

/// What events of a message without a template look like.
const ORIGIN: Origin = Origin { whole: "topic", r#type: "org.tidemill.mqtt.message", source: "/{topic}" };

const DAY: Duration = Duration::from_secs(24 * 3600);
const KEEP_ALIVE: Duration = Duration::from_secs(30);
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
    let quality = quality(options, check);
    address(options, check);
    let login = Login::check(options.user.as_ref(), options.password.as_ref(), "${env:MQTT_PASSWORD}", check);
    let tls = tls::check(options.tls.as_ref(), check);
    let topics = topics(&options.topics, check);
    let template = Template::compile(&common.event, topics.names(), &ORIGIN, check);
    capture::lacking(&options.topics, topic::parse, topics.names(), &template, check);
    let client_id = client_id(options.client_id.as_ref(), &common.name, check);
    let share = options.share_group.as_ref().map(|group| share(group, check));
    let expiry = seconds(options.session_expiry.as_ref().map_or(DAY, |typed| typed.value.0));
    let limit = packet_size(options, check);
    let ack = ack(common.ack.as_ref(), check);
    let keep_alive = keep_alive(options, check);
    Plan {
        url: options.url.value.clone(),
        client_id,
        login,
        tls,
        version: options.version.as_ref().map_or(Version::Five, |typed| typed.value),
        quality,
        share,
        expiry,
        keep_alive,
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

fn quality(options: &Options, check: &mut Check) -> u8 {
    match &options.qos {
        Some(typed) if typed.value == 2 => {
            let help = "write 1: delivery is at least once, and functions tell duplicates by the event's id";
            check.error(typed.span, "qos 2 is not offered", help);
            1
        }
        Some(typed) if typed.value > 2 => {
            check.error(typed.span, format!("there is no qos {}", typed.value), "write 1, or 0 for at most once");
            1
        }
        Some(typed) => typed.value,
        None => 1,
    }
}

/// What can be said about the URL before its references are resolved.
fn address(options: &Options, check: &mut Check) {
    let url = &options.url;
    let Some(literal) = url.value.literal() else {
        if let Err(cause) = url.value.check() {
            check.error(url.span, cause.to_string(), "such as mqtt://${env:BROKER}:1883");
        }
        return;
    };
    match Address::parse(literal) {
        Err(flaw) => check.error(url.span, flaw.message, flaw.help),
        Ok(address) => {
            if let (false, Some(tls)) = (address.scheme.is_tls(), &options.tls) {
                check.error(tls.span, "tls is set, but url is one without TLS", "write url: mqtts://host:8883");
            }
        }
    }
}

fn topics(typed: &Spanned<Vec<Spanned<String>>>, check: &mut Check) -> Filters {
    if typed.is_empty() {
        let help = "write at least one, such as v1/{fleet}/{vehicle}/telemetry";
        check.error(typed.span, "there are no topics to subscribe to", help);
    }
    capture::checked(typed, topic::parse, check)
}

fn client_id(typed: Option<&Spanned<String>>, source: &str, check: &mut Check) -> String {
    let Some(typed) = typed else { return format!("tidemill-{source}") };
    if typed.is_empty() {
        check.error(typed.span, "the client id is empty", "write a name that no other client of this broker has");
    }
    if let Some(at) = typed.find('\0') {
        check.error(typed.span.part(at, 1), "a client id cannot hold a null character", "remove it");
    }
    if typed.len() > LONGEST / 2 {
        check.error(typed.span, "the client id is too long", "use at most a few dozen characters");
    }
    typed.value.clone()
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

fn keep_alive(options: &Options, check: &mut Check) -> u16 {
    let Some(typed) = &options.keep_alive else { return KEEP_ALIVE.as_secs() as u16 };
    u16::try_from(seconds(typed.value.0)).unwrap_or_else(|_| {
        check.error(typed.span, "keepAlive is longer than MQTT can say", "write at most 18h");
        u16::MAX
    })
}

/// Whole seconds, rounded up; what MQTT calls for ever when they do not fit.
fn seconds(period: Duration) -> u32 {
    u32::try_from(period.as_millis().div_ceil(1000)).unwrap_or(u32::MAX)
}

fn ack(typed: Option<&Spanned<AckPoint>>, check: &mut Check) -> AckPoint {
    match typed {
        Some(typed) if typed.value == AckPoint::Spooled => {
            let help = "write ack: processed, or leave it out";
            check.error(typed.span, "there is no spool in this version, so ack: spooled is not offered", help);
            AckPoint::Processed
        }
        Some(typed) => typed.value,
        None => AckPoint::Processed,
    }
}

#[cfg(test)]
mod tests;
