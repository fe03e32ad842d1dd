//! Files that are no configuration cost nothing.

use engine::config::{Environment, FILE_BYTES_MAX, Files, NODES_MAX, load, load_files};

use crate::kinds::registry;

/// The first problem that a text has.
fn problem(text: &str) -> String {
    let mut files = Files::default();
    files.add("a.yaml", text);
    let loaded = load_files(files, "a", &registry(), &Environment::default());
    assert!(loaded.plan.is_none());
    loaded.diagnostics[0].message.clone()
}

#[test]
fn fifty_megabytes_are_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.yaml");
    fs_sparse(&path, 50_000_000);
    let loaded = load(&[path], &registry(), &Environment::default());
    assert!(loaded.plan.is_none());
    assert!(loaded.diagnostics[0].message.contains("too large"), "{:?}", loaded.diagnostics);
    assert_eq!(loaded.files.iter().count(), 0, "nothing was kept");
}

fn fs_sparse(path: &std::path::Path, bytes: u64) {
    std::fs::File::create(path).unwrap().set_len(bytes).unwrap();
}

#[test]
fn a_billion_laughs_are_counted_before_they_are_told() {
    let mut text = String::from("sources: &a0 {a: x, b: x, c: x, d: x}\n");
    for level in 1..20 {
        let alias = format!("*a{}", level - 1);
        text += &format!("k{level}: &a{level} [{}]\n", [alias.as_str(); 9].join(", "));
    }
    assert!(problem(&text).contains(&NODES_MAX.to_string()));
}

#[test]
fn a_hundred_thousand_levels_are_refused() {
    for text in ["[".repeat(100_000), "{a: ".repeat(100_000), "- ".repeat(100_000)] {
        assert!(problem(&text).contains("nested more than 64 deep"));
    }
}

#[test]
fn the_largest_file_of_small_values_stays_in_the_budget() {
    let text = format!("[{}]", "1,".repeat(usize::try_from(FILE_BYTES_MAX).unwrap() / 2 - 8));
    assert!(problem(&text).contains(&NODES_MAX.to_string()));
}

#[test]
fn thousands_of_names_are_matched_in_time_that_grows_with_them() {
    let outputs: String = (0..10_000).map(|at| format!("  o{at}: {{ log: }}\n")).collect();
    let rules: String = (0..10_000).map(|at| format!("      r{at}: {{ output: p{at} }}\n")).collect();
    let text = format!(
        "sources:\n  s: {{ timer: {{ every: 1s }} }}\noutputs:\n{outputs}triggers:\n  t:\n    source: s\n    rules:\n{rules}"
    );
    let mut files = Files::default();
    files.add("a.yaml", text);
    let loaded = load_files(files, "a", &registry(), &Environment::default());
    assert_eq!(loaded.diagnostics.len(), 201);
    assert_eq!(loaded.diagnostics[200].message, "9800 more problems are not shown");
}

#[test]
fn a_filter_has_a_size() {
    let texts: String = (0..2000).map(|at| format!("a{at}: x, ")).collect();
    let text = format!(
        "sources: {{ s: {{ timer: {{ every: 1s }} }} }}\noutputs: {{ o: {{ log: }} }}\n\
         triggers: {{ t: {{ source: s, rules: {{ r: {{ output: o, when: {{ exact: {{\n{texts} }} }} }} }} }} }}"
    );
    assert!(problem(&text).contains("more than 1000 comparisons"));
}

#[test]
fn thousands_of_problems_are_bounded() {
    let many: String = (0..2000).map(|at| format!("      key{at}: 1\n")).collect();
    let text = format!("sources:\n  a:\n    queue:\n{many}");
    let mut files = Files::default();
    files.add("a.yaml", text);
    let loaded = load_files(files, "a", &registry(), &Environment::default());
    assert!(loaded.plan.is_none());
    assert!(loaded.diagnostics.len() < 100, "{}", loaded.diagnostics.len());
}
