//! One field of a JSON payload, read without building the rest.

use std::fmt;

use engine::event::Text;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};

/// The text or number in field `name` of a JSON object; `None` when the payload is no such object.
pub(super) fn read(payload: &[u8], name: &str) -> Option<Text> {
    let mut json = serde_json::Deserializer::from_slice(payload);
    let value = json.deserialize_map(Object(name)).ok()?;
    json.end().ok()?;
    value
}

struct Object<'n>(&'n str);

impl<'de> Visitor<'de> for Object<'_> {
    type Value = Option<Text>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(here) = map.next_key_seed(Key(self.0))? {
            if here {
                found = Some(map.next_value_seed(Scalar)?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// Whether a key is the one that is looked for.
struct Key<'n>(&'n str);

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = bool;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = bool;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }
    fn visit_str<E: Error>(self, key: &str) -> Result<bool, E> {
        Ok(key == self.0)
    }
}

/// A text, or a number in the sender's spelling as far as JSON integers go.
struct Scalar;

impl<'de> DeserializeSeed<'de> for Scalar {
    type Value = Text;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Text, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for Scalar {
    type Value = Text;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or a number")
    }
    fn visit_str<E: Error>(self, text: &str) -> Result<Text, E> {
        Ok(Text::new(text))
    }
    fn visit_u64<E: Error>(self, number: u64) -> Result<Text, E> {
        Ok(number.to_string().into())
    }
    fn visit_i64<E: Error>(self, number: i64) -> Result<Text, E> {
        Ok(number.to_string().into())
    }
    fn visit_f64<E: Error>(self, number: f64) -> Result<Text, E> {
        Ok(number.to_string().into())
    }
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn texts_and_numbers_are_read() {
        let payload = br#"{"a":[1,{"id":"no"}],"id":"e-1","seq":18446744073709551615,"n":-7,"f":1.5}"#;
        for (name, value) in [("id", "e-1"), ("seq", "18446744073709551615"), ("n", "-7"), ("f", "1.5")] {
            assert_eq!(read(payload, name).unwrap(), value);
        }
    }

    #[test]
    fn anything_else_is_no_field() {
        for payload in
            ["", "17", "[1]", "{", r#"{"id":null}"#, r#"{"id":{}}"#, r#"{"id":true}"#, r#"{"id":"a"} x"#, "{}"]
        {
            assert_eq!(read(payload.as_bytes(), "id"), None, "{payload}");
        }
    }

    #[test]
    fn the_last_of_two_equal_keys_counts() {
        assert_eq!(read(br#"{"id":1,"id":2}"#, "id").unwrap(), "2");
    }
}
