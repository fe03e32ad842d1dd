//! serde's view of lists, maps and places.

use serde::de::value::U32Deserializer;
use serde::de::{DeserializeSeed, IntoDeserializer, MapAccess, SeqAccess};

use super::Notes;
use super::error::Error;
use super::reader::{Reader, Strict};
use crate::config::Span;
use crate::config::node::{Entry, Node};

/// The items of a list that are not masked.
pub(super) struct List<'n> {
    items: std::slice::Iter<'n, Node>,
    notes: &'n Notes,
}

impl<'n> List<'n> {
    pub(super) fn new(items: &'n [Node], notes: &'n Notes) -> List<'n> {
        List { items: items.iter(), notes }
    }
}

impl<'de> SeqAccess<'de> for List<'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        match self.items.find(|item| !self.notes.masked.contains(&item.id)) {
            Some(item) => {
                seed.deserialize(Reader::new(item, self.notes)).map(Some).map_err(|error| error.at(item).item())
            }
            None => Ok(None),
        }
    }
}

/// The entries of a map that are not masked, and the stand-ins for those that are missing.
pub(super) struct Map<'n> {
    node: &'n Node,
    /// The struct that the map becomes, or nothing.
    name: &'static str,
    fields: Option<&'static [&'static str]>,
    entries: std::slice::Iter<'n, Entry>,
    stand_ins: std::slice::Iter<'n, super::StandIn>,
    value: Option<(&'n Node, &'n Node)>,
    notes: &'n Notes,
}

impl<'n> Map<'n> {
    pub(super) fn new(
        node: &'n Node,
        entries: &'n [Entry],
        notes: &'n Notes,
        name: &'static str,
        fields: Option<&'static [&'static str]>,
    ) -> Map<'n> {
        Map { node, name, fields, entries: entries.iter(), stand_ins: notes.stand_ins.iter(), value: None, notes }
    }

    fn next(&mut self) -> Option<(&'n Node, &'n Node)> {
        let masked = &self.notes.masked;
        let written = self.entries.find(|entry| !masked.contains(&entry.key.id) && !masked.contains(&entry.value.id));
        match written {
            Some(entry) => Some((&entry.key, &entry.value)),
            None => {
                let stand_in = self.stand_ins.find(|stand_in| stand_in.map == self.node.id)?;
                Some((&stand_in.key, &stand_in.value))
            }
        }
    }
}

impl<'de> MapAccess<'de> for Map<'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        self.value = self.next();
        let Some((key, _)) = self.value else { return Ok(None) };
        let read = seed.deserialize(Reader::new(key, self.notes));
        read.map(Some).map_err(|error| error.at(key).within(self.node, self.name))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let Some((key, value)) = self.value.take() else {
            return Err(serde::de::Error::custom("a value was asked for before its key"));
        };
        let strict = self.fields.map(|fields| Strict { key, fields });
        seed.deserialize(Reader::new(value, self.notes).strict(strict)).map_err(|error| {
            let at_key = error.0.place.as_ref().is_some_and(|place| place.id == key.id);
            if at_key { error.within(self.node, self.name) } else { error.at(value).under(key) }
        })
    }
}

/// What [`Spanned`](crate::config::Spanned) asks for: file, start, end and then the value.
pub(super) struct Located<'n> {
    numbers: std::array::IntoIter<u32, 3>,
    value: Option<Reader<'n>>,
}

impl<'n> Located<'n> {
    pub(super) fn new(span: Span, value: Reader<'n>) -> Located<'n> {
        Located { numbers: [span.file, span.start, span.end].into_iter(), value: Some(value) }
    }
}

impl<'de> SeqAccess<'de> for Located<'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        if let Some(number) = self.numbers.next() {
            let number: U32Deserializer<Error> = number.into_deserializer();
            return seed.deserialize(number).map(Some);
        }
        self.value.take().map(|value| seed.deserialize(value)).transpose()
    }
}
