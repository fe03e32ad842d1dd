//! The CloudEvents SDKs of Python and JavaScript, which share nothing with the engine: what they send arrives, and what is
//! sent on they read as the same event, in binary and in structured mode.

// Both SDKs, at both ends.
mod http;
// Python's, with messages that kcat produces and consumes.
mod kafka;
// Python's, with messages that pika publishes and takes.
mod amqp;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use testkit::patience::until;
use testkit::process::{Lines, Process};
use testkit::python;
use testkit::tidemill::Tidemill;

use crate::outcome::{PROGRAM, assert_balanced};

/// A script of Python, behind what all of them begin with.
macro_rules! script {
    ($name:literal) => {
        concat!(include_str!("events.py"), include_str!($name))
    };
}
use script;

/// The payloads that every sender has.
const PAYLOADS: [&str; 3] = ["json", "text", "bytes"];

/// The event with one payload, as a receiver shows it.
fn sent(sender: &str, mode: &str, payload: &str) -> Value {
    let (media_type, key, data) = match payload {
        "json" => ("application/json", "json", json!({ "n": 1.5, "list": [1, null], "\u{e9}": "\u{fc}" })),
        "text" => ("text/plain; charset=utf-8", "base64", "YSBsaW5lCmFuZCBhIHRpZGUg8J+Mig==".into()),
        _ => ("application/octet-stream", "base64", EVERY_BYTE.into()),
    };
    // JavaScript's SDK writes headers as they are, so that it can send no more than ASCII in them.
    let subject = if (sender, mode) == ("node", "binary") { "veh 1" } else { "50 % \"\u{e9}\"" };
    let mut event = json!({
        "specversion": "1.0",
        "id": format!("{sender}.{mode}.{payload}"),
        "source": "/sdk",
        "type": "org.example.sdk",
        "subject": subject,
        "time": 1_795_244_280_120_i64,
        "datacontenttype": media_type,
        "tenant": "a b",
        // A number only where the way has types.
        "level": "7",
    });
    event[key] = data;
    event
}

/// Every byte in base64.
const EVERY_BYTE: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+P0BBQkNERUZHSElKS0xNTk9QUVJTVFVWV1hZWltcXV5fYGFiY2RlZmdoaWprbG1ub3BxcnN0dXZ3eHl6e3x9fn+AgYKDhIWGh4iJiouMjY6PkJGSk5SVlpeYmZqbnJ2en6ChoqOkpaanqKmqq6ytrq+wsbKztLW2t7i5uru8vb6/wMHCw8TFxsfIycrLzM3Oz9DR0tPU1dbX2Nna29zd3t/g4eLj5OXm5+jp6uvs7e7v8PHy8/T19vf4+fr7/P3+/w==";

/// The events that a receiver has shown.
fn shown(lines: &Lines) -> Vec<Value> {
    let event = |line: &String| serde_json::from_str(line.strip_prefix("event ")?).ok();
    lines.all().iter().filter_map(event).collect()
}

/// Waits until a receiver has shown so many.
async fn received(receiver: &Process, count: usize) -> Vec<Value> {
    until("every event at the receiver", async || Some(shown(receiver.lines())).filter(|shown| shown.len() >= count))
        .await
}

/// Every event of a sender in these modes is among those that came to each place once, with at least the attributes that
/// it was sent with.
fn assert_same(received: &[Value], places: &[&str], senders: &[(&str, &[&str])]) {
    let mut by_place = BTreeMap::new();
    for event in received {
        let place = event["at"].as_str().expect("a place");
        let before = by_place.insert((place, event["id"].as_str().expect("an id")), event);
        assert_eq!(before, None, "it came twice to {place}");
    }
    let mut expected = BTreeSet::new();
    for place in places {
        for (sender, mode) in senders.iter().flat_map(|(sender, modes)| modes.iter().map(move |mode| (sender, mode))) {
            for payload in PAYLOADS {
                let sent = sent(sender, mode, payload);
                let id = sent["id"].as_str().expect("an id").to_owned();
                let came = by_place.get(&(*place, id.as_str())).unwrap_or_else(|| panic!("no {id} at {place}"));
                for (name, value) in sent.as_object().expect("an object") {
                    let number =
                        came[name].as_i64().filter(|_| name == "level").map(|number| number.to_string().into());
                    assert_eq!(number.as_ref().unwrap_or(&came[name]), value, "{name} of {id} at {place}");
                }
                expected.insert((*place, id));
            }
        }
    }
    assert_eq!(by_place.len(), expected.len(), "nothing else came");
}

/// Runs a script of Python to its end.
async fn run(script: &str, arguments: &[&str]) -> Process {
    let mut process = python::run(script, arguments);
    let ended = process.wait().await;
    assert!(ended.success(), "{:?}", process.lines().all());
    process
}

/// An engine that passes everything from `source` on to `outputs`, which are lines.
fn passing(source: &str, outputs: &[(String, String)]) -> Tidemill {
    let mut yaml = format!("sources:\n  in: {source}\noutputs:\n");
    outputs.iter().for_each(|(name, output)| yaml += &format!("  {name}: {output}\n"));
    let names: Vec<_> = outputs.iter().map(|(name, _)| name.as_str()).collect();
    yaml += &format!(
        "triggers:\n  all:\n    source: in\n    rules:\n      pass: {{ output: [{}], retry: {{ maxAttempts: 1 }} }}\n",
        names.join(", ")
    );
    Tidemill::new(PROGRAM, &yaml)
}
