//! What a file says, before anybody knows what it means: a tree in which every key and value has its place.

use super::Span;

/// A value with its place.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// Tells nodes apart; copies made by an alias share it.
    pub(super) id: u32,
    pub(super) span: Span,
    pub(super) value: Value,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    /// Text, and whether it stood there without quotes and tag, so that it may mean something else than text.
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Node>),
    /// Keys are scalars and differ from each other.
    Map(Vec<Entry>),
}

/// A key with its value.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(super) key: Node,
    pub(super) value: Node,
}

/// What plain text means in the core schema of YAML 1.2.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Plain {
    Null,
    Boolean(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text,
}

impl Node {
    /// Scalar text as it was written, without quotes.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar { text, .. } => Some(text),
            Value::List(_) | Value::Map(_) => None,
        }
    }

    /// The entries of a map; nothing written counts as an empty one.
    pub(super) fn entries(&self) -> Option<&[Entry]> {
        match &self.value {
            Value::Map(entries) => Some(entries),
            Value::Scalar { .. } if self.is_null() => Some(&[]),
            Value::Scalar { .. } | Value::List(_) => None,
        }
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar { text, plain: true } if plain(text) == Plain::Null)
    }

    /// The word for what this is.
    pub(super) fn sort(&self) -> &'static str {
        match &self.value {
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
            Value::Scalar { plain: false, .. } => "text",
            Value::Scalar { text, plain: true } => match plain(text) {
                Plain::Null => "nothing",
                Plain::Boolean(_) => "true or false",
                Plain::Unsigned(_) | Plain::Signed(_) | Plain::Float(_) => "a number",
                Plain::Text => "text",
            },
        }
    }

    /// The node with this id in the tree below.
    pub(super) fn find(&self, id: u32) -> Option<&Node> {
        if self.id == id {
            return Some(self);
        }
        match &self.value {
            Value::Scalar { .. } => None,
            Value::List(items) => items.iter().find_map(|item| item.find(id)),
            Value::Map(entries) => entries.iter().find_map(|entry| entry.value.find(id)),
        }
    }
}

impl Entry {
    /// The key's text.
    pub(super) fn name(&self) -> &str {
        self.key.text().unwrap_or_default()
    }
}

/// What plain text means.
pub(super) fn plain(text: &str) -> Plain {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Plain::Null,
        "true" | "True" | "TRUE" => return Plain::Boolean(true),
        "false" | "False" | "FALSE" => return Plain::Boolean(false),
        ".nan" | ".NaN" | ".NAN" => return Plain::Float(f64::NAN),
        _ => {}
    }
    let radix = |prefix: &str, radix| {
        let digits = text.strip_prefix(prefix).filter(|digits| !digits.starts_with(['+', '-']))?;
        u64::from_str_radix(digits, radix).ok()
    };
    if let Some(number) = radix("0o", 8).or_else(|| radix("0x", 16)) {
        return Plain::Unsigned(number);
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") {
        return Plain::Float(if text.starts_with('-') { f64::NEG_INFINITY } else { f64::INFINITY });
    }
    // Rust reads some words as numbers, such as `inf` and `nan`, which YAML does not.
    let number = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && unsigned.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'));
    if !number {
        return Plain::Text;
    }
    let whole = text.strip_prefix('+').unwrap_or(text);
    if let Ok(number) = whole.parse() {
        return Plain::Unsigned(number);
    }
    if let Ok(number) = whole.parse() {
        return Plain::Signed(number);
    }
    whole.parse().map_or(Plain::Text, Plain::Float)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_means_what_the_core_schema_says() {
        for (text, meaning) in [
            ("", Plain::Null),
            ("~", Plain::Null),
            ("nil", Plain::Text),
            ("true", Plain::Boolean(true)),
            ("yes", Plain::Text),
            ("off", Plain::Text),
            ("0", Plain::Unsigned(0)),
            ("+7", Plain::Unsigned(7)),
            ("-7", Plain::Signed(-7)),
            ("007", Plain::Unsigned(7)),
            ("0o17", Plain::Unsigned(15)),
            ("0xff", Plain::Unsigned(255)),
            ("0x-1", Plain::Text),
            ("1.5", Plain::Float(1.5)),
            ("1e3", Plain::Float(1000.0)),
            ("-.5", Plain::Float(-0.5)),
            (".inf", Plain::Float(f64::INFINITY)),
            ("inf", Plain::Text),
            ("nan", Plain::Text),
            ("3.1.1", Plain::Text),
            ("2026-11-21", Plain::Text),
            ("1_000", Plain::Text),
            (".", Plain::Text),
            ("18446744073709551616", Plain::Float(18_446_744_073_709_551_616.0)),
        ] {
            assert_eq!(plain(text), meaning, "{text}");
        }
    }
}
