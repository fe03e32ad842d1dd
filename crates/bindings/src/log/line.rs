//! An event as one line for people.

use std::io::Write as _;

use engine::event::Event;

/// Data beyond this is left out; who needs all of it takes the JSON format.
const DATA_MAX: usize = 2048;

/// Appends the event without a line break. Control characters are escaped, so that a message can neither forge a second
/// line nor drive the terminal.
pub(super) fn human(event: &Event, line: &mut Vec<u8>) {
    escaped(line, event.time().map_or("-", |time| time));
    for part in [event.r#type(), event.source()] {
        line.push(b' ');
        escaped(line, part);
    }
    if let Some(subject) = event.subject() {
        line.push(b' ');
        escaped(line, subject);
    }
    line.extend_from_slice(b" id=");
    escaped(line, event.id());
    let Some(data) = event.data() else { return };
    line.push(b' ');
    match std::str::from_utf8(data) {
        Ok(text) => {
            let shown = text.floor_char_boundary(DATA_MAX);
            escaped(line, text.get(..shown).unwrap_or_default());
            if shown < text.len() {
                say(line, format_args!("... ({} bytes)", text.len()));
            }
        }
        Err(_) => say(line, format_args!("({} bytes that are no text)", data.len())),
    }
}

fn escaped(line: &mut Vec<u8>, text: &str) {
    if !text.contains(char::is_control) {
        return line.extend_from_slice(text.as_bytes());
    }
    for character in text.chars() {
        if character.is_control() {
            say(line, format_args!("{}", character.escape_default()));
        } else {
            say(line, format_args!("{character}"));
        }
    }
}

fn say(line: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing to a vector cannot fail.
    let _ = line.write_fmt(text);
}
