//! Which topics to ask for, and what the parts of their names are called.
//!
//! Kafka's topics have no levels, but nearly everybody puts dots between parts, so `fleet.{fleet}.telemetry` asks for every
//! topic of that form and names the part, `*` stands for one part and a last `>` for all the rest. Whoever's names have
//! another form writes a regular expression instead, whose named groups are captures. Each becomes a POSIX expression,
//! which is what librdkafka looks for new topics with, and one of ours, which reads the captures.

use engine::config::{Check, Spanned};
use engine::event::{Name, Text};
use regex_lite::Regex;

use crate::capture::{self, Filter, Filters, Flaw, Syntax};
use crate::normalise::Template;

/// How topics are written.
static SYNTAX: Syntax = Syntax {
    whole: "topic",
    filter: "topic",
    part: "part",
    separator: '.',
    one: '*',
    rest: '>',
    rest_of_none: false,
    empty_parts: true,
    spaces: false,
    reserved: Some('_'),
    longest: 249,
    example: "fleet.{fleet}.telemetry",
};

/// All topics of a source.
#[derive(Clone, Debug)]
pub(super) struct Topics {
    filters: Filters,
    pattern: Option<Pattern>,
    names: Vec<Name>,
}

/// A regular expression over whole names.
#[derive(Clone, Debug)]
struct Pattern {
    posix: String,
    regex: Regex,
    /// Its named groups.
    names: Vec<Name>,
}

impl Topics {
    /// Checks what stands under `topics` and `topicPattern`.
    pub(super) fn check(topics: &[Spanned<String>], pattern: Option<&Spanned<String>>, check: &mut Check) -> Topics {
        let filters = capture::checked(topics, parse, check);
        let pattern = pattern.and_then(|typed| match Pattern::parse(typed) {
            Ok(pattern) => Some(pattern),
            Err(flaw) => {
                check.error(typed.span.part(flaw.at, flaw.len), flaw.message, flaw.help);
                None
            }
        });
        let mut names = filters.names().to_vec();
        for name in pattern.iter().flat_map(|pattern| &pattern.names) {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        Topics { filters, pattern, names }
    }

    /// Says which of them do not capture what `template` needs for every event.
    pub(super) fn lacking(
        &self,
        topics: &[Spanned<String>],
        pattern: Option<&Spanned<String>>,
        template: &Template,
        check: &mut Check,
    ) {
        capture::lacking(topics, parse, &self.names, template, check);
        let (Some(typed), Some(pattern)) = (pattern, &self.pattern) else { return };
        for (index, name) in self.names.iter().enumerate() {
            if template.uses(index) && !pattern.names.contains(name) {
                let message = format!("this pattern does not capture '{{{name}}}', which event: uses");
                check.error(typed.span, message, format!("write (?<{name}>...) around what it is"));
            }
        }
    }

    /// Every name that some topic captures.
    pub(super) fn names(&self) -> &[Name] {
        &self.names
    }

    /// What librdkafka is asked for.
    pub(super) fn wire(&self) -> Vec<String> {
        let filters = self.filters.wire().map(|wire| match is_literal(wire) {
            true => wire.to_owned(),
            false => posix(wire),
        });
        filters.chain(self.pattern.iter().map(|pattern| pattern.posix.clone())).collect()
    }

    /// Whether some of them stand for topics that are not known yet.
    pub(super) fn are_open(&self) -> bool {
        self.pattern.is_some() || self.filters.wire().any(|wire| !is_literal(wire))
    }

    /// The one topic that somebody who sends means: `to`, if it was asked for, or else the only one that there is.
    pub(super) fn place<'t>(&'t self, to: Option<&'t str>) -> Result<&'t str, String> {
        match (to, &self.pattern) {
            (_, None) => self.filters.place(to),
            (Some(to), Some(_)) if self.capture(to).is_some() => Ok(to),
            (Some(to), Some(_)) => {
                Err(format!("it does not receive from topic '{to}'; --to names one that it asks for"))
            }
            (None, Some(_)) => Err("--to has to name a topic that topicPattern matches".to_owned()),
        }
    }

    /// What the captures of a topic are, one for each of [`Topics::names`]; nothing if the topic was not asked for.
    pub(super) fn capture(&self, topic: &str) -> Option<Vec<Option<Text>>> {
        if let Some(captured) = self.filters.capture(topic) {
            let mut all: Vec<_> = captured.into_iter().map(|part| part.map(Text::new)).collect();
            all.resize(self.names.len(), None);
            return Some(all);
        }
        let found = self.pattern.as_ref()?.regex.captures(topic)?;
        Some(self.names.iter().map(|name| found.name(name.as_str()).map(|part| Text::new(part.as_str()))).collect())
    }
}

/// Reads one entry of `topics`.
fn parse(text: &str) -> Result<Filter, Flaw> {
    let filter = Filter::parse(&SYNTAX, text)?;
    let legal = |c: char| c.is_ascii_alphanumeric() || "._-*>{}".contains(c);
    match text.char_indices().find(|(_, character)| !legal(*character)) {
        Some((at, character)) => Err(Flaw {
            at,
            len: character.len_utf8(),
            message: format!("a topic cannot hold {character:?}"),
            help: "use letters, digits, dots, dashes and underscores, or write topicPattern".to_owned(),
        }),
        None => Ok(filter),
    }
}

fn is_literal(wire: &str) -> bool {
    !wire.split('.').any(|part| part == "*" || part == ">")
}

/// The expression for a filter with wildcards.
fn posix(wire: &str) -> String {
    let parts = wire.split('.').map(|part| match part {
        "*" => "[^.]+".to_owned(),
        ">" => ".+".to_owned(),
        literal => literal.to_owned(),
    });
    format!("^{}$", parts.collect::<Vec<_>>().join("\\."))
}

impl Pattern {
    /// Reads an expression in the common subset of both dialects.
    fn parse(text: &str) -> Result<Pattern, Flaw> {
        let body = text.strip_prefix('^').unwrap_or(text);
        let offset = text.len() - body.len();
        let body = body.strip_suffix('$').filter(|rest| !rest.ends_with('\\')).unwrap_or(body);
        if body.is_empty() {
            return Err(flaw(0, text.len(), "the pattern is empty", EXAMPLE));
        }
        let posix = translated(body).map_err(|found| Flaw { at: found.at + offset, ..found })?;
        let regex = Regex::new(&format!("^(?:{body})$"))
            .map_err(|cause| flaw(0, text.len(), &format!("the pattern is no regular expression: {cause}"), EXAMPLE))?;
        let mut names = Vec::new();
        for name in regex.capture_names().flatten() {
            let at = text.find(&format!("<{name}>")).map_or(0, |at| at + 1);
            let wrong = |cause| flaw(at, name.len(), &format!("{cause}"), "such as (?<vehicle>[^-]+)");
            names.push(Name::new(name).map_err(wrong)?);
        }
        Ok(Pattern { posix: format!("^({posix})$"), regex, names })
    }
}

const EXAMPLE: &str = "write one such as ^fleet-(?<fleet>[^-]+)$";

fn flaw(at: usize, len: usize, message: &str, help: &str) -> Flaw {
    Flaw { at, len, message: message.to_owned(), help: help.to_owned() }
}

/// An expression as POSIX has it: without names of groups, and with classes for what has a letter.
fn translated(body: &str) -> Result<String, Flaw> {
    let (mut posix, mut class, mut at) = (String::new(), false, 0);
    while let Some(sign) = body[at..].chars().next() {
        let rest = &body[at + sign.len_utf8()..];
        let mut step = sign.len_utf8();
        match sign {
            '\\' => {
                let escaped = rest.chars().next().unwrap_or(' ');
                step += escaped.len_utf8();
                if class {
                    let help = "list the characters without a backslash";
                    return Err(flaw(at, step, "a class cannot hold an escape here", help));
                }
                match escaped {
                    'd' => posix.push_str("[0-9]"),
                    'w' => posix.push_str("[A-Za-z0-9_]"),
                    sign if sign.is_ascii_punctuation() => posix.extend(['\\', sign]),
                    _ => {
                        let help = "write \\d, \\w, a class such as [a-z], or a sign behind the backslash";
                        return Err(flaw(at, step, "this escape is not understood here", help));
                    }
                }
            }
            '(' if !class && rest.starts_with('?') => {
                let name = ["?P<", "?<"].iter().find_map(|open| rest.strip_prefix(open));
                let end = name.and_then(|name| name.find('>'));
                let Some((name, end)) = name.zip(end) else {
                    let help = "write (...) or (?<name>...)";
                    return Err(flaw(at, 2, "this kind of group is not understood here", help));
                };
                posix.push('(');
                step += rest.len() - name.len() + end + 1;
            }
            '?' if !class && body[..at].ends_with(['*', '+', '?', '}']) => {
                let help = "leave it out: only whether a topic matches is asked, not how much of it";
                return Err(flaw(at, 1, "a pattern cannot be lazy here", help));
            }
            sign => {
                class = match sign {
                    '[' => true,
                    // The first sign of a class stands for itself.
                    ']' => class && (body[..at].ends_with('[') || body[..at].ends_with("[^")),
                    _ => class,
                };
                posix.push(sign);
            }
        }
        at += step;
    }
    Ok(posix)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topics(list: &[&str], pattern: Option<&str>) -> (Topics, Vec<String>) {
        let typed = |text: &&str| Spanned::new((*text).to_owned(), Default::default());
        let list: Vec<_> = list.iter().map(typed).collect();
        let mut check = Check::default();
        let topics = Topics::check(&list, pattern.as_ref().map(typed).as_ref(), &mut check);
        (topics, check.finish().into_iter().map(|problem| problem.message).collect())
    }

    fn captured(topics: &Topics, topic: &str) -> Option<Vec<Option<String>>> {
        topics.capture(topic).map(|all| all.into_iter().map(|part| part.map(|text| text.to_string())).collect())
    }

    #[test]
    fn names_are_asked_for_as_they_are_and_captures_as_expressions() {
        let (topics, said) = topics(&["orders", "a.b_c-d", "fleet.{fleet}.telemetry", "x.*.>"], None);
        assert_eq!(said, [""; 0]);
        let wire = topics.wire();
        assert_eq!(wire, ["orders", "a.b_c-d", r"^fleet\.[^.]+\.telemetry$", r"^x\.[^.]+\..+$"]);
        assert!(topics.are_open());
        assert_eq!(captured(&topics, "fleet.demo.telemetry"), Some(vec![Some("demo".to_owned())]));
        assert_eq!(captured(&topics, "orders"), Some(vec![None]));
        assert_eq!(captured(&topics, "fleet.a.b.telemetry"), None);
    }

    #[test]
    fn named_groups_of_a_pattern_are_captures() {
        let (topics, said) = topics(&["fleet.{fleet}"], Some(r"^v\d+-(?<vehicle>[^-]+)-(?P<fleet>\w+)$"));
        assert_eq!(said, [""; 0]);
        assert_eq!(topics.wire()[1], "^(v[0-9]+-([^-]+)-([A-Za-z0-9_]+))$");
        let names: Vec<_> = topics.names().iter().map(Name::as_str).collect();
        assert_eq!(names, ["fleet", "vehicle"]);
        assert_eq!(captured(&topics, "v1-car-demo"), Some(vec![Some("demo".into()), Some("car".into())]));
        assert_eq!(captured(&topics, "fleet.demo"), Some(vec![Some("demo".into()), None]));
        assert_eq!(captured(&topics, "v1-car-demo-x"), None, "a pattern stands for whole names");
    }

    #[test]
    fn what_the_two_dialects_read_differently_is_refused() {
        for (pattern, part) in [
            ("", "is empty"),
            (r"a\s", "escape is not understood"),
            (r"a\", "escape is not understood"),
            (r"[\d]", "cannot hold an escape"),
            ("(?:a)", "kind of group"),
            ("(?i)a", "kind of group"),
            ("a+?", "lazy"),
            ("(a", "no regular expression"),
            ("(?<Vehicle>a)", "lower-case"),
            ("(?<type>a)", "core attribute"),
        ] {
            let (_, said) = topics(&[], Some(pattern));
            assert!(said.len() == 1 && said[0].contains(part), "{pattern}: {said:?}");
        }
        assert_eq!(topics(&[], Some("[]a]b?")).1, [""; 0]);
    }

    #[test]
    fn topics_have_the_characters_that_kafka_allows() {
        for (topic, part) in
            [("", "is empty"), ("a b", "white space"), ("a/b", "cannot hold '/'"), ("a.b{c}", "whole part")]
        {
            let (_, said) = topics(&[topic], None);
            assert!(said.len() == 1 && said[0].contains(part), "{topic}: {said:?}");
        }
    }
}
