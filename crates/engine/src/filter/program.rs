//! The compiled form of a filter: comparisons that say where to go on, whatever their nesting was.
//!
//! A filter runs for every event and rule, so it is one loop over one array: no recursion, no call per dialect. `all`,
//! `any` and `not` have become jumps. Nothing allocates: core attributes are read as borrowed text, and a number is spelled
//! on the stack, since the longest 64-bit integer fits inline.

use smol_str::format_smolstr;

use super::hint::Hint;
use super::tree::{Comparison, Tree};
use super::view::{Column, View};
use crate::event::{Attribute, Event, Name, Value};

/// Comparisons in the reverse of the order in which they run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Program {
    start: usize,
    tests: Box<[Test]>,
}

/// One comparison and where to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Test {
    operand: Operand,
    comparison: Comparison,
    text: Box<str>,
    yes: usize,
    no: usize,
}

/// What is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Operand {
    Core(Column),
    Extension(Name),
}

/// The filter takes the event. These two are no test's place: a program is never that long.
const TAKEN: usize = usize::MAX;
/// The filter does not take the event.
const PASSED: usize = usize::MAX - 1;

impl Program {
    pub(super) fn compile(tree: &Tree) -> Program {
        let mut tests = Vec::new();
        let start = emit(tree, TAKEN, PASSED, &mut tests);
        Program { start, tests: tests.into() }
    }

    // Most rules refuse most events at their first comparison, which then costs no call.
    #[inline(always)]
    pub(super) fn matches(&self, view: &View<'_>) -> bool {
        let mut at = self.start;
        while let Some(test) = self.tests.get(at) {
            at = if test.holds(view) { test.yes } else { test.no };
        }
        at == TAKEN
    }

    /// What the first comparison wants, where nothing else can make up for it.
    pub(super) fn hint(&self) -> Option<Hint> {
        let first = self.tests.get(self.start).filter(|test| test.no == PASSED)?;
        match (&first.operand, first.comparison) {
            (Operand::Core(column), Comparison::Exact | Comparison::Prefix) => Hint::beginning(*column, &first.text),
            _ => None,
        }
    }
}

/// Appends `tree` and answers where it starts. What follows it is appended first, so that every place is known.
fn emit(tree: &Tree, yes: usize, no: usize, tests: &mut Vec<Test>) -> usize {
    match tree {
        Tree::Compare(comparison, texts) => texts.iter().rev().fold(yes, |yes, (attribute, text)| {
            let (operand, text) = (Operand::from(attribute), text.clone());
            tests.push(Test { operand, comparison: *comparison, text, yes, no });
            tests.len() - 1
        }),
        Tree::All(trees) => trees.iter().rev().fold(yes, |yes, tree| emit(tree, yes, no, tests)),
        Tree::Any(trees) => trees.iter().rev().fold(no, |no, tree| emit(tree, yes, no, tests)),
        Tree::Not(tree) => emit(tree, no, yes, tests),
    }
}

impl From<&Attribute> for Operand {
    fn from(attribute: &Attribute) -> Operand {
        Column::of(attribute).map_or_else(|name| Operand::Extension(name.clone()), Operand::Core)
    }
}

impl Test {
    #[inline]
    fn holds(&self, view: &View<'_>) -> bool {
        match &self.operand {
            Operand::Core(column) => view.column(*column).is_some_and(|value| self.compares(value)),
            Operand::Extension(name) => self.extension_holds(view.event, name),
        }
    }

    /// Apart, so that the loop over core attributes stays small.
    #[inline(never)]
    fn extension_holds(&self, event: &Event, name: &Name) -> bool {
        match event.extension(name.as_str()) {
            None => false,
            Some(Value::String(text)) => self.compares(text.as_bytes()),
            Some(Value::Boolean(true)) => self.compares(b"true"),
            Some(Value::Boolean(false)) => self.compares(b"false"),
            Some(Value::Integer(number)) => self.compares(format_smolstr!("{number}").as_bytes()),
        }
    }

    #[inline]
    fn compares(&self, value: &[u8]) -> bool {
        let text = self.text.as_bytes();
        // All three are one comparison of equally long bytes.
        let Some(more) = value.len().checked_sub(text.len()) else { return false };
        let skipped = match self.comparison {
            Comparison::Exact if more > 0 => return false,
            Comparison::Exact | Comparison::Prefix => 0,
            Comparison::Suffix => more,
        };
        let part = &value[skipped..][..text.len()];
        // Identifiers differ at their end more often than at their beginning.
        part.last() == text.last() && part == text
    }
}
