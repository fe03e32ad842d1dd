//! What is typed under `amqp:` of a source, and what it means.

mod check;
mod declare;
mod plan;

use engine::config::{ByteSize, Check, Period, Secret, Spanned};
use engine::registry::{SourceCommon, SourceKind, SourcePlan};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::tls::Tls;
use declare::DeclareOptions;

/// The kind of source behind the key `amqp`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Amqp;

/// What stands under `amqp:` of a source.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Options {
    /// The broker: `amqp://host:5672/vhost`, or `amqps://host:5671/vhost` for TLS.
    pub(super) url: Spanned<Secret>,
    /// The queue to consume. It has to be there, unless `declare` is written.
    pub(super) queue: Spanned<String>,
    /// Makes the queue where it is not there, and refuses one that is there with other settings. `{}` for a durable classic
    /// queue.
    pub(super) declare: Option<Spanned<DeclareOptions>>,
    /// What routing keys look like. `{name}` captures one word and gives it a name; `*` and a last `#` are AMQP's own
    /// wildcards. A message whose routing key is like none of them is refused.
    pub(super) routing_keys: Option<Spanned<Vec<Spanned<String>>>>,
    /// How long the broker waits for an acknowledgement before it closes the channel (its consumer_timeout); 30m by
    /// default. An event that comes near it is handed back.
    pub(super) consumer_timeout: Option<Spanned<Period>>,
    /// The largest payload that becomes an event; a larger one is refused with its first bytes. 16MiB by default.
    pub(super) max_message_size: Option<Spanned<ByteSize>>,
    /// The user name; `guest` unless there is one or a certificate.
    pub(super) user: Option<Spanned<Secret>>,
    /// The password, such as `${env:AMQP_PASSWORD}`.
    pub(super) password: Option<Spanned<Secret>>,
    /// How to trust the broker and to be trusted by it, for `amqps://`. A certificate without a user logs in by itself.
    pub(super) tls: Option<Spanned<Tls>>,
}

impl SourceKind for Amqp {
    type Options = Options;
    const NAME: &'static str = "amqp";

    fn check(&self, options: Options, common: &SourceCommon, check: &mut Check) -> Option<Box<dyn SourcePlan>> {
        check::plan(&options, common, check).map(|plan| Box::new(plan) as Box<dyn SourcePlan>)
    }
}
