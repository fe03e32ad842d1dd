//! Every way in which an AMQP message is an event, claims to be one, or becomes one.

use engine::config::{Check, EventTemplate, Spanned};
use engine::event::Invalid;
use proptest::prelude::*;

use super::*;
use crate::normalise::Origin;

const CORE: [(&str, Field<'static>); 4] = [
    ("cloudEvents:specversion", Field::Text(b"1.0")),
    ("cloudEvents:id", Field::Text(b"e-1")),
    ("cloudEvents:type", Field::Text(b"t")),
    ("cloudEvents:source", Field::Text(b"/s")),
];

fn template() -> Template {
    let origin = Origin { whole: "routingKey", r#type: "plain", source: "/{routingKey}" };
    let typed = EventTemplate {
        partitionkey: Some(Spanned { value: "{vehicle}".to_owned(), ..Spanned::default() }),
        ..EventTemplate::default()
    };
    let mut check = Check::default();
    let template = Template::compile(&typed, &[Name::new("vehicle").unwrap()], &origin, &mut check);
    assert!(!check.failed());
    template
}

fn event(content_type: Option<&str>, headers: &[(&str, Field<'_>)], payload: &str) -> Result<Event, NoEvent> {
    let message = Posted {
        exchange: "fleet",
        routing_key: "v1.veh-1",
        redelivered: true,
        captured: &[Some("veh-1")],
        content_type: content_type.map(str::as_bytes),
        headers: headers.iter().map(|(name, value)| (name.as_bytes(), *value)),
        payload: Bytes::copy_from_slice(payload.as_bytes()),
    };
    template().amqp(&mut Ids::new(0), message)
}

fn extension(event: &Event, name: &str) -> Option<String> {
    event.extension(name).map(|value| value.text().into_owned())
}

#[test]
fn headers_with_the_prefix_make_a_binary_event_and_others_belong_to_the_message() {
    let mut headers = CORE.to_vec();
    headers.extend([
        ("cloudEvents:subject", Field::Text("50 % é".as_bytes())),
        ("cloudEvents:time", Field::Timestamp(1_795_244_280)),
        ("cloudEvents:partitionkey", Field::Text(b"k")),
        ("cloudEvents:urgent", Field::Boolean(true)),
        ("cloudEvents:count", Field::Integer(-7)),
        ("cloudEvents:large", Field::Integer(1 << 40)),
        ("cloudEvents:mark", Field::Bytes(&[0xff, 0])),
        ("cloudEvents:absent", Field::Void),
        ("cloudEvents:Capital", Field::Text(b"x")),
        ("x-death", Field::Other("an array")),
        ("priority", Field::Other("a decimal")),
    ]);
    let event = event(Some("application/json"), &headers, r#"{"v":1.0}"#).unwrap();
    assert_eq!((event.id().as_str(), event.source().as_str(), event.r#type().as_str()), ("e-1", "/s", "t"));
    assert_eq!(event.subject().unwrap(), "50 % é");
    assert_eq!(event.time().unwrap(), "2026-11-21T06:58:00Z");
    assert_eq!(event.datacontenttype().unwrap(), "application/json");
    assert_eq!(event.data().unwrap(), r#"{"v":1.0}"#);
    for (name, value) in [
        ("partitionkey", "k"),
        ("urgent", "true"),
        ("count", "-7"),
        ("mark", "/wA="),
        ("vehicle", "veh-1"),
        ("amqpexchange", "fleet"),
        ("amqproutingkey", "v1.veh-1"),
        ("amqpredelivered", "true"),
    ] {
        assert_eq!(extension(&event, name).as_deref(), Some(value), "{name}");
    }
    assert_eq!(event.extensions().len(), 9);
    let typed = ["urgent", "count", "large"].map(|name| event.extension(name).unwrap().clone());
    assert_eq!(typed, [Value::Boolean(true), Value::Integer(-7), "1099511627776".into()]);
}

#[test]
fn headers_without_the_prefix_can_be_those_of_the_hop() {
    const ORIGIN: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const HOP: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let said = |headers: &[(&str, Field<'_>)]| {
        let event = event(None, &[&CORE[..], headers].concat(), "x").unwrap();
        (extension(&event, "traceparent"), event.trace().map(|trace| trace.parent().to_owned()))
    };
    let (ours, theirs) = (Some(HOP.to_owned()), Some(ORIGIN.to_owned()));
    let own = ("cloudEvents:traceparent", Field::Text(ORIGIN.as_bytes()));
    for value in [Field::Text(HOP.as_bytes()), Field::Bytes(HOP.as_bytes())] {
        assert_eq!(said(&[("traceparent", value)]), (ours.clone(), ours.clone()));
        assert_eq!(said(&[own, ("traceparent", value)]), (theirs.clone(), ours.clone()));
    }
    for value in [Field::Other("a table"), Field::Integer(7), Field::Void, Field::Text(b"\xff")] {
        assert_eq!(said(&[("traceparent", value)]), (None, None));
    }
}

#[test]
fn the_other_separator_is_accepted_and_both_at_once_are_one_attribute_twice() {
    let others = ["specversion", "id", "type", "source"].map(|name| format!("cloudEvents_{name}"));
    let values: [&[u8]; 4] = [b"1.0", b"e-2", b"t", b"/s"];
    let mut headers: Vec<_> = others.iter().map(String::as_str).zip(values.map(Field::Text)).collect();
    assert_eq!(event(None, &headers, "x").unwrap().id(), "e-2");
    headers.push(("cloudEvents:id", Field::Text(b"e-3")));
    assert_eq!(event(None, &headers, "x"), Err(NoEvent::Invalid(Invalid::Duplicate("id".into()))));
}

#[test]
fn what_the_sdk_for_python_makes_of_an_event_is_one() {
    let knative = ["specversion", "id", "type", "source", "time"].map(|name| format!("ce-{name}"));
    let values: [&[u8]; 5] = [b"1.0", b"e-4", b"t", b"/s", b"2026-11-21T06:58:00Z"];
    let headers: Vec<_> = knative.iter().map(String::as_str).zip(values.map(Field::Text)).collect();
    let read = event(Some("application/json"), &headers, "1").unwrap();
    assert_eq!((read.id().as_str(), read.time().unwrap().as_str()), ("e-4", "2026-11-21T06:58:00Z"));
    for (milliseconds, time) in [
        (1_795_244_280_120, "2026-11-21T06:58:00.120Z"),
        (1_795_244_280_007, "2026-11-21T06:58:00.007Z"),
        (1_795_244_280_000, "2026-11-21T06:58:00Z"),
        (0, "1970-01-01T00:00:00Z"),
    ] {
        let headers = [&CORE[..], &[("cloudEvents_time", Field::Integer(milliseconds))]].concat();
        assert_eq!(event(None, &headers, "1").unwrap().time().unwrap(), time);
    }
    for milliseconds in [-1, 253_402_300_800_000] {
        let headers = [&CORE[..], &[("cloudEvents_time", Field::Integer(milliseconds))]].concat();
        let said = event(None, &headers, "1").unwrap_err().to_string();
        assert!(said.contains("'cloudEvents:time'") && said.contains("between the years 1970 and 9999"), "{said}");
    }
}

#[test]
fn what_no_attribute_can_be_makes_it_no_event() {
    for (value, part) in [
        (Field::Other("a table"), "it is a table"),
        (Field::Other("a decimal"), "it is a decimal"),
        (Field::Text(b"ok\xff"), "not UTF-8 from byte 2 on"),
        (Field::Timestamp(u64::MAX), "beyond the year 9999"),
    ] {
        let mut headers = CORE.to_vec();
        headers.push(("cloudEvents:tenant", value));
        let said = event(None, &headers, "x").unwrap_err().to_string();
        assert!(said.contains("cloudEvents:tenant") && said.contains(part), "{said}");
        let plain = event(None, &headers[4..], "x").unwrap();
        assert_eq!(plain.r#type(), "plain", "without specversion it claims nothing");
    }
}

#[test]
fn what_was_said_of_an_earlier_message_is_forgotten() {
    let mut headers = CORE.to_vec();
    headers.extend([
        ("cloudEvents:amqpexchange", Field::Text(b"old")),
        ("cloudEvents:amqproutingkey", Field::Other("a table")),
    ]);
    let binary = event(None, &headers, "x").unwrap();
    assert_eq!(extension(&binary, "amqpexchange").as_deref(), Some("fleet"));
    let whole = r#"{"specversion":"1.0","id":"e-2","type":"t","source":"/s","amqpredelivered":false}"#;
    let structured = event(Some("application/cloudevents+json"), &[], whole).unwrap();
    assert_eq!(extension(&structured, "amqpredelivered").as_deref(), Some("true"));
    assert_eq!(structured.extensions().iter().filter(|(name, _)| name.as_str() == "amqpredelivered").count(), 1);
}

#[test]
fn structured_and_plain_messages_are_told_by_their_content_type() {
    let whole = r#"{"specversion":"1.0","id":"e-2","type":"t","source":"/s","data":{"n":1.10}}"#;
    let structured = event(Some("Application/CloudEvents+JSON; charset=utf-8"), &CORE, whole).unwrap();
    assert_eq!((structured.id().as_str(), structured.data().unwrap().as_ref()), ("e-2", &br#"{"n":1.10}"#[..]));
    let marked = event(Some("application/json"), &[], whole).unwrap();
    assert_eq!((marked.r#type().as_str(), marked.source().as_str()), ("plain", "/v1.veh-1"));
    assert_eq!(marked.key().unwrap(), "veh-1");
    let mut headers = CORE.to_vec();
    headers.push(("cloudEvents:datacontenttype", Field::Text(b"text/plain")));
    assert_eq!(event(Some("Text/Plain"), &headers, "a").unwrap().datacontenttype().unwrap(), "Text/Plain");
    assert!(matches!(event(Some("text/csv"), &headers, "a"), Err(NoEvent::ContentTypes { .. })));
    assert!(matches!(event(Some("application/cloudevents+avro"), &[], ""), Err(NoEvent::Format(_))));
    assert_eq!(event(None, &CORE[..2], "x"), Err(NoEvent::Invalid(Invalid::Missing("source"))));
}

#[test]
fn a_content_type_that_is_no_text_is_refused() {
    let message = Posted {
        exchange: "",
        routing_key: "q",
        redelivered: false,
        captured: &[None],
        content_type: Some(b"text/\xff"),
        headers: std::iter::empty(),
        payload: Bytes::new(),
    };
    let said = template().amqp(&mut Ids::new(0), message.clone()).unwrap_err().to_string();
    assert!(said.contains("'content_type' cannot be read"), "{said}");
    let sound = Posted { content_type: None, ..message };
    assert_eq!(extension(&template().amqp(&mut Ids::new(0), sound).unwrap(), "amqpexchange"), None);
}

#[test]
fn dates_are_those_of_the_calendar() {
    for (seconds, text) in [
        (0, "1970-01-01T00:00:00Z"),
        (951_782_399, "2000-02-28T23:59:59Z"),
        (951_782_400, "2000-02-29T00:00:00Z"),
        (951_868_800, "2000-03-01T00:00:00Z"),
        (4_107_542_400, "2100-03-01T00:00:00Z"),
        (253_402_300_799, "9999-12-31T23:59:59Z"),
    ] {
        assert_eq!(date(seconds).as_deref(), Some(text));
    }
    assert_eq!(date(253_402_300_800), None);
}

proptest! {
    #[test]
    fn no_message_makes_it_panic_and_no_payload_is_touched(
        payload in prop::collection::vec(any::<u8>(), 0..80),
        content_type in prop::option::of(prop::collection::vec(any::<u8>(), 0..20)),
        headers in prop::collection::vec(
            ("(cloudEvents[:_])?(id|source|type|time|specversion|[a-zA-Z]{0,5})", prop::collection::vec(any::<u8>(), 0..12)),
            0..8,
        ),
    ) {
        let message = Posted {
            exchange: "",
            routing_key: "q",
            redelivered: false,
            captured: &[None],
            content_type: content_type.as_deref(),
            headers: headers.iter().map(|(name, value)| (name.as_bytes(), Field::Text(value))),
            payload: Bytes::from(payload.clone()),
        };
        if let Ok(event) = template().amqp(&mut Ids::new(0), message) {
            prop_assert_eq!(event.data().map_or(&b""[..], |data| data), &payload[..]);
        }
    }
}
