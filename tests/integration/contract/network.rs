//! What a source promises while its broker comes and goes.

use std::collections::HashSet;
use std::time::Duration;

use engine::delivery::Outcome;
use engine::metric::Connection;
use testkit::patience::{RETRY, within};

use super::receiving::made;
use super::rig::{Rig, until};
use super::{Broker, Wish, held_is, plain};

pub(super) async fn absent(broker: &mut impl Broker) {
    let object = made(broker).await;
    broker.network().leave().await;
    let mut rig = Rig::begin(broker.source(&object, Wish::default()));
    let said = rig.error(&broker.network().address().to_string()).await;
    assert!(said.to_lowercase().contains("refused"), "it says why: {said}");
    let link = rig.link.clone();
    until("a lost connection", || (link.read().connection == Connection::Disconnected).then_some(())).await;
    broker.network().come_back().await;
    within("a connection", rig.link.connects()).await;
    broker.put(&object, plain(0..10)).await;
    rig.acknowledge(0..10).await;
    rig.drained().await;
    held_is(broker, &object, 0).await;
}

pub(super) async fn restart(broker: &mut impl Broker) {
    let object = made(broker).await;
    let mut rig = Rig::start(broker.source(&object, Wish::default())).await;
    broker.put(&object, plain(0..20)).await;
    let mut open = rig.take(20).await;
    open.drain(..10).for_each(|(_, receipt)| receipt.settle(Outcome::Ack));
    let before = rig.link.read().connects;
    broker.stop().await;
    let link = rig.link.clone();
    until("the loss", || (link.read().connection == Connection::Disconnected).then_some(())).await;
    broker.restart().await;
    until("the source to be back", || (link.read().connects > before).then_some(())).await;
    broker.put(&object, plain(20..40)).await;
    // They are of a connection that is gone; the broker may send them again.
    open.into_iter().for_each(|(_, receipt)| receipt.settle(Outcome::Ack));
    rig.acknowledge_but(0..40, (0..20).collect()).await;
    settles(broker, &object, rig, 40).await;
}

pub(super) async fn slow(broker: &mut impl Broker) {
    let object = made(broker).await;
    broker.network().delay(Duration::from_millis(30));
    let mut rig = Rig::start(broker.source(&object, Wish::default())).await;
    broker.put(&object, plain(0..100)).await;
    let came = rig.acknowledge(0..100).await;
    assert_eq!(came.len(), 100, "each of them once");
    assert_eq!(rig.link.read().connects, 1, "nobody loses patience");
    rig.drained().await;
    held_is(broker, &object, 0).await;
}

/// Waits until a source has another connection after one was lost; one whose messages are lost meanwhile has to be ready.
async fn another(broker: &impl Broker, rig: &Rig, (connections, connects): (u64, u64)) {
    broker.network().sees("another connection", |traffic| traffic.connections > connections).await;
    if broker.forgets() {
        let link = rig.link.clone();
        until("the source to be back", || (link.read().connects > connects).then_some(())).await;
    }
}

fn standing(broker: &impl Broker, rig: &Rig) -> (u64, u64) {
    (broker.network().traffic().connections, rig.link.read().connects)
}

pub(super) async fn cut(broker: &mut impl Broker) {
    let object = made(broker).await;
    let mut rig = Rig::start(broker.source(&object, Wish::default())).await;
    let mut seen = HashSet::new();
    for round in 0..3 {
        broker.put(&object, plain(round * 40..round * 40 + 20)).await;
        let (first, receipt) = rig.next().await;
        seen.insert(first);
        let standing = standing(broker, &rig);
        broker.network().cut();
        receipt.settle(Outcome::Ack);
        another(broker, &rig, standing).await;
        broker.put(&object, plain(round * 40 + 20..round * 40 + 40)).await;
        let wanted = if broker.forgets() { round * 40 + 20..round * 40 + 40 } else { 0..round * 40 + 40 };
        seen.extend(rig.acknowledge_but(wanted, seen.clone()).await);
    }
    settles(broker, &object, rig, 120).await;
}

/// The source is on a connection that carries nothing more. Only its own heartbeat can tell.
pub(super) async fn half_open(broker: &mut impl Broker) {
    let object = made(broker).await;
    let mut rig = Rig::start(broker.source(&object, Wish::default())).await;
    broker.put(&object, plain(0..10)).await;
    let mut open = rig.take(10).await;
    open.drain(..5).for_each(|(_, receipt)| receipt.settle(Outcome::Ack));
    let standing = standing(broker, &rig);
    broker.network().hang();
    another(broker, &rig, standing).await;
    broker.put(&object, plain(10..30)).await;
    open.into_iter().for_each(|(_, receipt)| receipt.settle(Outcome::Ack));
    rig.acknowledge_but(0..30, (0..10).collect()).await;
    settles(broker, &object, rig, 30).await;
}

/// Whether the broker soon holds nothing more; what it does hold comes again in another run.
async fn let_go(broker: &mut impl Broker, object: &str) -> bool {
    let nothing = async {
        while broker.held(object).await > 0 {
            tokio::time::sleep(RETRY).await;
        }
    };
    tokio::time::timeout(SOON, nothing).await.is_ok()
}

/// How long the last acknowledgements may be on their way.
const SOON: Duration = Duration::from_secs(3);

/// Acknowledges what still comes again until the broker holds nothing, however often it comes, and ends the run.
async fn settles(broker: &mut impl Broker, object: &str, mut rig: Rig, next: usize) {
    if broker.forgets() {
        return rig.drained().await;
    }
    // Whatever was unacknowledged when the connection went comes before what is sent last, or in the next run.
    broker.put(object, plain(next..next + 1)).await;
    rig.acknowledge(next..next + 1).await;
    rig.drained().await;
    let again = async {
        for number in next + 1.. {
            if let_go(broker, object).await {
                return;
            }
            let mut rig = Rig::start(broker.source(object, Wish::default())).await;
            broker.put(object, plain(number..number + 1)).await;
            rig.acknowledge(number..number + 1).await;
            rig.drained().await;
        }
    };
    within("the broker to hold nothing more", again).await;
}
