//! Configuration in three steps: a file is read with spans, checked as a whole, and becomes a plan.
//!
//! What was typed and what it means are two types. Checking is pure and reports every problem at once.

mod diagnostic;
pub mod plan;
mod secret;
mod span;
mod unit;

pub use diagnostic::{Check, Diagnostic, Severity};
pub use secret::{Secret, SecretError};
pub use span::{Span, Spanned};
pub use unit::{ByteSize, Period};

use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// When a source acknowledges a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum AckPoint {
    /// As soon as it is received: what is in memory is lost in a crash.
    Received,
    /// When it is durable in the spool.
    Spooled,
    /// When every matched delivery has ended.
    Processed,
}

/// `event:` of a source: how a message that is not yet a CloudEvent becomes one. Values are templates in which `{name}`
/// stands for a capture and `{{` for a brace.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EventTemplate {
    /// The event's `type`.
    pub r#type: Option<Spanned<String>>,
    /// The event's `source`.
    pub source: Option<Spanned<String>>,
    /// The event's `subject`.
    pub subject: Option<Spanned<String>>,
    /// The key that orders events.
    pub partitionkey: Option<Spanned<String>>,
    /// The name of a field in the JSON payload that holds the event's id. Without it each arrival gets a new id.
    pub id: Option<Spanned<String>>,
    /// The media type of the payload, `application/json` unless the message says otherwise.
    pub datacontenttype: Option<Spanned<String>>,
    /// Further attributes by name.
    #[serde(default)]
    pub extensions: BTreeMap<Spanned<String>, Spanned<String>>,
}
