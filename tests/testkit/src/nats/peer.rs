//! A client of a few lines that writes the protocol by hand, so that a test can send what no client library would, and
//! judges ours with nothing of it.

use std::collections::VecDeque;
use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::patience::within;

/// The subscription that answers come by; no test has so many of its own.
const ANSWERS: u64 = 1_000_000;

/// Messages that are stored before the first answer is waited for.
const PIPELINED: usize = 100;

/// One connection.
pub struct Peer {
    stream: BufReader<TcpStream>,
    /// Where answers come to.
    inbox: String,
    next: u64,
    /// What came while an answer was waited for.
    waiting: VecDeque<Delivery>,
}

/// A message as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivery {
    /// Its subject.
    pub subject: String,
    /// The block of headers, empty without one.
    pub headers: String,
    /// Its payload.
    pub payload: Vec<u8>,
}

impl Peer {
    /// Connects and waits until it is let in.
    pub async fn connect(address: SocketAddr, user: Option<(&str, &str)>) -> Self {
        let identity = user.map_or(json!({}), |(name, password)| json!({ "user": name, "pass": password }));
        Self::connect_as(address, identity).await
    }

    /// The same with anything else that says who it is, such as `jwt`.
    ///
    /// # Panics
    /// When that is no map.
    pub async fn connect_as(address: SocketAddr, identity: Value) -> Self {
        let stream = TcpStream::connect(address).await.expect("the server listens");
        stream.set_nodelay(true).expect("a TCP stream");
        let port = stream.local_addr().expect("a connected stream has an address").port();
        let inbox = format!("_INBOX.peer.{port}.");
        let mut peer = Self { stream: BufReader::new(stream), inbox, next: 0, waiting: VecDeque::new() };
        let mut hello = json!({ "verbose": false, "pedantic": false, "headers": true, "no_responders": true });
        let Value::Object(identity) = identity else { panic!("an identity is a map") };
        hello.as_object_mut().expect("it is a map").extend(identity);
        let answers = format!("SUB {}* {ANSWERS}", peer.inbox);
        peer.write(format!("CONNECT {hello}\r\n{answers}\r\nPING\r\n").as_bytes()).await;
        peer.pong().await;
        peer
    }

    /// Publishes without waiting for anything; `headers` is a whole block, as wrong as it may be.
    pub async fn publish(&mut self, subject: &str, headers: &[u8], payload: &[u8]) {
        self.send(subject, "", headers, payload).await;
    }

    /// Publishes, with answers going to `reply`.
    pub async fn request(&mut self, subject: &str, reply: &str, payload: &[u8]) {
        self.send(subject, reply, b"", payload).await;
    }

    /// Waits until the server has read everything that was published.
    pub async fn flush(&mut self) {
        self.write(b"PING\r\n").await;
        self.pong().await;
    }

    /// Publishes into a stream and waits until it is stored; tells its sequence.
    ///
    /// # Panics
    /// When no stream takes it.
    pub async fn store(&mut self, subject: &str, headers: &[u8], payload: &[u8]) -> u64 {
        let answer = self.ask(subject, headers, payload).await;
        sequence(subject, &answer)
    }

    /// Publishes subjects and payloads into a stream, and returns once all of them are stored.
    ///
    /// # Panics
    /// When no stream takes one.
    pub async fn store_all(&mut self, messages: impl IntoIterator<Item = (String, String)>) {
        let mut open = VecDeque::new();
        for (subject, payload) in messages {
            let reply = self.fresh();
            self.send(&subject, &reply, b"", payload.as_bytes()).await;
            open.push_back((subject, reply));
            if open.len() >= PIPELINED {
                self.stored(&mut open).await;
            }
        }
        while !open.is_empty() {
            self.stored(&mut open).await;
        }
    }

    async fn stored(&mut self, open: &mut VecDeque<(String, String)>) {
        if let Some((subject, reply)) = open.pop_front() {
            let answer = self.answer(&reply).await;
            sequence(&subject, &answer);
        }
    }

    /// Asks JetStream's API, such as `STREAM.INFO.X`, and returns what it answers.
    pub async fn api(&mut self, request: &str, payload: &Value) -> Value {
        let payload = if payload.is_null() { String::new() } else { payload.to_string() };
        let answer = self.ask(&format!("$JS.API.{request}"), b"", payload.as_bytes()).await;
        serde_json::from_slice(&answer.payload).expect("the API answers in JSON")
    }

    /// Makes a stream in files.
    pub async fn stream(&mut self, name: &str, subjects: &[&str]) {
        let config = json!({ "name": name, "subjects": subjects, "storage": "file", "retention": "limits" });
        let answer = self.api(&format!("STREAM.CREATE.{name}"), &config).await;
        assert!(answer["error"].is_null(), "stream '{name}' was not made: {answer}");
    }

    /// Makes a durable pull consumer with these settings on top of explicit acknowledgements.
    pub async fn consumer(&mut self, stream: &str, name: &str, settings: Value) {
        let mut config = json!({ "durable_name": name, "ack_policy": "explicit", "deliver_policy": "all" });
        let Value::Object(settings) = settings else { panic!("settings are a map") };
        config.as_object_mut().expect("it is a map").extend(settings);
        let request = json!({ "stream_name": stream, "config": config });
        let answer = self.api(&format!("CONSUMER.DURABLE.CREATE.{stream}.{name}"), &request).await;
        assert!(answer["error"].is_null(), "consumer '{name}' was not made: {answer}");
    }

    /// The state of a consumer.
    pub async fn consumer_info(&mut self, stream: &str, name: &str) -> Value {
        self.api(&format!("CONSUMER.INFO.{stream}.{name}"), &Value::Null).await
    }

    /// Receives what is published to `subject` from now on; tells the subscription's number.
    pub async fn subscribe(&mut self, subject: &str) -> u64 {
        self.next += 1;
        let sid = self.next;
        self.write(format!("SUB {subject} {sid}\r\n").as_bytes()).await;
        self.flush().await;
        sid
    }

    /// Receives everything that a stream keeps and will keep, in its order, on a connection of its own.
    pub async fn follow(&mut self, stream: &str) {
        let inbox = format!("follow.{stream}");
        self.subscribe(&inbox).await;
        let settings = json!({ "ack_policy": "none", "deliver_subject": inbox });
        self.consumer(stream, "follower", settings).await;
    }

    /// The next message, however long it takes to come.
    pub async fn next(&mut self) -> Delivery {
        match self.waiting.pop_front() {
            Some(delivery) => delivery,
            None => self.read().await,
        }
    }

    /// The next message of any subscription.
    pub async fn delivery(&mut self) -> Delivery {
        match self.waiting.pop_front() {
            Some(delivery) => delivery,
            None => within("a message", self.read()).await,
        }
    }

    async fn ask(&mut self, subject: &str, headers: &[u8], payload: &[u8]) -> Delivery {
        let reply = self.fresh();
        self.send(subject, &reply, headers, payload).await;
        self.answer(&reply).await
    }

    /// A place for one answer.
    fn fresh(&mut self) -> String {
        self.next += 1;
        format!("{}{}", self.inbox, self.next)
    }

    async fn answer(&mut self, reply: &str) -> Delivery {
        within("an answer", async {
            loop {
                let delivery = self.read().await;
                if delivery.subject == reply {
                    return delivery;
                }
                self.waiting.push_back(delivery);
            }
        })
        .await
    }

    async fn read(&mut self) -> Delivery {
        loop {
            if let Some(delivery) = self.frame().await {
                return delivery;
            }
        }
    }

    async fn send(&mut self, subject: &str, reply: &str, headers: &[u8], payload: &[u8]) {
        let total = headers.len() + payload.len();
        let line = match headers.len() {
            0 => format!("PUB {subject} {reply} {total}\r\n"),
            head => format!("HPUB {subject} {reply} {head} {total}\r\n"),
        };
        self.write(&[line.as_bytes(), headers, payload, b"\r\n"].concat()).await;
    }

    async fn write(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).await.expect("the server reads");
    }

    async fn pong(&mut self) {
        within("an answer to a ping", async {
            loop {
                let line = self.line().await;
                assert!(!line.starts_with("-ERR"), "{line}");
                if line == "PONG" {
                    return;
                }
                if let Some(delivery) = self.rest_of(&line).await {
                    self.waiting.push_back(delivery);
                }
            }
        })
        .await;
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        let read = self.stream.read_line(&mut line).await.expect("the server writes text");
        assert!(read > 0, "the server closed the connection");
        line.trim_end().to_owned()
    }

    async fn frame(&mut self) -> Option<Delivery> {
        let line = self.line().await;
        assert!(!line.starts_with("-ERR"), "{line}");
        self.rest_of(&line).await
    }

    /// What follows a line: a message, or an answer to the server's ping.
    async fn rest_of(&mut self, line: &str) -> Option<Delivery> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |word: &str| word.parse::<usize>().expect("a length");
        let (head, total) = match words.as_slice() {
            ["PING"] => {
                self.write(b"PONG\r\n").await;
                return None;
            }
            ["MSG", .., total] => (0, number(total)),
            ["HMSG", .., head, total] => (number(head), number(total)),
            _ => return None,
        };
        let mut bytes = vec![0; total + 2];
        self.stream.read_exact(&mut bytes).await.expect("a whole message");
        bytes.truncate(total);
        let payload = bytes.split_off(head);
        Some(Delivery { subject: words[1].to_owned(), headers: String::from_utf8_lossy(&bytes).into_owned(), payload })
    }
}

/// The place in its stream that an answer tells.
fn sequence(subject: &str, answer: &Delivery) -> u64 {
    let answer: Value = serde_json::from_slice(&answer.payload).unwrap_or_default();
    answer["seq"].as_u64().unwrap_or_else(|| panic!("'{subject}' is stored nowhere: {answer}"))
}
