//! Who may post: a bearer token, a signature of the body, or both.

use engine::config::{Check, Secret, Spanned};
use engine::registry::OpenError;
use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;
use schemars::JsonSchema;
use serde::Deserialize;
use subtle::ConstantTimeEq;

use super::signature::{self, Key, Signature};
use crate::credentials;

/// What stands under `auth:`. A request has to satisfy everything that is there.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Options {
    /// The token behind `Authorization: Bearer`, such as `${env:HOOK_TOKEN}`.
    bearer: Option<Spanned<Secret>>,
    /// A signature of the body in a header.
    hmac: Option<signature::Options>,
}

/// Checked, with its secrets unrevealed.
#[derive(Clone, Debug, Default)]
pub(super) struct Access {
    bearer: Option<Secret>,
    hmac: Option<Signature>,
}

/// Judges requests.
#[derive(Default)]
pub(super) struct Guard {
    bearer: Option<String>,
    hmac: Option<Key>,
}

impl Access {
    pub(super) fn check(typed: &Spanned<Options>, check: &mut Check) -> Access {
        if let Some(token) = &typed.bearer {
            credentials::secret(token, "${env:HOOK_TOKEN}", check);
            if token.value.literal().is_some_and(|text| text.trim().is_empty()) {
                check.error(token.span, "the token is empty", "such as ${env:HOOK_TOKEN}");
            }
        }
        if typed.bearer.is_none() && typed.hmac.is_none() {
            check.error(typed.span, "auth asks for nothing", "write bearer: or hmac: under it, or leave it out");
        }
        Access {
            bearer: typed.bearer.as_ref().map(|token| token.value.clone()),
            hmac: typed.hmac.as_ref().and_then(|typed| Signature::check(typed, check)),
        }
    }

    pub(super) fn open(&self) -> Result<Guard, OpenError> {
        let bearer = self.bearer.as_ref().map(|token| credentials::reveal("http.auth.bearer", token)).transpose()?;
        if bearer.as_ref().is_some_and(|token| token.trim().is_empty()) {
            return Err(OpenError { message: "http.auth.bearer is empty".to_owned(), cause: None });
        }
        let hmac = self.hmac.as_ref().map(|signature| signature.open("http.auth.hmac")).transpose()?;
        Ok(Guard { bearer, hmac })
    }
}

impl Guard {
    /// Whether the headers alone let a request pass.
    pub(super) fn admits(&self, headers: &HeaderMap) -> bool {
        let Some(token) = &self.bearer else { return true };
        single(headers, &AUTHORIZATION).and_then(bearer).is_some_and(|shown| shown.ct_eq(token.as_bytes()).into())
    }

    /// Whether a header of this name, in lower case, is what somebody shows to be let in, and is never kept.
    pub(super) fn hides(&self, name: &str) -> bool {
        let shown = ["authorization", "proxy-authorization", "cookie"].contains(&name);
        shown || self.hmac.as_ref().is_some_and(|key| key.header() == name)
    }

    /// Whether the body is signed, where it has to be.
    pub(super) fn trusts(&self, headers: &HeaderMap, body: &[u8]) -> bool {
        let Some(key) = &self.hmac else { return true };
        single(headers, key.header()).is_some_and(|shown| key.verify(shown, body))
    }
}

/// The value of a header that is there once.
fn single<'h>(headers: &'h HeaderMap, name: &hyper::header::HeaderName) -> Option<&'h [u8]> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none()).map(|value| value.as_bytes())
}

fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (hyper::header::HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    fn guard(json: &str) -> Guard {
        let typed: Spanned<Options> = serde_json::from_str(json).unwrap();
        let mut check = Check::default();
        let access = Access::check(&typed, &mut check);
        assert!(!check.failed(), "{:?}", check.finish());
        access.open().unwrap()
    }

    #[test]
    fn a_token_is_shown_once_and_exactly() {
        let guard = guard(r#"{"bearer":"s3cret"}"#);
        for value in ["Bearer s3cret", "bearer  s3cret", "BEARER s3cret "] {
            assert!(guard.admits(&headers(&[("authorization", value)])), "{value}");
        }
        for value in ["Bearer s3creT", "Bearer", "Bearer ", "Basic s3cret", "s3cret", "Bearer s3crets"] {
            assert!(!guard.admits(&headers(&[("authorization", value)])), "{value}");
        }
        assert!(!guard.admits(&HeaderMap::new()));
        let mut twice = headers(&[("authorization", "Bearer s3cret")]);
        twice.append(AUTHORIZATION, "Bearer s3cret".parse().unwrap());
        assert!(!guard.admits(&twice));
        assert!(guard.trusts(&HeaderMap::new(), b"x"), "no signature is asked for");
    }

    #[test]
    fn a_signature_stands_in_the_header_that_was_named() {
        let guard = guard(r#"{"hmac":{"header":"X-Signature","secret":"k"}}"#);
        let signed = guard.hmac.as_ref().unwrap().sign(b"body");
        assert!(guard.admits(&HeaderMap::new()));
        assert!(guard.trusts(&headers(&[("x-signature", &signed)]), b"body"));
        assert!(guard.hides("x-signature") && guard.hides("authorization") && !guard.hides("ce-id"));
        assert!(!guard.trusts(&headers(&[("x-signature", &signed)]), b"other"));
        assert!(!guard.trusts(&headers(&[("x-hub-signature-256", &signed)]), b"body"));
        assert!(!guard.trusts(&HeaderMap::new(), b"body"));
    }

    #[test]
    fn what_protects_nothing_is_refused() {
        for json in [
            "{}",
            r#"{"bearer":" "}"#,
            r#"{"hmac":{"secret":""}}"#,
            r#"{"bearer":"${env:}"}"#,
            r#"{"hmac":{"header":"a b","secret":"k"}}"#,
        ] {
            let typed: Spanned<Options> = serde_json::from_str(json).unwrap();
            let mut check = Check::default();
            Access::check(&typed, &mut check);
            assert_eq!(check.finish().len(), 1, "{json}");
        }
    }
}
