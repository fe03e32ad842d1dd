//! serde's view of a node.

use serde::de::value::StrDeserializer;
use serde::de::{DeserializeSeed, Deserializer, EnumAccess, Error as _, IntoDeserializer, VariantAccess, Visitor};

use super::Notes;
use super::access::{List, Located, Map};
use super::error::{Cause, Error};
use crate::config::node::{Entry, Node, Plain, Value, plain};
use crate::config::{many, secret, span};

/// A node to be read, and the key that it stands under.
#[derive(Clone, Copy)]
pub(super) struct Reader<'n> {
    node: &'n Node,
    notes: &'n Notes,
    /// The key, where a value that nobody reads means that its key is unknown.
    key: Option<Strict<'n>>,
}

/// What is known about the struct whose keys must all be read.
#[derive(Clone, Copy)]
pub(super) struct Strict<'n> {
    pub(super) key: &'n Node,
    pub(super) fields: &'static [&'static str],
}

impl<'n> Reader<'n> {
    pub(super) fn new(node: &'n Node, notes: &'n Notes) -> Reader<'n> {
        Reader { node, notes, key: None }
    }

    pub(super) fn strict(self, key: Option<Strict<'n>>) -> Reader<'n> {
        Reader { key, ..self }
    }

    /// Plain text is whatever the visitor wants text to be: `5` is a fine version and `true` a fine name.
    fn text<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.node.value {
            Value::Scalar { text, .. } if !self.node.is_null() => visitor.visit_borrowed_str(text),
            _ => return self.any(visitor),
        }
        .map_err(|error: Error| error.at(self.node))
    }

    fn any<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.node.value {
            Value::Scalar { text, plain: false } => visitor.visit_borrowed_str(text),
            Value::Scalar { text, plain: true } => match plain(text) {
                Plain::Null => visitor.visit_unit(),
                Plain::Boolean(value) => visitor.visit_bool(value),
                Plain::Unsigned(value) => visitor.visit_u64(value),
                Plain::Signed(value) => visitor.visit_i64(value),
                Plain::Float(value) => visitor.visit_f64(value),
                Plain::Text => visitor.visit_borrowed_str(text),
            },
            Value::List(items) => visitor.visit_seq(List::new(items, self.notes)),
            Value::Map(_) => return self.map("", None, visitor),
        }
        .map_err(|error: Error| error.at(self.node))
    }

    fn map<V: Visitor<'n>>(
        self,
        name: &'static str,
        fields: Option<&'static [&'static str]>,
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.node.entries() {
            Some(entries) => visitor
                .visit_map(Map::new(self.node, entries, self.notes, name, fields))
                .map_err(|error| error.at(self.node)),
            None => self.any(visitor),
        }
    }

    fn one_or_many<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Error> {
        let items = match &self.node.value {
            Value::List(items) => items,
            Value::Scalar { .. } | Value::Map(_) => std::slice::from_ref(self.node),
        };
        visitor.visit_seq(List::new(items, self.notes)).map_err(|error| error.at(self.node))
    }
}

macro_rules! as_any {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.any(visitor)
        })*
    };
}

macro_rules! as_text {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.text(visitor)
        })*
    };
}

impl<'de> Deserializer<'de> for Reader<'de> {
    type Error = Error;

    as_any! {
        deserialize_any deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128 deserialize_f32 deserialize_f64
        deserialize_unit deserialize_seq
    }

    as_text! { deserialize_char deserialize_str deserialize_string deserialize_bytes deserialize_byte_buf }

    /// A key means its text, whatever it looks like.
    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.node.text() {
            Some(text) => visitor.visit_borrowed_str(text).map_err(|error: Error| error.at(self.node)),
            None => self.any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.node.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        self.any(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Error> {
        match name {
            span::TOKEN => visitor.visit_seq(Located::new(self.node.span, self)),
            many::TOKEN => self.one_or_many(visitor),
            secret::TOKEN => {
                self.notes.secrets.borrow_mut().push(self.node.span);
                visitor.visit_newtype_struct(self)
            }
            _ => visitor.visit_newtype_struct(self),
        }
        .map_err(|error| error.at(self.node))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.any(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.any(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.map("", None, visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.map(name, Some(fields), visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match &self.node.value {
            Value::Scalar { text, .. } => {
                visitor.visit_enum(IntoDeserializer::<Error>::into_deserializer(text.as_str()))
            }
            Value::Map(entries) => match entries.as_slice() {
                [entry] => visitor.visit_enum(Choice { node: self.node, entry, notes: self.notes }),
                _ => Err(Error::custom(format!(
                    "exactly one key is expected here; write one of {}",
                    variants.join(", ")
                ))),
            },
            Value::List(_) => Err(Error::new(Cause::Sort { expected: "one of its names".to_owned(), found: None })),
        }
        .map_err(|error| error.at(self.node))
    }

    /// Nobody wants the value, so its key is unknown.
    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.key {
            Some(Strict { key, fields }) => Err(Error::unknown_field(key.text().unwrap_or_default(), fields).at(key)),
            None => visitor.visit_unit(),
        }
    }
}

/// One key that chooses, and what belongs to it.
struct Choice<'n> {
    node: &'n Node,
    entry: &'n Entry,
    notes: &'n Notes,
}

impl<'de> EnumAccess<'de> for Choice<'de> {
    type Error = Error;
    type Variant = Choice<'de>;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Choice<'de>), Error> {
        let name: StrDeserializer<'_, Error> = self.entry.name().into_deserializer();
        let value = seed.deserialize(name).map_err(|error: Error| error.choosing(&self.entry.key, self.node))?;
        Ok((value, self))
    }
}

impl<'de> VariantAccess<'de> for Choice<'de> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        if self.entry.value.is_null() {
            return Ok(());
        }
        let cause = Cause::Sort { expected: "nothing".to_owned(), found: None };
        Err(Error::new(cause).at(&self.entry.value).under(&self.entry.key))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        let reader = Reader::new(&self.entry.value, self.notes);
        seed.deserialize(reader).map_err(|error| error.at(&self.entry.value).under(&self.entry.key))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        Reader::new(&self.entry.value, self.notes).any(visitor).map_err(|error| error.under(&self.entry.key))
    }

    fn struct_variant<V: Visitor<'de>>(self, fields: &'static [&'static str], visitor: V) -> Result<V::Value, Error> {
        Reader::new(&self.entry.value, self.notes)
            .map("", Some(fields), visitor)
            .map_err(|error| error.under(&self.entry.key))
    }
}
