//! Attributes, media types and templates on values.

use bytes::Bytes;
use engine::config::{Check, Span, Spanned};
use engine::event::{Name, Value};
use proptest::prelude::*;

use super::*;

fn event() -> Event {
    let extension = |name: &str| Name::new(name).unwrap();
    Event::new("e-1".into(), "/fleet/a".into(), "org.demo.alert".into())
        .unwrap()
        .with_subject("veh-1".into())
        .with_extension(extension("partitionkey"), "veh-1")
        .with_extension(extension("level"), Value::Integer(3))
        .with_extension(extension("urgent"), Value::Boolean(true))
        .with_extension(extension("blank"), "")
}

fn compile(text: &str) -> (Template, Vec<engine::config::Diagnostic>) {
    let mut check = Check::default();
    let end = u32::try_from(text.len()).unwrap();
    let typed = Spanned::new(text.to_owned(), Span { file: 0, start: 0, end });
    let template = Template::compile(&typed, &mut check);
    (template, check.finish())
}

fn fill(text: &str) -> Result<String, String> {
    let (template, flaws) = compile(text);
    assert!(flaws.is_empty(), "{text}: {flaws:?}");
    let (event, mut buffer) = (event(), "left over".to_owned());
    template.fill(&event, &mut buffer).map(str::to_owned).map_err(|missing| missing.name.to_owned())
}

#[test]
fn attributes_and_literals_mix() {
    for (text, filled) in [
        ("", ""),
        ("alerts", "alerts"),
        ("{partitionkey}", "veh-1"),
        ("alerts.{type}", "alerts.org.demo.alert"),
        ("{level}", "3"),
        ("{subject}/{level}/{urgent}!", "veh-1/3/true!"),
        ("{specversion}{id}{source}", "1.0e-1/fleet/a"),
        ("{{level}", "{level}"),
        ("{{{level}}", "{3}"),
    ] {
        assert_eq!(fill(text).as_deref(), Ok(filled), "{text}");
    }
}

#[test]
fn an_attribute_that_is_absent_or_empty_is_named() {
    for (text, name) in [("{time}", "time"), ("a.{subject}.{vehicle}", "vehicle"), ("{blank}", "blank")] {
        assert_eq!(fill(text), Err(name.to_owned()), "{text}");
    }
}

#[test]
fn flaws_have_a_place_and_say_what_to_write() {
    for (text, start, end, help) in [
        ("a{partitionKey}", 1, 15, "did you mean {partitionkey}?"),
        ("{}", 0, 2, "name an attribute"),
        ("é{data}", 2, 8, "name an attribute"),
        ("x{type", 1, 6, "close it"),
    ] {
        let (_, flaws) = compile(text);
        let [flaw] = flaws.as_slice() else { panic!("{text}: {flaws:?}") };
        assert_eq!((flaw.span.unwrap().start, flaw.span.unwrap().end), (start, end), "{text}: {flaw:?}");
        assert!(flaw.help.as_deref().unwrap_or_default().starts_with(help), "{text}: {flaw:?}");
    }
}

#[test]
fn only_a_template_without_attributes_is_fixed() {
    assert_eq!(compile("a{{b").0.fixed(), Some("a{b"));
    assert_eq!(compile("").0.fixed(), Some(""));
    assert_eq!(compile("{type}").0.fixed(), None);
}

#[test]
fn every_attribute_but_the_media_type_is_listed() {
    let event = event().with_time("2026-11-21T06:58:00Z".into()).unwrap().with_datacontenttype("text/plain".into());
    let listed: Vec<_> = attributes(&event).map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(
        listed,
        [
            "specversion=1.0",
            "id=e-1",
            "source=/fleet/a",
            "type=org.demo.alert",
            "subject=veh-1",
            "time=2026-11-21T06:58:00Z",
            "partitionkey=veh-1",
            "level=3",
            "urgent=true",
            "blank=",
        ]
    );
}

#[test]
fn a_trace_that_nobody_would_take_is_not_carried_on() {
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let traced = |state: &str| {
        let name = |text| Name::new(text).unwrap();
        event().with_extension(name("traceparent"), parent).with_extension(name("tracestate"), state)
    };
    assert_eq!(hop(&traced("a=1")).collect::<Vec<_>>(), [("traceparent", parent), ("tracestate", "a=1")]);
    let long = traced(&format!("a=1{}", ",".repeat(8 << 10)));
    assert!(long.trace().is_some_and(|trace| trace.state().is_some()), "it is well formed");
    assert_eq!(hop(&long).count(), 0);
}

#[test]
fn data_without_a_media_type_is_json() {
    let bare = event();
    assert_eq!(content_type(&bare), None);
    assert_eq!(content_type(&bare.clone().with_data(Bytes::from_static(b"1"), None)), Some("application/json"));
    assert_eq!(content_type(&bare.with_datacontenttype("text/plain".into())), Some("text/plain"));
}

proptest! {
    #[test]
    fn no_text_makes_a_template_panic(text in "[{}aTé.]{0,12}") {
        let (template, flaws) = compile(&text);
        for flaw in flaws {
            prop_assert!(flaw.span.unwrap().end as usize <= text.len());
        }
        let _ = template.fill(&event(), &mut String::new());
    }
}
