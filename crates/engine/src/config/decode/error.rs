//! What can be wrong with a value, and where.

use std::fmt;

use serde::de::{self, Expected, Unexpected};

use crate::config::Span;
use crate::config::node::Node;

/// Why reading stopped, and where.
#[derive(Debug)]
pub(super) struct Error(pub(super) Box<Problem>);

#[derive(Debug)]
pub(super) struct Problem {
    pub(super) cause: Cause,
    pub(super) place: Option<Place>,
}

/// Where reading stopped.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) id: u32,
    pub(super) span: Span,
    /// The key under which the value stands, with its place.
    pub(super) owner: Option<(Span, String)>,
    /// What the value is.
    pub(super) sort: &'static str,
    /// Whether it is one item of what stands under the key.
    pub(super) item: bool,
}

#[derive(Debug)]
pub(super) enum Cause {
    /// A sentence, perhaps with `; ` before what to write instead.
    Text(String),
    /// Something else was wanted.
    Sort { expected: String, found: Option<String> },
    /// A key is not there.
    Missing(&'static str),
    /// A key that the struct `holder` does not have, in the map with this id.
    UnknownKey { holder: &'static str, map: u32, name: String, known: &'static [&'static str] },
    /// A name that is none of the known ones.
    UnknownValue { name: String, known: &'static [&'static str] },
}

impl Error {
    pub(super) fn new(cause: Cause) -> Error {
        Error(Box::new(Problem { cause, place: None }))
    }

    /// The error at `node`, unless it is already known to be further inside.
    pub(super) fn at(mut self, node: &Node) -> Error {
        self.0.place.get_or_insert_with(|| Place::of(node));
        self
    }

    /// The error at a key that chooses, for which the whole of `node` has to be passed over.
    pub(super) fn choosing(mut self, key: &Node, node: &Node) -> Error {
        self.0.place.get_or_insert_with(|| Place { id: node.id, ..Place::of(key) });
        self
    }

    /// The error at an item of a list.
    pub(super) fn item(mut self) -> Error {
        if let Some(place) = self.0.place.as_mut().filter(|place| place.owner.is_none()) {
            place.item = true;
        }
        self
    }

    /// The error with the key that the wrong value stands under, unless a nearer one is known.
    pub(super) fn under(mut self, key: &Node) -> Error {
        if let Some(place) = &mut self.0.place {
            place.owner.get_or_insert_with(|| (key.span, key.text().unwrap_or_default().to_owned()));
        }
        self
    }

    /// Tells an error at a key of which map it is, and what the map was to become.
    pub(super) fn within(mut self, node: &Node, name: &'static str) -> Error {
        if let Cause::UnknownKey { holder, map, .. } = &mut self.0.cause {
            (*holder, *map) = (name, node.id);
        }
        self
    }
}

impl Place {
    pub(super) fn of(node: &Node) -> Place {
        Place { id: node.id, span: node.span, owner: None, sort: node.sort(), item: false }
    }
}

impl de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Error {
        Error::new(Cause::Text(message.to_string()))
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Error {
        // A fraction is a number too, so what was wanted would sound like what was found.
        let found = if let Unexpected::Float(number) = found { Some(format!("{number:?}")) } else { None };
        Error::new(Cause::Sort { expected: expected.to_string(), found })
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Error {
        // Numbers are no secrets, and without them one would read "a whole number, not a number".
        let found = match found {
            Unexpected::Unsigned(number) => Some(number.to_string()),
            Unexpected::Signed(number) => Some(number.to_string()),
            Unexpected::Float(number) => Some(format!("{number:?}")),
            _ => None,
        };
        Error::new(Cause::Sort { expected: expected.to_string(), found })
    }

    fn unknown_variant(name: &str, known: &'static [&'static str]) -> Error {
        Error::new(Cause::UnknownValue { name: name.to_owned(), known })
    }

    fn unknown_field(name: &str, known: &'static [&'static str]) -> Error {
        Error::new(Cause::UnknownKey { holder: "", map: 0, name: name.to_owned(), known })
    }

    fn missing_field(name: &'static str) -> Error {
        Error::new(Cause::Missing(name))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0.cause)
    }
}

impl std::error::Error for Error {}

/// What Rust expects in the words of YAML, and what to write.
pub(super) fn in_yaml(expected: &str) -> (&str, &'static str) {
    match expected {
        "u8" => ("a whole number from 0 to 255", ""),
        "u16" => ("a whole number from 0 to 65535", ""),
        "u32" | "u64" | "usize" | "u128" => ("a whole number, zero or more", ""),
        "a nonzero u8" | "a nonzero u16" | "a nonzero u32" | "a nonzero u64" | "a nonzero usize" => {
            ("a whole number, one or more", "")
        }
        "i8" | "i16" | "i32" | "i64" | "isize" | "i128" => ("a whole number", ""),
        "f32" | "f64" => ("a number", ""),
        "a boolean" => ("true or false", ""),
        "a string" | "string" | "a character" | "path string" | "a borrowed string" => ("text", ""),
        "a sequence" => ("a list", "write a list, such as [first, second]"),
        "a map" => ("a map", "write a map, such as { key: value }"),
        other if other.starts_with("struct ") => ("a map", "write a map, such as { key: value }"),
        other if other.starts_with("enum ") => ("one of its names", ""),
        other if other.starts_with("unit") => ("nothing", ""),
        other => (other, ""),
    }
}
