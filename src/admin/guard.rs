//! Who may ask: the checks that stand before every path of a listener.
//!
//! A page in a browser can reach loopback too. What gives it away is the name in `Host`, which its author had to choose
//! (DNS rebinding), and `Origin`. On loopback only names that cannot be rebound are served; elsewhere every request shows
//! the token, which no foreign page can have, so a machine may be called by any of its names there.

use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderName, StatusCode, header};

use super::{Address, Token};

/// What a listener asks of every request.
#[derive(Clone, Debug)]
pub struct Guard {
    /// Only `localhost` and loopback addresses may stand in `Host`.
    local_names_only: bool,
    token: Option<Token>,
    /// Nothing is asked at all.
    open: bool,
}

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// `Host` is absent, twice there, or a foreign name.
    #[error(
        "the Host header must name localhost or a loopback address; a web page must not reach this API by a name of its own"
    )]
    Host,
    /// `Origin` is not this API.
    #[error("requests of other origins are refused; a web page must not use this API")]
    Origin,
    /// The token is absent or wrong.
    #[error("this API needs its token; send the header 'Authorization: Bearer TOKEN'")]
    Token,
}

impl Refusal {
    /// The status code that says it.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Refusal::Host | Refusal::Origin => StatusCode::FORBIDDEN,
            Refusal::Token => StatusCode::UNAUTHORIZED,
        }
    }
}

/// The admin API was to listen where others can reach it, without a token.
#[derive(Debug, thiserror::Error)]
#[error(
    "the admin API may listen on {0} only with a token, because others than this machine can reach it; set one of at \
     least 16 characters in TIDEMILL_ADMIN_TOKEN or name a file with --admin-token-file, or use a loopback address; \
     --observe shows metrics on any address"
)]
pub struct Exposed(Address);

impl Guard {
    /// The guard of the admin API at `address`.
    ///
    /// # Errors
    /// [`Exposed`] when others than this machine can reach it and there is no token.
    pub fn admin(address: &Address, token: Option<Token>) -> Result<Guard, Exposed> {
        if !address.is_local() && token.is_none() {
            return Err(Exposed(address.clone()));
        }
        let local_names_only = matches!(address, Address::Tcp(_)) && address.is_local();
        Ok(Guard { local_names_only, token, open: false })
    }

    /// The guard of the observe page, which anybody may read.
    #[must_use]
    pub fn observe() -> Guard {
        Guard { local_names_only: false, token: None, open: true }
    }

    /// Whether a request with these headers may be served.
    ///
    /// # Errors
    /// [`Refusal`] says why not.
    pub fn check(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        if self.open {
            return Ok(());
        }
        let host = single(headers, &header::HOST).map_err(|()| Refusal::Host)?;
        if self.local_names_only && !host.is_some_and(is_local_name) {
            return Err(Refusal::Host);
        }
        match single(headers, &header::ORIGIN) {
            Ok(None) => {}
            Ok(Some(origin)) if host.is_some_and(|host| is_same_origin(origin, host)) => {}
            Ok(Some(_)) | Err(()) => return Err(Refusal::Origin),
        }
        let Some(token) = &self.token else { return Ok(()) };
        let shown = single(headers, &header::AUTHORIZATION).ok().flatten().and_then(bearer);
        match shown.is_some_and(|shown| token.matches(shown.as_bytes())) {
            true => Ok(()),
            false => Err(Refusal::Token),
        }
    }
}

/// The header's text; an error if it is there twice or is no text.
fn single<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, ()> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| ()),
        (Some(_), Some(_)) => Err(()),
    }
}

/// Whether `host`, with or without a port, is a name that no DNS server outside answers for.
fn is_local_name(host: &str) -> bool {
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) if is_port(port) => address,
        Some(_) => return false,
        None => match host.split_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            Some(_) => return false,
            None => host,
        },
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

/// Whether what stands behind an address in brackets is a port or nothing.
fn is_port(rest: &str) -> bool {
    rest.is_empty() || rest.strip_prefix(':').is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Whether a page of `origin` was served by the very host that it asks now. This API speaks HTTP only; a proxy that adds
/// TLS in front of it makes the origin `https`.
fn is_same_origin(origin: &str, host: &str) -> bool {
    let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "0123456789abcdef";

    fn guard(address: &str, token: bool) -> Guard {
        let token = Token::find(None, token.then(|| TOKEN.to_owned())).unwrap();
        Guard::admin(&address.parse().unwrap(), token).unwrap()
    }

    #[track_caller]
    fn check(guard: &Guard, headers: &[(&str, &str)], expected: Result<(), Refusal>) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        assert_eq!(guard.check(&map), expected, "{headers:?}");
    }

    #[test]
    fn another_address_needs_a_token() {
        for address in ["0.0.0.0:7411", "[::]:0", "192.0.2.1:80"] {
            let sentence = Guard::admin(&address.parse().unwrap(), None).unwrap_err().to_string();
            for part in [address, "TIDEMILL_ADMIN_TOKEN", "--admin-token-file", "--observe"] {
                assert!(sentence.contains(part), "{sentence}");
            }
            guard(address, true);
        }
        guard("[::1]:7411", false);
        guard("unix:/run/tidemill.sock", false);
    }

    #[test]
    fn loopback_answers_to_local_names_only() {
        let guard = guard("127.0.0.1:7411", false);
        for host in ["localhost", "LocalHost:7411", "127.0.0.1:7411", "127.0.0.1", "[::1]:7411", "[::1]"] {
            check(&guard, &[("host", host)], Ok(()));
        }
        for host in [
            "evil.example",
            "evil.example:7411",
            "localhost.evil.example",
            "10.0.0.1:7411",
            "[::1",
            "",
            "a:b:c",
            "localhost:7411@evil",
            "[::1]evil.example",
            "127.0.0.1.evil.example",
        ] {
            check(&guard, &[("host", host)], Err(Refusal::Host));
        }
        check(&guard, &[], Err(Refusal::Host));
        check(&guard, &[("host", "localhost"), ("host", "evil.example")], Err(Refusal::Host));
    }

    #[test]
    fn pages_of_other_origins_are_refused() {
        let guard = guard("127.0.0.1:7411", false);
        let host = ("host", "localhost:7411");
        check(&guard, &[host, ("origin", "http://localhost:7411")], Ok(()));
        for origin in ["http://evil.example", "null", "", "http://localhost:8080", "http://localhost", "localhost:7411"]
        {
            check(&guard, &[host, ("origin", origin)], Err(Refusal::Origin));
        }
        check(
            &guard,
            &[host, ("origin", "http://localhost:7411"), ("origin", "http://evil.example")],
            Err(Refusal::Origin),
        );
    }

    #[test]
    fn where_a_token_is_set_it_must_be_shown() {
        let right = ("authorization", "Bearer 0123456789abcdef");
        for address in ["127.0.0.1:7411", "0.0.0.0:7411", "unix:/run/tidemill.sock"] {
            let guard = guard(address, true);
            let host = ("host", "localhost");
            check(&guard, &[host, right], Ok(()));
            check(&guard, &[host, ("authorization", "bearer  0123456789abcdef")], Ok(()));
            check(&guard, &[host], Err(Refusal::Token));
            check(&guard, &[host, right, right], Err(Refusal::Token));
            for wrong in ["Bearer 0123456789abcdee", "Bearer", "Bearer ", "Basic 0123456789abcdef", "0123456789abcdef"]
            {
                check(&guard, &[host, ("authorization", wrong)], Err(Refusal::Token));
            }
        }
        check(&guard("0.0.0.0:7411", true), &[("host", "mill.example"), right], Ok(()));
        check(&guard("127.0.0.1:7411", true), &[("host", "evil.example"), right], Err(Refusal::Host));
        check(&guard("0.0.0.0:7411", true), &[("host", "a"), ("origin", "http://b"), right], Err(Refusal::Origin));
    }

    #[test]
    fn a_unix_socket_has_no_name_and_the_observe_page_asks_nothing() {
        check(&guard("unix:/run/tidemill.sock", false), &[("host", "anything")], Ok(()));
        check(&guard("unix:/run/tidemill.sock", false), &[], Ok(()));
        check(&Guard::observe(), &[("host", "evil.example"), ("origin", "http://evil.example")], Ok(()));
    }
}
