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

mod hint;
mod program;
mod refusal;
#[cfg(test)]
mod tests;
mod tree;
mod view;

pub use hint::Hint;
use program::Program;
use tree::{Comparison, Tree};
pub use view::View;

use crate::event::{Attribute, Event};

/// How deep filters may nest, so that neither a file nor a caller can exhaust the stack.
pub const MAX_DEPTH: usize = 32;

/// A checked and compiled filter; one constructor for each dialect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    tree: Tree,
    program: Program,
}

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
        compare("exact", Comparison::Exact, texts)
    }

    /// Takes events whose attributes all begin with these texts.
    ///
    /// # Errors
    /// [`Error::NoAttribute`] or [`Error::EmptyText`].
    pub fn prefix<T: Into<Box<str>>>(texts: impl IntoIterator<Item = (Attribute, T)>) -> Result<Filter, Error> {
        compare("prefix", Comparison::Prefix, texts)
    }

    /// Takes events whose attributes all end with these texts.
    ///
    /// # Errors
    /// [`Error::NoAttribute`] or [`Error::EmptyText`].
    pub fn suffix<T: Into<Box<str>>>(texts: impl IntoIterator<Item = (Attribute, T)>) -> Result<Filter, Error> {
        compare("suffix", Comparison::Suffix, texts)
    }

    /// Takes events that every one of `filters` takes.
    ///
    /// # Errors
    /// [`Error::NoFilter`] or [`Error::TooDeep`].
    pub fn all(filters: Vec<Filter>) -> Result<Filter, Error> {
        several("all", filters).and_then(|trees| Filter::new(Tree::All(trees)))
    }

    /// Takes events that at least one of `filters` takes.
    ///
    /// # Errors
    /// [`Error::NoFilter`] or [`Error::TooDeep`].
    pub fn any(filters: Vec<Filter>) -> Result<Filter, Error> {
        several("any", filters).and_then(|trees| Filter::new(Tree::Any(trees)))
    }

    /// Takes events that `filter` does not take.
    ///
    /// # Errors
    /// [`Error::TooDeep`].
    #[expect(clippy::should_implement_trait, reason = "the dialect is called so, and unlike the trait it can refuse")]
    pub fn not(filter: Filter) -> Result<Filter, Error> {
        Filter::new(Tree::Not(Box::new(filter.tree)))
    }

    /// Whether the filter takes `event`.
    #[must_use]
    pub fn matches(&self, event: &Event) -> bool {
        self.takes(&View::of(event))
    }

    /// Whether the filter takes the event of this view, which other filters may read too.
    #[must_use]
    #[inline(always)]
    pub fn takes(&self, view: &View<'_>) -> bool {
        self.program.matches(view)
    }

    /// What every event has that the filter takes, for whoever asks many filters about one event.
    #[must_use]
    pub fn hint(&self) -> Hint {
        self.program.hint().unwrap_or(Hint::NONE)
    }

    /// Why the filter does not take `event`, such as `exact type 'alert', but its type is 'late'`: the first condition that fails,
    /// and what the event has instead. Nothing if it takes it.
    #[must_use]
    pub fn refusal(&self, event: &Event) -> Option<String> {
        self.tree.refusal(event)
    }

    /// The attributes that every event which the filter takes has with exactly this text, whichever way it matches:
    /// those of `exact`, of any part of `all`, and those that all parts of `any` agree on; `not` turns `all` and `any`
    /// around. An index may look the filter up by any one of them and call [`Filter::matches`] only then. Nothing is
    /// pinned twice to the same text; two texts for one attribute mean that the filter takes nothing.
    #[must_use]
    pub fn pinned(&self) -> Vec<(&Attribute, &str)> {
        self.tree.pinned(true)
    }

    fn new(tree: Tree) -> Result<Filter, Error> {
        if tree.depth() > MAX_DEPTH {
            return Err(Error::TooDeep);
        }
        let program = Program::compile(&tree);
        Ok(Filter { tree, program })
    }
}

fn compare<T: Into<Box<str>>>(
    dialect: &'static str,
    comparison: Comparison,
    texts: impl IntoIterator<Item = (Attribute, T)>,
) -> Result<Filter, Error> {
    let texts: Box<[_]> = texts.into_iter().map(|(attribute, text)| (attribute, text.into())).collect();
    if texts.is_empty() {
        return Err(Error::NoAttribute(dialect));
    }
    if let Some((attribute, _)) = texts.iter().find(|(_, text)| text.is_empty()) {
        return Err(Error::EmptyText { dialect, attribute: attribute.name().to_owned() });
    }
    Filter::new(Tree::Compare(comparison, texts))
}

fn several(dialect: &'static str, filters: Vec<Filter>) -> Result<Box<[Tree]>, Error> {
    if filters.is_empty() {
        return Err(Error::NoFilter(dialect));
    }
    Ok(filters.into_iter().map(|filter| filter.tree).collect())
}
