//! From an event to a message: what the bindings of all brokers have in common.
//!
//! Each protocol binding of CloudEvents has two modes ([`Mode`]). In *binary* mode the protocol carries the attributes
//! ([`attributes`], under the protocol's own names) and the payload is the data, byte for byte; in *structured* mode the
//! payload is the whole event in JSON. A third one is for readers that know no CloudEvents: the data alone. Where a message
//! goes, and under which key, is a [`Template`] over the event's attributes.
//!
//! Besides, a message says which trace it belongs to in headers of its own ([`hop`]), in every mode.
//!
//! Decided here: data without a media type is JSON by the specification, so a binary message says so ([`content_type`]);
//! and header values of HTTP and NATS are encoded strictly, whatever lenient peers send ([`percent`]).

mod template;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use engine::event::{Event, Trace, Value};
use schemars::JsonSchema;
use serde::Deserialize;

pub use connectors::normalise::percent::encode as percent;
pub use template::{Missing, Piece, Template};

/// The media type of a structured message.
pub const STRUCTURED: &str = "application/cloudevents+json";

/// The largest trace context that is carried on, in bytes.
const HOP: usize = 8 << 10;

/// How an event travels in a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Mode {
    /// Attributes beside the payload, which is the data as it is.
    #[default]
    Binary,
    /// The payload is the whole event in JSON.
    Structured,
    /// The data alone, for readers that know no CloudEvents: no attribute travels.
    Payload,
}

/// Every context attribute that a binary message carries by name, in canonical text form: `specversion`, `id`, `source`
/// and `type`, then what else is set. `datacontenttype` is not among them, see [`content_type`].
pub fn attributes(event: &Event) -> impl Iterator<Item = (&str, Cow<'_, str>)> {
    let required = [
        ("specversion", Cow::Borrowed("1.0")),
        ("id", Cow::Borrowed(event.id().as_str())),
        ("source", Cow::Borrowed(event.source().as_str())),
        ("type", Cow::Borrowed(event.r#type().as_str())),
    ];
    let optional = [("subject", event.subject()), ("time", event.time()), ("dataschema", event.dataschema())];
    let optional = optional.into_iter().filter_map(|(name, text)| Some((name, Cow::Borrowed(text?.as_str()))));
    let extensions = event.extensions().iter().map(|(name, value): &(_, Value)| (name.as_str(), value.text()));
    required.into_iter().chain(optional).chain(extensions)
}

/// The headers that carry the trace on, under the names that every protocol gives them: those of the hop that brought the
/// event, else what the event's own attributes say. MQTT has no names for both in binary mode, where attributes are it.
/// A context of more than 8 KiB, which no tracing system writes, is left out: many a peer refuses such a message for it.
pub fn hop(event: &Event) -> impl Iterator<Item = (&'static str, &str)> {
    let size = |trace: &Trace<'_>| trace.headers().map(|(_, value)| value.len()).sum::<usize>();
    event.trace().filter(|trace| size(trace) <= HOP).into_iter().flat_map(Trace::headers)
}

/// The media type that a binary message says its payload has. Nothing without data and without a media type.
#[must_use]
pub fn content_type(event: &Event) -> Option<&str> {
    let absent = event.data().map(|_| "application/json");
    event.datacontenttype().map(|text| text.as_str()).or(absent)
}
