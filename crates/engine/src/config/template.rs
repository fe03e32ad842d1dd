//! `event:` of a source: how a message that is not yet a CloudEvent becomes one.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

use super::suggest::{nearest, quoted};
use super::{Check, Spanned};
use crate::event::Name;

/// How a message that is not yet a CloudEvent becomes one. Values are templates in which `{name}` stands for a capture
/// and `{{` for a brace. Any further key is an attribute of that name.
#[derive(Clone, Debug, Default, JsonSchema)]
#[schemars(extend("additionalProperties" = { "type": "string" }, "propertyNames" = { "pattern": "^[a-z0-9]+$" }))]
pub struct EventTemplate {
    /// The event's `type`.
    pub r#type: Option<Spanned<String>>,
    /// The event's `source`.
    pub source: Option<Spanned<String>>,
    /// The event's `subject`.
    pub subject: Option<Spanned<String>>,
    /// The key that orders events.
    pub partitionkey: Option<Spanned<String>>,
    /// The name of a field in the JSON payload that holds the event's id. Without it each arrival gets a new id.
    pub id: Option<Spanned<String>>,
    /// The media type of the payload, `application/json` unless the message says otherwise.
    pub datacontenttype: Option<Spanned<String>>,
    /// Further attributes by name, legal ones.
    #[schemars(skip)]
    pub extensions: BTreeMap<Spanned<String>, Spanned<String>>,
}

const FIELDS: [&str; 6] = ["type", "source", "subject", "partitionkey", "id", "datacontenttype"];

impl EventTemplate {
    /// Warns of attributes whose names are nearly those of known ones.
    pub(super) fn check(&self, check: &mut Check) {
        for name in self.extensions.keys() {
            let close = nearest(name, FIELDS).filter(|known| known.len() > 2);
            if let Some(known) = close {
                let message = format!("{} becomes an extension attribute", quoted(name));
                check.warning(name.span, message, format!("did you mean '{known}'?"));
            }
        }
    }

    fn field(&mut self, name: &str) -> Option<&mut Option<Spanned<String>>> {
        Some(match name {
            "type" => &mut self.r#type,
            "source" => &mut self.source,
            "subject" => &mut self.subject,
            "partitionkey" => &mut self.partitionkey,
            "id" => &mut self.id,
            "datacontenttype" => &mut self.datacontenttype,
            _ => return None,
        })
    }
}

/// A key of the template that an attribute can have.
struct Key(Spanned<String>);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let key = Spanned::<String>::deserialize(deserializer)?;
        match key.as_str() {
            "specversion" => {
                return Err(D::Error::custom("every event has specversion 1.0; leave 'specversion' out"));
            }
            name @ ("time" | "dataschema") => {
                let message = format!("'{name}' cannot be set by a template; leave it out, or let the sender set it");
                return Err(D::Error::custom(message));
            }
            name if FIELDS.contains(&name) => {}
            name => {
                Name::new(name).map_err(D::Error::custom)?;
            }
        }
        Ok(Key(key))
    }
}

impl<'de> Deserialize<'de> for EventTemplate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = EventTemplate;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<EventTemplate, A::Error> {
                let mut template = EventTemplate::default();
                while let Some(Key(key)) = map.next_key()? {
                    let value: Spanned<String> = map.next_value()?;
                    match template.field(&key) {
                        Some(field) => *field = Some(value),
                        None => {
                            template.extensions.insert(key, value);
                        }
                    }
                }
                Ok(template)
            }
        }
        deserializer.deserialize_map(Keys)
    }
}
