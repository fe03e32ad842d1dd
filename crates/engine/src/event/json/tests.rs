//! The JSON format: what is kept, what is refused and with which sentence, and that writing is the inverse of reading.

use bytes::Bytes;
use proptest::prelude::*;

use super::{decode, encode, encode_line, is_json};
use crate::event::arbitrary::{events, texts};
use crate::event::{Event, Name, Value};

/// An event whose further members are `more`, each with a comma before it.
fn with(more: &str) -> Bytes {
    format!(r#"{{"specversion":"1.0","id":"i","source":"/s","type":"t"{more}}}"#).into()
}

fn data(more: &str) -> Option<Bytes> {
    decode(&with(more)).unwrap().data().cloned()
}

fn refusal(text: &str) -> String {
    decode(&Bytes::copy_from_slice(text.as_bytes())).unwrap_err().to_string()
}

fn written(event: &Event) -> String {
    let mut out = Vec::new();
    encode(event, &mut out);
    String::from_utf8(out).unwrap()
}

fn plain(data: &'static [u8], media_type: Option<&str>) -> Event {
    let event = Event::new("i".into(), "/s".into(), "t".into()).unwrap();
    event.with_data(Bytes::from_static(data), media_type.map(Into::into))
}

#[test]
fn every_member_is_read() {
    let event = decode(&Bytes::from_static(
        br#" { "data" : {"b":1.10, "a":[12345678901234567890123]} , "type" : "t" , "id" : "\u0069\n" , "specversion" : "1.0",
            "source" : "/s", "subject" : "a subject longer than twenty-three bytes", "time" : "2026-11-21T06:58:00.50+01:00",
            "datacontenttype" : "application/json", "dataschema" : "/schema", "fleet" : "demo", "count" : -12,
            "hot" : true, "none" : null } "#,
    ))
    .unwrap();
    assert_eq!(event.id(), "i\n");
    assert_eq!(event.source(), "/s");
    assert_eq!(event.r#type(), "t");
    assert_eq!(event.subject().unwrap(), "a subject longer than twenty-three bytes");
    assert_eq!(event.time().unwrap(), "2026-11-21T06:58:00.50+01:00");
    assert_eq!(event.datacontenttype().unwrap(), "application/json");
    assert_eq!(event.dataschema().unwrap(), "/schema");
    let extensions: Vec<_> = event.extensions().iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    assert_eq!(extensions, [("fleet", "demo".into()), ("count", Value::Integer(-12)), ("hot", Value::Boolean(true))]);
    assert_eq!(event.data().unwrap(), &br#"{"b":1.10, "a":[12345678901234567890123]}"#[..]);
}

#[test]
fn null_attributes_are_absent() {
    let nulls =
        r#","subject":null,"time":null,"datacontenttype":null,"dataschema":null,"fleet":null,"data_base64":null"#;
    assert_eq!(decode(&with(nulls)), decode(&with("")));
}

#[test]
fn payloads_share_the_memory_of_the_message() {
    for more in [r#","data":{"a":1}"#, r#","datacontenttype":"text/plain","data":"some text""#] {
        let message = with(more);
        let payload = decode(&message).unwrap().data().unwrap().clone();
        let place = message.as_ptr() as usize..message.as_ptr() as usize + message.len();
        assert!(place.contains(&(payload.as_ptr() as usize)), "{more}");
    }
}

#[test]
fn data_is_what_its_media_type_says() {
    let json = |media_type: &str, data: &str| format!(r#","datacontenttype":"{media_type}","data":{data}"#);
    let same = |text: &'static str| Some(Bytes::from(text));
    assert_eq!(data(r#","data":"text""#), same(r#""text""#));
    assert_eq!(data(r#","data":null"#), same("null"));
    assert_eq!(data(&json("Application/JSON ; charset=utf-8", r#"{"a":1}"#)), same(r#"{"a":1}"#));
    assert_eq!(data(&json("application/vnd.acme+json", r#""\u0061""#)), same(r#""\u0061""#));
    assert_eq!(data(&json("text/plain", r#""line\nline \ud83d\ude00""#)), same("line\nline 😀"));
    assert_eq!(data(&json("text/plain", r#""""#)), same(""));
    assert_eq!(data(&json("text/plain", "null")), None);
    assert_eq!(data(r#","data_base64":"AAEC\/w==""#), Some(Bytes::from_static(&[0, 1, 2, 255])));
    assert_eq!(data(r#","datacontenttype":"application/json","data_base64":"e30=""#), same("{}"));
    assert_eq!(data(r#","data_base64":"""#), same(""));
    assert_eq!(data(r#","data_base64":null,"data":1"#), same("1"));
    assert_eq!(data(""), None);
}

#[test]
fn what_is_not_an_event_is_refused_with_the_attribute() {
    let cases = [
        (r#","id":"j""#, "'id' appears twice; send it once"),
        (r#","subject":null,"subject":"x""#, "'subject' appears twice; send it once"),
        (r#","fleet":"a","fleet":"a""#, "'fleet' appears twice; send it once"),
        (r#","fleet":null,"fleet":"a""#, "'fleet' appears twice; send it once"),
        (r#","data":1,"data":1"#, "'data' appears twice; send it once"),
        (r#","data_base64":"","data_base64":"""#, "'data_base64' appears twice; send it once"),
        (r#","data":null,"data_base64":"""#, "the event has both 'data' and 'data_base64'; send one of them"),
        (r#","subject":7"#, "'subject' is a number; send it as a string"),
        (r#","time":{"a":[1]}"#, "'time' is an object; send it as a string"),
        (r#","data_base64":[]"#, "'data_base64' is an array; send it as a string"),
        (r#","data_base64":true"#, "'data_base64' is a boolean; send it as a string"),
        (r#","data_base64":"e30""#, "'data_base64' is not standard base64 with padding: invalid padding"),
        (
            r#","trace":{"a":1}"#,
            "attribute 'trace' is an object; extension attributes are strings, booleans or integers",
        ),
        (r#","tags":[[1],2]"#, "attribute 'tags' is an array; extension attributes are strings, booleans or integers"),
        (
            r#","share":1.0"#,
            "attribute 'share' is a number that is no 64-bit integer; extension attributes are strings, booleans or integers",
        ),
        (
            r#","big":9223372036854775808"#,
            "attribute 'big' is an integer beyond 64 bits; extension attributes are strings, booleans or integers",
        ),
        (r#","Fleet":"a""#, "'Fleet' is no attribute name; use lower-case letters and digits only"),
        (r#","":"a""#, "'' is no attribute name; use lower-case letters and digits only"),
        (
            r#","time":"yesterday""#,
            "attribute 'time' is 'yesterday', which is not an RFC 3339 timestamp such as 2026-11-21T06:58:00Z",
        ),
        (
            r#","datacontenttype":"text/plain","data":{}"#,
            "'data' is an object although datacontenttype 'text/plain' is not JSON; send it as a string, or as data_base64",
        ),
    ];
    for (more, sentence) in cases {
        assert_eq!(decode(&with(more)).unwrap_err().to_string(), sentence, "{more}");
    }
}

#[test]
fn required_attributes_are_demanded_by_name() {
    let all = [("specversion", "1.0"), ("id", "i"), ("source", "/s"), ("type", "t")];
    for (absent, _) in all {
        for value in [None, Some("null"), Some("\"\"")] {
            let member = |(name, text): (&str, &str)| match value {
                _ if name != absent => Some(format!("\"{name}\":\"{text}\"")),
                value => value.map(|value| format!("\"{name}\":{value}")),
            };
            let members: Vec<String> = all.into_iter().filter_map(member).collect();
            let sentence = format!(
                "attribute '{absent}' is missing or empty; every CloudEvent needs specversion, id, source and type"
            );
            assert_eq!(refusal(&format!("{{{}}}", members.join(","))), sentence);
        }
    }
    assert_eq!(refusal(r#"{"specversion":"0.3"}"#), "specversion '0.3' is not supported; send CloudEvents 1.0");
}

#[test]
fn what_is_not_json_is_refused_with_the_place() {
    let place = |text: &str| refusal(text).strip_prefix("not a CloudEvent in JSON: ").unwrap().to_owned();
    assert_eq!(place(""), "EOF while parsing a value at line 1 column 0");
    assert_eq!(place("[]"), "invalid type: sequence, expected an object at line 1 column 0");
    assert_eq!(place(r#"{"id":"i","#), "EOF while parsing a value at line 1 column 10");
    assert_eq!(place(r#"{"id":"i"} x"#), "trailing characters at line 1 column 12");
    assert!(place(r#"{"id":"\ud800"}"#).contains("column 14"), "{}", place(r#"{"id":"\ud800"}"#));
    let lone = decode(&with(r#","datacontenttype":"text/plain","data":"\ud800""#)).unwrap_err().to_string();
    assert!(lone.starts_with("not a CloudEvent in JSON: data: "), "{lone}");
    let invalid = decode(&Bytes::from_static(b"{\"id\":\"\xc0\xa0\"}")).unwrap_err();
    assert_eq!(invalid.to_string(), "not a CloudEvent in JSON: byte 7 is not valid utf-8");
}

#[test]
fn hostile_messages_cost_no_more_than_their_size() {
    let deep = format!(r#","data":{}{}"#, "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(data(&deep).unwrap().len(), 200_000);
    let deep = format!(r#","x":{}{}"#, "[".repeat(100_000), "]".repeat(100_000));
    assert!(decode(&with(&deep)).is_err());
    let names: String = (0..50_000).map(|number| format!(r#","n{number}":{}"#, number % 2)).collect();
    assert_eq!(decode(&with(&names)).unwrap().extensions().len(), 50_000);
    assert_eq!(
        decode(&with(&format!(r#"{names},"n7":null"#))).unwrap_err().to_string(),
        "'n7' appears twice; send it once"
    );
    let long = "é".repeat(100_000);
    for more in [format!(r#","{long}":1"#), format!(r#","time":"{long}""#)] {
        assert!(decode(&with(&more)).unwrap_err().to_string().len() < 250);
    }
    assert!(refusal(&format!("\"{long}\"")).len() < 250);
}

#[test]
fn an_event_is_written_member_by_member() {
    let event = plain(br#"{"b":1.10, "a":2}"#, Some("application/json"))
        .with_subject("quote \" backslash \\ line\n tab\t bell\u{7} é".into())
        .with_time("2026-11-21T06:58:00Z".into())
        .unwrap()
        .with_dataschema("/s".into())
        .with_extension(Name::new("count").unwrap(), Value::Integer(i64::MIN))
        .with_extension(Name::new("on").unwrap(), Value::Boolean(true))
        .with_extension(Name::new("off").unwrap(), Value::Boolean(false));
    assert_eq!(
        written(&event),
        concat!(
            r#"{"specversion":"1.0","id":"i","source":"/s","type":"t","#,
            r#""subject":"quote \" backslash \\ line\n tab\t bell\u0007 é","time":"2026-11-21T06:58:00Z","#,
            r#""datacontenttype":"application/json","dataschema":"/s","#,
            r#""count":-9223372036854775808,"on":true,"off":false,"data":{"b":1.10, "a":2}}"#
        )
    );
}

#[test]
fn payloads_are_written_so_that_they_come_back() {
    let cases: [(&[u8], Option<&str>, &str); 9] = [
        (b"{\"a\": 1}", None, r#""data":{"a": 1}"#),
        (b"null", Some("text/json"), r#""data":null"#),
        (b"{}\n", Some("application/json"), r#""data_base64":"e30K""#),
        (b"{]", Some("application/json"), r#""data_base64":"e10=""#),
        (b"", None, r#""data_base64":"""#),
        (b"{}", Some("text/plain"), r#""data":"{}""#),
        (b"a\"b\n", Some("text/plain"), r#""data":"a\"b\n""#),
        (b"", Some("text/plain"), r#""data":"""#),
        (b"\xff\0", Some("text/plain"), r#""data_base64":"/wA=""#),
    ];
    for (data, media_type, member) in cases {
        let text = written(&plain(data, media_type));
        assert!(text.ends_with(&format!(",{member}}}")), "{text}");
    }
}

#[test]
fn media_types_are_told_by_their_subtype() {
    for json in
        ["application/json", "TEXT/Json", "application/json;charset=utf-8", " a/b+json ; x=\"+y\"", "image/x+a+json"]
    {
        assert!(is_json(json), "{json}");
    }
    for other in
        ["", "json", "text/plain", "application/jsonl", "application/json-seq", "a/b+xml;c=d/json", "application/"]
    {
        assert!(!is_json(other), "{other}");
    }
}

proptest! {
    #[test]
    fn reading_undoes_writing(event in events()) {
        let mut out = b"before".to_vec();
        encode(&event, &mut out);
        let message = Bytes::from(out).slice(6..);
        prop_assert_eq!(decode(&message), Ok(event));
    }

    #[test]
    fn a_line_is_one_line_and_the_same_event(event in events()) {
        let mut out = Vec::new();
        encode_line(&event, &mut out);
        prop_assert!(!out.contains(&b'\n') && !out.contains(&b'\r'));
        prop_assert_eq!(decode(&out.into()), Ok(event));
    }

    #[test]
    fn what_is_written_is_json_to_others(event in events()) {
        let value: serde_json::Value = match serde_json::from_str(&written(&event)) {
            Ok(value) => value,
            // A lone surrogate is a JSON escape that Rust's strings cannot hold; the payload keeps it.
            Err(cause) => {
                prop_assert!(cause.to_string().contains("surrogate") || cause.to_string().contains("hex escape"), "{}", cause);
                return Ok(());
            }
        };
        prop_assert_eq!(&value["id"], event.id().as_str());
        prop_assert_eq!(value.get("subject").and_then(|text| text.as_str()), event.subject().map(|text| text.as_str()));
    }

    #[test]
    fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        prop_assert!(decode(&bytes.into()).is_err());
    }

    #[test]
    fn a_damaged_event_is_answered(event in events(), at in any::<prop::sample::Index>(), byte: u8) {
        let mut out = Vec::new();
        encode(&event, &mut out);
        let at = at.index(out.len());
        out[at] = byte;
        if let Ok(read) = decode(&out.into()) {
            let mut again = Vec::new();
            encode(&read, &mut again);
            prop_assert_eq!(decode(&again.into()), Ok(read));
        }
    }

    #[test]
    fn every_text_survives(text in texts()) {
        let event = Event::new(text.clone(), text.clone(), text).unwrap();
        prop_assert_eq!(decode(&written(&event).into()), Ok(event));
    }
}
