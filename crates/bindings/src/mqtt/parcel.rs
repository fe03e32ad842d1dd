//! From an event to a message: its topic, its properties and its payload.
//!
//! Binary mode has the attributes as user properties under their own names, without a prefix, and the media type in the
//! property Content Type; structured mode has the event in JSON, which Content Type says where there are properties, and user
//! properties `traceparent` and `tracestate` that carry the trace on. In binary mode those names are the attributes', so that
//! the event's own trace stands there and the hop's nowhere.

use bytes::Bytes;
use connectors::mqtt::{Message, properties, text_flaw, topic_flaw};
use engine::event::{Event, json};

use crate::message::{Mode, STRUCTURED, Template, attributes, content_type, hop};

/// How events become messages.
#[derive(Clone, Debug)]
pub(super) struct Form {
    pub(super) topic: Template,
    pub(super) mode: Mode,
    /// Whether messages have properties; binary mode needs them.
    pub(super) five: bool,
}

/// A message that is ready to be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Parcel {
    pub(super) topic: Box<str>,
    pub(super) properties: Bytes,
    pub(super) payload: Bytes,
}

impl Parcel {
    /// As a connection takes it.
    pub(super) fn message(&self) -> Message<'_> {
        Message { topic: &self.topic, properties: &self.properties, payload: &self.payload }
    }
}

impl Form {
    /// The message for `event`, or why there is none.
    pub(super) fn parcel(&self, event: &Event) -> Result<Parcel, String> {
        let mut buffer = String::new();
        let topic = self.topic.fill(event, &mut buffer).map_err(|missing| {
            format!("{missing}, which the topic needs; write one that every event has, or filter these events out")
        })?;
        if let Some(flaw) = topic_flaw(topic) {
            let shown: String = topic.chars().take(120).collect();
            let shown = shown.escape_debug();
            return Err(format!("the topic {flaw}: '{shown}'; name another attribute, or filter these events out"));
        }
        let (properties, payload) = match self.mode {
            Mode::Binary => (binary(event)?, event.data().cloned().unwrap_or_default()),
            Mode::Structured => {
                let mut text = Vec::new();
                json::encode(event, &mut text);
                (if self.five { carrying_on(Some(STRUCTURED), event) } else { Bytes::new() }, text.into())
            }
            Mode::Payload => {
                let media_type = content_type(event).filter(|_| self.five);
                if let Some(flaw) = media_type.and_then(text_flaw) {
                    return Err(format!("attribute 'datacontenttype' {flaw}, which no content type can"));
                }
                let said = if self.five { carrying_on(media_type, event) } else { Bytes::new() };
                (said, event.data().cloned().unwrap_or_default())
            }
        };
        Ok(Parcel { topic: topic.into(), properties, payload })
    }
}

/// The properties of a message that carries the trace on beside its payload.
fn carrying_on(media_type: Option<&str>, event: &Event) -> Bytes {
    // Some of what separates the members of a state is no text of MQTT.
    properties(media_type, hop(event).filter(|(_, value)| text_flaw(value).is_none()))
}

/// The properties of a binary message.
fn binary(event: &Event) -> Result<Bytes, String> {
    let media_type = content_type(event);
    let typed = media_type.map(|text| ("datacontenttype", text));
    let texts = attributes(event).map(|(name, value)| (name, text_flaw(name).or_else(|| text_flaw(&value))));
    let flawed = typed.map(|(name, text)| (name, text_flaw(text))).into_iter().chain(texts);
    for (name, flaw) in flawed {
        if let Some(flaw) = flaw {
            let shown: String = name.chars().take(60).collect();
            return Err(format!("attribute '{shown}' {flaw}, which no user property can; use mode: structured"));
        }
    }
    Ok(properties(media_type, attributes(event)))
}

#[cfg(test)]
mod tests {
    use engine::config::{Check, Spanned};
    use engine::event::Name;

    use super::*;
    use crate::tests::{HOP, ORIGIN, traced};

    fn form(topic: &str, mode: Mode) -> Form {
        let typed = Spanned { value: topic.to_owned(), ..Spanned::default() };
        Form { topic: Template::compile(&typed, &mut Check::default()), mode, five: true }
    }

    fn event() -> Event {
        Event::new("e 1".into(), "/fleet/é".into(), "org.example.alert".into())
            .unwrap()
            .with_extension(Name::new("count").unwrap(), "7")
            .with_data(Bytes::from_static(b"{\"n\":1.10}"), None)
    }

    #[test]
    fn attributes_are_user_properties_without_a_prefix_and_the_payload_is_the_data() {
        let parcel = form("alerts/{type}", Mode::Binary).parcel(&event()).unwrap();
        assert_eq!((&*parcel.topic, parcel.payload.as_ref()), ("alerts/org.example.alert", &b"{\"n\":1.10}"[..]));
        let expected = [
            ("specversion", "1.0"),
            ("id", "e 1"),
            ("source", "/fleet/é"),
            ("type", "org.example.alert"),
            ("count", "7"),
        ];
        assert_eq!(parcel.properties, properties(Some("application/json"), expected.into_iter()));
        let bare = Event::new("1".into(), "/s".into(), "t".into()).unwrap();
        let parcel = form("a", Mode::Binary).parcel(&bare).unwrap();
        let expected = [("specversion", "1.0"), ("id", "1"), ("source", "/s"), ("type", "t")];
        assert_eq!((parcel.properties, parcel.payload), (properties(None, expected.into_iter()), Bytes::new()));
    }

    #[test]
    fn the_whole_event_is_the_payload_and_only_five_says_so() {
        let mut form = form("alerts", Mode::Structured);
        let parcel = form.parcel(&event()).unwrap();
        assert_eq!(json::decode(&parcel.payload).unwrap().data(), event().data());
        assert_eq!(parcel.properties, properties(Some(STRUCTURED), std::iter::empty::<(&str, &str)>()));
        form.five = false;
        assert_eq!(form.parcel(&event()).unwrap(), Parcel { properties: Bytes::new(), ..parcel });
    }

    #[test]
    fn the_data_alone_has_its_media_type_where_there_is_a_place_for_it() {
        let mut form = form("alerts", Mode::Payload);
        let parcel = form.parcel(&event()).unwrap();
        let typed = properties(Some("application/json"), std::iter::empty::<(&str, &str)>());
        assert_eq!((parcel.properties, parcel.payload.as_ref()), (typed, &b"{\"n\":1.10}"[..]));
        let odd = event().with_datacontenttype("text/\u{1}".into());
        assert!(form.parcel(&odd).unwrap_err().contains("datacontenttype"));
        form.five = false;
        let parcel = form.parcel(&odd).unwrap();
        assert_eq!((parcel.properties, parcel.payload.as_ref()), (Bytes::new(), &b"{\"n\":1.10}"[..]));
    }

    #[test]
    fn the_trace_goes_on_beside_a_structured_event_and_is_the_attribute_of_a_binary_one() {
        let event = traced(event());
        let mut form = form("alerts", Mode::Structured);
        let parcel = form.parcel(&event).unwrap();
        assert_eq!(parcel.properties, properties(Some(STRUCTURED), [("traceparent", HOP)].into_iter()), "no tab");
        form.mode = Mode::Payload;
        let alone = form.parcel(&event).unwrap().properties;
        assert_eq!(alone, properties(Some("application/json"), [("traceparent", HOP)].into_iter()));
        form.five = false;
        assert_eq!(form.parcel(&event).unwrap().properties, Bytes::new());
        let parcel = Form { mode: Mode::Binary, ..form }.parcel(&event).unwrap();
        let once = |part: &str| parcel.properties.windows(part.len()).filter(|text| *text == part.as_bytes()).count();
        assert_eq!((once("traceparent"), once("tracestate"), once(ORIGIN), once(HOP)), (1, 0, 1, 0));
    }

    #[test]
    fn what_a_broker_would_end_the_connection_over_is_refused_in_words() {
        let refused = |topic: &str, event: Event| form(topic, Mode::Binary).parcel(&event).unwrap_err();
        let tenant = |text: &str| event().with_extension(Name::new("tenant").unwrap(), text);
        assert!(refused("a/{tenant}", event()).contains("no attribute 'tenant'"));
        for (text, part) in [
            ("b/+", "the topic holds a wildcard, + or #: 'a/b/+'"),
            ("#", "wildcard"),
            ("b\0", "the topic holds a null character: 'a/b\\0'"),
            ("b\u{7f}", "control character"),
        ] {
            assert!(refused("a/{tenant}", tenant(text)).contains(part), "{text:?}");
        }
        assert!(refused("a/{tenant}", tenant(&"x".repeat(65_535))).contains("longer than 65535 bytes: 'a/xxx"));
        let said = refused("a", tenant("line\nbreak"));
        assert!(said.contains("attribute 'tenant' holds a control character") && said.contains("structured"), "{said}");
        assert!(refused("a", tenant(&"x".repeat(65_536))).contains("attribute 'tenant' is longer"));
        let media = event().with_datacontenttype("text/\u{1}".into());
        assert!(refused("a", media).contains("attribute 'datacontenttype' holds a control"));
        assert!(form("a", Mode::Structured).parcel(&tenant("line\nbreak")).is_ok());
    }
}
