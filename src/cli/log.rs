//! The log: to standard error, as text for people or as one JSON object per line.

use std::io;

use engine::config::Colour;
use tracing::Subscriber;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use super::{Failure, colour};

/// The environment variable that sets the level.
const VARIABLE: &str = "TIDEMILL_LOG";

/// The form of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One object per line.
    Json,
}

/// Logs from now on, from the level `usual` or what `TIDEMILL_LOG` says: a level, or a list such as `info,engine=debug`.
///
/// # Errors
/// When `TIDEMILL_LOG` is no such thing, or a custom binary logs already.
pub fn start(format: Format, usual: &str) -> Result<(), Failure> {
    let level = std::env::var(VARIABLE).ok().filter(|level| !level.is_empty());
    let filter = filter(level.as_deref().unwrap_or(usual)).map_err(Failure::refused)?;
    subscriber(format, filter, colour(), io::stderr).try_init().map_err(Failure::failed)
}

fn filter(level: &str) -> Result<Targets, String> {
    // A lone word that is no level would otherwise be taken for a target, and a slip would silence everything else.
    let mut levels = level.split(',').map(|part| part.rsplit_once('=').map_or(part, |(_, level)| level).trim());
    let sound = levels.all(|level| !level.is_empty() && level.parse::<LevelFilter>().is_ok());
    level.parse().ok().filter(|_| sound).ok_or_else(|| {
        let level = level.escape_debug();
        format!(
            "{VARIABLE} is '{level}'; write error, warn, info, debug, trace or off, or a list such as info,engine=debug"
        )
    })
}

fn subscriber<W>(format: Format, filter: Targets, colour: Colour, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(colour == Colour::Always);
    let lines = match format {
        Format::Text => lines.with_target(false).boxed(),
        Format::Json => lines.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed(),
    };
    tracing_subscriber::registry().with(lines.with_filter(filter))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: Format, level: Option<&str>) -> String {
        let kept = Kept::default();
        let writer = kept.clone();
        let subscriber =
            subscriber(format, filter(level.unwrap_or("info")).unwrap(), Colour::Never, move || writer.clone());
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(source = "fleet", "connected");
            tracing::debug!("detail");
        });
        let bytes = kept.0.lock().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn text_is_plain_and_info_unless_told_otherwise() {
        let text = logged(Format::Text, None);
        assert!(text.contains("INFO connected source=\"fleet\"") && !text.contains("detail"), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
        assert!(logged(Format::Text, Some("debug")).contains("detail"));
        assert_eq!(logged(Format::Text, Some("off")), "");
        assert_eq!(logged(Format::Text, Some("error,engine=debug")), "");
    }

    #[test]
    fn json_lines_are_objects_with_the_fields_at_the_top() {
        let line: serde_json::Value = serde_json::from_str(&logged(Format::Json, None)).unwrap();
        assert_eq!(
            (&line["message"], &line["source"], &line["level"]),
            (&"connected".into(), &"fleet".into(), &"INFO".into())
        );
    }

    #[test]
    fn what_is_no_level_is_told_what_to_write() {
        for level in ["loud\u{1b}", "inof", "info,engine", "engine=loud", ","] {
            let sentence = filter(level).unwrap_err();
            assert!(sentence.contains("TIDEMILL_LOG") && sentence.contains("debug"), "{sentence}");
            assert!(!sentence.contains('\u{1b}'), "{sentence}");
        }
    }
}
