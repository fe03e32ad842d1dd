//! Where a broker is: the meaning of `url`.

use std::fmt;

use crate::endpoint::{self, Flaw, Style};

const STYLE: Style = Style {
    foreign: "MQTT is not reached by",
    schemes: "write mqtt://host:1883, or mqtts://host:8883 for TLS, or ws://host/path",
    credentials: "write user: and password: beside url:, such as password: ${env:NAME}",
    host: "write mqtt://host:1883",
    bracketed: "write mqtt://[::1]:1883",
};

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

impl Address {
    /// Reads `mqtt://host:port`; the port is 1883, or 8883 for `mqtts`, unless it is written.
    ///
    /// # Errors
    /// [`Flaw`], without the URL in it, which may hold a password.
    pub(super) fn parse(url: &str) -> Result<Address, Flaw> {
        let (scheme, rest) = STYLE.scheme(url, |scheme| match scheme {
            "mqtt" | "tcp" => Some(Scheme::Plain),
            "mqtts" | "ssl" => Some(Scheme::Tls),
            "ws" => Some(Scheme::WebSocket),
            "wss" => Some(Scheme::WebSocketTls),
            _ => None,
        })?;
        let (authority, path) = match rest.find('/') {
            Some(slash) if rest.len() > slash + 1 => rest.split_at(slash),
            Some(slash) => (&rest[..slash], ""),
            None => (rest, ""),
        };
        if authority.contains(['?', '#']) || (!path.is_empty() && !scheme.is_websocket()) {
            let help = "an MQTT broker has no path; write mqtt://host:1883";
            return Err(Flaw::new("url goes on after the port", help));
        }
        let (host, port) = STYLE.host(authority, scheme.name_and_port().1)?;
        let path = if scheme.is_websocket() && path.is_empty() { PATH } else { path };
        Ok(Address { scheme, host, port, path: path.to_owned() })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Address { scheme, host, port, path } = self;
        let (scheme, _) = scheme.name_and_port();
        endpoint::show(f, scheme, host, *port)?;
        f.write_str(path)
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
