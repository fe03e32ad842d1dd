//! Where NATS is: the meaning of `url`.

use std::fmt;

use crate::endpoint::{self, Flaw, Style};

const STYLE: Style = Style {
    foreign: "NATS is not reached by",
    schemes: "write nats://host:4222, or tls://host:4222",
    credentials: "write user: and password:, token:, nkey: or credentials: beside url:",
    host: "write nats://host:4222",
    bracketed: "write nats://[::1]:4222",
};

/// The port without which a URL is usually written.
const PORT: u16 = 4222;

/// One server's address. It never holds credentials, so that it can be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Server {
    pub(super) tls: bool,
    /// A name or an IP address, without brackets.
    pub(super) host: String,
    pub(super) port: u16,
}

/// The servers of one cluster, tried in turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    servers: Vec<Server>,
}

impl Address {
    /// Reads `nats://host:port`, or several with commas between them; the port is 4222 unless it is written.
    ///
    /// # Errors
    /// [`Flaw`], without the URL in it, which may hold a password.
    pub fn parse(url: &str) -> Result<Address, Flaw> {
        let servers: Vec<Server> = url.split(',').map(|url| Server::parse(url.trim())).collect::<Result<_, _>>()?;
        if servers.iter().any(|server| server.tls != servers[0].tls) {
            return Err(Flaw::new("url mixes servers with and without TLS", "write tls:// for all of them"));
        }
        Ok(Address { servers })
    }

    /// Whether the bytes are always encrypted.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.servers.iter().all(|server| server.tls)
    }

    /// The server of attempt `number`, from zero.
    pub(super) fn server(&self, number: usize) -> &Server {
        &self.servers[number % self.servers.len()]
    }

    /// How many servers there are.
    pub(super) fn len(&self) -> usize {
        self.servers.len()
    }
}

impl Server {
    fn parse(url: &str) -> Result<Server, Flaw> {
        let (tls, rest) = STYLE.scheme(url, |scheme| match scheme {
            "nats" => Some(false),
            "tls" | "nats+tls" => Some(true),
            _ => None,
        })?;
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '?', '#']) {
            let help = "a NATS server has no path; write nats://host:4222";
            return Err(Flaw::new("url goes on after the port", help));
        }
        let (host, port) = STYLE.host(authority, PORT)?;
        Ok(Server { tls, host, port })
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Server { tls, host, port } = self;
        endpoint::show(f, if *tls { "tls" } else { "nats" }, host, *port)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, server) in self.servers.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(f, "{comma}{server}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_server_or_several() {
        for (url, shown) in [
            ("nats://localhost", "nats://localhost:4222"),
            ("tls://b.example/", "tls://b.example:4222"),
            ("nats://[::1]:1", "nats://[::1]:1"),
            ("nats://a:1, nats://b:2", "nats://a:1,nats://b:2"),
        ] {
            assert_eq!(Address::parse(url).unwrap().to_string(), shown);
        }
        let two = Address::parse("nats://a:1,nats://b:2").unwrap();
        assert_eq!((two.len(), two.server(3).host.as_str()), (2, "b"));
    }

    #[test]
    fn flaws_never_show_the_url() {
        for (url, part) in [
            ("localhost:4222", "no scheme"),
            ("ws://localhost", "scheme 'ws'"),
            ("nats://u:s3cret@h", "credentials"),
            ("nats://h:4222/path", "goes on"),
            ("nats://", "no host"),
            ("nats://h:0", "port"),
            ("nats://::1", "without brackets"),
            ("nats://[::1", "never closed"),
            ("nats://a,tls://b", "mixes"),
            ("nats://a,", "no scheme"),
        ] {
            let flaw = Address::parse(url).unwrap_err();
            assert!(flaw.message.contains(part), "{url}: {flaw:?}");
            assert!(!flaw.message.contains("s3cret") && !flaw.help.is_empty());
        }
    }
}
