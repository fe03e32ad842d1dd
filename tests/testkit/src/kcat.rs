//! kcat, an independent Kafka client: what it produced and what it reads back do not come from the code under test.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;

use crate::patience::{RETRY, within};
use crate::programs;

/// kcat against one broker, with options that every call has.
#[derive(Clone, Debug)]
pub struct Kcat {
    address: SocketAddr,
    options: Vec<String>,
}

/// A message as kcat reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Its key, if it has one.
    pub key: Option<String>,
    /// Its payload, if it has one.
    pub payload: Option<String>,
    /// Its headers in order.
    pub headers: Vec<(String, String)>,
}

impl Kcat {
    /// For the broker at the address.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self { address, options: Vec::new() }
    }

    /// One more property of the client, such as `security.protocol=ssl`.
    #[must_use]
    pub fn property(mut self, property: &str) -> Self {
        self.options.extend(["-X".to_owned(), property.to_owned()]);
        self
    }

    /// Produces each line as one message, each confirmed before this returns. `arguments` go to kcat, such as `-k key` or
    /// `-H name=value`.
    ///
    /// # Panics
    /// When kcat fails, with its words.
    pub async fn produce(&self, topic: &str, arguments: &[impl AsRef<OsStr>], lines: &[impl AsRef<str>]) {
        let mut command = self.command();
        command.args(["-P", "-t", topic, "-X", "acks=all"]).args(arguments);
        let lines: Vec<_> = lines.iter().map(AsRef::as_ref).collect();
        let mut input = lines.join("\n");
        input.push('\n');
        run(command, input.into_bytes()).await;
    }

    /// Produces one message from the bytes as they are, line breaks included.
    ///
    /// # Panics
    /// When kcat fails, with its words.
    pub async fn produce_bytes(&self, topic: &str, arguments: &[&str], payload: &[u8]) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("payload");
        std::fs::write(&path, payload).expect("a temporary folder is writable");
        let mut command = self.command();
        command.args(["-P", "-t", topic, "-X", "acks=all", "-X", "message.max.bytes=1000000000"]);
        command.args(arguments).arg(path);
        run(command, Vec::new()).await;
    }

    /// Everything that is in the topic now, by partition and offset.
    ///
    /// # Panics
    /// When kcat fails, with its words.
    pub async fn consume(&self, topic: &str) -> Vec<Record> {
        let mut command = self.command();
        command.args(["-C", "-t", topic, "-o", "beginning", "-e", "-q", "-J"]);
        let output = run(command, Vec::new()).await;
        let output = String::from_utf8_lossy(&output);
        let mut records: Vec<_> = output.lines().map(record).collect();
        records.sort_by_key(|record| (record.partition, record.offset));
        records
    }

    /// Headers and payload of everything that is in the topic now, whatever the bytes are; no header holds a comma.
    ///
    /// # Panics
    /// When kcat fails, with its words.
    pub async fn consume_bytes(&self, topic: &str) -> Vec<(Vec<(String, String)>, Vec<u8>)> {
        let mut command = self.command();
        command.args(["-C", "-t", topic, "-o", "beginning", "-e", "-q", "-f", "%h\n%S\n%s"]);
        let output = run(command, Vec::new()).await;
        let (mut rest, mut messages) = (output.as_slice(), Vec::new());
        while !rest.is_empty() {
            let headers = text_line(&mut rest);
            let headers = headers.split(',').filter_map(|header| header.split_once('='));
            let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            let size: usize = text_line(&mut rest).parse().expect("a size");
            let (payload, after) = rest.split_at(size);
            messages.push((headers, payload.to_vec()));
            rest = after;
        }
        messages
    }

    /// Shows `see` every payload of the topic, from its first on and for as long as the future is polled. Payloads hold no
    /// line breaks here.
    ///
    /// # Panics
    /// When kcat ends after it has read something.
    pub async fn follow(&self, topic: &str, mut see: impl FnMut(&str)) {
        let mut seen = false;
        while !seen {
            let mut command = self.command();
            command.args(["-C", "-t", topic, "-o", "beginning", "-q", "-u", "-f", "%s\n"]);
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
            let mut child = command.spawn().expect("kcat starts");
            let mut lines = BufReader::new(child.stdout.take().expect("the output is piped")).lines();
            while let Some(line) = lines.next_line().await.expect("payloads are text") {
                seen = true;
                see(&line);
            }
            // A topic that has just been made may not be known to the broker's other half yet.
            tokio::time::sleep(RETRY).await;
        }
        panic!("kcat stopped following {topic}");
    }

    fn command(&self) -> Command {
        let mut command = Command::new(programs::find("kcat", "kcat"));
        // It would wait five seconds for metadata, and end over a connection that is lost and comes back.
        command.args(["-m", "60", "-E", "-b", &self.address.to_string()]).args(&self.options);
        command
    }
}

/// One line of kcat's JSON.
fn record(line: &str) -> Record {
    let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("kcat wrote {line}: {error}"));
    let text = |name: &str| value[name].as_str().map(str::to_owned);
    let headers: Vec<String> = value["headers"]
        .as_array()
        .map(|list| list.iter().map(|part| part.as_str().unwrap_or_default().to_owned()).collect())
        .unwrap_or_default();
    Record {
        partition: i32::try_from(value["partition"].as_i64().expect("a partition")).expect("a small number"),
        offset: value["offset"].as_i64().expect("an offset"),
        key: text("key"),
        payload: text("payload"),
        headers: headers.chunks(2).map(|pair| (pair[0].clone(), pair.get(1).cloned().unwrap_or_default())).collect(),
    }
}

/// Takes a line off the front.
fn text_line(bytes: &mut &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == b'\n').expect("a line has an end");
    let line = String::from_utf8_lossy(&bytes[..end]).into_owned();
    *bytes = &bytes[end + 1..];
    line
}

async fn run(mut command: Command, input: Vec<u8>) -> Vec<u8> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().expect("kcat starts");
    let mut stdin = child.stdin.take().expect("the input is piped");
    let writing = tokio::spawn(async move {
        // A kcat that has failed closes its input, and its words say why.
        let _ = stdin.write_all(&input).await;
    });
    let output = within("kcat to end", child.wait_with_output()).await.expect("a child can be awaited");
    writing.await.expect("the writer does not panic");
    let errors = String::from_utf8_lossy(&output.stderr);
    // It is told (-E) to bear a connection that is lost and comes back; then a failed delivery is a word and no exit code.
    let well = output.status.success() && !errors.contains("Delivery failed");
    assert!(well, "kcat ended with {}: {errors}", output.status);
    output.stdout
}
