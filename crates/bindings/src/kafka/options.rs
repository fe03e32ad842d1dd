//! What stands under `kafka:` of an output, and its check.

use std::time::Duration;

use connectors::kafka::{Access, Sasl};
use connectors::tls::Tls;
use engine::config::{ByteSize, Check, Period, Secret, Spanned};
use engine::event::{Attribute, Name};
use schemars::JsonSchema;
use serde::Deserialize;

use super::Plan;
use super::record::{self, Form};
use crate::message::{Mode, Piece, Template};

/// Publishes every event to a topic, as a CloudEvent of the Kafka protocol binding.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Options {
    /// The brokers to begin with, each a host and a port.
    brokers: Spanned<Vec<Spanned<Secret>>>,
    /// The topic. `{name}` stands for an attribute of the event, such as `alerts.{type}`.
    topic: Spanned<String>,
    /// The key, `{partitionkey}` unless given. An event that lacks an attribute of it has no key.
    key: Option<Spanned<String>>,
    /// How the event travels; binary unless given.
    #[serde(default)]
    mode: Mode,
    /// How messages are compressed; lz4 unless given.
    #[serde(default)]
    compression: Compression,
    /// How long a message waits for others to share a request; 5ms unless given.
    linger: Option<Spanned<Period>>,
    /// How long the brokers may take to confirm before the event counts as failed; 30s unless given.
    timeout: Option<Spanned<Period>>,
    /// The largest message that is sent, which the topic has to allow too; 1000000B unless given.
    max_message_size: Option<Spanned<ByteSize>>,
    /// Encrypts the connections, and says how to trust the brokers and to be trusted by them.
    tls: Option<Spanned<Tls>>,
    /// How to log in.
    sasl: Option<Spanned<Sasl>>,
}

/// How messages are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "they are the names of algorithms")]
pub enum Compression {
    None,
    Gzip,
    Snappy,
    #[default]
    Lz4,
    Zstd,
}

impl Compression {
    pub(super) fn name(self) -> &'static str {
        match self {
            Compression::None => "none",
            Compression::Gzip => "gzip",
            Compression::Snappy => "snappy",
            Compression::Lz4 => "lz4",
            Compression::Zstd => "zstd",
        }
    }
}

const LINGER: Duration = Duration::from_millis(5);
const LINGER_MAX: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(30);
const TIMEOUT_MIN: Duration = Duration::from_secs(1);
const TIMEOUT_MAX: Duration = Duration::from_secs(900);
const SIZE: u64 = 1_000_000;
const SIZE_MIN: u64 = 1000;
const SIZE_MAX: u64 = 1_000_000_000;

impl Options {
    /// What they mean, if nothing is wrong.
    pub(super) fn meaning(self, check: &mut Check) -> Option<Plan> {
        let mut own = Check::default();
        let plan = self.read(&mut own);
        let failed = own.failed();
        own.finish().into_iter().for_each(|diagnostic| check.note(diagnostic));
        (!failed).then_some(plan)
    }

    fn read(self, check: &mut Check) -> Plan {
        let key = match &self.key {
            Some(typed) => Template::compile(typed, check),
            None => Name::new("partitionkey").map_or_else(
                |_| Template::compile(&Spanned::default(), check),
                |name| Template::attribute(Attribute::Extension(name)),
            ),
        };
        if let Some(typed) = self.key.as_ref().filter(|typed| typed.is_empty()) {
            check.error(typed.span, "the key is empty", "write a template such as {subject}, or leave it out");
        }
        Plan {
            access: Access::check(&self.brokers, self.tls.as_ref(), self.sasl.as_ref(), check),
            form: Form { topic: topic(&self.topic, check), key, mode: self.mode },
            compression: self.compression,
            linger: period("linger", self.linger.as_ref(), (Duration::ZERO, LINGER, LINGER_MAX), check),
            timeout: period("timeout", self.timeout.as_ref(), (TIMEOUT_MIN, TIMEOUT, TIMEOUT_MAX), check),
            largest: self.max_message_size.map_or(SIZE, |typed| {
                if !(SIZE_MIN..=SIZE_MAX).contains(&typed.0) {
                    let message = format!("'maxMessageSize' is {} bytes", typed.0);
                    check.error(typed.span, message, "write a size from 1000B to 1000000000B");
                }
                typed.0.clamp(SIZE_MIN, SIZE_MAX)
            }),
        }
    }
}

fn topic(typed: &Spanned<String>, check: &mut Check) -> Template {
    let template = Template::compile(typed, check);
    if typed.is_empty() {
        check.error(
            typed.span,
            "the topic is empty",
            "write a name such as alerts, or a template such as alerts.{type}",
        );
    }
    for piece in template.pieces() {
        if let Piece::Literal(text) = piece
            && let Some(sign) = text.chars().find(|sign| !record::is_legal(*sign))
        {
            let help = "use letters, digits, dots, dashes and underscores";
            check.error(typed.span, format!("a topic cannot hold {sign:?}"), help);
        }
    }
    template
}

fn period(
    key: &str,
    typed: Option<&Spanned<Period>>,
    (min, usual, max): (Duration, Duration, Duration),
    check: &mut Check,
) -> Duration {
    let Some(typed) = typed else { return usual };
    if !(min..=max).contains(&typed.value.0) {
        let message = format!("'{key}' is {:?}", typed.value.0);
        let least = if min.is_zero() { String::new() } else { format!("at least {min:?} and ") };
        check.error(typed.span, message, format!("write a time of {least}at most {max:?}"));
    }
    typed.value.0.clamp(min, max)
}
