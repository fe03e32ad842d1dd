//! What is in the file, what is refused, and what a failure means.

use std::fs;

use bytes::Bytes;
use engine::metric::{Connection, Page};

use super::*;
use crate::tests::{complaints, event, open, publish, setup};

fn options(path: &std::path::Path, more: &str) -> String {
    format!(r#"{{"path":{}{more}}}"#, serde_json::to_string(path).unwrap())
}

#[tokio::test]
async fn every_line_is_one_event() {
    for more in ["", r#","fsync":"always""#, r#","fsync":"interval","interval":"50ms""#, r#","fsync":"never""#] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let setup = setup("file", &Page::default());
        let output = open(&File, &options(&path, more), &setup).unwrap();
        let events = [
            event("a", "{\"pretty\":\n 1.0}"),
            event("b", Bytes::from_static(b"\x00\xff")),
            Event::new("1".into(), "/a".into(), "none".into()).unwrap().with_subject("line\nbreak".into()),
        ];
        for event in &events {
            publish(&*output, event).await.unwrap();
        }
        let written = fs::read(&path).unwrap();
        assert_eq!(written.last(), Some(&b'\n'));
        let lines = written.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let read: Vec<_> = lines.map(|line| json::decode(&Bytes::copy_from_slice(line)).unwrap()).collect();
        assert_eq!(read, events, "{more}");
        assert_eq!(setup.link.read().connection, Connection::Connected);
        output.close().await.unwrap();
        assert_eq!(setup.link.read().connection, Connection::Stopped);
        publish(&*output, &events[0]).await.unwrap_err();
    }
}

#[tokio::test]
async fn publishing_together_shares_batches_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.jsonl");
    let output =
        open(&File, &options(&path, r#","rotate":{"size":"4KiB","keep":100}"#), &setup("file", &Page::default()));
    let output = output.unwrap();
    let confirms: Vec<_> = (0..500).map(|n| engine::port::confirmed(&*output, &event("a", n.to_string()))).collect();
    for confirm in confirms {
        confirm.await.unwrap();
    }
    output.close().await.unwrap();
    let mut numbers: Vec<u32> = Vec::new();
    for file in fs::read_dir(folder.path()).unwrap() {
        for line in fs::read_to_string(file.unwrap().path()).unwrap().lines() {
            let event = json::decode(&Bytes::copy_from_slice(line.as_bytes())).unwrap();
            numbers.push(std::str::from_utf8(event.data().unwrap()).unwrap().parse().unwrap());
        }
    }
    numbers.sort_unstable();
    assert!(numbers.iter().copied().eq(0..500), "{numbers:?}");
    assert!(fs::read_dir(folder.path()).unwrap().count() > 1);
}

#[tokio::test]
async fn a_disk_that_fails_is_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("inner");
    fs::create_dir(&inner).unwrap();
    let path = inner.join("events.jsonl");
    let setup = setup("file", &Page::default());
    let output = open(&File, &options(&path, ""), &setup).unwrap();
    fs::remove_dir_all(&inner).unwrap();
    let error = publish(&*output, &event("a", "1")).await.unwrap_err();
    assert!(matches!(&error, PublishError::Retry { error, .. } if error.contains("cannot open")), "{error:?}");
    assert_eq!(setup.link.read().connection, Connection::Disconnected);
    fs::create_dir(&inner).unwrap();
    publish(&*output, &event("a", "1")).await.unwrap();
    assert_eq!(setup.link.read().connection, Connection::Connected);
}

#[tokio::test]
async fn a_missing_folder_is_named_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("missing/events.jsonl");
    let error = open(&File, &options(&path, ""), &setup("file", &Page::default())).err().unwrap().to_string();
    assert!(error.contains("missing' for '") && error.contains("does not exist; create it"), "{error}");
}

#[test]
fn options_are_checked_all_at_once() {
    assert_eq!(complaints(&File, r#"{"path":"a.jsonl","rotate":{"size":"10MB","keep":3}}"#), [""; 0]);
    let wrong = r#"{"path":"/dev/stdout","fsync":"never","interval":"1s","rotate":{"size":"1KB","keep":0}}"#;
    let found = complaints(&File, wrong).join("; ");
    for part in ["a device is no file", "only fsync: interval has", "files this small", "removed with all its events"] {
        assert!(found.contains(part), "{found}");
    }
    assert_eq!(complaints(&File, r#"{"path":"..","fsync":"interval","interval":"1ms"}"#).len(), 2);
}

#[test]
fn only_always_is_durable() {
    for (fsync, durable) in [("always", true), ("interval", false), ("never", false)] {
        let given = crate::tests::options(&File, &format!(r#"{{"path":"a","fsync":"{fsync}"}}"#));
        assert_eq!(File.check(given, &mut Check::default()).unwrap().durable(), durable, "{fsync}");
    }
}
