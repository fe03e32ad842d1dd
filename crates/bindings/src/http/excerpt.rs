//! What is kept of a refusal's words, for the status, the log and the record of what was rejected.
//!
//! Decision: peers echo requests, proxies and echo servers above all, so whatever this output logs in with is taken out of
//! their words first, and so is the address when that is a secret itself.

use reqwest::Url;
use reqwest::header::HeaderMap;

/// How much of a refusal's words is kept, in characters.
const KEPT: usize = 200;
/// What stands in the place of what nobody may read.
const HIDDEN: &str = "***";

/// What is never repeated.
#[derive(Debug)]
pub(super) struct Excerpt {
    secrets: Vec<String>,
    /// Whether the rest of the address is a secret too.
    address: bool,
}

impl Excerpt {
    /// Hides every value in `headers` that is marked as one to hide, and the path and query of addresses if `address`.
    pub(super) fn new(headers: &HeaderMap, address: bool) -> Excerpt {
        let values = headers.values().filter(|value| value.is_sensitive()).filter_map(|value| value.to_str().ok());
        // A scheme and what it carries: either may stand there without the other.
        let parts = values.flat_map(|value| [Some(value), value.split_once(' ').map(|(_, rest)| rest)]).flatten();
        let mut secrets: Vec<String> = parts.filter(|part| !part.is_empty()).map(str::to_owned).collect();
        // The whole before its parts.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Excerpt { secrets, address }
    }

    /// How many bytes of an answer have to be read, so that what is kept holds no piece of a secret that was cut off.
    pub(super) fn reads(&self) -> usize {
        4 * KEPT + self.secrets.iter().map(String::len).sum::<usize>()
    }

    /// What of a request's address is not to be repeated.
    pub(super) fn hides(&self, url: &Url) -> Vec<String> {
        let parts = [Some(url.path()), url.query()].into_iter().flatten().filter(|part| self.address && part.len() > 1);
        parts.map(str::to_owned).collect()
    }

    /// The beginning of an answer to a request that hides `more`.
    pub(super) fn of(&self, answer: &str, more: &[String]) -> String {
        let mut words = answer.trim().to_owned();
        for secret in more.iter().chain(&self.secrets) {
            words = words.replace(secret.as_str(), HIDDEN);
        }
        words.chars().take(KEPT).flat_map(char::escape_debug).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::request::secret_value;

    #[test]
    fn what_it_logs_in_with_is_not_repeated() {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", secret_value("auth", "Bearer t0ken").unwrap());
        headers.insert("x-api-key", secret_value("key", "s3cret").unwrap());
        headers.insert("x-open", "shown".parse().unwrap());
        let url = Url::parse("https://a/services/T1?sig=q").unwrap();
        let open = Excerpt::new(&headers, false);
        let said = open.of("  Authorization: Bearer t0ken\nx-api-key=s3cret token 't0ken' shown", &open.hides(&url));
        assert_eq!(said, "Authorization: ***\\nx-api-key=*** token \\'***\\' shown");
        let hiding = Excerpt::new(&headers, true);
        assert_eq!(hiding.of("cannot POST /services/T1 with sig=q", &hiding.hides(&url)), "cannot POST *** with ***");
        assert_eq!(open.of("cannot POST /services/T1", &open.hides(&url)), "cannot POST /services/T1");
        let long = format!("{}t0ken", "x".repeat(KEPT - 2));
        assert_eq!(open.of(&long, &[]), format!("{}**", "x".repeat(KEPT - 2)), "not even a piece of it is left");
    }
}
