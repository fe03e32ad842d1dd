//! The two streams of a command, and whether they may be coloured.

use std::io::{self, ErrorKind, IsTerminal, Write};

use engine::config::Colour;

use super::Failure;

/// Writes data and a line break to standard output. A reader that has seen enough, such as `head`, is no failure.
///
/// # Errors
/// When the data could not be written, such as to a full disk.
pub fn data(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(cause) if cause.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::failed(format!("cannot write to standard output: {cause}")))
        }
        _ => Ok(()),
    }
}

/// Writes a line about the work to standard error.
pub fn note(text: &str) {
    // There is nowhere left to say that nobody listens.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Whether what goes to standard error may be coloured: on a terminal, unless `NO_COLOR` is set.
#[must_use]
pub fn colour() -> Colour {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    match io::stderr().is_terminal() && !unwanted && !dumb {
        true => Colour::Always,
        false => Colour::Never,
    }
}
