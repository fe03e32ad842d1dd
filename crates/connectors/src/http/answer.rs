//! What a request is answered, and the sentence with it.
//!
//! | status | when | worth another try |
//! |---|---|---|
//! | 202 | every event of it has reached the ack point | |
//! | 200 | the webhook handshake is granted | |
//! | 400 | it is no event, or claims to be one and is not | no |
//! | 401 | the token or the signature is absent or wrong | no |
//! | 403 | the webhook handshake names an origin that is not allowed | no |
//! | 404, 405 | another path, another method | no |
//! | 408 | the body took too long to come | yes |
//! | 413 | the body is larger than `maxBodySize` | no |
//! | 415 | a CloudEvents format or a content encoding that is not understood | no |
//! | 429 | no seat, or no room for the body, became free in time; with `Retry-After` | yes |
//! | 503 | the source is paused, the engine is ending, or it handed the events back; with `Retry-After` | yes |
//!
//! A request that is no event is answered 400 and not 422, because that is what senders which follow Knative's contract
//! give up on; its raw body is a dead letter by then.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{Response, StatusCode};

use super::webhook::{ALLOWED_ORIGIN, ALLOWED_RATE, Grant};

/// What a request is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Every event has reached the ack point.
    Accepted,
    /// The handshake is granted.
    Granted(Grant),
    /// It is no event, and why.
    NoEvent(String),
    /// The headers make no sense, and why.
    Malformed(&'static str),
    Unauthorized,
    /// The origin of the handshake is not allowed.
    Forbidden,
    NotFound,
    /// The method is not taken; whether the handshake is.
    Method {
        webhook: bool,
    },
    Slow,
    TooLarge {
        limit: usize,
    },
    MediaType(String),
    /// No seat, or no room, became free.
    Full,
    /// Somebody has paused the source.
    Paused,
    /// The engine handed the events back.
    Again(Duration),
    /// The engine is ending.
    Ending,
}

/// When a sender may try again, where nobody knows better.
const SOON: u64 = 1;

impl Answer {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Answer::Accepted => StatusCode::ACCEPTED,
            Answer::Granted(_) => StatusCode::OK,
            Answer::NoEvent(_) | Answer::Malformed(_) => StatusCode::BAD_REQUEST,
            Answer::Unauthorized => StatusCode::UNAUTHORIZED,
            Answer::Forbidden => StatusCode::FORBIDDEN,
            Answer::NotFound => StatusCode::NOT_FOUND,
            Answer::Method { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Answer::Slow => StatusCode::REQUEST_TIMEOUT,
            Answer::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Answer::MediaType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Answer::Full => StatusCode::TOO_MANY_REQUESTS,
            Answer::Paused | Answer::Again(_) | Answer::Ending => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn sentence(&self) -> Option<String> {
        Some(match self {
            Answer::Accepted | Answer::Granted(_) => return None,
            Answer::NoEvent(reason) | Answer::MediaType(reason) => reason.clone(),
            Answer::Malformed(reason) => (*reason).to_owned(),
            Answer::Unauthorized => "the token or the signature is absent or wrong".to_owned(),
            Answer::Forbidden => "this origin may not deliver here".to_owned(),
            Answer::NotFound => "nothing is received under this path".to_owned(),
            Answer::Method { .. } => "events are posted".to_owned(),
            Answer::Slow => "the body took too long".to_owned(),
            Answer::TooLarge { limit } => format!("the body is larger than {limit} bytes"),
            Answer::Full => "there is no room for more; try again later".to_owned(),
            Answer::Paused => "nothing is taken in at the moment; try again later".to_owned(),
            Answer::Again(_) => "the events were not finished; send them again".to_owned(),
            Answer::Ending => "this engine is ending; send it again".to_owned(),
        })
    }

    /// The response that says it.
    pub(super) fn response(self) -> Response<Full<Bytes>> {
        let body = match self.sentence() {
            Some(sentence) => Bytes::from(serde_json::json!({ "error": sentence }).to_string()),
            None => Bytes::new(),
        };
        let mut response = Response::new(Full::new(body));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        if self.sentence().is_some() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        match self {
            Answer::Granted(grant) => {
                headers.insert(ALLOW, HeaderValue::from_static("POST, OPTIONS"));
                headers.insert(ALLOWED_ORIGIN, grant.origin);
                headers.insert(ALLOWED_RATE, grant.rate);
            }
            Answer::Unauthorized => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            Answer::Method { webhook } => {
                let methods = if webhook { "POST, OPTIONS" } else { "POST" };
                headers.insert(ALLOW, HeaderValue::from_static(methods));
            }
            Answer::Full | Answer::Paused => {
                headers.insert(RETRY_AFTER, SOON.into());
            }
            Answer::Again(after) => {
                headers.insert(RETRY_AFTER, whole_seconds(after).into());
            }
            Answer::Ending => {
                headers.insert(RETRY_AFTER, SOON.into());
                headers.insert(CONNECTION, HeaderValue::from_static("close"));
            }
            _ => {}
        }
        response
    }
}

/// Rounded up, and at least one.
fn whole_seconds(after: Duration) -> u64 {
    u64::try_from(after.as_millis().div_ceil(1000)).unwrap_or(u64::MAX).max(SOON)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_worth_another_try_says_when() {
        for (answer, status, retry) in [
            (Answer::Accepted, 202, None),
            (Answer::NoEvent("it has no id".into()), 400, None),
            (Answer::TooLarge { limit: 10 }, 413, None),
            (Answer::MediaType("x".into()), 415, None),
            (Answer::Full, 429, Some("1")),
            (Answer::Paused, 503, Some("1")),
            (Answer::Ending, 503, Some("1")),
            (Answer::Again(Duration::ZERO), 503, Some("1")),
            (Answer::Again(Duration::from_millis(2001)), 503, Some("3")),
        ] {
            let response = answer.response();
            assert_eq!(response.status(), status);
            assert_eq!(response.headers().get(RETRY_AFTER).map(|value| value.to_str().unwrap()), retry);
        }
    }

    #[test]
    fn a_refused_method_says_which_ones_are_taken() {
        for (webhook, methods) in [(false, "POST"), (true, "POST, OPTIONS")] {
            assert_eq!(Answer::Method { webhook }.response().headers()[ALLOW], methods);
        }
    }
}
