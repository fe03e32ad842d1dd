//! One contract for every source and every output, kept on the real broker.
//!
//! The cases are written once, as functions over a [`Broker`]; what a kind cannot do stands in its declaration with the
//! reason, and the documentation has the table of both. A source is driven through its port by a [`rig`], an output by an
//! [`outlet`]; between them and the broker is a proxy that knows no protocol, and judges are clients that have nothing to do
//! with ours. A kind's cases run one after the other, because they stop its broker and its network.

// The cases and the table.
mod case;
// An output on its port.
mod outlet;
// A source on its port.
mod rig;

// What a source promises while its broker is there, and while it is not.
mod network;
mod receiving;
// What an output promises.
mod sending;

// The brokers.
mod amqp;
mod http;
mod kafka;
mod mqtt;
mod nats;

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use case::{Cannot, Case, Declared, OF_OUTPUTS, OF_SOURCES};
use engine::metric::Link;
use outlet::Outlet;
use testkit::patience::{RETRY, within};
use testkit::proxy::Proxy;

/// Who is let in, and what a stranger tries.
const USER: &str = "mill";
const PASSWORD: &str = "right";
const SECRET: &str = "s3cret";

/// Names cases, such as `Absent,Restart`, for whoever works on them.
const ONLY: &str = "TIDEMILL_CASE";

/// How long something that cannot be done is tried.
const TRIED: Duration = Duration::from_secs(5);

/// How a source is wanted.
#[derive(Clone, Copy, Debug)]
struct Wish {
    seats: usize,
    /// Whether it tries the wrong password.
    wrong: bool,
    /// Whether the broker waits only seconds for an acknowledgement.
    short_lease: bool,
}

impl Default for Wish {
    fn default() -> Wish {
        Wish { seats: rig::SEATS, wrong: false, short_lease: false }
    }
}

impl Wish {
    fn password(self) -> &'static str {
        if self.wrong { SECRET } else { PASSWORD }
    }
}

/// Which waits of a case are to end within seconds. In every other case they are so long that no verdict depends on how long a
/// machine stands still.
#[derive(Clone, Copy, Debug, Default)]
struct Haste {
    /// Whether who hears nothing of the other side soon gives it up: keep-alives, sessions, confirmations.
    signs: bool,
    /// Whether the broker soon sends again what is not acknowledged.
    lease: bool,
}

impl Haste {
    /// What a case waits for. Those that do bear it when the machine itself is to blame.
    fn of(side: &str, case: Case) -> Haste {
        use Case::{Credentials, Cut, HalfOpen, HandBack, Lease, Missing, Pause, Restart, Unacknowledged};
        Haste {
            signs: matches!((side, case), (_, HalfOpen | Pause) | ("output", Credentials | Missing)),
            lease: matches!(case, Cut | HalfOpen | HandBack | Lease | Restart | Unacknowledged),
        }
    }
}

/// A broker under test. What it cannot do is declared; a case that needs more than is here fails, and says so.
trait Broker {
    /// What is declared of its source; nothing when it has none in the suite.
    fn source_declared(&self) -> Option<&'static Declared>;
    /// What is declared of its output.
    fn output_declared(&self) -> Option<&'static Declared>;
    /// What stands between the broker and whoever is tested.
    fn network(&self) -> &Proxy;
    /// Stops the server. Clients of the suite have to live through it.
    async fn stop(&mut self);
    /// Starts it again with what it has kept.
    async fn restart(&mut self);
    /// Makes a topic, stream or queue.
    async fn create(&mut self, object: &str);
    /// Sends messages by an independent client and returns when the broker has confirmed all of them.
    async fn put(&mut self, object: &str, payloads: Vec<Vec<u8>>);
    /// How many messages the broker holds for a source that is not running: never delivered, or not acknowledged.
    async fn held(&mut self, object: &str) -> usize;
    /// Opens a source of the object, behind the network.
    fn source(&self, object: &str, wish: Wish) -> rig::Opened;
    /// Opens an output to the object, behind the network, with the wrong password or the right one.
    fn output(&self, object: &str, wrong: bool) -> Outlet;
    /// Waits until at least so many messages are in an object, and answers the payload of each, as an independent client
    /// reads them.
    async fn read(&mut self, object: &str, count: usize) -> Vec<Vec<u8>>;
    /// What is said when a password is wrong.
    fn refusal(&self) -> &'static str;

    /// Says how soon what is opened and made from now on is to lose patience.
    fn hurry(&mut self, _: Haste) {}
    /// Whether messages come in the order in which they were sent.
    fn keeps_order(&self) -> bool {
        true
    }
    /// Whether a source that takes nothing still sends something now and then.
    fn shows_life(&self) -> bool {
        true
    }
    /// Whether what is sent while one side is away is lost, without a sign for the sender.
    fn forgets(&self) -> bool {
        false
    }
    /// Waits until the broker has lost patience with what is open, or would have.
    async fn outlive_lease(&mut self, _: &Link) {
        panic!("this broker has no lease, and does not declare it");
    }
    /// Whether messages are handed back before the lease ends, so that all of them come again.
    fn takes_back(&self) -> bool {
        false
    }
}

/// A name that no other case has.
fn fresh() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("suite-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A small message for each number.
fn plain(numbers: Range<usize>) -> Vec<Vec<u8>> {
    numbers.map(|number| rig::message(number, 0)).collect()
}

/// Waits until the broker holds exactly so many messages for a source that is not running, where it holds any.
async fn held_is(broker: &mut impl Broker, object: &str, wanted: usize) {
    if broker.forgets() {
        return;
    }
    let mut held = None;
    let what = format!("{wanted} messages held for '{object}'");
    within(&what, async {
        while held != Some(wanted) {
            let now = broker.held(object).await;
            if held.replace(now) != Some(now) && now != wanted {
                println!("'{object}' has {now} messages, and {wanted} are expected");
            }
            tokio::time::sleep(RETRY).await;
        }
    })
    .await;
}

/// Runs every case of a broker, and tries in vain what it cannot do.
async fn suite(broker: &mut impl Broker) {
    if let Some(declared) = broker.source_declared() {
        for case in OF_SOURCES {
            judge(broker, "source", declared, case).await;
        }
    }
    if let Some(declared) = broker.output_declared() {
        for case in OF_OUTPUTS {
            judge(broker, "output", declared, case).await;
        }
    }
}

async fn judge(broker: &mut impl Broker, side: &str, declared: &Declared, case: Case) {
    if std::env::var(ONLY).is_ok_and(|only| !only.split(',').any(|name| name == format!("{case:?}"))) {
        return;
    }
    println!("{side} | {} | {case:?} ...", declared.name);
    let begun = tokio::time::Instant::now();
    broker.hurry(Haste::of(side, case));
    match declared.of(case) {
        None => receive_or_send(broker, side, case).await,
        Some(Cannot::Meaningless(_)) => {}
        Some(Cannot::Tried(reason)) => {
            let passed = tokio::time::timeout(TRIED, caught(receive_or_send(broker, side, case))).await;
            assert_ne!(passed, Ok(true), "{} {side} has passed {case:?}, of which it says: {reason}", declared.name);
        }
    }
    let network = broker.network();
    network.delay(Duration::ZERO);
    network.resume();
    network.cut();
    network.come_back().await;
    case::tell(side, declared, case, begun.elapsed());
}

/// Whether a case passes; a panic is its way to fail.
async fn caught(case: impl Future<Output = ()>) -> bool {
    let mut case = Box::pin(case);
    std::future::poll_fn(|context| {
        let polled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| case.as_mut().poll(context)));
        match polled {
            Ok(polled) => polled.map(|()| true),
            Err(_) => std::task::Poll::Ready(false),
        }
    })
    .await
}

async fn receive_or_send(broker: &mut impl Broker, side: &str, case: Case) {
    match side {
        "source" => Box::pin(receive(broker, case)).await,
        _ => Box::pin(send(broker, case)).await,
    }
}

async fn receive(broker: &mut impl Broker, case: Case) {
    match case {
        Case::Order => receiving::order(broker).await,
        Case::Seats => receiving::seats(broker).await,
        Case::Unacknowledged => receiving::unacknowledged(broker).await,
        Case::HandBack => receiving::hand_back(broker).await,
        Case::Pause => receiving::pause(broker).await,
        Case::Drain => receiving::drain(broker).await,
        Case::Oversize => receiving::oversize(broker).await,
        Case::Malformed => receiving::malformed(broker).await,
        Case::Payloads => receiving::payloads(broker).await,
        Case::Lease => receiving::lease(broker).await,
        Case::Missing => receiving::missing(broker).await,
        Case::Credentials => receiving::credentials(broker).await,
        Case::Absent => network::absent(broker).await,
        Case::Restart => network::restart(broker).await,
        Case::Slow => network::slow(broker).await,
        Case::Cut => network::cut(broker).await,
        Case::HalfOpen => network::half_open(broker).await,
    }
}

async fn send(broker: &mut impl Broker, case: Case) {
    match case {
        Case::Order => sending::order(broker).await,
        Case::Unacknowledged => sending::unconfirmed(broker).await,
        Case::Drain => sending::drain(broker).await,
        Case::Oversize => sending::oversize(broker).await,
        Case::Payloads => sending::payloads(broker).await,
        Case::Missing => sending::missing(broker).await,
        Case::Credentials => sending::credentials(broker).await,
        Case::Absent => sending::absent(broker).await,
        Case::Restart => sending::restart(broker).await,
        Case::Slow => sending::slow(broker).await,
        Case::Cut => sending::cut(broker).await,
        Case::HalfOpen => sending::half_open(broker).await,
        other => unreachable!("{other:?} is not of outputs"),
    }
}

#[tokio::test]
async fn mqtt_keeps_the_contract() {
    for version in &mqtt::VERSIONS {
        suite(&mut mqtt::Mqtt::start(version).await).await;
    }
}

#[tokio::test]
async fn kafka_keeps_the_contract() {
    suite(&mut kafka::Kafka::start().await).await;
}

#[tokio::test]
async fn jetstream_keeps_the_contract() {
    suite(&mut nats::Nats::start(nats::Use::Stream).await).await;
}

#[tokio::test]
async fn core_nats_keeps_the_contract() {
    suite(&mut nats::Nats::start(nats::Use::Core).await).await;
}

#[tokio::test]
async fn amqp_keeps_the_contract() {
    let mut broker = amqp::Amqp::start().await;
    for queue in &amqp::QUEUES {
        broker.queue = queue;
        suite(&mut broker).await;
    }
}

#[tokio::test]
async fn http_keeps_the_contract() {
    suite(&mut http::Http::start().await).await;
}

/// The table in the documentation is the one that the suite keeps.
#[test]
fn the_table_is_in_the_documentation() {
    let sources = [&mqtt::VERSIONS[0].source, &mqtt::VERSIONS[1].source, &kafka::SOURCE, &nats::STREAM_SOURCE]
        .into_iter()
        .chain([&nats::CORE_SOURCE, &amqp::QUEUES[0].source, &amqp::QUEUES[1].source, &http::SOURCE])
        .collect::<Vec<_>>();
    let outputs = [
        &mqtt::VERSIONS[0].output,
        &mqtt::VERSIONS[1].output,
        &kafka::OUTPUT,
        &nats::STREAM_OUTPUT,
        &nats::CORE_OUTPUT,
    ]
    .into_iter()
    .chain([&amqp::QUEUES[0].output, &amqp::QUEUES[1].output])
    .collect::<Vec<_>>();
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/contract.md");
    let document = std::fs::read_to_string(document).expect("the documentation is there");
    for (side, table) in
        [("sources", case::table(&OF_SOURCES, &sources)), ("outputs", case::table(&OF_OUTPUTS, &outputs))]
    {
        assert!(document.contains(&table), "docs/contract.md has another table of {side}; it should be:\n\n{table}\n");
    }
}
