//! What is wrong with a configuration: all of it, each with its place and what to write instead.

use super::Span;

/// How many problems are reported; whoever has more of them mends these first.
const REPORTED_MAX: usize = 200;

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

    /// Whether so much was found that looking for advice is no longer worth its time.
    pub(super) fn is_full(&self) -> bool {
        self.found.len() >= REPORTED_MAX
    }

    /// What was found, in the order of the files; of very many problems the first errors, and how many more there are.
    #[must_use]
    pub fn finish(mut self) -> Vec<Diagnostic> {
        self.found.sort_by_key(|diagnostic| diagnostic.span);
        let more = self.found.len().saturating_sub(REPORTED_MAX);
        if more > 0 {
            self.found.sort_by_key(|diagnostic| std::cmp::Reverse(diagnostic.severity));
            self.found.truncate(REPORTED_MAX);
            self.found.sort_by_key(|diagnostic| diagnostic.span);
            let severity = self.found.iter().map(|diagnostic| diagnostic.severity).max().unwrap_or(Severity::Error);
            self.push(severity, None, format!("{more} more problems are not shown"), String::new());
        }
        self.found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_come_before_the_flood() {
        let mut check = Check::default();
        for at in 0..1000 {
            check.warning(Span { file: 0, start: at, end: at }, "odd", "");
        }
        check.error(Span { file: 0, start: 5000, end: 5001 }, "wrong", "mend it");
        let found = check.finish();
        assert_eq!(found.len(), REPORTED_MAX + 1);
        assert_eq!(found[REPORTED_MAX - 1].message, "wrong");
        assert_eq!(found[REPORTED_MAX].message, "801 more problems are not shown");
    }
}
