//! The event: what its builder refuses, and how attributes are read and set.

use std::borrow::Cow;

use bytes::Bytes;
use proptest::prelude::*;

use super::arbitrary::events;
use super::{Attribute, Event, Invalid, Name, NameError, Text, Value};

fn event() -> Event {
    Event::new("i".into(), "/s".into(), "t".into()).unwrap()
}

fn name(name: &str) -> Name {
    Name::new(name).unwrap()
}

#[test]
fn required_attributes_may_not_be_empty() {
    let new = |id: &str, source: &str, kind: &str| Event::new(id.into(), source.into(), kind.into());
    assert_eq!(new("", "/s", "t"), Err(Invalid::Missing("id")));
    assert_eq!(new("i", "", "t"), Err(Invalid::Missing("source")));
    assert_eq!(new("i", "/s", ""), Err(Invalid::Missing("type")));
    for attribute in ["id", "source", "type"] {
        let mut event = event();
        assert_eq!(event.set(attribute, Text::default()), Err(Invalid::Missing(attribute)));
        assert_eq!(event, self::event());
    }
}

#[test]
fn time_is_rfc_3339_in_the_senders_spelling() {
    for time in ["2026-11-21T06:58:00Z", "2026-11-21t06:58:00.1000z", "2026-11-21T06:58:00.123456789123-11:59"] {
        assert_eq!(event().with_time(time.into()).unwrap().time().unwrap(), time);
        let mut set = event();
        set.set("time", time.into()).unwrap();
        assert_eq!(set.time().unwrap(), time);
    }
    for time in ["", "2026-11-21", "2026-11-21T06:58:00", "2026-13-21T06:58:00Z", "1763708280", "2026-11-21T06:58:00Z "]
    {
        assert_eq!(event().with_time(time.into()), Err(Invalid::Time(time.into())), "{time}");
        assert_eq!(event().set("time", time.into()), Err(Invalid::Time(time.into())), "{time}");
    }
}

#[test]
fn names_are_lower_case_letters_and_digits_of_no_other_meaning() {
    for legal in ["a", "0", "partitionkey", "comexampleextension1"] {
        assert_eq!(Name::new(legal).unwrap().as_str(), legal);
    }
    for other in ["", "Fleet", "a_b", "a-b", "data_base64", "é", "a b", "a\0"] {
        assert_eq!(Name::new(other), Err(NameError::Characters(other.into())), "{other}");
    }
    assert_eq!(Name::new("data"), Err(NameError::Reserved("data".into())));
    assert_eq!(Attribute::named("data"), Err(NameError::Reserved("data".into())));
    for core in ["specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema"] {
        assert_eq!(Name::new(core), Err(NameError::Core(core.into())));
        assert_eq!(Attribute::named(core).unwrap().name(), core);
    }
    assert_eq!(Attribute::named("fleet").unwrap(), Attribute::Extension(name("fleet")));
    assert_eq!(Attribute::named("fleet").unwrap().name(), "fleet");
}

#[test]
fn messages_do_not_grow_with_what_was_sent() {
    let long = "é".repeat(10_000);
    let refusals = [
        Name::new(&long).unwrap_err().to_string(),
        event().with_time(long.clone().into()).unwrap_err().to_string(),
        event().set("specversion", long.clone().into()).unwrap_err().to_string(),
        event().set(&long, "x".into()).unwrap_err().to_string(),
    ];
    for refusal in refusals {
        assert!(refusal.len() < 300 && refusal.contains("éé..."), "{refusal}");
    }
}

#[test]
fn any_attribute_can_be_set_from_text_and_read_again() {
    let mut event = event();
    let all = [
        ("specversion", "1.0"),
        ("id", "j"),
        ("source", "/other"),
        ("type", "u"),
        ("subject", "s"),
        ("time", "2026-11-21T06:58:00Z"),
        ("datacontenttype", "text/plain"),
        ("dataschema", "/schema"),
        ("fleet", "demo"),
    ];
    for (name, _) in &all[4..] {
        assert_eq!(event.attribute(&Attribute::named(name).unwrap()), None, "{name}");
    }
    for (name, value) in all {
        event.set(name, value.into()).unwrap();
        assert_eq!(event.attribute(&Attribute::named(name).unwrap()).as_deref(), Some(value), "{name}");
    }
    assert_eq!(event.set("specversion", "0.3".into()), Err(Invalid::SpecVersion("0.3".into())));
    assert_eq!(event.set("Fleet", "x".into()), Err(NameError::Characters("Fleet".into()).into()));
    event.set("fleet", "other".into()).unwrap();
    assert_eq!(event.extensions(), [(name("fleet"), Value::from("other"))]);
}

#[test]
fn an_extension_replaces_one_of_its_name_in_place() {
    let event = event()
        .with_extension(name("a"), "1")
        .with_extension(name("b"), Value::Boolean(false))
        .with_extension(name("a"), Value::Integer(-2));
    assert_eq!(event.extensions(), [(name("a"), Value::Integer(-2)), (name("b"), Value::Boolean(false))]);
    assert_eq!(event.extension("a").unwrap().text(), "-2");
    assert_eq!(event.extension("b").unwrap().text(), "false");
    assert_eq!(event.extension("c"), None);
}

#[test]
fn the_key_is_a_partitionkey_that_is_not_empty() {
    let keyed = |value: Value| event().with_extension(name("partitionkey"), value).key().map(Cow::into_owned);
    assert_eq!(event().key(), None);
    assert_eq!(keyed("".into()), None);
    assert_eq!(keyed("veh-1".into()).as_deref(), Some("veh-1"));
    assert_eq!(keyed(Value::Integer(7)).as_deref(), Some("7"));
    assert_eq!(keyed(Value::Boolean(true)).as_deref(), Some("true"));
}

#[test]
fn a_payload_goes_with_its_media_type() {
    let event = event().with_datacontenttype("text/plain".into()).with_data(Bytes::from_static(b"{}"), None);
    assert_eq!((event.data().unwrap().as_ref(), event.datacontenttype()), (&b"{}"[..], None));
    assert_eq!(event.with_datacontenttype("a/b".into()).datacontenttype().unwrap(), "a/b");
}

proptest! {
    #[test]
    fn a_clone_shares_the_payload(event in events()) {
        let clone = event.clone();
        prop_assert_eq!(clone.data().map(|data| data.as_ptr()), event.data().map(|data| data.as_ptr()));
        prop_assert_eq!(clone, event);
    }

    #[test]
    fn setting_any_name_is_answered(attribute in "\\PC{0,12}", value: String) {
        let mut event = event();
        match event.set(&attribute, value.as_str().into()) {
            Ok(()) => {
                let found = event.attribute(&Attribute::named(&attribute).unwrap()).map(Cow::into_owned);
                prop_assert_eq!(found, Some(value));
            }
            Err(_) => prop_assert_eq!(event, self::event()),
        }
    }
}
