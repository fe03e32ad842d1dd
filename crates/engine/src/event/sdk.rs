//! Conversion to and from the event of the CloudEvents SDK, for code that is written against it.
//!
//! The payload's bytes are the same on both sides. The SDK keeps JSON as a document, whose spelling it chooses anew when it
//! writes, so a payload becomes [`Data::Json`] only where that gives the same bytes again. Any other payload that claims to
//! be JSON becomes [`Data::Binary`], because the SDK would write [`Data::String`] as a JSON string; under any other media
//! type, UTF-8 becomes [`Data::String`].
//!
//! What the SDK's type cannot hold:
//!
//! * the spelling of `time`: it keeps the instant, in UTC, to the nanosecond, so an offset and trailing zeros are lost;
//! * a `dataschema` that is not an absolute URL, which is refused, and the spelling of one that is, which it normalises
//!   (`HTTPS://example.com` becomes `https://example.com/`);
//! * the order of extension attributes, which come back sorted by name;
//! * the context of the hop that brought the event, which is no attribute.
//!
//! An SDK event may hold what is no CloudEvent, such as an empty id or a name with capitals: that is refused. So is
//! CloudEvents 0.3, as it is on the wire; `cloudevents::EventBuilderV10::from` upgrades such an event.

#[cfg(test)]
mod tests;

use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, Utc};
use cloudevents::event::{ExtensionValue, SpecVersion, TryIntoUrl};
use cloudevents::{AttributesReader, AttributesWriter, Data};

use super::json::is_json;
use super::{Event, Extensions, Invalid, Name, Text, Value, excerpt};

/// Why the SDK's type cannot hold an event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unrepresentable {
    /// `dataschema` is a relative reference, or no URL at all.
    #[error("attribute 'dataschema' is '{0}', which the CloudEvents SDK cannot hold; it takes absolute URLs")]
    DataSchema(Text),
    /// `time` is beyond what the SDK's clock type can say.
    #[error("attribute 'time' is '{0}', which the CloudEvents SDK cannot hold")]
    Time(Text),
}

impl TryFrom<cloudevents::Event> for Event {
    type Error = Invalid;

    fn try_from(mut sdk: cloudevents::Event) -> Result<Event, Invalid> {
        if sdk.specversion() != SpecVersion::V10 {
            return Err(Invalid::SpecVersion(sdk.specversion().as_str().into()));
        }
        let mut event = Event::new(sdk.id().into(), sdk.source().into(), sdk.ty().into())?;
        if let Some(time) = sdk.time() {
            event = event.with_time(time.to_rfc3339_opts(SecondsFormat::AutoSi, true).into())?;
        }
        event.parts().subject = sdk.subject().map(Text::from);
        let mut extensions = Extensions::new();
        for (name, value) in sdk.iter_extensions() {
            let value = match value {
                ExtensionValue::String(text) => Value::String(text.into()),
                ExtensionValue::Boolean(boolean) => Value::Boolean(*boolean),
                ExtensionValue::Integer(number) => Value::Integer(*number),
            };
            extensions.push((Name::new(name)?, value));
        }
        extensions.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        event.parts().extensions = extensions;
        let (datacontenttype, dataschema, data) = sdk.take_data();
        event.parts().datacontenttype = datacontenttype.map(Text::from);
        event.parts().dataschema = dataschema.map(|url| url.as_str().into());
        event.parts().data = match data {
            None => None,
            Some(Data::Binary(bytes)) => Some(bytes.into()),
            Some(Data::String(text)) => Some(text.into()),
            Some(Data::Json(value)) => Some(Bytes::from(value.to_string())),
        };
        Ok(event)
    }
}

impl TryFrom<&Event> for cloudevents::Event {
    type Error = Unrepresentable;

    fn try_from(event: &Event) -> Result<cloudevents::Event, Unrepresentable> {
        let mut sdk = cloudevents::Event::default();
        sdk.set_id(event.id().as_str());
        sdk.set_source(event.source().as_str());
        sdk.set_type(event.r#type().as_str());
        sdk.set_subject(event.subject().map(Text::as_str));
        let time = match event.time() {
            None => None,
            Some(text) => Some(instant(text).ok_or_else(|| Unrepresentable::Time(excerpt(text)))?),
        };
        sdk.set_time(time);
        sdk.set_datacontenttype(event.datacontenttype().map(Text::as_str));
        let schema = match event.dataschema() {
            None => None,
            Some(text) => Some(text.as_str().into_url().map_err(|_| Unrepresentable::DataSchema(excerpt(text)))?),
        };
        sdk.set_dataschema(schema);
        for (name, value) in event.extensions() {
            match value {
                Value::String(text) => sdk.set_extension(name.as_str(), text.as_str()),
                Value::Boolean(boolean) => sdk.set_extension(name.as_str(), *boolean),
                Value::Integer(number) => sdk.set_extension(name.as_str(), *number),
            }
        }
        if let Some(bytes) = event.data() {
            sdk.set_data_unchecked(data(bytes, event.datacontenttype()));
        }
        Ok(sdk)
    }
}

fn instant(time: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(time).ok().map(DateTime::<Utc>::from)
}

fn data(bytes: &Bytes, media_type: Option<&Text>) -> Data {
    if media_type.is_none_or(|media_type| is_json(media_type)) {
        return match serde_json::from_slice::<serde_json::Value>(bytes) {
            Ok(value) if value.to_string().as_bytes() == &**bytes => Data::Json(value),
            _ => Data::Binary(bytes.to_vec()),
        };
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Data::String(text.to_owned()),
        Err(_) => Data::Binary(bytes.to_vec()),
    }
}
