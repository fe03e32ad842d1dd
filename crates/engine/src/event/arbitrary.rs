//! Events of every shape that the type allows, for property tests.

use bytes::Bytes;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::{Event, Name, Text, Value};

/// Any event: attributes of any text, payloads of any bytes under any media type.
pub(crate) fn events() -> impl Strategy<Value = Event> {
    let required = (texts(), texts(), texts());
    let optional = (option::of(any_text()), option::of(times()), option::of(any_text()));
    let payload = (option::of(payloads()), option::of(media_types()));
    (required, optional, extensions(), payload).prop_map(
        |((id, source, kind), (subject, time, schema), extensions, (data, media_type))| {
            let mut event = Event::new(id, source, kind).unwrap();
            event.parts().subject = subject;
            event.parts().dataschema = schema;
            if let Some(time) = time {
                event = event.with_time(time).unwrap();
            }
            for (name, value) in extensions {
                event = event.with_extension(name, value);
            }
            event.parts().datacontenttype = media_type;
            event.parts().data = data;
            event
        },
    )
}

/// Text that is not empty.
pub(crate) fn texts() -> impl Strategy<Value = Text> {
    any_text().prop_filter("empty", |text| !text.is_empty())
}

fn any_text() -> impl Strategy<Value = Text> {
    prop_oneof!["[a-z/:.]{0,30}", "\\PC{0,12}", any::<String>()].prop_map(Text::from)
}

/// Timestamps, with offsets and fractions of several spellings.
pub(crate) fn times() -> impl Strategy<Value = Text> {
    let offset = select(vec!["Z", "z", "+00:00", "-00:00", "+05:30", "-11:59"]);
    let fraction = select(vec!["", ".5", ".500", ".123456789", ".000000001"]);
    ((1900..2100_i32, 1..=12_u8, 1..=28_u8), (0..24_u8, 0..60_u8, 0..60_u8), fraction, offset).prop_map(
        |((year, month, day), (hour, minute, second), fraction, offset)| {
            format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}{offset}").into()
        },
    )
}

fn extensions() -> impl Strategy<Value = Vec<(Name, Value)>> {
    let name = "[a-z0-9]{1,20}".prop_filter_map("not an extension", |name| Name::new(&name).ok());
    let value = prop_oneof![
        any_text().prop_map(Value::String),
        any::<bool>().prop_map(Value::Boolean),
        any::<i64>().prop_map(Value::Integer),
    ];
    prop::collection::vec((name, value), 0..20)
}

fn media_types() -> impl Strategy<Value = Text> {
    let known = select(vec![
        "application/json",
        "Application/JSON; charset=utf-8",
        "text/json",
        "application/vnd.acme+JSON",
        "text/plain",
        "application/octet-stream",
        "json",
        "",
    ]);
    prop_oneof![9 => known.prop_map(Text::from), 1 => any_text()]
}

/// JSON of many spellings, text, nearly JSON and plain bytes.
fn payloads() -> impl Strategy<Value = Bytes> {
    let json = select(vec![
        r#"{"b":1.10,"a":12345678901234567890123,"a":[ 1e5 , -0 ]}"#,
        "[1,\n 2]",
        r#""a string \u0061 \ud800 \/""#,
        "null",
        "true",
        "0",
        "1E+2",
        "{}",
    ]);
    let near = select(vec![" {}", "{}\n", "{\"a\":}", "01", "nul", "\"\n\"", "1 2", "\u{feff}{}", "", " "]);
    prop_oneof![
        3 => json.prop_map(Bytes::from),
        2 => near.prop_map(Bytes::from),
        2 => any::<String>().prop_map(Bytes::from),
        2 => prop::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from),
    ]
}
