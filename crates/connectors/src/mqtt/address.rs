//! Where a broker is: the meaning of `url`.

use std::fmt;

/// How the bytes travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    /// `mqtt://`
    Plain,
    /// `mqtts://`
    Tls,
}

/// A broker's address. It never holds credentials, so that it can be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) scheme: Scheme,
    /// A name or an IP address, without brackets.
    pub(super) host: String,
    pub(super) port: u16,
}

/// What is wrong with a URL, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Flaw {
    pub(super) message: String,
    pub(super) help: &'static str,
}

impl Address {
    /// Reads `mqtt://host:port`; the port is 1883, or 8883 for `mqtts`, unless it is written.
    ///
    /// # Errors
    /// [`Flaw`], without the URL in it, which may hold a password.
    pub(super) fn parse(url: &str) -> Result<Address, Flaw> {
        let flaw = |message: &str, help| Err(Flaw { message: message.to_owned(), help });
        let (scheme, rest) = match url.split_once("://") {
            Some(("mqtt" | "tcp", rest)) => (Scheme::Plain, rest),
            Some(("mqtts" | "ssl", rest)) => (Scheme::Tls, rest),
            Some((other, _)) => {
                let message = format!("url has scheme '{other}', which this source does not speak");
                return Err(Flaw { message, help: "write mqtt://host:1883, or mqtts://host:8883 for TLS" });
            }
            None => return flaw("url has no scheme", "write mqtt://host:1883, or mqtts://host:8883 for TLS"),
        };
        if rest.contains('@') {
            return flaw(
                "url holds credentials",
                "write user: and password: beside url:, such as password: ${env:NAME}",
            );
        }
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '?', '#']) {
            return flaw("url goes on after the port", "an MQTT broker has no path; write mqtt://host:1883");
        }
        let (host, port) = if let Some(bracketed) = authority.strip_prefix('[') {
            let Some((host, after)) = bracketed.split_once(']') else {
                return flaw("url has a bracket that is never closed", "write mqtt://[::1]:1883");
            };
            (host, after.strip_prefix(':'))
        } else {
            match authority.rsplit_once(':') {
                Some((host, _)) if host.contains(':') => {
                    return flaw("url has an IPv6 address without brackets", "write mqtt://[::1]:1883");
                }
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            }
        };
        if host.is_empty() || host.contains(char::is_whitespace) {
            return flaw("url has no host", "write mqtt://host:1883");
        }
        let port = match (port, scheme) {
            (None, Scheme::Plain) => 1883,
            (None, Scheme::Tls) => 8883,
            (Some(text), _) => match text.parse() {
                Ok(port) if port > 0 => port,
                _ => return flaw("url has a port that is no number from 1 to 65535", "write mqtt://host:1883"),
            },
        };
        Ok(Address { scheme, host: host.to_owned(), port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            Scheme::Plain => "mqtt",
            Scheme::Tls => "mqtts",
        };
        match self.host.contains(':') {
            true => write!(f, "{scheme}://[{}]:{}", self.host, self.port),
            false => write!(f, "{scheme}://{}:{}", self.host, self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_follow_the_scheme() {
        for (url, shown) in [
            ("mqtt://localhost", "mqtt://localhost:1883"),
            ("mqtts://b.example/", "mqtts://b.example:8883"),
            ("mqtt://[::1]:18831", "mqtt://[::1]:18831"),
            ("tcp://10.0.0.1:99", "mqtt://10.0.0.1:99"),
        ] {
            assert_eq!(Address::parse(url).unwrap().to_string(), shown);
        }
    }

    #[test]
    fn flaws_never_show_the_url() {
        for (url, part) in [
            ("localhost:1883", "no scheme"),
            ("http://localhost", "scheme 'http'"),
            ("mqtt://u:s3cret@h", "credentials"),
            ("mqtt://h:1883/path", "goes on"),
            ("mqtt://", "no host"),
            ("mqtt://:1883", "no host"),
            ("mqtt://h:0", "port"),
            ("mqtt://h:70000", "port"),
            ("mqtt://::1", "without brackets"),
            ("mqtt://[::1", "never closed"),
        ] {
            let flaw = Address::parse(url).unwrap_err();
            assert!(flaw.message.contains(part), "{url}: {flaw:?}");
            assert!(!flaw.message.contains("s3cret") && !flaw.help.is_empty());
        }
    }
}
