//! What a journal promises: confirmed lines are in the file, in order, and nothing else is left there.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::metric::Connection;

fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.jsonl");
    (folder, path)
}

fn open(path: &Path, policy: Policy) -> Journal {
    Journal::open(path, policy, Link::default()).unwrap()
}

/// The name of every file in the folder and its lines.
fn contents(path: &Path) -> Vec<(String, Vec<String>)> {
    let mut files: Vec<_> = fs::read_dir(path.parent().unwrap())
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let lines = fs::read_to_string(entry.path()).unwrap().lines().map(str::to_owned).collect();
            (entry.file_name().into_string().unwrap(), lines)
        })
        .collect();
    files.sort();
    files
}

/// A sink whose writes end when the test says so.
struct Stepped {
    started: mpsc::Sender<Vec<u8>>,
    results: mpsc::Receiver<Result<(), Error>>,
}

impl Sink for Stepped {
    fn write(&mut self, lines: &[u8]) -> Result<(), Error> {
        self.started.send(lines.to_vec()).unwrap();
        self.results.recv().unwrap()
    }
}

fn stepped(limit: usize) -> (Lines, mpsc::Receiver<Vec<u8>>, mpsc::Sender<Result<(), Error>>) {
    let (started, starts) = mpsc::channel();
    let (finish, results) = mpsc::channel();
    let lines = Lines::start("stepped".into(), limit, Box::new(Stepped { started, results })).unwrap();
    (lines, starts, finish)
}

#[tokio::test]
async fn what_arrives_during_a_write_is_one_batch() {
    let (lines, starts, finish) = stepped(1 << 20);
    let first = lines.append(b"1");
    assert_eq!(starts.recv().unwrap(), b"1\n");
    let second = lines.append(b"2");
    let (tell, told) = tokio::sync::oneshot::channel();
    lines.append(b"3").then(move |result| tell.send(result).unwrap());
    let rest = lines.append_all([&b"4"[..], b"5\r\n6"]);
    finish.send(Ok(())).unwrap();
    first.await.unwrap();
    assert_eq!(starts.recv().unwrap(), b"2\n3\n4\n5  6\n");
    finish.send(Err(Error::io("write to", &"stepped".into(), io::ErrorKind::StorageFull.into()))).unwrap();
    for result in [second.await, told.await.unwrap(), rest.await] {
        assert!(matches!(result, Err(Error::Io { .. })), "all lines of a batch fail together: {result:?}");
    }
    let again = lines.append(b"7");
    assert_eq!(starts.recv().unwrap(), b"7\n");
    finish.send(Ok(())).unwrap();
    again.await.unwrap();
    lines.append_all([]).await.unwrap();
    lines.close().await.unwrap();
    assert!(matches!(lines.append(b"8").await, Err(Error::Closed { .. })));
    lines.close().await.unwrap();
}

#[tokio::test]
async fn what_waits_is_bounded() {
    let (lines, starts, finish) = stepped(8);
    let first = lines.append(&[b'x'; 100]);
    starts.recv().unwrap();
    let second = lines.append(b"1234567");
    let refused = lines.append(b"8").await;
    assert!(matches!(refused, Err(Error::Full { limit: 8, .. })), "{refused:?}");
    finish.send(Ok(())).unwrap();
    first.await.unwrap();
    assert_eq!(starts.recv().unwrap(), b"1234567\n");
    finish.send(Ok(())).unwrap();
    second.await.unwrap();
}

#[tokio::test]
async fn a_thread_that_dies_fails_whoever_waits() {
    let (lines, starts, finish) = stepped(8);
    let first = lines.append(b"1");
    starts.recv().unwrap();
    let second = lines.append(b"2");
    drop(finish);
    assert!(matches!(first.await, Err(Error::Closed { .. })));
    assert!(matches!(second.await, Err(Error::Closed { .. })));
    assert!(matches!(lines.append(b"3").await, Err(Error::Closed { .. })));
    assert!(matches!(lines.close().await, Err(Error::Closed { .. })));
}

#[tokio::test]
async fn every_policy_confirms_what_is_in_the_file() {
    for sync in [Sync::Always, Sync::Interval(Duration::from_millis(1)), Sync::Never] {
        let (_folder, path) = place();
        let journal = open(&path, Policy { sync, ..Policy::default() });
        journal.append(b"{\"n\":1}").await.unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"n\":1}\n", "{sync:?}");
        journal.append(b"{\"n\":2}").await.unwrap();
        journal.close().await.unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"n\":1}\n{\"n\":2}\n", "{sync:?}");
        assert_eq!(journal.read(), Reading { lines: 2, batches: 2, ..Reading::default() }, "{sync:?}");
    }
}

#[test]
fn an_interval_is_kept_without_further_lines() {
    let (_folder, path) = place();
    let policy = Policy { sync: Sync::Interval(Duration::from_secs(60)), ..Policy::default() };
    let mut file = Rotating::open(&path, policy, Link::default(), Arc::default()).unwrap();
    assert_eq!(file.tend(), None, "nothing is written yet");
    file.write(b"{}\n").unwrap();
    assert!(file.tend().is_some_and(|wait| wait <= Duration::from_secs(60)));
    let policy = Policy { sync: Sync::Interval(Duration::ZERO), ..Policy::default() };
    drop(file);
    let mut file = Rotating::open(&path, policy, Link::default(), Arc::default()).unwrap();
    file.write(b"{}\n").unwrap();
    assert_eq!(file.tend(), None, "it was due and is done");
}

#[tokio::test]
async fn full_files_move_up_and_the_oldest_is_counted() {
    let (_folder, path) = place();
    let policy = Policy { sync: Sync::Always, size: 16, keep: 2 };
    let journal = open(&path, policy);
    // Two lines of eight bytes fill a file exactly; seven lines in one batch need four files.
    let lines: Vec<_> = (1..=7).map(|n| format!("{{\"n\":{n}}}")).collect();
    journal.lines.append_all(lines.iter().map(String::as_bytes)).await.unwrap();
    let names = |files: &[(String, Vec<String>)]| files.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    let files = contents(&path);
    assert_eq!(names(&files), ["log.jsonl", "log.jsonl.1", "log.jsonl.2"]);
    assert_eq!(files[0].1, ["{\"n\":7}"]);
    assert_eq!(files[1].1, ["{\"n\":5}", "{\"n\":6}"]);
    assert_eq!(files[2].1, ["{\"n\":3}", "{\"n\":4}"]);
    assert_eq!(journal.read(), Reading { lines: 7, batches: 1, rotated_out: 2, ..Reading::default() });

    let long = format!("{{\"long\":\"{}\"}}", "x".repeat(40));
    journal.append(long.as_bytes()).await.unwrap();
    journal.append(b"{\"n\":9}").await.unwrap();
    let files = contents(&path);
    assert_eq!(files[0].1, ["{\"n\":9}"]);
    assert_eq!(files[1].1, [long], "a line that is too long has a file of its own");
    assert_eq!(files[2].1, ["{\"n\":7}"]);
    assert_eq!(journal.read().rotated_out, 6);
}

#[tokio::test]
async fn a_rotation_that_was_interrupted_costs_no_file() {
    let (_folder, path) = place();
    fs::write(&path, "{\"n\":3}\n").unwrap();
    fs::write(path.with_file_name("log.jsonl.2"), "{\"n\":1}\n").unwrap();
    let journal = open(&path, Policy { sync: Sync::Always, size: 8, keep: 2 });
    journal.append(b"{\"n\":4}").await.unwrap();
    let lines: Vec<_> = contents(&path).into_iter().flat_map(|(_, lines)| lines).collect();
    assert_eq!(lines, ["{\"n\":4}", "{\"n\":3}", "{\"n\":1}"]);
    assert_eq!(journal.read().rotated_out, 0);
}

#[tokio::test]
async fn nothing_is_kept_beside_the_file_if_nobody_wants_it() {
    let (_folder, path) = place();
    let journal = open(&path, Policy { sync: Sync::Never, size: 8, keep: 0 });
    for n in 1..=3 {
        journal.append(format!("{{\"n\":{n}}}").as_bytes()).await.unwrap();
    }
    assert_eq!(contents(&path), [("log.jsonl".to_owned(), vec!["{\"n\":3}".to_owned()])]);
    assert_eq!(journal.read().rotated_out, 2);
}

#[tokio::test]
async fn a_torn_last_line_is_cut_off() {
    for (before, after) in [
        ("{\"n\":1}\n{\"n\":2}\n{\"n", "{\"n\":1}\n{\"n\":2}\n"),
        ("{\"n\":1", ""),
        ("{\"n\":1}\n", "{\"n\":1}\n"),
        ("", ""),
        (&format!("{{\"n\":1}}\n{{\"{}", "x".repeat(200_000)), "{\"n\":1}\n"),
    ] {
        let (_folder, path) = place();
        fs::write(&path, before).unwrap();
        let journal = open(&path, Policy::default());
        assert_eq!(journal.read().torn, (before.len() - after.len()) as u64);
        journal.append(b"{\"n\":9}").await.unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{after}{{\"n\":9}}\n"));
    }
}

#[test]
fn what_cannot_be_opened_is_refused_with_a_reason() {
    let (folder, path) = place();
    let refused = |path: &Path| {
        let error = Journal::open(path, Policy::default(), Link::default()).unwrap_err();
        format!("{error}: {}", error.cause.as_ref().unwrap())
    };
    let missing = refused(&folder.path().join("no/such.jsonl"));
    assert!(missing.contains("no' for '") && missing.contains("does not exist; create it"), "{missing}");
    fs::write(&path, "SQLite format 3\n").unwrap();
    let foreign = refused(&path);
    assert!(foreign.contains("holds something else than JSON lines"), "{foreign}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "SQLite format 3\n");
    let device = refused(Path::new("/dev/null"));
    assert!(device.contains("no regular file"), "{device}");
    let own = folder.path().join("own.jsonl");
    let _holder = open(&own, Policy::default());
    let taken = refused(&own);
    assert!(taken.contains("another output or process writes to it"), "{taken}");
}

#[tokio::test]
async fn writing_recovers_by_itself() {
    let (folder, path) = place();
    let inner = folder.path().join("inner");
    fs::create_dir(&inner).unwrap();
    let path = inner.join(path.file_name().unwrap());
    let link = Link::default();
    let journal = Journal::open(&path, Policy::default(), link.clone()).unwrap();
    journal.append(b"{\"n\":1}").await.unwrap();
    fs::remove_dir_all(&inner).unwrap();
    let error = journal.append(b"{\"n\":2}").await.unwrap_err();
    assert!(matches!(error, Error::Io { step: "open", .. }), "{error:?}");
    let reading = link.read();
    assert_eq!(reading.connection, Connection::Disconnected);
    assert_eq!(reading.last_error, Some(error.sentence()));
    fs::create_dir(&inner).unwrap();
    journal.append(b"{\"n\":3}").await.unwrap();
    assert_eq!(link.read().connection, Connection::Connected);
    assert_eq!(fs::read_to_string(&path).unwrap(), "{\"n\":3}\n");
    assert_eq!(journal.read(), Reading { lines: 2, batches: 2, failures: 1, ..Reading::default() });
    journal.close().await.unwrap();
    assert_eq!(link.read().connection, Connection::Stopped);
}

#[test]
fn a_failed_batch_leaves_nothing_behind() {
    let (_folder, path) = place();
    let policy = Policy { sync: Sync::Always, size: 16, keep: 1 };
    let mut file = Rotating::open(&path, policy, Link::default(), Arc::default()).unwrap();
    file.write(b"{\"n\":1}\n").unwrap();
    // A folder in the way of the rotated file makes the rotation fail after the first line went into the current one.
    let obstacle = path.with_file_name("log.jsonl.1");
    fs::create_dir(&obstacle).unwrap();
    file.write(b"{\"n\":2}\n{\"n\":3}\n").unwrap_err();
    fs::remove_dir(&obstacle).unwrap();
    file.write(b"{\"n\":4}\n").unwrap();
    assert_eq!(contents(&path), [("log.jsonl".to_owned(), vec!["{\"n\":1}".to_owned(), "{\"n\":4}".to_owned()])]);
}

#[tokio::test]
async fn a_file_that_was_moved_away_is_begun_anew() {
    for sync in [Sync::Always, Sync::Interval(Duration::from_secs(60)), Sync::Never] {
        let (_folder, path) = place();
        let journal = open(&path, Policy { sync, ..Policy::default() });
        journal.append(b"{\"n\":1}").await.unwrap();
        fs::rename(&path, path.with_file_name("aside")).unwrap();
        journal.append(b"{\"n\":2}").await.unwrap();
        let lines = |n: u8| vec![format!("{{\"n\":{n}}}")];
        assert_eq!(contents(&path), [("aside".to_owned(), lines(1)), ("log.jsonl".to_owned(), lines(2))], "{sync:?}");
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(32))]

    /// Whatever the sizes of lines, batches and files: what was confirmed is there once and in order, or was counted out.
    #[test]
    fn nothing_is_lost_or_reordered(
        batches in proptest::collection::vec(proptest::collection::vec(0_usize..40, 1..6), 1..20),
        size in 1_u64..120,
        keep in 0_usize..4,
    ) {
        let (_folder, path) = place();
        let counters = Arc::default();
        let policy = Policy { sync: Sync::Never, size, keep };
        let mut file = Rotating::open(&path, policy, Link::default(), Arc::clone(&counters)).unwrap();
        let mut written = Vec::new();
        for batch in batches {
            let lines: Vec<_> =
                batch.iter().map(|width| format!("{{\"n\":{},\"x\":\"{}\"}}", written.len(), "x".repeat(*width))).collect();
            written.extend(lines.iter().cloned());
            file.write(format!("{}\n", lines.join("\n")).as_bytes()).unwrap();
        }
        // From the highest number, the oldest, to the current file.
        let files = contents(&path);
        let kept: Vec<_> = files.iter().rev().flat_map(|(_, lines)| lines.clone()).collect();
        proptest::prop_assert!(files.len() <= keep + 1);
        proptest::prop_assert_eq!(counters.read().rotated_out as usize + kept.len(), written.len());
        proptest::prop_assert_eq!(&written[written.len() - kept.len()..], &kept[..]);
    }
}
