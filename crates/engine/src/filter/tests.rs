//! Filters against the use cases of the subscriptions API, their refusals, and what an index may rely on.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::Deserialize;

use super::{Error, Filter, Hint, MAX_DEPTH, View};
use crate::event::{Attribute, Event, Name, Value};

#[derive(Deserialize)]
struct Case {
    name: String,
    filter: Dialect,
    event: BTreeMap<String, String>,
    matches: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Dialect {
    Exact(BTreeMap<String, String>),
    Prefix(BTreeMap<String, String>),
    Suffix(BTreeMap<String, String>),
    All(Vec<Dialect>),
    Any(Vec<Dialect>),
}

impl Dialect {
    fn filter(self) -> Filter {
        let several = |dialects: Vec<Dialect>| dialects.into_iter().map(Dialect::filter).collect();
        match self {
            Dialect::Exact(texts) => Filter::exact(named(texts)),
            Dialect::Prefix(texts) => Filter::prefix(named(texts)),
            Dialect::Suffix(texts) => Filter::suffix(named(texts)),
            Dialect::All(dialects) => Filter::all(several(dialects)),
            Dialect::Any(dialects) => Filter::any(several(dialects)),
        }
        .unwrap()
    }
}

fn named(texts: BTreeMap<String, String>) -> Vec<(Attribute, String)> {
    texts.into_iter().map(|(name, text)| (attribute(&name), text)).collect()
}

fn attribute(name: &str) -> Attribute {
    Attribute::named(name).unwrap()
}

fn event(attributes: &[(&str, &str)]) -> Event {
    let mut event = Event::new("1".into(), "/test".into(), "test".into()).unwrap();
    for (name, value) in attributes {
        event.set(name, (*value).into()).unwrap();
    }
    event
}

fn exact(name: &str, text: &str) -> Filter {
    Filter::exact([(attribute(name), text)]).unwrap()
}

fn prefix(name: &str, text: &str) -> Filter {
    Filter::prefix([(attribute(name), text)]).unwrap()
}

fn not(filter: Filter) -> Filter {
    Filter::not(filter).unwrap()
}

#[test]
fn the_use_cases_of_the_subscriptions_api_hold() {
    let cases: Vec<Case> = serde_saphyr::from_str(include_str!("tests/subscriptions.yaml")).unwrap();
    assert_eq!(cases.len(), 28);
    for case in cases {
        let attributes: Vec<_> = case.event.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(case.filter.filter().matches(&event(&attributes)), case.matches, "{}", case.name);
    }
}

#[test]
fn several_attributes_of_one_dialect_must_all_match() {
    let two = [(Attribute::Type, "com.example"), (Attribute::Subject, "door")];
    let events = [
        event(&[("type", "com.example"), ("subject", "door")]),
        event(&[("type", "com.example"), ("subject", "window")]),
        event(&[("type", "com.example")]),
    ];
    for filter in [Filter::exact(two.clone()), Filter::prefix(two.clone()), Filter::suffix(two)] {
        assert_eq!(events.each_ref().map(|event| filter.clone().unwrap().matches(event)), [true, false, false]);
    }
}

#[test]
fn comparison_is_case_sensitive() {
    let event = event(&[("type", "Com.Example")]);
    assert!(!exact("type", "com.example").matches(&event));
    assert!(!prefix("type", "com").matches(&event));
    assert!(exact("type", "Com.Example").matches(&event));
}

#[test]
fn every_attribute_can_be_compared() {
    let all = [
        ("specversion", "1.0"),
        ("id", "i"),
        ("source", "/s"),
        ("type", "t"),
        ("subject", "s"),
        ("time", "2026-11-21T06:58:00Z"),
        ("datacontenttype", "text/plain"),
        ("dataschema", "https://example.com/schema"),
        ("fleet", "demo"),
    ];
    let full = event(&all);
    for (name, value) in all {
        assert!(exact(name, value).matches(&full), "{name}");
        assert!(!exact(name, &format!("{value}x")).matches(&full), "{name}");
    }
    let bare = event(&[]);
    for name in ["subject", "time", "datacontenttype", "dataschema", "fleet"] {
        assert!(!prefix(name, "x").matches(&bare), "{name}");
        assert!(not(prefix(name, "x")).matches(&bare), "{name}");
    }
}

#[test]
fn typed_extensions_compare_by_their_canonical_text() {
    let event = event(&[])
        .with_extension(Name::new("count").unwrap(), Value::Integer(i64::MIN))
        .with_extension(Name::new("on").unwrap(), Value::Boolean(true))
        .with_extension(Name::new("off").unwrap(), Value::Boolean(false));
    assert!(exact("count", "-9223372036854775808").matches(&event));
    assert!(prefix("count", "-92").matches(&event));
    assert!(!exact("count", "9223372036854775808").matches(&event));
    assert!(exact("on", "true").matches(&event));
    assert!(exact("off", "false").matches(&event));
    assert!(!exact("off", "true").matches(&event));
}

#[test]
fn what_could_not_mean_anything_is_refused() {
    type Make = fn(Vec<(Attribute, &'static str)>) -> Result<Filter, Error>;
    let comparing: [(&str, Make); 3] =
        [("exact", Filter::exact), ("prefix", Filter::prefix), ("suffix", Filter::suffix)];
    for (dialect, make) in comparing {
        assert_eq!(
            make(vec![]).unwrap_err().to_string(),
            format!("'{dialect}' names no attribute; write at least one, such as type: com.example.created")
        );
        let empty = make(vec![(Attribute::Type, "t"), (attribute("fleet"), "")]).unwrap_err();
        assert_eq!(
            empty.to_string(),
            format!("'{dialect}' compares attribute 'fleet' with an empty text; write the text that it should have")
        );
    }
    assert_eq!(Filter::all(vec![]), Err(Error::NoFilter("all")));
    assert_eq!(Filter::any(vec![]), Err(Error::NoFilter("any")));
    assert!(Attribute::named("").is_err());
}

#[test]
fn nesting_is_bounded() {
    let mut filter = exact("type", "t");
    for _ in 1..MAX_DEPTH {
        filter = not(filter);
    }
    assert_eq!(Filter::not(filter.clone()), Err(Error::TooDeep));
    assert_eq!(Filter::all(vec![filter.clone()]), Err(Error::TooDeep));
    assert_eq!(Filter::any(vec![exact("type", "t"), filter]), Err(Error::TooDeep));
}

fn pins(filter: &Filter) -> Vec<String> {
    filter.pinned().iter().map(|(attribute, text)| format!("{}={text}", attribute.name())).collect()
}

#[test]
fn pins_are_what_every_way_of_matching_has() {
    let (a, b) = (exact("type", "a"), exact("source", "b"));
    let all = Filter::all(vec![a.clone(), prefix("id", "x"), b.clone(), a.clone()]).unwrap();
    assert_eq!(pins(&all), ["type=a", "source=b"]);
    let agreeing = Filter::any(vec![all, Filter::all(vec![a.clone(), exact("id", "1")]).unwrap()]).unwrap();
    assert_eq!(pins(&agreeing), ["type=a"]);
    assert_eq!(pins(&Filter::any(vec![a.clone(), b.clone()]).unwrap()), [""; 0]);
    assert_eq!(pins(&not(a.clone())), [""; 0]);
    assert_eq!(pins(&not(not(a.clone()))), ["type=a"]);
    assert_eq!(pins(&not(Filter::any(vec![not(a.clone()), not(b.clone())]).unwrap())), ["type=a", "source=b"]);
    assert_eq!(pins(&not(Filter::all(vec![not(a.clone()), not(b)]).unwrap())), [""; 0]);
    let contrary = Filter::all(vec![a, exact("type", "c")]).unwrap();
    assert_eq!(pins(&contrary), ["type=a", "type=c"]);
}

#[test]
fn a_hint_is_the_last_byte_of_what_comes_first() {
    let allows = |filter: &Filter, value: &str| filter.hint().allows(&View::of(&event(&[("subject", value)])));
    for filter in [prefix("subject", "veh-7"), exact("subject", "veh-7")] {
        assert!(allows(&filter, "veh-7") && allows(&filter, "van-7"), "it looks at one byte");
        assert!(!allows(&filter, "veh-8") && !allows(&filter, "veh-"), "{filter:?}");
    }
    let first = Filter::all(vec![prefix("subject", "a"), prefix("type", "x")]).unwrap();
    assert!(!allows(&first, "b"));
    let either = Filter::any(vec![prefix("subject", "a"), prefix("type", "x")]).unwrap();
    let suffix = Filter::suffix([(attribute("subject"), "a")]).unwrap();
    for filter in [either, suffix, not(prefix("subject", "b")), prefix("fleet", "a")] {
        assert_eq!(filter.hint(), Hint::NONE);
        assert!(allows(&filter, "b"), "what says nothing of the kind refuses nothing");
    }
}

/// Filters over few attributes and texts, so that they match often.
fn filters() -> impl Strategy<Value = Filter> {
    let name = prop::sample::select(vec!["type", "subject", "fleet"]);
    let leaf = (0..3_usize, name, "[ab]{1,2}").prop_map(|(dialect, name, text)| {
        let texts = [(attribute(name), text)];
        match dialect {
            0 => Filter::exact(texts),
            1 => Filter::prefix(texts),
            _ => Filter::suffix(texts),
        }
        .unwrap()
    });
    leaf.prop_recursive(4, 24, 3, |inner| {
        let several = prop::collection::vec(inner.clone(), 1..4);
        prop_oneof![
            several.clone().prop_map(|filters| Filter::all(filters).unwrap()),
            several.prop_map(|filters| Filter::any(filters).unwrap()),
            inner.prop_map(not),
        ]
    })
}

fn events() -> impl Strategy<Value = Event> {
    ("[ab]{1,2}", prop::option::of("[ab]{1,2}"), prop::option::of("[ab]{1,2}")).prop_map(|(kind, subject, fleet)| {
        let mut event = event(&[("type", &kind)]);
        for (name, value) in [("subject", subject), ("fleet", fleet)] {
            if let Some(value) = value {
                event.set(name, value.into()).unwrap();
            }
        }
        event
    })
}

proptest! {
    #[test]
    fn an_event_that_is_taken_has_every_pin_and_what_is_hinted(filter in filters(), event in events()) {
        if filter.matches(&event) {
            prop_assert!(filter.hint().allows(&View::of(&event)));
            for (attribute, text) in filter.pinned() {
                let value = event.attribute(attribute);
                prop_assert_eq!(value.as_deref(), Some(text));
            }
        }
    }

    #[test]
    fn negation_follows_de_morgan(one in filters(), two in filters(), event in events()) {
        let both = Filter::all(vec![one.clone(), two.clone()]).unwrap();
        let neither = Filter::any(vec![not(one.clone()), not(two.clone())]).unwrap();
        prop_assert_eq!(both.matches(&event), one.matches(&event) && two.matches(&event));
        prop_assert_eq!(not(both).matches(&event), neither.matches(&event));
    }
}
