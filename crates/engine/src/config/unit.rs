//! Durations and sizes with their units, as people write them: `200ms`, `6h`, `64KiB`, `10MB`.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error};

/// A length of time: a number and one of `ms s m h d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(pub Duration);

/// A number of bytes: a number and one of `B KB MB GB KiB MiB GiB`, or a bare number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

const PERIODS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
const SIZES: [(&str, u64); 8] = [
    ("B", 1),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("", 1),
];

impl Period {
    /// Reads `200ms`, `1.5s`, `6h`.
    ///
    /// # Errors
    /// A sentence that says what to write.
    pub fn parse(text: &str) -> Result<Period, String> {
        scaled(text, &PERIODS).map(|millis| Period(Duration::from_millis(millis))).ok_or_else(|| {
            format!("'{text}' is no duration; write a number and a unit, such as 500ms, 30s, 10m, 6h or 7d")
        })
    }
}

impl ByteSize {
    /// Reads `64KiB`, `10MB`, `1048576`.
    ///
    /// # Errors
    /// A sentence that says what to write.
    pub fn parse(text: &str) -> Result<ByteSize, String> {
        scaled(text, &SIZES)
            .map(ByteSize)
            .ok_or_else(|| format!("'{text}' is no size; write a number and a unit, such as 256KiB, 1MiB or 10MB"))
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        whole(u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX), &PERIODS, f)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        whole(self.0, &SIZES, f)
    }
}

/// A number in the largest unit that leaves nothing over.
fn whole(number: u64, units: &[(&str, u64)], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let fitting = units.iter().filter(|(name, factor)| !name.is_empty() && number.is_multiple_of(*factor));
    let (name, factor) = fitting.max_by_key(|(_, factor)| *factor).copied().unwrap_or(("", 1));
    write!(f, "{}{name}", number / factor)
}

/// The whole number of base units in a number with a unit; `None` for anything else.
fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor = units.iter().find(|(name, _)| *name == unit.trim())?.1;
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(factor);
    }
    let scaled = number.parse::<f64>().ok()? * factor as f64;
    // Beyond 2^53 a float no longer counts single units; nobody writes such a fraction on purpose.
    (scaled.is_finite() && scaled < 9e15).then(|| scaled.round() as u64)
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Period::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        ByteSize::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl JsonSchema for Period {
    fn schema_name() -> Cow<'static, str> {
        "Period".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A number and one of ms, s, m, h, d.",
            "pattern": "^[0-9]+(\\.[0-9]+)? *(ms|s|m|h|d)$",
            "examples": ["500ms", "30s", "6h"]
        })
    }
}

impl JsonSchema for ByteSize {
    fn schema_name() -> Cow<'static, str> {
        "ByteSize".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "integer"],
            "description": "A number of bytes, or a number and one of B, KB, MB, GB, KiB, MiB, GiB.",
            "pattern": "^[0-9]+(\\.[0-9]+)? *(B|KB|MB|GB|KiB|MiB|GiB)?$",
            "minimum": 0,
            "examples": ["256KiB", "10MB"]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_have_units() {
        for (text, millis) in
            [("200ms", 200), ("1.5s", 1500), ("10m", 600_000), ("6h", 21_600_000), ("1 d", 86_400_000)]
        {
            assert_eq!(Period::parse(text), Ok(Period(Duration::from_millis(millis))), "{text}");
        }
        for text in ["", "5", "s", "-1s", "1e3s", "1.2.3s", "99999999999999999999s", "1 week"] {
            assert!(Period::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn both_are_said_in_the_largest_unit_that_fits() {
        for text in ["200ms", "90s", "10m", "6h", "7d"] {
            assert_eq!(Period::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Period::parse("1.5s").unwrap().to_string(), "1500ms");
        for text in ["17B", "64KiB", "10MB", "1GiB", "1500KB"] {
            assert_eq!(ByteSize::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn sizes_may_have_units() {
        for (text, bytes) in [("17", 17), ("64KiB", 65_536), ("1.5MB", 1_500_000), ("2GiB", 2 << 30), ("0B", 0)] {
            assert_eq!(ByteSize::parse(text), Ok(ByteSize(bytes)), "{text}");
        }
        for text in ["", "KiB", "1kib", "-1", "18446744073709551615KB"] {
            assert!(ByteSize::parse(text).is_err(), "{text}");
        }
    }
}
