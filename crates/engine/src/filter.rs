//! Which events a trigger or a rule takes: the six filter dialects of Knative and the CloudEvents subscriptions API.
//!
//! `exact`, `prefix` and `suffix` compare attributes with text, `all`, `any` and `not` combine filters. Comparison is
//! case sensitive and on the canonical text of an attribute ([`Value::text`](crate::event::Value::text)). An attribute
//! that the event does not have never compares equal, so that `not` of it does. What could not mean anything is refused
//! when a filter is made, and a filter that exists answers with a plain yes or no: it cannot fail on an event. It neither
//! allocates nor parses, for it runs once per event and rule.
//!
//! ```
//! use engine::event::{Attribute, Event};
//! use engine::filter::Filter;
//!
//! let filter = Filter::all(vec![
//!     Filter::prefix([(Attribute::Type, "org.covesa.vss.")])?,
//!     Filter::exact([(Attribute::Source, "/fleet/demo")])?,
//! ])?;
//! let event = Event::new("1".into(), "/fleet/demo".into(), "org.covesa.vss.telemetry.v1".into()).unwrap();
//! assert!(filter.matches(&event));
//! # Ok::<(), engine::filter::Error>(())
//! ```

mod condition;
#[cfg(test)]
mod tests;

use condition::Condition;

use crate::event::{Attribute, Event};

/// How deep filters may nest, so that neither a file nor a caller can exhaust the stack.
pub const MAX_DEPTH: usize = 32;

/// A checked filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// Every attribute equals its text.
    Exact(Conditions),
    /// Every attribute begins with its text.
    Prefix(Conditions),
    /// Every attribute ends with its text.
    Suffix(Conditions),
    /// Every filter matches.
    All(Filters),
    /// At least one filter matches.
    Any(Filters),
    /// The filter does not match.
    Not(Nested),
}

/// Attributes with the texts they are compared with; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conditions(Box<[Condition]>);

/// Filters to combine; never empty, nor nested deeper than [`MAX_DEPTH`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filters(Box<[Filter]>);

/// A filter to negate, not nested deeper than [`MAX_DEPTH`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nested(Box<Filter>);

/// Why something is not a filter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// `exact`, `prefix` or `suffix` without an attribute.
    #[error("'{0}' names no attribute; write at least one, such as type: com.example.created")]
    NoAttribute(&'static str),
    /// An attribute is compared with the empty text.
    #[error("'{dialect}' compares attribute '{attribute}' with an empty text; write the text that it should have")]
    EmptyText {
        /// The dialect.
        dialect: &'static str,
        /// The attribute's name.
        attribute: String,
    },
    /// `all` or `any` without a filter.
    #[error("'{0}' holds no filter; write at least one")]
    NoFilter(&'static str),
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("filters are nested more than {MAX_DEPTH} deep; write a flatter filter")]
    TooDeep,
}

impl Filter {
    /// Takes events whose attributes all equal these texts.
    ///
    /// # Errors
    /// [`Error::NoAttribute`] or [`Error::EmptyText`].
    pub fn exact<T: Into<Box<str>>>(texts: impl IntoIterator<Item = (Attribute, T)>) -> Result<Filter, Error> {
        conditions("exact", texts).map(Filter::Exact)
    }

    /// Takes events whose attributes all begin with these texts.
    ///
    /// # Errors
    /// [`Error::NoAttribute`] or [`Error::EmptyText`].
    pub fn prefix<T: Into<Box<str>>>(texts: impl IntoIterator<Item = (Attribute, T)>) -> Result<Filter, Error> {
        conditions("prefix", texts).map(Filter::Prefix)
    }

    /// Takes events whose attributes all end with these texts.
    ///
    /// # Errors
    /// [`Error::NoAttribute`] or [`Error::EmptyText`].
    pub fn suffix<T: Into<Box<str>>>(texts: impl IntoIterator<Item = (Attribute, T)>) -> Result<Filter, Error> {
        conditions("suffix", texts).map(Filter::Suffix)
    }

    /// Takes events that every one of `filters` takes.
    ///
    /// # Errors
    /// [`Error::NoFilter`] or [`Error::TooDeep`].
    pub fn all(filters: Vec<Filter>) -> Result<Filter, Error> {
        several("all", filters).map(Filter::All)
    }

    /// Takes events that at least one of `filters` takes.
    ///
    /// # Errors
    /// [`Error::NoFilter`] or [`Error::TooDeep`].
    pub fn any(filters: Vec<Filter>) -> Result<Filter, Error> {
        several("any", filters).map(Filter::Any)
    }

    /// Takes events that `filter` does not take.
    ///
    /// # Errors
    /// [`Error::TooDeep`].
    #[expect(clippy::should_implement_trait, reason = "the dialect is called so, and unlike the trait it can refuse")]
    pub fn not(filter: Filter) -> Result<Filter, Error> {
        if filter.depth() >= MAX_DEPTH {
            return Err(Error::TooDeep);
        }
        Ok(Filter::Not(Nested(Box::new(filter))))
    }

    /// Whether the filter takes `event`.
    #[must_use]
    pub fn matches(&self, event: &Event) -> bool {
        match self {
            Filter::Exact(conditions) => conditions.0.iter().all(|condition| condition.equals(event)),
            Filter::Prefix(conditions) => conditions.0.iter().all(|condition| condition.begins(event)),
            Filter::Suffix(conditions) => conditions.0.iter().all(|condition| condition.ends(event)),
            Filter::All(filters) => filters.0.iter().all(|filter| filter.matches(event)),
            Filter::Any(filters) => filters.0.iter().any(|filter| filter.matches(event)),
            Filter::Not(filter) => !filter.0.matches(event),
        }
    }

    /// The attributes that every event which the filter takes has with exactly this text, whichever way it matches:
    /// those of `exact`, of any part of `all`, and those that all parts of `any` agree on; `not` turns `all` and `any`
    /// around. An index may look the filter up by any one of them and call [`Filter::matches`] only then. Nothing is
    /// pinned twice to the same text; two texts for one attribute mean that the filter takes nothing.
    #[must_use]
    pub fn pinned(&self) -> Vec<(&Attribute, &str)> {
        self.pinned_if(true)
    }

    /// What is pinned among the events for which [`Filter::matches`] answers `answer`.
    fn pinned_if(&self, answer: bool) -> Vec<(&Attribute, &str)> {
        match (self, answer) {
            (Filter::Exact(conditions), true) => union(conditions.0.iter().map(|condition| vec![condition.parts()])),
            // One condition that fails leaves the attribute any text but one.
            (Filter::Exact(_), false) | (Filter::Prefix(_) | Filter::Suffix(_), _) => Vec::new(),
            (Filter::All(filters), true) | (Filter::Any(filters), false) => {
                union(filters.0.iter().map(|filter| filter.pinned_if(answer)))
            }
            (Filter::Any(filters), true) | (Filter::All(filters), false) => {
                intersection(filters.0.iter().map(|filter| filter.pinned_if(answer)))
            }
            (Filter::Not(filter), answer) => filter.0.pinned_if(!answer),
        }
    }

    /// How many filters stand inside each other; 1 for a dialect that compares.
    fn depth(&self) -> usize {
        match self {
            Filter::Exact(_) | Filter::Prefix(_) | Filter::Suffix(_) => 1,
            Filter::All(filters) | Filter::Any(filters) => {
                1 + filters.0.iter().map(Filter::depth).max().unwrap_or_default()
            }
            Filter::Not(filter) => 1 + filter.0.depth(),
        }
    }
}

fn conditions<T: Into<Box<str>>>(
    dialect: &'static str,
    texts: impl IntoIterator<Item = (Attribute, T)>,
) -> Result<Conditions, Error> {
    let mut conditions = Vec::new();
    for (attribute, text) in texts {
        let text = text.into();
        if text.is_empty() {
            return Err(Error::EmptyText { dialect, attribute: attribute.name().to_owned() });
        }
        conditions.push(Condition::new(attribute, text));
    }
    if conditions.is_empty() {
        return Err(Error::NoAttribute(dialect));
    }
    Ok(Conditions(conditions.into()))
}

fn several(dialect: &'static str, filters: Vec<Filter>) -> Result<Filters, Error> {
    if filters.is_empty() {
        return Err(Error::NoFilter(dialect));
    }
    if filters.iter().any(|filter| filter.depth() >= MAX_DEPTH) {
        return Err(Error::TooDeep);
    }
    Ok(Filters(filters.into()))
}

/// What at least one of `sets` pins.
fn union<'a>(sets: impl Iterator<Item = Vec<(&'a Attribute, &'a str)>>) -> Vec<(&'a Attribute, &'a str)> {
    let mut pins = Vec::new();
    for pin in sets.flatten() {
        if !pins.contains(&pin) {
            pins.push(pin);
        }
    }
    pins
}

/// What every one of `sets` pins.
fn intersection<'a>(mut sets: impl Iterator<Item = Vec<(&'a Attribute, &'a str)>>) -> Vec<(&'a Attribute, &'a str)> {
    let mut pins = sets.next().unwrap_or_default();
    for set in sets {
        pins.retain(|pin| set.contains(pin));
    }
    pins
}
