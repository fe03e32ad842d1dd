//! From a tree to the structs that describe a configuration, every problem at once.
//!
//! serde stops at the first error. So one is noted, what caused it is masked, and the tree is read again, until it reads
//! well or the number of rounds is spent. A key that is missing gets a stand-in, whose only purpose is that reading goes
//! on behind it; a struct with a stand-in is thrown away.

mod access;
mod error;
mod reader;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::HashSet;

use serde::de::DeserializeOwned;

use super::node::{Node, Value};
use super::suggest::{instead, nearest, quoted};
use super::{Check, Span, later};
use error::{Cause, Error, Place, Problem};
use reader::Reader;

/// How many wrong keys and values of one entry are reported.
const PROBLEMS_MAX: usize = 64;
/// How often one entry is read; finding a stand-in that fits takes a few rounds.
const ROUNDS_MAX: usize = 256;
/// Stand-ins have ids of their own, above those of any node.
const STAND_IN: u32 = u32::MAX / 2;

/// Whether a value was read whole, or what was wrong is missing from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whole {
    Yes,
    No,
}

/// What the rounds have learnt.
#[derive(Debug, Default)]
struct Notes {
    /// Keys and values that are passed over.
    masked: HashSet<u32>,
    /// Unknown keys by the map they stand in.
    unknown: Vec<(u32, String)>,
    stand_ins: Vec<StandIn>,
    secrets: RefCell<Vec<Span>>,
}

/// Something to read where a key is missing.
#[derive(Debug)]
struct StandIn {
    map: u32,
    key: Node,
    value: Node,
    tries: usize,
}

/// Reads `node`, which stands under the key `owner`, and notes what is wrong with it. `None` when too much is wrong to
/// say what the rest means; a value may be there although an error was noted.
pub(crate) fn decode<T: DeserializeOwned>(node: &Node, owner: &Node, check: &mut Check) -> Option<T> {
    decode_whole(node, owner, check).map(|(value, _)| value)
}

/// Like [`decode`], and says whether nothing at all was wrong.
pub(super) fn decode_whole<T: DeserializeOwned>(node: &Node, owner: &Node, check: &mut Check) -> Option<(T, Whole)> {
    let mut notes = Notes::default();
    for _ in 0..ROUNDS_MAX {
        let result = T::deserialize(Reader::new(node, &notes));
        match result {
            Ok(value) => {
                notes.secrets.take().into_iter().for_each(|span| check.hide(span));
                let whole = if notes.masked.is_empty() { Whole::Yes } else { Whole::No };
                return notes.stand_ins.is_empty().then_some((value, whole));
            }
            Err(error) => {
                let goes_on = notes.learn(node, owner, error, check);
                if !goes_on || notes.masked.len() == PROBLEMS_MAX {
                    break;
                }
            }
        }
    }
    notes.secrets.take().into_iter().for_each(|span| check.hide(span));
    None
}

impl Notes {
    /// Notes an error and sees to it that the next round gets past it. `false` when that is impossible.
    fn learn(&mut self, root: &Node, owner: &Node, error: Error, check: &mut Check) -> bool {
        let Problem { cause, place } = *error.0;
        let place = place.unwrap_or_else(|| Place::of(root));
        if place.id >= STAND_IN {
            return self.replace(place.id, &cause);
        }
        let owner = place.owner.clone().unwrap_or_else(|| (owner.span, owner.text().unwrap_or_default().to_owned()));
        match cause {
            Cause::Missing(key) => {
                if !self.explained(root, place.id, key) {
                    let help = format!("add '{key}' under {}", quoted(&owner.1));
                    check.error(owner.0, format!("{} lacks the key '{key}'", quoted(&owner.1)), help);
                }
                self.stand_in(place.id, key);
                true
            }
            cause => {
                if !self.masked.insert(place.id) {
                    return false;
                }
                let span = if place.span.start == place.span.end { owner.0 } else { place.span };
                report(&cause, span, &owner.1, &place, check);
                if let Cause::UnknownKey { map, name, .. } = cause {
                    self.unknown.push((map, name));
                }
                place.id != root.id
            }
        }
    }

    /// Whether a key is missing only because what stood there was wrong, or because it was misspelt.
    fn explained(&self, root: &Node, map: u32, key: &str) -> bool {
        let entries = root.find(map).and_then(Node::entries).unwrap_or_default();
        let masked = entries.iter().any(|entry| entry.name() == key);
        masked || self.unknown.iter().any(|(at, name)| *at == map && nearest(name, [key]).is_some())
    }

    fn stand_in(&mut self, map: u32, key: &str) {
        let number = u32::try_from(self.stand_ins.len()).unwrap_or_default();
        let id = STAND_IN + number * 2;
        let scalar = |id, text: &str| Node {
            id,
            span: Span::default(),
            value: Value::Scalar { text: text.to_owned(), plain: true },
        };
        self.stand_ins.push(StandIn { map, key: scalar(id + 1, key), value: scalar(id, "x"), tries: 0 });
    }

    /// Tries something else in place of a stand-in that does not fit.
    fn replace(&mut self, id: u32, cause: &Cause) -> bool {
        let Some(stand_in) = self.stand_ins.iter_mut().find(|stand_in| stand_in.value.id == id) else { return false };
        if let (Cause::Missing(key), Value::Map(_)) = (cause, &stand_in.value.value) {
            self.stand_in(id, key);
            return true;
        }
        let scalar = |text: &str| Value::Scalar { text: text.to_owned(), plain: true };
        if let Cause::UnknownValue { known: [first, ..], .. } = cause {
            stand_in.value.value = scalar(first);
            return stand_in.tries < ROUNDS_MAX;
        }
        let next = match stand_in.tries {
            0 => scalar("1"),
            1 => scalar("1s"),
            2 => scalar("true"),
            3 => Value::List(Vec::new()),
            4 => Value::Map(Vec::new()),
            _ => return false,
        };
        stand_in.value.value = next;
        stand_in.tries += 1;
        true
    }
}

/// Says what is wrong in the words of somebody who reads YAML, not Rust.
fn report(cause: &Cause, span: Span, owner: &str, place: &Place, check: &mut Check) {
    match cause {
        Cause::Missing(_) => {}
        Cause::UnknownKey { holder, name, known, .. } => match later::sentence(holder, name) {
            Some((message, help)) => check.error(span, message, help),
            None => {
                let help = instead(name, "keys", known.iter().copied());
                check.error(span, format!("unknown key {} in {}", quoted(name), quoted(owner)), help);
            }
        },
        Cause::UnknownValue { name, known } => {
            let help = instead(name, "values", known.iter().copied());
            check.error(span, format!("unknown value {} of {}", quoted(name), quoted(owner)), help);
        }
        Cause::Sort { expected, found } => {
            let found = found.as_deref().unwrap_or(place.sort);
            let (expected, help) = error::in_yaml(expected);
            let item = if place.item { "each of " } else { "" };
            check.error(span, format!("{item}{} must be {expected}, not {found}", quoted(owner)), help);
        }
        Cause::Text(text) => {
            let (message, help) = text.split_once("; ").unwrap_or((text, ""));
            check.error(span, message, help);
        }
    }
}
