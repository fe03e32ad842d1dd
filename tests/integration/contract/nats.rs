//! NATS: a stream with its durable consumer, and a core subject, which nobody keeps anything of.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use engine::metric::Link;
use serde_json::{Value, json};
use testkit::nats::{Config, Peer};
use testkit::patience::{RETRY, within};
use testkit::proxy::Proxy;

use super::case::{Cannot, Case, Declared};
use super::outlet::{self, Outlet};
use super::rig::{self, Opened};
use super::{Broker, Haste, PASSWORD, SECRET, USER, Wish};

const OVERSIZE: Cannot =
    Cannot::Meaningless("nats: the server takes nothing above its max_payload, so that nothing larger comes");
const MISSING: Cannot = Cannot::Meaningless("a topic or subject is a word in a message: none can be missing");
const NOBODY: Cannot =
    Cannot::Meaningless("core nats: what was delivered is gone from the server, and nothing is acknowledged");

pub(super) static STREAM_SOURCE: Declared = Declared { name: "jetstream", cannot: &[(Case::Oversize, OVERSIZE)] };
pub(super) static STREAM_OUTPUT: Declared = Declared { name: "jetstream", cannot: &[] };
pub(super) static CORE_SOURCE: Declared = Declared {
    name: "core nats",
    cannot: &[
        (
            Case::Seats,
            Cannot::Tried("core nats: the server pushes; what comes beyond twice the seats is dropped and counted"),
        ),
        (Case::Unacknowledged, NOBODY),
        (Case::HandBack, NOBODY),
        (Case::Drain, NOBODY),
        (Case::Lease, NOBODY),
        (Case::Oversize, OVERSIZE),
        (Case::Missing, MISSING),
    ],
};
pub(super) static CORE_OUTPUT: Declared = Declared {
    name: "core nats",
    cannot: &[
        (Case::Missing, MISSING),
        (Case::Unacknowledged, Cannot::Tried("core nats: nobody answers; an event is confirmed once it was written")),
    ],
};

/// How NATS is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    Stream,
    Core,
}

/// A nats-server and its network.
pub(super) struct Nats {
    how: Use,
    haste: Haste,
    server: testkit::nats::Nats,
    network: Proxy,
    /// Who listens on the core subject of a case, and what has come so far.
    listener: Option<(String, Peer)>,
    heard: Vec<Vec<u8>>,
}

impl Nats {
    pub(super) async fn start(how: Use) -> Nats {
        let server = testkit::nats::Nats::start(Config::new().user(USER, PASSWORD).line("max_payload: 8MB")).await;
        let network = Proxy::start(server.address()).await;
        Nats { how, haste: Haste::default(), server, network, listener: None, heard: Vec::new() }
    }

    fn typed(&self, password: &str) -> Value {
        let keep_alive = if self.haste.signs { "5s" } else { "60s" };
        let url = format!("nats://{}", self.network.address());
        json!({ "url": url, "user": USER, "password": password, "keepAlive": keep_alive })
    }

    async fn listen(&mut self, subject: &str) {
        let mut peer = self.server.peer().await;
        peer.subscribe(subject).await;
        self.listener = Some((subject.to_owned(), peer));
    }
}

impl Broker for Nats {
    fn source_declared(&self) -> Option<&'static Declared> {
        Some(if self.how == Use::Stream { &STREAM_SOURCE } else { &CORE_SOURCE })
    }
    fn output_declared(&self) -> Option<&'static Declared> {
        Some(if self.how == Use::Stream { &STREAM_OUTPUT } else { &CORE_OUTPUT })
    }
    fn network(&self) -> &Proxy {
        &self.network
    }
    async fn stop(&mut self) {
        self.server.stop().await;
    }
    async fn restart(&mut self) {
        // Nobody may publish before the one who listens is back.
        self.network.leave().await;
        self.server.restart().await;
        if let Some((subject, _)) = self.listener.take() {
            self.listen(&subject).await;
        }
        self.network.come_back().await;
    }
    async fn create(&mut self, object: &str) {
        match self.how {
            Use::Core => {
                self.heard.clear();
                self.listen(object).await;
            }
            Use::Stream => {
                let mut peer = self.server.peer().await;
                peer.stream(object, &[object]).await;
                let ack_wait = if self.haste.lease { ACK_WAIT } else { 60_000_000_000 };
                peer.consumer(object, object, json!({ "ack_wait": ack_wait, "max_ack_pending": 10_000 })).await;
            }
        }
    }
    async fn put(&mut self, object: &str, payloads: Vec<Vec<u8>>) {
        let mut peer = self.server.peer().await;
        for payload in payloads {
            match self.how {
                Use::Stream => {
                    peer.store(object, b"", &payload).await;
                }
                Use::Core => peer.publish(object, b"", &payload).await,
            }
        }
        peer.flush().await;
    }
    async fn held(&mut self, object: &str) -> usize {
        assert_eq!(self.how, Use::Stream, "nobody holds anything of a core subject");
        let info = self.server.peer().await.consumer_info(object, object).await;
        // Not what it counts as pending: a message that was handed back and comes again can be in both of its figures.
        let stream = self.server.peer().await.api(&format!("STREAM.INFO.{object}"), &Value::Null).await;
        let place = |of: &Value| of.as_u64().unwrap_or_else(|| panic!("{info} {stream}")) as usize;
        place(&stream["state"]["last_seq"]) - place(&info["ack_floor"]["stream_seq"])
    }
    fn source(&self, object: &str, wish: Wish) -> Opened {
        let mut typed = self.typed(wish.password());
        typed["subjects"] = json!([object]);
        if self.how == Use::Stream {
            typed["stream"] = object.into();
            typed["durable"] = object.into();
        }
        rig::open(&connectors::nats::Nats, object, wish.seats, typed)
    }
    fn output(&self, object: &str, wrong: bool) -> Outlet {
        let mut typed = self.typed(if wrong { SECRET } else { PASSWORD });
        typed["subject"] = object.into();
        typed["jetstream"] = (self.how == Use::Stream).into();
        typed["timeout"] = if self.haste.signs { "10s" } else { "60s" }.into();
        outlet::open(&bindings::nats::Nats, object, typed)
    }
    async fn read(&mut self, object: &str, count: usize) -> Vec<Vec<u8>> {
        match (self.how, &mut self.listener) {
            (Use::Stream, _) => stored(&mut self.server.peer().await, object, count).await,
            (Use::Core, Some((subject, peer))) => {
                assert_eq!(subject, object);
                while self.heard.len() < count {
                    self.heard.push(peer.delivery().await.payload);
                }
                self.heard.clone()
            }
            (Use::Core, None) => panic!("nobody listens on '{object}'"),
        }
    }
    fn hurry(&mut self, haste: Haste) {
        self.haste = haste;
    }
    fn refusal(&self) -> &'static str {
        "correct user"
    }
    fn forgets(&self) -> bool {
        self.how == Use::Core
    }
    async fn outlive_lease(&mut self, _: &Link) {
        waited(&mut self.server.peer().await).await;
    }
}

/// How long the server waits for an acknowledgement where that is to end soon, in nanoseconds.
const ACK_WAIT: u64 = 2_000_000_000;

/// Waits until a stream has so many messages, and answers all of them.
async fn stored(peer: &mut Peer, stream: &str, count: usize) -> Vec<Vec<u8>> {
    let state = within("messages in the stream", async {
        loop {
            let info = peer.api(&format!("STREAM.INFO.{stream}"), &Value::Null).await;
            if info["state"]["messages"].as_u64() >= Some(count as u64) {
                return info["state"].clone();
            }
            tokio::time::sleep(RETRY).await;
        }
    });
    let last = state.await["last_seq"].as_u64().expect("a sequence");
    let mut payloads = Vec::new();
    for sequence in 1..=last {
        let got = peer.api(&format!("STREAM.MSG.GET.{stream}"), &json!({ "seq": sequence })).await;
        let data = got["message"]["data"].as_str().unwrap_or_else(|| panic!("{got}"));
        payloads.push(STANDARD.decode(data).expect("the API answers in base 64"));
    }
    payloads
}

/// Waits as long as the server itself takes to lose patience twice: until it has delivered a message three times that a
/// consumer with that patience does not acknowledge.
async fn waited(peer: &mut Peer) {
    let probe = super::fresh();
    peer.stream(&probe, &[&probe]).await;
    peer.consumer(&probe, &probe, json!({ "ack_wait": ACK_WAIT })).await;
    peer.store(&probe, b"", b"").await;
    peer.subscribe("pulled").await;
    let request = "{\"batch\":3,\"expires\":170000000000}";
    peer.request(&format!("$JS.API.CONSUMER.MSG.NEXT.{probe}.{probe}"), "pulled", request.as_bytes()).await;
    for _ in 0..3 {
        assert_eq!(peer.delivery().await.subject, probe);
    }
}
