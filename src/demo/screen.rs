//! The terminal that the live view is drawn on: the second screen of standard error, given back as it was.
//!
//! Decision: standard error, because standard output is for the report, which then stands on the terminal when the view
//! has gone. Decision: a few escape codes that every terminal of the last decades knows, and no library.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};

use engine::config::Colour;
use terminal_size::{Height, Width, terminal_size_of};

use super::view::Style;
use crate::cli::colour;

/// To the second screen, without a cursor, without wrapping of long lines.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l";
/// Back again.
const LEAVE: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";

/// A terminal while it is ours. Dropping it gives it back.
pub(super) struct Screen {
    colour: Colour,
}

impl Screen {
    /// Takes the terminal behind standard error; `None` where there is none that can be drawn on.
    pub(super) fn take() -> Option<Screen> {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
        if dumb || !io::stderr().is_terminal() {
            return None;
        }
        write(ENTER);
        Some(Screen { colour: colour() })
    }

    /// Columns and lines that it has now.
    pub(super) fn size(&self) -> (usize, usize) {
        match terminal_size_of(io::stderr()) {
            Some((Width(width), Height(height))) => (width.into(), height.into()),
            None => (80, 24),
        }
    }

    /// Shows these lines and nothing else.
    pub(super) fn show(&self, lines: &[(Style, String)]) {
        write(&frame(lines, self.colour));
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        write(LEAVE);
    }
}

/// One write for a whole picture, over the last one, so that nothing flickers.
fn frame(lines: &[(Style, String)], colour: Colour) -> String {
    let mut text = String::from("\x1b[H");
    for (at, (style, line)) in lines.iter().enumerate() {
        let next = if at == 0 { "" } else { "\r\n" };
        let (begin, end) = if colour == Colour::Always { codes(*style) } else { ("", "") };
        // Writing to a string cannot fail.
        let _ = write!(text, "{next}{begin}{line}{end}\x1b[K");
    }
    text.push_str("\x1b[J");
    text
}

fn codes(style: Style) -> (&'static str, &'static str) {
    let begin = match style {
        Style::Plain => return ("", ""),
        Style::Bold => "\x1b[1m",
        Style::Faint => "\x1b[2m",
        Style::Green => "\x1b[32m",
        Style::Yellow => "\x1b[33m",
        Style::Cyan => "\x1b[36m",
    };
    (begin, "\x1b[0m")
}

fn write(text: &str) {
    let mut out = io::stderr().lock();
    // A terminal that has gone away needs no picture.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_overwrites_the_last_one_line_by_line() {
        let lines = [(Style::Bold, "a".to_owned()), (Style::Plain, String::new()), (Style::Green, "█".to_owned())];
        assert_eq!(frame(&lines, Colour::Never), "\x1b[Ha\x1b[K\r\n\x1b[K\r\n█\x1b[K\x1b[J");
        let coloured = frame(&lines, Colour::Always);
        assert!(coloured.starts_with("\x1b[H\x1b[1ma\x1b[0m\x1b[K\r\n\x1b[K\r\n\x1b[32m█\x1b[0m"), "{coloured:?}");
    }
}
