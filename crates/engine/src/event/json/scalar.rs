//! The values of attributes: anything else is read over and named, so that the refusal can say what was there.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::super::Text;

/// The value of an attribute.
pub(super) enum Scalar {
    Text(Text),
    Boolean(bool),
    Integer(i64),
    Null,
    /// What no attribute can be, and what it is.
    Other(&'static str),
}

impl Scalar {
    /// What it is, for a message.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Scalar::Text(_) => "a string",
            Scalar::Boolean(_) => "a boolean",
            Scalar::Integer(_) => "a number",
            Scalar::Null => "null",
            Scalar::Other(kind) => kind,
        }
    }
}

/// Reads any value, keeping only what an attribute can be.
pub(super) struct Scalars;

impl<'a> DeserializeSeed<'a> for Scalars {
    type Value = Scalar;

    fn deserialize<D: Deserializer<'a>>(self, value: D) -> Result<Scalar, D::Error> {
        value.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for Scalars {
    type Value = Scalar;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Scalar, E> {
        Ok(Scalar::Text(text.into()))
    }

    fn visit_bool<E: Error>(self, boolean: bool) -> Result<Scalar, E> {
        Ok(Scalar::Boolean(boolean))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Scalar, E> {
        Ok(Scalar::Integer(number))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Scalar, E> {
        Ok(i64::try_from(number).map_or(Scalar::Other("an integer beyond 64 bits"), Scalar::Integer))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Scalar, E> {
        Ok(Scalar::Other("a number that is no 64-bit integer"))
    }

    fn visit_unit<E: Error>(self) -> Result<Scalar, E> {
        Ok(Scalar::Null)
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut items: A) -> Result<Scalar, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Scalar::Other("an array"))
    }

    fn visit_map<M: MapAccess<'a>>(self, mut members: M) -> Result<Scalar, M::Error> {
        while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::Other("an object"))
    }
}
