//! Texts with attributes in them, such as `alerts.{type}`.
//!
//! A template is read once, when the file is checked, and filled for every event: one without attributes is borrowed, one
//! that is a single attribute is borrowed from the event, and only a mixture is put together, in a buffer that the caller
//! keeps.

use std::borrow::Cow;

use connectors::braces;
use engine::config::{Check, Spanned};
use engine::event::{Attribute, Event, Text};

/// A text that may name attributes: `{name}` stands for one, `{{` for a brace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    pieces: Vec<Piece>,
}

/// One piece of a [`Template`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Text that stands for itself.
    Literal(Text),
    /// The value of an attribute.
    Attribute(Attribute),
}

/// An event lacks an attribute, or has it empty, without which a template cannot be filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the event has no attribute '{name}'")]
pub struct Missing<'t> {
    /// The attribute's name.
    pub name: &'t str,
}

impl Template {
    /// Compiles `typed`. Says the first thing that is wrong with it to `check`, with its place.
    pub fn compile(typed: &Spanned<String>, check: &mut Check) -> Template {
        Template::parse(typed).unwrap_or_else(|flaw| {
            check.error(typed.span.part(flaw.at, flaw.len), flaw.message, flaw.help);
            Template { pieces: Vec::new() }
        })
    }

    /// A template that is one attribute.
    #[must_use]
    pub fn attribute(attribute: Attribute) -> Template {
        Template { pieces: vec![Piece::Attribute(attribute)] }
    }

    fn parse(text: &str) -> Result<Template, Flaw> {
        let pieces = braces::pieces(text).map_err(|flaw| {
            let help = "close it, or write {{ for a literal brace".to_owned();
            Flaw { at: flaw.at, len: text.len() - flaw.at, message: flaw.to_string(), help }
        })?;
        let piece = |piece: braces::Piece<'_>| match piece {
            braces::Piece::Literal(text) => Ok(Piece::Literal(text.into())),
            braces::Piece::Name { name, at } => Ok(Piece::Attribute(named(name, at)?)),
        };
        Ok(Template { pieces: pieces.into_iter().map(piece).collect::<Result<_, _>>()? })
    }

    /// What it is put together from, for checks of a broker's own rules. Literals next to each other do not occur.
    #[must_use]
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// The whole text, if no event changes it.
    #[must_use]
    pub fn fixed(&self) -> Option<&str> {
        match self.pieces.as_slice() {
            [] => Some(""),
            [Piece::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// The text for one event. `buffer` is overwritten, and only a result that exists nowhere else is put there.
    ///
    /// # Errors
    /// [`Missing`] names the first attribute that the event lacks or has empty.
    pub fn fill<'a>(&'a self, event: &'a Event, buffer: &'a mut String) -> Result<&'a str, Missing<'a>> {
        if let Some(text) = self.fixed() {
            return Ok(text);
        }
        buffer.clear();
        if let [Piece::Attribute(attribute)] = self.pieces.as_slice() {
            return Ok(match value(event, attribute)? {
                Cow::Borrowed(text) => text,
                Cow::Owned(text) => {
                    buffer.push_str(&text);
                    buffer
                }
            });
        }
        for piece in &self.pieces {
            match piece {
                Piece::Literal(text) => buffer.push_str(text),
                Piece::Attribute(attribute) => buffer.push_str(&value(event, attribute)?),
            }
        }
        Ok(buffer)
    }
}

/// The attribute that stands between braces at byte `at`.
fn named(name: &str, at: usize) -> Result<Attribute, Flaw> {
    Attribute::named(name).map_err(|cause| {
        let lower = name.to_lowercase();
        let help = match Attribute::named(&lower) {
            Ok(_) => format!("did you mean {{{lower}}}?"),
            Err(_) => "name an attribute, such as {type} or {partitionkey}; {{ is a literal brace".to_owned(),
        };
        Flaw { at, len: name.len() + 2, message: cause.to_string(), help }
    })
}

fn value<'a>(event: &'a Event, attribute: &'a Attribute) -> Result<Cow<'a, str>, Missing<'a>> {
    let value = event.attribute(attribute).filter(|text| !text.is_empty());
    value.ok_or_else(|| Missing { name: attribute.name() })
}

/// What is wrong with a template, in bytes from its start.
struct Flaw {
    at: usize,
    len: usize,
    message: String,
    help: String,
}
