//! Every way in which an MQTT message is an event, claims to be one, or becomes one.

use engine::config::{Check, EventTemplate, Spanned};
use engine::event::{Invalid, Name};
use proptest::prelude::*;

use super::*;
use crate::normalise::Origin;

const CORE: [(&str, &str); 4] = [("specversion", "1.0"), ("id", "e-1"), ("type", "t"), ("source", "/s")];

fn template() -> Template {
    let origin = Origin { whole: "topic", r#type: "plain", source: "/{topic}" };
    let typed = EventTemplate {
        partitionkey: Some(Spanned { value: "{vehicle}".to_owned(), ..Spanned::default() }),
        ..EventTemplate::default()
    };
    let mut check = Check::default();
    let template = Template::compile(&typed, &[Name::new("vehicle").unwrap()], &origin, &mut check);
    assert!(!check.failed());
    template
}

fn event(content_type: Option<&str>, user: &[(&str, &str)], payload: &str) -> Result<Event, NoEvent> {
    let mut hop = Hop::default();
    user.iter().for_each(|(name, value)| hop.note(name.as_bytes(), value.as_bytes()));
    let message = Message {
        topic: "v1/veh-1",
        captured: &[Some("veh-1")],
        content_type,
        binary: user.iter().any(|(name, _)| *name == "specversion"),
        user: user.iter().copied(),
        hop: Some(&hop),
        payload: Bytes::copy_from_slice(payload.as_bytes()),
    };
    template().mqtt(&mut Ids::new(0), message)
}

fn extension(event: &Event, name: &str) -> Option<String> {
    event.extension(name).map(|value| value.text().into_owned())
}

#[test]
fn user_properties_make_a_binary_event() {
    let mut user = CORE.to_vec();
    user.extend([("subject", "veh"), ("time", "2026-11-21T06:58:00Z"), ("partitionkey", "k"), ("X-Trace", "1")]);
    let event = event(Some("application/json"), &user, r#"{"v":1.0}"#).unwrap();
    assert_eq!((event.id().as_str(), event.source().as_str(), event.r#type().as_str()), ("e-1", "/s", "t"));
    assert_eq!((event.subject().unwrap().as_str(), event.key().unwrap().as_ref()), ("veh", "k"));
    assert_eq!(event.datacontenttype().unwrap(), "application/json");
    assert_eq!(event.data().unwrap(), r#"{"v":1.0}"#);
    assert_eq!(extension(&event, "vehicle").as_deref(), Some("veh-1"));
    assert_eq!(event.extensions().len(), 2, "a name that is no attribute's stays with the message");
}

#[test]
fn a_content_type_may_be_repeated_and_two_are_one_too_many() {
    let mut user = CORE.to_vec();
    user.push(("datacontenttype", "text/plain"));
    assert_eq!(event(Some("text/plain"), &user, "a").unwrap().datacontenttype().unwrap(), "text/plain");
    let said = event(Some("text/csv"), &user, "a").unwrap_err().to_string();
    assert!(said.contains("datacontenttype is 'text/plain', and the message's own is 'text/csv'"), "{said}");
    assert_eq!(event(None, &user, "a").unwrap().datacontenttype().unwrap(), "text/plain");
}

#[test]
fn an_event_keeps_what_it_says_itself() {
    let mut user = CORE.to_vec();
    user.push(("vehicle", "own"));
    assert_eq!(extension(&event(None, &user, "").unwrap(), "vehicle").as_deref(), Some("own"));
}

#[test]
fn the_structured_mode_is_known_by_its_media_type_in_any_case() {
    let whole = r#"{"specversion":"1.0","id":"e-2","type":"t","source":"/s","data":{"n":1.10}}"#;
    for content_type in ["application/cloudevents+json", "Application/CloudEvents+JSON; charset=utf-8"] {
        let event = event(Some(content_type), &CORE, whole).unwrap();
        assert_eq!((event.id().as_str(), event.data().unwrap().as_ref()), ("e-2", &br#"{"n":1.10}"#[..]));
        assert_eq!(extension(&event, "vehicle").as_deref(), Some("veh-1"));
    }
}

#[test]
fn a_format_that_is_not_understood_is_no_event() {
    for content_type in
        ["application/cloudevents-batch+json", "application/cloudevents+avro", "application/cloudevents"]
    {
        assert_eq!(event(Some(content_type), &[], "{}"), Err(NoEvent::Format(content_type.to_owned())));
    }
}

#[test]
fn a_structured_event_from_an_older_publisher_needs_no_media_type() {
    let whole = r#" {"specversion":"1.0","id":"e-3","type":"t","source":"/s"}"#;
    assert_eq!(event(None, &[], whole).unwrap().id(), "e-3");
    let marked = event(Some("application/json"), &[], whole).unwrap();
    assert_eq!(marked.r#type(), "plain", "a media type that says otherwise is believed");
    let nested = event(None, &[], r#"{"inner":{"specversion":"1.0"}}"#).unwrap();
    assert_eq!(nested.r#type(), "plain");
}

#[test]
fn what_claims_to_be_an_event_and_is_none_is_refused() {
    assert_eq!(event(None, &CORE[..2], "x"), Err(NoEvent::Invalid(Invalid::Missing("source"))));
    assert!(matches!(event(Some("application/cloudevents+json"), &[], "nonsense"), Err(NoEvent::Invalid(_))));
    assert!(matches!(event(None, &[], r#"{"specversion":"1.0","id":""}"#), Err(NoEvent::Invalid(_))));
    let mut user = CORE.to_vec();
    user[0] = ("specversion", "0.3");
    assert!(matches!(event(None, &user, ""), Err(NoEvent::Invalid(Invalid::SpecVersion(_)))));
}

#[test]
fn a_trace_is_an_attribute_of_a_binary_message_and_the_hops_of_any_other() {
    let (hop, origin) = (
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    );
    let said = |event: &Event| (extension(event, "traceparent"), event.trace().map(|trace| trace.parent().to_owned()));
    let (ours, theirs) = (Some(hop.to_owned()), Some(origin.to_owned()));
    let user = [("traceparent", hop)];
    assert_eq!(said(&event(None, &[&CORE[..], &user].concat(), "x").unwrap()), (ours.clone(), ours.clone()));
    assert_eq!(said(&event(None, &user, "x").unwrap()), (ours.clone(), ours.clone()));
    let bare = r#"{"specversion":"1.0","id":"e-3","type":"t","source":"/s"}"#;
    let traced = bare.replace("\"id\"", &format!("\"traceparent\":\"{origin}\",\"id\""));
    for content_type in [None, Some("application/cloudevents+json")] {
        assert_eq!(said(&event(content_type, &user, bare).unwrap()), (ours.clone(), ours.clone()));
        assert_eq!(said(&event(content_type, &user, &traced).unwrap()), (theirs.clone(), ours.clone()));
        assert_eq!(said(&event(content_type, &[], &traced).unwrap()), (theirs.clone(), theirs.clone()));
    }
}

#[test]
fn anything_else_is_a_plain_payload() {
    for payload in ["", "17", "not json {\"specversion\"", "{\"a\":", "\u{0}binary"] {
        let event = event(None, &[("any", "thing")], payload).unwrap();
        assert_eq!((event.r#type().as_str(), event.source().as_str()), ("plain", "/v1/veh-1"), "{payload}");
        assert_eq!(event.key().unwrap(), "veh-1");
    }
    assert_eq!(event(Some("text/csv"), &[], "a,b").unwrap().datacontenttype().unwrap(), "text/csv");
}

proptest! {
    #[test]
    fn no_message_makes_it_panic_and_no_payload_is_touched(
        payload in prop::collection::vec(any::<u8>(), 0..80),
        content_type in prop::option::of("(application/(json|cloudevents)?(\\+json)?|[a-zé/+]{0,30})"),
        user in prop::collection::vec(("(id|source|type|time|specversion|[a-zA-Z]{0,5})", "[ -~é]{0,12}"), 0..8),
    ) {
        let user: Vec<_> = user.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let message = Message {
            topic: "t",
            captured: &[None],
            content_type: content_type.as_deref(),
            binary: user.iter().any(|(name, _)| *name == "specversion"),
            user: user.iter().copied(),
            hop: None,
            payload: Bytes::from(payload.clone()),
        };
        if let Ok(event) = template().mqtt(&mut Ids::new(0), message) {
            prop_assert_eq!(event.data().map_or(&b""[..], |data| data), &payload[..]);
        }
    }
}
