//! Free ports on the loopback interface, for programs that cannot choose one themselves.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// An address that was free a moment ago. Another process may take it first, so whoever starts a
/// program on it must be ready to try again with a new one.
#[must_use]
pub fn free() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has free ports");
    listener.local_addr().expect("a bound socket has an address")
}
