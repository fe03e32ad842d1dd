//! The handshake of CloudEvents' webhook specification, by which a sender asks whether it may deliver here.
//!
//! The sender names itself and the rate at which it would like to send; the answer allows both, or the request is refused.
//! Only what the file names is allowed. The rate is told, not enforced: what protects the engine is that a request which
//! finds no seat is answered `429`.

use engine::config::{Check, Spanned};
use hyper::HeaderMap;
use hyper::header::HeaderValue;
use schemars::JsonSchema;
use serde::Deserialize;

pub(super) const REQUEST_ORIGIN: &str = "webhook-request-origin";
const REQUEST_RATE: &str = "webhook-request-rate";
pub(super) const ALLOWED_ORIGIN: &str = "webhook-allowed-origin";
pub(super) const ALLOWED_RATE: &str = "webhook-allowed-rate";

/// What stands under `webhook:`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Options {
    /// Who may deliver, by the names in `WebHook-Request-Origin`, such as `eventgrid.example`; `*` for everybody.
    origins: Spanned<Vec<Spanned<String>>>,
    /// The most requests per minute that a sender is told to send; no limit by default.
    rate: Option<Spanned<u32>>,
}

/// A checked handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Webhook {
    origins: Vec<String>,
    rate: Option<u32>,
}

/// What is granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Grant {
    pub(super) origin: HeaderValue,
    pub(super) rate: HeaderValue,
}

impl Webhook {
    pub(super) fn check(typed: &Options, check: &mut Check) -> Webhook {
        if typed.origins.is_empty() {
            check.error(typed.origins.span, "no origin is allowed", "write at least one, or leave webhook: out");
        }
        for origin in typed.origins.iter() {
            if origin.is_empty() || origin.bytes().any(|byte| !byte.is_ascii_graphic() || byte == b'/') {
                check.error(origin.span, "an origin is the name of a host", "such as eventgrid.example, or * for all");
            }
        }
        if let Some(rate) = typed.rate.as_ref().filter(|rate| rate.value == 0) {
            check.error(rate.span, "a rate of 0 allows nothing", "write requests per minute, or leave it out");
        }
        Webhook {
            origins: typed.origins.iter().map(|origin| origin.value.clone()).collect(),
            rate: typed.rate.as_ref().map(|rate| rate.value),
        }
    }

    /// What the handshake in these headers is granted; nothing if it is refused.
    pub(super) fn grant(&self, headers: &HeaderMap) -> Option<Grant> {
        let origin = headers.get(REQUEST_ORIGIN)?;
        let name = origin.to_str().ok()?;
        if !self.origins.iter().any(|allowed| allowed == "*" || allowed.eq_ignore_ascii_case(name)) {
            return None;
        }
        let asked = headers.get(REQUEST_RATE).and_then(|rate| rate.to_str().ok()?.trim().parse::<u32>().ok());
        let rate = match (asked.filter(|rate| *rate > 0), self.rate) {
            (Some(asked), Some(most)) => Some(asked.min(most)),
            (asked, most) => asked.or(most),
        };
        let rate = rate.map_or_else(|| HeaderValue::from_static("*"), HeaderValue::from);
        Some(Grant { origin: origin.clone(), rate })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted(webhook: &Webhook, headers: &[(&'static str, &str)]) -> Option<(String, String)> {
        let headers =
            headers.iter().map(|(name, value)| (hyper::header::HeaderName::from_static(name), value.parse().unwrap()));
        let grant = webhook.grant(&headers.collect())?;
        Some((grant.origin.to_str().unwrap().to_owned(), grant.rate.to_str().unwrap().to_owned()))
    }

    #[test]
    fn only_named_origins_are_granted_and_the_smaller_rate() {
        let webhook = Webhook { origins: vec!["eventgrid.example".into()], rate: Some(120) };
        let asks = |name, rate| granted(&webhook, &[(REQUEST_ORIGIN, name), (REQUEST_RATE, rate)]);
        let said = |rate: &str| Some(("EventGrid.example".to_owned(), rate.to_owned()));
        assert_eq!(asks("EventGrid.example", "1000"), said("120"));
        assert_eq!(asks("EventGrid.example", "60"), said("60"));
        assert_eq!(asks("EventGrid.example", "*"), said("120"));
        assert_eq!(asks("evil.example", "1"), None);
        assert_eq!(granted(&webhook, &[]), None);
    }

    #[test]
    fn without_a_rate_the_sender_may_choose() {
        let webhook = Webhook { origins: vec!["*".into()], rate: None };
        assert_eq!(granted(&webhook, &[(REQUEST_ORIGIN, "a")]), Some(("a".into(), "*".into())));
        assert_eq!(granted(&webhook, &[(REQUEST_ORIGIN, "a"), (REQUEST_RATE, "7")]), Some(("a".into(), "7".into())));
        assert_eq!(granted(&webhook, &[(REQUEST_ORIGIN, "a"), (REQUEST_RATE, "0")]), Some(("a".into(), "*".into())));
    }
}
