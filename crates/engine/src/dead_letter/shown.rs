//! A dead letter as others see it: one JSON object, or a CloudEvent that says in its attributes how it died.
//!
//! The event is the original with the attributes `dlq...` and Knative's `knativeerror...`; attributes of that name that an
//! earlier death has left are replaced, and never stored. A message that is no event becomes one of the type
//! `org.tidemill.undecodable` with its raw bytes as data.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

use super::{Content, Id, Letter, Reason};
use crate::event::json::encode_line;
use crate::event::{Event, Invalid, Name, Text, Value, beginning};
use crate::notice::{Failure, Notice};
use crate::store::Stamp;

/// What Knative keeps of an error, and what an attribute says of it: the largest that every protocol's headers bear.
const DATA_MAX: usize = 1024;
/// What an attribute says of a message that is no event, in bytes of names and values.
const FACTS_MAX: usize = 2048;

/// What stands before the event. A type, not a JSON tree, so that the members keep their order.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Head<'a> {
    id: String,
    reason: &'static str,
    attempts: u32,
    rule: Option<&'a str>,
    function: Option<&'a str>,
    source: Option<&'a str>,
    code: Option<&'a str>,
    message: &'a str,
    first_time: String,
    last_time: String,
    position: Option<&'a str>,
    redrives: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    edits: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    forward: Option<Way<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    facts: Option<BTreeMap<&'a str, &'a str>>,
}

/// How far it is on its way to an output.
#[derive(Serialize)]
struct Way<'a> {
    output: &'a str,
    progress: &'static str,
    time: Option<String>,
    error: Option<&'a str>,
}

impl Letter {
    /// Appends the letter as one JSON object on one line, without a line break: `id reason attempts rule function source
    /// code message firstTime lastTime position redrives event`, `forward` of what goes to an output besides, and `facts` of
    /// what is no event. A payload that is JSON stands in it byte for byte.
    pub fn write_json(&self, id: Id, into: &mut Vec<u8>) {
        let facts = match &self.content {
            Content::Event(_) => None,
            Content::Raw { facts, .. } => Some(facts.iter().map(|(name, value)| (&**name, &**value)).collect()),
        };
        let head = Head {
            id: id.to_string(),
            reason: self.reason.name(),
            attempts: self.attempts,
            rule: self.rule.as_deref(),
            function: self.function.as_deref(),
            source: self.source.as_deref(),
            code: self.code.as_deref(),
            message: &self.message,
            first_time: timestamp(self.first),
            last_time: timestamp(self.last),
            position: self.position.as_deref(),
            redrives: self.redrives,
            edits: (self.edits > 0).then_some(self.edits),
            forward: self.forward.as_ref().map(|forward| Way {
                output: &forward.output,
                progress: forward.progress.name(),
                time: forward.progress.time().map(timestamp),
                error: forward.progress.error(),
            }),
            facts,
        };
        // Text and numbers only: there is nothing that could fail.
        let head = serde_json::to_vec(&head).unwrap_or_default();
        // The event is appended as text: a JSON tree would rewrite its payload.
        into.extend_from_slice(head.strip_suffix(b"}").unwrap_or(&head));
        into.extend_from_slice(b",\"event\":");
        match self.event(id) {
            Ok(event) => encode_line(&event, into),
            Err(_) => into.extend_from_slice(b"null"),
        }
        into.push(b'}');
    }

    /// The event with everything in its attributes that is known of its death.
    ///
    /// # Errors
    /// [`Invalid`] when the attributes that a message is given that is no event are none either.
    pub fn event(&self, id: Id) -> Result<Event, Invalid> {
        let mut event = match &self.content {
            Content::Event(event) => event.clone(),
            Content::Raw { raw, .. } => self.wrapped(id, raw)?,
        };
        let mut edit = event.edit();
        edit.remove_extensions(is_ours);
        for (name, value) in self.attributes(id) {
            // Constants, which are names.
            if let Ok(name) = Name::new(name) {
                edit.extension(name, value);
            }
        }
        Ok(event)
    }

    /// What is told of the delivery that was given up; nothing of a message that is no event.
    pub(super) fn notice(&self, id: Id) -> Option<Event> {
        let (Content::Event(event), Some(rule)) = (&self.content, &self.rule) else { return None };
        let notice = Notice {
            rule,
            function: self.function.as_deref(),
            attempts: self.attempts,
            redrives: self.redrives,
            time: self.last,
            event,
        };
        notice.failed(&Failure {
            reason: self.reason.name(),
            code: self.code.as_deref(),
            message: &self.message,
            first: self.first,
            letter: id.to_string(),
        })
    }

    /// A message that is no event, as one.
    fn wrapped(&self, id: Id, raw: &Bytes) -> Result<Event, Invalid> {
        let source = format!("/tidemill/sources/{}", self.source.as_deref().unwrap_or_default());
        let event = Event::new(id.to_string().into(), source.into(), Text::new_static("org.tidemill.undecodable"))?;
        Ok(event.with_data(raw.clone(), Some(Text::new_static("application/octet-stream"))))
    }

    fn attributes(&self, id: Id) -> impl Iterator<Item = (&'static str, Value)> {
        let text = |text: &str| Value::String(text.into());
        let facts = match &self.content {
            Content::Event(_) => None,
            Content::Raw { facts, .. } => Some(Value::String(attribute(&some(facts)))),
        };
        let known = |option: &Option<Text>| option.as_ref().map(|text| Value::String(text.clone()));
        let data = beginning(&self.message, DATA_MAX);
        // Knative's code is a status of HTTP.
        let status = self.code.as_ref().and_then(|code| code.parse::<u16>().ok());
        [
            ("dlqid", Some(Value::String(id.to_string().into()))),
            ("dlqreason", Some(text(self.reason.name()))),
            ("dlqattempts", Some(Value::Integer(self.attempts.into()))),
            ("dlqrule", known(&self.rule)),
            ("dlqfunction", known(&self.function)),
            ("dlqsource", known(&self.source)),
            ("dlqcode", known(&self.code)),
            ("dlqmessage", Some(Value::String(attribute(data)))),
            ("dlqfirsttime", Some(text(&timestamp(self.first)))),
            ("dlqlasttime", Some(text(&timestamp(self.last)))),
            ("dlqposition", known(&self.position)),
            ("dlqredrives", Some(Value::Integer(self.redrives.into()))),
            ("dlqedits", (self.edits > 0).then(|| Value::Integer(self.edits.into()))),
            ("dlqfacts", facts),
            (
                "knativeerrordest",
                self.rule.as_ref().map(|rule| {
                    let noun = if self.reason == Reason::Unmatched { "triggers" } else { "rules" };
                    Value::String(format!("/tidemill/{noun}/{rule}").into())
                }),
            ),
            ("knativeerrorcode", status.map(|status| Value::Integer(status.into()))),
            ("knativeerrordata", Some(Value::String(STANDARD.encode(data).into()))),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
    }
}

/// Whether an attribute says how something died.
pub(super) fn is_ours(name: &str) -> bool {
    name.starts_with("dlq") || name.starts_with("knativeerror")
}

/// A text as an attribute may have it, which is without control characters.
fn attribute(text: &str) -> Text {
    if text.contains(char::is_control) { text.replace(char::is_control, " ").into() } else { text.into() }
}

/// Facts as one JSON object: the first ones, as far as there is room for them.
fn some(facts: &[(Text, Text)]) -> String {
    let mut room = FACTS_MAX;
    let fitting = facts.iter().take_while(|(name, value)| {
        let size = name.len() + value.len();
        let fits = size <= room;
        room = room.saturating_sub(size);
        fits
    });
    let fitting: BTreeMap<&str, &str> = fitting.map(|(name, value)| (&**name, &**value)).collect();
    // Text only: there is nothing that could fail.
    serde_json::to_string(&fitting).unwrap_or_default()
}

/// A time as files and attributes have it.
pub(crate) fn timestamp(stamp: Stamp) -> String {
    DateTime::<Utc>::from(stamp.time()).to_rfc3339_opts(SecondsFormat::Millis, true)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{exhausted, undecodable};
    use super::*;
    use crate::fake::event;

    fn id() -> Id {
        "01hf7yat3v00".parse().unwrap()
    }

    fn json(letter: &Letter) -> String {
        let mut text = Vec::new();
        letter.write_json(id(), &mut text);
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn a_delivery_says_how_it_died_and_keeps_its_payload_byte_for_byte() {
        let payload = r#"{"speed":1.10,"big":12345678901234567890123}"#;
        let mut kept = event("1").with_data(payload.into(), Some("application/json".into()));
        kept = kept.with_extension(Name::new("partitionkey").unwrap(), "v1");
        let expected = concat!(
            r#"{"id":"01hf7yat3v00","reason":"exhausted","attempts":5,"rule":"t/r","function":"f","source":null,"#,
            r#""code":"timeout","message":"it said \"no\"","firstTime":"2023-11-14T22:13:15.000Z","#,
            r#""lastTime":"2023-11-14T22:13:20.123Z","position":null,"redrives":0,"event":{"specversion":"1.0","#,
            r#""id":"1","source":"/fake","type":"fake","datacontenttype":"application/json","partitionkey":"v1","#,
            r#""dlqid":"01hf7yat3v00","dlqreason":"exhausted","dlqattempts":5,"dlqrule":"t/r","dlqfunction":"f","#,
            r#""dlqcode":"timeout","dlqmessage":"it said \"no\"","dlqfirsttime":"2023-11-14T22:13:15.000Z","#,
            r#""dlqlasttime":"2023-11-14T22:13:20.123Z","dlqredrives":0,"#,
            r#""knativeerrordest":"/tidemill/rules/t/r","knativeerrordata":"aXQgc2FpZCAibm8i","#,
            r#""data":{"speed":1.10,"big":12345678901234567890123}}}"#,
        );
        assert_eq!(json(&exhausted(kept)), expected);
    }

    #[test]
    fn a_message_that_is_no_event_is_wrapped_into_one() {
        let letter = undecodable(b"\xff\x00{");
        let tree: serde_json::Value = serde_json::from_str(&json(&letter)).unwrap();
        assert_eq!(
            (&tree["reason"], &tree["source"], &tree["rule"]),
            (&"undecodable".into(), &"fleet".into(), &serde_json::Value::Null)
        );
        assert_eq!(tree["facts"], serde_json::json!({ "qos": "1", "topic": "v1/\"a\"" }));
        assert_eq!((&tree["event"]["type"], &tree["event"]["id"]), (&"org.tidemill.undecodable".into(), &tree["id"]));
        assert_eq!(
            (&tree["event"]["data_base64"], &tree["event"]["source"]),
            (&"/wB7".into(), &"/tidemill/sources/fleet".into())
        );
        assert!(tree["event"].get("knativeerrordest").is_none() && tree["event"].get("dlqrule").is_none());
    }

    #[test]
    fn any_payload_survives_and_an_earlier_death_is_replaced() {
        let name = |name: &str| Name::new(name).unwrap();
        for payload in [&b"{\"a\":\n1}"[..], b"\xff\x00", b"{\"broken\":"] {
            let kept = event("1").with_data(payload.into(), Some("application/json".into()));
            let again =
                kept.clone().with_extension(name("dlqposition"), "old").with_extension(name("dlqreason"), "old");
            let text = json(&exhausted(again));
            assert!(!text.contains('\n') && !text.contains("old"), "{text}");
            let tree: serde_json::Value = serde_json::from_str(&text).unwrap();
            let mut back = crate::event::json::decode(&tree["event"].to_string().into()).unwrap();
            back.edit().remove_extensions(|name| name.starts_with("dlq") || name.starts_with("knative"));
            assert_eq!(back, kept);
        }
    }

    #[test]
    fn a_status_of_http_is_a_code_for_knative_too() {
        let letter = Letter { code: Some("503".into()), message: "x".repeat(3000).into(), ..exhausted(event("1")) };
        let event = letter.event(id()).unwrap();
        assert_eq!(event.extension("knativeerrorcode"), Some(&Value::Integer(503)));
        let data = event.extension("knativeerrordata").unwrap().text().into_owned();
        assert_eq!(STANDARD.decode(data).unwrap().len(), DATA_MAX);
    }
}
