//! What the protocol bindings have in common: how a message is told to be an event, and what is made of it.
//!
//! A binding's own page says where its protocol keeps the attributes, what prefix their names have and how their values
//! are spelled. Decided here, for all of them: a media type of CloudEvents marks a structured event, a `specversion` among
//! the attributes marks a binary one, and what has no media type at all is a structured event when it is a JSON object
//! with a `specversion`, because older protocols and publishers can mark it in no other way. The rest is a plain payload.

use std::sync::LazyLock;

use bytes::Bytes;
use engine::event::{Event, Invalid, Name, Text, Value, json};
use memchr::memmem;
use smallvec::SmallVec;

use super::pattern::{Filling, texts};
use super::{Hop, NoEvent, Template, field};

/// What every structured event holds; building the searcher costs more than a search.
static MARK: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new(b"\"specversion\""));

/// How every media type of CloudEvents begins.
const MEDIA_TYPE: &str = "application/cloudevents";

/// The core attributes, the required ones first.
const CORE: [&str; 8] = ["id", "source", "type", "specversion", "subject", "time", "datacontenttype", "dataschema"];

/// A message as some protocol delivers it. `A` gives every attribute that the protocol carries beside the payload, its
/// name without a prefix and its value decoded, in the order in which they were sent.
#[derive(Clone, Debug)]
pub struct Received<'m, A> {
    /// What it was published to: a topic, a subject, a routing key.
    pub whole: &'m str,
    /// What the captures of the whole are, in the order of the template.
    pub captured: &'m [Option<&'m str>],
    /// The media type that the protocol says.
    pub content_type: Option<&'m str>,
    /// Whether one of the attributes is `specversion`.
    pub binary: bool,
    /// The attributes; read only when `binary` says so.
    pub attributes: A,
    /// What the headers say that belong to the hop.
    pub hop: Option<&'m Hop<'m>>,
    /// The payload.
    pub payload: Bytes,
}

impl Template {
    /// The event that a message is, or that this template makes of it; then `id` is its id, unless a field holds it.
    ///
    /// # Errors
    /// [`NoEvent`] when it claims to be an event and is none, or the template cannot make one.
    pub fn receive<'m, A, V>(&self, message: Received<'m, A>, id: impl FnOnce() -> Text) -> Result<Event, NoEvent>
    where
        A: Iterator<Item = Result<(&'m str, V), NoEvent>>,
        V: Into<Value>,
    {
        let hop = message.hop;
        let read = self.read(message, id);
        match hop.and_then(Hop::trace) {
            None => read,
            Some(trace) => read.map(|mut event| {
                event.carried_by(trace);
                event
            }),
        }
    }

    fn read<'m, A, V>(&self, message: Received<'m, A>, id: impl FnOnce() -> Text) -> Result<Event, NoEvent>
    where
        A: Iterator<Item = Result<(&'m str, V), NoEvent>>,
        V: Into<Value>,
    {
        let filling = Filling { captured: &texts(message.captured), whole: message.whole };
        let structured = message.content_type.map_or(Ok(false), is_structured)?;
        let event = if structured {
            json::decode(&message.payload)?
        } else if message.binary {
            binary(message)?
        } else {
            if message.content_type.is_none()
                && let Some(event) = unmarked(&message.payload)?
            {
                return Ok(self.with_captures(event, filling));
            }
            return self.event(id, filling, message.payload, message.content_type);
        };
        Ok(self.with_captures(event, filling))
    }
}

/// Whether a content type says that the payload is a whole event.
fn is_structured(content_type: &str) -> Result<bool, NoEvent> {
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

/// An event whose attributes stand beside its payload.
fn binary<'m, A, V>(message: Received<'m, A>) -> Result<Event, NoEvent>
where
    A: Iterator<Item = Result<(&'m str, V), NoEvent>>,
    V: Into<Value>,
{
    // The required attributes may stand anywhere, and every other one has its place behind them.
    let mut core = CORE.map(|name| (name, None));
    let mut extensions = SmallVec::<[(Name, Value); 8]>::new();
    for attribute in message.attributes {
        let (name, value) = attribute?;
        let value: Value = value.into();
        if let Some((name, place)) = core.iter_mut().find(|(known, _)| *known == name) {
            if place.replace(string(value)).is_some() {
                return Err(Invalid::Duplicate((*name).into()).into());
            }
        } else if let Ok(name) = Name::new(name) {
            extensions.push((name, value));
        }
        // Any other name, such as one in capitals, belongs to the message and not to the event.
    }
    let [(_, id), (_, source), (_, kind), more @ ..] = core;
    let mut event = Event::new(id.unwrap_or_default(), source.unwrap_or_default(), kind.unwrap_or_default())?;
    let mut edit = event.edit();
    edit.extensions(extensions)?;
    for (name, value) in more {
        let Some(value) = value else { continue };
        match message.content_type.filter(|_| name == "datacontenttype") {
            None => edit.set(name, value)?,
            // Publishers repeat the content type here, as specifications' own examples do.
            Some(said) if said.trim().eq_ignore_ascii_case(value.trim()) => {}
            Some(said) => return Err(two_types(&value, said)),
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

/// The text of a core attribute, which has no other type.
fn string(value: Value) -> Text {
    match value {
        Value::String(text) => text,
        other => Text::new(other.text()),
    }
}

fn two_types(attribute: &str, protocol: &str) -> NoEvent {
    let short = |text: &str| text.chars().take(120).collect();
    NoEvent::ContentTypes { attribute: short(attribute), protocol: short(protocol) }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use engine::config::{Check, EventTemplate};

    use super::*;
    use crate::normalise::Origin;

    type Attribute<'a> = Result<(&'a str, Cow<'a, str>), NoEvent>;

    fn event(attributes: &[Attribute<'_>]) -> Result<Event, NoEvent> {
        let origin = Origin { whole: "topic", r#type: "plain", source: "/{topic}" };
        let template = Template::compile(&EventTemplate::default(), &[], &origin, &mut Check::default());
        let message = Received {
            whole: "t",
            captured: &[],
            content_type: None,
            binary: attributes.iter().flatten().any(|(name, _)| *name == "specversion"),
            attributes: attributes.iter().cloned(),
            hop: None,
            payload: Bytes::from_static(b"x"),
        };
        template.receive(message, || "fresh".into())
    }

    fn with(more: &[Attribute<'static>]) -> Result<Event, NoEvent> {
        let core = [("specversion", "1.0"), ("type", "t"), ("source", "/s"), ("id", "e-1")];
        let mut attributes: Vec<Attribute<'_>> = core.map(|(name, value)| Ok((name, value.into()))).into();
        attributes.extend_from_slice(more);
        event(&attributes)
    }

    #[test]
    fn an_attribute_that_comes_twice_is_refused() {
        for name in ["id", "type", "subject", "tenant", "specversion", "datacontenttype"] {
            let twice = with(&[Ok((name, "a".into())), Ok((name, "b".into()))]);
            assert_eq!(twice, Err(NoEvent::Invalid(Invalid::Duplicate(name.into()))), "{name}");
        }
        let event = with(&[Ok(("X-Trace", "a".into())), Ok(("X-Trace", "b".into()))]).unwrap();
        assert_eq!(event.extensions(), [], "what is no attribute may come as often as it likes");
    }

    #[test]
    fn many_attributes_cost_no_square_of_their_number() {
        let names: Vec<String> = (0..100_000).map(|number| format!("a{number}")).collect();
        let core = ["specversion", "type", "source", "id"].map(|name| Ok((name, "1.0".into())));
        let many = names.iter().map(|name| Ok((name.as_str(), "x".into())));
        let mut attributes: Vec<Attribute<'_>> = core.into_iter().chain(many).collect();
        assert_eq!(event(&attributes).unwrap().extensions().len(), 100_000);
        attributes.push(Ok(("a7", "y".into())));
        assert_eq!(event(&attributes), Err(NoEvent::Invalid(Invalid::Duplicate("a7".into()))));
    }

    #[test]
    fn an_attribute_that_cannot_be_read_makes_it_no_event() {
        let flaw = NoEvent::Header { name: "ce-subject".into(), problem: "it is nonsense".into() };
        assert_eq!(with(&[Err(flaw.clone())]), Err(flaw.clone()));
        assert_eq!(flaw.to_string(), "header 'ce-subject' cannot be read: it is nonsense");
        let plain = event(&[Err(flaw)]).unwrap();
        assert_eq!(plain.id(), "fresh", "headers of a message that is no event mean nothing");
    }
}
