//! Texts with captures in them, such as `/fleet/{fleet}/{vehicle}`.
//!
//! A pattern is read once and filled for every event, so a text without captures is shared, one that is a single capture
//! is copied straight, and only a mixture is put together.

use engine::event::{Text, TextBuilder};
use smallvec::SmallVec;

use crate::braces;

/// A text that may hold captures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Pattern {
    /// No captures.
    Fixed(Text),
    /// Nothing else than one.
    One(Slot),
    /// Several pieces.
    Mixed(Vec<Piece>),
}

/// One piece of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Literal(Box<str>),
    Slot(Slot),
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// A capture by its number.
    Capture(usize),
    /// All that the captures are taken from, such as the topic.
    Whole,
}

/// What one event fills patterns with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Filling<'f> {
    pub(super) captured: &'f [Option<Text>],
    pub(super) whole: &'f str,
}

/// What was captured, as texts, because several patterns take the same one.
pub(super) fn texts(captured: &[Option<&str>]) -> SmallVec<[Option<Text>; 4]> {
    let mut texts = SmallVec::with_capacity(captured.len());
    captured.iter().for_each(|value| texts.push(value.map(Text::new)));
    texts
}

/// What is wrong with a pattern, in bytes from its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Flaw {
    pub(super) at: usize,
    pub(super) len: usize,
    pub(super) message: String,
}

impl Pattern {
    /// Reads a pattern; `slot` says what a name stands for. `{{` is a literal brace.
    ///
    /// # Errors
    /// The first [`Flaw`].
    pub(super) fn parse(text: &str, slot: impl Fn(&str) -> Option<Slot>) -> Result<Pattern, Flaw> {
        let unclosed =
            |flaw: braces::Unclosed| Flaw { at: flaw.at, len: text.len() - flaw.at, message: flaw.to_string() };
        let piece = |piece: braces::Piece<'_>| match piece {
            braces::Piece::Literal(text) => Ok(Piece::Literal(text.into())),
            braces::Piece::Name { name, at } => slot(name).map(Piece::Slot).ok_or_else(|| Flaw {
                at,
                len: name.len() + 2,
                message: format!("nothing captures '{{{name}}}'"),
            }),
        };
        let pieces: Vec<Piece> =
            braces::pieces(text).map_err(unclosed)?.into_iter().map(piece).collect::<Result<_, _>>()?;
        Ok(match pieces.as_slice() {
            [] => Pattern::Fixed(Text::default()),
            [Piece::Literal(text)] => Pattern::Fixed(Text::new(text)),
            [Piece::Slot(slot)] => Pattern::One(*slot),
            _ => Pattern::Mixed(pieces),
        })
    }

    /// Whether capture number `index` is used.
    pub(super) fn uses(&self, index: usize) -> bool {
        let wanted = Slot::Capture(index);
        match self {
            Pattern::Fixed(_) => false,
            Pattern::One(slot) => *slot == wanted,
            Pattern::Mixed(pieces) => pieces.contains(&Piece::Slot(wanted)),
        }
    }

    /// The text for one event. A capture that its topic does not have is empty.
    #[inline]
    pub(super) fn fill(&self, filling: Filling<'_>) -> Text {
        match self {
            Pattern::Fixed(text) => text.clone(),
            Pattern::One(Slot::Capture(index)) => filling.capture(*index).cloned().unwrap_or_default(),
            Pattern::One(Slot::Whole) => Text::new(filling.whole),
            Pattern::Mixed(pieces) => Pattern::join(pieces, filling),
        }
    }

    fn join(pieces: &[Piece], filling: Filling<'_>) -> Text {
        let mut text = TextBuilder::new();
        for piece in pieces {
            text.push_str(piece.value(filling));
        }
        text.finish()
    }
}

impl Piece {
    fn value<'v>(&'v self, filling: Filling<'v>) -> &'v str {
        match self {
            Piece::Literal(text) => text,
            Piece::Slot(slot) => slot.value(filling),
        }
    }
}

impl Slot {
    fn value<'v>(self, filling: Filling<'v>) -> &'v str {
        match self {
            Slot::Capture(index) => filling.capture(index).map_or("", Text::as_str),
            Slot::Whole => filling.whole,
        }
    }
}

impl<'f> Filling<'f> {
    /// Capture number `index`, if this message has it.
    pub(super) fn capture(self, index: usize) -> Option<&'f Text> {
        self.captured.get(index).and_then(Option::as_ref)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn slot(name: &str) -> Option<Slot> {
        match name {
            "a" => Some(Slot::Capture(0)),
            "b" => Some(Slot::Capture(1)),
            "topic" => Some(Slot::Whole),
            _ => None,
        }
    }

    fn fill(text: &str) -> Text {
        let filling = Filling { captured: &texts(&[Some("x"), None]), whole: "t/x" };
        Pattern::parse(text, slot).unwrap_or_else(|flaw| panic!("{text}: {flaw:?}")).fill(filling)
    }

    #[test]
    fn captures_and_literals_mix() {
        for (text, filled) in [
            ("", ""),
            ("plain", "plain"),
            ("{a}", "x"),
            ("/fleet/{a}/{b}!", "/fleet/x/!"),
            ("{a}{a}", "xx"),
            ("{{a}", "{a}"),
            ("{{{a}}", "{x}"),
            ("/{topic}", "/t/x"),
        ] {
            assert_eq!(fill(text), filled, "{text}");
        }
    }

    #[test]
    fn flaws_name_their_place() {
        for (text, at, len) in [("a{c}", 1, 3), ("x{a", 1, 2), ("{}", 0, 2), ("é{zz}", 2, 4)] {
            let flaw = Pattern::parse(text, slot).unwrap_err();
            assert_eq!((flaw.at, flaw.len), (at, len), "{text}: {flaw:?}");
        }
    }

    #[test]
    fn what_is_used_is_known() {
        let pattern = Pattern::parse("/{b}/", slot).unwrap();
        assert!(pattern.uses(1) && !pattern.uses(0));
    }

    proptest! {
        #[test]
        fn a_value_is_filled_in_whatever_its_length(value in "[a-zé]{0,90}") {
            let filling = Filling { captured: &texts(&[Some(&value)]), whole: "" };
            let filled = Pattern::parse("<{a}>", slot).unwrap().fill(filling);
            prop_assert_eq!(filled, format!("<{value}>"));
        }

        #[test]
        fn no_text_makes_it_panic(text in "[{}aé]{0,12}") {
            if let Err(flaw) = Pattern::parse(&text, slot) {
                prop_assert!(flaw.at + flaw.len <= text.len());
            }
        }
    }
}
