//! What is wrong with a configuration: all of it, each with its place and what to write instead.

use super::Span;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The engine would run, but the user should know.
    Warning,
    /// The engine refuses to run.
    Error,
}

/// One problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// Where, if it is at one place.
    pub span: Option<Span>,
    /// What is wrong, lower case, without a full stop.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
}

/// Collects problems. Checks go on after the first one.
#[derive(Debug, Default)]
pub struct Check {
    found: Vec<Diagnostic>,
}

impl Check {
    /// Notes an error at `span`; `help` says what to write instead.
    pub fn error(&mut self, span: Span, message: impl Into<String>, help: impl Into<String>) {
        self.push(Severity::Error, span, message.into(), help.into());
    }

    /// Notes a warning at `span`.
    pub fn warning(&mut self, span: Span, message: impl Into<String>, help: impl Into<String>) {
        self.push(Severity::Warning, span, message.into(), help.into());
    }

    fn push(&mut self, severity: Severity, span: Span, message: String, help: String) {
        let help = Some(help).filter(|help| !help.is_empty());
        self.found.push(Diagnostic { severity, span: Some(span), message, help });
    }

    /// Notes a problem made elsewhere.
    pub fn note(&mut self, diagnostic: Diagnostic) {
        self.found.push(diagnostic);
    }

    /// Whether an error was noted.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.found.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// What was found, in the order of the files.
    #[must_use]
    pub fn finish(mut self) -> Vec<Diagnostic> {
        self.found.sort_by_key(|diagnostic| diagnostic.span);
        self.found
    }
}
