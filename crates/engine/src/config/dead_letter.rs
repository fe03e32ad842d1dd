//! Where what is given up goes besides: the output that `deadLetter` names, which must not lead back to where it came from.
//!
//! Decision: **a way back is seen in what is written**. A source says how an output of its own kind would reach it
//! ([`SourcePlan::entrance`](crate::registry::SourcePlan::entrance)); an output that is written just so is one. Addresses that
//! are spelt differently and secrets that stand elsewhere are nobody's to compare here.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

use super::build::Adapters;
use super::node::{Entry, Node, Value};
use super::plan::{Output, Source};
use super::rules::{resolve, unknown};
use super::section::Sections;
use super::suggest::quoted;
use super::{Check, Span, Spanned};
use crate::registry::Sending;
use crate::router::returns;

/// An output by its name, or `{ output: NAME }`.
#[derive(Clone, Debug)]
pub(super) enum DeadLetterEntry {
    Name(String),
    Map(Map),
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Map {
    output: Spanned<String>,
}

impl<'de> Deserialize<'de> for DeadLetterEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = DeadLetterEntry;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of an output")
            }
            fn visit_str<E: Error>(self, name: &str) -> Result<DeadLetterEntry, E> {
                Ok(DeadLetterEntry::Name(name.to_owned()))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<DeadLetterEntry, A::Error> {
                Map::deserialize(MapAccessDeserializer::new(map)).map(DeadLetterEntry::Map)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl JsonSchema for DeadLetterEntry {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "DeadLetterEntry".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let map = json_schema!({
            "type": "object",
            "properties": { "output": { "type": "string" } },
            "required": ["output"],
            "additionalProperties": false,
        });
        json_schema!({ "anyOf": [{ "type": "string" }, map] })
    }
}

/// What may be named, and how it is written.
#[derive(Clone, Copy)]
pub(super) struct Targets<'a> {
    pub(super) outputs: &'a Adapters<Output>,
    pub(super) sections: &'a Sections,
}

/// The place of an output, and where it was named.
type Named = (usize, Span);

impl Targets<'_> {
    /// The place of the output that is named; an unknown one is noted.
    pub(super) fn find(&self, written: &Spanned<DeadLetterEntry>, check: &mut Check) -> Option<usize> {
        let name = match &written.value {
            DeadLetterEntry::Name(name) => Spanned::new(name.clone(), written.span),
            DeadLetterEntry::Map(map) => map.output.clone(),
        };
        if returns::is(&name.as_str().into()) {
            let help = "name an output; 'tidemill dlq replay --through router' sends them to the rules again";
            check.error(name.span, "dead letters do not go back into the router", help);
            return None;
        }
        let found = self.outputs.places.get(name.as_str()).copied();
        if found.is_none() && !(self.sections.torn && self.outputs.names.is_empty()) {
            unknown("output", &name, self.outputs, check);
        }
        found
    }

    /// The places of outputs that are named, each once; what is wrong with a name is noted.
    pub(super) fn find_all(&self, named: &[Spanned<String>], check: &mut Check) -> Vec<usize> {
        let mut used = vec![false; self.outputs.names.len()];
        resolve(("output", self.sections.torn), named, self.outputs, &mut used, check)
    }

    /// Where messages of a source go that are no events.
    pub(super) fn of_source(
        &self,
        source: &Source,
        written: Option<&Spanned<DeadLetterEntry>>,
        usual: Option<usize>,
        check: &mut Check,
    ) -> Option<usize> {
        let span = self.sections.sources.iter().find(|entry| entry.name() == source.name).map(|entry| entry.key.span);
        let named = self.named(written, (usual, span.unwrap_or_default()), check)?;
        self.refuse_circle(&format!("dead letters of source {}", quoted(&source.name)), source, named, check);
        Some(named.0)
    }

    /// Where what a rule or a trigger gives up goes, whose events are of these sources.
    pub(super) fn of_events(
        &self,
        owner: &str,
        sources: &[&Source],
        written: Option<&Spanned<DeadLetterEntry>>,
        usual: (Option<usize>, Span),
        check: &mut Check,
    ) -> Option<usize> {
        let named = self.named(written, usual, check)?;
        for source in sources {
            self.refuse_circle(&format!("dead letters of {owner}"), source, named, check);
        }
        Some(named.0)
    }

    fn named(
        &self,
        written: Option<&Spanned<DeadLetterEntry>>,
        (usual, span): (Option<usize>, Span),
        check: &mut Check,
    ) -> Option<Named> {
        match written {
            Some(written) => self.find(written, check).map(|place| (place, written.span)),
            None => usual.map(|place| (place, span)),
        }
    }

    /// Notes an output that publishes to where the source receives from.
    pub(super) fn refuse_circle(&self, what: &str, source: &Source, (place, span): Named, check: &mut Check) {
        let name = self.outputs.names.get(place).map_or("", |name| name.as_str());
        let written = |entries: &[Entry], name: &str| entries.iter().find(|entry| entry.name() == name).cloned();
        let receives = written(&self.sections.sources, &source.name);
        let publishes = written(&self.sections.outputs, name);
        let (Some(receives), Some(publishes)) = (receives, publishes) else { return };
        if let Some(place) = circle(source, &receives.value, &publishes.value) {
            let message =
                format!("{what} would go to {place}, from which source {} receives them again", quoted(&source.name));
            check.error(span, message, "name an output that publishes elsewhere");
        }
    }
}

/// Where both meet, if the output publishes to where the source receives from.
fn circle(source: &Source, receives: &Node, publishes: &Node) -> Option<String> {
    let entries = |node: &Node| node.entries().unwrap_or_default().to_vec();
    // Both are of one kind, which is the only key that sources and outputs have in common.
    let (receives, publishes) = entries(receives).into_iter().find_map(|kind| {
        let same = entries(publishes).into_iter().find(|other| other.name() == kind.name())?;
        Some((kind.value, same.value))
    })?;
    let texts = |node: &Node, key: &str| {
        let found = entries(node).into_iter().find(|entry| entry.name() == key);
        found.map(|entry| match entry.value.value {
            Value::List(items) => items.iter().filter_map(Node::text).map(str::to_owned).collect(),
            _ => entry.value.text().map(str::to_owned).into_iter().collect::<Vec<_>>(),
        })
    };
    let written = entries(&publishes).into_iter().filter_map(|entry| entry.value.text().map(str::to_owned));
    // Some receive from one place, which they want nobody to name, and some from many, of which one has to be named.
    written.map(Some).chain([None]).find_map(|to| {
        let sending = Sending { to: to.as_deref(), patience: Duration::from_secs(30) };
        let entrance = source.plan.entrance(&sending).ok()?;
        let is_same = |(key, value): &(&'static str, serde_json::Value)| match (texts(&publishes, key), value.as_str())
        {
            _ if *key == "timeout" => true,
            // What is left out is what the entrance says only where that is empty.
            (None, text) => text.is_none_or(str::is_empty),
            (Some(written), Some(text)) => written.iter().any(|written| written == text),
            (Some(_), None) => true,
        };
        let address = entrance.shared.iter().filter(|key| matches!(**key, "url" | "brokers")).all(|key| {
            let theirs = texts(&publishes, key).unwrap_or_default();
            texts(&receives, key).unwrap_or_default().iter().any(|ours| theirs.contains(ours))
        });
        (address && entrance.own.iter().all(is_same)).then_some(entrance.place)
    })
}
