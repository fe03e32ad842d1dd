//! What is typed under `nats:`, and what it means.

mod check;
mod create;
mod plan;

use engine::config::{Check, Period, Secret, Spanned};
use engine::registry::{SourceCommon, SourceKind, SourcePlan};
use schemars::JsonSchema;
use serde::Deserialize;

pub use check::keep_alive;
pub(super) use create::{Create, CreateOptions};

use crate::tls::Tls;

/// The kind of source behind the key `nats`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nats;

/// What stands under `nats:`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Options {
    /// The server: `nats://host:4222`, or `tls://host:4222`; several of one cluster with commas between them.
    pub(super) url: Spanned<Secret>,
    /// Subjects. `{name}` captures one token and gives it a name; `*` and `>` are NATS's own wildcards.
    pub(super) subjects: Spanned<Vec<Spanned<String>>>,
    /// Core NATS: shares the messages with every other subscriber of this group.
    pub(super) queue_group: Option<Spanned<String>>,
    /// JetStream: the stream to consume.
    pub(super) stream: Option<Spanned<String>>,
    /// JetStream: the durable pull consumer; engines with the same one share its messages.
    pub(super) durable: Option<Spanned<String>>,
    /// JetStream: the domain, where it is not the server's own.
    pub(super) domain: Option<Spanned<String>>,
    /// JetStream: makes the stream and the consumer, as far as they are not there. `{}` for the defaults.
    pub(super) create: Option<Spanned<CreateOptions>>,
    /// The longest silence of the server before it is asked whether it is there, from 1s to 1h; 20s by default.
    pub(super) keep_alive: Option<Spanned<Period>>,
    /// The user name.
    pub(super) user: Option<Spanned<Secret>>,
    /// The password, such as `${env:NATS_PASSWORD}`.
    pub(super) password: Option<Spanned<Secret>>,
    /// A token instead of a user.
    pub(super) token: Option<Spanned<Secret>>,
    /// The seed of an nkey instead of a user, such as `${file:/etc/tidemill/nats.nk}`.
    pub(super) nkey: Option<Spanned<Secret>>,
    /// The path of a credentials file instead of a user.
    pub(super) credentials: Option<Spanned<String>>,
    /// How to trust the server and to be trusted by it, for `tls://`.
    pub(super) tls: Option<Spanned<Tls>>,
}

/// A durable consumer of a stream.
#[derive(Clone, Debug)]
pub(super) struct Durable {
    /// Subjects as the server is asked for them.
    pub(super) subjects: Vec<String>,
    pub(super) stream: String,
    pub(super) durable: String,
    pub(super) domain: Option<String>,
    /// How to make what is not there.
    pub(super) create: Option<Create>,
}

impl Durable {
    /// What requests to JetStream begin with.
    pub(super) fn api(&self) -> String {
        match &self.domain {
            Some(domain) => format!("$JS.{domain}.API"),
            None => "$JS.API".to_owned(),
        }
    }
}

/// How messages are received.
#[derive(Clone, Debug)]
pub(super) enum Reading {
    /// Core subjects, shared within a group if there is one.
    Core(Option<String>),
    /// A durable consumer.
    Stream(Durable),
}

impl SourceKind for Nats {
    type Options = Options;
    const NAME: &'static str = "nats";

    fn check(&self, options: Options, common: &SourceCommon, check: &mut Check) -> Option<Box<dyn SourcePlan>> {
        check::plan(&options, common, check).map(|plan| Box::new(plan) as Box<dyn SourcePlan>)
    }
}
