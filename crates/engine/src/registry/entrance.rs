//! The way in to a source: how somebody else than its usual senders gets an event to where it receives from.
//!
//! Decision: a source knows no output, but it knows where it receives from, and it shares the words for that with the output
//! of the same kind. So it says which of its own keys an output takes over as they stand in the file, secrets and all, and
//! which others it needs; whoever knows both joins them by their kind (`config::Loaded::entrance`).

use std::time::Duration;

use serde_json::Value;

/// What somebody who sends by hand says besides the event.
#[derive(Clone, Copy, Debug)]
pub struct Sending<'s> {
    /// The topic, subject or path, where the source receives from more than one.
    pub to: Option<&'s str>,
    /// How long the far side may take to confirm.
    pub patience: Duration,
}

impl Sending<'_> {
    /// The patience as outputs want it typed, in their usual bounds.
    #[must_use]
    pub fn timeout(&self) -> Value {
        let bounded = self.patience.clamp(Duration::from_secs(1), Duration::from_secs(900));
        Value::String(format!("{}ms", bounded.as_millis()))
    }
}

/// The options of an output that reaches a source.
#[derive(Clone, Debug, PartialEq)]
pub struct Entrance {
    /// Keys of the source that mean the same to the output, taken over as they are written.
    pub shared: &'static [&'static str],
    /// The output's further keys: texts, numbers, and true or false.
    pub own: Vec<(&'static str, Value)>,
    /// Where the event goes, for people, such as `topic 'v1/demo/veh-1/telemetry'`.
    pub place: String,
}
