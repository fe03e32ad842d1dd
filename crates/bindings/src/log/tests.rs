//! How an event is spelled, and where it goes.

use std::sync::mpsc;

use bytes::Bytes;
use engine::event::json;
use engine::metric::Page;
use parking_lot::Mutex;
use tracing::field::{Field, Visit};
use tracing::subscriber::with_default;
use tracing::{Metadata, Subscriber, span};

use super::*;
use crate::tests::{event, open, publish, setup};

fn spelled(event: &Event) -> String {
    let mut line = Vec::new();
    line::human(event, &mut line);
    String::from_utf8(line).unwrap()
}

#[test]
fn people_get_one_line() {
    let full = event("org.example.thing", "{\"speed\":\n\t87.4}")
        .with_subject("veh-1".into())
        .with_time("2026-11-21T06:58:00Z".into())
        .unwrap();
    let wanted = "2026-11-21T06:58:00Z org.example.thing /test veh-1 id=7 {\"speed\":\\n\\t87.4}";
    assert_eq!(spelled(&full), wanted);
    let bare = Event::new("1".into(), "/a".into(), "t".into()).unwrap();
    assert_eq!(spelled(&bare), "- t /a id=1");
    assert_eq!(spelled(&event("t", Bytes::from_static(b"\xff\x00"))), "- t /test id=7 (2 bytes that are no text)");
    let hostile = Event::new("\u{1b}[2J".into(), "/\r".into(), "t\u{85}".into()).unwrap();
    assert_eq!(spelled(&hostile), "- t\\u{85} /\\r id=\\u{1b}[2J");
}

#[test]
fn long_data_is_cut_at_a_character() {
    let line = spelled(&event("t", "é".repeat(2_000)));
    assert!(line.ends_with("é... (4000 bytes)") && line.len() < 2_100, "{line}");
    let line = spelled(&event("t", format!("x{}", "é".repeat(2_000))));
    assert!(line.ends_with("é... (4001 bytes)"), "{line}");
}

/// A target that hands over what it gets, and fails when nobody listens.
struct Reader(mpsc::Sender<Vec<u8>>);

impl Write for Reader {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.send(bytes.to_vec()).map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn printed_lines_are_confirmed_once_written() {
    let (sender, written) = mpsc::channel();
    let link = Link::default();
    let output = Printed::new(Box::new(Reader(sender)), Format::Json, link.clone()).unwrap();
    let sent = event("t", "{\"a\":\n1}");
    publish(&output, &sent).await.unwrap();
    let line = written.try_recv().unwrap();
    assert_eq!(json::decode(&Bytes::copy_from_slice(line.strip_suffix(b"\n").unwrap())).unwrap(), sent);
    drop(written);
    let error = publish(&output, &sent).await.unwrap_err();
    assert!(matches!(&error, PublishError::Retry { error, .. } if error.contains("'standard output'")), "{error:?}");
    assert!(link.read().last_error.is_some());
    output.close().await.unwrap();
    assert_eq!(link.read().connection, engine::metric::Connection::Stopped);
}

/// Collects events of the log as level, target and fields.
#[derive(Clone, Default)]
struct Collected(Arc<Mutex<Vec<String>>>);

impl Visit for Collected {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.lock().push(format!("{field}={value:?}"));
    }
}

impl Subscriber for Collected {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        let metadata = event.metadata();
        self.0.lock().push(format!("{} {}", metadata.level(), metadata.target()));
        event.record(&mut self.clone());
    }
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

#[tokio::test]
async fn a_level_writes_into_the_engines_log() {
    for (level, shown) in
        [("error", "ERROR"), ("warn", "WARN"), ("info", "INFO"), ("debug", "DEBUG"), ("trace", "TRACE")]
    {
        let setup = setup("seen", &Page::default());
        let output = open(&Log, &format!(r#"{{"level":"{level}"}}"#), &setup).unwrap();
        let log = Collected::default();
        let confirmed = with_default(log.clone(), || engine::port::confirmed(&*output, &event("t", "1")));
        assert_eq!(confirmed.await, Ok(()));
        let wanted =
            [format!("{shown} tidemill::output"), "output=seen".to_owned(), "message=- t /test id=7 1".to_owned()];
        let mut lines = log.0.lock().clone();
        lines.sort_by_key(|line| (line.starts_with("message"), line.starts_with("output")));
        assert_eq!(lines, wanted);
        output.close().await.unwrap();
    }
}
