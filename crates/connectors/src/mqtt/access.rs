//! How to be let in, for a source and for an output: the address, the login, the certificates, the client id.

use engine::config::{Check, Period, Secret, Spanned};
use engine::registry::OpenError;
use std::time::Duration;

use super::address::Address;
use super::dialect::Dialect;
use super::text::LONGEST;
use super::transport::Transport;
use super::version::Version;
use crate::credentials::{Login, reveal, secret};
use crate::tls::{self, Files, Tls};
use crate::trust::Trust;

const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// What is typed about a connection, under the same keys wherever there is one.
pub struct Typed<'t> {
    /// `url`
    pub url: &'t Spanned<Secret>,
    /// `version`
    pub version: Option<&'t Spanned<Version>>,
    /// `clientId`
    pub client_id: Option<&'t Spanned<String>>,
    /// `keepAlive`
    pub keep_alive: Option<&'t Spanned<Period>>,
    /// `user`
    pub user: Option<&'t Spanned<Secret>>,
    /// `password`
    pub password: Option<&'t Spanned<Secret>>,
    /// `tls`
    pub tls: Option<&'t Spanned<Tls>>,
}

/// A checked way in, with its secrets unread.
#[derive(Clone, Debug)]
pub struct Access {
    url: Secret,
    version: Version,
    client_id: Option<String>,
    keep_alive: u16,
    login: Login,
    tls: Files,
}

/// Where to connect, and as whom. Keep it out of errors, logs and `Debug`.
#[derive(Clone)]
pub struct Terms {
    pub(super) transport: Transport,
    pub(super) dialect: &'static dyn Dialect,
    pub(super) client_id: String,
    pub(super) user: Option<String>,
    pub(super) password: Option<Vec<u8>>,
    /// Seconds; zero for no pings.
    pub(super) keep_alive: u16,
}

impl Terms {
    /// The broker's address, without credentials.
    #[must_use]
    pub fn address(&self) -> String {
        self.transport.address.to_string()
    }
}

impl Access {
    /// Says what is wrong with it to `check`.
    pub fn check(typed: &Typed<'_>, check: &mut Check) -> Access {
        address(typed.url, typed.tls, check);
        Access {
            url: typed.url.value.clone(),
            version: typed.version.map(|typed| typed.value).unwrap_or_default(),
            client_id: typed.client_id.map(|typed| client_id(typed, check)),
            keep_alive: keep_alive(typed.keep_alive, check),
            login: Login::check(typed.user, typed.password, "${env:MQTT_PASSWORD}", check),
            tls: tls::check(typed.tls, check),
        }
    }

    /// The version of the protocol.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// Resolves the references and reads the certificates. The client id is what was typed, or else `client_id`, with the
    /// instance behind it, so that two engines never throw each other out.
    ///
    /// # Errors
    /// [`OpenError`] names the key and the reference or file, never a value.
    pub fn open(&self, client_id: &str, instance: &str) -> Result<Terms, OpenError> {
        let address = Address::parse(&reveal("mqtt.url", &self.url)?)
            .map_err(|flaw| OpenError { message: format!("mqtt.{}; {}", flaw.message, flaw.help), cause: None })?;
        let tls = address.scheme.is_tls().then(|| Trust::load(&self.tls)).transpose()?;
        let login = self.login.reveal("mqtt")?;
        Ok(Terms {
            transport: Transport { address, tls },
            dialect: self.version.dialect(),
            client_id: format!("{}-{instance}", self.client_id.as_deref().unwrap_or(client_id)),
            user: login.user,
            password: login.password.map(String::into_bytes),
            keep_alive: self.keep_alive,
        })
    }
}

/// What can be said about the URL before its references are resolved.
fn address(url: &Spanned<Secret>, tls: Option<&Spanned<Tls>>, check: &mut Check) {
    let Some(literal) = url.value.literal() else {
        return secret(url, "mqtt://${env:BROKER}:1883", check);
    };
    match Address::parse(literal) {
        Err(flaw) => check.error(url.span, flaw.message, flaw.help),
        Ok(address) => {
            if let (false, Some(tls)) = (address.scheme.is_tls(), tls) {
                check.error(tls.span, "tls is set, but url is one without TLS", "write url: mqtts://host:8883");
            }
        }
    }
}

fn client_id(typed: &Spanned<String>, check: &mut Check) -> String {
    if typed.is_empty() {
        check.error(typed.span, "the client id is empty", "write a name that no other client of this broker has");
    }
    if let Some(at) = typed.find('\0') {
        check.error(typed.span.part(at, 1), "a client id cannot hold a null character", "remove it");
    }
    if typed.len() > LONGEST / 2 {
        check.error(typed.span, "the client id is too long", "use at most a few dozen characters");
    }
    typed.value.clone()
}

fn keep_alive(typed: Option<&Spanned<Period>>, check: &mut Check) -> u16 {
    let Some(typed) = typed else { return KEEP_ALIVE.as_secs() as u16 };
    u16::try_from(seconds(typed.value.0)).unwrap_or_else(|_| {
        check.error(typed.span, "keepAlive is longer than MQTT can say", "write at most 18h");
        u16::MAX
    })
}

/// Whole seconds, rounded up; what MQTT calls for ever when they do not fit.
pub(super) fn seconds(period: Duration) -> u32 {
    u32::try_from(period.as_millis().div_ceil(1000)).unwrap_or(u32::MAX)
}

/// The quality of service that is typed under `qos`: 1 unless it is 0.
pub fn quality(typed: Option<&Spanned<u8>>, check: &mut Check) -> u8 {
    match typed {
        Some(typed) if typed.value == 2 => {
            let help = "write 1: delivery is at least once, and functions tell duplicates by the event's id";
            check.error(typed.span, "qos 2 is not offered", help);
            1
        }
        Some(typed) if typed.value > 2 => {
            check.error(typed.span, format!("there is no qos {}", typed.value), "write 1, or 0 for at most once");
            1
        }
        Some(typed) => typed.value,
        None => 1,
    }
}
