//! Records: their format, their batches and order, and that nothing settles before its record is written.

use std::sync::mpsc as threads;

use futures_util::FutureExt;

use super::*;
use crate::dispatch::testing::Client;
use crate::event::Name;
use crate::fake::{Bin, Desk, Wall, event, settle_down, undecodable};
use crate::journal::{Error, Sink};

fn rejected(event: Event) -> Rejected {
    Rejected {
        reason: DropReason::Exhausted,
        rule: "t/r".into(),
        function: Some("f".into()),
        attempts: 5,
        message: "it said \"no\"".to_owned(),
        event,
    }
}

fn line(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_delivery_is_kept_with_its_payload_byte_for_byte() {
    let payload = r#"{"speed":1.10,"big":12345678901234567890123}"#;
    let mut kept = event("1").with_data(payload.into(), Some("application/json".into()));
    kept = kept.with_extension(Name::new("partitionkey").unwrap(), "v1");
    let expected = r#"{"time":"2023-11-14T22:13:20.123Z","reason":"exhausted","rule":"t/r","function":"f","attempts":5,"message":"it said \"no\"","event":{"specversion":"1.0","id":"1","source":"/fake","type":"fake","datacontenttype":"application/json","partitionkey":"v1","data":{"speed":1.10,"big":12345678901234567890123}}}"#;
    assert_eq!(line(record::delivery(Wall.now(), &rejected(kept))), expected);
}

#[test]
fn a_payload_that_is_not_json_survives_too() {
    for payload in [&b"{\"a\":\n1}"[..], b"\xff\x00", b"{\"broken\":"] {
        let kept = event("1").with_data(payload.to_vec().into(), Some("application/json".into()));
        let text = line(record::delivery(Wall.now(), &rejected(kept.clone())));
        assert!(!text.contains('\n'), "{text}");
        let tree: serde_json::Value = serde_json::from_str(&text).unwrap();
        let back = crate::event::json::decode(&tree["event"].to_string().into()).unwrap();
        assert_eq!(back, kept);
    }
}

#[test]
fn a_rule_without_a_function_says_so() {
    let kept = Rejected { function: None, reason: DropReason::Rejected, ..rejected(event("1")) };
    let tree: serde_json::Value = serde_json::from_slice(&record::delivery(Wall.now(), &kept)).unwrap();
    assert_eq!((&tree["function"], &tree["reason"]), (&serde_json::Value::Null, &"rejected".into()));
}

#[test]
fn a_message_that_is_no_event_is_kept_raw() {
    let message = Undecodable {
        raw: (&b"\xff\x00{"[..]).into(),
        reason: "not UTF-8".to_owned(),
        facts: vec![("topic".into(), "v1/\"a\"".into()), ("qos".into(), "1".into())],
    };
    let expected = r#"{"time":"2023-11-14T22:13:20.123Z","reason":"undecodable","source":"fleet","message":"not UTF-8","facts":{"qos":"1","topic":"v1/\"a\""},"raw":"/wB7"}"#;
    assert_eq!(line(record::undecodable(Wall.now(), "fleet", &message)), expected);
}

/// A disk that a test commands: it hands over what is written and waits for the answer.
struct Disk {
    writes: mpsc::Sender<String>,
    answers: threads::Receiver<bool>,
}

impl Sink for Disk {
    fn write(&mut self, lines: &[u8]) -> Result<(), Error> {
        let text = String::from_utf8(lines.to_vec()).unwrap();
        self.writes.blocking_send(text).unwrap();
        match self.answers.recv() {
            Ok(true) => Ok(()),
            _ => Err(Error::io("write to", &"fake".into(), std::io::Error::other("no space left"))),
        }
    }
}

struct Commanded {
    rejects: Rejects,
    task: JoinHandle<()>,
    link: Link,
    writes: mpsc::Receiver<String>,
    answers: threads::Sender<bool>,
}

fn commanded() -> Commanded {
    let (sent, writes) = mpsc::channel(64);
    let (answers, received) = threads::channel();
    let link = Link::default();
    let journal = Journal::on(Box::new(Disk { writes: sent, answers: received }));
    let (rejects, task) = Rejects::start(journal, Arc::new(Wall), link.clone());
    Commanded { rejects, task, link, writes, answers }
}

impl Commanded {
    /// What the disk was told to write next, by the records' event or raw text.
    async fn written(&mut self) -> Vec<String> {
        let text = self.writes.recv().await.unwrap();
        let record = |line: &str| {
            let record: serde_json::Value = serde_json::from_str(line).unwrap();
            record["event"]["id"].as_str().or(record["raw"].as_str()).unwrap().to_owned()
        };
        text.lines().map(record).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn a_failing_disk_holds_its_messages_and_is_tried_again() {
    let (mut disk, mut desk, mut client) = (commanded(), Desk::new(4), Client::new(Duration::from_secs(1)));
    let unsettled = disk.rejects.unsettled();
    let (caller, key) = client.owner();
    disk.rejects.delivery(&rejected(event("1")), caller, key);
    let receipt = desk.receipts(1).await.remove(0);
    disk.rejects.undecodable("s", &undecodable("oh"), receipt);
    for _ in 0..3 {
        assert_eq!(disk.written().await, ["1", "b2g="], "the same records in the same order");
        assert!(client.is_silent() && desk.settled_now().is_empty());
        assert_eq!(unsettled.count(), 1);
        disk.answers.send(false).unwrap();
    }
    assert_eq!(disk.written().await, ["1", "b2g="]);
    assert_eq!(disk.link.read().last_error.as_deref(), Some("cannot write to 'fake': no space left"));
    disk.answers.send(true).unwrap();
    assert_eq!(client.kept().await, [1]);
    assert_eq!(desk.settled(1).await, [Outcome::Reject]);
    assert_eq!(unsettled.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn records_that_arrive_meanwhile_are_written_as_one_batch_in_order() {
    let (mut disk, mut client, mut other) =
        (commanded(), Client::new(Duration::from_secs(1)), Client::new(Duration::from_secs(1)));
    let keep = |client: &mut Client, id: &str| {
        let (caller, key) = client.owner();
        disk.rejects.delivery(&rejected(event(id)), caller, key);
    };
    keep(&mut client, "1");
    settle_down().await;
    for id in ["2", "3"] {
        keep(&mut client, id);
    }
    keep(&mut other, "4");
    keep(&mut client, "5");
    assert_eq!(disk.written().await, ["1"]);
    disk.answers.send(true).unwrap();
    assert_eq!(client.kept().await, [1]);
    assert_eq!(disk.written().await, ["2", "3", "4", "5"]);
    assert!(client.is_silent() && other.is_silent());
    disk.answers.send(true).unwrap();
    assert_eq!((client.kept().await, other.kept().await, client.kept().await), (vec![2, 3], vec![1], vec![4]));
}

#[tokio::test(start_paused = true)]
async fn the_writing_task_ends_after_its_last_record() {
    let bin = Bin::open();
    let mut desk = Desk::new(1);
    let receipt = desk.receipts(1).await.remove(0);
    bin.rejects.undecodable("s", &undecodable("oh"), receipt);
    let Bin { rejects, task, .. } = bin;
    drop(rejects);
    task.await.unwrap();
    assert_eq!(desk.settled_now(), [Outcome::Reject]);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_written_any_more_goes_back_to_its_source() {
    let (disk, mut desk) = (commanded(), Desk::new(2));
    let mut receipts = desk.receipts(2).await;
    disk.rejects.undecodable("s", &undecodable("oh"), receipts.remove(0));
    settle_down().await;
    disk.task.abort();
    assert!(disk.task.await.unwrap_err().is_cancelled());
    disk.rejects.undecodable("s", &undecodable("oh"), receipts.remove(0));
    let retry = Outcome::Retry { after: Duration::ZERO };
    assert_eq!(desk.settled(2).now_or_never(), Some(vec![retry; 2]));
}
