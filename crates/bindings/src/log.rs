//! `log`: one line per event, for people and for pipes.
//!
//! Without `level` the lines are data: they go to standard output, and what the engine says about itself does not. A
//! thread of its own writes them, so a pipe that nobody reads holds up this output's confirmations and no worker. With
//! `level` the lines are log lines: they go where the engine's own log goes, in its order and under its filter, as target
//! `tidemill::output` with the field `output`; a line that the filter drops is confirmed all the same.
//!
//! `format: human` is for reading, and shortens: time, type, source, subject, id, and at most 2 KiB of data with control
//! characters escaped. `format: json` is the whole CloudEvent.

mod line;
mod options;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::io::{self, Write};
use std::sync::Arc;

use engine::config::Check;
use engine::event::{Event, Text};
use engine::journal::{Error, Lines, Sink};
use engine::metric::Link;
use engine::port::{BoxFuture, Confirm, Offer, Output, PublishError};
use engine::registry::{OpenError, OutputKind, OutputPlan, Setup};

pub use options::{Format, Level, Options};

/// The kind `log`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Log;

impl OutputKind for Log {
    type Options = Options;
    const NAME: &'static str = "log";

    fn check(&self, options: Options, _: &mut Check) -> Option<Box<dyn OutputPlan>> {
        Some(Box::new(options))
    }
}

impl OutputPlan for Options {
    fn durable(&self) -> bool {
        false
    }

    fn open(&self, setup: Setup) -> Result<Box<dyn Output>, OpenError> {
        if let Some(level) = self.level {
            setup.link.connected();
            return Ok(Box::new(Traced { output: setup.name, level, format: self.format, link: setup.link }));
        }
        let output = Printed::new(Box::new(io::stdout()), self.format, setup.link)
            .map_err(|cause| OpenError { message: "cannot start a thread".to_owned(), cause: Some(cause.into()) })?;
        Ok(Box::new(output))
    }
}

thread_local! {
    /// Where an event is spelled before it is handed on, so that no event pays for an allocation.
    static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A buffer that one large event has grown beyond this is given back.
const LINE_KEPT: usize = 64 << 10;

fn with_line<T>(event: &Event, format: Format, take: impl FnOnce(&[u8]) -> T) -> T {
    LINE.with_borrow_mut(|line| {
        line.clear();
        match format {
            Format::Human => line::human(event, line),
            Format::Json => engine::event::json::encode_line(event, line),
        }
        let taken = take(line);
        line.shrink_to(LINE_KEPT);
        taken
    })
}

/// Lines in the engine's own log.
struct Traced {
    output: Text,
    level: Level,
    format: Format,
    link: Link,
}

impl Output for Traced {
    fn publish(&self, event: &Event, _: Offer<'_>) -> Confirm {
        macro_rules! log {
            ($level:ident, $line:expr) => {
                tracing::event!(target: "tidemill::output", tracing::Level::$level, output = %self.output, "{}", $line)
            };
        }
        with_line(event, self.format, |line| {
            let line = String::from_utf8_lossy(line);
            match self.level {
                Level::Error => log!(ERROR, line),
                Level::Warn => log!(WARN, line),
                Level::Info => log!(INFO, line),
                Level::Debug => log!(DEBUG, line),
                Level::Trace => log!(TRACE, line),
            }
        });
        Confirm::Now(Ok(()))
    }

    fn close(&self) -> BoxFuture<'_, Result<(), PublishError>> {
        self.link.stopped();
        Box::pin(std::future::ready(Ok(())))
    }
}

/// How much may wait for a pipe that is read slowly.
const WAITING_MAX: usize = 1 << 20;

/// Lines on standard output.
struct Printed {
    lines: Lines,
    format: Format,
}

impl Printed {
    fn new(target: Box<dyn Write + Send>, format: Format, link: Link) -> io::Result<Printed> {
        let name = Arc::from("standard output");
        link.connected();
        let pipe = Pipe { name: Arc::clone(&name), target, link };
        Ok(Printed { lines: Lines::start(name, WAITING_MAX, Box::new(pipe))?, format })
    }
}

impl Output for Printed {
    fn publish(&self, event: &Event, offer: Offer<'_>) -> Confirm {
        let (ticket, later) = offer.accept();
        with_line(event, self.format, |line| self.lines.append(line)).answer(ticket);
        later
    }

    fn close(&self) -> BoxFuture<'_, Result<(), PublishError>> {
        let closed = self.lines.close();
        Box::pin(async move { closed.await.map_err(refusal) })
    }
}

#[expect(clippy::needless_pass_by_value, reason = "this is the shape that map_err wants")]
fn refusal(error: Error) -> PublishError {
    PublishError::Retry { after: None, error: error.sentence() }
}

struct Pipe {
    name: Arc<str>,
    target: Box<dyn Write + Send>,
    link: Link,
}

impl Sink for Pipe {
    fn write(&mut self, lines: &[u8]) -> Result<(), Error> {
        let result = self.target.write_all(lines).and_then(|()| self.target.flush());
        result.map_err(|cause| {
            let error = Error::io("write to", &self.name, cause);
            self.link.error(error.sentence());
            error
        })
    }

    fn close(&mut self) -> Result<(), Error> {
        self.link.stopped();
        Ok(())
    }
}
