//! How a broker of a test is configured.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::certificates::Certificates;

/// A single broker that is its own controller.
#[derive(Clone, Debug, Default)]
pub struct Config {
    lines: Vec<String>,
    advertised: Option<SocketAddr>,
    listen: Option<SocketAddr>,
    clients: Option<(SocketAddr, SocketAddr)>,
    security: Security,
}

/// What stands between a client and the broker.
#[derive(Clone, Debug, Default)]
enum Security {
    #[default]
    None,
    /// Certificates, and whether clients must have one.
    Tls(Box<Certificates>, bool),
    /// One user and password, for PLAIN and SCRAM, and as the subject of an unsigned token for OAUTHBEARER.
    Sasl(String, String),
}

impl Config {
    /// Topics of four partitions that appear when they are first written to.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One more line of `server.properties`; the last of two equal keys counts.
    #[must_use]
    pub fn line(mut self, line: &str) -> Self {
        self.lines.push(line.to_owned());
        self
    }

    /// Listens here, and tells clients to connect there: to a proxy.
    #[must_use]
    pub fn behind(mut self, listen: SocketAddr, advertised: SocketAddr) -> Self {
        self.listen = Some(listen);
        self.advertised = Some(advertised);
        self
    }

    /// The secure listener is here, and tells clients to connect there: to a proxy.
    #[must_use]
    pub fn clients_behind(mut self, listen: SocketAddr, advertised: SocketAddr) -> Self {
        self.clients = Some((listen, advertised));
        self
    }

    /// Clients speak TLS.
    #[must_use]
    pub fn tls(mut self) -> Self {
        self.security = Security::Tls(Box::new(Certificates::generate()), false);
        self
    }

    /// Clients speak TLS and have a certificate.
    #[must_use]
    pub fn mutual_tls(mut self) -> Self {
        self.security = Security::Tls(Box::new(Certificates::generate()), true);
        self
    }

    /// Clients name this user: by PLAIN, by SCRAM with either hash, or by an unsigned token for OAUTHBEARER.
    #[must_use]
    pub fn user(mut self, name: &str, password: &str) -> Self {
        self.security = Security::Sasl(name.to_owned(), password.to_owned());
        self
    }

    /// The certificates, when clients speak TLS.
    #[must_use]
    pub fn certificates(&self) -> Option<&Certificates> {
        match &self.security {
            Security::Tls(certificates, _) => Some(certificates),
            _ => None,
        }
    }

    /// What the tool that formats a data folder has to be told besides: brokers know SCRAM's users from there only.
    pub(super) fn formatting(&self) -> Vec<String> {
        let Security::Sasl(name, password) = &self.security else { return Vec::new() };
        let user = |hash: &str| format!("SCRAM-{hash}=[name={name},password={password}]");
        ["SHA-256", "SHA-512"].into_iter().flat_map(|hash| ["--add-scram".to_owned(), user(hash)]).collect()
    }

    /// Where it must listen.
    pub(super) fn listens(&self) -> Option<SocketAddr> {
        self.listen
    }

    /// Where it must listen for secure clients.
    pub(super) fn listens_for_clients(&self) -> Option<SocketAddr> {
        self.clients.map(|(listen, _)| listen)
    }

    /// Whether clients have an address of their own.
    pub(super) fn is_secure(&self) -> bool {
        !matches!(self.security, Security::None)
    }

    /// Writes `server.properties` and what it names into `folder`. The addresses are the plain one, which the broker uses
    /// itself, the controller's, and the secure one.
    pub(super) fn write(&self, folder: &Path, [plain, controller, secure]: [SocketAddr; 3]) -> PathBuf {
        let advertised = self.advertised.unwrap_or(plain);
        let log = folder.join("log");
        let (mut listeners, mut told) = (format!("PLAINTEXT://{plain}"), format!("PLAINTEXT://{advertised}"));
        let mut protocols = "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT".to_owned();
        let security = self.security(folder);
        if let Some((protocol, _)) = &security {
            let advertised = self.clients.map_or(secure, |(_, advertised)| advertised);
            listeners += &format!(",CLIENT://{secure}");
            told += &format!(",CLIENT://{advertised}");
            protocols += &format!(",CLIENT:{protocol}");
        }
        let mut text = format!(
            "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{controller}
listeners={listeners},CONTROLLER://{controller}
advertised.listeners={told}
controller.listener.names=CONTROLLER
listener.security.protocol.map={protocols}
inter.broker.listener.name=PLAINTEXT
log.dirs={}
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
group.initial.rebalance.delay.ms=0
num.partitions=4
auto.create.topics.enable=true
num.network.threads=2
num.io.threads=4
background.threads=2
log.cleaner.dedupe.buffer.size=8388608
",
            log.display()
        );
        for line in security.map(|(_, lines)| lines).into_iter().flatten().chain(self.lines.iter().cloned()) {
            text += &line;
            text.push('\n');
        }
        let path = path(folder);
        std::fs::write(&path, text).expect("the folder is writable");
        path
    }

    fn security(&self, folder: &Path) -> Option<(&'static str, Vec<String>)> {
        match &self.security {
            Security::None => None,
            Security::Tls(certificates, mutual) => {
                let (own, trusted) = (folder.join("server.pem"), folder.join("authority.pem"));
                // The keystore is one file with the key and the certificate.
                let store = format!("{}{}", certificates.server_key, certificates.server);
                std::fs::write(&own, store).expect("the folder is writable");
                std::fs::write(&trusted, &certificates.authority).expect("the folder is writable");
                let client = if *mutual { "required" } else { "none" };
                let lines = [
                    "ssl.keystore.type=PEM".to_owned(),
                    format!("ssl.keystore.location={}", own.display()),
                    "ssl.truststore.type=PEM".to_owned(),
                    format!("ssl.truststore.location={}", trusted.display()),
                    format!("listener.name.client.ssl.client.auth={client}"),
                ];
                Some(("SSL", lines.into()))
            }
            Security::Sasl(name, password) => {
                let module = "org.apache.kafka.common.security";
                let lines = [
                    "listener.name.client.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER"
                        .to_owned(),
                    format!(
                        "listener.name.client.plain.sasl.jaas.config={module}.plain.PlainLoginModule required \
                         user_{name}=\"{password}\";"
                    ),
                    format!(
                        "listener.name.client.scram-sha-256.sasl.jaas.config={module}.scram.ScramLoginModule required;"
                    ),
                    format!(
                        "listener.name.client.scram-sha-512.sasl.jaas.config={module}.scram.ScramLoginModule required;"
                    ),
                    format!(
                        "listener.name.client.oauthbearer.sasl.jaas.config={module}.oauthbearer.OAuthBearerLoginModule \
                         required unsecuredLoginStringClaim_sub=\"{name}\";"
                    ),
                ];
                Some(("SASL_PLAINTEXT", lines.into()))
            }
        }
    }
}

/// Where a broker's settings are.
pub(super) fn path(folder: &Path) -> PathBuf {
    folder.join("server.properties")
}
