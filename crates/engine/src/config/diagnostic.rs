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
    /// Another place that has to do with it, and what stands there.
    pub related: Option<(Span, String)>,
}

/// Collects problems. Checks go on after the first one.
#[derive(Debug, Default)]
pub struct Check {
    found: Vec<Diagnostic>,
    hidden: Vec<Span>,
}

impl Check {
    /// Notes an error at `span`; `help` says what to write instead.
    pub fn error(&mut self, span: Span, message: impl Into<String>, help: impl Into<String>) {
        self.push(Severity::Error, Some(span), message.into(), help.into());
    }

    /// Notes an error that is at no place in a file.
    pub fn general_error(&mut self, message: impl Into<String>, help: impl Into<String>) {
        self.push(Severity::Error, None, message.into(), help.into());
    }

    /// Notes a warning at `span`.
    pub fn warning(&mut self, span: Span, message: impl Into<String>, help: impl Into<String>) {
        self.push(Severity::Warning, Some(span), message.into(), help.into());
    }

    /// Notes an error at `span` that has to do with the place `other`, where `label` says what stands there.
    pub fn clash(&mut self, span: Span, message: impl Into<String>, other: Span, label: &str, help: impl Into<String>) {
        self.error(span, message, help);
        if let Some(last) = self.found.last_mut() {
            last.related = Some((other, label.to_owned()));
        }
    }

    fn push(&mut self, severity: Severity, span: Option<Span>, message: String, help: String) {
        let help = Some(help).filter(|help| !help.is_empty());
        self.found.push(Diagnostic { severity, span, message, help, related: None });
    }

    /// Notes a problem made elsewhere.
    pub fn note(&mut self, diagnostic: Diagnostic) {
        self.found.push(diagnostic);
    }

    /// Notes that a secret stands at `span`, which must not be shown.
    pub(super) fn hide(&mut self, span: Span) {
        self.hidden.push(span);
    }

    /// Where secrets stand.
    pub(super) fn hidden(&mut self) -> Vec<Span> {
        std::mem::take(&mut self.hidden)
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
