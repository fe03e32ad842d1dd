//! Why a connection failed or ended, in words that say what to change.

use std::io;
use std::time::Duration;

use super::wire::Broken;
use crate::backoff::Patience;

/// What went wrong. Every text goes on after "broker ADDRESS " and holds no credentials.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the texts say it")]
pub enum Fault {
    #[error("cannot be reached: {0}; start it, or correct url")]
    Unreachable(#[source] io::Error),
    #[error("did not answer within {} s; see that url names an MQTT port", .0.as_secs())]
    Mute(Duration),
    #[error("failed the TLS handshake: {0}; see that url names a TLS port and that tls.ca signs its certificate")]
    Handshake(#[source] io::Error),
    #[error("failed the WebSocket handshake: {0}; see that url names a WebSocket port and path of the broker")]
    WebSocket(String),
    #[error("has no name that a certificate could carry: '{0}'; write a host name in url, or set tls.serverName")]
    ServerName(String),
    #[error("closed the connection before it answered; it may speak another version: try version: {0}")]
    ClosedAtOnce(&'static str),
    #[error("refused the connection: {0}")]
    Refused(Refusal),
    #[error("refused subscriptions: {0}; grant them to this client, or change topics")]
    Subscription(String),
    #[error("closed the connection")]
    Closed,
    #[error("dropped the connection: {0}")]
    Lost(#[source] io::Error),
    #[error("ended the connection: {0}")]
    Ended(Refusal),
    #[error("sent nothing for {} s, not even an answer to a ping", .0.as_secs())]
    Silent(Duration),
    #[error("sent what is not MQTT: {0}")]
    Protocol(String),
    #[error("takes only qos 0; write qos: 0, at most once, or publish elsewhere")]
    Quality,
    #[error("keeps no retained messages; write retain: false")]
    Retain,
    #[error("has confirmed nothing for so long that everything on its way was given up")]
    Unconfirmed,
    #[error("still keeps messages that were handed back; reconnecting so that it sends them again")]
    HandedBack,
}

/// A refusal in the broker's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Refusal {
    /// The reason, and what to change.
    pub(super) text: String,
    pub(super) patience: Patience,
    /// Whether the broker has said that something which was published is the reason.
    pub(super) about_a_message: bool,
}

impl Refusal {
    /// A refusal that may pass by itself.
    pub(super) fn passing(text: impl Into<String>) -> Refusal {
        Refusal { text: text.into(), patience: Patience::Short, about_a_message: false }
    }

    /// A refusal that lasts until somebody changes something.
    pub(super) fn lasting(text: impl Into<String>) -> Refusal {
        Refusal { text: text.into(), patience: Patience::Long, about_a_message: false }
    }
}

impl Fault {
    /// The reason code of MQTT 5 with which a broker at fault is told so.
    pub(super) fn complaint(&self) -> Option<u8> {
        match self {
            Fault::Protocol(_) => Some(0x82),
            _ => None,
        }
    }

    /// Whether the broker ended the connection over something that was published: it would end the next one too.
    #[must_use]
    pub fn blames_a_message(&self) -> bool {
        matches!(self, Fault::Ended(refusal) if refusal.about_a_message)
    }

    /// How soon to try again.
    #[must_use]
    pub fn patience(&self) -> Patience {
        match self {
            Fault::Refused(refusal) | Fault::Ended(refusal) => refusal.patience,
            Fault::Handshake(_)
            | Fault::ServerName(_)
            | Fault::WebSocket(_)
            | Fault::Subscription(_)
            | Fault::Quality
            | Fault::Retain
            | Fault::Protocol(_) => Patience::Long,
            _ => Patience::Short,
        }
    }
}

impl From<Broken> for Fault {
    fn from(broken: Broken) -> Fault {
        Fault::Protocol(broken.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_a_person_is_tried_rarely() {
        let rarely = [
            Fault::Refused(Refusal::lasting("x")),
            Fault::Subscription("x".into()),
            Fault::Handshake(io::Error::other("x")),
            Fault::Protocol("x".into()),
        ];
        assert!(rarely.iter().all(|fault| fault.patience() == Patience::Long));
        let soon = [
            Fault::Refused(Refusal::passing("x")),
            Fault::Closed,
            Fault::HandedBack,
            Fault::Unreachable(io::Error::other("x")),
        ];
        assert!(soon.iter().all(|fault| fault.patience() == Patience::Short));
    }

    #[test]
    fn a_message_is_to_blame_only_where_the_broker_says_so() {
        let blamed = Refusal { about_a_message: true, ..Refusal::passing("packet too large") };
        assert!(Fault::Ended(blamed).blames_a_message());
        assert!(!Fault::Ended(Refusal::passing("server shutting down")).blames_a_message());
        assert!(!Fault::Closed.blames_a_message());
    }

    #[test]
    fn only_a_broker_at_fault_is_told_so() {
        assert_eq!(Fault::Protocol("x".into()).complaint(), Some(0x82));
        assert_eq!(Fault::Closed.complaint(), None);
    }
}
