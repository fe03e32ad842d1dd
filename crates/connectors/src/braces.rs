//! Texts with names in braces, such as `/fleet/{fleet}`; `{{` is a literal brace.
//!
//! What a name stands for is the reader's business: a capture of the topic in one place, an attribute in another.

/// One piece of a text. Two literals never stand next to each other, and none is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece<'t> {
    /// Text that stands for itself.
    Literal(String),
    /// What stood between braces.
    Name {
        /// Without the braces.
        name: &'t str,
        /// The byte of its opening brace.
        at: usize,
    },
}

/// A brace is never closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the brace is never closed")]
pub struct Unclosed {
    /// The byte of the brace.
    pub at: usize,
}

/// The pieces of `text` from left to right.
///
/// # Errors
/// [`Unclosed`]
pub fn pieces(text: &str) -> Result<Vec<Piece<'_>>, Unclosed> {
    let (mut pieces, mut literal, mut rest) = (Vec::new(), String::new(), text);
    while let Some((before, after)) = rest.split_once('{') {
        literal.push_str(before);
        if let Some(after) = after.strip_prefix('{') {
            literal.push('{');
            rest = after;
            continue;
        }
        let at = text.len() - after.len() - 1;
        let (name, after) = after.split_once('}').ok_or(Unclosed { at })?;
        if !literal.is_empty() {
            pieces.push(Piece::Literal(std::mem::take(&mut literal)));
        }
        pieces.push(Piece::Name { name, at });
        rest = after;
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        pieces.push(Piece::Literal(literal));
    }
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn literals_and_names_take_turns() {
        let literal = |text: &str| Piece::Literal(text.to_owned());
        for (text, expected) in [
            ("", vec![]),
            ("plain }", vec![literal("plain }")]),
            ("{a}", vec![Piece::Name { name: "a", at: 0 }]),
            ("{{a}{b}", vec![literal("{a}"), Piece::Name { name: "b", at: 4 }]),
            ("é{}!", vec![literal("é"), Piece::Name { name: "", at: 2 }, literal("!")]),
        ] {
            assert_eq!(pieces(text), Ok(expected), "{text}");
        }
        assert_eq!(pieces("x{{{a"), Err(Unclosed { at: 3 }));
    }

    proptest! {
        #[test]
        fn the_text_is_its_pieces(text in "[{}aé]{0,12}") {
            let Ok(pieces) = pieces(&text) else { return Ok(()) };
            let written: String = pieces
                .iter()
                .map(|piece| match piece {
                    Piece::Literal(literal) => literal.replace('{', "{{"),
                    Piece::Name { name, .. } => format!("{{{name}}}"),
                })
                .collect();
            prop_assert_eq!(written, text);
        }
    }
}
