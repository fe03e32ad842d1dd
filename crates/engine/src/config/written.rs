//! What every adapter was written as, by which a later configuration is compared with an earlier one.
//!
//! Decision: **two adapters are the same when they are written the same**, whatever their order, their quotes and the comments
//! between them. Plans have no other way to tell, and what they do not resolve, such as the content of a file with a secret, is
//! nobody's to compare here. The text may hold credentials, so it is compared and never shown.

use std::collections::HashMap;
use std::fmt;

use super::node::{Entry, Node, Plain, Value, plain};
use crate::event::Text;

/// What one sort of adapters was written as, by name.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Written(HashMap<Text, String>);

impl fmt::Debug for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Written {
    /// The entries of a section, without those keys of each that are compared by what they mean.
    pub(super) fn of(entries: &[Entry], without: &[&str]) -> Written {
        let one = |entry: &Entry| {
            let mut text = String::new();
            match entry.value.entries() {
                Some(inner) => map(inner.iter().filter(|inner| !without.contains(&inner.name())), &mut text),
                None => write(&entry.value, &mut text),
            }
            (Text::from(entry.name()), text)
        };
        Written(entries.iter().map(one).collect())
    }

    /// Whether both have this name, and it was written the same.
    #[must_use]
    pub fn same(&self, other: &Written, name: &str) -> bool {
        self.0.get(name) == other.0.get(name)
    }
}

impl FromIterator<(Text, String)> for Written {
    /// For plans that were not read from files: any text that differs when the adapter does.
    fn from_iter<I: IntoIterator<Item = (Text, String)>>(written: I) -> Written {
        Written(written.into_iter().collect())
    }
}

/// Appends a value in a form that two different ones never share.
fn write(node: &Node, into: &mut String) {
    match &node.value {
        Value::Scalar { text, plain: bare } => {
            // Without quotes it may mean something else than text.
            into.push(if *bare && plain(text) != Plain::Text { 'p' } else { 'q' });
            into.push_str(&format!("{}:{text}", text.len()));
        }
        Value::List(items) => {
            into.push('[');
            items.iter().for_each(|item| write(item, into));
            into.push(']');
        }
        Value::Map(entries) => map(entries.iter(), into),
    }
}

fn map<'e>(entries: impl Iterator<Item = &'e Entry>, into: &mut String) {
    let mut entries: Vec<&Entry> = entries.collect();
    entries.sort_by(|one, other| one.name().cmp(other.name()));
    into.push('{');
    for entry in entries {
        write(&entry.key, into);
        write(&entry.value, into);
    }
    into.push('}');
}

#[cfg(test)]
mod tests {
    use super::super::parse::{Budget, parse};
    use super::*;
    use crate::config::Check;

    fn written(text: &str) -> Written {
        let root = parse(0, text, &mut Budget::default(), &mut Check::default()).unwrap();
        Written::of(root.entries().unwrap(), &["seats"])
    }

    #[test]
    fn what_is_written_the_same_is_the_same() {
        let before = written("fleet: { mqtt: { url: 'mqtt://a', topics: [a, b], qos: 1 }, seats: 5 }");
        for (same, text) in [
            (true, "# by hand\nfleet:\n  seats: 7\n  mqtt:\n    qos: 1\n    topics: [\"a\", b]\n    url: mqtt://a\n"),
            (false, "fleet: { mqtt: { url: 'mqtt://a', topics: [b, a], qos: 1 } }"),
            (false, "fleet: { mqtt: { url: 'mqtt://a', topics: [a, b], qos: '1' } }"),
            (false, "fleet: { mqtt: { url: 'mqtt://a', topics: [a, b] } }"),
            (false, "fleet: { mqtt: { url: 'mqtt://a', topics: [ab], qos: 1 } }"),
            (false, "other: { mqtt: { url: 'mqtt://a', topics: [a, b], qos: 1 } }"),
        ] {
            assert_eq!(before.same(&written(text), "fleet"), same, "{text}");
        }
    }

    #[test]
    fn nothing_that_was_written_is_shown() {
        let written = written("fleet: { mqtt: { url: 'mqtt://me:secret@a' } }");
        assert_eq!(format!("{written:?}"), r#"{"fleet"}"#);
    }
}
