//! What a broker of a test is configured to do. The delivery tests run on the very profile that the
//! project documents, so that the promise and the profile cannot drift apart.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use tokio::process::Command;

use crate::certificates::Certificates;
use crate::client::Settings;
use crate::programs;

/// The documented profile.
const PROFILE: &str = include_str!("../../../../examples/mosquitto/tidemill.conf");

/// How a broker behaves. The default is mosquitto's own: small limits, nothing kept over a restart,
/// anybody may connect.
#[derive(Debug, Clone, Default)]
pub struct Config {
    lines: String,
    users: Vec<(String, String)>,
    certificates: Option<Certificates>,
    mutual: bool,
}

impl Config {
    /// mosquitto's own defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The documented profile: persistence, and no limit on what waits or is unacknowledged.
    #[must_use]
    pub fn profile() -> Self {
        Self { lines: PROFILE.to_owned(), ..Self::default() }
    }

    /// One more line of its configuration file, for example `max_packet_size 1024`.
    #[must_use]
    pub fn line(mut self, line: &str) -> Self {
        self.lines.push('\n');
        self.lines.push_str(line);
        self
    }

    /// Lets only such users in.
    #[must_use]
    pub fn user(mut self, name: &str, password: &str) -> Self {
        self.users.push((name.to_owned(), password.to_owned()));
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

    pub(super) fn certificates(&self) -> Option<&Certificates> {
        self.certificates.as_ref()
    }

    /// What a client needs in order to be let in over TLS, or `None` without TLS.
    pub(super) fn tls_settings(&self, settings: Settings) -> Option<Settings> {
        let certificates = self.certificates.as_ref()?;
        let identity = (certificates.client.as_str(), certificates.client_key.as_str());
        let mut settings = settings.tls(&certificates.authority, self.mutual.then_some(identity));
        if let Some((user, password)) = self.users.first() {
            settings = settings.credentials(user, password);
        }
        Some(settings)
    }

    /// Writes everything that the broker reads at start into its folder.
    pub(super) async fn write(&self, folder: &Path, address: SocketAddr) {
        let mut text = format!("listener {} {}\n", address.port(), address.ip());
        // As root mosquitto would become its own user, who cannot write into our folder.
        text.push_str("user root\nlog_dest stderr\nlog_timestamp_format %H:%M:%S\n");
        let _ = writeln!(text, "persistence_location {}/", folder.display());
        if let Some(certificates) = &self.certificates {
            certificates.write(folder);
            let _ = writeln!(text, "cafile {}", folder.join("authority.pem").display());
            let _ = writeln!(text, "certfile {}", folder.join("server.pem").display());
            let _ = writeln!(text, "keyfile {}", folder.join("server.key").display());
            let _ = writeln!(text, "require_certificate {}", self.mutual);
        }
        let _ = writeln!(text, "allow_anonymous {}", self.users.is_empty());
        if !self.users.is_empty() {
            let file = folder.join("passwords");
            let _ = writeln!(text, "password_file {}", file.display());
            std::fs::write(&file, "").expect("the folder is writable");
            for (user, password) in &self.users {
                add_password(&file, user, password).await;
            }
        }
        text.push_str(&self.lines);
        std::fs::write(folder.join("mosquitto.conf"), text).expect("the folder is writable");
    }
}

async fn add_password(file: &Path, user: &str, password: &str) {
    let program = programs::find("mosquitto_passwd", "mosquitto");
    let status = Command::new(program).arg("-b").arg(file).args([user, password]).status().await;
    let status = status.expect("mosquitto_passwd can be started");
    assert!(status.success(), "mosquitto_passwd failed for user `{user}`");
}
