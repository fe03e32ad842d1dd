//! A broker made of frames, and an engine that keeps what it is given.

use std::time::Duration;

use bytes::BufMut;
use engine::config::{Check, EventTemplate, Spanned};
use engine::delivery::{Inbox, Ledger, Recall, Receipt, Undecodable};
use engine::metric::{Link, Page};
use engine::port::{Shutdown, SourceError, Stop, SystemClock, Trigger};
use engine::registry::{Setup, SourceCommon, SourceKind as _};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::amqp::Amqp;
use crate::amqp::wire::tests::frame;
use crate::given::{Given, Keep, soon};

/// Everything that a broker answers until messages come, each a method's class, number and arguments.
const WELCOME: [(u16, &[u8]); 8] = [
    (0, b"\0\x0a\0\x0a\0\x09\0\0\0\0\0\0\0\x05PLAIN\0\0\0\0"),
    (0, b"\0\x0a\0\x1e\0\0\0\x02\0\0\0\x3c"),
    (0, b"\0\x0a\0\x29\0"),
    (1, b"\0\x14\0\x0b\0\0\0\0"),
    (2, b"\0\x14\0\x0b\0\0\0\0"),
    (1, b"\0\x32\0\x0b\x01q\0\0\0\0\0\0\0\0"),
    (1, b"\0\x3c\0\x0b"),
    (1, b"\0\x3c\0\x15\x08tidemill"),
];

/// A broker without behaviour of its own.
pub(super) struct Broker {
    listener: TcpListener,
}

impl Broker {
    pub(super) async fn start() -> Broker {
        Broker { listener: TcpListener::bind("127.0.0.1:0").await.unwrap() }
    }

    /// The next connection, up to where messages come.
    pub(super) async fn accept(&self) -> Peer {
        let (mut stream, _) = soon(self.listener.accept()).await.unwrap();
        let mut greeting = [0; 8];
        soon(stream.read_exact(&mut greeting)).await.unwrap();
        assert_eq!(&greeting, b"AMQP\0\0\x09\x01");
        let mut peer = Peer { stream };
        for (channel, method) in WELCOME {
            peer.send(&frame(1, channel, method)).await;
        }
        while peer.said().await.as_deref() != Some("60.20") {}
        peer
    }
}

/// The broker's end of a connection.
pub(super) struct Peer {
    stream: TcpStream,
}

impl Peer {
    pub(super) async fn send(&mut self, bytes: &[u8]) {
        soon(self.stream.write_all(bytes)).await.unwrap();
    }

    /// Delivers a message whose payload is its tag, with a routing key.
    pub(super) async fn deliver_to(&mut self, tag: u64, routing_key: &[u8]) {
        let mut method = b"\0\x3c\0\x3c\x08tidemill".to_vec();
        method.put_u64(tag);
        method.extend([0, 0, routing_key.len() as u8]);
        method.extend(routing_key);
        let payload = tag.to_string();
        let mut header = b"\0\x3c\0\0".to_vec();
        header.put_u64(payload.len() as u64);
        header.extend([0, 0]);
        let frames = [frame(1, 1, &method), frame(2, 1, &header), frame(3, 1, payload.as_bytes())].concat();
        self.send(&frames).await;
    }

    pub(super) async fn deliver(&mut self, tags: std::ops::RangeInclusive<u64>) {
        for tag in tags {
            self.deliver_to(tag, b"q").await;
        }
    }

    /// The next thing that the source says to its consuming channel or the connection; nothing at the end of the stream.
    pub(super) async fn said(&mut self) -> Option<String> {
        loop {
            let mut head = [0; 7];
            soon(self.stream.read_exact(&mut head)).await.ok()?;
            let size = u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize;
            let mut payload = vec![0; size + 1];
            soon(self.stream.read_exact(&mut payload)).await.ok()?;
            // Heartbeats, and the channel that looks.
            if head[0] != 1 || head[2] == 2 {
                continue;
            }
            let tag = |flags: &str| {
                let tag = u64::from_be_bytes(payload[4..12].try_into().unwrap());
                format!("{flags} {tag}")
            };
            return Some(match (payload[1], payload[3]) {
                (60, 80) if payload[12] == 1 => tag("ack through"),
                (60, 80) => tag("ack"),
                (60, 90) => tag("reject"),
                (60, 120) => tag("requeue"),
                (60, 30) => "cancel".to_owned(),
                (10, 50) => "close".to_owned(),
                (class, number) => format!("{class}.{number}"),
            });
        }
    }

    /// The next so many things that are said.
    pub(super) async fn says(&mut self, count: usize) -> Vec<String> {
        let mut said = Vec::new();
        while said.len() < count {
            said.push(self.said().await.expect("the source goes on"));
        }
        said
    }

    /// Takes the goodbye and answers it; what was said before it.
    pub(super) async fn goodbye(&mut self) -> Vec<String> {
        let mut said = Vec::new();
        loop {
            match self.said().await.expect("a goodbye") {
                close if close == "close" => break,
                other => said.push(other),
            }
        }
        self.send(&frame(1, 0, b"\0\x0a\0\x33")).await;
        said
    }
}

/// A running source and what it has handed over.
pub(super) struct Engine {
    given: mpsc::Receiver<Given>,
    wishes: mpsc::Receiver<Recall>,
    pub(super) ledger: Ledger,
    pub(super) link: Link,
    stop: Trigger,
    run: JoinHandle<Result<(), SourceError>>,
}

impl Engine {
    /// Runs a source with `seats` seats and these options besides `url` and `queue`.
    pub(super) fn start(broker: &Broker, seats: usize, options: &Value) -> Engine {
        let url = format!("amqp://{}", broker.listener.local_addr().unwrap());
        let mut typed = json!({ "url": url, "queue": "q" });
        typed.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
        let (link, ledger) = (Link::default(), Ledger::default());
        let setup = Setup {
            name: "fleet".into(),
            instance: "i1".into(),
            seats,
            state: None,
            clock: std::sync::Arc::new(SystemClock),
            link: link.clone(),
            page: Page::default(),
        };
        let name = Spanned { value: "fleet".into(), ..Spanned::default() };
        let common = SourceCommon { name, ack: None, event: EventTemplate::default(), seats };
        let mut check = Check::default();
        let plan = Amqp.check(serde_json::from_value(typed).unwrap(), &common, &mut check);
        let mut source = plan.unwrap_or_else(|| panic!("{:?}", check.finish())).open(setup).unwrap();
        let (keep, given, wishes) = Keep::new();
        let inbox = Inbox::new(seats, ledger.clone(), Box::new(keep));
        let (stop, shutdown) = Shutdown::channel();
        let run = tokio::spawn(async move { source.run(inbox, shutdown).await });
        Engine { given, wishes, ledger, link, stop, run }
    }

    /// The next event's payload and the right to settle it.
    pub(super) async fn event(&mut self) -> (String, Receipt) {
        let (event, receipt) = soon(self.given.recv()).await.expect("the source ended").event();
        (String::from_utf8_lossy(event.data().map_or(&[], |data| data)).into_owned(), receipt)
    }

    /// The right to settle each of the next events.
    pub(super) async fn receipts(&mut self, count: usize) -> Vec<Receipt> {
        let mut receipts = Vec::new();
        while receipts.len() < count {
            receipts.push(self.event().await.1);
        }
        receipts
    }

    /// What the source wants back next.
    pub(super) async fn wish(&mut self) -> Recall {
        soon(self.wishes.recv()).await.expect("the source ended")
    }

    /// The next message that was no event.
    pub(super) async fn undecodable(&mut self) -> (Undecodable, Receipt) {
        soon(self.given.recv()).await.expect("the source ended").undecodable()
    }

    /// Looks until there is something to see.
    pub(super) async fn until<T>(&self, mut look: impl FnMut() -> Option<T>) -> T {
        soon(async {
            loop {
                if let Some(seen) = look() {
                    return seen;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await
    }

    /// Asks for the end.
    pub(super) fn end(&self) {
        self.stop.stop(Stop::Keep);
    }

    /// Waits for the end of the run, with balanced books.
    pub(super) async fn ended(self) {
        soon(self.run).await.unwrap().unwrap();
        let books = self.ledger.read();
        assert!(books.balance() && books.in_flight == 0, "{books:?}");
    }
}
