//! One line of `rejects.jsonl`.
//!
//! A delivery is kept as `{"time","reason","rule","function","attempts","message","event"}`, the event in the CloudEvents
//! JSON format with its payload byte for byte; a message that is no event as
//! `{"time","reason":"undecodable","source","message","facts","raw"}` with `raw` in base64.

use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::json;

use super::Rejected;
use crate::delivery::Undecodable;
use crate::event::json::encode_line;

pub(super) fn delivery(now: SystemTime, rejected: &Rejected) -> Vec<u8> {
    let head = json!({
        "time": timestamp(now),
        "reason": rejected.reason.name(),
        "rule": rejected.rule.as_str(),
        "function": rejected.function.as_deref(),
        "attempts": rejected.attempts,
        "message": rejected.message,
    });
    // The event is appended as text: a JSON tree would rewrite its payload.
    let mut line = head.to_string().into_bytes();
    line.pop();
    line.extend_from_slice(b",\"event\":");
    encode_line(&rejected.event, &mut line);
    line.push(b'}');
    line
}

pub(super) fn undecodable(now: SystemTime, source: &str, message: &Undecodable) -> Vec<u8> {
    let facts: serde_json::Map<_, _> =
        message.facts.iter().map(|(name, value)| (name.to_string(), value.as_str().into())).collect();
    let line = json!({
        "time": timestamp(now),
        "reason": "undecodable",
        "source": source,
        "message": message.reason,
        "facts": facts,
        "raw": STANDARD.encode(&message.raw),
    });
    line.to_string().into_bytes()
}

fn timestamp(now: SystemTime) -> String {
    DateTime::<Utc>::from(now).to_rfc3339_opts(SecondsFormat::Millis, true)
}
