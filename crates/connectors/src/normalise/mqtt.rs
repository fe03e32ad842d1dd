//! The MQTT protocol binding of CloudEvents.
//!
//! MQTT 5 says in its content type that a message is structured, and carries the attributes of a binary one as user
//! properties, whose names have no prefix. A message of MQTT 3.1.1 has neither, and keeps neither when a broker passes it
//! on to MQTT 5; so without a content type a JSON object with a `specversion` is a structured event too. Everything else
//! is a plain payload.

use std::sync::LazyLock;

use bytes::Bytes;
use engine::event::{Event, Name, Text, json};
use memchr::memmem;

use super::pattern::Filling;
use super::{Ids, NoEvent, Template, field};

/// What every structured event holds; building the searcher costs more than a search.
static MARK: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new(b"\"specversion\""));

/// How every media type of CloudEvents begins.
const MEDIA_TYPE: &str = "application/cloudevents";

/// A message as MQTT delivers it. `U` gives the user properties in the order in which they were sent.
#[derive(Clone, Debug)]
pub struct Message<'m, U> {
    /// The topic it was published to.
    pub topic: &'m str,
    /// What the topic's captures are, in the order of the template.
    pub captured: &'m [Option<&'m str>],
    /// The content type of MQTT 5.
    pub content_type: Option<&'m str>,
    /// Whether a user property is called `specversion`.
    pub binary: bool,
    /// The user properties of MQTT 5.
    pub user: U,
    /// The payload.
    pub payload: Bytes,
}

impl Template {
    /// The event that an MQTT message is, or that this template makes of it.
    ///
    /// # Errors
    /// [`NoEvent`] when it claims to be an event and is none, or the template cannot make one.
    pub fn mqtt<'m, U>(&self, ids: &mut Ids, message: Message<'m, U>) -> Result<Event, NoEvent>
    where
        U: Iterator<Item = (&'m str, &'m str)>,
    {
        let filling = Filling { captured: message.captured, whole: message.topic };
        let cloud_event = match message.content_type {
            Some(content_type) => format(content_type)?,
            None => false,
        };
        let event = if cloud_event {
            json::decode(&message.payload)?
        } else if message.binary {
            binary(message)?
        } else {
            if message.content_type.is_none()
                && let Some(event) = unmarked(&message.payload)?
            {
                return Ok(self.with_captures(event, filling));
            }
            return self.event(ids, filling, message.payload, message.content_type);
        };
        Ok(self.with_captures(event, filling))
    }
}

/// Whether a content type says that the payload is a whole event.
fn format(content_type: &str) -> Result<bool, NoEvent> {
    let Some((start, rest)) = content_type.split_at_checked(MEDIA_TYPE.len()) else { return Ok(false) };
    if !start.eq_ignore_ascii_case(MEDIA_TYPE) {
        return Ok(false);
    }
    let format = rest.split(';').next().unwrap_or_default().trim_end();
    match format.eq_ignore_ascii_case("+json") {
        true => Ok(true),
        false => Err(NoEvent::Format(content_type.chars().take(120).collect())),
    }
}

/// A structured event that nothing but its payload marks; nothing when it is a payload like any other.
fn unmarked(payload: &Bytes) -> Result<Option<Event>, NoEvent> {
    let object = payload.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
    if !object || MARK.find(payload).is_none() {
        return Ok(None);
    }
    match json::decode(payload) {
        Ok(event) => Ok(Some(event)),
        // Only a member of the envelope itself makes it an event that somebody got wrong.
        Err(invalid) if field::read(payload, "specversion").is_some() => Err(invalid.into()),
        Err(_) => Ok(None),
    }
}

/// An event whose attributes are the user properties.
fn binary<'m, U: Iterator<Item = (&'m str, &'m str)>>(message: Message<'m, U>) -> Result<Event, NoEvent> {
    // The required attributes may stand anywhere, and every other one has its place behind them.
    let (mut id, mut source, mut kind) = (Text::default(), Text::default(), Text::default());
    let mut rest = smallvec::SmallVec::<[(&str, &str); 8]>::new();
    for (name, value) in message.user {
        match name {
            "id" => id = value.into(),
            "source" => source = value.into(),
            "type" => kind = value.into(),
            other => rest.push((other, value)),
        }
    }
    let mut event = Event::new(id, source, kind)?.with_extension_capacity(rest.len() + message.captured.len());
    for (name, value) in rest {
        // Publishers repeat the content type here, as the specification's own example does; the property counts.
        let repeated = name == "datacontenttype" && message.content_type.is_some();
        if !repeated && (Name::new(name).is_ok() || is_core(name)) {
            event.set(name, value.into())?;
        }
    }
    if let Some(content_type) = message.content_type {
        event = event.with_datacontenttype(content_type.into());
    }
    if !message.payload.is_empty() {
        let media_type = event.datacontenttype().cloned();
        event = event.with_data(message.payload, media_type);
    }
    Ok(event)
}

/// Whether a user property that is no extension is an attribute all the same. Any other name, such as one in capitals,
/// belongs to the message and not to the event.
fn is_core(name: &str) -> bool {
    matches!(name, "specversion" | "subject" | "time" | "datacontenttype" | "dataschema")
}

#[cfg(test)]
mod tests;
