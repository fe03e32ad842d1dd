//! `declare:` of a source: how its queue is made where it is not there.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use engine::config::{Check, Spanned};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};

use crate::amqp::queue::Declare;
use crate::amqp::table::Argument;

/// The argument that says what kind of queue it is.
const TYPE: &str = "x-queue-type";

/// What stands under `declare:`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::amqp) struct DeclareOptions {
    /// Whether the queue survives the broker; true by default.
    durable: Option<Spanned<bool>>,
    /// The kind of queue: classic (default) or quorum.
    #[serde(default)]
    r#type: Kind,
    /// Further arguments, such as `x-dead-letter-exchange` or `x-delivery-limit`.
    #[serde(default)]
    arguments: BTreeMap<Spanned<String>, Scalar>,
}

/// A kind of queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum Kind {
    /// On one node.
    #[default]
    Classic,
    /// Replicated; always durable.
    Quorum,
}

/// A text, a number or a truth.
#[derive(Clone, Debug, PartialEq)]
struct Scalar(Argument);

impl DeclareOptions {
    /// What they mean.
    pub(super) fn meaning(&self, check: &mut Check) -> Declare {
        let durable = self.durable.as_ref().is_none_or(|typed| typed.value);
        if let (Some(typed), false, Kind::Quorum) = (&self.durable, durable, self.r#type) {
            check.error(typed.span, "a quorum queue is always durable", "leave durable: out, or write type: classic");
        }
        let mut arguments = Vec::new();
        for (name, value) in &self.arguments {
            if name.value == TYPE {
                check.error(name.span, "the type of the queue has a key of its own", "write type: quorum");
            }
            if name.is_empty() || name.len() > 255 {
                check.error(name.span, "an argument's name has 1 to 255 bytes", "such as x-delivery-limit");
            }
            arguments.push((name.value.clone(), value.0.clone()));
        }
        // A classic queue says nothing of its type: what was made by clients that know none is the same queue then.
        if self.r#type == Kind::Quorum {
            arguments.push((TYPE.to_owned(), Argument::Text("quorum".to_owned())));
        }
        Declare { durable, arguments }
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl Visitor<'_> for Any {
            type Value = Scalar;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, a whole number, true or false")
            }
            fn visit_bool<E: Error>(self, truth: bool) -> Result<Scalar, E> {
                Ok(Scalar(Argument::Boolean(truth)))
            }
            fn visit_i64<E: Error>(self, number: i64) -> Result<Scalar, E> {
                Ok(Scalar(Argument::Integer(number)))
            }
            fn visit_u64<E: Error>(self, number: u64) -> Result<Scalar, E> {
                i64::try_from(number).map(|number| Scalar(Argument::Integer(number))).map_err(E::custom)
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Scalar, E> {
                Ok(Scalar(Argument::Text(text.to_owned())))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

impl JsonSchema for Scalar {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Scalar".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "integer", "boolean"] })
    }
}
