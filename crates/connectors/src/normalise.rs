//! From a message to a CloudEvent.
//!
//! Each protocol binding of CloudEvents has two modes, and both are recognised: *binary*, where the protocol carries the
//! attributes and the payload is the data, and *structured*, where the payload is the whole event in JSON. Any other
//! message goes through the source's `event:` template. In no case is a payload rewritten: an event's data is a slice of
//! what was received.
//!
//! Decided here: an event without an id gets one derived from its position, where its broker gives it one, and a new one
//! at each arrival otherwise, unless the template names a field that holds it; and what the captures of a topic say is
//! added to every event that does not say it itself. The trace context of the hop that brought a message is in headers of
//! their own ([`Hop`]), which are no attributes.

mod amqp;
mod field;
mod hop;
mod http;
mod id;
mod kafka;
mod mqtt;
mod pattern;
pub mod percent;
mod received;
mod template;

use engine::event::{Invalid, Text};

pub use amqp::{Field, Posted, is_fact as is_amqp_fact};
pub use hop::Hop;
pub use http::Request;
pub use id::{Ids, prefix};
pub use kafka::{Record, is_fact as is_kafka_fact};
pub use mqtt::Message;
pub use received::Received;
pub use template::{Origin, Template};

/// Why a message is no event: it is kept raw, with this reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoEvent {
    /// It claims to be a CloudEvent and is none, or the template made none of it.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// Its media type says that it is a CloudEvent in a format that is not understood.
    #[error("content type '{0}' is no CloudEvents format that is understood; send application/cloudevents+json")]
    Format(String),
    /// Its `datacontenttype` and the content type that its protocol carries differ.
    #[error(
        "it has two content types: datacontenttype is '{attribute}', and the message's own is '{protocol}'; send one"
    )]
    ContentTypes {
        /// What the attribute says.
        attribute: String,
        /// What the protocol says.
        protocol: String,
    },
    /// The template's `id` names a field that the payload does not have.
    #[error("the payload is no JSON object with a text or number in field '{0}', which event.id names")]
    Field(String),
    /// A header that holds an attribute cannot be read.
    #[error("header '{name}' cannot be read: {problem}")]
    Header {
        /// The header's name.
        name: Text,
        /// What is wrong with it.
        problem: String,
    },
}
