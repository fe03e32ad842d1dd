//! From an event to a message of NATS: its subject, its headers and its payload.
//!
//! Binary mode has the attributes in headers `ce-NAME`, `datacontenttype` among them, with everything but visible ASCII
//! percent-encoded; the media type stands in `Content-Type` too. Structured mode has the event in JSON. The trace goes on in
//! `traceparent` and `tracestate` in every mode.

use async_nats::HeaderMap;
use bytes::Bytes;
use connectors::normalise::prefix;
use engine::event::{Event, json};

use crate::message::{Mode, STRUCTURED, Template, attributes, content_type, hop, percent};

/// The longest subject, in bytes, below what a server reads of one line.
const SUBJECT: usize = 3000;

/// How events become messages.
#[derive(Clone, Debug)]
pub(super) struct Form {
    pub(super) subject: Template,
    pub(super) jetstream: bool,
    pub(super) mode: Mode,
}

/// A message that is ready to be sent.
#[derive(Clone, Debug)]
pub(super) struct Parcel {
    pub(super) subject: String,
    pub(super) headers: HeaderMap,
    pub(super) payload: Bytes,
}

impl Form {
    /// The message for `event`, published by the output `name`; or why there is none.
    pub(super) fn parcel(&self, name: &str, event: &Event) -> Result<Parcel, String> {
        let mut buffer = String::new();
        let subject = self.subject.fill(event, &mut buffer).map_err(|missing| {
            format!("{missing}, which the subject needs; write one that every event has, or filter these events out")
        })?;
        if let Some(flaw) = flaw(subject) {
            let shown: String = subject.chars().take(120).collect();
            return Err(format!("the subject {flaw}: '{shown}'; name another attribute, or filter these events out"));
        }
        let subject = subject.to_owned();
        let mut headers = HeaderMap::new();
        let payload = match self.mode {
            Mode::Binary => {
                for (name, value) in attributes(event) {
                    headers.insert(format!("ce-{name}"), percent(&value).into_owned());
                }
                if let Some(media_type) = content_type(event) {
                    headers.insert("ce-datacontenttype", percent(media_type).into_owned());
                    headers.insert("Content-Type", percent_spared(media_type));
                }
                event.data().cloned().unwrap_or_default()
            }
            Mode::Structured => {
                headers.insert("Content-Type", STRUCTURED);
                let mut text = Vec::new();
                json::encode(event, &mut text);
                text.into()
            }
            Mode::Payload => event.data().cloned().unwrap_or_default(),
        };
        for (name, value) in hop(event) {
            headers.insert(name, value);
        }
        if self.jetstream {
            headers.insert("Nats-Msg-Id", id(name, &subject, event));
        }
        Ok(Parcel { subject, headers, payload })
    }
}

/// What makes this message the same as another: the event's identity, where it goes and who sends it. A stream drops what
/// has the id of another message, so nothing less would do.
fn id(name: &str, subject: &str, event: &Event) -> String {
    let rest = prefix(&[name.as_bytes(), subject.as_bytes(), event.source().as_bytes()]);
    format!("{}-{rest:016x}", percent(event.id()))
}

/// A media type as it stands in a header of its own: spaces and quotes belong to it, line breaks to nothing.
fn percent_spared(media_type: &str) -> String {
    match media_type.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        true => media_type.to_owned(),
        false => percent(media_type).into_owned(),
    }
}

/// What is wrong with a subject to publish to.
pub(super) fn flaw(subject: &str) -> Option<&'static str> {
    if subject.is_empty() {
        return Some("is empty");
    }
    if subject.len() > SUBJECT {
        return Some("is longer than 3000 bytes");
    }
    if subject.chars().any(|character| character.is_whitespace() || character.is_control()) {
        return Some("holds white space");
    }
    if subject.split('.').any(|token| token == "*" || token == ">") {
        return Some("holds a wildcard");
    }
    subject.split('.').any(str::is_empty).then_some("has an empty token")
}

#[cfg(test)]
mod tests {
    use engine::config::{Check, Spanned};
    use engine::event::Name;

    use super::*;
    use crate::tests::{HOP, ORIGIN, traced};

    fn form(subject: &str, mode: Mode) -> Form {
        let typed = Spanned { value: subject.to_owned(), ..Spanned::default() };
        Form { subject: Template::compile(&typed, &mut Check::default()), jetstream: true, mode }
    }

    fn event() -> Event {
        Event::new("e 1".into(), "/fleet/é".into(), "org.example.alert".into())
            .unwrap()
            .with_subject("100%".into())
            .with_extension(Name::new("count").unwrap(), "7")
            .with_data(Bytes::from_static(b"{\"n\":1.10}"), Some("application/json; q=\"1\"".into()))
    }

    fn header(parcel: &Parcel, name: &str) -> String {
        parcel.headers.get(name).map(|value| value.as_str().to_owned()).unwrap_or_default()
    }

    #[test]
    fn attributes_stand_in_headers_and_the_payload_is_the_data() {
        let parcel = form("alerts.{type}", Mode::Binary).parcel("out", &event()).unwrap();
        assert_eq!(
            (parcel.subject.as_str(), parcel.payload.as_ref()),
            ("alerts.org.example.alert", &b"{\"n\":1.10}"[..])
        );
        for (name, value) in [
            ("ce-specversion", "1.0"),
            ("ce-id", "e%201"),
            ("ce-source", "/fleet/%C3%A9"),
            ("ce-type", "org.example.alert"),
            ("ce-subject", "100%25"),
            ("ce-count", "7"),
            ("ce-datacontenttype", "application/json;%20q=%221%22"),
            ("Content-Type", "application/json; q=\"1\""),
        ] {
            assert_eq!(header(&parcel, name), value, "{name}");
        }
    }

    #[test]
    fn the_whole_event_is_the_payload() {
        let parcel = form("alerts", Mode::Structured).parcel("out", &event()).unwrap();
        assert_eq!(header(&parcel, "Content-Type"), STRUCTURED);
        assert_eq!(json::decode(&parcel.payload).unwrap(), event());
        assert_eq!(header(&parcel, "ce-id"), "");
        let parcel = form("alerts", Mode::Payload).parcel("out", &event()).unwrap();
        assert_eq!(parcel.payload.as_ref(), b"{\"n\":1.10}");
        assert_eq!(parcel.headers.len(), 1, "what a stream drops repetitions by: {:?}", parcel.headers);
    }

    #[test]
    fn the_trace_goes_on_in_headers_of_its_own() {
        for (mode, attribute) in [(Mode::Binary, ORIGIN), (Mode::Structured, ""), (Mode::Payload, "")] {
            let parcel = form("alerts", mode).parcel("out", &traced(event())).unwrap();
            let said = ["ce-traceparent", "traceparent", "tracestate"].map(|name| header(&parcel, name));
            assert_eq!(said, [attribute, HOP, "rojo=1,\tcongo=a b"], "{mode:?}");
        }
    }

    #[test]
    fn a_message_is_the_same_only_for_one_event_subject_and_output() {
        let id = |subject: &str, name: &str, event: &Event| {
            header(&form(subject, Mode::Binary).parcel(name, event).unwrap(), "Nats-Msg-Id")
        };
        let other = Event::new("e 1".into(), "/other".into(), "t".into()).unwrap();
        let first = id("a", "out", &event());
        assert!(first.starts_with("e%201-"), "{first}");
        assert_eq!(first, id("a", "out", &event()));
        assert!(
            [id("b", "out", &event()), id("a", "two", &event()), id("a", "out", &other)].iter().all(|id| *id != first)
        );
        let core = Form { jetstream: false, ..form("a", Mode::Binary) };
        assert_eq!(header(&core.parcel("out", &event()).unwrap(), "Nats-Msg-Id"), "");
    }

    #[test]
    fn a_subject_that_cannot_be_is_refused_in_words() {
        let refused = |subject: &str| form(subject, Mode::Binary).parcel("out", &event()).unwrap_err();
        assert!(refused("a.{tenant}").contains("no attribute 'tenant'"));
        assert!(refused("a.{id}").contains("holds white space: 'a.e 1'"));
        assert_eq!(flaw("a.*"), Some("holds a wildcard"));
        assert_eq!(flaw("a*.b>"), None);
        assert_eq!(flaw("a."), Some("has an empty token"));
        assert_eq!(flaw(&"a".repeat(3001)), Some("is longer than 3000 bytes"));
    }
}
