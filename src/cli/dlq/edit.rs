//! `tidemill dlq edit`: another payload or other attributes for the event of one dead letter.
//!
//! Decision: **what is not meant is not rewritten**. A merge exchanges the members that it names and leaves the text of all
//! others as it stands, spelling of numbers included.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use engine::event::json::{decode, encode_line};
use engine::event::{Event, json::is_json};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::super::{Exit, Failure, data, note};
use super::place::Place;
use super::{EXAMPLES, Where, one, selection};

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
#[group(id = "change", required = true, multiple = true, args = ["data", "merge", "set", "remove"])]
pub(super) struct Edit {
    /// Which one, as `tidemill dlq list` names it
    id: String,
    /// The new payload: a text, or @FILE
    #[arg(long, value_name = "TEXT", conflicts_with = "merge")]
    data: Option<String>,
    /// What to exchange in a payload that is JSON, as a JSON merge patch (RFC 7386): a text, or @FILE; null removes a member
    #[arg(long, value_name = "JSON")]
    merge: Option<String>,
    /// A new value for an attribute, such as type=org.example.alert; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    set: Vec<String>,
    /// An extension attribute to leave out; may be repeated
    #[arg(long, value_name = "NAME")]
    remove: Vec<String>,
    /// Only print the event as it would be
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    place: Where,
}

/// What is needed of a letter.
#[derive(Deserialize)]
struct Line<'l> {
    reason: String,
    #[serde(default)]
    edits: u32,
    #[serde(borrow)]
    event: &'l RawValue,
}

impl Edit {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        selection(&[("id", self.id.clone())])?;
        let (data_text, merge_text) = (self.data.as_deref().map(text), self.merge.as_deref().map(text));
        let (payload, patch) = (data_text.transpose()?, merge_text.transpose()?);
        let place = Place::find(&self.place)?;
        let line = one(&place, &self.id)?;
        let Line { reason, edits, event } = serde_json::from_str(&line).map_err(Failure::failed)?;
        if reason == "undecodable" {
            return Err(Failure::failed(format!("dead letter '{}' is no event, and stays as it came", self.id)));
        }
        let mut event = decode(&event.get().as_bytes().to_vec().into()).map_err(Failure::failed)?;
        event.edit().remove_extensions(|name| name.starts_with("dlq") || name.starts_with("knativeerror"));
        self.change(&mut event, payload, patch)?;
        if self.dry_run {
            let mut json = Vec::new();
            encode_line(&event, &mut json);
            data(&String::from_utf8_lossy(&json))?;
            return Ok(Exit::Well);
        }
        place.edit(&self.id, edits, event)?;
        note(&format!("dead letter '{}' is edited; 'tidemill dlq replay {}' sends it on its way", self.id, self.id));
        Ok(Exit::Well)
    }

    fn change(&self, event: &mut Event, payload: Option<Vec<u8>>, patch: Option<Vec<u8>>) -> Result<(), Failure> {
        let media_type = event.datacontenttype().cloned();
        if let Some(payload) = payload {
            event.edit().data(payload.into(), media_type);
        } else if let Some(patch) = patch {
            if media_type.as_ref().is_some_and(|media_type| !is_json(media_type)) {
                return Err(Failure::failed(
                    "the payload is no JSON, so that nothing can be merged into it; use --data",
                ));
            }
            let patch: Box<RawValue> = serde_json::from_slice(&patch)
                .map_err(|error| Failure::refused(format!("what is to be merged is no JSON: {error}")))?;
            let before = event.data().map_or(&b"null"[..], |data| data);
            let before: Box<RawValue> = serde_json::from_slice(before)
                .map_err(|error| Failure::failed(format!("the payload is no JSON: {error}; use --data")))?;
            event.edit().data(merged(before.get(), patch.get()).into(), media_type);
        }
        for pair in &self.set {
            let (name, value) = pair.split_once('=').ok_or_else(|| Failure::refused("write --set NAME=VALUE"))?;
            event.set(name, value.into()).map_err(Failure::refused)?;
        }
        for name in &self.remove {
            if event.extension(name).is_none() {
                return Err(Failure::refused(format!("the event has no extension attribute '{name}'")));
            }
            event.edit().remove_extensions(|other| other == name);
        }
        Ok(())
    }
}

/// A text, or what stands in the file that it names.
fn text(typed: &str) -> Result<Vec<u8>, Failure> {
    let Some(path) = typed.strip_prefix('@') else { return Ok(typed.as_bytes().to_vec()) };
    std::fs::read(Path::new(path)).map_err(|cause| Failure::failed(format!("cannot read '{path}': {cause}")))
}

/// The members of an object in their order.
struct Members<'j>(Vec<(String, &'j RawValue)>);

impl<'de: 'j, 'j> Deserialize<'de> for Members<'j> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Each)
    }
}

/// A JSON text with a merge patch in it.
fn merged(target: &str, patch: &str) -> String {
    let Ok(Members(patch)) = serde_json::from_str::<Members<'_>>(patch) else { return patch.to_owned() };
    let Members(target) = serde_json::from_str(target).unwrap_or(Members(Vec::new()));
    let mut patch: BTreeMap<String, &RawValue> = patch.into_iter().collect();
    let mut members = Vec::new();
    for (name, value) in target {
        match patch.remove(&name) {
            None => members.push((name, value.get().to_owned())),
            Some(change) if change.get() == "null" => {}
            Some(change) => members.push((name, merged(value.get(), change.get()))),
        }
    }
    let fresh = patch.into_iter().filter(|(_, value)| value.get() != "null");
    members.extend(fresh.map(|(name, value)| (name, merged("null", value.get()))));
    let written = members.into_iter().map(|(name, value)| format!("{}:{value}", serde_json::Value::String(name)));
    format!("{{{}}}", written.collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merge_leaves_what_it_does_not_name_as_it_stands() {
        for (target, patch, expected) in [
            (
                r#"{"v":1.10,"big":12345678901234567890123,"a":1}"#,
                r#"{"a":2.50}"#,
                r#"{"v":1.10,"big":12345678901234567890123,"a":2.50}"#,
            ),
            (
                r#"{"b":{"x":1.0,"y":[1, 2]},"a":0}"#,
                r#"{"b":{"x":null,"z":true}}"#,
                r#"{"b":{"y":[1, 2],"z":true},"a":0}"#,
            ),
            (r#"{"a":1}"#, r#"{"a":null,"c":{"d":null,"e":"\n"}}"#, r#"{"c":{"e":"\n"}}"#),
            ("[1,2]", r#"{"a":1}"#, r#"{"a":1}"#),
            (r#"{"a":1}"#, "[3]", "[3]"),
            ("null", "{}", "{}"),
        ] {
            assert_eq!(merged(target, patch), expected, "{target} {patch}");
        }
    }
}
