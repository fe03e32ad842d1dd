//! Reading filters, and saying what is wrong with them where it stands.

use engine::config::{Check, Spanned};
use engine::event::Name;

use super::{Filter, Filters, Flaw, Part, Syntax};
use crate::normalise::Template;

/// Names of context attributes that a capture would overwrite.
const TAKEN: [&str; 8] = ["specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema"];

/// Reads a filter of one protocol; see [`Filter::parse`].
pub type Parse = fn(&str) -> Result<Filter, Flaw>;

/// Reads the filters of a source. Two that ask for the same are an error.
pub fn checked(typed: &[Spanned<String>], parse: Parse, check: &mut Check) -> Filters {
    let mut filters: Vec<Filter> = Vec::new();
    for text in typed {
        match parse(text) {
            Ok(filter) if filters.iter().any(|known| known.wire() == filter.wire()) => {
                let message = format!("this filter matches the same {}s as one before it", filter.syntax.whole);
                check.error(text.span, message, "leave it out");
            }
            Ok(filter) => filters.push(filter),
            Err(flaw) => check.error(text.span.part(flaw.at, flaw.len), flaw.message, flaw.help),
        }
    }
    Filters::new(filters)
}

/// Says which filters do not capture what `template` needs for every event; `names` are those of all filters.
pub fn lacking(typed: &[Spanned<String>], parse: Parse, names: &[Name], template: &Template, check: &mut Check) {
    for (_, name) in names.iter().enumerate().filter(|(index, _)| template.uses(*index)) {
        for text in typed {
            let Ok(filter) = parse(text) else { continue };
            if filter.captures().all(|capture| capture != name) {
                let Syntax { whole, part, .. } = filter.syntax;
                let message = format!("this {whole} does not capture '{{{name}}}', which event: uses");
                check.error(text.span, message, format!("write {{{name}}} for the {part} that holds it"));
            }
        }
    }
}

impl Filter {
    /// Reads a filter.
    ///
    /// # Errors
    /// The first [`Flaw`].
    pub fn parse(syntax: &'static Syntax, text: &str) -> Result<Filter, Flaw> {
        let flaw = |at, len, message: String, help: String| Err(Flaw { at, len, message, help });
        let Syntax { filter: noun, example, part: word, separator, rest, one, .. } = syntax;
        if text.is_empty() {
            return flaw(0, 0, format!("the {noun} is empty"), format!("write a {} such as {example}", syntax.whole));
        }
        let mut filter = Filter { syntax, wire: String::with_capacity(text.len()), parts: Vec::new() };
        let mut at = 0;
        for text in text.split(*separator) {
            if at > 0 {
                filter.wire.push(*separator);
            }
            if filter.parts.last() == Some(&Part::Rest) {
                let help = format!("use '{one}' for one {word} in the middle");
                return flaw(at - 2, 1, format!("'{rest}' must be the last {word}"), help);
            }
            let part = Part::parse(syntax, text, at)?;
            if let Part::Capture(name) = &part
                && filter.captures().any(|known| known == name)
            {
                let help = "give each capture of a filter its own name".to_owned();
                return flaw(at, name.as_str().len() + 2, format!("'{{{name}}}' is captured twice"), help);
            }
            match &part {
                Part::Literal(text) => filter.wire.push_str(text),
                Part::One | Part::Capture(_) => filter.wire.push(*one),
                Part::Rest => filter.wire.push(*rest),
            }
            filter.parts.push(part);
            at += text.len() + separator.len_utf8();
        }
        if filter.wire.len() > syntax.longest {
            let message = format!("the {noun} is longer than {} bytes", syntax.longest);
            return flaw(0, text.len(), message, "shorten it".to_owned());
        }
        Ok(filter)
    }
}

impl Part {
    fn parse(syntax: &Syntax, text: &str, at: usize) -> Result<Part, Flaw> {
        if text.chars().eq([syntax.one]) {
            return Ok(Part::One);
        }
        if text.chars().eq([syntax.rest]) {
            return Ok(Part::Rest);
        }
        if text.is_empty() && !syntax.empty_parts {
            let message = format!("a {} cannot be empty", syntax.part);
            let help = format!("write something between two '{0}', such as {1}", syntax.separator, syntax.example);
            return Err(Flaw { at: at.saturating_sub(1), len: 1, message, help });
        }
        if let Some(name) = text.strip_prefix('{').filter(|rest| !rest.starts_with('{')) {
            return Part::parse_capture(syntax, name, text, at);
        }
        let mut literal = String::with_capacity(text.len());
        let mut characters = text.char_indices().peekable();
        while let Some((index, character)) = characters.next() {
            let flaw = |len, message, help: String| Err(Flaw { at: at + index, len, message, help });
            match character {
                sign if sign == syntax.one || sign == syntax.rest => {
                    let help = match syntax.separator {
                        '/' => "put it between two slashes, or leave it out",
                        _ => "put it between two dots, or leave it out",
                    };
                    return flaw(1, format!("'{character}' must be a whole {}", syntax.part), help.to_owned());
                }
                '\0' => {
                    return flaw(
                        1,
                        format!("a {} cannot hold a null character", syntax.filter),
                        "remove it".to_owned(),
                    );
                }
                space if space.is_whitespace() && !syntax.spaces => {
                    let message = format!("a {} cannot hold white space", syntax.filter);
                    return flaw(space.len_utf8(), message, "remove it".to_owned());
                }
                '{' if characters.next_if(|(_, next)| *next == '{').is_some() => literal.push('{'),
                '{' => {
                    let len = text[index..].find('}').map_or(1, |end| end + 1);
                    return flaw(len, whole_part(syntax), capture_whole(syntax));
                }
                other => literal.push(other),
            }
        }
        Ok(Part::Literal(literal.into()))
    }

    fn parse_capture(syntax: &Syntax, name: &str, text: &str, at: usize) -> Result<Part, Flaw> {
        let help = "write a capture as {name}, or {{ for a literal brace".to_owned();
        let Some((name, after)) = name.split_once('}') else {
            return Err(Flaw { at, len: text.len(), message: "the brace is never closed".into(), help });
        };
        if !after.is_empty() {
            return Err(Flaw { at, len: text.len(), message: whole_part(syntax), help: capture_whole(syntax) });
        }
        let len = name.len().max(1);
        if TAKEN.contains(&name) {
            let message = format!("'{name}' is an attribute that every event has");
            return Err(Flaw { at: at + 1, len, message, help: "give the capture another name".to_owned() });
        }
        Name::new(name).map(Part::Capture).map_err(|cause| Flaw {
            at: at + 1,
            len,
            message: cause.to_string(),
            help: "such as {vehicle}".to_owned(),
        })
    }
}

fn whole_part(syntax: &Syntax) -> String {
    format!("a capture must be a whole {}", syntax.part)
}

fn capture_whole(syntax: &Syntax) -> String {
    format!("capture the whole {} with {{name}}, or write {{{{ for a literal brace", syntax.part)
}
