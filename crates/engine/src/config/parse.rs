//! From text to a tree with places, within a budget.
//!
//! The parser hands over events; nothing is built that a budget refuses. An alias copies what it names, so its cost is
//! counted before it is paid. Aliases cannot be used to grow a file without bounds, nor nesting to exhaust the stack.

use std::borrow::Cow;
use std::collections::HashMap;

use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, ScanError, StrInput, StructureStyle, Tag};

use super::node::{Entry, Node, Value};
use super::suggest::quoted;
use super::{Check, Span};

/// How deep values may be nested.
pub const DEPTH_MAX: usize = 64;
/// How many keys and values all files may have, copies made by aliases included.
pub const NODES_MAX: usize = 100_000;

/// What reading several files shares.
#[derive(Debug)]
pub(super) struct Budget {
    nodes: usize,
    next_id: u32,
}

impl Default for Budget {
    fn default() -> Budget {
        Budget { nodes: NODES_MAX, next_id: 0 }
    }
}

/// Reads one file. Duplicate keys are noted and left out; what leaves no tree to speak of is noted and gives `None`.
pub(super) fn parse(file: u32, text: &str, budget: &mut Budget, check: &mut Check) -> Option<Node> {
    let options = granit_parser::options! {
        flow_nesting_limit: DEPTH_MAX,
        block_nesting_limit: DEPTH_MAX,
        emit_comments: false,
    };
    let parser = Parser::new_from_str_with_options(text, options);
    let mut reader = Reader { parser, file, text, budget, check, anchors: HashMap::new(), tag: None };
    reader.document().ok()
}

/// A problem was noted after which the rest of the file cannot be read.
struct Stop;

struct Reader<'t, 'c> {
    parser: Parser<'t, StrInput<'t>>,
    file: u32,
    text: &'t str,
    budget: &'c mut Budget,
    check: &'c mut Check,
    /// What anchors name; `None` while it is being read.
    anchors: HashMap<usize, Option<Anchored>>,
    /// Where the tag of the last event stands.
    tag: Option<Span>,
}

struct Anchored {
    node: Node,
    /// Itself and everything below.
    count: usize,
    depth: usize,
}

impl<'t> Reader<'t, '_> {
    /// The one document of the file; an empty file is a document with nothing in it.
    fn document(&mut self) -> Result<Node, Stop> {
        let mut root = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => break,
                Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd => {}
                _ if root.is_some() => {
                    self.check.error(
                        Span { end: span.start, ..span },
                        "a second document begins here",
                        "put it into a file of its own, without '---'",
                    );
                    return Err(Stop);
                }
                event => root = Some(self.node(event, span, 1)?),
            }
        }
        match root {
            Some(root) => Ok(root),
            None => {
                self.scalar(Cow::Borrowed(""), ScalarStyle::Plain, None, Span { file: self.file, start: 0, end: 0 })
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'t>, Span), Stop> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => {
                let tag = span.tag_span().and_then(|tag| tag.byte_range());
                self.tag = tag.map(|range| self.span(range.start, range.end));
                let (start, end) = span.byte_range().map_or((0, 0), |range| (range.start, range.end));
                Ok((event, self.span(start, end)))
            }
            Some(Err(error)) => Err(self.broken(&error)),
            None => {
                self.check.general_error("the file ends too early", "");
                Err(Stop)
            }
        }
    }

    fn broken(&mut self, error: &ScanError) -> Stop {
        let at = error.marker().byte_offset().unwrap_or(0).min(self.text.len());
        let span = self.span(at, at + self.text[at..].chars().next().map_or(0, char::len_utf8));
        match error.kind() {
            ErrorKind::RecursionLimitExceeded => return self.too_deep(span),
            ErrorKind::UnknownAnchor => self.check.error(
                span,
                "this alias names nothing that stands before it",
                "write &name in front of the value that *name stands for, or quote text that begins with '*'",
            ),
            ErrorKind::TabNotAllowed | ErrorKind::TabInBlockIndentation | ErrorKind::TabInIndentation => {
                self.check.error(span, "a tab cannot indent YAML", "indent with spaces");
            }
            kind => self.check.error(span, format!("this is no YAML: {kind}"), ""),
        }
        Stop
    }

    fn too_deep(&mut self, span: Span) -> Stop {
        self.check.error(span, format!("values are nested more than {DEPTH_MAX} deep"), "write a flatter file");
        Stop
    }

    fn node(&mut self, event: Event<'t>, span: Span, depth: usize) -> Result<Node, Stop> {
        if depth > DEPTH_MAX {
            return Err(self.too_deep(span));
        }
        let before = self.budget.nodes;
        let (node, anchor) = match event {
            Event::Alias(anchor) => return self.copy(anchor, span, depth),
            Event::Scalar(text, style, anchor, tag) => (self.scalar(text, style, tag.as_deref(), span)?, anchor),
            Event::SequenceStart(style, anchor, tag) => {
                self.collection(span, anchor, tag.as_deref())?;
                (self.list(style, span, depth)?, anchor)
            }
            Event::MappingStart(style, anchor, tag) => {
                self.collection(span, anchor, tag.as_deref())?;
                (self.map(style, span, depth)?, anchor)
            }
            _ => {
                self.check.error(span, "this is no YAML: a value is expected here", "");
                return Err(Stop);
            }
        };
        if anchor != 0 {
            let anchored = Anchored { count: before - self.budget.nodes, depth: height(&node), node: node.clone() };
            self.spend(anchored.count, span)?;
            self.anchors.insert(anchor, Some(anchored));
        }
        Ok(node)
    }

    fn copy(&mut self, anchor: usize, span: Span, depth: usize) -> Result<Node, Stop> {
        let Some(Some(anchored)) = self.anchors.get(&anchor) else {
            self.check.error(span, "this alias stands inside the value that it names", "");
            return Err(Stop);
        };
        if depth + anchored.depth > DEPTH_MAX {
            return Err(self.too_deep(span));
        }
        let count = anchored.count;
        self.spend(count, span)?;
        match self.anchors.get(&anchor) {
            Some(Some(anchored)) => Ok(anchored.node.clone()),
            _ => Err(Stop),
        }
    }

    fn spend(&mut self, count: usize, span: Span) -> Result<(), Stop> {
        match self.budget.nodes.checked_sub(count) {
            Some(left) => {
                self.budget.nodes = left;
                Ok(())
            }
            None => {
                self.check.error(
                    span,
                    format!("more than {NODES_MAX} keys and values, counting what aliases repeat"),
                    "check that this is the configuration; data belongs elsewhere",
                );
                Err(Stop)
            }
        }
    }

    fn scalar(
        &mut self,
        text: Cow<'t, str>,
        style: ScalarStyle,
        tag: Option<&Tag>,
        mut span: Span,
    ) -> Result<Node, Stop> {
        let tagged = tag.is_some_and(|tag| tag.is_yaml_core_schema_tag("str"));
        if !tagged {
            self.untagged(tag, span)?;
        }
        // Between its quotes, text can be pointed into character by character, up to its first escape.
        let quoted = matches!(style, ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted) && !text.is_empty();
        if quoted && span.end > span.start + 2 {
            (span.start, span.end) = (span.start + 1, span.end - 1);
        }
        let plain = style == ScalarStyle::Plain && !tagged;
        self.made(Value::Scalar { text: text.into_owned(), plain }, span)
    }

    /// What both kinds of collections begin with.
    fn collection(&mut self, span: Span, anchor: usize, tag: Option<&Tag>) -> Result<(), Stop> {
        if anchor != 0 {
            self.anchors.insert(anchor, None);
        }
        self.untagged(tag, span)
    }

    fn untagged(&mut self, tag: Option<&Tag>, span: Span) -> Result<(), Stop> {
        let Some(tag) = tag.filter(|tag| tag.is_custom() || !tag.is_yaml_core_schema()) else { return Ok(()) };
        let tag = quoted(&tag.original());
        let span = self.tag.unwrap_or(span);
        self.check.error(span, format!("the tag {tag} means nothing here"), "leave it out, or quote the text");
        Err(Stop)
    }

    fn list(&mut self, style: StructureStyle, mut span: Span, depth: usize) -> Result<Node, Stop> {
        let mut items: Vec<Node> = Vec::new();
        loop {
            let (event, end) = self.next()?;
            if matches!(event, Event::SequenceEnd) {
                span.end = close(style, end, items.last().map_or(span, |item| item.span));
                return self.made(Value::List(items), span);
            }
            items.push(self.node(event, end, depth + 1)?);
        }
    }

    fn map(&mut self, style: StructureStyle, mut span: Span, depth: usize) -> Result<Node, Stop> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut seen: HashMap<String, Span> = HashMap::new();
        loop {
            let (event, place) = self.next()?;
            if matches!(event, Event::MappingEnd) {
                let last = entries.last().map_or(span, |entry| entry.value.span.max(entry.key.span));
                span.end = close(style, place, last);
                return self.made(Value::Map(entries), span);
            }
            let key = self.node(event, place, depth + 1)?;
            let (event, place) = self.next()?;
            let value = self.node(event, place, depth + 1)?;
            let Some(name) = key.text() else {
                self.check.error(key.span, "a key must be text, not a list or a map", "");
                return Err(Stop);
            };
            if let Some(first) = seen.get(name) {
                let message = format!("{} is written twice", quoted(name));
                self.check.clash(key.span, message, *first, "first here", "keep one of them");
                continue;
            }
            seen.insert(name.to_owned(), key.span);
            entries.push(Entry { key, value });
        }
    }

    fn made(&mut self, value: Value, span: Span) -> Result<Node, Stop> {
        self.spend(1, span)?;
        self.budget.next_id += 1;
        Ok(Node { id: self.budget.next_id, span, value })
    }

    fn span(&self, start: usize, end: usize) -> Span {
        // Files are far smaller than 4 GiB.
        let offset = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Span { file: self.file, start: offset(start), end: offset(end) }
    }
}

/// Where a collection ends: with its bracket, or with the last thing in it, for blank lines belong to nobody.
fn close(style: StructureStyle, end: Span, last: Span) -> u32 {
    match style {
        StructureStyle::Flow => end.end,
        StructureStyle::Block => last.end,
    }
}

/// How many levels a node has.
fn height(node: &Node) -> usize {
    match &node.value {
        Value::Scalar { .. } => 0,
        Value::List(items) => 1 + items.iter().map(height).max().unwrap_or_default(),
        Value::Map(entries) => 1 + entries.iter().map(|entry| height(&entry.value)).max().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests;
