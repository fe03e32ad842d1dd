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
    #[error("did not answer within {} s; see that url names an AMQP port", .0.as_secs())]
    Mute(Duration),
    #[error("failed the TLS handshake: {0}; see that url names a TLS port and that tls.ca signs its certificate")]
    Handshake(#[source] io::Error),
    #[error("has no name that a certificate could carry: '{0}'; write a host name in url, or set tls.serverName")]
    ServerName(String),
    #[error("does not offer the login mechanism {wanted}, only {offered}; {}", advice(.wanted))]
    Mechanism { wanted: &'static str, offered: String },
    #[error("refused the connection: {0}; correct user and password")]
    Login(String),
    #[error("refused the connection: {0}; correct the virtual host in url, and allow this user to enter it")]
    VirtualHost(String),
    #[error("has no queue '{0}'; make it, or write declare: to have it made")]
    NoQueue(String),
    #[error("has a queue '{queue}' of another kind: {text}; make declare: like it, or leave declare: out")]
    OtherQueue { queue: String, text: String },
    #[error("refused queue '{queue}': {text}; allow this user to configure and read it")]
    Forbidden { queue: String, text: String },
    #[error("has no exchange '{0}'; declare it")]
    NoExchange(String),
    #[error("refused exchange '{exchange}': {text}; allow this user to write it")]
    Unwritable { exchange: String, text: String },
    #[error("agreed on frames of {0} bytes; let frame_max be its default, 131072")]
    SmallFrames(u32),
    #[error("closed the channel: {0}")]
    Channel(String),
    #[error("refused a message: {0}; if it is too large, lower maxMessageSize, or raise max_message_size there")]
    Unacceptable(String),
    #[error("ended the connection over what was sent: {text}")]
    Violation { code: u16, text: String },
    #[error("ended the consumer of queue '{0}'; the queue was deleted, or its node is going down")]
    Cancelled(String),
    #[error("ended the connection: {0}")]
    Ended(String),
    #[error("closed the connection")]
    Closed,
    #[error("dropped the connection: {0}")]
    Lost(#[source] io::Error),
    #[error("sent nothing for {} s, not even a heartbeat", .0.as_secs())]
    Silent(Duration),
    #[error("sent what is not AMQP 0-9-1: {0}")]
    Protocol(String),
}

/// What the end of a connection or a channel says of what was published on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// Nothing: somebody ended it.
    Nothing,
    /// Perhaps one message, and perhaps only the network or the broker's machine.
    Perhaps,
    /// One message, and nobody knows which.
    Message {
        /// Whether it would be refused whenever it came.
        for_good: bool,
    },
    /// Every message alike.
    Everything,
}

fn advice(mechanism: &str) -> &'static str {
    match mechanism {
        "EXTERNAL" => "write user: and password:, or let the broker take certificates (rabbitmq_auth_mechanism_ssl)",
        _ => "let the broker offer it, or log in with a certificate (tls.cert)",
    }
}

/// What a broker says when it refuses something on a channel or ends a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: u16,
    pub(super) text: String,
}

impl From<Broken> for Fault {
    fn from(broken: Broken) -> Fault {
        Fault::Protocol(broken.to_string())
    }
}

impl Fault {
    /// How soon to try again.
    #[must_use]
    pub fn patience(&self) -> Patience {
        match self {
            Fault::Login(_)
            | Fault::VirtualHost(_)
            | Fault::Handshake(_)
            | Fault::Mechanism { .. }
            | Fault::ServerName(_)
            | Fault::OtherQueue { .. }
            | Fault::Forbidden { .. }
            | Fault::Unwritable { .. }
            | Fault::SmallFrames(_)
            | Fault::Protocol(_) => Patience::Long,
            // A queue that is missing may be made at any moment, and looking costs one request.
            _ => Patience::Short,
        }
    }

    /// What the fault says of what was published and not confirmed.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self {
            Fault::NoExchange(_) => Blame::Everything,
            Fault::Unacceptable(_) => Blame::Message { for_good: true },
            // Frames and their syntax; the other codes are the broker's own trouble with a message.
            Fault::Violation { code, .. } => Blame::Message { for_good: matches!(code, 501 | 502 | 505) },
            Fault::Channel(_) | Fault::Unwritable { .. } => Blame::Message { for_good: false },
            Fault::Closed | Fault::Lost(_) | Fault::Silent(_) | Fault::Protocol(_) => Blame::Perhaps,
            _ => Blame::Nothing,
        }
    }

    /// A connection that the broker closes.
    pub(super) fn of_close(refusal: Refusal) -> Fault {
        let Refusal { code, text } = refusal;
        match code {
            501..=506 | 530 | 540 | 541 => Fault::Violation { code, text },
            _ => Fault::Ended(text),
        }
    }

    /// A channel that was closed while something was asked of a queue.
    pub(super) fn of_queue(refusal: Refusal, queue: &str) -> Fault {
        let (queue, text) = (queue.to_owned(), refusal.text);
        match refusal.code {
            404 => Fault::NoQueue(queue),
            405 | 406 => Fault::OtherQueue { queue, text },
            403 => Fault::Forbidden { queue, text },
            _ => Fault::Channel(text),
        }
    }

    /// A channel that was closed while something was asked of an exchange, or published to it.
    pub(super) fn of_exchange(refusal: Refusal, exchange: &str) -> Fault {
        let (exchange, text) = (exchange.to_owned(), refusal.text);
        match refusal.code {
            404 => Fault::NoExchange(exchange),
            406 => Fault::Unacceptable(text),
            403 => Fault::Unwritable { exchange, text },
            _ => Fault::Channel(text),
        }
    }

    /// A connection that was closed by the broker before it was open.
    pub(super) fn of_greeting(refusal: Refusal) -> Fault {
        match refusal.code {
            403 => Fault::Login(refusal.text),
            402 | 530 => Fault::VirtualHost(refusal.text),
            _ => Fault::Ended(refusal.text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(code: u16) -> Refusal {
        Refusal { code, text: "ACCESS_REFUSED - x".into() }
    }

    #[test]
    fn who_is_to_blame_is_read_from_the_reply_code() {
        let channel = |code| Fault::of_exchange(refusal(code), "x").blame();
        assert_eq!([channel(404), channel(406)], [Blame::Everything, Blame::Message { for_good: true }]);
        assert_eq!([channel(403), channel(313)], [Blame::Message { for_good: false }; 2]);
        let connection = |code| Fault::of_close(refusal(code)).blame();
        assert_eq!([connection(501), connection(502), connection(505)], [Blame::Message { for_good: true }; 3]);
        assert_eq!([connection(506), connection(541)], [Blame::Message { for_good: false }; 2]);
        assert_eq!([connection(200), connection(320)], [Blame::Nothing; 2], "somebody stops the broker");
        assert_eq!(Fault::Closed.blame(), Blame::Perhaps);
    }

    #[test]
    fn what_needs_a_person_is_tried_rarely() {
        let said = Fault::of_greeting(refusal(403));
        assert!(said.to_string().contains("correct user and password"));
        assert_eq!(said.patience(), Patience::Long);
        assert_eq!(Fault::of_greeting(refusal(530)).patience(), Patience::Long);
        assert_eq!(Fault::of_greeting(refusal(320)).patience(), Patience::Short);
        let missing = Fault::of_queue(refusal(404), "q");
        assert_eq!((missing.to_string().contains("no queue 'q'"), missing.patience()), (true, Patience::Short));
        assert!(Fault::of_queue(refusal(406), "q").to_string().contains("declare"));
        assert!(Fault::of_queue(refusal(403), "q").to_string().contains("allow this user"));
        assert!(matches!(Fault::of_queue(refusal(541), "q"), Fault::Channel(_)));
        let too_large = Fault::of_exchange(refusal(406), "x");
        assert!(too_large.to_string().contains("lower maxMessageSize"));
        let external = Fault::Mechanism { wanted: "EXTERNAL", offered: "PLAIN".into() };
        assert!(external.to_string().contains("rabbitmq_auth_mechanism_ssl"));
    }
}
