//! What a broker of a test is configured to do.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use super::Ports;
use crate::certificates::Certificates;

/// How a broker behaves. By default `guest` may connect with the password `guest`.
#[derive(Debug, Clone, Default)]
pub struct Config {
    lines: String,
    terms: Vec<String>,
    plugins: Vec<String>,
    users: Vec<(String, String)>,
    certificates: Option<Certificates>,
    mutual: bool,
}

impl Config {
    /// RabbitMQ's own defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One more line of its configuration file, for example `consumer_timeout = 10000`.
    #[must_use]
    pub fn line(mut self, line: &str) -> Self {
        self.lines.push_str(line);
        self.lines.push('\n');
        self
    }

    /// One more application's settings in Erlang's own words, for what the configuration file has no name for, such as
    /// `{rabbit, [{channel_tick_interval, 250}]}`.
    #[must_use]
    pub fn advanced(mut self, term: &str) -> Self {
        self.terms.push(term.to_owned());
        self
    }

    /// Lets this user in too, everywhere.
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

    /// Speaks TLS, lets only clients in that show a certificate of the same authority, and lets that certificate say who
    /// they are, without a password. The one of the test's authority says `tidemill`.
    #[must_use]
    pub fn mutual_tls(mut self) -> Self {
        self.mutual = true;
        self.plugins.push("rabbitmq_auth_mechanism_ssl".to_owned());
        self.lines
            .push_str("auth_mechanisms.1 = EXTERNAL\nauth_mechanisms.2 = PLAIN\nssl_cert_login_from = common_name\n");
        self.user("tidemill", "not needed").tls()
    }

    pub(super) fn certificates(&self) -> Option<&Certificates> {
        self.certificates.as_ref()
    }

    /// Writes everything that the broker reads at start into its folder.
    pub(super) fn write(&self, folder: &Path, address: SocketAddr) {
        let listeners = if self.certificates.is_some() { "ssl" } else { "tcp" };
        let mut text = format!("listeners.{listeners}.1 = {address}\n");
        if let Some(certificates) = &self.certificates {
            certificates.write(folder);
            let _ = writeln!(text, "listeners.tcp = none");
            let _ = writeln!(text, "ssl_options.cacertfile = {}", folder.join("authority.pem").display());
            let _ = writeln!(text, "ssl_options.certfile = {}", folder.join("server.pem").display());
            let _ = writeln!(text, "ssl_options.keyfile = {}", folder.join("server.key").display());
            let verify = if self.mutual { "verify_peer" } else { "verify_none" };
            let _ = writeln!(text, "ssl_options.verify = {verify}");
            let _ = writeln!(text, "ssl_options.fail_if_no_peer_cert = {}", self.mutual);
        }
        text.push_str(
            "loopback_users = none\nvm_memory_high_watermark.absolute = 1GB\ndisk_free_limit.absolute = 50MB\n\
             log.file = false\nlog.console = true\nlog.console.level = warning\n",
        );
        text.push_str(&self.lines);
        let list = |terms: &[String]| format!("[{}].\n", terms.join(","));
        for (name, content) in
            [("rabbitmq.conf", text), ("advanced.config", list(&self.terms)), ("enabled_plugins", list(&self.plugins))]
        {
            std::fs::write(folder.join(name), content).expect("the folder is writable");
        }
        for name in ["mnesia", "log"] {
            std::fs::create_dir_all(folder.join(name)).expect("the folder is writable");
        }
    }

    /// Makes the users, which only a running broker can.
    pub(super) async fn let_users_in(&self, folder: &Path, ports: Ports) {
        for (name, password) in &self.users {
            super::control(folder, ports, &["add_user", name, password]).await;
            super::control(folder, ports, &["set_permissions", name, ".*", ".*", ".*"]).await;
        }
    }
}
