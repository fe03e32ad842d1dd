//! Free ports on the loopback interface, for programs that cannot choose one themselves.

use std::net::{Ipv4Addr, SocketAddr};

use parking_lot::Mutex;
use tokio::net::TcpSocket;

/// The sockets that keep ports free, for as long as this process lives: a port is a promise to whoever was given it.
static KEPT: Mutex<Vec<TcpSocket>> = Mutex::new(Vec::new());

/// An address where nobody listens, and that nobody else is given while this process lives: not by the kernel, for a
/// connection or a port of its choice, and not by another call. It stays bound here, so that a connection to it is refused;
/// whoever allows the address to be used again, as every server does, can listen there, as often as it likes.
///
/// # Panics
/// When the loopback interface has no port left.
#[must_use]
pub fn free() -> SocketAddr {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_reuseaddr(true).expect("a socket has options");
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).expect("loopback has free ports");
    let address = socket.local_addr().expect("a bound socket has an address");
    KEPT.lock().push(socket);
    address
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    #[tokio::test]
    async fn nobody_is_there_until_somebody_listens_and_afterwards_again() {
        let address = free();
        for _ in 0..2 {
            let refused = TcpStream::connect(address).await.expect_err("nobody listens");
            assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
            let listener = TcpListener::bind(address).await.expect("it is ours");
            TcpStream::connect(address).await.expect("somebody listens");
            drop(listener);
        }
    }

    #[test]
    fn no_port_is_given_twice() {
        let mut given: Vec<_> = (0..200).map(|_| free().port()).collect();
        given.sort_unstable();
        given.dedup();
        assert_eq!(given.len(), 200);
    }
}
