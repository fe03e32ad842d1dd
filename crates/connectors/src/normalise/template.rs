//! `event:` of a source, compiled: how a message that is not yet a CloudEvent becomes one.

use bytes::Bytes;
use engine::config::{Check, EventTemplate, Spanned};
use engine::event::{Attribute, Event, Name, Text};

use super::pattern::{Filling, Pattern, Slot};
use super::{NoEvent, field};

/// What a kind of source brings to its templates.
#[derive(Clone, Copy, Debug)]
pub struct Origin {
    /// The name of the whole that captures are taken from, usable like a capture: `topic`.
    pub whole: &'static str,
    /// The `type` of events whose template says none.
    pub r#type: &'static str,
    /// The `source` of events whose template says none, a pattern.
    pub source: &'static str,
}

/// The media type of a payload that says none.
const JSON: Text = Text::new_static("application/json");

/// The extension that orders events.
const PARTITION_KEY: &str = "partitionkey";

/// A compiled template.
#[derive(Clone, Debug)]
pub struct Template {
    r#type: Pattern,
    source: Pattern,
    subject: Option<Pattern>,
    datacontenttype: Text,
    /// Every extension attribute that the template gives, each name once.
    extensions: Vec<Extension>,
    /// The field of the payload that holds the id.
    id: Option<String>,
    /// What captures are called, in the order in which every message gives them.
    captures: Vec<Name>,
}

/// One extension attribute.
#[derive(Clone, Debug)]
struct Extension {
    name: Name,
    value: Pattern,
    given: Given,
}

/// When an event gets an extension attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Given {
    Always,
    /// When there is something in it.
    Filled,
    /// When the message has this capture.
    Captured(usize),
}

impl Template {
    /// Compiles `typed` for messages whose topics give `captures`. Says everything that is wrong to `check`.
    pub fn compile(typed: &EventTemplate, captures: &[Name], origin: &Origin, check: &mut Check) -> Template {
        let slot = |name: &str| match captures.iter().position(|known| known.as_str() == name) {
            Some(index) => Some(Slot::Capture(index)),
            None => (name == origin.whole).then_some(Slot::Whole),
        };
        let mut read = |typed: &Spanned<String>| {
            Pattern::parse(typed, slot).unwrap_or_else(|flaw| {
                let known: Vec<_> =
                    captures.iter().map(Name::as_str).chain([origin.whole]).map(|name| format!("{{{name}}}")).collect();
                let help = format!("use {}, or {{{{ for a literal brace", known.join(", "));
                check.error(typed.span.part(flaw.at, flaw.len), flaw.message, help);
                Pattern::Fixed(Text::default())
            })
        };
        let fallback = |text: &str| Pattern::parse(text, slot).unwrap_or(Pattern::Fixed(text.into()));
        let r#type = typed.r#type.as_ref().map_or_else(|| fallback(origin.r#type), &mut read);
        let source = typed.source.as_ref().map_or_else(|| fallback(origin.source), &mut read);
        let subject = typed.subject.as_ref().map(&mut read);
        let partitionkey = typed.partitionkey.as_ref().map(&mut read);
        let further: Vec<_> = typed.extensions.iter().map(|(name, value)| (name, read(value))).collect();
        let captured = |(index, name): (usize, &Name)| Extension {
            name: name.clone(),
            value: Pattern::One(Slot::Capture(index)),
            given: Given::Captured(index),
        };
        let mut extensions: Vec<Extension> = captures.iter().enumerate().map(captured).collect();
        // What is written in the file replaces what the topic says.
        let mut add = |name: Name, value, given| match extensions.iter_mut().find(|known| known.name == name) {
            Some(known) => (known.value, known.given) = (value, given),
            None => extensions.push(Extension { name, value, given }),
        };
        if let Some((name, value)) = Name::new(PARTITION_KEY).ok().zip(partitionkey) {
            add(name, value, Given::Filled);
        }
        for typed in [&typed.r#type, &typed.source].into_iter().flatten().filter(|typed| typed.is_empty()) {
            check.error(typed.span, "an event cannot have an empty type or source", "write one, or leave the key out");
        }
        for (name, value) in further {
            if let Some(name) = extension(name, check) {
                add(name, value, Given::Always);
            }
        }
        Template {
            r#type,
            source,
            subject,
            datacontenttype: typed.datacontenttype.as_ref().map_or(JSON, |typed| Text::new(&typed.value)),
            extensions,
            id: typed.id.as_ref().map(|typed| typed.value.clone()),
            captures: captures.to_vec(),
        }
    }

    /// Whether events need capture number `index`, so that every topic should have it.
    #[must_use]
    pub fn uses(&self, index: usize) -> bool {
        // That a capture becomes an attribute where there is one needs it of no event.
        let given = self.extensions.iter().filter(|extension| !matches!(extension.given, Given::Captured(_)));
        let named = given.map(|extension| &extension.value);
        [&self.r#type, &self.source].into_iter().chain(&self.subject).chain(named).any(|pattern| pattern.uses(index))
    }

    /// Makes an event of a message that is none; `id` is its id, unless a field holds it.
    pub(super) fn event(
        &self,
        id: impl FnOnce() -> Text,
        filling: Filling<'_>,
        payload: Bytes,
        content_type: Option<&str>,
    ) -> Result<Event, NoEvent> {
        let id = match &self.id {
            None => id(),
            Some(name) => field::read(&payload, name).ok_or_else(|| NoEvent::Field(name.clone()))?,
        };
        let mut event = Event::new(id, self.source.fill(filling), self.r#type.fill(filling))?;
        let mut edit = event.edit();
        if !payload.is_empty() {
            let media_type = content_type.map_or_else(|| self.datacontenttype.clone(), Text::new);
            edit.data(payload, Some(media_type));
        }
        let subject = self.subject.as_ref().map(|pattern| pattern.fill(filling));
        if let Some(subject) = subject.filter(|text| !text.is_empty()) {
            edit.subject(subject);
        }
        for Extension { name, value, given } in &self.extensions {
            let value = match given {
                Given::Captured(index) => filling.capture(*index).cloned(),
                Given::Filled => Some(value.fill(filling)).filter(|text| !text.is_empty()),
                Given::Always => Some(value.fill(filling)),
            };
            if let Some(value) = value {
                edit.absent_extension(name.clone(), value);
            }
        }
        Ok(event)
    }

    /// Adds what the topic says to an event that does not say it itself.
    pub(super) fn with_captures(&self, mut event: Event, filling: Filling<'_>) -> Event {
        for (index, name) in self.captures.iter().enumerate() {
            if let Some(value) = filling.capture(index).filter(|_| event.extension(name.as_str()).is_none()) {
                event.edit().absent_extension(name.clone(), value.clone());
            }
        }
        event
    }
}

/// The name under `extensions`, if it is one.
fn extension(typed: &Spanned<String>, check: &mut Check) -> Option<Name> {
    match Attribute::named(typed) {
        Ok(Attribute::Extension(name)) if name.as_str() != PARTITION_KEY => return Some(name),
        Ok(_) => {
            let message = format!("'{}' is no extension", typed.value);
            check.error(typed.span, message, format!("write {}: directly under event:, if it can be set", typed.value));
        }
        Err(cause) => check.error(typed.span, cause.to_string(), "such as tenant"),
    }
    None
}

#[cfg(test)]
mod tests;
