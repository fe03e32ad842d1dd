//! Manifests and files whose arrows point the wrong way, and the ones that look like it and are
//! right.

use super::*;

fn manifest(name: &str, tables: &str) -> Vec<Violation> {
    let text = format!("[package]\nname = \"{name}\"\n\n{tables}\n");
    of_manifest(&File::sample("Cargo.toml", &text))
}

fn uses(path: &str, text: &str) -> usize {
    of_uses(&File::sample(path, text)).len()
}

#[test]
fn a_manifest_with_a_wrong_arrow_is_refused() {
    for (name, tables) in [
        ("tidemill-engine", "[dependencies]\nconnectors.workspace = true"),
        ("tidemill-engine", "[dev-dependencies]\ntestkit.workspace = true"),
        ("tidemill-engine", "[dependencies]\nx = { package = \"tidemill-bindings\", path = \"b\" }"),
        ("tidemill-engine", "[dependencies]\nrumqttc-v5-next = \"0.34\""),
        ("tidemill-engine", "[target.'cfg(unix)'.dependencies]\nreqwest = \"0.13\""),
        ("tidemill-engine", "[build-dependencies]\nwasmtime = \"48\""),
        ("tidemill-connectors", "[dependencies]\nbindings.workspace = true"),
        ("tidemill-functions", "[dependencies]\nconnectors.workspace = true"),
        ("tidemill-testkit", "[dependencies]\nengine.workspace = true"),
        ("tidemill", "[dependencies]\ntestkit.workspace = true"),
        ("tidemill-new", "[dependencies]\n"),
    ] {
        assert_eq!(manifest(name, tables).len(), 1, "{name}\n{tables}");
    }
}

#[test]
fn the_line_of_a_wrong_arrow_is_named() {
    let found = manifest("tidemill-engine", "[dependencies]\nbytes = \"1\"\nconnectors.workspace = true");
    assert_eq!(found[0].line, 6);
}

#[test]
fn a_manifest_whose_arrows_point_at_the_engine_passes() {
    for (name, tables) in [
        ("tidemill-connectors", "[dependencies]\nengine.workspace = true\nrustls = \"0.23\""),
        ("tidemill-bindings", "[dependencies]\nconnectors.workspace = true"),
        ("tidemill-connectors", "[dev-dependencies]\ntestkit.workspace = true"),
        ("tidemill", "[dev-dependencies]\ntestkit.workspace = true"),
        ("tidemill-engine", "[target.\"cfg(loom)\".dev-dependencies]\nloom = \"0.7\""),
    ] {
        assert_eq!(manifest(name, tables), [], "{name}\n{tables}");
    }
    assert_eq!(of_manifest(&File::sample("Cargo.toml", "[workspace]\nmembers = []\n")), []);
}

#[test]
fn a_use_that_points_the_wrong_way_is_refused() {
    for (path, text) in [
        ("crates/engine/src/pool.rs", "use connectors::mqtt;"),
        ("crates/engine/src/pool.rs", "fn a() { reqwest::get(); }"),
        ("crates/engine/src/pool.rs", "fn a() { ::wasmtime::Engine::default(); }"),
        ("crates/engine/src/pool.rs", "use rumqttc_v5_next as client;"),
        ("crates/connectors/src/mqtt.rs", "use bindings::file;"),
        ("crates/connectors/src/mqtt.rs", "use testkit::mosquitto;"),
        ("crates/functions/src/native.rs", "m! { connectors::mqtt::a() }"),
        ("src/main.rs", "use testkit::mosquitto;"),
        ("tests/testkit/src/lib.rs", "use engine::port;"),
    ] {
        assert_eq!(uses(path, text), 1, "{path}: {text}");
    }
}

#[test]
fn a_path_that_only_looks_like_a_crate_passes() {
    for (path, text) in [
        ("crates/engine/src/pool.rs", "use crate::functions::Kind;"),
        ("crates/engine/src/pool.rs", "fn a() { self::bindings::b(); }"),
        ("crates/engine/src/pool.rs", "//! See [`connectors::mqtt`].\nfn a() {}"),
        ("crates/bindings/src/mqtt.rs", "use connectors::mqtt;"),
        ("crates/connectors/tests/contract.rs", "use testkit::mosquitto;"),
        ("crates/connectors/src/mqtt/tests.rs", "use testkit::mosquitto;"),
        ("tests/integration/crash.rs", "use testkit::mosquitto;"),
        ("src/assembly.rs", "use engine::port; use bindings::file;"),
    ] {
        assert_eq!(uses(path, text), 0, "{path}: {text}");
    }
}

#[test]
fn every_package_of_the_workspace_has_its_arrows() {
    let named: Vec<_> = super::super::tree::manifests()
        .iter()
        .filter_map(|manifest| manifest.text.parse::<toml::Table>().ok())
        .filter_map(|table| Some(table.get("package")?.get("name")?.as_str()?.to_owned()))
        .collect();
    for package in PACKAGES {
        assert!(named.iter().any(|name| name == package.name), "{} is gone", package.name);
    }
}
