//! From options to a plan: pure, without secrets, everything that is wrong at once.

use std::time::Duration;

use engine::config::{AckPoint, Check, Spanned};
use engine::registry::SourceCommon;

use super::plan::Plan;
use super::{AckOrder, Options, Tls, Version};
use crate::mqtt::address::Address;
use crate::mqtt::order;
use crate::mqtt::topic::{Filter, LONGEST, Topics};
use crate::mqtt::transport::TlsFiles;
use crate::normalise::{Origin, Template};

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
    credentials(options, check);
    let tls = tls(options.tls.as_ref(), check);
    let topics = topics(&options.topics, check);
    let template = Template::compile(&common.event, topics.names(), &ORIGIN, check);
    captures(&options.topics, &topics, &template, check);
    let client_id = client_id(options.client_id.as_ref(), &common.name, check);
    let share = options.share_group.as_ref().map(|group| share(group, check));
    let expiry = seconds(options.session_expiry.as_ref().map_or(DAY, |typed| typed.value.0));
    let limit = packet_size(options, check);
    let ack = ack(common.ack.as_ref(), check);
    let keep_alive = keep_alive(options, check);
    Plan {
        url: options.url.value.clone(),
        client_id,
        user: options.user.as_ref().map(|typed| typed.value.clone()),
        password: options.password.as_ref().map(|typed| typed.value.clone()),
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

fn credentials(options: &Options, check: &mut Check) {
    for typed in [&options.user, &options.password].into_iter().flatten() {
        if let Err(cause) = typed.value.check() {
            check.error(typed.span, cause.to_string(), "such as ${env:MQTT_PASSWORD}");
        }
        if typed.value.literal().is_some_and(|text| text.contains('\0')) {
            check.error(typed.span, "a user name or password cannot hold a null character", "remove it");
        }
    }
    if let (Some(password), None) = (&options.password, &options.user) {
        check.error(password.span, "there is a password, but no user", "write user: beside it");
    }
}

fn tls(typed: Option<&Spanned<Tls>>, check: &mut Check) -> TlsFiles {
    let Some(typed) = typed else { return TlsFiles::default() };
    match (&typed.cert, &typed.key) {
        (Some(cert), None) => check.error(cert.span, "cert has no key", "write key: with its private key"),
        (None, Some(key)) => check.error(key.span, "key has no cert", "write cert: with its certificate"),
        _ => {}
    }
    let path = |typed: &Option<Spanned<String>>| typed.as_ref().map(|path| path.value.clone().into());
    TlsFiles {
        ca: path(&typed.ca),
        cert: path(&typed.cert),
        key: path(&typed.key),
        server_name: typed.server_name.as_ref().map(|name| name.value.clone()),
    }
}

fn topics(typed: &Spanned<Vec<Spanned<String>>>, check: &mut Check) -> Topics {
    if typed.is_empty() {
        let help = "write at least one, such as v1/{fleet}/{vehicle}/telemetry";
        check.error(typed.span, "there are no topics to subscribe to", help);
    }
    let mut filters: Vec<Filter> = Vec::new();
    for topic in typed.iter() {
        match Filter::parse(topic) {
            Ok(filter) if filters.iter().any(|known| known.wire() == filter.wire()) => {
                check.error(topic.span, "this filter matches the same topics as one before it", "leave it out");
            }
            Ok(filter) => filters.push(filter),
            Err(flaw) => check.error(topic.span.part(flaw.at, flaw.len), flaw.message, flaw.help),
        }
    }
    Topics::new(filters)
}

/// Every topic must capture what every event needs.
fn captures(typed: &[Spanned<String>], topics: &Topics, template: &Template, check: &mut Check) {
    let used = topics.names().iter().enumerate().filter(|(index, _)| template.uses(*index));
    for (_, name) in used {
        for topic in typed {
            let lacks = Filter::parse(topic).is_ok_and(|filter| filter.captures().all(|capture| capture != name));
            if lacks {
                let message = format!("this topic does not capture '{{{name}}}', which event: uses");
                check.error(topic.span, message, format!("write {{{name}}} for the level that holds it"));
            }
        }
    }
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
