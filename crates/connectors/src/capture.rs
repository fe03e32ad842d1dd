//! Filters with captures: which messages to ask a broker for, and what the parts of their topics are called.
//!
//! `v1/{fleet}/{vehicle}/telemetry` asks an MQTT broker for `v1/+/+/telemetry` and names the two levels; NATS writes
//! subjects with other separators and wildcards, and that is all that a [`Syntax`] says. A capture is always a whole
//! part, because that is all that a broker can match; `{{` is a literal brace, and the protocol's own wildcards stay what
//! they are.

mod read;

use engine::event::Name;
use smallvec::SmallVec;

pub use read::{Parse, checked, lacking};

/// How a protocol writes what messages are published to.
#[derive(Debug, PartialEq, Eq)]
pub struct Syntax {
    /// What a message is published to: `topic`.
    pub whole: &'static str,
    /// What is written to ask for some of them: `topic filter`.
    pub filter: &'static str,
    /// What stands between two separators: `level`.
    pub part: &'static str,
    /// What stands between two parts.
    pub separator: char,
    /// The wildcard for exactly one part.
    pub one: char,
    /// The wildcard for all the rest, which is always the last part.
    pub rest: char,
    /// Whether the wildcard for the rest also stands for nothing at all.
    pub rest_of_none: bool,
    /// Whether a part can be empty.
    pub empty_parts: bool,
    /// Whether a part can hold white space.
    pub spaces: bool,
    /// What the broker's own topics begin with, if a wildcard in the first part does not reach them.
    pub reserved: Option<char>,
    /// The longest filter, in bytes.
    pub longest: usize,
    /// A filter that shows a capture.
    pub example: &'static str,
}

/// A text as templates of outputs are written, in which a brace begins an attribute.
#[must_use]
pub fn escaped(text: &str) -> String {
    text.replace('{', "{{")
}

/// What is wrong with a filter, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// The first byte of the bad part.
    pub at: usize,
    /// Its length in bytes.
    pub len: usize,
    /// What is wrong, lower case.
    pub message: String,
    /// What to write instead.
    pub help: String,
}

/// One filter as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    syntax: &'static Syntax,
    /// What the broker is asked for.
    wire: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(Box<str>),
    /// The wildcard for one.
    One,
    /// `{name}`
    Capture(Name),
    /// The wildcard for the rest.
    Rest,
}

impl Filter {
    /// What to ask the broker for.
    #[must_use]
    pub fn wire(&self) -> &str {
        &self.wire
    }

    /// The only text that it matches, if there is only one.
    fn fixed(&self) -> Option<&str> {
        self.parts.iter().all(|part| matches!(part, Part::Literal(_))).then_some(self.wire.as_str())
    }

    /// The names of its captures, from left to right.
    pub fn captures(&self) -> impl Iterator<Item = &Name> {
        self.parts.iter().filter_map(|part| match part {
            Part::Capture(name) => Some(name),
            _ => None,
        })
    }

    /// Whether `text` matches, pushing the parts that it captures.
    fn capture<'t>(&self, text: &'t str, into: &mut Parts<'t>) -> bool {
        let syntax = self.syntax;
        if syntax.reserved.is_some_and(|sign| text.starts_with(sign))
            && !matches!(self.parts.first(), Some(Part::Literal(_)))
        {
            return false;
        }
        let mut rest = Some(text);
        for part in &self.parts {
            if *part == Part::Rest {
                return syntax.rest_of_none || rest.is_some();
            }
            let Some(text) = rest else { return false };
            let (head, tail) = match text.split_once(syntax.separator) {
                Some((head, tail)) => (head, Some(tail)),
                None => (text, None),
            };
            match part {
                Part::Literal(literal) if **literal != *head => return false,
                Part::Capture(_) => into.push(head),
                _ => {}
            }
            rest = tail;
        }
        rest.is_none()
    }
}

/// Parts that were captured, in the order of one filter.
type Parts<'t> = SmallVec<[&'t str; 4]>;

/// All filters of a source, and the names that they capture between them.
#[derive(Clone, Debug)]
pub struct Filters {
    /// Each filter, and where in `names` its captures stand.
    filters: Vec<(Filter, SmallVec<[usize; 4]>)>,
    names: Vec<Name>,
}

/// What the parts of one topic are called: one entry for each of [`Filters::names`].
pub type Captured<'t> = SmallVec<[Option<&'t str>; 4]>;

impl Filters {
    /// The filters in the order of the file.
    #[must_use]
    pub fn new(filters: Vec<Filter>) -> Filters {
        let mut names: Vec<Name> = Vec::new();
        let filters = filters
            .into_iter()
            .map(|filter| {
                let slots = filter.captures().map(|name| {
                    names.iter().position(|known| known == name).unwrap_or_else(|| {
                        names.push(name.clone());
                        names.len() - 1
                    })
                });
                let slots = slots.collect();
                (filter, slots)
            })
            .collect();
        Filters { filters, names }
    }

    /// Every name that some filter captures.
    #[must_use]
    pub fn names(&self) -> &[Name] {
        &self.names
    }

    /// Every filter as the broker is asked for it.
    pub fn wire(&self) -> impl Iterator<Item = &str> {
        self.filters.iter().map(|(filter, _)| filter.wire())
    }

    /// Which filter, in the order of the file, is the first that matches `text`.
    #[must_use]
    pub fn first(&self, text: &str) -> Option<usize> {
        self.filters.iter().position(|(filter, _)| filter.capture(text, &mut Parts::new()))
    }

    /// The one place that somebody who sends means: `to`, if some filter matches it, or else the only one that there is.
    ///
    /// # Errors
    /// Why it is not known, and what to write instead.
    pub fn place<'t>(&'t self, to: Option<&'t str>) -> Result<&'t str, String> {
        let what = self.filters.first().map_or("topic", |(filter, _)| filter.syntax.whole);
        let all = || self.wire().collect::<Vec<_>>().join(", ");
        match (to, self.filters.as_slice()) {
            (Some(to), _) if self.first(to).is_some() => Ok(to),
            (Some(to), _) => {
                Err(format!("it does not receive from {what} '{to}'; --to names one that matches {}", all()))
            }
            (None, [(only, _)]) => {
                only.fixed().ok_or_else(|| format!("--to has to name a {what} that matches {}", all()))
            }
            (None, _) => Err(format!("--to has to name a {what} that matches one of {}", all())),
        }
    }

    /// The captures of the first filter that matches `text`; `None` when none does, which a subscription that an earlier
    /// configuration left behind can cause.
    #[must_use]
    pub fn capture<'t>(&self, text: &'t str) -> Option<Captured<'t>> {
        let mut parts = Parts::new();
        self.filters.iter().find_map(|(filter, slots)| {
            parts.clear();
            filter.capture(text, &mut parts).then(|| {
                let mut captured = Captured::from_elem(None, self.names.len());
                for (slot, part) in slots.iter().zip(&parts) {
                    captured[*slot] = Some(*part);
                }
                captured
            })
        })
    }
}

#[cfg(test)]
mod tests;
