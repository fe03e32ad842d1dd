//! The files that the rules look at: what lies in the checkout, without what building and running
//! leaves there.

use std::fs;
use std::path::{Path, PathBuf};

/// One file of the project.
pub(super) struct File {
    /// Relative to the root, with forward slashes.
    pub(super) path: String,
    pub(super) text: String,
}

impl File {
    /// A file that exists only in a test of a rule.
    pub(super) fn sample(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }
}

/// Folders that no rule enters: build output, and the state that a run in the checkout leaves
/// behind.
const SKIPPED: [&str; 3] = ["target", "node_modules", "tidemill-state"];

/// The root of the project.
pub(super) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// One file by its path from the root.
pub(super) fn file(path: &str) -> File {
    let text = fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    File { path: path.to_owned(), text }
}

/// Every Rust file, in a stable order.
pub(super) fn rust_files() -> Vec<File> {
    ending_with(".rs")
}

/// Every package manifest.
pub(super) fn manifests() -> Vec<File> {
    ending_with("Cargo.toml")
}

/// Every Markdown page.
pub(super) fn pages() -> Vec<File> {
    ending_with(".md")
}

fn ending_with(ending: &str) -> Vec<File> {
    let root = root();
    let mut files = Vec::new();
    collect(&root, &root, ending, &mut files);
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

fn collect(root: &Path, folder: &Path, ending: &str, into: &mut Vec<File>) {
    for entry in fs::read_dir(folder).expect("a folder of the checkout can be listed") {
        let entry = entry.expect("a folder of the checkout can be listed");
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = entry.path();
        if entry.file_type().expect("a file has a type").is_dir() {
            if !name.starts_with('.') && !SKIPPED.contains(&name.as_str()) {
                collect(root, &path, ending, into);
            }
        } else if name.ends_with(ending) {
            let relative = path.strip_prefix(root).expect("the walk starts at the root");
            into.push(File {
                path: relative.to_string_lossy().replace('\\', "/"),
                text: fs::read_to_string(&path).expect("a source file is UTF-8"),
            });
        }
    }
}
