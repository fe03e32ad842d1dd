//! Broken configurations of the kinds that the binary has, and what is said about them.
//!
//! Beside every `tests/golden/config/*.yaml` stands the exact output as `*.txt`; `TIDEMILL_BLESS=1` writes what comes out
//! now. The language itself has its cases in the engine, with kinds of their own; these are about options, whose places
//! must survive all the way from `mqtt:` to the caret.

use std::fs;
use std::path::{Path, PathBuf};

use engine::config::{Colour, Environment, Files, Loaded, load_files, schema};
use engine::registry::{Registry, Setup};
use serde_json::Value;
use tidemill::Tidemill;
use tidemill::vehicle::TelemetryToMetrics;

/// The kinds of the binary.
fn registry() -> Registry {
    Tidemill::builtin().into_registry()
}

/// The kinds of a binary that has the native functions which a configuration names: an example may bring its own.
fn registry_for(configuration: &Value) -> Registry {
    let functions = configuration["functions"].as_object().into_iter().flatten();
    let names = functions.filter_map(|(_, function)| function["native"].as_str());
    let any = |setup: Setup| Ok(TelemetryToMetrics::new(setup.clock));
    names.fold(Tidemill::builtin(), |binary, name| binary.native(name, any)).into_registry()
}

fn load(path: &Path, registry: &Registry) -> Loaded {
    let mut files = Files::default();
    let name = path.file_name().expect("a file has a name").to_string_lossy();
    files.add(name, fs::read_to_string(path).expect("the file can be read"));
    load_files(files, "golden", registry, &Environment::default())
}

/// The YAML files below a folder of the project, folders in it included.
fn yaml(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).expect("the folder can be read") {
            let path = entry.expect("the folder can be read").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "yaml") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Compares what is said with what stands in a file, or writes it there.
fn check(expected: &Path, said: &str) -> Result<(), String> {
    if std::env::var_os("TIDEMILL_BLESS").is_some() {
        fs::write(expected, said).expect("the file can be written");
    }
    let wanted = fs::read_to_string(expected).unwrap_or_default();
    if wanted == said {
        return Ok(());
    }
    Err(format!("{} says\n{wanted}\nbut what came out is\n{said}", expected.display()))
}

#[test]
fn what_is_said_about_every_broken_option() {
    let cases = yaml("tests/golden/config");
    assert!(cases.len() >= 15, "only {} cases", cases.len());
    let differences: Vec<String> = cases
        .iter()
        .filter_map(|case| {
            let loaded = load(case, &registry());
            assert!(loaded.plan.is_none(), "{} is sound", case.display());
            check(&case.with_extension("txt"), &loaded.render(Colour::Never)).err()
        })
        .collect();
    assert!(differences.is_empty(), "{}\nTIDEMILL_BLESS=1 accepts this", differences.join("\n"));
}

#[test]
fn every_example_is_sound_and_fits_the_schema() {
    let schema = schema(&registry());
    let validator = jsonschema::validator_for(&schema).expect("the schema is one");
    let examples = yaml("examples");
    assert!(!examples.is_empty());
    for example in examples {
        let text = fs::read_to_string(&example).expect("the file can be read");
        let json: Value = serde_saphyr::from_str(&text).expect("an example is YAML");
        let misfits: Vec<String> = validator.iter_errors(&json).map(|misfit| misfit.to_string()).collect();
        assert_eq!(misfits, [""; 0], "{}", example.display());
        let loaded = load(&example, &registry_for(&json));
        assert!(loaded.plan.is_some(), "{}", loaded.render(Colour::Never));
    }
}

#[test]
fn the_schema_refuses_what_the_reader_refuses() {
    let schema = schema(&registry());
    let validator = jsonschema::validator_for(&schema).expect("the schema is one");
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/vehicle-telemetry/tidemill.yaml");
    let text = fs::read_to_string(example).expect("the file can be read");
    for (sound, broken) in
        [("topics:", "tpoics:"), ("mqtt:", "mqqt:"), ("maxSeries:", "maxSerie:"), ("qos: 1", "qos: x")]
    {
        let text = text.replacen(sound, broken, 1);
        assert!(text.contains(broken), "{sound} is in the example");
        let json: Value = serde_saphyr::from_str(&text).expect("it is still YAML");
        assert!(!validator.is_valid(&json), "{broken}");
    }
}
