//! What a source promises while its broker is there.

use engine::delivery::Outcome;
use testkit::patience::within;

use super::rig::{self, Given, Rig, SEATS, message};
use super::{Broker, SECRET, Wish, fresh, held_is, plain};

pub(super) async fn order(broker: &mut impl Broker) {
    let object = made(broker).await;
    let mut rig = Rig::start(broker.source(&object, Wish::default())).await;
    let mut came = Vec::new();
    for round in 0..5 {
        broker.put(&object, plain(round * SEATS..(round + 1) * SEATS)).await;
        came.extend(rig.acknowledge(round * SEATS..(round + 1) * SEATS).await);
    }
    came_as(broker, came, 0..5 * SEATS);
    assert_eq!(rig.link.read().connects, 1);
    rig.drained().await;
    held_is(broker, &object, 0).await;
}

pub(super) async fn seats(broker: &mut impl Broker) {
    const FEW: usize = 8;
    let object = made(broker).await;
    let mut rig = Rig::start(broker.source(&object, Wish { seats: FEW, ..Wish::default() })).await;
    broker.put(&object, plain(0..60)).await;
    let mut open = rig.take(FEW).await;
    let mut came: Vec<usize> = open.iter().map(|(number, _)| *number).collect();
    while came.len() < 60 {
        assert_eq!(rig.ledger.read().received as usize, came.len(), "a seat for each, and no more seats");
        open.remove(0).1.settle(Outcome::Ack);
        let (number, receipt) = rig.next().await;
        assert!(rig.ledger.read().in_flight as usize <= FEW);
        came.push(number);
        open.push((number, receipt));
    }
    came_as(broker, came, 0..60);
    let link = rig.link.read();
    assert!(link.connects == 1 && link.dropped.is_empty(), "{link:?}");
    open.into_iter().for_each(|(_, receipt)| receipt.settle(Outcome::Ack));
    rig.drained().await;
    held_is(broker, &object, 0).await;
}

/// What has no outcome is still the broker's, whoever dies.
pub(super) async fn unacknowledged(broker: &mut impl Broker) {
    let object = made(broker).await;
    let mut rig = Rig::start(broker.source(&object, Wish::default())).await;
    broker.put(&object, plain(0..20)).await;
    let open = rig.take(20).await;
    rig.crash().await;
    drop(open);
    held_is(broker, &object, 20).await;

    let mut rig = Rig::start(broker.source(&object, Wish::default())).await;
    let mut open = within("all of them again", rig.take(20)).await;
    open.sort_unstable_by_key(|(number, _)| *number);
    assert_eq!(open.iter().map(|(number, _)| *number).collect::<Vec<_>>(), (0..20).collect::<Vec<_>>());
    open.drain(..10).for_each(|(_, receipt)| receipt.settle(Outcome::Ack));
    drop(open);
    rig.drained().await;
    held_is(broker, &object, 10).await;

    let mut rig = Rig::start(broker.source(&object, Wish::default())).await;
    // What was handed back may have lost its place.
    let mut came = rig.acknowledge(10..20).await;
    came.sort_unstable();
    came_as(broker, came, 10..20);
    rig.drained().await;
    held_is(broker, &object, 0).await;
}

pub(super) async fn hand_back(broker: &mut impl Broker) {
    let object = made(broker).await;
    let mut rig = Rig::start(broker.source(&object, Wish::default())).await;
    broker.put(&object, plain(0..10)).await;
    for (number, receipt) in rig.take(10).await {
        receipt.settle(if number == 3 { Outcome::Retry { after: Default::default() } } else { Outcome::Ack });
    }
    rig.drained().await;
    let mut rig = Rig::start(broker.source(&object, Wish::default())).await;
    rig.acknowledge(3..4).await;
    // What stood behind it in a log comes again too.
    broker.put(&object, plain(10..11)).await;
    rig.acknowledge(10..11).await;
    rig.drained().await;
    held_is(broker, &object, 0).await;
}

pub(super) async fn pause(broker: &mut impl Broker) {
    let object = made(broker).await;
    let mut rig = Rig::start(broker.source(&object, Wish::default())).await;
    // A machine that stands still for seconds costs the connection too. Who cannot keep it loses it each time.
    for first in (0..PAUSES).map(|round| round * 30) {
        broker.put(&object, plain(first..first + 5)).await;
        rig.acknowledge(first..first + 5).await;
        let connects = rig.link.read().connects;
        rig.ledger.pause();
        let before = rig.ledger.read().received;
        broker.put(&object, plain(first + 5..first + 30)).await;
        // A source that takes nothing goes on showing that it lives.
        for _ in 0..if broker.shows_life() { 2 } else { 0 } {
            let before = broker.network().traffic().from_clients;
            broker.network().sees("a sign of life", |traffic| traffic.from_clients > before).await;
        }
        let books = rig.ledger.read();
        assert_eq!(books.received, before, "{books:?}");
        rig.ledger.resume();
        let came = rig.acknowledge(first + 5..first + 30).await;
        if rig.link.read().connects == connects {
            came_as(broker, came, first + 5..first + 30);
            rig.drained().await;
            return held_is(broker, &object, 0).await;
        }
    }
    panic!("{PAUSES} pauses have cost {} connections", rig.link.read().connects);
}

/// How often a pause is tried.
const PAUSES: usize = 5;

pub(super) async fn drain(broker: &mut impl Broker) {
    let object = made(broker).await;
    let mut rig = Rig::start(broker.source(&object, Wish { seats: 20, ..Wish::default() })).await;
    broker.put(&object, plain(0..20)).await;
    let open = rig.take(20).await;
    rig.stop();
    broker.put(&object, plain(20..30)).await;
    open.into_iter().for_each(|(_, receipt)| receipt.settle(Outcome::Ack));
    let ledger = rig.ledger.clone();
    rig.drained().await;
    let books = ledger.read();
    assert_eq!((books.settled, books.handed_back), (20, 0), "what was in flight was finished: {books:?}");
    held_is(broker, &object, 10).await;

    let mut rig = Rig::start(broker.source(&object, Wish::default())).await;
    let came = rig.acknowledge(20..30).await;
    came_as(broker, came, 20..30);
    rig.drained().await;
    held_is(broker, &object, 0).await;
}

/// The number of a message that has none.
const REFUSED: usize = 1;

/// Checks what came: in order, where order is kept.
fn came_as(broker: &impl Broker, mut came: Vec<usize>, wanted: std::ops::Range<usize>) {
    if !broker.keeps_order() {
        came.sort_unstable();
    }
    assert_eq!(came, wanted.collect::<Vec<_>>());
}

/// A message that the source has to refuse stands between two that are sound.
async fn refuses(broker: &mut impl Broker, refused: Vec<u8>, because: &str) {
    let object = made(broker).await;
    let mut rig = Rig::start(broker.source(&object, Wish::default())).await;
    broker.put(&object, vec![message(0, 0), refused.clone(), message(2, 0)]).await;
    let mut came = Vec::new();
    for _ in 0..3 {
        match rig.given().await {
            Given::Undecodable(message, receipt) => {
                assert!(message.reason.contains(because), "{}", message.reason);
                assert!(refused.starts_with(&message.raw[..message.raw.len().min(100)]), "the bytes are kept");
                receipt.settle(Outcome::Reject);
                came.push(REFUSED);
            }
            Given::Event(event, receipt) => {
                receipt.settle(Outcome::Ack);
                came.push(rig::number(&event));
            }
        }
    }
    came_as(broker, came, 0..3);
    assert_eq!(rig.link.read().connects, 1);
    rig.drained().await;
    held_is(broker, &object, 0).await;
}

pub(super) async fn oversize(broker: &mut impl Broker) {
    refuses(broker, message(9, 3 << 20), "more than").await;
}

pub(super) async fn malformed(broker: &mut impl Broker) {
    refuses(broker, b"\xff\x00 no event".to_vec(), "event.id").await;
}

pub(super) async fn payloads(broker: &mut impl Broker) {
    let object = made(broker).await;
    let mut rig = Rig::start(broker.source(&object, Wish::default())).await;
    let sent = vec![message(0, 64 << 10), message(1, 1 << 20), message(2, 0)];
    broker.put(&object, sent.clone()).await;
    for _ in 0..sent.len() {
        match rig.given().await {
            Given::Event(event, receipt) => {
                let wanted = &sent[rig::number(&event)];
                assert!(event.data().is_some_and(|data| **data == **wanted), "a payload came as it was sent");
                receipt.settle(Outcome::Ack);
            }
            Given::Undecodable(message, _) => panic!("{}", message.reason),
        }
    }
    rig.drained().await;
    held_is(broker, &object, 0).await;
}

pub(super) async fn lease(broker: &mut impl Broker) {
    let object = made(broker).await;
    let mut rig = Rig::start(broker.source(&object, Wish { short_lease: true, ..Wish::default() })).await;
    broker.put(&object, plain(0..5)).await;
    let open = rig.take(5).await;
    broker.outlive_lease(&rig.link).await;
    open.into_iter().for_each(|(_, receipt)| receipt.settle(Outcome::Ack));
    if broker.takes_back() {
        rig.acknowledge(0..5).await;
    }
    assert_eq!(rig.link.read().connects, 1, "the connection was kept");
    let ledger = rig.ledger.clone();
    rig.drained().await;
    let received = ledger.read().received;
    // On a slow machine what was handed back may have been so twice.
    assert!(if broker.takes_back() { received >= 10 } else { received == 5 }, "{received} messages came");
    held_is(broker, &object, 0).await;
}

pub(super) async fn missing(broker: &mut impl Broker) {
    let object = fresh();
    let mut rig = Rig::begin(broker.source(&object, Wish::default()));
    let said = rig.error(&object).await;
    assert!(said.contains(&broker.network().address().to_string()), "it says where: {said}");
    broker.create(&object).await;
    broker.put(&object, plain(0..5)).await;
    rig.acknowledge(0..5).await;
    rig.drained().await;
}

pub(super) async fn credentials(broker: &mut impl Broker) {
    let object = made(broker).await;
    let rig = Rig::begin(broker.source(&object, Wish { wrong: true, seats: SEATS, ..Wish::default() }));
    let address = broker.network().address().to_string();
    let said = rig.error(&address).await;
    let said = format!("{said} {:?}", rig.error(broker.refusal()).await);
    assert!(!said.contains(SECRET), "{said}");
    assert_eq!(rig.link.read().connects, 0);
    rig.drained().await;
}

/// A place for messages that is there.
pub(super) async fn made(broker: &mut impl Broker) -> String {
    let object = fresh();
    broker.create(&object).await;
    object
}
