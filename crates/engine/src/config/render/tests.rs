//! What is shown, and what is not.

use super::*;

fn files(text: &str) -> Files {
    let mut files = Files::default();
    files.add("a.yaml", text);
    files
}

fn at(text: &str, part: &str) -> Span {
    let start = u32::try_from(text.find(part).unwrap()).unwrap();
    Span { file: 0, start, end: start + u32::try_from(part.len()).unwrap() }
}

fn error(span: Option<Span>, related: Option<(Span, String)>) -> Diagnostic {
    let message = "something is wrong".to_owned();
    Diagnostic { severity: Severity::Error, span, message, help: Some("write this".to_owned()), related }
}

fn shown(diagnostic: &Diagnostic, source: &str, hidden: &[Span]) -> String {
    text(std::slice::from_ref(diagnostic), &files(source), hidden, Colour::Never)
}

#[test]
fn secrets_are_not_shown() {
    for (line, secret) in [
        ("password: hunter2", "hunter2"),
        ("{ user: u, password: \"hunter2\", qos: x }", "hunter2"),
        ("{ passwort: \"x, hunter2\", qos: x }", "hunter2"),
        ("url: mqtt://user:hunter2@localhost:1883", "hunter2"),
        ("url: \"mqtt://user:p@hunter2@localhost:1883\"", "hunter2"),
        ("apiToken: hünter2", "hünter2"),
    ] {
        let text = shown(&error(Some(at(line, "r")), None), line, &[]);
        assert!(!text.contains(secret), "{text}");
        assert!(text.contains('^'), "{text}");
    }
    let line = "key: hunter2";
    let text = shown(&error(Some(at(line, "key")), None), line, &[at(line, "hunter2")]);
    assert!(text.contains("key: *******"), "{text}");
}

#[test]
fn references_to_secrets_are_shown() {
    let line = "password: ${env:PASSWORD}";
    assert!(shown(&error(Some(at(line, "env")), None), line, &[]).contains(line));
}

#[test]
fn a_long_line_is_named_but_not_shown() {
    let line = format!("a: [{}]", "x, ".repeat(10_000));
    let text = shown(&error(Some(at(&line, "x")), None), &line, &[]);
    assert!(text.contains("a.yaml:1:5"), "{text}");
    assert!(text.len() < 200, "{text}");
}

#[test]
fn a_mark_stays_on_its_line_and_has_a_width() {
    let source = "a:\n  b: 1\n  c: 2\n";
    let many_lines = Span { end: 15, ..at(source, "b") };
    let text = shown(&error(Some(many_lines), None), source, &[]);
    assert!(text.contains("^^^^") && !text.contains("c: 2"), "{text}");
    let end = Span { file: 0, start: 16, end: 16 };
    assert!(shown(&error(Some(end), None), source, &[]).contains("a.yaml"));
}

#[test]
fn lines_may_end_as_on_windows() {
    let source = "a: 1\r\nb: 2\r\nc: 3\r\n";
    let text = shown(&error(Some(at(source, "b: 2")), Some((at(source, "c"), "here".to_owned()))), source, &[]);
    assert!(text.contains("2 | b: 2\n") && text.contains("3 | c: 3\n"), "{text}");
}

#[test]
fn control_characters_do_not_reach_the_terminal() {
    let source = "a: \u{1b}[31mred";
    assert!(!shown(&error(Some(at(source, "a")), None), source, &[]).contains('\u{1b}'));
    let coloured = text(&[error(Some(at("a", "a")), None)], &files("a"), &[], Colour::Always);
    assert!(coloured.contains('\u{1b}'));
}

#[test]
fn programs_get_places_and_sentences() {
    let source = "a: 1\na: 2\n";
    let second = Span { file: 0, start: 5, end: 6 };
    let found = json(&[error(Some(second), Some((at(source, "a"), "first here".to_owned())))], &files(source));
    assert_eq!(found[0]["line"], 2);
    assert_eq!(found[0]["column"], 1);
    assert_eq!(found[0]["file"], "a.yaml");
    assert_eq!(found[0]["related"]["line"], 1);
    let nowhere = json(&[error(None, None)], &files(""));
    assert!(nowhere[0]["line"].is_null());
}
