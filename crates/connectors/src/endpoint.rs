//! The part that the brokers' URLs have in common: a scheme, and a host with a port.
//!
//! A [`Style`] says how one protocol writes it, so that every sentence shows what to write for that protocol. What is said
//! of a URL never holds any of it, which may be a password.

use std::fmt;

/// How one protocol's URLs are written.
#[derive(Debug)]
pub struct Style {
    /// What does not speak a scheme of another protocol: `AMQP 0-9-1 is not reached by`.
    pub foreign: &'static str,
    /// What to write instead of another scheme.
    pub schemes: &'static str,
    /// What to write instead of credentials.
    pub credentials: &'static str,
    /// How a host is written: `write amqp://host:5672`.
    pub host: &'static str,
    /// How an IPv6 address is written: `write amqp://[::1]:5672`.
    pub bracketed: &'static str,
}

/// What is wrong with a URL, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// What is wrong, without the URL in it.
    pub message: String,
    /// What to write instead.
    pub help: &'static str,
}

impl Flaw {
    /// A flaw with nothing of the URL in it.
    #[must_use]
    pub fn new(message: impl Into<String>, help: &'static str) -> Flaw {
        Flaw { message: message.into(), help }
    }
}

impl Style {
    /// The meaning of the scheme, by `known`, and what follows it.
    ///
    /// # Errors
    /// [`Flaw`] for no scheme, another one, and credentials, which belong beside a URL.
    pub fn scheme<'u, S>(&self, url: &'u str, known: impl FnOnce(&str) -> Option<S>) -> Result<(S, &'u str), Flaw> {
        let (name, rest) = url.split_once("://").ok_or_else(|| Flaw::new("url has no scheme", self.schemes))?;
        let foreign = || Flaw::new(format!("url has scheme '{name}', which {}", self.foreign), self.schemes);
        let scheme = known(name).ok_or_else(foreign)?;
        if rest.contains('@') {
            return Err(Flaw::new("url holds credentials", self.credentials));
        }
        Ok((scheme, rest))
    }

    /// The host, without brackets, and the port of `HOST`, `HOST:PORT` or `[IPV6]:PORT`.
    ///
    /// # Errors
    /// The first [`Flaw`].
    pub fn host(&self, authority: &str, default: u16) -> Result<(String, u16), Flaw> {
        let (host, port) = match authority.strip_prefix('[') {
            Some(bracketed) => {
                let never = || Flaw::new("url has a bracket that is never closed", self.bracketed);
                let (host, after) = bracketed.split_once(']').ok_or_else(never)?;
                match after.strip_prefix(':') {
                    None if !after.is_empty() => {
                        return Err(Flaw::new("url goes on between the host and the port", self.bracketed));
                    }
                    port => (host, port),
                }
            }
            None => match authority.rsplit_once(':') {
                Some((host, _)) if host.contains(':') => {
                    return Err(Flaw::new("url has an IPv6 address without brackets", self.bracketed));
                }
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        if host.is_empty() || host.contains(char::is_whitespace) {
            return Err(Flaw::new("url has no host", self.host));
        }
        let port = match port.map(str::parse) {
            None => default,
            Some(Ok(port)) if port > 0 => port,
            Some(_) => return Err(Flaw::new("url has a port that is no number from 1 to 65535", self.host)),
        };
        Ok((host.to_owned(), port))
    }
}

/// A host and a port as a URL shows them, an IPv6 address in brackets.
pub fn show(f: &mut fmt::Formatter<'_>, scheme: &str, host: &str, port: u16) -> fmt::Result {
    match host.contains(':') {
        true => write!(f, "{scheme}://[{host}]:{port}"),
        false => write!(f, "{scheme}://{host}:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STYLE: Style = Style {
        foreign: "tides are not reached by",
        schemes: "write tide://host:1",
        credentials: "write them beside it",
        host: "write tide://host:1",
        bracketed: "write tide://[::1]:1",
    };

    fn read(url: &str) -> Result<(String, u16), Flaw> {
        let (port, authority) = STYLE.scheme(url, |name| (name == "tide").then_some(7))?;
        STYLE.host(authority, port)
    }

    #[test]
    fn hosts_are_names_or_addresses() {
        for (url, host, port) in [
            ("tide://h", "h", 7),
            ("tide://10.0.0.1:9", "10.0.0.1", 9),
            ("tide://[::1]", "::1", 7),
            ("tide://[::1]:9", "::1", 9),
        ] {
            assert_eq!(read(url).unwrap(), (host.to_owned(), port), "{url}");
        }
    }

    #[test]
    fn flaws_say_what_to_write_and_never_show_the_url() {
        for (url, part, help) in [
            ("s3cret:1", "no scheme", STYLE.schemes),
            ("http://s3cret", "scheme 'http', which tides are not reached by", STYLE.schemes),
            ("tide://u:s3cret@h", "credentials", STYLE.credentials),
            ("tide://", "no host", STYLE.host),
            ("tide://:1", "no host", STYLE.host),
            ("tide://s3 cret", "no host", STYLE.host),
            ("tide://s3cret:0", "port", STYLE.host),
            ("tide://s3cret:70000", "port", STYLE.host),
            ("tide://::1", "without brackets", STYLE.bracketed),
            ("tide://[::1", "never closed", STYLE.bracketed),
            ("tide://[::1]s3cret:1", "goes on", STYLE.bracketed),
        ] {
            let flaw = read(url).unwrap_err();
            assert!(flaw.message.contains(part) && !flaw.message.contains("s3cret"), "{url}: {flaw:?}");
            assert_eq!(flaw.help, help, "{url}");
        }
    }
}
