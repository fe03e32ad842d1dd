//! Where the admin API is, as it is written on the command line.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

/// Where the admin API listens unless `--admin` says otherwise.
pub const DEFAULT: Address = Address::Tcp(SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 7411));

/// A TCP address or a unix socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `IP:PORT`; port 0 stands for any free one.
    Tcp(SocketAddr),
    /// `unix:PATH`.
    Unix(PathBuf),
}

impl Address {
    /// Whether only programs of this machine can reach it.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self {
            Address::Tcp(address) => address.ip().to_canonical().is_loopback(),
            Address::Unix(_) => true,
        }
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Address, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return match path.is_empty() || path.contains('\0') {
                true => Err("write a path behind 'unix:', such as unix:/run/tidemill.sock".to_owned()),
                false => Ok(Address::Unix(path.into())),
            };
        }
        let bare = text.strip_prefix("http://").unwrap_or(text);
        let bare = bare.strip_suffix('/').unwrap_or(bare);
        let numeric = match bare.strip_prefix("localhost:") {
            Some(port) => format!("127.0.0.1:{port}"),
            None => bare.to_owned(),
        };
        numeric.parse().map(Address::Tcp).map_err(|_| {
            format!("'{text}' is no address; write IP:PORT, such as 127.0.0.1:7411 or [::1]:7411, or unix:PATH")
        })
    }
}

impl fmt::Display for Address {
    /// A form that a program can use: a URL, or `unix:PATH`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => write!(f, "http://{address}"),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_can_be_written() {
        for (text, printed) in [
            ("127.0.0.1:7411", "http://127.0.0.1:7411"),
            ("localhost:80", "http://127.0.0.1:80"),
            ("[::1]:0", "http://[::1]:0"),
            ("unix:/run/t.sock", "unix:/run/t.sock"),
            ("unix:///run/t.sock", "unix:/run/t.sock"),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), printed);
            assert_eq!(printed.parse(), Ok(address), "{text}");
        }
        assert_eq!("127.0.0.1:7411".parse(), Ok(DEFAULT));
    }

    #[test]
    fn what_is_no_address_is_told_what_to_write() {
        for text in ["", "7411", ":7411", "example.org:80", "127.0.0.1", "unix:", "http://127.0.0.1:1/metrics"] {
            let sentence = text.parse::<Address>().unwrap_err();
            assert!(sentence.contains("write"), "{sentence}");
        }
    }

    #[test]
    fn only_loopback_and_unix_sockets_are_local() {
        let local = |text: &str| text.parse::<Address>().unwrap().is_local();
        assert!(local("127.9.9.9:1") && local("[::1]:1") && local("[::ffff:127.0.0.1]:1") && local("unix:a"));
        assert!(!local("0.0.0.0:1") && !local("[::]:1") && !local("10.0.0.1:1") && !local("[::ffff:10.0.0.1]:1"));
    }
}
