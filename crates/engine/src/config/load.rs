//! The whole way from paths to a plan, and everything that was found on it.

use std::path::PathBuf;

use super::guarantee::Guarantee;
use super::node::Entry;
use super::parse::{Budget, parse};
use super::section::Sections;
use super::{Check, Diagnostic, Environment, Files, Plan, Severity, Span, build, environment, render};
use crate::registry::Registry;

/// What came of reading a configuration.
pub struct Loaded {
    /// What it means; `None` when there is an error.
    pub plan: Option<Plan>,
    /// What every rule promises, in the order of triggers and rules; empty when there is an error.
    pub guarantees: Vec<Guarantee>,
    /// Every problem, errors and warnings, in the order of the files.
    pub diagnostics: Vec<Diagnostic>,
    /// The texts that diagnostics point into.
    pub files: Files,
    /// Where secrets stand, which are never shown.
    hidden: Vec<Span>,
    /// The sources as they are written.
    pub(super) sources: Vec<Entry>,
}

/// Reads files and folders and says everything that is wrong with them. Needs no network and resolves no secrets.
#[must_use]
pub fn load(paths: &[PathBuf], registry: &Registry, environment: &Environment) -> Loaded {
    let mut check = Check::default();
    let files = Files::read(paths, &mut check);
    let title = paths.first().map_or_else(String::new, |path| environment::name(path));
    understand(files, &title, registry, environment, check)
}

/// Like [`load`], for texts that are in memory; `title` stands for the name of the first file.
#[must_use]
pub fn load_files(files: Files, title: &str, registry: &Registry, environment: &Environment) -> Loaded {
    understand(files, title, registry, environment, Check::default())
}

fn understand(files: Files, title: &str, registry: &Registry, environment: &Environment, mut check: Check) -> Loaded {
    let mut budget = Budget::default();
    let mut roots = Vec::new();
    // Half a configuration would only make problems that are none, such as names that the other half defines.
    let mut whole = !check.failed();
    for (number, (_, text)) in (0..).zip(files.iter()) {
        match parse(number, text, &mut budget, &mut check) {
            Some(root) => roots.push(root),
            None => whole = false,
        }
    }
    let sections = whole.then(|| Sections::join(roots, &mut check));
    let built = sections.as_ref().and_then(|all| build::plan(all, title, registry, environment, &mut check));
    let (plan, guarantees) = built.map_or_else(Default::default, |(plan, guarantees)| (Some(plan), guarantees));
    let hidden = check.hidden();
    let sources = sections.map_or_else(Vec::new, |sections| sections.sources);
    Loaded { plan, guarantees, diagnostics: check.finish(), files, hidden, sources }
}

impl Loaded {
    /// Whether nothing but warnings was found.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.diagnostics.iter().all(|diagnostic| diagnostic.severity != Severity::Error)
    }

    /// Every problem with its file, line, a caret and what to write instead, and a last line that counts them.
    #[must_use]
    pub fn render(&self, colour: Colour) -> String {
        render::text(&self.diagnostics, &self.files, &self.hidden, colour)
    }

    /// Every problem as a JSON array of `{severity, file, line, column, message, help, related}`.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        render::json(&self.diagnostics, &self.files)
    }
}

/// Whether a terminal will show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// With escape codes.
    Always,
    /// Plain text.
    Never,
}
