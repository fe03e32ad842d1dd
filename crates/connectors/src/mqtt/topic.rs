//! Topic filters with captures: which topics to subscribe to, and what their levels are called.
//!
//! `v1/{fleet}/{vehicle}/telemetry` subscribes to `v1/+/+/telemetry` and names the two levels. A capture is always a
//! whole level, because that is all that a broker can match; `{{` is a literal brace, and `+` and `#` stay what MQTT says.

use engine::event::{Name, Text};
use smallvec::SmallVec;

/// The longest string that MQTT can carry.
pub(super) const LONGEST: usize = 65_535;

/// Names of context attributes that a capture would overwrite.
const TAKEN: [&str; 8] = ["specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema"];

/// What is wrong with a filter, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Flaw {
    /// The first byte of the bad part.
    pub(super) at: usize,
    /// Its length in bytes.
    pub(super) len: usize,
    /// What is wrong, lower case.
    pub(super) message: String,
    /// What to write instead.
    pub(super) help: &'static str,
}

/// One topic filter as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Filter {
    /// What the broker is asked for, without a share.
    wire: String,
    levels: Vec<Level>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Level {
    Literal(Box<str>),
    /// `+`
    One,
    /// `{name}`
    Capture(Name),
    /// `#`
    Rest,
}

impl Filter {
    /// Reads a filter.
    ///
    /// # Errors
    /// The first [`Flaw`].
    pub(super) fn parse(text: &str) -> Result<Filter, Flaw> {
        let flaw = |at, len, message: String, help| Err(Flaw { at, len, message, help });
        if text.is_empty() {
            return flaw(
                0,
                0,
                "the topic filter is empty".into(),
                "write a topic such as v1/{fleet}/{vehicle}/telemetry",
            );
        }
        if text.starts_with("$share/") {
            let help = "write the group under shareGroup: and only the filter here";
            return flaw(0, "$share".len(), "the topic filter names a share".into(), help);
        }
        let mut filter = Filter { wire: String::with_capacity(text.len()), levels: Vec::new() };
        let mut at = 0;
        for part in text.split('/') {
            if at > 0 {
                filter.wire.push('/');
            }
            if filter.levels.last() == Some(&Level::Rest) {
                return flaw(at - 2, 1, "'#' must be the last level".into(), "use '+' for one level in the middle");
            }
            let level = Level::parse(part, at)?;
            if let Level::Capture(name) = &level
                && filter.captures().any(|known| known == name)
            {
                let help = "give each capture of a filter its own name";
                return flaw(at, name.as_str().len() + 2, format!("'{{{name}}}' is captured twice"), help);
            }
            match &level {
                Level::Literal(text) => filter.wire.push_str(text),
                Level::One | Level::Capture(_) => filter.wire.push('+'),
                Level::Rest => filter.wire.push('#'),
            }
            filter.levels.push(level);
            at += part.len() + 1;
        }
        if filter.wire.len() > LONGEST {
            return flaw(0, text.len(), "the topic filter is longer than 65535 bytes".into(), "shorten it");
        }
        Ok(filter)
    }

    /// What to subscribe to.
    pub(super) fn wire(&self) -> &str {
        &self.wire
    }

    /// The names of its captures, from left to right.
    pub(super) fn captures(&self) -> impl Iterator<Item = &Name> {
        self.levels.iter().filter_map(|level| match level {
            Level::Capture(name) => Some(name),
            _ => None,
        })
    }

    /// Whether `topic` matches, pushing the levels that it captures.
    fn capture<'t>(&self, topic: &'t str, into: &mut Levels<'t>) -> bool {
        // Wildcards at the first level do not reach the broker's own topics.
        if topic.starts_with('$') && !matches!(self.levels.first(), Some(Level::Literal(_))) {
            return false;
        }
        let mut rest = Some(topic);
        for level in &self.levels {
            // `sport/#` matches `sport` too.
            if *level == Level::Rest {
                return true;
            }
            let Some(text) = rest else { return false };
            let (head, tail) = match text.split_once('/') {
                Some((head, tail)) => (head, Some(tail)),
                None => (text, None),
            };
            match level {
                Level::Literal(literal) if **literal != *head => return false,
                Level::Capture(_) => into.push(head),
                _ => {}
            }
            rest = tail;
        }
        rest.is_none()
    }
}

impl Level {
    fn parse(text: &str, at: usize) -> Result<Level, Flaw> {
        match text {
            "+" => return Ok(Level::One),
            "#" => return Ok(Level::Rest),
            _ => {}
        }
        if let Some(name) = text.strip_prefix('{').filter(|rest| !rest.starts_with('{')) {
            return Level::parse_capture(name, text, at);
        }
        let mut literal = String::with_capacity(text.len());
        let mut characters = text.char_indices().peekable();
        while let Some((index, character)) = characters.next() {
            let flaw = |len, message, help| Err(Flaw { at: at + index, len, message, help });
            match character {
                '+' | '#' => {
                    let help = "put it between two slashes, or leave it out";
                    return flaw(1, format!("'{character}' must be a whole level"), help);
                }
                '\0' => return flaw(1, "a topic filter cannot hold a null character".into(), "remove it"),
                '{' if characters.next_if(|(_, next)| *next == '{').is_some() => literal.push('{'),
                '{' => {
                    let len = text[index..].find('}').map_or(1, |end| end + 1);
                    let help = "capture the whole level with {name}, or write {{ for a literal brace";
                    return flaw(len, "a capture must be a whole level".into(), help);
                }
                other => literal.push(other),
            }
        }
        Ok(Level::Literal(literal.into()))
    }

    fn parse_capture(name: &str, text: &str, at: usize) -> Result<Level, Flaw> {
        let help = "write a capture as {name}, or {{ for a literal brace";
        let Some((name, after)) = name.split_once('}') else {
            return Err(Flaw { at, len: text.len(), message: "the brace is never closed".into(), help });
        };
        if !after.is_empty() {
            let message = "a capture must be a whole level".into();
            let help = "capture the whole level with {name}, or write {{ for a literal brace";
            return Err(Flaw { at, len: text.len(), message, help });
        }
        let len = name.len().max(1);
        if TAKEN.contains(&name) {
            let message = format!("'{name}' is an attribute that every event has");
            return Err(Flaw { at: at + 1, len, message, help: "give the capture another name" });
        }
        Name::new(name).map(Level::Capture).map_err(|cause| Flaw {
            at: at + 1,
            len,
            message: cause.to_string(),
            help: "such as {vehicle}",
        })
    }
}

/// Levels that were captured, in the order of one filter.
type Levels<'t> = SmallVec<[&'t str; 4]>;

/// All topic filters of a source, and the names that they capture between them.
#[derive(Clone, Debug)]
pub(super) struct Topics {
    /// Each filter, and where in `names` its captures stand.
    filters: Vec<(Filter, SmallVec<[usize; 4]>)>,
    names: Vec<Name>,
}

/// What the levels of one topic are called: one entry for each of [`Topics::names`].
pub(super) type Captured<'t> = SmallVec<[Option<&'t str>; 4]>;

impl Topics {
    /// The filters in the order of the file.
    pub(super) fn new(filters: Vec<Filter>) -> Topics {
        let mut names: Vec<Name> = Vec::new();
        let filters = filters
            .into_iter()
            .map(|filter| {
                let slots = filter.captures().map(|name| {
                    names.iter().position(|known| known == name).unwrap_or_else(|| {
                        names.push(name.clone());
                        names.len() - 1
                    })
                });
                let slots = slots.collect();
                (filter, slots)
            })
            .collect();
        Topics { filters, names }
    }

    /// Every name that some filter captures.
    pub(super) fn names(&self) -> &[Name] {
        &self.names
    }

    /// Every filter as the broker is asked for it, with its share.
    pub(super) fn wire(&self, share: Option<&str>) -> Vec<Text> {
        let filters = self.filters.iter().map(|(filter, _)| filter.wire());
        match share {
            Some(group) => filters.map(|filter| format!("$share/{group}/{filter}").into()).collect(),
            None => filters.map(Text::new).collect(),
        }
    }

    /// The captures of the first filter that matches `topic`; `None` when none does, which a subscription that an
    /// earlier configuration left behind can cause.
    pub(super) fn capture<'t>(&self, topic: &'t str) -> Option<Captured<'t>> {
        let mut levels = Levels::new();
        self.filters.iter().find_map(|(filter, slots)| {
            levels.clear();
            filter.capture(topic, &mut levels).then(|| {
                let mut captured = Captured::from_elem(None, self.names.len());
                for (slot, level) in slots.iter().zip(&levels) {
                    captured[*slot] = Some(*level);
                }
                captured
            })
        })
    }
}

#[cfg(test)]
mod tests;
