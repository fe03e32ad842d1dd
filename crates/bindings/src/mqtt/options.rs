//! What stands under `mqtt:` of an output, and its check.

use std::time::Duration;

use connectors::mqtt::{Access, Manner, Typed, Version, quality, topic_flaw};
use connectors::tls::Tls;
use engine::config::{Check, Period, Secret, Spanned};
use schemars::JsonSchema;
use serde::Deserialize;

use super::Plan;
use super::parcel::Form;
use crate::message::{Mode, Piece, Template};

/// Publishes every event to an MQTT broker.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Options {
    /// The broker: `mqtt://host:1883`, or `mqtts://host:8883` for TLS, or `ws://host/path` and `wss://host/path`.
    url: Spanned<Secret>,
    /// Where events go. `{name}` stands for an attribute of the event, such as `alerts/{type}`.
    topic: Spanned<String>,
    /// The quality of service: 1 (default) is confirmed by the broker, 0 is at most once.
    qos: Option<Spanned<u8>>,
    /// Whether the broker keeps the last event of each topic for those who subscribe later; not by default.
    #[serde(default)]
    retain: bool,
    /// The version of the protocol: 5 (default) or 3.1.1.
    version: Option<Spanned<Version>>,
    /// How an event travels: `binary` (default with MQTT 5), attributes as user properties, or `structured`, whole in JSON,
    /// which is all that MQTT 3.1.1 has.
    mode: Option<Spanned<Mode>>,
    /// The first part of the client id; the instance id is appended to it, and a number to that of each further connection.
    /// `tidemill_NAME` by default.
    client_id: Option<Spanned<String>>,
    /// How many connections there may be; 4 by default. One carries everything, unless the broker allows fewer unconfirmed
    /// messages on it than there are. With 1 events arrive in the order in which they were published.
    connections: Option<Spanned<u32>>,
    /// How many events may wait for their confirmation; 1000 by default.
    window: Option<Spanned<u32>>,
    /// How long an event may wait for its confirmation, lost connections included, before that counts as a failed attempt;
    /// 30s by default.
    timeout: Option<Spanned<Period>>,
    /// The longest silence before a ping; 30s by default, 0s for no pings.
    keep_alive: Option<Spanned<Period>>,
    /// The user name.
    user: Option<Spanned<Secret>>,
    /// The password, such as `${env:MQTT_PASSWORD}`.
    password: Option<Spanned<Secret>>,
    /// How to trust the broker and to be trusted by it, for `mqtts://`.
    tls: Option<Spanned<Tls>>,
}

const CONNECTIONS: u32 = 4;
const CONNECTIONS_MAX: u32 = 64;
const WINDOW: u32 = 1000;
const WINDOW_MAX: u32 = 65_536;
const TIMEOUT: Duration = Duration::from_secs(30);
const TIMEOUT_MIN: Duration = Duration::from_secs(1);
const TIMEOUT_MAX: Duration = Duration::from_secs(900);

impl Options {
    /// What they mean, if nothing is wrong.
    pub(super) fn meaning(&self, check: &mut Check) -> Option<Plan> {
        let mut own = Check::default();
        let plan = self.read(&mut own);
        let failed = own.failed();
        own.finish().into_iter().for_each(|diagnostic| check.note(diagnostic));
        (!failed).then_some(plan)
    }

    fn read(&self, check: &mut Check) -> Plan {
        let access = Access::check(
            &Typed {
                url: &self.url,
                version: self.version.as_ref(),
                client_id: self.client_id.as_ref(),
                keep_alive: self.keep_alive.as_ref(),
                user: self.user.as_ref(),
                password: self.password.as_ref(),
                tls: self.tls.as_ref(),
            },
            check,
        );
        let five = access.version() == Version::Five;
        let form = Form { topic: self.topic(check), mode: self.mode(five, check), five };
        let timeout = self.timeout.as_ref().map_or(TIMEOUT, |typed| {
            if !(TIMEOUT_MIN..=TIMEOUT_MAX).contains(&typed.value.0) {
                check.error(typed.span, "'timeout' is out of bounds", "write a time from 1s to 15m");
            }
            typed.value.0
        });
        Plan {
            access,
            form,
            manner: Manner { quality: quality(self.qos.as_ref(), check), retain: self.retain },
            connections: count("connections", self.connections.as_ref(), CONNECTIONS, CONNECTIONS_MAX, check),
            window: count("window", self.window.as_ref(), WINDOW, WINDOW_MAX, check),
            timeout,
        }
    }

    fn topic(&self, check: &mut Check) -> Template {
        let typed = &self.topic;
        // Filters and templates look alike, so that this is what is most often wrong. No name of an attribute has these.
        if let Some(at) = typed.find(['+', '#']) {
            let help = "an event is published to one topic; name an attribute, such as alerts/{subject}";
            check.error(typed.span.part(at, 1), "a topic to publish to cannot hold a wildcard", help);
            return Template::compile(&Spanned::default(), check);
        }
        let mut own = Check::default();
        let template = Template::compile(typed, &mut own);
        if own.failed() {
            own.finish().into_iter().for_each(|diagnostic| check.note(diagnostic));
            return template;
        }
        // Any attribute could be a good level; what stands between them must be good by itself.
        let sample: String = template
            .pieces()
            .iter()
            .map(|piece| match piece {
                Piece::Literal(text) => text.as_str(),
                Piece::Attribute(_) => "x",
            })
            .collect();
        if let Some(flaw) = topic_flaw(&sample) {
            check.error(typed.span, format!("the topic {flaw}"), "write a topic such as alerts/{type}");
        }
        template
    }

    fn mode(&self, five: bool, check: &mut Check) -> Mode {
        match &self.mode {
            Some(typed) if typed.value == Mode::Binary && !five => {
                let help = "write mode: structured, or leave it out; or leave version out to speak MQTT 5";
                check.error(typed.span, "MQTT 3.1.1 has no properties to carry attributes in binary mode", help);
                Mode::Structured
            }
            Some(typed) => typed.value,
            None if five => Mode::Binary,
            None => Mode::Structured,
        }
    }
}

/// A number of something, of which there is at least one.
fn count(name: &str, typed: Option<&Spanned<u32>>, usual: u32, most: u32, check: &mut Check) -> usize {
    let value = typed.map_or(usual, |typed| {
        if !(1..=most).contains(&typed.value) {
            check.error(typed.span, format!("'{name}' is {}", typed.value), format!("write a number from 1 to {most}"));
        }
        typed.value
    });
    value as usize
}
