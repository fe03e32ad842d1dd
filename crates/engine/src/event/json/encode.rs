//! Writing: straight into a buffer that the caller keeps.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::value::RawValue;
use smol_str::format_smolstr;

use super::super::{Event, Value};
use super::is_json;

/// Appends `event` to `out` as one JSON object without whitespace of its own. JSON data is embedded as it is spelled,
/// line breaks included; use [`encode_line`] where a line is an event.
pub fn encode(event: &Event, out: &mut Vec<u8>) {
    write(event, out, |_| true);
}

/// Appends `event` to `out` as one JSON object on one line, without the line break that ends it. JSON data that spans
/// lines goes into `data_base64`.
pub fn encode_line(event: &Event, out: &mut Vec<u8>) {
    write(event, out, |data| !data.iter().any(|byte| matches!(byte, b'\n' | b'\r')));
}

fn write(event: &Event, out: &mut Vec<u8>, embeddable: impl Fn(&[u8]) -> bool) {
    // Names, quotes and a few short attributes; base64 and escapes grow the buffer when they occur.
    out.reserve(256 + event.data().map_or(0, |data| data.len()));
    out.extend_from_slice(br#"{"specversion":"1.0","id":"#);
    quote(event.id(), out);
    let texts = [
        ("source", Some(event.source())),
        ("type", Some(event.r#type())),
        ("subject", event.subject()),
        ("time", event.time()),
        ("datacontenttype", event.datacontenttype()),
        ("dataschema", event.dataschema()),
    ];
    for (name, text) in texts {
        if let Some(text) = text {
            member(name, out);
            quote(text, out);
        }
    }
    for (name, value) in event.extensions() {
        member(name.as_str(), out);
        match value {
            Value::String(text) => quote(text, out),
            Value::Boolean(true) => out.extend_from_slice(b"true"),
            Value::Boolean(false) => out.extend_from_slice(b"false"),
            Value::Integer(number) => out.extend_from_slice(format_smolstr!("{number}").as_bytes()),
        }
    }
    if let Some(data) = event.data() {
        payload(data, event.datacontenttype().is_none_or(|media_type| is_json(media_type)), embeddable, out);
    }
    out.push(b'}');
}

fn payload(data: &[u8], json: bool, embeddable: impl Fn(&[u8]) -> bool, out: &mut Vec<u8>) {
    match std::str::from_utf8(data) {
        Ok(text) if json && is_value(text) && embeddable(data) => {
            member("data", out);
            out.extend_from_slice(data);
        }
        Ok(text) if !json => {
            member("data", out);
            quote(text, out);
        }
        _ => {
            member("data_base64", out);
            out.push(b'"');
            let start = out.len();
            out.resize(start + data.len().div_ceil(3) * 4, 0);
            // The space is exactly what base64 with padding takes, so this cannot fail.
            let written = BASE64_STANDARD.encode_slice(data, &mut out[start..]).unwrap_or_default();
            out.truncate(start + written);
            out.push(b'"');
        }
    }
}

/// Whether `text` is one JSON value with nothing around it, so that a reader finds exactly these bytes again.
fn is_value(text: &str) -> bool {
    serde_json::from_str::<&RawValue>(text).is_ok_and(|value| value.get().len() == text.len())
}

fn member(name: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

/// Appends a JSON string. Only what JSON demands is escaped.
fn quote(text: &str, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut rest = text.as_bytes();
    out.push(b'"');
    while let Some(at) = rest.iter().position(|byte| *byte < b' ' || matches!(byte, b'"' | b'\\')) {
        let (plain, special) = rest.split_at(at);
        out.extend_from_slice(plain);
        match special[0] {
            byte @ (b'"' | b'\\') => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            byte => {
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            }
        }
        rest = &special[1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}
