//! What templates make of messages, and what `check` says about templates.

use engine::config::{Diagnostic, Span};

use super::*;
use crate::normalise::Ids;
use crate::normalise::pattern::texts;

const ORIGIN: Origin = Origin { whole: "topic", r#type: "org.example.message", source: "/{topic}" };

fn typed(text: &str) -> Option<Spanned<String>> {
    Some(spanned(text, 100))
}

fn spanned(text: &str, start: u32) -> Spanned<String> {
    let end = start + u32::try_from(text.len()).unwrap();
    Spanned::new(text.to_owned(), Span { file: 0, start, end })
}

fn names() -> Vec<Name> {
    ["fleet", "vehicle"].map(|name| Name::new(name).unwrap()).into()
}

fn compile(template: &EventTemplate) -> (Template, Vec<Diagnostic>) {
    let mut check = Check::default();
    let template = Template::compile(template, &names(), &ORIGIN, &mut check);
    (template, check.finish())
}

fn event(template: &EventTemplate, captured: [Option<&str>; 2], payload: &'static str) -> Result<Event, NoEvent> {
    let captured = texts(&captured);
    let filling = Filling { captured: &captured, whole: "v1/demo/veh-1" };
    let (template, problems) = compile(template);
    assert_eq!(problems, []);
    template.event(|| Ids::new(0).draw(), filling, Bytes::from_static(payload.as_bytes()), None)
}

#[test]
fn a_template_fills_every_attribute() {
    let template = EventTemplate {
        r#type: typed("org.covesa.vss.telemetry.v1"),
        source: typed("/fleet/{fleet}/{vehicle}"),
        subject: typed("{vehicle}"),
        partitionkey: typed("{vehicle}"),
        id: typed("seq"),
        datacontenttype: typed("application/vnd.x+json"),
        extensions: [(spanned("tenant", 0), spanned("acme", 0)), (spanned("fleet", 0), spanned("f-{fleet}", 0))].into(),
    };
    let event = event(&template, [Some("demo"), Some("veh-1")], r#"{"seq":17}"#).unwrap();
    assert_eq!((event.id().as_str(), event.r#type().as_str()), ("17", "org.covesa.vss.telemetry.v1"));
    assert_eq!((event.source().as_str(), event.subject().unwrap().as_str()), ("/fleet/demo/veh-1", "veh-1"));
    assert_eq!(event.datacontenttype().unwrap(), "application/vnd.x+json");
    let extensions: Vec<_> =
        event.extensions().iter().map(|(name, value)| format!("{name}={}", value.text())).collect();
    assert_eq!(extensions, ["fleet=f-demo", "vehicle=veh-1", "partitionkey=veh-1", "tenant=acme"]);
    assert_eq!(event.data().unwrap(), r#"{"seq":17}"#);
}

#[test]
fn without_a_template_the_topic_is_the_source() {
    let event = event(&EventTemplate::default(), [Some("demo"), None], "x").unwrap();
    assert_eq!((event.source().as_str(), event.r#type().as_str()), ("/v1/demo/veh-1", "org.example.message"));
    assert_eq!((event.subject(), event.id().len()), (None, 23));
    assert_eq!(event.datacontenttype().unwrap(), "application/json");
    assert_eq!(event.extensions().len(), 1, "a capture that the topic lacks is no attribute");
}

#[test]
fn what_is_empty_is_left_out() {
    let template =
        EventTemplate { subject: typed("{vehicle}"), partitionkey: typed("{vehicle}"), ..Default::default() };
    let event = event(&template, [None, Some("")], "").unwrap();
    assert_eq!((event.subject(), event.key(), event.data(), event.datacontenttype()), (None, None, None, None));
}

#[test]
fn a_payload_without_the_field_of_the_id_is_no_event() {
    let template = EventTemplate { id: typed("seq"), ..Default::default() };
    for payload in ["", "17", r#"{"other":1}"#] {
        assert_eq!(event(&template, [None, None], payload), Err(NoEvent::Field("seq".into())));
    }
}

#[test]
fn problems_stand_under_what_is_wrong() {
    let template = EventTemplate {
        source: typed("/a/{flet}"),
        subject: typed("{vehicle"),
        r#type: typed(""),
        extensions: [
            (spanned("Tenant", 0), spanned("x", 10)),
            (spanned("type", 20), spanned("x", 30)),
            (spanned("partitionkey", 40), spanned("x", 60)),
        ]
        .into(),
        ..Default::default()
    };
    let (_, problems) = compile(&template);
    let found: Vec<_> =
        problems.iter().map(|problem| (problem.span.unwrap().start, problem.message.as_str())).collect();
    assert_eq!(
        found,
        [
            (0, "'Tenant' is no attribute name; use lower-case letters and digits only"),
            (20, "'type' is no extension"),
            (40, "'partitionkey' is no extension"),
            (100, "an event cannot have an empty type or source"),
            (100, "the brace is never closed"),
            (103, "nothing captures '{flet}'"),
        ]
    );
    assert!(problems.iter().all(|problem| problem.help.is_some()));
}

#[test]
fn what_events_need_is_known() {
    let template = EventTemplate { partitionkey: typed("{vehicle}"), ..Default::default() };
    let (template, _) = compile(&template);
    assert!(template.uses(1) && !template.uses(0));
}
