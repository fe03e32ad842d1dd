//! What is typed under `mqtt:`, and what it means.

mod check;
mod plan;

use engine::config::{ByteSize, Check, Period, Secret, Spanned};
use engine::registry::{SourceCommon, SourceKind, SourcePlan};
use schemars::JsonSchema;
use serde::Deserialize;

use super::version::Version;
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

impl SourceKind for Mqtt {
    type Options = Options;
    const NAME: &'static str = "mqtt";

    fn check(&self, options: Options, common: &SourceCommon, check: &mut Check) -> Option<Box<dyn SourcePlan>> {
        check::plan(&options, common, check).map(|plan| Box::new(plan) as Box<dyn SourcePlan>)
    }
}
