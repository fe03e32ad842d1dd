//! Dependency arrows point at the engine: adapters know the engine, the engine knows no adapter,
//! and the composition root knows them all. An arrow that points the other way compiles, which is
//! why it needs a test.

use proc_macro2::TokenTree;

use super::syntax;
use super::tree::File;
use super::violation::Violation;

/// One package and what it may know.
struct Package {
    name: &'static str,
    /// Where its files lie, with a closing slash; the root package is the empty path.
    folder: &'static str,
    /// Packages of this workspace that it may depend on.
    knows: &'static [&'static str],
    /// Packages of this workspace that only its tests may depend on.
    tests_know: &'static [&'static str],
    /// Crates from outside that it must not depend on, with their families (`name` and `name-...`).
    not_from_outside: &'static [&'static str],
}

/// The engine is what every adapter is tested against, so it must not drag in one broker's client,
/// one runtime or one HTTP stack.
const NOT_IN_THE_ENGINE: &[&str] = &[
    "async-nats",
    "axum",
    "hyper",
    "lapin",
    "mqtt5",
    "mqtt311",
    "mqttbytes-core-next",
    "native-tls",
    "openssl",
    "rdkafka",
    "reqwest",
    "ring",
    "rumqttc",
    "rumqttd",
    "rustls",
    "tokio-rustls",
    "tonic",
    "tower",
    "tungstenite",
    "wasi",
    "wasmtime",
];

const PACKAGES: &[Package] = &[
    Package {
        name: "tidemill-engine",
        folder: "crates/engine/",
        knows: &[],
        tests_know: &[],
        not_from_outside: NOT_IN_THE_ENGINE,
    },
    Package {
        name: "tidemill-connectors",
        folder: "crates/connectors/",
        knows: &["tidemill-engine"],
        tests_know: &["tidemill-testkit"],
        not_from_outside: &[],
    },
    Package {
        name: "tidemill-functions",
        folder: "crates/functions/",
        knows: &["tidemill-engine"],
        tests_know: &["tidemill-testkit"],
        not_from_outside: &[],
    },
    Package {
        name: "tidemill-bindings",
        folder: "crates/bindings/",
        knows: &["tidemill-engine", "tidemill-connectors"],
        tests_know: &["tidemill-testkit"],
        not_from_outside: &[],
    },
    Package {
        name: "tidemill-scalers",
        folder: "crates/scalers/",
        knows: &["tidemill-engine", "tidemill-connectors"],
        tests_know: &["tidemill-testkit"],
        not_from_outside: &[],
    },
    Package { name: "tidemill-testkit", folder: "tests/testkit/", knows: &[], tests_know: &[], not_from_outside: &[] },
    Package {
        name: "tidemill-brokers",
        folder: "benches/brokers/",
        knows: &["tidemill", "tidemill-engine", "tidemill-connectors", "tidemill-functions", "tidemill-testkit"],
        tests_know: &[],
        not_from_outside: &[],
    },
    Package {
        name: "tidemill-benches",
        folder: "benches/",
        knows: &["tidemill-engine", "tidemill-connectors", "tidemill-testkit"],
        tests_know: &[],
        not_from_outside: &[],
    },
    Package {
        name: "tidemill",
        folder: "",
        knows: &[
            "tidemill-engine",
            "tidemill-connectors",
            "tidemill-functions",
            "tidemill-bindings",
            "tidemill-scalers",
        ],
        tests_know: &["tidemill-testkit"],
        not_from_outside: &[],
    },
];

/// The workspace's packages under the names that code uses for them.
const ALIASES: [(&str, &str); 6] = [
    ("engine", "tidemill-engine"),
    ("connectors", "tidemill-connectors"),
    ("functions", "tidemill-functions"),
    ("bindings", "tidemill-bindings"),
    ("scalers", "tidemill-scalers"),
    ("testkit", "tidemill-testkit"),
];

/// A dependency's package name, whatever alias it is written under.
fn package_name(alias: &str) -> &str {
    ALIASES.iter().find(|(short, _)| *short == alias).map_or(alias, |(_, name)| name)
}

fn is_of_a_family(name: &str, families: &[&str]) -> bool {
    families.iter().any(|family| name.strip_prefix(family).is_some_and(|rest| rest.is_empty() || rest.starts_with('-')))
}

fn is_ours(name: &str) -> bool {
    PACKAGES.iter().any(|package| package.name == name)
}

/// Every dependency table of a `Cargo.toml`, also those below `[target]`.
pub(super) fn of_manifest(manifest: &File) -> Vec<Violation> {
    let document: toml::Table = manifest.text.parse().unwrap_or_else(|error| panic!("{}: {error}", manifest.path));
    let Some(name) = document.get("package").and_then(|package| package.get("name")) else {
        return Vec::new();
    };
    let name = name.as_str().expect("a package name is a string");
    let Some(package) = PACKAGES.iter().find(|package| package.name == name) else {
        let what = format!("`{name}` is new: say in the tidy test which packages it may know");
        return vec![Violation::new(&manifest.path, 1, what)];
    };
    dependencies(&document)
        .into_iter()
        .filter_map(|(table, dependency)| {
            let what = refusal(package, &table, &dependency)?;
            let line = line_naming(&manifest.text, &dependency);
            Some(Violation::new(&manifest.path, line, what))
        })
        .collect()
}

/// Pairs of a table's name and a dependency's package name.
fn dependencies(document: &toml::Table) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (key, value) in document {
        let Some(table) = value.as_table() else {
            continue;
        };
        if key.ends_with("dependencies") {
            for (alias, entry) in table {
                let renamed = entry.get("package").and_then(toml::Value::as_str);
                let name = renamed.unwrap_or_else(|| package_name(alias));
                found.push((key.clone(), name.to_owned()));
            }
        } else if key == "target" {
            for condition in table.values().filter_map(toml::Value::as_table) {
                found.extend(dependencies(condition));
            }
        }
    }
    found
}

fn refusal(package: &Package, table: &str, dependency: &str) -> Option<String> {
    let name = package.name;
    if is_of_a_family(dependency, package.not_from_outside) {
        return Some(format!("`{name}` must not know `{dependency}`; that is an adapter's business"));
    }
    if !is_ours(dependency) || package.knows.contains(&dependency) {
        return None;
    }
    if package.tests_know.contains(&dependency) {
        let only_tests = table == "dev-dependencies";
        return (!only_tests).then(|| format!("only the tests of `{name}` may know `{dependency}`"));
    }
    Some(format!("`{name}` must not know `{dependency}`; arrows point at the engine"))
}

fn line_naming(text: &str, dependency: &str) -> usize {
    let alias = ALIASES.iter().find(|(_, name)| *name == dependency).map(|(short, _)| *short);
    let names_it = |line: &str| line.starts_with(dependency) || alias.is_some_and(|alias| line.starts_with(alias));
    text.lines().position(names_it).map_or(1, |at| at + 1)
}

/// Every path in the code that starts with a crate which the package must not know. A manifest
/// cannot show these for the root package, whose tests and sources share it.
pub(super) fn of_uses(file: &File) -> Vec<Violation> {
    let package = PACKAGES
        .iter()
        .find(|package| file.path.starts_with(package.folder))
        .expect("the root package takes every path");
    let is_test = ["/tests/", "/benches/", "/tests.rs"].iter().any(|part| file.path.contains(part))
        || file.path.starts_with("tests/")
        || file.path.starts_with("benches/");
    let mut found = Vec::new();
    syntax::each_run(syntax::tokens(file), &mut |run| {
        for at in 0..run.len() {
            let Some(first) = first_of_a_path(run, at) else {
                continue;
            };
            let name = package_name(&first).replace('_', "-");
            let allowed_here = is_test && package.tests_know.contains(&name.as_str());
            if allowed_here || name == package.name {
                continue;
            }
            let forbidden = is_of_a_family(&name, package.not_from_outside)
                || is_ours(&name) && !package.knows.contains(&name.as_str());
            if forbidden {
                let what = format!("`{}` must not use `{first}` here", package.name);
                found.push(Violation::new(&file.path, run[at].span().start().line, what));
            }
        }
    });
    found
}

/// The crate that a path starting at `at` names: `name::` that no `::` precedes, and `use name` or
/// `extern crate name`.
fn first_of_a_path(run: &[TokenTree], at: usize) -> Option<String> {
    let TokenTree::Ident(name) = &run[at] else {
        return None;
    };
    let colons =
        |tokens: &[TokenTree]| matches!(tokens, [a, b] if syntax::is_punct(a, ':') && syntax::is_punct(b, ':'));
    let followed = run.get(at + 1..at + 3).is_some_and(colons);
    let preceded = at >= 2 && colons(&run[at - 2..at]);
    let rooted = preceded && !matches!(at.checked_sub(3).map(|i| &run[i]), Some(TokenTree::Ident(_)));
    let imported = at > 0 && ["use", "crate"].iter().any(|word| syntax::is_ident(&run[at - 1], word));
    ((followed && (!preceded || rooted)) || imported).then(|| name.to_string())
}

#[cfg(test)]
mod tests;
