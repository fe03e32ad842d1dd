//! Why a connection failed or ended, in words that say what to change.

use std::io;
use std::time::Duration;

use super::wire::Broken;
use crate::backoff::Patience;

/// What went wrong. Every text goes on after "server ADDRESS " and holds no credentials.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("cannot be reached: {0}; start it, or correct url")]
    Unreachable(#[source] io::Error),
    #[error("did not answer within {} s; see that url names a NATS port", .0.as_secs())]
    Mute(Duration),
    #[error("failed the TLS handshake: {0}; see that the server offers TLS and that tls.ca signs its certificate")]
    Handshake(#[source] io::Error),
    #[error("requires TLS; write tls:// in url")]
    WantsTls,
    #[error("offers no TLS; write nats:// in url, or configure TLS there")]
    OffersNoTls,
    #[error("has no name that a certificate could carry: '{0}'; write a host name in url, or set tls.serverName")]
    ServerName(String),
    #[error("refused the connection: {0}; correct user and password, token, nkey or credentials")]
    Unauthorized(String),
    #[error("refused something: {0}; grant it to this user, or change what is asked for")]
    Refused(String),
    #[error("closed the connection")]
    Closed,
    #[error("dropped the connection: {0}")]
    Lost(#[source] io::Error),
    #[error("sent nothing for {} s, not even an answer to a ping", .0.as_secs())]
    Silent(Duration),
    #[error("sent what is not NATS: {0}")]
    Protocol(#[from] Broken),
    #[error("{0}")]
    JetStream(String),
}

impl Fault {
    /// How soon to try again.
    pub(super) fn patience(&self) -> Patience {
        match self {
            Fault::Unauthorized(_)
            | Fault::Handshake(_)
            | Fault::WantsTls
            | Fault::OffersNoTls
            | Fault::ServerName(_)
            | Fault::Protocol(_) => Patience::Long,
            // A stream or a consumer that is missing may be made at any moment, and looking costs one request.
            _ => Patience::Short,
        }
    }

    /// What a server says with `-ERR`.
    pub(super) fn refused(text: String) -> Fault {
        let lower = text.to_ascii_lowercase();
        match ["authorization", "authentication", "account"].iter().any(|word| lower.contains(word)) {
            true => Fault::Unauthorized(text),
            false => Fault::Refused(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_a_person_is_tried_rarely() {
        let refused = Fault::refused("Authorization Violation".into());
        assert!(refused.to_string().contains("Authorization Violation") && refused.to_string().contains("credentials"));
        assert_eq!(refused.patience(), Patience::Long);
        assert_eq!(Fault::refused("Maximum Connections Exceeded".into()).patience(), Patience::Short);
        assert_eq!(Fault::JetStream("has no stream 'X'".into()).patience(), Patience::Short);
    }
}
