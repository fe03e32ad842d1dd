//! The JSON Schema of a whole file, from the structs that read it and the kinds that are registered.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::file::{DefaultsEntry, FunctionEntry, OutputEntry, RuleEntry, SourceEntry, StateEntry, TriggerEntry};
use crate::registry::Registry;

const NAME: &str = "^[a-z0-9-]{1,63}$";

/// The JSON Schema of a configuration file for these kinds: draft 2020-12, with no additional properties anywhere.
#[must_use]
pub fn schema(registry: &Registry) -> Value {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let sources = registry.source_schemas(&mut generator);
    let functions = registry.function_schemas(&mut generator);
    let outputs = registry.output_schemas(&mut generator);
    let mut trigger = inline::<TriggerEntry>(&mut generator);
    let rules = named(&json!(generator.subschema_for::<RuleEntry>()), "The rules, all of which fire where they match.");
    trigger["properties"]["rules"] = rules;
    trigger["required"] = json!(["source", "rules"]);
    let properties = json!({
        "sources": named(&with_kinds::<SourceEntry>(&mut generator, sources), "Where messages come from."),
        "functions": named(&with_kinds::<FunctionEntry>(&mut generator, functions), "User code."),
        "outputs": named(&with_kinds::<OutputEntry>(&mut generator, outputs), "Where results go."),
        "triggers": named(&trigger, "Streams of events and what happens to them."),
        "defaults": generator.subschema_for::<DefaultsEntry>(),
        "state": generator.subschema_for::<StateEntry>(),
        "replicas": { "description": "How many engines share the work; only 1 for now.", "const": 1 },
    });
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Tidemill configuration",
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
        "$defs": generator.take_definitions(true),
    });
    close(&mut schema);
    schema
}

/// A map from names to entries.
fn named(entry: &Value, description: &str) -> Value {
    json!({
        "description": description,
        "type": "object",
        "propertyNames": { "pattern": NAME },
        "additionalProperties": entry,
    })
}

/// An entry with exactly one kind beside its own keys.
fn with_kinds<T: JsonSchema>(generator: &mut SchemaGenerator, kinds: Vec<(&'static str, Schema)>) -> Value {
    let mut entry = inline::<T>(generator);
    if !entry["properties"].is_object() {
        entry["properties"] = json!({});
    }
    let mut choices = Vec::new();
    for (kind, options) in kinds {
        entry["properties"][kind] = optional(json!(options), generator);
        choices.push(json!({ "required": [kind] }));
    }
    if !choices.is_empty() {
        entry["oneOf"] = Value::Array(choices);
    }
    entry
}

/// Options that need no key may be nothing at all, as in `log:`.
fn optional(options: Value, generator: &SchemaGenerator) -> Value {
    let name = options["$ref"].as_str().and_then(|path| path.strip_prefix("#/$defs/"));
    let definition = name.and_then(|name| generator.definitions().get(name)).unwrap_or(&options);
    let needs_nothing = definition["type"] == "object" && definition["required"].is_null();
    if needs_nothing { json!({ "anyOf": [options, { "type": "null" }] }) } else { options }
}

fn inline<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    json!(T::json_schema(generator))
}

/// Unknown keys are refused by whoever reads a struct, so its schema refuses them too.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            object.values_mut().for_each(close);
            if is_struct(object) {
                object.insert("additionalProperties".to_owned(), Value::Bool(false));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

fn is_struct(object: &Map<String, Value>) -> bool {
    let typed = object.get("type").is_some_and(|kind| kind == "object");
    typed && object.get("properties").is_some_and(Value::is_object) && !object.contains_key("additionalProperties")
}
