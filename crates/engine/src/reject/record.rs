//! One line of `rejects.jsonl`.
//!
//! A delivery is kept as `{"time","reason","rule","function","attempts","message","event"}`, the event in the CloudEvents
//! JSON format with its payload byte for byte; a message that is no event as
//! `{"time","reason":"undecodable","source","message","facts","raw"}` with `raw` in base64.

use std::collections::BTreeMap;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

use super::Rejected;
use crate::delivery::Undecodable;
use crate::event::json::encode_line;

/// What stands before the event. A type, not a JSON tree, so that the members keep their order.
#[derive(Serialize)]
struct Head<'a> {
    time: String,
    reason: &'static str,
    rule: &'a str,
    function: Option<&'a str>,
    attempts: u32,
    message: &'a str,
}

#[derive(Serialize)]
struct Raw<'a> {
    time: String,
    reason: &'static str,
    source: &'a str,
    message: &'a str,
    facts: BTreeMap<&'a str, &'a str>,
    raw: String,
}

pub(super) fn delivery(now: SystemTime, rejected: &Rejected) -> Vec<u8> {
    let head = Head {
        time: timestamp(now),
        reason: rejected.reason.name(),
        rule: &rejected.rule,
        function: rejected.function.as_deref(),
        attempts: rejected.attempts,
        message: &rejected.message,
    };
    // The event is appended as text: a JSON tree would rewrite its payload.
    let mut line = text(&head);
    line.pop();
    line.extend_from_slice(b",\"event\":");
    encode_line(&rejected.event, &mut line);
    line.push(b'}');
    line
}

pub(super) fn undecodable(now: SystemTime, source: &str, message: &Undecodable) -> Vec<u8> {
    text(&Raw {
        time: timestamp(now),
        reason: "undecodable",
        source,
        message: &message.reason,
        facts: message.facts.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect(),
        raw: STANDARD.encode(&message.raw),
    })
}

fn text(record: &impl Serialize) -> Vec<u8> {
    // Text and numbers only: there is nothing that could fail.
    serde_json::to_vec(record).unwrap_or_default()
}

fn timestamp(now: SystemTime) -> String {
    DateTime::<Utc>::from(now).to_rfc3339_opts(SecondsFormat::Millis, true)
}
