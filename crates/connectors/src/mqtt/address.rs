//! Where a broker is: the meaning of `url`.

use std::fmt;

/// How the bytes travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    /// `mqtt://`
    Plain,
    /// `mqtts://`
    Tls,
    /// `ws://`
    WebSocket,
    /// `wss://`
    WebSocketTls,
}

impl Scheme {
    /// Whether the bytes are encrypted.
    pub(super) fn is_tls(self) -> bool {
        matches!(self, Scheme::Tls | Scheme::WebSocketTls)
    }

    /// Whether the bytes travel in WebSocket messages.
    pub(super) fn is_websocket(self) -> bool {
        matches!(self, Scheme::WebSocket | Scheme::WebSocketTls)
    }

    /// The name before `://`, and the port without which it is usually written.
    fn name_and_port(self) -> (&'static str, u16) {
        match self {
            Scheme::Plain => ("mqtt", 1883),
            Scheme::Tls => ("mqtts", 8883),
            Scheme::WebSocket => ("ws", 80),
            Scheme::WebSocketTls => ("wss", 443),
        }
    }
}

/// The path of a WebSocket URL that names none; the one that brokers have in common.
const PATH: &str = "/mqtt";

/// A broker's address. It never holds credentials, so that it can be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) scheme: Scheme,
    /// A name or an IP address, without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// The path of a WebSocket, empty for anything else.
    pub(super) path: String,
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
            Some(("ws", rest)) => (Scheme::WebSocket, rest),
            Some(("wss", rest)) => (Scheme::WebSocketTls, rest),
            Some((other, _)) => {
                let message = format!("url has scheme '{other}', which this source does not speak");
                return Err(Flaw {
                    message,
                    help: "write mqtt://host:1883, or mqtts://host:8883 for TLS, or ws://host/path",
                });
            }
            None => {
                return flaw(
                    "url has no scheme",
                    "write mqtt://host:1883, or mqtts://host:8883 for TLS, or ws://host/path",
                );
            }
        };
        if rest.contains('@') {
            return flaw(
                "url holds credentials",
                "write user: and password: beside url:, such as password: ${env:NAME}",
            );
        }
        let (authority, path) = match rest.find('/') {
            Some(slash) if rest.len() > slash + 1 => rest.split_at(slash),
            Some(slash) => (&rest[..slash], ""),
            None => (rest, ""),
        };
        if authority.contains(['?', '#']) || (!path.is_empty() && !scheme.is_websocket()) {
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
            (None, scheme) => scheme.name_and_port().1,
            (Some(text), _) => match text.parse() {
                Ok(port) if port > 0 => port,
                _ => return flaw("url has a port that is no number from 1 to 65535", "write mqtt://host:1883"),
            },
        };
        let path = if scheme.is_websocket() && path.is_empty() { PATH } else { path };
        Ok(Address { scheme, host: host.to_owned(), port, path: path.to_owned() })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Address { scheme, host, port, path } = self;
        let (scheme, _) = scheme.name_and_port();
        match host.contains(':') {
            true => write!(f, "{scheme}://[{host}]:{port}{path}"),
            false => write!(f, "{scheme}://{host}:{port}{path}"),
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
            ("ws://b", "ws://b:80/mqtt"),
            ("wss://b:9001/socket", "wss://b:9001/socket"),
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
