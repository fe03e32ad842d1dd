//! The JSON Schema says the same as the reader.

use std::path::Path;

use engine::config::{Environment, Files, load_files, schema};

use crate::kinds::registry;

/// A configuration that uses every key of the language.
const EVERYTHING: &str = include_str!("everything.yml");

fn json(text: &str) -> serde_json::Value {
    serde_saphyr::from_str(text).unwrap()
}

fn is_sound(text: &str) -> bool {
    let mut files = Files::default();
    files.add("a.yaml", text);
    let loaded = load_files(files, "a", &registry(), &Environment::default());
    loaded.is_sound()
}

#[test]
fn it_accepts_what_the_reader_accepts() {
    let validator = jsonschema::validator_for(&schema(&registry())).unwrap();
    let errors: Vec<String> = validator.iter_errors(&json(EVERYTHING)).map(|error| error.to_string()).collect();
    assert_eq!(errors, [""; 0]);
    assert!(is_sound(EVERYTHING));
}

#[test]
fn it_refuses_what_the_reader_refuses() {
    let validator = jsonschema::validator_for(&schema(&registry())).unwrap();
    for (sound, broken) in [
        ("sources:\n", "sauces:\n"),
        ("seats: 500", "seets: 500"),
        ("seats: 500", "seats: many"),
        ("qos: 1", "qoss: 1"),
        ("topics: [v1/+/telemetry]", "topics: v1/+/telemetry"),
        ("ack: processed", "ack: proccessed"),
        ("native: count", "naitve: count"),
        ("timeout: 2s", "timeout: two seconds"),
        ("backoffPolicy: exponential", "backoffPolicy: fibonacci"),
        ("user: tide", "usr: tide"),
        ("exact: { type: a }", "exatc: { type: a }"),
        ("  telemetry:", "  Telemetry:"),
        ("fsync: interval", "fsync: often"),
        ("replicas: 1", "replicas: 2"),
        ("order: none", "order: keys"),
        ("parkMax: 1000", "parkMax: many"),
        ("onExhausted: drop", "onExhausted: forget"),
        ("    source: [fleet, clock, kept-first]", "    sources: [fleet, clock, kept-first]"),
        ("onFull: block", "onFull: wait"),
        ("onFailure: [kept]", "onFailure: 5"),
        ("onSuccess: []", "onSucces: []"),
        ("quotas: { spool: { maxBytes: 2GiB", "quotas: { spool: { maxBytess: 2GiB"),
        ("quotas: { spool:", "quotas: { parked:"),
        ("maxAge: 30d, onFull: dropOldest", "maxAge: 30d, onFull: dropNewest"),
    ] {
        let text = EVERYTHING.replacen(sound, broken, 1);
        assert_ne!(text, EVERYTHING, "{sound}");
        assert!(!validator.is_valid(&json(&text)), "{broken}");
        assert!(!is_sound(&text), "{broken}");
    }
}

#[test]
fn no_struct_is_left_open() {
    fn open(schema: &serde_json::Value, path: &str, found: &mut Vec<String>) {
        if let Some(object) = schema.as_object() {
            if object.contains_key("properties")
                && object["type"] == "object"
                && !object.contains_key("additionalProperties")
            {
                found.push(path.to_owned());
            }
            object.iter().for_each(|(key, value)| open(value, &format!("{path}/{key}"), found));
        }
    }
    let mut found = Vec::new();
    open(&schema(&registry()), "", &mut found);
    assert_eq!(found, [""; 0]);
}

#[test]
fn every_sound_case_fits() {
    let validator = jsonschema::validator_for(&schema(&registry())).unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config");
    let mut fitted = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_string_lossy().starts_with("sound-") && path.extension().unwrap() == "yaml" {
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(is_sound(&text) && validator.is_valid(&json(&text)), "{}", path.display());
            fitted += 1;
        }
    }
    assert!(fitted > 0);
}
