//! Configuration in three steps: a file is read with spans, checked as a whole, and becomes a plan.
//!
//! What was typed and what it means are two types. Checking is pure and reports every problem at once.
//!
//! The way goes from [`Files`] (text, within a budget) through a tree with places (`parse`, `node`) and structs (`decode`,
//! `file`) to a [`Plan`] (`build`, `rules`); [`load()`] goes all of it. Errors never stop it early: what is wrong is noted,
//! masked, and the rest is read, so that one run of `check` shows every problem with its line, a caret and what to write.

mod build;
mod change;
mod dead_letter;
mod decode;
mod diagnostic;
mod ending;
mod entrance;
mod environment;
mod file;
mod files;
pub mod guarantee;
mod later;
mod load;
mod many;
mod node;
mod parse;
pub mod plan;
mod prune;
mod renamed;
mod render;
mod returns;
mod rules;
mod schema;
mod secret;
mod section;
mod setting;
mod share;
mod span;
mod state;
mod suggest;
mod template;
mod told;
mod unit;
mod when;
mod written;

pub use change::{Change, Changes};
pub use diagnostic::{Check, Diagnostic, Severity};
pub use entrance::Opening;
pub use environment::{Environment, is_instance, name};
pub use files::{FILE_BYTES_MAX, FILES_MAX, Files, Position, TOTAL_BYTES_MAX};
pub use load::{Colour, Loaded, load, load_files};
pub use many::Many;
pub use parse::{DEPTH_MAX, NODES_MAX};
pub use plan::Plan;
pub use schema::schema;
pub use secret::{Secret, SecretError};
pub use span::{Span, Spanned};
pub use template::EventTemplate;
pub use unit::{ByteSize, Period};
pub use written::Written;

pub(crate) use decode::decode;
pub(crate) use node::Node;

use schemars::JsonSchema;
use serde::Deserialize;

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
