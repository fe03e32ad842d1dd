//! The top level: the maps of all files joined, and entries taken apart into what is common and the kind.

use std::collections::HashMap;

use super::node::{Entry, Node, Value};
use super::suggest::{instead, quoted};
use super::{Check, Span, Spanned, later};
use crate::event::Text;

/// The entries of all files by the section they stand in.
#[derive(Debug, Default)]
pub(super) struct Sections {
    pub(super) sources: Vec<Entry>,
    pub(super) functions: Vec<Entry>,
    pub(super) outputs: Vec<Entry>,
    pub(super) triggers: Vec<Entry>,
    pub(super) defaults: Option<Entry>,
    pub(super) state: Option<Entry>,
    pub(super) replicas: Option<Entry>,
    /// Whether something at the top level was wrong, so that names may be missing.
    pub(super) torn: bool,
}

pub(super) const KEYS: [&str; 7] = ["sources", "functions", "outputs", "triggers", "defaults", "state", "replicas"];

impl Sections {
    /// Joins the top levels of files. A name that two files define is an error that shows both.
    pub(super) fn join(roots: Vec<Node>, check: &mut Check) -> Sections {
        let mut sections = Sections::default();
        let mut seen: HashMap<String, Span> = HashMap::new();
        for root in roots {
            let Value::Map(entries) = root.value else {
                if !root.is_null() {
                    sections.torn = true;
                    let message = format!("a configuration is a map, not {}", root.sort());
                    check.error(root.span, message, format!("write the keys {}", KEYS.join(", ")));
                }
                continue;
            };
            for entry in entries {
                sections.add(entry, &mut seen, check);
            }
        }
        sections
    }

    fn add(&mut self, entry: Entry, seen: &mut HashMap<String, Span>, check: &mut Check) {
        let (list, noun) = match entry.name() {
            "sources" => (&mut self.sources, "source"),
            "functions" => (&mut self.functions, "function"),
            "outputs" => (&mut self.outputs, "output"),
            "triggers" => (&mut self.triggers, "trigger"),
            "defaults" => return single(&mut self.defaults, entry, check),
            "state" => return single(&mut self.state, entry, check),
            "replicas" => return single(&mut self.replicas, entry, check),
            name => {
                let (message, help) = later::sentence("File", name).unwrap_or_else(|| {
                    (format!("unknown key {} at the top level", quoted(name)), instead(name, "keys", KEYS))
                });
                check.error(entry.key.span, message, help);
                self.torn = true;
                return;
            }
        };
        if entry.value.entries().is_none() {
            self.torn = true;
            let message = format!("{} must be a map of names, not {}", quoted(entry.name()), entry.value.sort());
            check.error(entry.value.span, message, format!("write the {noun}'s name and, below it, what it is"));
        }
        let Value::Map(entries) = entry.value.value else { return };
        for entry in entries {
            match seen.get(&format!("{noun} {}", entry.name())) {
                Some(first) => {
                    let message = format!("{noun} {} is written twice", quoted(entry.name()));
                    let help = "rename one of them, or remove it";
                    check.clash(entry.key.span, message, *first, "first here", help);
                }
                None => {
                    seen.insert(format!("{noun} {}", entry.name()), entry.key.span);
                    list.push(entry);
                }
            }
        }
    }
}

fn single(place: &mut Option<Entry>, entry: Entry, check: &mut Check) {
    match place {
        Some(first) => {
            let message = format!("{} is written twice", quoted(entry.name()));
            check.clash(entry.key.span, message, first.key.span, "first here", "keep one of them");
        }
        None => *place = Some(entry),
    }
}

/// The name of an entry, which becomes part of metrics, client ids and file names.
pub(super) fn name(noun: &str, key: &Node, check: &mut Check) -> Spanned<Text> {
    let name = key.text().unwrap_or_default();
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || name.len() > 63 || !name.chars().all(fits) {
        let lower: String = name.to_lowercase().chars().map(|c| if fits(c) { c } else { '-' }).take(63).collect();
        let better = lower.trim_matches('-');
        let help = if better.is_empty() { String::new() } else { format!(", such as {better}") };
        let help = format!("use 1 to 63 lower-case letters, digits and '-'{help}");
        check.error(key.span, format!("{} is no name for a {noun}", quoted(name)), help);
    }
    Spanned::new(name.into(), key.span)
}

/// An entry taken apart.
pub(super) struct Parts<'n> {
    /// The keys that every entry of its section has.
    pub(super) common: Node,
    /// The kind with its options, unless something is wrong with it.
    pub(super) kind: Option<&'n Entry>,
}

/// What entries of a section have.
pub(super) struct Shape<'a> {
    pub(super) noun: &'static str,
    /// The struct that the common keys become.
    pub(super) holder: &'static str,
    pub(super) common: &'a [&'static str],
    pub(super) kinds: &'a [&'static str],
}

/// Takes an entry apart: it has exactly one kind. `None` when it is not even a map.
pub(super) fn parts<'n>(entry: &'n Entry, shape: &Shape<'_>, check: &mut Check) -> Option<Parts<'n>> {
    let (noun, name) = (shape.noun, quoted(entry.name()));
    let Some(entries) = entry.value.entries() else {
        let message = format!("{noun} {name} must be a map, not {}", entry.value.sort());
        check.error(entry.value.span, message, kinds_help(shape));
        return None;
    };
    let mut common = Vec::new();
    let mut kind: Option<&Entry> = None;
    let mut strange = Vec::new();
    for inner in entries {
        if shape.common.contains(&inner.name()) {
            common.push(inner.clone());
        } else if !shape.kinds.contains(&inner.name()) {
            strange.push(&inner.key);
        } else if let Some(first) = kind {
            let message = format!("{noun} {name} has two kinds, '{}' and '{}'", first.name(), inner.name());
            check.clash(inner.key.span, message, first.key.span, "the first kind", format!("make two {noun}s of it"));
        } else {
            kind = Some(inner);
        }
    }
    let mut guessed = false;
    for key in strange {
        guessed |= refuse(key, entry.name(), shape, kind.is_none(), check);
    }
    if kind.is_none() && !guessed {
        check.error(entry.key.span, format!("{noun} {name} has no kind"), kinds_help(shape));
    }
    let value = Node { id: entry.value.id, span: entry.value.span, value: Value::Map(common) };
    Some(Parts { common: value, kind })
}

/// Notes a key that is neither common nor a kind. Answers whether it was probably meant to be the kind.
fn refuse(key: &Node, owner: &str, shape: &Shape<'_>, kind_missing: bool, check: &mut Check) -> bool {
    let word = key.text().unwrap_or_default();
    if let Some((message, help)) = later::sentence(shape.holder, word) {
        check.error(key.span, message, help);
        return false;
    }
    let near = super::suggest::nearest(word, shape.common.iter().copied());
    if kind_missing && near.is_none() {
        let help = instead(word, "kinds", shape.kinds.iter().copied());
        check.error(key.span, format!("unknown kind {} of {}", quoted(word), shape.noun), help);
        return true;
    }
    let known = shape.common.iter().chain(shape.kinds).copied();
    let help = instead(word, "keys", known);
    check.error(key.span, format!("unknown key {} in {}", quoted(word), quoted(owner)), help);
    false
}

fn kinds_help(shape: &Shape<'_>) -> String {
    match shape.kinds {
        [] => format!("this binary knows no kinds of {}s", shape.noun),
        kinds => format!("add one of these keys: {}", kinds.join(", ")),
    }
}
