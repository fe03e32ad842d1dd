//! Reading: one pass over the members, then the payload, whose meaning may stand behind it.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::super::{Event, Extensions, Invalid, Name, NameError, Text, Value, excerpt, twice};
use super::is_json;
use super::scalar::{Scalar, Scalars};

/// Reads one event. The payload shares the memory of `bytes` unless it had to be unescaped or decoded.
///
/// # Errors
/// [`Invalid`] says which attribute is wrong, or where the text stops being JSON.
pub fn decode(bytes: &Bytes) -> Result<Event, Invalid> {
    // Checked as a whole once, so that the parser need not check every string again.
    let text = std::str::from_utf8(bytes)
        .map_err(|cause| Invalid::Json(format!("byte {} is not valid utf-8", cause.valid_up_to())))?;
    let mut envelope = Envelope::default();
    let mut parser = serde_json::Deserializer::from_str(text);
    let read = parser.deserialize_map(Members(&mut envelope)).and_then(|()| parser.end());
    match (envelope.refused.take(), read) {
        (Some(refused), _) => Err(refused),
        (None, Err(cause)) => Err(Invalid::Json(excerpt(&cause.to_string()).into())),
        (None, Ok(())) => envelope.event(bytes),
    }
}

/// What stands in the object, by name.
#[derive(Default)]
struct Envelope<'a> {
    specversion: Option<Text>,
    id: Option<Text>,
    source: Option<Text>,
    r#type: Option<Text>,
    subject: Option<Text>,
    time: Option<Text>,
    datacontenttype: Option<Text>,
    dataschema: Option<Text>,
    extensions: Extensions,
    /// Names of extensions whose value is null.
    nulls: Vec<Name>,
    data: Option<&'a RawValue>,
    data_base64: Option<&'a RawValue>,
    /// One bit for each [`Member`] but extensions.
    seen: u16,
    /// Why reading stopped, which the parser's own error could not carry.
    refused: Option<Invalid>,
}

/// A name in the object.
enum Member {
    Core(Core, &'static str),
    Data,
    DataBase64,
    Extension(Result<Name, NameError>),
}

#[derive(Clone, Copy)]
enum Core {
    SpecVersion,
    Id,
    Source,
    Type,
    Subject,
    Time,
    DataContentType,
    DataSchema,
}

impl<'a> Envelope<'a> {
    fn read<M: MapAccess<'a>>(&mut self, member: Member, map: &mut M) -> Result<Result<(), Invalid>, M::Error> {
        match member {
            Member::Core(core, name) => {
                let value = map.next_value_seed(Scalars)?;
                Ok(self.first(core as u16, name).and_then(|()| self.set(core, name, value)))
            }
            Member::Data => {
                self.data = Some(map.next_value()?);
                Ok(self.first(Core::DataSchema as u16 + 1, "data"))
            }
            Member::DataBase64 => {
                self.data_base64 = Some(map.next_value()?);
                Ok(self.first(Core::DataSchema as u16 + 2, "data_base64"))
            }
            Member::Extension(name) => {
                let value = map.next_value_seed(Scalars)?;
                Ok(name.map_err(Invalid::Name).and_then(|name| self.extend(name, value)))
            }
        }
    }

    fn first(&mut self, bit: u16, name: &'static str) -> Result<(), Invalid> {
        let mask = 1 << bit;
        if self.seen & mask != 0 {
            return Err(Invalid::Duplicate(Text::new_static(name)));
        }
        self.seen |= mask;
        Ok(())
    }

    fn set(&mut self, core: Core, name: &'static str, value: Scalar) -> Result<(), Invalid> {
        let text = match value {
            Scalar::Text(text) => text,
            Scalar::Null => return Ok(()),
            other => return Err(Invalid::NotText { attribute: name, found: other.kind() }),
        };
        let place = match core {
            Core::SpecVersion => &mut self.specversion,
            Core::Id => &mut self.id,
            Core::Source => &mut self.source,
            Core::Type => &mut self.r#type,
            Core::Subject => &mut self.subject,
            Core::Time => &mut self.time,
            Core::DataContentType => &mut self.datacontenttype,
            Core::DataSchema => &mut self.dataschema,
        };
        *place = Some(text);
        Ok(())
    }

    fn extend(&mut self, name: Name, value: Scalar) -> Result<(), Invalid> {
        let value = match value {
            Scalar::Text(text) => Value::String(text),
            Scalar::Boolean(boolean) => Value::Boolean(boolean),
            Scalar::Integer(number) => Value::Integer(number),
            Scalar::Null => {
                self.nulls.push(name);
                return Ok(());
            }
            Scalar::Other(found) => return Err(Invalid::NotScalar { attribute: name, found }),
        };
        self.extensions.push((name, value));
        Ok(())
    }

    fn event(self, bytes: &Bytes) -> Result<Event, Invalid> {
        match self.specversion.as_deref() {
            Some("1.0") => {}
            Some("") | None => return Err(Invalid::Missing("specversion")),
            Some(other) => return Err(Invalid::SpecVersion(excerpt(other))),
        }
        let names = self.extensions.iter().map(|(name, _)| name);
        if let Some(name) = twice(names.chain(&self.nulls)) {
            return Err(Invalid::Duplicate(name.as_str().into()));
        }
        let data = payload(self.data, self.data_base64, self.datacontenttype.as_deref(), bytes)?;
        let required = |text: Option<Text>| text.unwrap_or_default();
        let mut event = Event::new(required(self.id), required(self.source), required(self.r#type))?;
        if let Some(time) = self.time {
            event = event.with_time(time)?;
        }
        let parts = event.parts();
        parts.subject = self.subject;
        parts.datacontenttype = self.datacontenttype;
        parts.dataschema = self.dataschema;
        parts.extensions = self.extensions;
        parts.data = data;
        Ok(event)
    }
}

/// The payload of an event, see the table of [`super`].
fn payload(
    data: Option<&RawValue>,
    data_base64: Option<&RawValue>,
    media_type: Option<&str>,
    bytes: &Bytes,
) -> Result<Option<Bytes>, Invalid> {
    let data_base64 = data_base64.map(RawValue::get).filter(|raw| *raw != "null");
    match (data.map(RawValue::get), data_base64) {
        (Some(_), Some(_)) => Err(Invalid::TwoPayloads),
        (None, None) => Ok(None),
        (None, Some(raw)) => {
            let text =
                unquoted("data_base64", raw)?.ok_or(Invalid::NotText { attribute: "data_base64", found: kind(raw) })?;
            let decoded =
                BASE64_STANDARD.decode(&*text).map_err(|cause| Invalid::Base64(cause.to_string().to_lowercase()))?;
            Ok(Some(decoded.into()))
        }
        (Some(raw), None) => match media_type.filter(|media_type| !is_json(media_type)) {
            None => Ok(Some(bytes.slice_ref(raw.as_bytes()))),
            Some(_) if raw == "null" => Ok(None),
            Some(media_type) => match unquoted("data", raw)? {
                Some(Cow::Borrowed(text)) => Ok(Some(bytes.slice_ref(text.as_bytes()))),
                Some(Cow::Owned(text)) => Ok(Some(text.into())),
                None => Err(Invalid::NotEncoded { found: kind(raw), datacontenttype: excerpt(media_type) }),
            },
        },
    }
}

/// The text of a JSON string, or `None` for any other value.
fn unquoted<'r>(member: &'static str, raw: &'r str) -> Result<Option<Cow<'r, str>>, Invalid> {
    let Some(inner) = raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else { return Ok(None) };
    if !inner.as_bytes().contains(&b'\\') {
        return Ok(Some(Cow::Borrowed(inner)));
    }
    let text: String = serde_json::from_str(raw).map_err(|cause| Invalid::Json(format!("{member}: {cause}")))?;
    Ok(Some(Cow::Owned(text)))
}

/// What a JSON value that is not a string is.
fn kind(raw: &str) -> &'static str {
    match raw.as_bytes().first() {
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    }
}

struct Members<'e, 'a>(&'e mut Envelope<'a>);

impl<'a> Visitor<'a> for Members<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'a>>(self, mut map: M) -> Result<(), M::Error> {
        while let Some(member) = map.next_key_seed(Names)? {
            if let Err(refused) = self.0.read(member, &mut map)? {
                self.0.refused = Some(refused);
                return Err(M::Error::custom("refused"));
            }
        }
        Ok(())
    }
}

struct Names;

impl<'a> DeserializeSeed<'a> for Names {
    type Value = Member;

    fn deserialize<D: Deserializer<'a>>(self, name: D) -> Result<Member, D::Error> {
        name.deserialize_str(self)
    }
}

impl Visitor<'_> for Names {
    type Value = Member;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Member, E> {
        Ok(match name {
            "specversion" => Member::Core(Core::SpecVersion, "specversion"),
            "id" => Member::Core(Core::Id, "id"),
            "source" => Member::Core(Core::Source, "source"),
            "type" => Member::Core(Core::Type, "type"),
            "subject" => Member::Core(Core::Subject, "subject"),
            "time" => Member::Core(Core::Time, "time"),
            "datacontenttype" => Member::Core(Core::DataContentType, "datacontenttype"),
            "dataschema" => Member::Core(Core::DataSchema, "dataschema"),
            "data" => Member::Data,
            "data_base64" => Member::DataBase64,
            extension => Member::Extension(Name::new(extension)),
        })
    }
}
