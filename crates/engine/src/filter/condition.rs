//! One attribute compared with one text.
//!
//! Core attributes are read as borrowed text. A number is spelled on the stack, since the longest 64-bit integer fits
//! inline.

use smol_str::format_smolstr;

use crate::event::{Attribute, Event, Value};

/// An attribute and the text it is compared with, which is not empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    attribute: Attribute,
    text: Box<str>,
}

impl Condition {
    pub(super) fn new(attribute: Attribute, text: Box<str>) -> Condition {
        Condition { attribute, text }
    }

    pub(super) fn parts(&self) -> (&Attribute, &str) {
        (&self.attribute, &self.text)
    }

    pub(super) fn equals(&self, event: &Event) -> bool {
        self.holds(event, |value, text| value == text)
    }

    pub(super) fn begins(&self, event: &Event) -> bool {
        self.holds(event, |value, text| value.as_bytes().starts_with(text.as_bytes()))
    }

    pub(super) fn ends(&self, event: &Event) -> bool {
        self.holds(event, |value, text| value.as_bytes().ends_with(text.as_bytes()))
    }

    #[inline]
    fn holds(&self, event: &Event, compare: impl Fn(&str, &str) -> bool) -> bool {
        let value = match &self.attribute {
            Attribute::SpecVersion => Some("1.0"),
            Attribute::Id => Some(event.id().as_str()),
            Attribute::Source => Some(event.source().as_str()),
            Attribute::Type => Some(event.r#type().as_str()),
            Attribute::Subject => event.subject().map(|text| text.as_str()),
            Attribute::Time => event.time().map(|text| text.as_str()),
            Attribute::DataContentType => event.datacontenttype().map(|text| text.as_str()),
            Attribute::DataSchema => event.dataschema().map(|text| text.as_str()),
            Attribute::Extension(name) => match event.extension(name.as_str()) {
                None => None,
                Some(Value::String(text)) => Some(text.as_str()),
                Some(Value::Boolean(true)) => Some("true"),
                Some(Value::Boolean(false)) => Some("false"),
                Some(Value::Integer(number)) => return compare(&format_smolstr!("{number}"), &self.text),
            },
        };
        value.is_some_and(|value| compare(value, &self.text))
    }
}
