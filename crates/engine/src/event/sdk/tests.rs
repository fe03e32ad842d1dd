//! Both directions give back what went in, and our reading of JSON agrees with the SDK's where the SDK reads it.

use bytes::Bytes;
use cloudevents::event::ExtensionValue;
use cloudevents::{AttributesReader, AttributesWriter, Data, EventBuilder, EventBuilderV03, EventBuilderV10};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::super::arbitrary::{events, texts, times};
use super::super::{Event, Name, Text, Value, json};
use super::{Unrepresentable, instant};

fn plain() -> Event {
    Event::new("i".into(), "/s".into(), "t".into()).unwrap()
}

fn to_sdk(event: &Event) -> cloudevents::Event {
    cloudevents::Event::try_from(event).unwrap()
}

fn data(payload: &'static [u8], media_type: Option<&str>) -> Data {
    to_sdk(&plain().with_data(Bytes::from_static(payload), media_type.map(Text::from))).data().unwrap().clone()
}

#[test]
fn json_is_a_document_only_where_its_bytes_come_back() {
    let value = serde_json::json!({"a": 1, "b": [true, "é"]});
    assert_eq!(data("{\"a\":1,\"b\":[true,\"é\"]}".as_bytes(), None), Data::Json(value));
    for spelled in
        [&b"{\"a\": 1}"[..], b"{\"b\":1,\"a\":2}", b"1.10", b"1e5", b"12345678901234567890123", b"{}\n", b"{", b""]
    {
        assert_eq!(data(spelled, Some("application/json")), Data::Binary(spelled.to_vec()));
    }
    assert_eq!(data(b"{}", Some("text/plain")), Data::String("{}".into()));
    assert_eq!(data(b"\xff", Some("text/plain")), Data::Binary(vec![255]));
}

#[test]
fn the_spelling_of_times_and_urls_is_what_is_lost() {
    let time = plain().with_time("2026-11-21T06:58:00.500+01:00".into()).unwrap();
    let back = Event::try_from(to_sdk(&time)).unwrap();
    assert_eq!(back.time().unwrap(), "2026-11-21T05:58:00.500Z");
    let leap = plain().with_time("2016-12-31T23:59:60Z".into()).unwrap();
    assert_eq!(Event::try_from(to_sdk(&leap)).unwrap(), leap);
    let url = to_sdk(&plain().with_dataschema("HTTPS://example.com".into()));
    assert_eq!(Event::try_from(url).unwrap().dataschema().unwrap(), "https://example.com/");
    let relative = cloudevents::Event::try_from(&plain().with_dataschema("/schema".into())).unwrap_err();
    assert_eq!(relative, Unrepresentable::DataSchema("/schema".into()));
    assert_eq!(
        relative.to_string(),
        "attribute 'dataschema' is '/schema', which the CloudEvents SDK cannot hold; it takes absolute URLs"
    );
}

#[test]
fn sdk_events_that_are_no_cloud_events_are_refused() {
    let build = || EventBuilderV10::new().id("i").source("/s").ty("t").build().unwrap();
    let refusal = |sdk: cloudevents::Event| Event::try_from(sdk).unwrap_err().to_string();
    let mut nameless = build();
    nameless.set_id("");
    assert_eq!(
        refusal(nameless),
        "attribute 'id' is missing or empty; every CloudEvent needs specversion, id, source and type"
    );
    for (name, sentence) in [
        ("Fleet", "'Fleet' is no attribute name; use lower-case letters and digits only"),
        ("id", "'id' is a core attribute and cannot be an extension; set it by its own name"),
        ("data", "'data' names the payload and cannot be an attribute"),
    ] {
        let mut named = build();
        named.set_extension(name, "x");
        assert_eq!(refusal(named), sentence);
    }
    let old = EventBuilderV03::new().id("i").source("/s").ty("t").build().unwrap();
    assert_eq!(refusal(old.clone()), "specversion '0.3' is not supported; send CloudEvents 1.0");
    assert!(Event::try_from(EventBuilderV10::from(old).build().unwrap()).is_ok());
}

#[test]
fn extensions_keep_their_types() {
    let event = plain()
        .with_extension(Name::new("a").unwrap(), "1")
        .with_extension(Name::new("b").unwrap(), Value::Integer(1))
        .with_extension(Name::new("c").unwrap(), Value::Boolean(true));
    let sdk = to_sdk(&event);
    assert_eq!(sdk.extension("a"), Some(&ExtensionValue::String("1".into())));
    assert_eq!(sdk.extension("b"), Some(&ExtensionValue::Integer(1)));
    assert_eq!(sdk.extension("c"), Some(&ExtensionValue::Boolean(true)));
    assert_eq!(Event::try_from(sdk), Ok(event));
}

/// Any event whose schema the SDK can hold.
fn holdable() -> impl Strategy<Value = Event> {
    (events(), option::of(Just(Text::from("https://example.com/schema")))).prop_map(|(mut event, schema)| {
        event.parts().dataschema = schema;
        event
    })
}

/// The event as it comes back: extensions sorted, the instant spelled in UTC.
fn normal(mut event: Event) -> Event {
    let parts = event.parts();
    parts.extensions.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    parts.time = parts
        .time
        .take()
        .map(|time| instant(&time).unwrap().to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true).into());
    event
}

/// Any event of the SDK that is a CloudEvent.
fn sdk_events() -> impl Strategy<Value = cloudevents::Event> {
    let value = prop_oneof![
        // Eighths are read back exactly, which serde_json does not promise of every number.
        any::<i32>().prop_map(|eighths| serde_json::Value::from(f64::from(eighths) / 8.0)),
        any::<String>().prop_map(serde_json::Value::from),
        prop::collection::btree_map(any::<String>(), any::<i64>(), 0..4).prop_map(|map| serde_json::json!(map)),
        Just(serde_json::Value::Null),
    ];
    let data = prop_oneof![
        value.prop_map(Data::Json),
        any::<String>().prop_map(Data::String),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(Data::Binary),
    ];
    let kind = option::of(select(vec!["application/json", "text/plain", "a/b+json", "application/octet-stream"]));
    ((texts(), texts(), texts()), option::of(times()), option::of(data), kind).prop_map(
        |((id, source, ty), time, data, kind)| {
            let mut sdk = EventBuilderV10::new().id(id).source(source).ty(ty).extension("count", 7).build().unwrap();
            sdk.set_time(time.map(|time| instant(&time).unwrap()));
            sdk.set_datacontenttype(kind);
            if let Some(data) = data {
                sdk.set_data_unchecked(data);
            }
            sdk
        },
    )
}

/// The media types that the SDK takes for JSON exactly when they are.
fn agreed(event: &Event) -> bool {
    let sdk =
        |kind: &str| kind.starts_with("application/json") || kind.starts_with("text/json") || kind.ends_with("+json");
    event.datacontenttype().is_none_or(|kind| sdk(kind) == json::is_json(kind))
}

proptest! {
    #[test]
    fn our_event_comes_back(event in holdable()) {
        let sdk = to_sdk(&event);
        prop_assert_eq!(Event::try_from(sdk), Ok(normal(event)));
    }

    #[test]
    fn the_sdk_event_comes_back(sdk in sdk_events()) {
        let event = Event::try_from(sdk.clone()).unwrap();
        let back = to_sdk(&event);
        prop_assert_eq!(back.iter().count(), sdk.iter().count());
        for (name, value) in sdk.iter() {
            let same = back.iter().any(|(other, found)| other == name && found == value);
            prop_assert!(same, "{} is not {}", name, value);
        }
        let bytes = |sdk: &cloudevents::Event| sdk.data().cloned().map(|data| Vec::<u8>::try_from(data).unwrap());
        prop_assert_eq!(bytes(&back), bytes(&sdk));
        if let Some(Data::Json(value)) = sdk.data() && json::is_json(sdk.datacontenttype().unwrap_or("a/json")) {
            prop_assert_eq!(back.data(), Some(&Data::Json(value.clone())));
        }
    }

    #[test]
    fn json_that_the_sdk_reads_we_read_alike(event in holdable().prop_filter("read otherwise", agreed)) {
        let mut text = Vec::new();
        json::encode(&event, &mut text);
        if let Ok(sdk) = serde_json::from_slice::<cloudevents::Event>(&text) {
            let (ours, theirs) = (normal(json::decode(&text.into()).unwrap()), Event::try_from(sdk).unwrap());
            same(&ours, &theirs)?;
        }
    }

    #[test]
    fn json_that_the_sdk_writes_we_read(event in holdable().prop_filter("read otherwise", agreed)) {
        let text = serde_json::to_vec(&to_sdk(&event)).unwrap();
        same(&normal(json::decode(&text.into()).unwrap()), &normal(event))?;
    }
}

/// Equal but for the spelling of JSON payloads, which the SDK does not keep.
fn same(one: &Event, other: &Event) -> Result<(), TestCaseError> {
    let bare = |event: &Event| {
        let mut event = event.clone();
        event.parts().data = None;
        event
    };
    prop_assert_eq!(bare(one), bare(other));
    let document = |event: &Event| {
        let json = event.datacontenttype().is_none_or(|kind| json::is_json(kind));
        event.data().filter(|_| json).and_then(|data| serde_json::from_slice::<serde_json::Value>(data).ok())
    };
    match (document(one), document(other)) {
        (None, None) => prop_assert_eq!(one.data(), other.data()),
        (one, other) => prop_assert_eq!(one, other),
    }
    Ok(())
}
