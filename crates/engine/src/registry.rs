//! The kinds of sources, functions and outputs that a binary knows, registered by hand in one list.
//!
//! A kind is three steps with a type between each: **options** are what was typed (serde reads them, schemars describes
//! them), a **plan** is what they mean (checked, pure, no I/O), and an opened adapter runs. A new kind implements one of
//! the traits here and is one line in the root's `builtin.rs`.

mod entrance;
mod kinds;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use entrance::{Entrance, Sending};
pub use kinds::Registry;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::config::{AckPoint, Check, EventTemplate, Spanned};
use crate::event::Text;
use crate::metric::{Link, Page};
use crate::port::{Clock, Function, Output, Source};

/// A kind of source: the key under a source's name, such as `mqtt`.
pub trait SourceKind: Send + Sync + 'static {
    /// What stands under the key. Use [`Spanned`] for every value that [`SourceKind::check`] may complain about.
    type Options: DeserializeOwned + JsonSchema;
    /// The key.
    const NAME: &'static str;

    /// Says everything that is wrong to `check`, and what the options mean if nothing is. No I/O, no secrets.
    fn check(&self, options: Self::Options, common: &SourceCommon, check: &mut Check) -> Option<Box<dyn SourcePlan>>;
}

/// What every source has beside its kind.
#[derive(Clone, Debug)]
pub struct SourceCommon {
    /// The source's name in the file.
    pub name: Spanned<Text>,
    /// When a message is acknowledged, if the file says so. A source that acknowledges from the spool does what it does for
    /// [`AckPoint::Processed`]: what it hears as settled is on the disk then.
    pub ack: Option<Spanned<AckPoint>>,
    /// How a message that is not yet a CloudEvent becomes one.
    pub event: EventTemplate,
    /// How many messages may be in flight.
    pub seats: usize,
}

impl SourceCommon {
    /// When the source acknowledges: as the file says, else where its kind does by nature.
    #[must_use]
    pub fn ack_or(&self, natural: AckPoint) -> AckPoint {
        self.ack.as_ref().map_or(natural, |typed| typed.value)
    }
}

/// A checked source.
pub trait SourcePlan: Send + Sync {
    /// What the source can promise, for the guarantee that `check` prints.
    fn facts(&self) -> SourceFacts;

    /// For how long an event may be worked on before its broker wants it back, where the file says so and the source cannot ask for
    /// more time.
    fn lease(&self) -> Option<Spanned<Duration>> {
        None
    }

    /// How somebody else than its usual senders reaches it: through an output of the same kind, with these options.
    ///
    /// # Errors
    /// Why nobody can, to be said behind the source's name, and what to do instead.
    fn entrance(&self, _sending: &Sending<'_>) -> Result<Entrance, String> {
        Err("nobody can send to a source of this kind; send to a running engine instead, without a configuration"
            .into())
    }

    /// Makes the source, resolving secrets. It must not connect yet: a broker that is away is the source's own business.
    ///
    /// # Errors
    /// [`OpenError`] when something on this machine is missing, such as a secret or a certificate.
    fn open(&self, setup: Setup) -> Result<Box<dyn Source>, OpenError>;
}

/// What a source can promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFacts {
    /// When it acknowledges.
    pub ack: AckPoint,
    /// Whether an unacknowledged message comes again after a crash.
    pub redelivers: bool,
    /// Whether its events can carry a key to be ordered by.
    pub keyed: bool,
    /// Whether what it delivers again comes in its old order, and before anything newer.
    pub in_order: bool,
    /// Attribute names that its captures add to every event.
    pub captures: Vec<Text>,
    /// Sentences on the broker's limits that a user should know, lower case, without a full stop.
    pub limits: Vec<String>,
}

/// A kind of function runtime, such as `native`.
pub trait FunctionKind: Send + Sync + 'static {
    /// What stands under the key.
    type Options: DeserializeOwned + JsonSchema;
    /// The key.
    const NAME: &'static str;

    /// Says everything that is wrong to `check`, and what the options mean if nothing is.
    fn check(&self, options: Self::Options, check: &mut Check) -> Option<Box<dyn FunctionPlan>>;
}

/// A checked function.
pub trait FunctionPlan: Send + Sync {
    /// Makes the function; workers are started later.
    ///
    /// # Errors
    /// [`OpenError`] when something on this machine is missing.
    fn open(&self, setup: Setup) -> Result<Box<dyn Function>, OpenError>;
}

/// A kind of output binding, such as `prometheus`.
pub trait OutputKind: Send + Sync + 'static {
    /// What stands under the key.
    type Options: DeserializeOwned + JsonSchema;
    /// The key.
    const NAME: &'static str;

    /// Says everything that is wrong to `check`, and what the options mean if nothing is.
    fn check(&self, options: Self::Options, check: &mut Check) -> Option<Box<dyn OutputPlan>>;
}

/// A checked output.
pub trait OutputPlan: Send + Sync {
    /// Whether a confirmed event survives a crash of this engine, for the guarantee that `check` prints.
    fn durable(&self) -> bool;

    /// Sentences on the far side's limits that a user should know, lower case, without a full stop.
    fn limits(&self) -> Vec<String> {
        Vec::new()
    }

    /// Makes the output. Background work belongs to tasks spawned on the current runtime that end when it is closed.
    ///
    /// # Errors
    /// [`OpenError`] when something on this machine is missing.
    fn open(&self, setup: Setup) -> Result<Box<dyn Output>, OpenError>;
}

/// What an adapter is given when it is opened.
#[derive(Clone)]
pub struct Setup {
    /// Its name in the file.
    pub name: Text,
    /// This engine's instance id: stable over restarts, different between replicas.
    pub instance: Text,
    /// Messages that a source may have in flight; zero for anything else.
    pub seats: usize,
    /// The folder for durable files, if there is state.
    pub state: Option<PathBuf>,
    /// Wall time.
    pub clock: Arc<dyn Clock>,
    /// Where to report the connection's state, the last error and what was dropped.
    pub link: Link,
    /// Where to put what `/metrics` shows besides the engine's own figures.
    pub page: Page,
}

/// An adapter could not be made.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct OpenError {
    /// What happened, to which object, and what to do, lower case.
    pub message: String,
    /// The cause.
    #[source]
    pub cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}
