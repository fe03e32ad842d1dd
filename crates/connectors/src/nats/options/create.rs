//! How a stream and its consumer are made when they are not there.

use std::time::Duration;

use engine::config::{ByteSize, Check, Period, Spanned};
use schemars::JsonSchema;
use serde::Deserialize;

/// What stands under `create:`. What is already there is never changed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::nats) struct CreateOptions {
    /// When the stream lets go of a message: at its limits (default), when one consumer has acknowledged it, or when all
    /// have.
    retention: Option<Retention>,
    /// Where the stream is kept: in files (default) or in memory.
    storage: Option<Storage>,
    /// How many servers of a cluster keep the stream; 1 by default.
    replicas: Option<Spanned<u32>>,
    /// The age at which a message is dropped, delivered or not; never by default.
    max_age: Option<Spanned<Period>>,
    /// The size at which the oldest messages are dropped, delivered or not; none by default.
    max_bytes: Option<Spanned<ByteSize>>,
    /// What a new consumer begins with: everything in the stream (default), or only what comes from now on.
    deliver: Option<Deliver>,
    /// How long a message may stay without a sign of life before it is delivered again; 30s by default.
    ack_wait: Option<Spanned<Period>>,
    /// How many messages may be unacknowledged over all engines; sixteen times the seats by default.
    max_ack_pending: Option<Spanned<u32>>,
}

/// How to make what is not there.
#[derive(Clone, Debug)]
pub(in crate::nats) struct Create {
    pub(in crate::nats) retention: Retention,
    pub(in crate::nats) storage: Storage,
    pub(in crate::nats) replicas: u32,
    pub(in crate::nats) max_age: Duration,
    pub(in crate::nats) max_bytes: Option<u64>,
    pub(in crate::nats) deliver: Deliver,
    pub(in crate::nats) ack_wait: Duration,
    pub(in crate::nats) max_ack_pending: Option<usize>,
}

/// When a stream lets go of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::nats) enum Retention {
    /// At its limits.
    #[default]
    Limits,
    /// When it was acknowledged.
    WorkQueue,
    /// When every consumer has acknowledged it.
    Interest,
}

/// Where a stream is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::nats) enum Storage {
    /// In files.
    #[default]
    File,
    /// In memory: a server that restarts forgets it.
    Memory,
}

/// What a new consumer begins with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::nats) enum Deliver {
    /// The oldest message that is there.
    #[default]
    All,
    /// The next message that comes.
    New,
}

impl Retention {
    pub(in crate::nats) fn name(self) -> &'static str {
        match self {
            Retention::Limits => "limits",
            Retention::WorkQueue => "workqueue",
            Retention::Interest => "interest",
        }
    }
}

impl Storage {
    pub(in crate::nats) fn name(self) -> &'static str {
        match self {
            Storage::File => "file",
            Storage::Memory => "memory",
        }
    }
}

impl Deliver {
    pub(in crate::nats) fn name(self) -> &'static str {
        match self {
            Deliver::All => "all",
            Deliver::New => "new",
        }
    }
}

impl Default for Create {
    fn default() -> Create {
        Create {
            retention: Retention::default(),
            storage: Storage::default(),
            replicas: 1,
            max_age: Duration::ZERO,
            max_bytes: None,
            deliver: Deliver::default(),
            ack_wait: Duration::from_secs(30),
            max_ack_pending: None,
        }
    }
}

impl Create {
    /// Reads what is written for a source of `seats`.
    pub(super) fn check(typed: &CreateOptions, seats: usize, check: &mut Check) -> Create {
        let fallback = Create::default();
        if let Some(wait) = typed.ack_wait.as_ref().filter(|wait| wait.value.0 < Duration::from_secs(1)) {
            let help = "write at least 1s, better 30s: a running event reports progress after half of it";
            check.error(wait.span, "ackWait is too short for reports of progress to arrive in time", help);
        }
        if let Some(pending) =
            typed.max_ack_pending.as_ref().filter(|pending| usize::try_from(pending.value).is_ok_and(|n| n < seats))
        {
            let message = format!("maxAckPending {} is below the {seats} seats of this source", pending.value);
            check.error(pending.span, message, "write at least seats x replicas, or leave it out");
        }
        if let Some(replicas) = typed.replicas.as_ref().filter(|replicas| !(1..=5).contains(&replicas.value)) {
            check.error(replicas.span, format!("'replicas' is {}", replicas.value), "write a number from 1 to 5");
        }
        let period = |typed: &Option<Spanned<Period>>| typed.as_ref().map(|period| period.value.0);
        Create {
            retention: typed.retention.unwrap_or_default(),
            storage: typed.storage.unwrap_or_default(),
            replicas: typed.replicas.as_ref().map_or(1, |replicas| replicas.value),
            max_age: period(&typed.max_age).unwrap_or_default(),
            max_bytes: typed.max_bytes.as_ref().map(|size| size.value.0),
            deliver: typed.deliver.unwrap_or_default(),
            ack_wait: period(&typed.ack_wait).unwrap_or(fallback.ack_wait),
            max_ack_pending: typed.max_ack_pending.as_ref().map(|pending| pending.value as usize),
        }
    }
}
