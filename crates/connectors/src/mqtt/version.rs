//! Which version of the protocol is spoken, as it is written under `version`: a number that YAML reads as one, or a text.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};

use super::dialect::{Dialect, V5, V311};

/// MQTT 5 unless said otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// 5
    #[default]
    Five,
    /// 3.1.1
    ThreeOneOne,
}

impl Version {
    /// How its packets are written and read.
    pub(super) fn dialect(self) -> &'static dyn Dialect {
        match self {
            Version::Five => &V5,
            Version::ThreeOneOne => &V311,
        }
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number;
        impl Visitor<'_> for Number {
            type Value = Version;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a version of MQTT, 5 or 3.1.1")
            }
            fn visit_u64<E: Error>(self, number: u64) -> Result<Version, E> {
                self.visit_str(&number.to_string())
            }
            fn visit_i64<E: Error>(self, number: i64) -> Result<Version, E> {
                self.visit_str(&number.to_string())
            }
            fn visit_f64<E: Error>(self, number: f64) -> Result<Version, E> {
                self.visit_str(&number.to_string())
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Version, E> {
                match text {
                    "5" | "5.0" => Ok(Version::Five),
                    "3.1.1" => Ok(Version::ThreeOneOne),
                    other => Err(E::custom(format!("MQTT version '{other}' is not spoken; write 5 or 3.1.1"))),
                }
            }
        }
        deserializer.deserialize_any(Number)
    }
}

impl JsonSchema for Version {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Version".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "enum": [5, "5", "3.1.1"] })
    }
}
