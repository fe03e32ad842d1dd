//! What a rule reports: a place that an editor can jump to, and a sentence that says what to do.

use std::fmt;

/// One broken rule at one place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Violation {
    /// Relative to the root of the project.
    pub(super) path: String,
    /// Counted from one.
    pub(super) line: usize,
    /// What is wrong and what to do about it.
    pub(super) what: String,
}

impl Violation {
    pub(super) fn new(path: &str, line: usize, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, what: what.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

/// Fails with every violation, not only with the first.
#[track_caller]
pub(super) fn none_in(found: impl IntoIterator<Item = Violation>) {
    let mut found: Vec<_> = found.into_iter().collect();
    found.sort();
    let lines: Vec<_> = found.iter().map(ToString::to_string).collect();
    assert!(found.is_empty(), "{} broken house rules:\n{}", found.len(), lines.join("\n"));
}

#[test]
#[should_panic(expected = "a.rs:7: too long")]
fn a_violation_fails_the_run() {
    none_in([Violation::new("a.rs", 7, "too long")]);
}
