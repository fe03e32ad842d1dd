//! A broker made of sentences, and an engine that keeps what it is given.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use engine::config::{Check, EventTemplate, Spanned};
use engine::delivery::{Inbox, Ledger, Outcome, Receipt, Undecodable};
use engine::event::Event;
use engine::metric::{Link, Page};
use engine::port::{Shutdown, SourceError, Stop, SystemClock, Trigger};
use engine::registry::{Setup, SourceCommon, SourceKind as _};
use mqtt5::mqttbytes::QoS;
use mqtt5::mqttbytes::v5;
use mqtt311::mqttbytes::v4;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::given::{Given, Keep, soon};
use crate::mqtt::Mqtt;

/// A broker without behaviour of its own.
pub(super) struct Broker {
    listener: TcpListener,
}

impl Broker {
    pub(super) async fn start() -> Broker {
        Broker { listener: TcpListener::bind("127.0.0.1:0").await.unwrap() }
    }

    /// A broker on a listener that is there already.
    pub(super) fn on(listener: TcpListener) -> Broker {
        Broker { listener }
    }

    pub(super) fn url(&self) -> String {
        format!("mqtt://{}", self.listener.local_addr().unwrap())
    }

    /// The next connection.
    pub(super) async fn accept(&self) -> Peer {
        let (stream, _) = soon(self.listener.accept()).await.unwrap();
        Peer { stream, input: BytesMut::new(), version: 5 }
    }

    /// The next connection, greeted and subscribed.
    pub(super) async fn welcome(&self, session_present: bool) -> Peer {
        let mut peer = self.accept().await;
        peer.greet(session_present).await;
        let subscribe = peer.read().await;
        assert!(matches!(subscribe, v5::Packet::Subscribe(_)), "{subscribe:?}");
        peer.grant(1).await;
        peer
    }
}

/// The broker's end of a connection.
pub(super) struct Peer {
    stream: TcpStream,
    input: BytesMut,
    pub(super) version: u8,
}

impl Peer {
    /// Reads the greeting and answers it well.
    pub(super) async fn greet(&mut self, session_present: bool) -> v5::Connect {
        let v5::Packet::Connect(connect, _, _) = self.read().await else { panic!("no greeting") };
        self.welcome(session_present).await;
        connect
    }

    pub(super) async fn welcome(&mut self, session_present: bool) {
        let code = v5::ConnectReturnCode::Success;
        self.write(&v5::Packet::ConnAck(v5::ConnAck { session_present, code, properties: None })).await;
    }

    /// Grants a subscription of `filters` filters.
    pub(super) async fn grant(&mut self, filters: usize) {
        let return_codes = vec![v5::SubscribeReasonCode::Success(QoS::AtLeastOnce); filters];
        self.write(&v5::Packet::SubAck(v5::SubAck { pkid: 1, return_codes, properties: None })).await;
    }

    /// The next packet other than a ping; `None` at the end of the stream.
    pub(super) async fn next(&mut self) -> Option<v5::Packet> {
        loop {
            match v5::Packet::read(&mut self.input, None) {
                Ok(v5::Packet::PingReq) => self.send(b"\xd0\x00").await,
                Ok(packet) => return Some(packet),
                Err(mqtt5::mqttbytes::Error::InsufficientBytes(_)) => {
                    if soon(self.stream.read_buf(&mut self.input)).await.unwrap_or(0) == 0 {
                        return None;
                    }
                }
                Err(other) => panic!("{other}"),
            }
        }
    }

    pub(super) async fn read(&mut self) -> v5::Packet {
        self.next().await.expect("a packet")
    }

    /// The next packet of MQTT 3.1.1, pings included.
    pub(super) async fn read_311(&mut self) -> Option<v4::Packet> {
        loop {
            match v4::Packet::read(&mut self.input, usize::MAX) {
                Ok(packet) => return Some(packet),
                Err(mqtt311::mqttbytes::Error::InsufficientBytes(_)) => {
                    if soon(self.stream.read_buf(&mut self.input)).await.unwrap_or(0) == 0 {
                        return None;
                    }
                }
                Err(other) => panic!("{other}"),
            }
        }
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) {
        soon(self.stream.write_all(bytes)).await.unwrap();
    }

    /// Writes as much of `bytes` as the client takes without reading; answers how much.
    pub(super) fn try_send(&mut self, bytes: &[u8]) -> usize {
        self.stream.try_write(bytes).unwrap_or(0)
    }

    /// Dies: what the client writes from now on fails.
    pub(super) fn reset(self) {
        self.stream.set_zero_linger().unwrap();
    }

    pub(super) async fn write(&mut self, packet: &v5::Packet) {
        let mut out = BytesMut::new();
        packet.write(&mut out, None).unwrap();
        self.send(&out).await;
    }

    pub(super) async fn publish(&mut self, packet: u16, topic: &str, payload: &str) {
        let bytes = publication(self.version, packet, topic, payload.as_bytes());
        self.send(&bytes).await;
    }

    /// The packet identifiers of the next `count` acknowledgements.
    pub(super) async fn acks(&mut self, count: usize) -> Vec<u16> {
        let mut acks = Vec::new();
        while acks.len() < count {
            match self.read().await {
                v5::Packet::PubAck(ack) => acks.push(ack.pkid),
                other => panic!("{other:?}"),
            }
        }
        acks
    }
}

/// A PUBLISH; packet identifier 0 stands for quality of service 0.
pub(super) fn publication(version: u8, packet: u16, topic: &str, payload: &[u8]) -> BytesMut {
    let mut out = BytesMut::new();
    let quality = if packet == 0 { QoS::AtMostOnce } else { QoS::AtLeastOnce };
    if version == 5 {
        let mut publish = v5::Publish::new(topic, quality, payload.to_vec(), None);
        publish.pkid = packet;
        v5::Packet::Publish(publish).write(&mut out, None).unwrap();
    } else {
        let mut publish = v4::Publish::new(topic, quality, payload.to_vec());
        publish.pkid = packet;
        v4::Packet::Publish(publish).write(&mut out, usize::MAX).unwrap();
    }
    out
}

/// A running source and what it has handed over.
pub(super) struct Engine {
    pub(super) given: mpsc::Receiver<Given>,
    pub(super) ledger: Ledger,
    pub(super) link: Link,
    pub(super) stop: Trigger,
    pub(super) run: JoinHandle<Result<(), SourceError>>,
    /// Where the state is.
    pub(super) folder: Arc<tempfile::TempDir>,
}

impl Engine {
    /// Runs a source with `seats` seats and these options besides `url` and `topics`.
    pub(super) fn start(broker: &Broker, seats: usize, options: &Value) -> Engine {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        Engine::again(broker, seats, options, folder)
    }

    /// The same with the state of an earlier run.
    pub(super) fn again(broker: &Broker, seats: usize, options: &Value, folder: Arc<tempfile::TempDir>) -> Engine {
        let mut typed = json!({ "url": broker.url(), "topics": ["v1/{vehicle}"] });
        typed.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
        let (link, ledger) = (Link::default(), Ledger::default());
        let setup = Setup {
            name: "fleet".into(),
            instance: "i1".into(),
            seats,
            state: Some(folder.path().into()),
            clock: Arc::new(SystemClock),
            link: link.clone(),
            page: Page::default(),
        };
        let common = SourceCommon {
            name: Spanned { value: "fleet".into(), ..Spanned::default() },
            ack: None,
            event: EventTemplate::default(),
            seats,
        };
        let mut check = Check::default();
        let plan = Mqtt.check(serde_json::from_value(typed).unwrap(), &common, &mut check);
        let mut source = plan.unwrap_or_else(|| panic!("{:?}", check.finish())).open(setup).unwrap();
        let (keep, given, _) = Keep::new();
        let inbox = Inbox::new(seats, ledger.clone(), Box::new(keep));
        let (stop, shutdown) = Shutdown::channel();
        let run = tokio::spawn(async move { source.run(inbox, shutdown).await });
        Engine { given, ledger, link, stop, run, folder }
    }

    /// The next event and the right to settle it.
    pub(super) async fn event(&mut self) -> (Event, Receipt) {
        soon(self.given.recv()).await.expect("the source ended").event()
    }

    /// The next message that was no event.
    pub(super) async fn undecodable(&mut self) -> (Undecodable, Receipt) {
        soon(self.given.recv()).await.expect("the source ended").undecodable()
    }

    /// Settles the next event well; answers its payload.
    pub(super) async fn accept(&mut self) -> String {
        let (event, receipt) = self.event().await;
        receipt.settle(Outcome::Ack);
        payload(&event)
    }

    /// The last error, once there is one that holds `part`.
    pub(super) async fn error(&self, part: &str) -> String {
        self.until(|| self.link.read().last_error.filter(|error| error.contains(part))).await
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
    pub(super) fn end(&self, stop: Stop) {
        self.stop.stop(stop);
    }

    /// How the run ended, with balanced books.
    pub(super) async fn ended(self) -> Result<(), SourceError> {
        let ended = soon(self.run).await.unwrap();
        let books = self.ledger.read();
        assert!(books.balance() && books.in_flight == 0, "{books:?}");
        ended
    }
}

pub(super) fn payload(event: &Event) -> String {
    String::from_utf8_lossy(event.data().map_or(&[], |data| data)).into_owned()
}
