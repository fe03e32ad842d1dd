//! What is typed under `kafka:` of a source, and what it means.

mod check;
mod plan;

use std::borrow::Cow;
use std::fmt;

use engine::config::{ByteSize, Check, Period, Secret, Spanned};
use engine::registry::{Setup, SourceCommon, SourceKind, SourcePlan};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{Deserializer, Error};

use super::access::Sasl;
use super::lag::{Group, ProbeError};
use super::source::Initial;
use crate::tls::Tls;

/// The kind of source behind the key `kafka`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Kafka;

/// What stands under `kafka:` of a source.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Options {
    /// The brokers to begin with, each a host and a port.
    pub(super) brokers: Spanned<Vec<Spanned<Secret>>>,
    /// Topics. `{name}` captures one part between dots and gives it a name, `*` stands for one part, a last `>` for all
    /// that follow.
    pub(super) topics: Option<Spanned<Vec<Spanned<String>>>>,
    /// A regular expression for whole names of topics. Named groups are captures.
    pub(super) topic_pattern: Option<Spanned<String>>,
    /// The consumer group, `tidemill-NAME` by default. Its members share the partitions, and its offsets are the progress.
    pub(super) group: Option<Spanned<String>>,
    /// Where a partition begins that the group has never committed: earliest (default), latest, or a time such as
    /// 2026-11-21T06:58:00Z.
    pub(super) initial_offset: Option<InitialOffset>,
    /// Whether messages of transactions that are open or were aborted are read.
    pub(super) isolation_level: Option<IsolationLevel>,
    /// How many messages of a partition may have finished behind one that has not, before the partition is paused; ten
    /// times the seats by default. A crash repeats at most so many of each partition.
    pub(super) max_uncommitted: Option<Spanned<u32>>,
    /// The largest payload that becomes an event; a larger one is refused with its first bytes. 16MiB by default.
    pub(super) max_message_size: Option<Spanned<ByteSize>>,
    /// How much is fetched ahead of its delivery, over all partitions; 4MiB by default.
    pub(super) prefetch: Option<Spanned<ByteSize>>,
    /// How long the group keeps the place of a member that has died; 10s by default.
    pub(super) session_timeout: Option<Spanned<Period>>,
    /// Encrypts the connections, and says how to trust the brokers and to be trusted by them.
    pub(super) tls: Option<Spanned<Tls>>,
    /// How to log in.
    pub(super) sasl: Option<Spanned<Sasl>>,
}

/// Which messages of transactions are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) enum IsolationLevel {
    /// Those of transactions that were committed.
    #[default]
    ReadCommitted,
    /// All.
    ReadUncommitted,
}

/// Where a partition without a committed offset begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct InitialOffset(Initial);

impl Kafka {
    /// The group of a source as it is looked at from outside, for what waits while no member runs.
    ///
    /// # Errors
    /// [`ProbeError`] when the options are wrong, something on this machine is missing, or no client can be made.
    pub fn group(options: &Options, common: &SourceCommon, setup: &Setup) -> Result<Group, ProbeError> {
        let mut check = Check::default();
        let plan = check::plan(options, common, &mut check);
        let wrong = || {
            let said: Vec<_> = check.finish().into_iter().map(|problem| problem.message).collect();
            ProbeError { message: said.join("; "), cause: None }
        };
        plan.ok_or_else(wrong)?.group(setup)
    }
}

impl SourceKind for Kafka {
    type Options = Options;
    const NAME: &'static str = "kafka";

    fn check(&self, options: Options, common: &SourceCommon, check: &mut Check) -> Option<Box<dyn SourcePlan>> {
        check::plan(&options, common, check).map(|plan| Box::new(plan) as Box<dyn SourcePlan>)
    }
}

impl<'de> Deserialize<'de> for InitialOffset {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl serde::de::Visitor<'_> for Text {
            type Value = InitialOffset;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("earliest, latest, or a time such as 2026-11-21T06:58:00Z")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<InitialOffset, E> {
                Ok(InitialOffset(match text {
                    "earliest" => Initial::Earliest,
                    "latest" => Initial::Latest,
                    time => match chrono::DateTime::parse_from_rfc3339(time) {
                        Ok(time) => Initial::Since(time.timestamp_millis()),
                        Err(_) => {
                            let help = "write earliest, latest, or a time such as 2026-11-21T06:58:00Z";
                            return Err(E::custom(format!("'{time}' is no initial offset; {help}")));
                        }
                    },
                }))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

impl JsonSchema for InitialOffset {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "InitialOffset".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "enum": ["earliest", "latest"] }, { "type": "string", "format": "date-time" }] })
    }
}
