//! Why a filter does not take an event, in words: the first condition that fails, and what the event has instead.
//!
//! Decision: the tree is asked, and not the program, which knows no dialects any more; nobody waits for it but people.

use super::tree::{Comparison, Tree};
use crate::event::{Attribute, Event, beginning};

/// Bytes of a value that are shown.
const SHOWN: usize = 80;

impl Comparison {
    fn name(self) -> &'static str {
        match self {
            Comparison::Exact => "exact",
            Comparison::Prefix => "prefix",
            Comparison::Suffix => "suffix",
        }
    }

    fn holds(self, value: &str, text: &str) -> bool {
        match self {
            Comparison::Exact => value == text,
            Comparison::Prefix => value.starts_with(text),
            Comparison::Suffix => value.ends_with(text),
        }
    }
}

fn holds(comparison: Comparison, event: &Event, (attribute, text): &(Attribute, Box<str>)) -> bool {
    event.attribute(attribute).is_some_and(|value| comparison.holds(&value, text))
}

fn quoted(text: &str) -> String {
    let shown = beginning(text, SHOWN);
    let more = if shown.len() < text.len() { "..." } else { "" };
    format!("'{shown}{more}'")
}

impl Tree {
    fn takes(&self, event: &Event) -> bool {
        match self {
            Tree::Compare(comparison, texts) => texts.iter().all(|pair| holds(*comparison, event, pair)),
            Tree::All(trees) => trees.iter().all(|tree| tree.takes(event)),
            Tree::Any(trees) => trees.iter().any(|tree| tree.takes(event)),
            Tree::Not(tree) => !tree.takes(event),
        }
    }

    pub(super) fn refusal(&self, event: &Event) -> Option<String> {
        if self.takes(event) {
            return None;
        }
        match self {
            Tree::Compare(comparison, texts) => {
                let (attribute, text) = texts.iter().find(|pair| !holds(*comparison, event, pair))?;
                let name = attribute.name();
                let has = match event.attribute(attribute) {
                    Some(value) => format!("its {name} is {}", quoted(&value)),
                    None => format!("it has no {name}"),
                };
                Some(format!("{} {name} {}, but {has}", comparison.name(), quoted(text)))
            }
            Tree::All(trees) => trees.iter().find_map(|tree| tree.refusal(event)),
            Tree::Any(trees) => {
                let refusals: Vec<String> = trees.iter().filter_map(|tree| tree.refusal(event)).collect();
                Some(format!("none of {}: {}", refusals.len(), refusals.join("; ")))
            }
            Tree::Not(tree) => Some(format!("not ({tree}), but that is so")),
        }
    }
}

impl std::fmt::Display for Tree {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let listed = |f: &mut std::fmt::Formatter<'_>, word: &str, trees: &[Tree]| {
            let trees: Vec<String> = trees.iter().map(Tree::to_string).collect();
            write!(f, "{word} of ({})", trees.join("; "))
        };
        match self {
            Tree::Compare(comparison, texts) => {
                let texts: Vec<String> =
                    texts.iter().map(|(name, text)| format!("{} {}", name.name(), quoted(text))).collect();
                write!(f, "{} {}", comparison.name(), texts.join(", "))
            }
            Tree::All(trees) => listed(f, "all", trees),
            Tree::Any(trees) => listed(f, "any", trees),
            Tree::Not(tree) => write!(f, "not ({tree})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Filter;
    use super::*;

    fn event() -> Event {
        Event::new("1".into(), "/fleet".into(), "late".into()).unwrap().with_subject("veh-7".into())
    }

    #[test]
    fn the_first_condition_that_fails_is_named_with_what_the_event_has() {
        let named = |name: &str| Attribute::named(name).unwrap();
        let exact = |name: &str, text: &str| Filter::exact([(named(name), text)]).unwrap();
        let late = exact("type", "late");
        let cases = [
            (late.clone(), None),
            (exact("type", "alert"), Some("exact type 'alert', but its type is 'late'")),
            (exact("fleet", "a"), Some("exact fleet 'a', but it has no fleet")),
            (
                Filter::prefix([(named("subject"), "car")]).unwrap(),
                Some("prefix subject 'car', but its subject is 'veh-7'"),
            ),
            (
                Filter::suffix([(named("subject"), "-8")]).unwrap(),
                Some("suffix subject '-8', but its subject is 'veh-7'"),
            ),
            (
                Filter::all(vec![late.clone(), exact("subject", "x")]).unwrap(),
                Some("exact subject 'x', but its subject is 'veh-7'"),
            ),
            (
                Filter::any(vec![exact("type", "a"), exact("fleet", "b")]).unwrap(),
                Some("none of 2: exact type 'a', but its type is 'late'; exact fleet 'b', but it has no fleet"),
            ),
            (Filter::not(late.clone()).unwrap(), Some("not (exact type 'late'), but that is so")),
            (
                Filter::not(Filter::all(vec![late, Filter::not(exact("type", "x")).unwrap()]).unwrap()).unwrap(),
                Some("not (all of (exact type 'late'; not (exact type 'x'))), but that is so"),
            ),
        ];
        for (filter, expected) in cases {
            assert_eq!(filter.refusal(&event()).as_deref(), expected);
            assert_eq!(filter.matches(&event()), expected.is_none());
        }
        let long = exact("type", &"ä".repeat(100));
        assert_eq!(
            long.refusal(&event()).unwrap(),
            format!("exact type '{}...', but its type is 'late'", "ä".repeat(40))
        );
    }
}
