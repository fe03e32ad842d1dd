//! What stands under `log:`.

use schemars::JsonSchema;
use serde::Deserialize;

/// Writes one line per event, to standard output unless `level` is given.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Options {
    /// Writes into the engine's own log at this level instead of to standard output.
    pub level: Option<Level>,
    /// How an event is spelled.
    #[serde(default)]
    pub format: Format,
}

/// How much a log line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Level {
    /// Something failed.
    Error,
    /// Something should be looked at.
    Warn,
    /// Something happened.
    Info,
    /// For finding mistakes.
    Debug,
    /// For finding mistakes, in more detail.
    Trace,
}

/// How an event is spelled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Format {
    /// One line to read: time, type, source, subject, id and the beginning of the data.
    #[default]
    Human,
    /// The whole CloudEvent in JSON.
    Json,
}
