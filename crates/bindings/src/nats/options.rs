//! What stands under `nats:` of an output, and its check.

use std::time::Duration;

use connectors::credentials::secret;
use connectors::nats::{Address, Identity, Typed, keep_alive};
use connectors::tls::{self, Files, Tls};
use engine::config::{Check, Period, Secret, Spanned};
use schemars::JsonSchema;
use serde::Deserialize;

use super::parcel::{Form, flaw};
use crate::message::{Mode, Piece, Template};

/// Publishes every event to NATS.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Options {
    /// The server: `nats://host:4222`, or `tls://host:4222`; several of one cluster with commas between them.
    pub(super) url: Spanned<Secret>,
    /// Where events go. `{name}` stands for an attribute, such as `alerts.{type}`.
    pub(super) subject: Spanned<String>,
    /// Whether a stream confirms every event (default); without, an event is confirmed once it was sent.
    pub(super) jetstream: Option<bool>,
    /// How an event travels: `binary` (default) in headers beside its data, or `structured`, whole in JSON.
    pub(super) mode: Option<Mode>,
    /// How many events may wait for their confirmation; 1000 by default.
    pub(super) window: Option<Spanned<u32>>,
    /// How long an event may wait for its confirmation, lost connections included, before that counts as a failed
    /// attempt; 30s by default.
    pub(super) timeout: Option<Spanned<Period>>,
    /// How long the server may be silent before it is asked whether it is there, from 1s to 1h; 20s by default. After half
    /// as long again the connection is given up.
    pub(super) keep_alive: Option<Spanned<Period>>,
    /// The user name.
    pub(super) user: Option<Spanned<Secret>>,
    /// The password, such as `${env:NATS_PASSWORD}`.
    pub(super) password: Option<Spanned<Secret>>,
    /// A token instead of a user.
    pub(super) token: Option<Spanned<Secret>>,
    /// The seed of an nkey instead of a user.
    pub(super) nkey: Option<Spanned<Secret>>,
    /// The path of a credentials file instead of a user.
    pub(super) credentials: Option<Spanned<String>>,
    /// How to trust the server and to be trusted by it, for `tls://`.
    pub(super) tls: Option<Spanned<Tls>>,
}

/// What options mean.
#[derive(Clone, Debug)]
pub(super) struct Meaning {
    pub(super) url: Secret,
    pub(super) form: Form,
    pub(super) window: usize,
    pub(super) timeout: Duration,
    pub(super) keep_alive: Duration,
    pub(super) identity: Identity,
    pub(super) tls: Files,
}

impl Options {
    /// What they mean, if nothing is wrong.
    pub(super) fn meaning(&self, check: &mut Check) -> Option<Meaning> {
        let mut own = Check::default();
        let meaning = self.read(&mut own);
        let failed = own.failed();
        for diagnostic in own.finish() {
            check.note(diagnostic);
        }
        (!failed).then_some(meaning)
    }

    fn read(&self, check: &mut Check) -> Meaning {
        self.address(check);
        let subject = Template::compile(&self.subject, check);
        self.subject(&subject, check);
        let window = self.window.as_ref().map_or(1000, |typed| {
            if !(1..=65_536).contains(&typed.value) {
                check.error(typed.span, format!("'window' is {}", typed.value), "write a number from 1 to 65536");
            }
            typed.value as usize
        });
        let timeout = self.timeout.as_ref().map_or(Duration::from_secs(30), |typed| {
            if typed.value.0 < Duration::from_secs(1) {
                check.error(typed.span, "'timeout' is shorter than 1s", "write a time such as 30s");
            }
            typed.value.0
        });
        let identity = Typed {
            user: self.user.as_ref(),
            password: self.password.as_ref(),
            token: self.token.as_ref(),
            nkey: self.nkey.as_ref(),
            credentials: self.credentials.as_ref(),
        };
        let tls = tls::check(self.tls.as_ref(), check);
        if let (Some(_), Some(typed)) = (&tls.server_name, &self.tls) {
            let help = "write the name in the server's certificate as the host of url";
            check.error(typed.span, "tls.serverName is not offered for outputs to NATS", help);
        }
        Meaning {
            url: self.url.value.clone(),
            form: Form { subject, jetstream: self.jetstream.unwrap_or(true), mode: self.mode.unwrap_or_default() },
            window,
            timeout,
            keep_alive: keep_alive(self.keep_alive.as_ref(), check),
            identity: Identity::check(identity, check),
            tls,
        }
    }

    fn address(&self, check: &mut Check) {
        let Some(literal) = self.url.value.literal() else {
            return secret(&self.url, "nats://${env:NATS}:4222", check);
        };
        match Address::parse(literal) {
            Err(flaw) => check.error(self.url.span, flaw.message, flaw.help),
            Ok(address) => {
                if let (false, Some(tls)) = (address.is_tls(), &self.tls) {
                    check.error(tls.span, "tls is set, but url is one without TLS", "write url: tls://host:4222");
                }
            }
        }
    }

    /// What can be said about subjects before there is an event.
    fn subject(&self, subject: &Template, check: &mut Check) {
        if check.failed() && subject.pieces().is_empty() && !self.subject.is_empty() {
            // It could not be read, which was said.
            return;
        }
        // Any attribute could be a good token; what stands between them must be good by itself.
        let sample: String = subject
            .pieces()
            .iter()
            .map(|piece| match piece {
                Piece::Literal(text) => text.as_str(),
                Piece::Attribute(_) => "x",
            })
            .collect();
        if let Some(flaw) = flaw(&sample) {
            check.error(self.subject.span, format!("the subject {flaw}"), "write a subject such as alerts.{type}");
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn problems(more: &Value) -> Vec<String> {
        let mut typed = json!({ "url": "nats://localhost", "subject": "alerts.{type}" });
        typed.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let options: Options = serde_json::from_value(typed).unwrap();
        let mut check = Check::default();
        let meaning = options.meaning(&mut check);
        let found = check.finish();
        assert_eq!(meaning.is_some(), found.is_empty());
        assert!(found.iter().all(|problem| problem.help.is_some()), "{found:?}");
        found.into_iter().map(|problem| problem.message).collect()
    }

    #[test]
    fn everything_that_may_be_written_is_accepted() {
        assert_eq!(problems(&json!({})), [""; 0]);
        let all = json!({
            "url": "tls://${env:NATS}", "subject": "alerts", "jetstream": false, "mode": "structured", "window": 10,
            "timeout": "5s", "keepAlive": "2s", "user": "u", "password": "${env:P}", "tls": { "ca": "ca.pem" },
        });
        assert_eq!(problems(&all), [""; 0]);
    }

    #[test]
    fn every_mistake_is_said() {
        for (more, part) in [
            (json!({ "url": "mqtt://h" }), "scheme 'mqtt'"),
            (json!({ "subject": "" }), "the subject is empty"),
            (json!({ "subject": "a b" }), "white space"),
            (json!({ "subject": "a..{type}" }), "an empty token"),
            (json!({ "subject": "a.>" }), "wildcard"),
            (json!({ "subject": "a.{Type}" }), "no attribute name"),
            (json!({ "window": 0 }), "'window' is 0"),
            (json!({ "timeout": "10ms" }), "shorter than 1s"),
            (json!({ "keepAlive": "2h" }), "'keepAlive' is out of bounds"),
            (json!({ "url": "tls://h", "tls": { "serverName": "x" } }), "serverName"),
            (json!({ "tls": {} }), "url is one without TLS"),
            (json!({ "token": "t", "nkey": "s" }), "nkey is written beside token"),
        ] {
            let found = problems(&more);
            assert!(found.len() == 1 && found[0].contains(part), "{more}: {found:?}");
        }
    }
}
