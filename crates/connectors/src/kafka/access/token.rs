//! Tokens for OAUTHBEARER. Whoever gives them out renews them in a file or a variable; the client asks for the next one
//! before the last one ends, and what is read then counts.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use engine::config::Secret;
use engine::port::Clock;
use rdkafka::client::OAuthToken;
use serde::Deserialize;

/// How long a token is used that does not say when it ends.
const UNKNOWN: Duration = Duration::from_secs(3600);

/// Where tokens come from.
#[derive(Clone)]
pub struct Tokens {
    secret: Secret,
    clock: Arc<dyn Clock>,
}

/// What is read of a JSON web token; nothing of it is verified, which is the broker's business.
#[derive(Default, Deserialize)]
struct Claims {
    exp: Option<f64>,
    sub: Option<String>,
}

impl Tokens {
    /// Tokens that `secret` leads to.
    #[must_use]
    pub fn new(secret: Secret, clock: Arc<dyn Clock>) -> Tokens {
        Tokens { secret, clock }
    }

    /// The token as it stands now.
    ///
    /// # Errors
    /// When the reference leads nowhere, or the token has ended.
    pub fn draw(&self) -> Result<OAuthToken, Box<dyn Error>> {
        let token = self.secret.reveal().map_err(|cause| format!("kafka.sasl.token: {cause}"))?.trim().to_owned();
        let claims = claims(&token).unwrap_or_default();
        let now = self.clock.now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let ends = match claims.exp.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()) {
            Some(ends) if ends <= now => {
                return Err("kafka.sasl.token has expired; renew what it names".into());
            }
            Some(ends) => ends,
            None => now + UNKNOWN,
        };
        let lifetime_ms = i64::try_from(ends.as_millis()).unwrap_or(i64::MAX);
        let principal_name = claims.sub.filter(|name| !name.contains('\0')).unwrap_or_else(|| "tidemill".to_owned());
        Ok(OAuthToken { token, principal_name, lifetime_ms })
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens")
    }
}

fn claims(token: &str) -> Option<Claims> {
    let payload = token.split('.').nth(1)?;
    let json = BASE64_URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    serde_json::from_slice(&json).ok()
}

/// The clock of the tests.
#[cfg(test)]
pub(super) struct At(pub(super) u64);

#[cfg(test)]
impl Clock for At {
    fn now(&self) -> std::time::SystemTime {
        UNIX_EPOCH + Duration::from_secs(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(claims: &str, now: u64) -> Result<OAuthToken, String> {
        let token = format!("{}.{}.", BASE64_URL_SAFE_NO_PAD.encode("{}"), BASE64_URL_SAFE_NO_PAD.encode(claims));
        Tokens::new(Secret::new(token), Arc::new(At(now))).draw().map_err(|cause| cause.to_string())
    }

    #[test]
    fn a_token_says_whose_it_is_and_when_it_ends() {
        let token = drawn(r#"{"sub":"fleet","exp":2000,"aud":["x"]}"#, 1000).unwrap();
        assert_eq!((token.principal_name.as_str(), token.lifetime_ms), ("fleet", 2_000_000));
        assert!(drawn(r#"{"sub":"fleet","exp":2000}"#, 2000).err().unwrap().contains("has expired"));
    }

    #[test]
    fn a_token_that_says_nothing_is_used_all_the_same() {
        let token = drawn("no json", 1000).unwrap();
        assert_eq!((token.principal_name.as_str(), token.lifetime_ms), ("tidemill", 4_600_000));
        let opaque = Tokens::new(Secret::new(" abc\n"), Arc::new(At(0))).draw().unwrap();
        assert_eq!(opaque.token, "abc");
    }

    #[test]
    fn a_reference_that_leads_nowhere_is_named() {
        let nowhere = Tokens::new(Secret::new("${file:/nonexistent/token}"), Arc::new(At(0))).draw();
        assert!(nowhere.err().unwrap().to_string().starts_with("kafka.sasl.token: cannot read"));
    }
}
