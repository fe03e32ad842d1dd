//! Listening sockets, bound before the engine starts so that a taken address ends the start with a clear sentence.

use std::io::{self, ErrorKind};
use std::net::TcpListener;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use super::Address;

/// A bound socket.
#[derive(Debug)]
pub struct Bound {
    address: Address,
    pub(super) socket: Socket,
}

#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener, Entry),
}

/// The name of a unix socket, removed when nobody listens any more.
#[derive(Debug)]
pub(super) struct Entry(PathBuf);

impl Drop for Entry {
    fn drop(&mut self) {
        // Whoever removed it before was faster; nothing is left to do then.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// An address cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody else listens there.
    #[error("{address} is taken, perhaps by another tidemill; name another address with {option}{hint}")]
    Taken {
        /// Where.
        address: Address,
        /// The option that names it.
        option: &'static str,
        /// What else could be written.
        hint: &'static str,
    },
    /// The operating system refused.
    #[error("cannot listen on {address}; name another address with {option}")]
    Refused {
        /// Where.
        address: Address,
        /// The option that names it.
        option: &'static str,
        /// Why.
        #[source]
        cause: io::Error,
    },
}

impl Bound {
    /// Listens on `address`, which `option` named.
    ///
    /// # Errors
    /// [`BindError`] when it is taken or not ours.
    pub fn bind(address: &Address, option: &'static str) -> Result<Bound, BindError> {
        let bound = match address {
            Address::Tcp(wanted) => TcpListener::bind(wanted).and_then(|listener| {
                listener.set_nonblocking(true)?;
                let address = Address::Tcp(listener.local_addr()?);
                Ok(Bound { address, socket: Socket::Tcp(listener) })
            }),
            Address::Unix(path) => bind_unix(path).map(|socket| Bound { address: address.clone(), socket }),
        };
        bound.map_err(|cause| match (cause.kind(), address) {
            (ErrorKind::AddrInUse, Address::Tcp(_)) => {
                BindError::Taken { address: address.clone(), option, hint: "; port 0 picks a free one" }
            }
            (ErrorKind::AddrInUse, Address::Unix(_)) => BindError::Taken { address: address.clone(), option, hint: "" },
            _ => BindError::Refused { address: address.clone(), option, cause },
        })
    }

    /// Where it listens, with the port that was picked.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }
}

/// Replaces a socket that nobody listens on, never one that is in use nor any other file.
fn bind_unix(path: &Path) -> io::Result<Socket> {
    if let Ok(found) = std::fs::symlink_metadata(path) {
        if !found.file_type().is_socket() {
            return Err(io::Error::new(ErrorKind::AlreadyExists, "there is a file of this name that is no socket"));
        }
        match UnixStream::connect(path) {
            Ok(_) => return Err(ErrorKind::AddrInUse.into()),
            Err(cause) if cause.kind() == ErrorKind::ConnectionRefused => {}
            Err(cause) => return Err(cause),
        }
    }
    // Made under another name, so that nobody can connect before it is ours alone.
    let mut hidden = path.as_os_str().to_owned();
    hidden.push(format!(".{}", std::process::id()));
    let listener = UnixListener::bind(&hidden)?;
    let entry = Entry(hidden.into());
    std::fs::set_permissions(&entry.0, std::fs::Permissions::from_mode(0o600))?;
    listener.set_nonblocking(true)?;
    std::fs::rename(&entry.0, path)?;
    Ok(Socket::Unix(listener, Entry(path.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(address: &Address) -> String {
        Bound::bind(address, "--admin").unwrap_err().to_string()
    }

    #[test]
    fn a_free_port_is_picked_and_a_taken_one_names_the_option() {
        let first = Bound::bind(&"127.0.0.1:0".parse().unwrap(), "--admin").unwrap();
        assert_ne!(first.address().to_string(), "http://127.0.0.1:0");
        let sentence = taken(first.address());
        assert!(sentence.contains("is taken") && sentence.contains("--admin"), "{sentence}");
        let sentence = taken(&"192.0.2.1:1".parse().unwrap());
        assert!(sentence.contains("cannot listen on http://192.0.2.1:1"), "{sentence}");
    }

    #[test]
    fn a_unix_socket_is_private_and_goes_with_its_listener() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        let address = Address::Unix(path.clone());
        let bound = Bound::bind(&address, "--admin").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(taken(&address).contains("is taken"));
        assert!(UnixStream::connect(&path).is_ok());
        drop(bound);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_stale_socket_is_replaced_and_a_file_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        let address = Address::Unix(path.clone());
        drop(UnixListener::bind(&path).unwrap());
        drop(Bound::bind(&address, "--admin").unwrap());
        std::fs::write(&path, "precious").unwrap();
        assert!(taken(&address).contains("cannot listen"));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    }
}
