//! Where NATS is: the meaning of `url`.

use std::fmt;

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

/// What is wrong with a URL, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// What is wrong, without the URL in it.
    pub message: String,
    /// What to write instead.
    pub help: &'static str,
}

impl Address {
    /// Reads `nats://host:port`, or several with commas between them; the port is 4222 unless it is written.
    ///
    /// # Errors
    /// [`Flaw`], without the URL in it, which may hold a password.
    pub fn parse(url: &str) -> Result<Address, Flaw> {
        let servers: Vec<Server> = url.split(',').map(|url| Server::parse(url.trim())).collect::<Result<_, _>>()?;
        if servers.iter().any(|server| server.tls != servers[0].tls) {
            let message = "url mixes servers with and without TLS".to_owned();
            return Err(Flaw { message, help: "write tls:// for all of them" });
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
        let flaw = |message: &str, help| Err(Flaw { message: message.to_owned(), help });
        let (tls, rest) = match url.split_once("://") {
            Some(("nats", rest)) => (false, rest),
            Some(("tls" | "nats+tls", rest)) => (true, rest),
            Some((other, _)) => {
                let message = format!("url has scheme '{other}', which NATS is not reached by");
                return Err(Flaw { message, help: "write nats://host:4222, or tls://host:4222" });
            }
            None => return flaw("url has no scheme", "write nats://host:4222, or tls://host:4222"),
        };
        if rest.contains('@') {
            return flaw(
                "url holds credentials",
                "write user: and password:, token:, nkey: or credentials: beside url:",
            );
        }
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '?', '#']) {
            return flaw("url goes on after the port", "a NATS server has no path; write nats://host:4222");
        }
        let (host, port) = if let Some(bracketed) = authority.strip_prefix('[') {
            let Some((host, after)) = bracketed.split_once(']') else {
                return flaw("url has a bracket that is never closed", "write nats://[::1]:4222");
            };
            (host, after.strip_prefix(':'))
        } else {
            match authority.rsplit_once(':') {
                Some((host, _)) if host.contains(':') => {
                    return flaw("url has an IPv6 address without brackets", "write nats://[::1]:4222");
                }
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            }
        };
        if host.is_empty() || host.contains(char::is_whitespace) {
            return flaw("url has no host", "write nats://host:4222");
        }
        let port = match port.map(str::parse) {
            None => PORT,
            Some(Ok(port)) if port > 0 => port,
            Some(_) => return flaw("url has a port that is no number from 1 to 65535", "write nats://host:4222"),
        };
        Ok(Server { tls, host: host.to_owned(), port })
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Server { tls, host, port } = self;
        let scheme = if *tls { "tls" } else { "nats" };
        match host.contains(':') {
            true => write!(f, "{scheme}://[{host}]:{port}"),
            false => write!(f, "{scheme}://{host}:{port}"),
        }
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
