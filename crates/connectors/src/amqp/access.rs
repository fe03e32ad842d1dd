//! How to be let in: the address, the login and the certificates. Outputs use it too.
//!
//! Decision: a certificate of one's own without a user logs in by itself (mechanism EXTERNAL), and nothing at all is the
//! user that every RabbitMQ has for its own machine, `guest`.

use engine::config::{Check, Secret, Spanned};
use engine::registry::OpenError;

use super::address::Address;
use crate::credentials::{Login, reveal, secret};
use crate::tls::{self, Files, Tls};
use crate::trust::Trust;

/// The user that RabbitMQ is installed with.
const GUEST: &str = "guest";

/// A checked way in, with its secrets unread.
#[derive(Clone, Debug)]
pub struct Access {
    url: Secret,
    login: Login,
    tls: Files,
}

/// Where to connect, and as whom. Keep it out of errors, logs and `Debug`.
#[derive(Clone)]
pub struct Terms {
    /// The broker.
    pub address: Address,
    /// For `amqps`.
    pub trust: Option<Trust>,
    /// The user and the password; without, the certificate says who this is.
    pub login: Option<(String, String)>,
}

impl Access {
    /// Checks what stands under `url`, `user`, `password` and `tls`.
    pub fn check(
        url: &Spanned<Secret>,
        user: Option<&Spanned<Secret>>,
        password: Option<&Spanned<Secret>>,
        tls: Option<&Spanned<Tls>>,
        check: &mut Check,
    ) -> Access {
        match url.value.literal().map(Address::parse) {
            None => secret(url, "amqp://${env:RABBITMQ}:5672", check),
            Some(Err(flaw)) => check.error(url.span, flaw.message, flaw.help),
            Some(Ok(address)) => {
                if let (false, Some(tls)) = (address.tls, tls) {
                    check.error(tls.span, "tls is set, but url is one without TLS", "write url: amqps://host:5671");
                }
            }
        }
        Access {
            url: url.value.clone(),
            login: Login::check(user, password, "${env:AMQP_PASSWORD}", check),
            tls: tls::check(tls, check),
        }
    }

    /// Resolves the references and reads the certificates.
    ///
    /// # Errors
    /// [`OpenError`] names the key and the reference or file, never a value.
    pub fn open(&self) -> Result<Terms, OpenError> {
        let address = Address::parse(&reveal("amqp.url", &self.url)?)
            .map_err(|flaw| OpenError { message: format!("amqp.{}; {}", flaw.message, flaw.help), cause: None })?;
        let revealed = self.login.reveal("amqp")?;
        let login = match revealed.user {
            Some(user) => Some((user, revealed.password.unwrap_or_default())),
            None if self.tls.cert.is_some() => None,
            None => Some((GUEST.to_owned(), GUEST.to_owned())),
        };
        let trust = address.tls.then(|| Trust::load(&self.tls)).transpose()?;
        Ok(Terms { address, trust, login })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(url: &str, user: Option<&str>, tls: Option<&str>) -> Result<Terms, OpenError> {
        let typed = |text: &str| Spanned::new(Secret::new(text), Default::default());
        let tls: Option<Spanned<Tls>> = tls.map(|json| serde_json::from_str(json).unwrap());
        let mut check = Check::default();
        let access = Access::check(&typed(url), user.map(typed).as_ref(), None, tls.as_ref(), &mut check);
        assert!(!check.failed(), "{:?}", check.finish());
        access.open()
    }

    #[test]
    fn nobody_in_particular_is_guest() {
        let login = |user| opened("amqp://h", user, None).unwrap().login;
        assert_eq!(login(None), Some(("guest".into(), "guest".into())));
        assert_eq!(login(Some("mill")), Some(("mill".into(), String::new())));
    }

    #[test]
    fn a_certificate_needs_no_user_and_is_read_at_last() {
        let Err(error) = opened("amqps://h", None, Some(r#"{"cert":"/none/c.pem","key":"/none/c.key"}"#)) else {
            panic!("read")
        };
        assert!(error.message.contains("'/none/c.pem'"), "{}", error.message);
    }

    #[test]
    fn a_reference_is_judged_when_it_is_resolved() {
        let Err(error) = opened("${file:/nonexistent/url}", None, None) else { panic!("resolved") };
        assert!(error.message.starts_with("amqp.url: "), "{}", error.message);
    }
}
