//! Problems as people and as programs read them.
//!
//! Only the lines that matter are shown, and never a secret: what a kind reads as a secret, what stands behind a key
//! such as `password`, and the password in a URL become asterisks.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use serde_json::json;

use super::load::Colour;
use super::{Diagnostic, Files, Severity, Span};

/// Lines that are longer are not shown, only named.
const LINE_MAX: usize = 1000;

pub(super) fn text(diagnostics: &[Diagnostic], files: &Files, hidden: &[Span], colour: Colour) -> String {
    let renderer = match colour {
        Colour::Always => Renderer::styled(),
        Colour::Never => Renderer::plain(),
    };
    let mut text = String::new();
    for diagnostic in diagnostics {
        let level = match diagnostic.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let mut group = Group::with_title(level.primary_title(diagnostic.message.as_str()));
        for part in excerpts(diagnostic, files, hidden) {
            group = part.add_to(group);
        }
        if let Some(help) = &diagnostic.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        text += &renderer.render(&[group]);
        text += "\n\n";
    }
    if !diagnostics.is_empty() {
        text += &summary(diagnostics);
    }
    text
}

fn summary(diagnostics: &[Diagnostic]) -> String {
    let errors = diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).count();
    let counted = |count: usize, noun: &str| match count {
        1 => format!("1 {noun}"),
        _ => format!("{count} {noun}s"),
    };
    match (errors, diagnostics.len() - errors) {
        (0, warnings) => format!("{}\n", counted(warnings, "warning")),
        (errors, 0) => format!("{}\n", counted(errors, "error")),
        (errors, warnings) => format!("{}, {}\n", counted(errors, "error"), counted(warnings, "warning")),
    }
}

/// Lines of one file with what is to be marked in them.
struct Excerpt<'f> {
    path: &'f str,
    text: String,
    first_line: usize,
    column: usize,
    marks: Vec<(Range<usize>, AnnotationKind, String)>,
}

impl<'f> Excerpt<'f> {
    fn add_to<'g>(self, group: Group<'g>) -> Group<'g>
    where
        'f: 'g,
    {
        if self.text.is_empty() {
            return group.element(Origin::path(self.path).line(self.first_line).char_column(self.column));
        }
        let marks = self.marks.into_iter().map(|(range, kind, label)| {
            let label = Some(label).filter(|label| !label.is_empty());
            kind.span(range).label(label)
        });
        group.element(Snippet::source(self.text).path(self.path).line_start(self.first_line).annotations(marks))
    }
}

/// One excerpt for the place and its related one when they are in the same file and near, else one for each.
fn excerpts<'f>(diagnostic: &Diagnostic, files: &'f Files, hidden: &[Span]) -> Vec<Excerpt<'f>> {
    let Some(span) = diagnostic.span else { return Vec::new() };
    let first = (span, AnnotationKind::Primary, String::new());
    let related = diagnostic.related.as_ref().map(|(span, label)| (*span, AnnotationKind::Context, label.clone()));
    let parts = match related {
        Some(related) if related.0.file == span.file => vec![vec![first, related]],
        Some(related) => vec![vec![first], vec![related]],
        None => vec![vec![first]],
    };
    parts.into_iter().filter_map(|marks| excerpt(marks, files, hidden)).collect()
}

fn excerpt<'f>(marks: Vec<(Span, AnnotationKind, String)>, files: &'f Files, hidden: &[Span]) -> Option<Excerpt<'f>> {
    let (primary, ..) = *marks.first()?;
    let (path, text) = files.of(primary)?;
    let position = files.position(primary)?;
    let line_of = |at: usize| {
        let start = text.get(..at)?.rfind('\n').map_or(0, |at| at + 1);
        let end = text.get(at..)?.find('\n').map_or(text.len(), |more| at + more);
        // Files from Windows end their lines with two characters.
        let end = start.max(end - usize::from(text.get(start..end)?.ends_with('\r')));
        Some(start..end.max(at))
    };
    let mut lines = line_of(primary.start as usize)?;
    let mut longest = lines.len();
    let mut ranges = Vec::new();
    for (span, kind, label) in marks {
        let line = line_of(span.start as usize)?;
        longest = longest.max(line.len());
        lines = lines.start.min(line.start)..lines.end.max(line.end);
        // One line says enough; a mark is at least one character wide.
        let start = span.start as usize;
        let width = text.get(start..)?.chars().next().map_or(0, char::len_utf8);
        let end = (span.end as usize).min(line.end).max(start + width).min(text.len());
        ranges.push((start..end, kind, label));
    }
    if longest > LINE_MAX {
        let (first_line, column) = (position.line, position.column);
        return Some(Excerpt { path, text: String::new(), first_line, column, marks: Vec::new() });
    }
    let marks = ranges
        .into_iter()
        .map(|(range, kind, label)| (range.start - lines.start..range.end - lines.start, kind, label))
        .collect();
    let first_line = text.get(..lines.start)?.bytes().filter(|byte| *byte == b'\n').count() + 1;
    let shown = masked(text.get(lines.clone())?, primary.file, lines.start, hidden);
    Some(Excerpt { path, text: shown, first_line, column: position.column, marks })
}

/// The text with asterisks for the bytes of secrets, so that places in it stay where they are.
fn masked(text: &str, file: u32, offset: usize, hidden: &[Span]) -> String {
    let mut secret: Vec<Range<usize>> = Vec::new();
    let spans = hidden.iter().filter(|span| span.file == file);
    for span in spans {
        let start = (span.start as usize).saturating_sub(offset).min(text.len());
        let end = (span.end as usize).saturating_sub(offset).min(text.len());
        let inside = text.get(start..end).unwrap_or_default();
        // In a URL only the password is secret, and a reference says nothing.
        if !inside.contains("://") && !inside.contains("${") {
            secret.push(start..end);
        }
    }
    let mut line_start = 0;
    for line in text.split_inclusive('\n') {
        secret.extend(passwords(line).into_iter().map(|range| range.start + line_start..range.end + line_start));
        line_start += line.len();
    }
    let hides = |at: usize, c: char| c != '\n' && secret.iter().any(|range| range.contains(&at));
    let mut shown = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        if hides(at, c) { shown.extend(std::iter::repeat_n('*', c.len_utf8())) } else { shown.push(c) }
    }
    shown
}

/// Where passwords stand in a line, by the look of it: nobody may know yet what the line means.
fn passwords(line: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let lower = line.to_ascii_lowercase();
    for word in ["pass", "pwd", "secret", "token", "credential"] {
        for (at, _) in lower.match_indices(word) {
            let Some(colon) = line[at..].find(':').map(|more| at + more + 1) else { continue };
            let rest = &line[colon..];
            let start = colon + rest.len() - rest.trim_start().len();
            let end = end_of_value(line, start);
            let end = start + line[start..end].trim_end().len();
            if !line[start..end].contains("${") {
                found.push(start..end);
            }
        }
    }
    for (at, separator) in line.match_indices("://") {
        let start = at + separator.len();
        let end = line[start..].find(['/', '"', '\'', ' ', '\n']).map_or(line.len(), |more| start + more);
        let Some(host) = line[start..end].rfind('@').map(|more| start + more) else { continue };
        let Some(password) = line[start..host].find(':').map(|more| start + more + 1) else { continue };
        if !line[password..host].contains("${") {
            found.push(password..host);
        }
    }
    found
}

/// One past a value that begins at `start`: its closing quote, or whatever ends plain text.
fn end_of_value(line: &str, start: usize) -> usize {
    let ends: &[char] = match line[start..].chars().next() {
        Some('"') => &['"', '\n'],
        Some('\'') => &['\'', '\n'],
        _ => &[',', '}', '\n', '\r'],
    };
    let body = start + usize::from(ends.len() == 2);
    line[body..].find(ends).map_or(line.len(), |more| body + more)
}

pub(super) fn json(diagnostics: &[Diagnostic], files: &Files) -> serde_json::Value {
    let place = |span: Option<Span>| {
        let at = span.and_then(|span| Some((files.of(span)?.0, files.position(span)?)));
        (at.map(|(path, _)| path), at.map(|(_, at)| at.line), at.map(|(_, at)| at.column))
    };
    let entries = diagnostics.iter().map(|diagnostic| {
        let severity = match diagnostic.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let (file, line, column) = place(diagnostic.span);
        let related = diagnostic.related.as_ref().map(|(span, message)| {
            let (file, line, column) = place(Some(*span));
            json!({ "file": file, "line": line, "column": column, "message": message })
        });
        json!({
            "severity": severity, "file": file, "line": line, "column": column,
            "message": diagnostic.message, "help": diagnostic.help, "related": related,
        })
    });
    serde_json::Value::Array(entries.collect())
}

#[cfg(test)]
mod tests;
