//! A source that runs, an engine that keeps what it is given, and clients that speak HTTP by hand.

use std::net::SocketAddr;
use std::sync::Arc;

use engine::config::{AckPoint, Check, EventTemplate, Spanned};
use engine::delivery::{Books, Inbox, Ledger, Receipt, Undecodable};
use engine::event::Event;
use engine::metric::{Link, Page};
use engine::port::{Shutdown, Source, SourceError, Stop, SystemClock, Trigger};
use engine::registry::{Setup, SourceCommon, SourceKind as _};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::given::{Given, Keep, soon};
use crate::http::Http;
use crate::http::tally::Tally;

/// The headers of a binary event.
pub(super) fn event(id: &str) -> [(&str, &str); 4] {
    [("ce-specversion", "1.0"), ("ce-id", id), ("ce-type", "t"), ("ce-source", "/s")]
}

/// A running source and the engine's end of it.
pub(super) struct Mill {
    given: mpsc::Receiver<Given>,
    pub(super) ledger: Ledger,
    stop: Trigger,
    task: JoinHandle<Result<(), SourceError>>,
    pub(super) address: SocketAddr,
    pub(super) tally: Arc<Tally>,
}

fn open(options: &str, ack: Option<&str>, link: &Link, page: &Page) -> Box<dyn Source> {
    let ack = ack.map(|ack| serde_json::from_value::<AckPoint>(ack.into()).unwrap());
    let common = SourceCommon {
        name: Spanned::new("hook".into(), Default::default()),
        ack: ack.map(|ack| Spanned::new(ack, Default::default())),
        event: EventTemplate::default(),
        seats: 4,
    };
    let mut check = Check::default();
    let plan = Http.check(serde_json::from_str(options).unwrap(), &common, &mut check);
    let plan = plan.unwrap_or_else(|| panic!("{:?}", check.finish()));
    let setup = Setup {
        name: "hook".into(),
        instance: "one".into(),
        seats: 4,
        state: None,
        clock: Arc::new(SystemClock),
        link: link.clone(),
        page: page.clone(),
    };
    plan.open(setup).unwrap()
}

impl Mill {
    pub(super) async fn start(options: &str, seats: usize) -> Mill {
        Mill::with(options, seats, None).await
    }

    /// Listens on the port of `options`, or on a free one where that is 0.
    pub(super) async fn with(options: &str, seats: usize, ack: Option<&str>) -> Mill {
        // Kept from everybody else until the source listens there.
        let kept = tokio::net::TcpSocket::new_v4().unwrap();
        kept.set_reuseaddr(true).unwrap();
        kept.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let free = kept.local_addr().unwrap();
        let options = options.replace("127.0.0.1:0", &free.to_string());
        let json: serde_json::Value = serde_json::from_str(&options).unwrap();
        let address = json["listen"].as_str().unwrap().parse().unwrap();
        let (link, page) = (Link::default(), Page::default());
        let mut source = open(&options, ack, &link, &page);
        let (keep, given, _) = Keep::new();
        let (stop, shutdown) = Shutdown::channel();
        let ledger = Ledger::default();
        let inbox = Inbox::new(seats, ledger.clone(), Box::new(keep));
        let task = tokio::spawn(async move { source.run(inbox, shutdown).await });
        soon(link.connects()).await;
        drop(kept);
        Mill { given, ledger, stop, task, address, tally: Tally::of(&page, &"hook".into()) }
    }

    /// How a run ends that nobody stops.
    pub(super) async fn run_once(options: &str) -> Result<(), SourceError> {
        let mut source = open(options, None, &Link::default(), &Page::default());
        let (keep, _given, _) = Keep::new();
        let (_stop, shutdown) = Shutdown::channel();
        soon(source.run(Inbox::new(1, Ledger::default(), Box::new(keep)), shutdown)).await
    }

    pub(super) async fn client(&self) -> Client {
        Client::connect(self.address).await
    }

    /// The next event.
    pub(super) async fn event(&mut self) -> (Event, Receipt) {
        soon(self.given.recv()).await.expect("the source runs").event()
    }

    /// The next message that is no event.
    pub(super) async fn undecodable(&mut self) -> (Undecodable, Receipt) {
        soon(self.given.recv()).await.expect("the source runs").undecodable()
    }

    /// Whether nothing was given that is not taken yet.
    pub(super) fn has_nothing(&mut self) -> bool {
        self.given.try_recv().is_err()
    }

    pub(super) fn books(&self) -> Books {
        let books = self.ledger.read();
        assert!(books.balance(), "{books:?}");
        books
    }

    /// Asks it to stop.
    pub(super) fn stop(&self) {
        self.stop.stop(Stop::Keep);
    }

    /// How it ended.
    pub(super) async fn ended(self) -> Result<(), SourceError> {
        soon(self.task).await.unwrap()
    }
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    headers: Vec<(String, String)>,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// One connection.
pub(super) struct Client {
    stream: TcpStream,
    input: Vec<u8>,
}

impl Client {
    pub(super) async fn connect(address: SocketAddr) -> Client {
        Client { stream: TcpStream::connect(address).await.unwrap(), input: Vec::new() }
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    pub(super) async fn post(&mut self, path: &str, headers: &[(&str, &str)], body: &[u8]) {
        let mut request = format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n", body.len()).into_bytes();
        for (name, value) in headers {
            request.extend(format!("{name}: {value}\r\n").into_bytes());
        }
        request.extend(b"\r\n");
        request.extend(body);
        self.send(&request).await;
    }

    /// The next answer on this connection.
    pub(super) async fn answer(&mut self) -> Answer {
        loop {
            if let Some(answer) = self.parse() {
                return answer;
            }
            let read = soon(self.stream.read_buf(&mut self.input)).await.unwrap();
            assert!(read > 0, "the connection ended within {:?}", String::from_utf8_lossy(&self.input));
        }
    }

    fn parse(&mut self) -> Option<Answer> {
        let end = self.input.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = String::from_utf8(self.input[..end].to_vec()).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: Vec<(String, String)> = lines
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let length = headers.iter().find(|(name, _)| name == "content-length").map_or(0, |(_, n)| n.parse().unwrap());
        let body = self.input.get(end + 4..end + 4 + length)?.to_vec();
        self.input.drain(..end + 4 + length);
        Some(Answer { status, headers, body: String::from_utf8(body).unwrap() })
    }

    /// Asserts that no answer has come, after everything that can happen by itself has happened.
    pub(super) async fn hears_nothing_yet(&mut self) {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        let mut byte = [0];
        let read = self.stream.try_read(&mut byte);
        assert!(read.is_err_and(|cause| cause.kind() == std::io::ErrorKind::WouldBlock));
    }

    /// Waits until the other end has closed the connection.
    pub(super) async fn is_closed(&mut self) -> bool {
        let mut rest = Vec::new();
        let read = soon(self.stream.read_to_end(&mut rest)).await;
        rest.is_empty() && self.input.is_empty() || read.is_err()
    }
}
