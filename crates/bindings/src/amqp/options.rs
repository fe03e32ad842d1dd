//! What stands under `amqp:` of an output, and its check.

use std::time::Duration;

use connectors::amqp::Access;
use connectors::tls::Tls;
use engine::config::{ByteSize, Check, Period, Secret, Spanned};
use engine::event::Text;
use schemars::JsonSchema;
use serde::Deserialize;

use super::Plan;
use super::parcel::{Form, LONGEST};
use crate::message::{Mode, Piece, Template};

/// Publishes every event to an exchange of RabbitMQ, or of another broker of AMQP 0-9-1.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Options {
    /// The broker: `amqp://host:5672/vhost`, or `amqps://host:5671/vhost` for TLS.
    url: Spanned<Secret>,
    /// The exchange. It has to be there; `""` (default) is the broker's own, where a routing key is the name of a queue.
    exchange: Option<Spanned<String>>,
    /// The routing key. `{name}` stands for an attribute of the event, such as `alerts.{type}`.
    routing_key: Spanned<String>,
    /// How the event travels; binary unless given.
    #[serde(default)]
    mode: Mode,
    /// How many events may wait for their confirmation; 1000 by default.
    window: Option<Spanned<u32>>,
    /// How long an event may wait for its confirmation, lost connections included, before that counts as a failed attempt;
    /// 30s by default.
    timeout: Option<Spanned<Period>>,
    /// The largest payload that is published; 16MiB by default. The broker closes the channel over one that it finds too
    /// large, so it must not be more than the broker's max_message_size.
    max_message_size: Option<Spanned<ByteSize>>,
    /// The user name; `guest` unless there is one or a certificate.
    user: Option<Spanned<Secret>>,
    /// The password, such as `${env:AMQP_PASSWORD}`.
    password: Option<Spanned<Secret>>,
    /// How to trust the broker and to be trusted by it, for `amqps://`. A certificate without a user logs in by itself.
    tls: Option<Spanned<Tls>>,
}

const WINDOW: u32 = 1000;
const WINDOW_MAX: u32 = 65_536;
const TIMEOUT: Duration = Duration::from_secs(30);
const TIMEOUT_MIN: Duration = Duration::from_secs(1);
const TIMEOUT_MAX: Duration = Duration::from_secs(900);
const SIZE: u64 = 16 << 20;
const SIZE_MAX: u64 = 512 << 20;

impl Options {
    /// What they mean, if nothing is wrong.
    pub(super) fn meaning(&self, check: &mut Check) -> Option<Plan> {
        let mut own = Check::default();
        let plan = self.read(&mut own);
        let failed = own.failed();
        own.finish().into_iter().for_each(|diagnostic| check.note(diagnostic));
        (!failed).then_some(plan)
    }

    fn read(&self, check: &mut Check) -> Plan {
        let Options { url, user, password, tls, .. } = self;
        let access = Access::check(url, user.as_ref(), password.as_ref(), tls.as_ref(), check);
        let window = self.window.as_ref().map_or(WINDOW, |typed| {
            if !(1..=WINDOW_MAX).contains(&typed.value) {
                let help = format!("write a number from 1 to {WINDOW_MAX}");
                check.error(typed.span, format!("'window' is {}", typed.value), help);
            }
            typed.value
        });
        let timeout = self.timeout.as_ref().map_or(TIMEOUT, |typed| {
            if !(TIMEOUT_MIN..=TIMEOUT_MAX).contains(&typed.value.0) {
                check.error(typed.span, "'timeout' is out of bounds", "write a time from 1s to 15m");
            }
            typed.value.0
        });
        let largest = self.max_message_size.as_ref().map_or(SIZE, |typed| {
            if !(1..=SIZE_MAX).contains(&typed.value.0) {
                let message = format!("'maxMessageSize' is {} bytes", typed.value.0);
                check.error(typed.span, message, "write a size from 1B to 512MiB");
            }
            typed.value.0
        });
        Plan {
            access,
            exchange: self.exchange(check),
            form: Form { routing_key: self.routing_key(check), mode: self.mode, largest },
            window: window as usize,
            timeout,
        }
    }

    fn exchange(&self, check: &mut Check) -> Text {
        let Some(typed) = &self.exchange else { return Text::default() };
        if typed.len() > LONGEST {
            check.error(typed.span, "the exchange's name is longer than 255 bytes", "write a shorter one");
        }
        Text::new(&typed.value)
    }

    fn routing_key(&self, check: &mut Check) -> Template {
        let typed = &self.routing_key;
        let template = Template::compile(typed, check);
        let default = self.exchange.as_ref().is_none_or(|typed| typed.is_empty());
        if default && typed.is_empty() {
            let help = "write the name of a queue, or exchange: with the exchange to publish to";
            check.error(typed.span, "the default exchange needs a routing key", help);
        }
        let literal = |piece: &Piece| match piece {
            Piece::Literal(text) => text.len(),
            Piece::Attribute(_) => 0,
        };
        if template.pieces().iter().map(literal).sum::<usize>() > LONGEST {
            check.error(typed.span, "the routing key is longer than 255 bytes", "write a shorter one");
        }
        template
    }
}
