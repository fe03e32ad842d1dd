//! What a status says about an event, and when to try again.

use std::time::{Duration, SystemTime};

use reqwest::StatusCode;
use reqwest::header::HeaderValue;
use schemars::JsonSchema;
use serde::Deserialize;

/// What a status says about an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) enum Decision {
    /// It has arrived.
    Done,
    /// It may arrive later.
    Retry,
    /// It will never be taken.
    Reject,
}

/// Which statuses mean something else than usual.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Policy(pub(super) Vec<(u16, Decision)>);

/// A longer wait is not what a status code means.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

impl Policy {
    pub(super) fn decide(&self, status: StatusCode) -> Decision {
        let code = status.as_u16();
        if let Some((_, decision)) = self.0.iter().find(|(known, _)| *known == code) {
            return *decision;
        }
        match code {
            200..=299 => Decision::Done,
            404 | 408 | 409 | 425 | 429 | 500.. => Decision::Retry,
            _ => Decision::Reject,
        }
    }
}

/// How long to wait by a `Retry-After`, in seconds or until a date; nothing if it says neither.
pub(super) fn retry_after(value: &HeaderValue, now: SystemTime) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    let after = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or_default(),
    };
    Some(after.min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_mean_what_the_contract_says() {
        let decide = |code| Policy::default().decide(StatusCode::from_u16(code).unwrap());
        for code in [200, 201, 202, 204, 299] {
            assert_eq!(decide(code), Decision::Done, "{code}");
        }
        for code in [404, 408, 409, 425, 429, 500, 502, 503, 504, 599, 999] {
            assert_eq!(decide(code), Decision::Retry, "{code}");
        }
        for code in [100, 301, 302, 307, 308, 400, 401, 403, 405, 410, 413, 415, 422] {
            assert_eq!(decide(code), Decision::Reject, "{code}");
        }
    }

    #[test]
    fn the_file_may_say_otherwise() {
        let policy = Policy(vec![(401, Decision::Retry), (404, Decision::Reject), (409, Decision::Done)]);
        let decide = |code| policy.decide(StatusCode::from_u16(code).unwrap());
        assert_eq!((decide(401), decide(404), decide(409)), (Decision::Retry, Decision::Reject, Decision::Done));
        assert_eq!((decide(200), decide(403)), (Decision::Done, Decision::Reject));
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_and_bounded() {
        // Wed, 21 Oct 2015 07:28:00 GMT.
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_445_412_480);
        let after = |text: &'static str| retry_after(&HeaderValue::from_static(text), now);
        assert_eq!(after("120"), Some(Duration::from_secs(120)));
        assert_eq!(after("Wed, 21 Oct 2015 07:28:30 GMT"), Some(Duration::from_secs(30)));
        assert_eq!(after("Wed, 21 Oct 2015 07:27:00 GMT"), Some(Duration::ZERO));
        assert_eq!(after("99999999"), Some(LONGEST));
        assert_eq!((after("soon"), after("-1"), after("")), (None, None, None));
    }
}
