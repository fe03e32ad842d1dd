//! What stands under `http:` of an output, and its check.

use std::collections::BTreeMap;
use std::time::Duration;

use connectors::credentials::{self, Login};
use connectors::http::signature::{self, Signature};
use connectors::tls::{self, Tls};
use engine::config::{Check, Period, Secret, Spanned};
use engine::event::Trace;
use reqwest::StatusCode;
use reqwest::header::HeaderName;
use schemars::JsonSchema;
use serde::Deserialize;

use super::Plan;
use super::policy::{Decision, Policy};
use super::reach::Reach;
use super::target::Target;
use crate::message::Mode;

/// Posts every event to an address, as a CloudEvent of the HTTP protocol binding.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Options {
    /// The address, http or https. `{name}` in its path stands for an attribute of the event, such as `{partitionkey}`.
    url: Spanned<Secret>,
    /// How the event travels; binary unless given.
    #[serde(default)]
    mode: Mode,
    /// How to show who sends.
    auth: Option<Spanned<Auth>>,
    /// Further headers of every request, such as `X-Api-Key: "${env:KEY}"`.
    #[serde(default)]
    headers: BTreeMap<Spanned<String>, Spanned<Secret>>,
    /// What a status means, where it is not what it usually means: done, retry or reject.
    #[serde(default)]
    status_policy: BTreeMap<Spanned<String>, Decision>,
    /// How long a request may take to be answered before the event counts as failed; 30s unless given.
    timeout: Option<Spanned<Period>>,
    /// Connections at once, each with one request; 32 unless given. Further events wait.
    max_connections: Option<Spanned<u32>>,
    /// Whether the host may be this machine or one in a private network; true unless given. Link-local and metadata
    /// addresses are refused in any case.
    allow_private: Option<bool>,
    /// How to trust the server and to be trusted by it, for https.
    tls: Option<Spanned<Tls>>,
}

/// What stands under `auth:`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Auth {
    /// The token behind `Authorization: Bearer`, such as `${env:HOOK_TOKEN}`.
    bearer: Option<Spanned<Secret>>,
    /// A user and a password.
    basic: Option<Basic>,
    /// A signature of the body in a header.
    hmac: Option<signature::Options>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Basic {
    /// The user.
    user: Spanned<Secret>,
    /// The password, such as `${env:PASSWORD}`.
    password: Spanned<Secret>,
}

const TIMEOUT: Duration = Duration::from_secs(30);
const TIMEOUT_MIN: Duration = Duration::from_millis(10);
const TIMEOUT_MAX: Duration = Duration::from_secs(900);
const CONNECTIONS: u32 = 32;
const CONNECTIONS_MAX: u32 = 10_000;

/// Headers that say what the request is.
const TAKEN: [&str; 9] = [
    "content-type",
    "content-length",
    "transfer-encoding",
    "host",
    "connection",
    "authorization",
    "content-encoding",
    Trace::PARENT,
    Trace::STATE,
];

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
        let reach = Reach { private: self.allow_private.unwrap_or(true) };
        let https = self.address(reach, check);
        let tls = tls::check(self.tls.as_ref(), check);
        if let (Some(typed), Some(false)) = (&self.tls, https) {
            check.error(typed.span, "tls is set, but url is one without TLS", "write url: https://...");
        }
        if let (Some(typed), Some(_)) = (&self.tls, &tls.server_name) {
            let help = "leave it out; the certificate has to name the host of url";
            check.error(typed.span, "serverName is not offered for http", help);
        }
        let auth = self.auth.as_ref();
        if let Some(typed) = auth {
            typed.check(typed.span, check);
        }
        let basic = auth.and_then(|auth| auth.basic.as_ref());
        Plan {
            mode: self.mode,
            reach,
            connections: self.connections(check),
            timeout: self.timeout(check),
            policy: self.policy(check),
            headers: self.headers(check),
            bearer: auth.and_then(|auth| auth.bearer.as_ref()).map(|token| token.value.clone()),
            login: Login::check(
                basic.map(|basic| &basic.user),
                basic.map(|basic| &basic.password),
                "${env:PASSWORD}",
                check,
            ),
            signature: auth.and_then(|auth| auth.hmac.as_ref()).and_then(|typed| Signature::check(typed, check)),
            tls,
            url: self.url.value,
        }
    }

    /// Checks the address as far as it can be known; whether it is one with TLS, if it is.
    fn address(&self, reach: Reach, check: &mut Check) -> Option<bool> {
        let url = &self.url;
        let Some(literal) = url.value.literal() else {
            credentials::secret(url, "https://${env:HOST}/events", check);
            return None;
        };
        match Target::parse(literal, reach) {
            Ok(target) => Some(target.is_tls()),
            Err(flaw) => {
                check.error(url.span.part(flaw.at, flaw.len), flaw.message, flaw.help);
                None
            }
        }
    }

    fn connections(&self, check: &mut Check) -> usize {
        let Some(typed) = &self.max_connections else { return CONNECTIONS as usize };
        if !(1..=CONNECTIONS_MAX).contains(&typed.value) {
            check.error(typed.span, format!("'maxConnections' is {}", typed.value), "write a number from 1 to 10000");
        }
        typed.value.clamp(1, CONNECTIONS_MAX) as usize
    }

    fn timeout(&self, check: &mut Check) -> Duration {
        let Some(typed) = &self.timeout else { return TIMEOUT };
        if !(TIMEOUT_MIN..=TIMEOUT_MAX).contains(&typed.value.0) {
            check.error(typed.span, format!("'timeout' is {:?}", typed.value.0), "write a time from 10ms to 15m");
        }
        typed.value.0.clamp(TIMEOUT_MIN, TIMEOUT_MAX)
    }

    fn policy(&self, check: &mut Check) -> Policy {
        let mut policy = Policy::default();
        for (code, decision) in &self.status_policy {
            match code.parse::<u16>().ok().filter(|code| StatusCode::from_u16(*code).is_ok()) {
                Some(code) => policy.0.push((code, *decision)),
                None => {
                    let message = format!("'{}' is no status", code.value);
                    check.error(code.span, message, "write a status such as 401: retry");
                }
            }
        }
        policy
    }

    fn headers(&self, check: &mut Check) -> Vec<(HeaderName, Secret)> {
        let mut headers = Vec::new();
        for (name, value) in &self.headers {
            credentials::secret(value, "${env:KEY}", check);
            match HeaderName::try_from(name.as_str()) {
                Ok(header) if TAKEN.contains(&header.as_str()) || header.as_str().starts_with("ce-") => {
                    let help = match header.as_str() {
                        "authorization" => "write auth: { bearer: ... } or auth: { basic: ... }",
                        _ => "leave it out",
                    };
                    check.error(name.span, format!("header '{}' is not set here", name.value), help);
                }
                Ok(header) => headers.push((header, value.value.clone())),
                Err(_) => check.error(name.span, "this cannot be the name of a header", "such as X-Api-Key"),
            }
        }
        headers
    }
}

impl Auth {
    fn check(&self, span: engine::config::Span, check: &mut Check) {
        if let Some(token) = &self.bearer {
            credentials::secret(token, "${env:HOOK_TOKEN}", check);
        }
        match (&self.bearer, &self.basic, &self.hmac) {
            (None, None, None) => {
                check.error(span, "auth shows nothing", "write bearer:, basic: or hmac: under it, or leave it out");
            }
            (Some(_), Some(basic), _) => {
                let message = "there are two ways to fill the header Authorization";
                check.error(basic.user.span, message, "write bearer: or basic:, not both");
            }
            _ => {}
        }
    }
}
