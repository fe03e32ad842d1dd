//! The CloudEvents 1.0 event as the engine carries it.
//!
//! Attributes are kept as they were received and the payload is shared bytes that nobody rewrites: the CloudEvents SDK
//! parses and re-serialises payloads, which changes number spelling and key order and costs six times a lean parse, so it
//! stands only at the boundary (see [`sdk`]). Short attributes live inline, longer ones behind a reference count.

#[cfg(test)]
mod arbitrary;
mod attribute;
mod edit;
pub mod json;
mod packed;
pub mod sdk;
#[cfg(test)]
mod tests;
mod trace;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use smallvec::SmallVec;

use crate::store::Stamp;
use attribute::twice;
pub use attribute::{Attribute, Name, NameError, Value};
pub use edit::Edit;
pub use packed::Unreadable;
pub(crate) use packed::{pack_text, text as unpack_text};
pub use trace::Trace;

/// A cheaply cloned string: up to 23 bytes inline, longer ones shared.
pub type Text = smol_str::SmolStr;

/// Puts a [`Text`] together from pieces.
pub type TextBuilder = smol_str::SmolStrBuilder;

/// One CloudEvents 1.0 event.
///
/// `id`, `source` and `type` are never empty and `time` is RFC 3339; everything else is as the sender wrote it. It is a
/// handle: a clone shares everything, moving it moves one pointer, and changing a shared one copies its attributes first.
#[derive(Clone, PartialEq, Eq)]
pub struct Event(Arc<Parts>);

/// What an event is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Parts {
    id: Text,
    source: Text,
    r#type: Text,
    subject: Option<Text>,
    time: Option<Text>,
    datacontenttype: Option<Text>,
    dataschema: Option<Text>,
    extensions: Extensions,
    data: Option<Bytes>,
    /// The trace context of the hop that brought the event, where it is not what the attributes say.
    hop: Option<Arc<trace::Hop>>,
    received: Received,
}

/// When an event was received here, in milliseconds since 1970; 0 for one of which that is written down nowhere. It says
/// nothing of what the event is, so it makes no two differ.
#[derive(Clone, Copy, Debug, Default)]
struct Received(u64);

impl PartialEq for Received {
    fn eq(&self, _: &Received) -> bool {
        true
    }
}

impl Eq for Received {}

/// Extension attributes in the order in which they were received; as many as an event of Kafka has need no memory of their own.
type Extensions = SmallVec<[(Name, Value); 5]>;

/// Why something is not a CloudEvent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// A required attribute is absent or empty.
    #[error("attribute '{0}' is missing or empty; every CloudEvent needs specversion, id, source and type")]
    Missing(&'static str),
    /// `specversion` is not 1.0.
    #[error("specversion '{0}' is not supported; send CloudEvents 1.0")]
    SpecVersion(Text),
    /// `time` is not RFC 3339.
    #[error("attribute 'time' is '{0}', which is not an RFC 3339 timestamp such as 2026-11-21T06:58:00Z")]
    Time(Text),
    /// An attribute name is not lower-case letters and digits.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The envelope could not be read.
    #[error("not a CloudEvent in JSON: {0}")]
    Json(String),
    /// A member of the envelope appears twice.
    #[error("'{0}' appears twice; send it once")]
    Duplicate(Text),
    /// A member that is text by definition is something else.
    #[error("'{attribute}' is {found}; send it as a string")]
    NotText {
        /// Its name.
        attribute: &'static str,
        /// What it is instead.
        found: &'static str,
    },
    /// An extension attribute is neither text nor a boolean nor an integer.
    #[error("attribute '{attribute}' is {found}; extension attributes are strings, booleans or integers")]
    NotScalar {
        /// Its name.
        attribute: Name,
        /// What it is instead.
        found: &'static str,
    },
    /// `data` and `data_base64` at once.
    #[error("the event has both 'data' and 'data_base64'; send one of them")]
    TwoPayloads,
    /// `data_base64` does not decode.
    #[error("'data_base64' is not standard base64 with padding: {0}")]
    Base64(String),
    /// `data` is not a string although its media type is not JSON.
    #[error(
        "'data' is {found} although datacontenttype '{datacontenttype}' is not JSON; send it as a string, or as data_base64"
    )]
    NotEncoded {
        /// What it is instead.
        found: &'static str,
        /// The media type.
        datacontenttype: Text,
    },
}

/// The beginning of a text that somebody sent, for a message that must not grow with it.
fn excerpt(text: &str) -> Text {
    const MOST: usize = 120;
    if text.len() <= MOST {
        return text.into();
    }
    smol_str::format_smolstr!("{}...", beginning(text, MOST))
}

/// As much of a text as so many bytes hold, with no character cut in half.
pub(crate) fn beginning(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

impl Event {
    /// An event with its three required attributes, none of which may be empty.
    ///
    /// # Errors
    /// [`Invalid::Missing`] names the first one that is empty.
    pub fn new(id: Text, source: Text, r#type: Text) -> Result<Event, Invalid> {
        for (name, value) in [("id", &id), ("source", &source), ("type", &r#type)] {
            if value.is_empty() {
                return Err(Invalid::Missing(name));
            }
        }
        Ok(Event(Arc::new(Parts {
            id,
            source,
            r#type,
            subject: None,
            time: None,
            datacontenttype: None,
            dataschema: None,
            extensions: Extensions::new(),
            data: None,
            hop: None,
            received: Received::default(),
        })))
    }

    /// The parts, for changing them; those of a shared event are copied first.
    fn parts(&mut self) -> &mut Parts {
        Arc::make_mut(&mut self.0)
    }

    /// Notes when the event was received here, for one that does not go on at once.
    pub(crate) fn received_at(&mut self, at: Stamp) {
        self.parts().received = Received(at.0);
    }

    /// When the event was received here, if that was noted.
    pub(crate) fn received(&self) -> Option<Stamp> {
        Some(Stamp(self.0.received.0)).filter(|at| at.0 > 0)
    }

    /// Begins to change attributes; a shared event is copied once for all changes.
    pub fn edit(&mut self) -> Edit<'_> {
        Edit::new(self.parts())
    }

    /// The event with this `subject`.
    #[must_use]
    pub fn with_subject(mut self, subject: Text) -> Event {
        self.edit().subject(subject);
        self
    }

    /// The event with this `time`, kept in the sender's spelling.
    ///
    /// # Errors
    /// [`Invalid::Time`] when it is not RFC 3339.
    pub fn with_time(mut self, time: Text) -> Result<Event, Invalid> {
        self.edit().time(time)?;
        Ok(self)
    }

    /// The event with this payload and, where known, its media type.
    #[must_use]
    pub fn with_data(mut self, data: Bytes, datacontenttype: Option<Text>) -> Event {
        self.edit().data(data, datacontenttype);
        self
    }

    /// The event with this `datacontenttype`, whether or not it has data.
    #[must_use]
    pub fn with_datacontenttype(mut self, datacontenttype: Text) -> Event {
        self.edit().datacontenttype(datacontenttype);
        self
    }

    /// The event with this `dataschema`.
    #[must_use]
    pub fn with_dataschema(mut self, dataschema: Text) -> Event {
        self.edit().dataschema(dataschema);
        self
    }

    /// The event with this extension attribute, which replaces one of the same name.
    #[must_use]
    pub fn with_extension(mut self, name: Name, value: impl Into<Value>) -> Event {
        self.edit().extension(name, value);
        self
    }

    /// Sets any attribute from its text, as protocol bindings receive them; core attributes are checked.
    ///
    /// # Errors
    /// What the attribute refuses; an unknown `specversion` too.
    pub fn set(&mut self, name: &str, value: Text) -> Result<(), Invalid> {
        self.edit().set(name, value)
    }

    /// Identifies the event within its source.
    #[must_use]
    pub fn id(&self) -> &Text {
        &self.0.id
    }

    /// The context in which the event happened, a URI reference.
    #[must_use]
    pub fn source(&self) -> &Text {
        &self.0.source
    }

    /// The kind of occurrence, in reverse-DNS style.
    #[must_use]
    pub fn r#type(&self) -> &Text {
        &self.0.r#type
    }

    /// What within the source the event is about.
    #[must_use]
    pub fn subject(&self) -> Option<&Text> {
        self.0.subject.as_ref()
    }

    /// When it happened, RFC 3339 in the sender's spelling.
    #[must_use]
    pub fn time(&self) -> Option<&Text> {
        self.0.time.as_ref()
    }

    /// The media type of [`Event::data`].
    #[must_use]
    pub fn datacontenttype(&self) -> Option<&Text> {
        self.0.datacontenttype.as_ref()
    }

    /// The schema that the data follows, a URI.
    #[must_use]
    pub fn dataschema(&self) -> Option<&Text> {
        self.0.dataschema.as_ref()
    }

    /// The extension attributes in the order in which they were received.
    #[must_use]
    pub fn extensions(&self) -> &[(Name, Value)] {
        &self.0.extensions
    }

    /// One extension attribute.
    #[must_use]
    pub fn extension(&self, name: &str) -> Option<&Value> {
        self.0.extensions.iter().find(|(known, _)| known.as_str() == name).map(|(_, value)| value)
    }

    /// The payload, exactly the bytes that were received.
    #[must_use]
    pub fn data(&self) -> Option<&Bytes> {
        self.0.data.as_ref()
    }

    /// Any context attribute in its canonical text form, as filters and templates read it.
    #[must_use]
    pub fn attribute(&self, attribute: &Attribute) -> Option<Cow<'_, str>> {
        let text = match attribute {
            Attribute::SpecVersion => return Some(Cow::Borrowed("1.0")),
            Attribute::Id => Some(&self.0.id),
            Attribute::Source => Some(&self.0.source),
            Attribute::Type => Some(&self.0.r#type),
            Attribute::Subject => self.0.subject.as_ref(),
            Attribute::Time => self.0.time.as_ref(),
            Attribute::DataContentType => self.0.datacontenttype.as_ref(),
            Attribute::DataSchema => self.0.dataschema.as_ref(),
            Attribute::Extension(name) => return self.extension(name.as_str()).map(Value::text),
        };
        text.map(|text| Cow::Borrowed(text.as_str()))
    }

    /// The key that orders events: `partitionkey` when it is present and not empty.
    #[must_use]
    pub fn key(&self) -> Option<Cow<'_, str>> {
        self.extension("partitionkey").map(Value::text).filter(|key| !key.is_empty())
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
