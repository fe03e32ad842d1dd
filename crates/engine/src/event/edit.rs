//! Changing an event: the handle is looked at once, however many attributes change.

use bytes::Bytes;

use super::{Invalid, Name, Parts, Text, Value, excerpt, twice};

/// The right to change an event's attributes; see [`Event::edit`](super::Event::edit).
#[derive(Debug)]
pub struct Edit<'e>(&'e mut Parts);

impl<'e> Edit<'e> {
    pub(super) fn new(parts: &'e mut Parts) -> Edit<'e> {
        Edit(parts)
    }

    /// Sets `subject`.
    pub fn subject(&mut self, subject: Text) {
        self.0.subject = Some(subject);
    }

    /// Sets `time`, kept in the sender's spelling.
    ///
    /// # Errors
    /// [`Invalid::Time`] when it is not RFC 3339.
    pub fn time(&mut self, time: Text) -> Result<(), Invalid> {
        if chrono::DateTime::parse_from_rfc3339(&time).is_err() {
            return Err(Invalid::Time(excerpt(&time)));
        }
        self.0.time = Some(time);
        Ok(())
    }

    /// Sets the payload and, where known, its media type.
    pub fn data(&mut self, data: Bytes, datacontenttype: Option<Text>) {
        self.0.data = Some(data);
        self.0.datacontenttype = datacontenttype;
    }

    /// Sets `datacontenttype`, whether or not there is data.
    pub fn datacontenttype(&mut self, datacontenttype: Text) {
        self.0.datacontenttype = Some(datacontenttype);
    }

    /// Sets `dataschema`.
    pub fn dataschema(&mut self, dataschema: Text) {
        self.0.dataschema = Some(dataschema);
    }

    /// Adds an extension attribute, or replaces the one of that name. Whoever says anew where the event's trace began has
    /// the last word: the context of the hop that brought it is forgotten.
    pub fn extension(&mut self, name: Name, value: impl Into<Value>) {
        if self.0.hop.is_some() && name == Name::TRACEPARENT {
            self.0.hop = None;
        }
        let value = value.into();
        match self.0.extensions.iter_mut().find(|(known, _)| *known == name) {
            Some(entry) => entry.1 = value,
            None => self.0.extensions.push((name, value)),
        }
    }

    /// Removes the extension attributes whose names are meant.
    pub fn remove_extensions(&mut self, is_meant: impl Fn(&str) -> bool) {
        self.0.extensions.retain(|(name, _)| !is_meant(name.as_str()));
    }

    /// Adds an extension attribute whose name the caller knows to be absent: nothing is looked up.
    pub fn absent_extension(&mut self, name: Name, value: impl Into<Value>) {
        debug_assert!(self.0.extensions.iter().all(|(known, _)| *known != name), "{name} is there already");
        self.0.extensions.push((name, value.into()));
    }

    /// Adds extension attributes to an event that has none.
    ///
    /// # Errors
    /// [`Invalid::Duplicate`] when a name comes twice; the event has them all the same.
    pub fn extensions(&mut self, all: impl IntoIterator<Item = (Name, Value)>) -> Result<(), Invalid> {
        self.0.extensions.extend(all);
        let names = self.0.extensions.iter().map(|(name, _)| name);
        twice(names).map_or(Ok(()), |name| Err(Invalid::Duplicate(name.as_str().into())))
    }

    /// Sets any attribute from its text, as protocol bindings receive them; core attributes are checked.
    ///
    /// # Errors
    /// What the attribute refuses; an unknown `specversion` too.
    pub fn set(&mut self, name: &str, value: Text) -> Result<(), Invalid> {
        match name {
            "specversion" if value == "1.0" => {}
            "specversion" => return Err(Invalid::SpecVersion(excerpt(&value))),
            "id" | "source" | "type" => return self.set_required(name, value),
            "subject" => self.subject(value),
            "time" => self.time(value)?,
            "datacontenttype" => self.datacontenttype(value),
            "dataschema" => self.dataschema(value),
            extension => self.extension(Name::new(extension)?, Value::String(value)),
        }
        Ok(())
    }

    fn set_required(&mut self, name: &str, value: Text) -> Result<(), Invalid> {
        let (name, attribute) = match name {
            "id" => ("id", &mut self.0.id),
            "source" => ("source", &mut self.0.source),
            _ => ("type", &mut self.0.r#type),
        };
        if value.is_empty() {
            return Err(Invalid::Missing(name));
        }
        *attribute = value;
        Ok(())
    }
}
