//! Where the brokers are and how to be let in: what `brokers`, `tls` and `sasl` mean, for sources and outputs alike.

mod reports;
mod token;

use std::sync::Arc;

use engine::config::{Check, Secret, Spanned};
use engine::port::Clock;
use engine::registry::OpenError;
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use schemars::JsonSchema;
use serde::Deserialize;

pub use reports::Reports;
pub use token::Tokens;

use crate::credentials::{self, Login};
use crate::tls::{self, Files, Tls};

/// How long a broker may take to answer a request, in milliseconds: a connection that is half open is given up after it.
/// What the client would take by itself is a minute.
const ANSWER: &str = "10000";

/// What stands under `sasl:`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Sasl {
    /// How to log in.
    mechanism: Spanned<Mechanism>,
    /// The user, for all but OAUTHBEARER.
    user: Option<Spanned<Secret>>,
    /// The password, such as `${env:KAFKA_PASSWORD}`.
    password: Option<Spanned<Secret>>,
    /// The token for OAUTHBEARER, such as `${file:/run/token}`; it is read again whenever the last one nears its end.
    token: Option<Spanned<Secret>>,
}

/// How to log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
enum Mechanism {
    #[serde(rename = "PLAIN")]
    Plain,
    #[serde(rename = "SCRAM-SHA-256")]
    Scram256,
    #[serde(rename = "SCRAM-SHA-512")]
    Scram512,
    #[serde(rename = "OAUTHBEARER")]
    OAuth,
}

impl Mechanism {
    fn name(self) -> &'static str {
        match self {
            Mechanism::Plain => "PLAIN",
            Mechanism::Scram256 => "SCRAM-SHA-256",
            Mechanism::Scram512 => "SCRAM-SHA-512",
            Mechanism::OAuth => "OAUTHBEARER",
        }
    }
}

/// A checked way in.
#[derive(Clone, Debug)]
pub struct Access {
    brokers: Vec<Secret>,
    /// Whether connections are encrypted, and with which files.
    tls: Option<Files>,
    mechanism: Option<Mechanism>,
    login: Login,
    token: Option<Secret>,
}

/// A way in with everything resolved. Keep the configuration out of errors, logs and `Debug`.
pub struct Opened {
    /// What every client begins with.
    pub config: ClientConfig,
    /// The brokers as they were named, for messages.
    pub address: String,
    /// Where tokens come from.
    pub tokens: Option<Tokens>,
}

impl Access {
    /// Checks what stands under `brokers`, `tls` and `sasl`.
    pub fn check(
        brokers: &Spanned<Vec<Spanned<Secret>>>,
        tls: Option<&Spanned<Tls>>,
        sasl: Option<&Spanned<Sasl>>,
        check: &mut Check,
    ) -> Access {
        if brokers.is_empty() {
            check.error(
                brokers.span,
                "there are no brokers to connect to",
                "write at least one, such as localhost:9092",
            );
        }
        for broker in brokers.iter() {
            credentials::secret(broker, "${env:KAFKA_BROKER}", check);
            if let Some(flaw) = broker.value.literal().and_then(|text| address(text).err()) {
                check.error(broker.span, flaw, "write a host and a port, such as localhost:9092");
            }
        }
        let files = tls::check(tls, check);
        if let (Some(typed), Some(_)) = (tls, &files.server_name) {
            let help = "leave serverName out, and name the brokers as their certificates do";
            check.error(typed.span, "kafka's client checks the name that it connects to, and no other", help);
        }
        let (mechanism, login, token) = match sasl {
            Some(sasl) => sasl.check(tls.is_some(), check),
            None => (None, Login::default(), None),
        };
        let brokers = brokers.iter().map(|broker| broker.value.clone()).collect();
        Access { brokers, tls: tls.map(|_| files), mechanism, login, token }
    }

    /// Resolves the references and reads no more than whether the files are there.
    ///
    /// # Errors
    /// [`OpenError`] names the key and the file or reference, never a value.
    pub fn open(&self, clock: Arc<dyn Clock>) -> Result<Opened, OpenError> {
        let mut brokers = Vec::new();
        for broker in &self.brokers {
            let text = credentials::reveal("kafka.brokers", broker)?;
            // One variable may name several.
            for one in text.split(',').map(str::trim) {
                let message = |flaw| OpenError { message: format!("kafka.brokers: {flaw}"), cause: None };
                address(one).map_err(message)?;
                brokers.push(one.to_owned());
            }
        }
        let address = brokers.join(",");
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &address)
            .set("socket.keepalive.enable", "true")
            .set("socket.timeout.ms", ANSWER)
            .set("socket.nagle.disable", "true")
            .set("topic.metadata.refresh.interval.ms", "10000")
            .set_log_level(RDKafkaLogLevel::Info);
        let protocol = match (&self.tls, self.mechanism) {
            (None, None) => "plaintext",
            (Some(_), None) => "ssl",
            (None, Some(_)) => "sasl_plaintext",
            (Some(_), Some(_)) => "sasl_ssl",
        };
        config.set("security.protocol", protocol);
        if let Some(files) = &self.tls {
            let named = [
                ("ssl.ca.location", "tls.ca", &files.ca),
                ("ssl.certificate.location", "tls.cert", &files.cert),
                ("ssl.key.location", "tls.key", &files.key),
            ];
            for (property, key, path) in named {
                let Some(path) = path else { continue };
                std::fs::File::open(path).map_err(|cause| OpenError {
                    message: format!("cannot read {key} '{}'; it must be a PEM file", path.display()),
                    cause: Some(Box::new(cause)),
                })?;
                config.set(property, path.to_string_lossy());
            }
        }
        let mut tokens = None;
        if let Some(mechanism) = self.mechanism {
            config.set("sasl.mechanism", mechanism.name());
            let login = self.login.reveal("kafka.sasl")?;
            if let Some(user) = login.user {
                config.set("sasl.username", user);
            }
            if let Some(password) = login.password {
                config.set("sasl.password", password);
            }
            tokens = self.token.as_ref().map(|token| Tokens::new(token.clone(), clock));
        }
        Ok(Opened { config, address, tokens })
    }
}

impl Sasl {
    fn check(&self, encrypted: bool, check: &mut Check) -> (Option<Mechanism>, Login, Option<Secret>) {
        let mechanism = self.mechanism.value;
        let login = Login::check(self.user.as_ref(), self.password.as_ref(), "${env:KAFKA_PASSWORD}", check);
        let name = mechanism.name();
        if mechanism == Mechanism::OAuth {
            if let Some(user) = self.user.as_ref().or(self.password.as_ref()) {
                check.error(user.span, "OAUTHBEARER has a token, and no user or password", "write token: instead");
            }
            match &self.token {
                Some(token) => credentials::secret(token, "${file:/run/token}", check),
                None => check.error(self.mechanism.span, "OAUTHBEARER has no token", "write token: beside it"),
            }
        } else {
            if let Some(token) = &self.token {
                check.error(token.span, format!("{name} has no token"), "write user: and password: instead");
            }
            if self.user.is_none() || self.password.is_none() {
                let message = format!("{name} needs a user and a password");
                check.error(self.mechanism.span, message, "write user: and password: beside it");
            }
        }
        if !encrypted && matches!(mechanism, Mechanism::Plain | Mechanism::OAuth) {
            let message = format!("{name} without tls sends what it logs in with for everybody to read");
            check.warning(self.mechanism.span, message, "write tls: {} beside sasl:, if the brokers offer it");
        }
        (Some(mechanism), login, self.token.as_ref().map(|token| token.value.clone()))
    }
}

/// Whether a text names a broker. What is wrong is said without the text, which may hold what somebody logs in with.
fn address(text: &str) -> Result<(), &'static str> {
    if text.contains("://") {
        return Err("this is a URL, and a broker is a host and a port");
    }
    let Some((host, port)) = text.rsplit_once(':') else { return Err("this broker has no port") };
    if host.is_empty() || host.contains(|character: char| character.is_whitespace() || ",/@".contains(character)) {
        return Err("this broker has no host");
    }
    match port.parse::<u16>() {
        Ok(port) if port > 0 => Ok(()),
        _ => Err("this broker has no port"),
    }
}

#[cfg(test)]
mod tests;
