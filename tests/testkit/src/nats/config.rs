//! What a server of a test is configured to do.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use crate::certificates::Certificates;

/// How a server behaves. By default anybody may connect, and JetStream keeps its streams in files.
#[derive(Debug, Clone, Default)]
pub struct Config {
    lines: String,
    user: Option<(String, String)>,
    authorization: Option<String>,
    certificates: Option<Certificates>,
    mutual: bool,
    listens: Option<SocketAddr>,
}

impl Config {
    /// JetStream, and nothing else.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One more line of its configuration file, for example `max_payload: 8MB`.
    #[must_use]
    pub fn line(mut self, line: &str) -> Self {
        self.lines.push_str(line);
        self.lines.push('\n');
        self
    }

    /// Lets only this user in.
    #[must_use]
    pub fn user(mut self, name: &str, password: &str) -> Self {
        self.user = Some((name.to_owned(), password.to_owned()));
        self
    }

    /// What stands in its `authorization` block instead of one user, such as `token: t`.
    #[must_use]
    pub fn authorization(mut self, block: &str) -> Self {
        self.authorization = Some(block.to_owned());
        self
    }

    /// Speaks TLS with a certificate for 127.0.0.1 and localhost.
    #[must_use]
    pub fn tls(mut self) -> Self {
        self.certificates = Some(Certificates::generate());
        self
    }

    /// Speaks TLS and lets only clients in that show a certificate of the same authority.
    #[must_use]
    pub fn mutual_tls(mut self) -> Self {
        self.mutual = true;
        self.tls()
    }

    /// Listens there and nowhere else.
    #[must_use]
    pub fn at(mut self, address: SocketAddr) -> Self {
        self.listens = Some(address);
        self
    }

    pub(super) fn listens(&self) -> Option<SocketAddr> {
        self.listens
    }

    pub(super) fn certificates(&self) -> Option<&Certificates> {
        self.certificates.as_ref()
    }

    pub(super) fn credentials(&self) -> Option<(&str, &str)> {
        self.user.as_ref().map(|(name, password)| (name.as_str(), password.as_str()))
    }

    /// Writes everything that the server reads at start into its folder.
    pub(super) fn write(&self, folder: &Path, address: SocketAddr) {
        let mut text = format!("listen: \"{address}\"\n{}", self.lines);
        let _ = writeln!(text, "jetstream {{ store_dir: \"./streams\", max_mem: 256MB, max_file: 2GB }}");
        if let Some((name, password)) = &self.user {
            let _ = writeln!(text, "authorization {{ user: \"{name}\", password: \"{password}\" }}");
        }
        if let Some(block) = &self.authorization {
            let _ = writeln!(text, "authorization {{ {block} }}");
        }
        if let Some(certificates) = &self.certificates {
            certificates.write(folder);
            let _ = writeln!(
                text,
                "tls {{ cert_file: \"./server.pem\", key_file: \"./server.key\", ca_file: \"./authority.pem\", verify: {} }}",
                self.mutual
            );
        }
        std::fs::write(folder.join("nats.conf"), text).expect("the folder is writable");
    }
}
