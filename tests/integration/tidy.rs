//! House rules as tests. A rule that nobody checks is a wish, so each one that a machine can
//! check is a pure function over one file, run here over the whole tree and, beside its code,
//! over a small bad sample: a rule that has stopped working fails its own test instead of passing
//! in silence.

mod arrows;
mod features;
mod lengths;
mod links;
mod lockfile;
mod module_docs;
mod names;
mod skipped;
mod syntax;
mod tree;
mod violation;

use violation::Violation;

/// Runs one rule over every Rust file of the project.
#[track_caller]
fn over_rust_files(rule: impl Fn(&tree::File) -> Vec<Violation>) {
    let files = tree::rust_files();
    assert!(
        files.iter().any(|file| file.path.ends_with("crates/engine/src/lib.rs")),
        "the walk did not find the engine: the rule would pass on an empty tree"
    );
    violation::none_in(files.iter().flat_map(rule));
}

#[test]
fn no_file_is_too_long() {
    over_rust_files(lengths::of_file);
}

#[test]
fn no_function_is_too_long() {
    over_rust_files(lengths::of_functions);
}

#[test]
fn every_module_says_what_it_is_for() {
    over_rust_files(module_docs::check);
}

#[test]
fn features_are_chosen_in_two_places_only() {
    over_rust_files(features::check);
}

#[test]
fn no_test_is_skipped() {
    over_rust_files(skipped::check);
}

#[test]
fn names_are_nouns_of_the_domain() {
    over_rust_files(names::check);
}

#[test]
fn no_file_uses_a_crate_its_package_must_not_know() {
    over_rust_files(arrows::of_uses);
}

#[test]
fn no_dependency_points_the_wrong_way() {
    let manifests = tree::manifests();
    assert!(manifests.len() >= 7, "the walk found {} manifests only", manifests.len());
    violation::none_in(manifests.iter().flat_map(arrows::of_manifest));
}

#[test]
fn every_relative_link_resolves() {
    let pages = tree::pages();
    let root = tree::root();
    violation::none_in(pages.iter().flat_map(|page| links::check(page, &root)));
}

#[test]
fn nothing_banned_is_locked() {
    let (lock, deny) = (tree::file("Cargo.lock"), tree::file("deny.toml"));
    assert!(lockfile::bans(&deny).len() >= 5, "the list of bans was not read");
    violation::none_in(lockfile::check(&lock, &deny));
}
