//! Names and values of context attributes.
//!
//! A [`Name`] is checked once, when a file is read or a message decoded, so that no hot path checks it again. Values keep
//! the types that JSON and the SDK can tell apart; everything else travels as its canonical string.

use std::borrow::Cow;
use std::fmt;

use super::{Text, Trace, excerpt};

/// A legal name of an extension attribute: one or more lower-case ASCII letters and digits, and no core attribute's name,
/// so that an event never has two attributes called alike.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Text);

/// Why a string is no attribute name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing, or characters other than `a-z` and `0-9`.
    #[error("'{0}' is no attribute name; use lower-case letters and digits only")]
    Characters(Text),
    /// The name of an attribute that every event knows; [`Attribute::named`] finds those.
    #[error("'{0}' is a core attribute and cannot be an extension; set it by its own name")]
    Core(Text),
    /// `data` names the payload.
    #[error("'{0}' names the payload and cannot be an attribute")]
    Reserved(Text),
}

impl Name {
    pub(super) const TRACEPARENT: Name = Name(Text::new_static(Trace::PARENT));
    pub(super) const TRACESTATE: Name = Name(Text::new_static(Trace::STATE));

    /// Checks a name.
    ///
    /// # Errors
    /// [`NameError`] when it has other characters, or names the payload or a core attribute.
    pub fn new(name: &str) -> Result<Name, NameError> {
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()) {
            return Err(NameError::Characters(excerpt(name)));
        }
        if name == "data" {
            return Err(NameError::Reserved(name.into()));
        }
        if Attribute::core(name).is_some() {
            return Err(NameError::Core(name.into()));
        }
        Ok(Name(name.into()))
    }

    /// The name itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A name that comes twice. Few names are compared with each other, many are sorted, so that a message full of names costs
/// no square of its size.
pub(super) fn twice<'n>(names: impl Iterator<Item = &'n Name> + Clone) -> Option<&'n Name> {
    const FEW: usize = 16;
    if names.clone().nth(FEW).is_none() {
        let mut before = names.clone().enumerate();
        return before.find(|(at, name)| names.clone().take(*at).any(|other| other == *name)).map(|(_, name)| name);
    }
    let mut sorted: Vec<&Name> = names.collect();
    sorted.sort_unstable();
    sorted.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
}

/// The value of an extension attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Text; also URIs, timestamps and base64, which no format tells apart.
    String(Text),
    /// A boolean.
    Boolean(bool),
    /// An integer; the specification guarantees 32 bits.
    Integer(i64),
}

impl Value {
    /// The canonical text form.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Value::String(text) => Cow::Borrowed(text.as_str()),
            Value::Boolean(true) => Cow::Borrowed("true"),
            Value::Boolean(false) => Cow::Borrowed("false"),
            Value::Integer(number) => Cow::Owned(number.to_string()),
        }
    }
}

impl From<Text> for Value {
    fn from(text: Text) -> Value {
        Value::String(text)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::String(text.into())
    }
}

impl From<Cow<'_, str>> for Value {
    fn from(text: Cow<'_, str>) -> Value {
        Value::String(Text::new(text))
    }
}

/// A context attribute that a filter, a template or an index reads.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Attribute {
    /// `specversion`, always 1.0.
    SpecVersion,
    /// `id`.
    Id,
    /// `source`.
    Source,
    /// `type`.
    Type,
    /// `subject`.
    Subject,
    /// `time`.
    Time,
    /// `datacontenttype`.
    DataContentType,
    /// `dataschema`.
    DataSchema,
    /// Any other.
    Extension(Name),
}

impl Attribute {
    /// The attribute of this name.
    ///
    /// # Errors
    /// [`NameError`] when no attribute can be called so.
    pub fn named(name: &str) -> Result<Attribute, NameError> {
        match Attribute::core(name) {
            Some(attribute) => Ok(attribute),
            None => Name::new(name).map(Attribute::Extension),
        }
    }

    /// The core attribute of this name.
    fn core(name: &str) -> Option<Attribute> {
        Some(match name {
            "specversion" => Attribute::SpecVersion,
            "id" => Attribute::Id,
            "source" => Attribute::Source,
            "type" => Attribute::Type,
            "subject" => Attribute::Subject,
            "time" => Attribute::Time,
            "datacontenttype" => Attribute::DataContentType,
            "dataschema" => Attribute::DataSchema,
            _ => return None,
        })
    }

    /// The attribute's name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Attribute::SpecVersion => "specversion",
            Attribute::Id => "id",
            Attribute::Source => "source",
            Attribute::Type => "type",
            Attribute::Subject => "subject",
            Attribute::Time => "time",
            Attribute::DataContentType => "datacontenttype",
            Attribute::DataSchema => "dataschema",
            Attribute::Extension(name) => name.as_str(),
        }
    }
}
