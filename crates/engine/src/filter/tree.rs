//! A filter as it was written, from which the program is compiled and the pins are read.

use crate::event::Attribute;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tree {
    /// Attributes with the texts they are compared with; never empty.
    Compare(Comparison, Box<[(Attribute, Box<str>)]>),
    /// Never empty.
    All(Box<[Tree]>),
    /// Never empty.
    Any(Box<[Tree]>),
    Not(Box<Tree>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Exact,
    Prefix,
    Suffix,
}

/// An attribute and the only text it can have.
pub(super) type Pin<'t> = (&'t Attribute, &'t str);

impl Tree {
    /// What is pinned among the events for which the filter answers `answer`.
    pub(super) fn pinned(&self, answer: bool) -> Vec<Pin<'_>> {
        match (self, answer) {
            (Tree::Compare(Comparison::Exact, texts), true) => {
                union(texts.iter().map(|(attribute, text)| vec![(attribute, &**text)]))
            }
            // Anything else that compares leaves its attribute more than one text.
            (Tree::Compare(..), _) => Vec::new(),
            (Tree::All(trees), true) | (Tree::Any(trees), false) => union(trees.iter().map(|tree| tree.pinned(answer))),
            (Tree::Any(trees), true) | (Tree::All(trees), false) => {
                intersection(trees.iter().map(|tree| tree.pinned(answer)))
            }
            (Tree::Not(tree), answer) => tree.pinned(!answer),
        }
    }

    /// How many dialects stand inside each other; 1 for one that compares.
    pub(super) fn depth(&self) -> usize {
        match self {
            Tree::Compare(..) => 1,
            Tree::All(trees) | Tree::Any(trees) => 1 + trees.iter().map(Tree::depth).max().unwrap_or_default(),
            Tree::Not(tree) => 1 + tree.depth(),
        }
    }
}

/// What at least one of `sets` pins.
fn union<'t>(sets: impl Iterator<Item = Vec<Pin<'t>>>) -> Vec<Pin<'t>> {
    let mut pins = Vec::new();
    for pin in sets.flatten() {
        if !pins.contains(&pin) {
            pins.push(pin);
        }
    }
    pins
}

/// What every one of `sets` pins.
fn intersection<'t>(mut sets: impl Iterator<Item = Vec<Pin<'t>>>) -> Vec<Pin<'t>> {
    let mut pins = sets.next().unwrap_or_default();
    for set in sets {
        pins.retain(|pin| set.contains(pin));
    }
    pins
}
