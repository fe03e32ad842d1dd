//! What is typed under `http:` of a source, and what it means.

mod check;
mod plan;

use engine::config::{ByteSize, Check, Period, Spanned};
use engine::registry::{SourceCommon, SourceKind, SourcePlan};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{access, webhook};

#[cfg(test)]
pub(super) use check::path;

/// The kind of source behind the key `http`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Http;

/// What stands under `http:`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Options {
    /// The address to listen on, an IP address and a port such as `127.0.0.1:8080` or `0.0.0.0:8080`.
    pub(super) listen: Spanned<String>,
    /// The path to receive under; `/` by default. `{name}` captures one segment and gives it a name.
    pub(super) path: Option<Spanned<String>>,
    /// The largest body that is taken; 1MiB by default.
    pub(super) max_body_size: Option<Spanned<ByteSize>>,
    /// How long a request waits for a free seat before it is answered 429; 5s by default.
    pub(super) max_wait: Option<Spanned<Period>>,
    /// Connections at once; 512 by default. More wait until one ends.
    pub(super) max_connections: Option<Spanned<u32>>,
    /// Who may post.
    pub(super) auth: Option<Spanned<access::Options>>,
    /// Which senders are granted the webhook handshake of CloudEvents.
    pub(super) webhook: Option<webhook::Options>,
    /// The certificate to show, which makes this https.
    pub(super) tls: Option<Spanned<Tls>>,
}

/// What stands under `tls:`. Each is a PEM file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Tls {
    /// This server's certificate and what signs it.
    pub(super) cert: Spanned<String>,
    /// The private key of `cert`.
    pub(super) key: Spanned<String>,
    /// The certificates that sign those of clients; with it only clients that have one may connect.
    pub(super) client_ca: Option<Spanned<String>>,
}

impl SourceKind for Http {
    type Options = Options;
    const NAME: &'static str = "http";

    fn check(&self, options: Options, common: &SourceCommon, check: &mut Check) -> Option<Box<dyn SourcePlan>> {
        check::plan(&options, common, check).map(|plan| Box::new(plan) as Box<dyn SourcePlan>)
    }
}
