//! Every way in which a Kafka message is an event, claims to be one, or becomes one.

use engine::config::{Check, EventTemplate, Spanned};
use proptest::prelude::*;

use super::*;
use crate::normalise::Origin;

type Header = (&'static str, Option<&'static [u8]>);

const CORE: [Header; 4] =
    [("ce_specversion", Some(b"1.0")), ("ce_id", Some(b"e-1")), ("ce_type", Some(b"t")), ("ce_source", Some(b"/s"))];

fn template() -> Template {
    let origin = Origin { whole: "topic", r#type: "plain", source: "/{topic}" };
    let typed = EventTemplate {
        subject: Some(Spanned { value: "{vehicle}".to_owned(), ..Spanned::default() }),
        ..EventTemplate::default()
    };
    let mut check = Check::default();
    let template = Template::compile(&typed, &[Name::new("vehicle").unwrap()], &origin, &mut check);
    assert!(!check.failed());
    template
}

fn event_of(headers: &[Header], key: Option<&[u8]>, payload: Option<&[u8]>) -> Result<Event, NoEvent> {
    let record = Record {
        topic: &"fleet.veh-1".into(),
        partition: &"3".into(),
        offset: 184_213,
        captured: &[Some("veh-1")],
        key,
        headers: headers.iter().copied(),
        payload: payload.map(Bytes::copy_from_slice),
    };
    template().kafka(record, || "fresh".into())
}

fn event(headers: &[Header], payload: &str) -> Result<Event, NoEvent> {
    event_of(headers, None, Some(payload.as_bytes()))
}

fn with(more: &[Header], payload: &str) -> Result<Event, NoEvent> {
    let mut headers = CORE.to_vec();
    headers.extend_from_slice(more);
    event(&headers, payload)
}

fn extension(event: &Event, name: &str) -> Option<String> {
    event.extension(name).map(|value| value.text().into_owned())
}

#[test]
fn prefixed_headers_make_a_binary_event() {
    let more: [Header; 6] = [
        ("ce_subject", Some("100 % öl".as_bytes())),
        ("ce_time", Some(b"2026-11-21T06:58:00Z")),
        ("ce_tenant", Some(b"a%20b")),
        ("content-type", Some(b"application/json")),
        ("traceparent", Some(b"\xff")),
        ("tracestate", None),
    ];
    let event = with(&more, r#"{"v":1.0}"#).unwrap();
    assert_eq!((event.id().as_str(), event.source().as_str(), event.r#type().as_str()), ("e-1", "/s", "t"));
    assert_eq!(event.subject().unwrap(), "100 % öl");
    assert_eq!(extension(&event, "tenant").as_deref(), Some("a%20b"), "nothing is percent-encoded here");
    assert_eq!(event.datacontenttype().unwrap(), "application/json");
    assert_eq!(event.data().unwrap(), r#"{"v":1.0}"#);
    assert_eq!(extension(&event, "vehicle").as_deref(), Some("veh-1"));
}

#[test]
fn headers_without_the_prefix_are_those_of_the_hop() {
    const ORIGIN: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const HOP: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let said = |event: &Event| {
        (extension(event, "traceparent").unwrap(), event.trace().map(|trace| trace.parent().to_owned()).unwrap())
    };
    let (ours, theirs) = (HOP.to_owned(), ORIGIN.to_owned());
    let (hop, own) = (("traceparent", Some(HOP.as_bytes())), ("ce_traceparent", Some(ORIGIN.as_bytes())));
    assert_eq!(said(&with(&[hop], "x").unwrap()), (ours.clone(), ours.clone()));
    assert_eq!(said(&event(&[hop], "a plain payload").unwrap()), (ours.clone(), ours.clone()));
    assert_eq!(said(&with(&[own, hop], "x").unwrap()), (theirs.clone(), ours));
    assert_eq!(said(&with(&[own, ("traceparent", Some(b"nonsense"))], "x").unwrap()), (theirs.clone(), theirs));
    let bare = with(&[("traceparent", Some(b"nonsense")), ("traceparent", None)], "x").unwrap();
    assert_eq!((extension(&bare, "traceparent"), bare.trace()), (None, None));
}

#[test]
fn a_media_type_of_cloudevents_makes_a_structured_event() {
    let body = r#"{"specversion":"1.0","id":"e-2","source":"/s","type":"t","kafkaoffset":"7","kafkakeybase64":"/w==","data":{"a":1}}"#;
    for name in ["content-type", "Content-Type"] {
        let event = event(&[(name, Some(b"application/CloudEvents+json; charset=UTF-8"))], body).unwrap();
        assert_eq!((event.id().as_str(), event.data().unwrap().as_ref()), ("e-2", br#"{"a":1}"#.as_slice()));
        assert_eq!(extension(&event, "kafkaoffset").as_deref(), Some("184213"), "where it stands now counts");
        assert_eq!(extension(&event, "kafkakeybase64"), None, "this message has no such key");
    }
    let other = event(&[("content-type", Some(b"application/cloudevents+avro"))], "x");
    assert!(matches!(other, Err(NoEvent::Format(_))), "{other:?}");
    let none = event_of(&[("content-type", Some(b"application/cloudevents+json"))], None, None);
    assert!(matches!(none, Err(NoEvent::Invalid(_))), "{none:?}");
}

#[test]
fn anything_else_goes_through_the_template() {
    let event = event(&[("ce_id", Some(b"x")), ("content-type", Some(b"text/plain"))], "hello").unwrap();
    assert_eq!((event.id().as_str(), event.r#type().as_str()), ("fresh", "plain"));
    assert_eq!((event.source().as_str(), event.subject().unwrap().as_str()), ("/fleet.veh-1", "veh-1"));
    assert_eq!(
        (event.datacontenttype().unwrap().as_str(), event.data().unwrap().as_ref()),
        ("text/plain", &b"hello"[..])
    );
}

#[test]
fn where_it_stood_is_told_and_earlier_places_are_not() {
    let event =
        with(&[("ce_kafkaoffset", Some(b"1")), ("ce_kafkakey", Some(b"old")), ("ce_kafka", Some(b"kept"))], "1");
    let event = event.unwrap();
    for (name, value) in [
        ("kafkatopic", Some("fleet.veh-1")),
        ("kafkapartition", Some("3")),
        ("kafkaoffset", Some("184213")),
        ("kafkakey", None),
        ("kafka", Some("kept")),
    ] {
        assert_eq!(extension(&event, name).as_deref(), value, "{name}");
    }
}

#[test]
fn keys_order_events_that_name_no_key_of_their_own() {
    let event = event_of(&CORE, Some(b"veh-9"), None).unwrap();
    assert_eq!((event.key().as_deref(), extension(&event, "kafkakey").as_deref()), (Some("veh-9"), Some("veh-9")));
    let mut headers = CORE.to_vec();
    headers.push(("ce_partitionkey", Some(b"own")));
    let event = event_of(&headers, Some(b"veh-9"), None).unwrap();
    assert_eq!((event.key().as_deref(), extension(&event, "kafkakey").as_deref()), (Some("own"), Some("veh-9")));
    let event = event_of(&CORE, Some(b"\xff\x00"), None).unwrap();
    assert_eq!((event.key().as_deref(), extension(&event, "kafkakeybase64").as_deref()), (Some("/wA="), Some("/wA=")));
    assert_eq!(extension(&event, "kafkakey"), None);
    let event = event_of(&CORE, Some(b""), None).unwrap();
    assert_eq!((event.key(), extension(&event, "kafkakey").as_deref()), (None, Some("")));
}

#[test]
fn a_tombstone_has_no_data_and_an_empty_payload_is_data() {
    assert_eq!(event_of(&CORE, None, None).unwrap().data(), None);
    assert_eq!(event_of(&CORE, None, Some(b"")).unwrap().data().unwrap(), "");
    assert_eq!(event_of(&[], Some(b"k"), None).unwrap().data(), None);
    assert_eq!(event_of(&[], Some(b"k"), Some(b"")).unwrap().data().unwrap(), "");
}

#[test]
fn what_cannot_be_read_is_refused_with_its_name() {
    for (headers, part) in [
        (vec![CORE[0], CORE[1], CORE[2]], "attribute 'source' is missing"),
        ([&CORE[..], &[("ce_subject", Some(b"\xc0\xa0"))]].concat(), "header 'ce_subject' cannot be read"),
        ([&CORE[..], &[("ce_id", Some(b"e-2"))]].concat(), "'id' appears twice"),
        (
            vec![("content-type", Some(b"a\xff"))],
            "header 'content-type' cannot be read: it is not UTF-8 from byte 1 on",
        ),
        (vec![("content-type", Some(b"a/b")), ("content-type", Some(b"a/c"))], "'content-type' appears twice"),
        (vec![("ce_specversion", Some(b"0.3")), CORE[1], CORE[2], CORE[3]], "specversion '0.3'"),
    ] {
        let refused = event(&headers, "1").unwrap_err().to_string();
        assert!(refused.contains(part), "{refused}");
    }
}

#[test]
fn null_headers_are_absent_and_foreign_ones_are_left_alone() {
    let read = with(&[("ce_subject", None), ("ce_X-Y", Some(b"1")), ("content-type", None)], "1").unwrap();
    assert_eq!((read.subject(), read.datacontenttype()), (None, None));
    assert_eq!(extension(&read, "X-Y"), None);
    let mut twice = CORE.to_vec();
    twice.extend([("content-type", Some(b"a/b".as_slice())), ("content-type", Some(b"a/b"))]);
    assert_eq!(event(&twice, "1").unwrap().datacontenttype().unwrap(), "a/b");
}

proptest! {
    #[test]
    fn no_message_makes_it_panic(
        names in proptest::collection::vec("(ce_[a-z]{0,4}|ce_specversion|ce_id|ce_source|ce_type|content-type)", 0..8),
        values in proptest::collection::vec(proptest::option::of(proptest::collection::vec(any::<u8>(), 0..6)), 8),
        key in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..6)),
        payload in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..6)),
        offset in 0..i64::MAX,
    ) {
        let record = Record {
            topic: &"t".into(),
            partition: &"0".into(),
            offset,
            captured: &[None],
            key: key.as_deref(),
            headers: names.iter().map(String::as_str).zip(values.iter().map(Option::as_deref)),
            payload: payload.map(Bytes::from),
        };
        if let Ok(event) = template().kafka(record, || "fresh".into()) {
            prop_assert_eq!(extension(&event, "kafkaoffset"), Some(offset.to_string()));
        }
    }
}
