//! Which addresses may be connected to, and the resolver that finds no others.
//!
//! Some addresses are never what anybody means by a place for events: the machines of clouds keep the keys to everything
//! at link-local ones. Private networks and this machine itself are where a tool that runs beside its services sends most
//! of all, so they are allowed until the file says otherwise. An IPv4 address that is written inside an IPv6 address is
//! judged as what it is.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Which addresses may be connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reach {
    /// Whether this machine and private networks are among them.
    pub(super) private: bool,
}

/// Where clouds answer instances that ask for their credentials, besides link-local addresses: Alibaba, Azure, Oracle, and
/// AWS over IPv6.
const METADATA: [IpAddr; 4] = [
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

impl Reach {
    /// Why an address may not be connected to; nothing if it may.
    pub(super) fn refuses(self, address: IpAddr) -> Option<&'static str> {
        let address = embedded(address);
        if METADATA.contains(&address) || link_local(address) {
            return Some("a link-local or metadata address, where clouds keep credentials");
        }
        if address.is_multicast() || is_nowhere(address) {
            return Some("no address of one machine");
        }
        (!self.private && is_private(address)).then_some("a private address, and allowPrivate is false")
    }
}

/// The IPv4 address that an IPv6 address stands for: mapped, compatible, NAT64 and 6to4.
fn embedded(address: IpAddr) -> IpAddr {
    let IpAddr::V6(six) = address else { return address };
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    };
    match six.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => v4(high, low),
        [0x64, 0xff9b, 1, _, _, _, high, low] | [0x2002, high, low, ..] => v4(high, low),
        // `::` and `::1` are addresses of their own.
        [0, 0, 0, 0, 0, 0, high, low] if high > 0 || low > 1 => v4(high, low),
        _ => address,
    }
}

fn link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(four) => four.is_link_local(),
        IpAddr::V6(six) => six.is_unicast_link_local(),
    }
}

fn is_nowhere(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(four) => four.octets()[0] == 0 || four.is_broadcast(),
        IpAddr::V6(six) => six.is_unspecified(),
    }
}

/// This machine, private networks, and what providers share between their customers.
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(four) => {
            let [a, b, ..] = four.octets();
            four.is_loopback()
                || four.is_private()
                || (a == 100 && b & 0xc0 == 64)
                || (a == 192 && b == 0 && four.octets()[2] == 0)
        }
        // Site-local addresses are deprecated and still routed inside.
        IpAddr::V6(six) => six.is_loopback() || six.is_unique_local() || six.segments()[0] & 0xffc0 == 0xfec0,
    }
}

/// Resolves names by this machine's means and keeps the addresses that may be connected to.
pub(super) struct Resolver(Reach);

impl Resolver {
    pub(super) fn new(reach: Reach) -> Resolver {
        Resolver(reach)
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.0;
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            Ok(keep(reach, name.as_str(), found)?)
        })
    }
}

/// The addresses of `name` that may be connected to.
fn keep(reach: Reach, name: &str, found: Vec<SocketAddr>) -> io::Result<Addrs> {
    let refused = found.iter().find_map(|address| Some((address.ip(), reach.refuses(address.ip())?)));
    let allowed: Vec<SocketAddr> = found.into_iter().filter(|address| reach.refuses(address.ip()).is_none()).collect();
    match (allowed.is_empty(), refused) {
        (true, Some((address, reason))) => {
            Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("'{name}' is {address}, which is {reason}")))
        }
        _ => Ok(Box::new(allowed.into_iter())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(private: bool, address: &str) -> bool {
        Reach { private }.refuses(address.parse().unwrap()).is_some()
    }

    #[test]
    fn link_local_and_metadata_addresses_are_refused_however_they_are_written() {
        for address in [
            "169.254.169.254",
            "169.254.0.1",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
            "fe80::1",
            "febf::1",
            "fd00:ec2::254",
            "::ffff:169.254.169.254",
            "::ffff:a9fe:a9fe",
            "::169.254.169.254",
            "64:ff9b::169.254.169.254",
            "2002:a9fe:a9fe::1",
            "0.0.0.0",
            "0.1.2.3",
            "255.255.255.255",
            "224.0.0.1",
            "ff02::1",
            "::",
        ] {
            assert!(refused(true, address), "{address}");
            assert!(refused(false, address), "{address}");
        }
    }

    #[test]
    fn private_addresses_are_refused_where_the_file_says_so() {
        for address in [
            "127.0.0.1",
            "127.9.9.9",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "100.64.0.1",
            "::1",
            "fc00::1",
            "fd12::1",
            "fec0::1",
            "::ffff:127.0.0.1",
            "::ffff:192.168.0.1",
            "64:ff9b::10.0.0.1",
        ] {
            assert!(!refused(true, address), "{address}");
            assert!(refused(false, address), "{address}");
        }
    }

    #[test]
    fn public_addresses_are_allowed() {
        for address in ["1.1.1.1", "172.32.0.1", "100.128.0.1", "192.0.1.1", "2606:4700::1111", "::ffff:1.1.1.1"] {
            assert!(!refused(false, address), "{address}");
        }
    }

    #[test]
    fn a_name_keeps_its_allowed_addresses_and_one_without_any_is_refused() {
        let found = || vec!["10.0.0.1:0".parse().unwrap(), "1.1.1.1:0".parse().unwrap()];
        let kept: Vec<_> = keep(Reach { private: false }, "a.example", found()).unwrap().collect();
        assert_eq!(kept, ["1.1.1.1:0".parse().unwrap()]);
        assert_eq!(keep(Reach { private: true }, "a.example", found()).unwrap().count(), 2);
        let metadata = vec!["169.254.169.254:0".parse().unwrap()];
        let Err(error) = keep(Reach { private: true }, "a.example", metadata) else { panic!("kept") };
        assert!(error.to_string().starts_with("'a.example' is 169.254.169.254, which is a link-local"), "{error}");
    }
}
