//! Where a broker is: the meaning of `url`.

use std::fmt;

use crate::endpoint::{self, Flaw, Style};

const STYLE: Style = Style {
    foreign: "AMQP 0-9-1 is not reached by",
    schemes: "write amqp://host:5672, or amqps://host:5671 for TLS",
    credentials: "write user: and password: beside url:, such as password: ${env:NAME}",
    host: "write amqp://host:5672",
    bracketed: "write amqp://[::1]:5672",
};

/// The virtual host of a URL that names none.
const DEFAULT: &str = "/";

/// A broker's address. It never holds credentials, so that it can be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Whether the bytes are encrypted.
    pub tls: bool,
    /// A name or an IP address, without brackets.
    pub host: String,
    /// 5672, or 5671 with TLS, unless it is written.
    pub port: u16,
    /// The virtual host, decoded.
    pub vhost: String,
}

impl Address {
    /// Reads `amqp://host:port/vhost`; the virtual host is `/` unless one is written, percent-encoded.
    ///
    /// # Errors
    /// [`Flaw`], without the URL in it, which may hold a password.
    pub fn parse(url: &str) -> Result<Address, Flaw> {
        let (tls, rest) = STYLE.scheme(url, |scheme| match scheme {
            "amqp" => Some(false),
            "amqps" => Some(true),
            _ => None,
        })?;
        let (authority, vhost) = rest.split_once('/').unwrap_or((rest, ""));
        if rest.contains(['?', '#']) || vhost.contains('/') {
            let help = "write amqp://host:5672/vhost, with %2F for a slash in the name of the virtual host";
            return Err(Flaw::new("url goes on after the virtual host", help));
        }
        let vhost = match vhost {
            "" => DEFAULT.to_owned(),
            name => match decode(name) {
                Some(name) if name.len() <= 255 => name,
                _ => {
                    let help = "percent-encode it, such as %2F for '/'";
                    return Err(Flaw::new("url has a virtual host that is no text", help));
                }
            },
        };
        let (host, port) = STYLE.host(authority, if tls { 5671 } else { 5672 })?;
        Ok(Address { tls, host, port, vhost })
    }
}

/// A percent-decoded name, if it is one.
fn decode(text: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        let byte = match (first, after) {
            (b'%', [high, low, after @ ..]) => {
                rest = after;
                let digit = |byte: u8| char::from(byte).to_digit(16);
                u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()?
            }
            (b'%', _) => return None,
            (plain, _) => *plain,
        };
        decoded.push(byte);
    }
    String::from_utf8(decoded).ok()
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Address { tls, host, port, vhost } = self;
        endpoint::show(f, if *tls { "amqps" } else { "amqp" }, host, *port)?;
        if vhost == DEFAULT { Ok(()) } else { write!(f, "/{}", vhost.replace('/', "%2F")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_follow_the_scheme_and_the_virtual_host_the_path() {
        for (url, shown, vhost) in [
            ("amqp://localhost", "amqp://localhost:5672", "/"),
            ("amqp://localhost/", "amqp://localhost:5672", "/"),
            ("amqp://localhost/%2f", "amqp://localhost:5672", "/"),
            ("amqps://b.example/fleet", "amqps://b.example:5671/fleet", "fleet"),
            ("amqp://[::1]:1/a%2Fb", "amqp://[::1]:1/a%2Fb", "a/b"),
        ] {
            let address = Address::parse(url).unwrap();
            assert_eq!((address.to_string().as_str(), address.vhost.as_str()), (shown, vhost));
        }
    }

    #[test]
    fn flaws_never_show_the_url() {
        for (url, part) in [
            ("localhost:5672", "no scheme"),
            ("mqtt://localhost", "scheme 'mqtt'"),
            ("amqp://u:s3cret@h", "credentials"),
            ("amqp://h/a/b", "goes on"),
            ("amqp://h?heartbeat=1", "goes on"),
            ("amqp://h/%zz", "no text"),
            ("amqp://h/%f", "no text"),
            ("amqp://h/%ff", "no text"),
            ("amqp://", "no host"),
            ("amqp://h:0", "port"),
            ("amqp://::1", "without brackets"),
            ("amqp://[::1", "never closed"),
        ] {
            let flaw = Address::parse(url).unwrap_err();
            assert!(flaw.message.contains(part), "{url}: {flaw:?}");
            assert!(!flaw.message.contains("s3cret") && !flaw.help.is_empty());
        }
    }
}
