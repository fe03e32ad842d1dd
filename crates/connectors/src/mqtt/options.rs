//! What is typed under `mqtt:`, and what it means.

mod check;
mod plan;

use engine::config::{ByteSize, Check, Period, Secret, Spanned};
use engine::registry::{SourceCommon, SourceKind, SourcePlan};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};
use std::borrow::Cow;
use std::fmt;

use crate::tls::Tls;

/// The kind of source behind the key `mqtt`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mqtt;

/// What stands under `mqtt:`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Options {
    /// The broker: `mqtt://host:1883`, or `mqtts://host:8883` for TLS, or `ws://host/path` and `wss://host/path`.
    pub(super) url: Spanned<Secret>,
    /// Topic filters. `{name}` captures one level and gives it a name; `+` and `#` are MQTT's own wildcards.
    pub(super) topics: Spanned<Vec<Spanned<String>>>,
    /// The quality of service to subscribe with: 1 (default) delivers at least once, 0 at most once.
    pub(super) qos: Option<Spanned<u8>>,
    /// The first part of the client id; the instance id is appended to it. `tidemill-NAME` by default.
    pub(super) client_id: Option<Spanned<String>>,
    /// The version of the protocol: 5 (default) or 3.1.1.
    pub(super) version: Option<Spanned<Version>>,
    /// Shares the messages with every other subscriber of this group.
    pub(super) share_group: Option<Spanned<String>>,
    /// How long the broker keeps the session, and what it holds for it, while this engine is away; one day by default.
    /// MQTT 3.1.1 leaves this to the broker.
    pub(super) session_expiry: Option<Spanned<Period>>,
    /// The longest silence before a ping; 30s by default, 0s for no pings.
    pub(super) keep_alive: Option<Spanned<Period>>,
    /// The largest packet that becomes an event; a larger one is refused with its first bytes. 1MiB by default.
    pub(super) max_packet_size: Option<Spanned<ByteSize>>,
    /// In which order messages are acknowledged.
    pub(super) ack_order: Option<AckOrder>,
    /// The user name.
    pub(super) user: Option<Spanned<Secret>>,
    /// The password, such as `${env:MQTT_PASSWORD}`.
    pub(super) password: Option<Spanned<Secret>>,
    /// How to trust the broker and to be trusted by it, for `mqtts://`.
    pub(super) tls: Option<Spanned<Tls>>,
}

/// The order of acknowledgements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) enum AckOrder {
    /// As messages finish: one slow event holds up nothing.
    #[default]
    Completion,
    /// As messages arrived, for brokers that insist on it.
    Received,
}

/// A version of the protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Version {
    #[default]
    Five,
    ThreeOneOne,
}

impl SourceKind for Mqtt {
    type Options = Options;
    const NAME: &'static str = "mqtt";

    fn check(&self, options: Options, common: &SourceCommon, check: &mut Check) -> Option<Box<dyn SourcePlan>> {
        check::plan(&options, common, check).map(|plan| Box::new(plan) as Box<dyn SourcePlan>)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number;
        impl Visitor<'_> for Number {
            type Value = Version;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a version of MQTT, 5 or 3.1.1")
            }
            fn visit_u64<E: Error>(self, number: u64) -> Result<Version, E> {
                self.visit_str(&number.to_string())
            }
            fn visit_i64<E: Error>(self, number: i64) -> Result<Version, E> {
                self.visit_str(&number.to_string())
            }
            fn visit_f64<E: Error>(self, number: f64) -> Result<Version, E> {
                self.visit_str(&number.to_string())
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Version, E> {
                match text {
                    "5" | "5.0" => Ok(Version::Five),
                    "3.1.1" => Ok(Version::ThreeOneOne),
                    other => Err(E::custom(format!("MQTT version '{other}' is not spoken; write 5 or 3.1.1"))),
                }
            }
        }
        deserializer.deserialize_any(Number)
    }
}

impl JsonSchema for Version {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Version".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "enum": [5, "5", "3.1.1"] })
    }
}
