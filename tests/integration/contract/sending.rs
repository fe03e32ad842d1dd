//! What an output promises.

use std::collections::HashSet;
use std::ops::Range;
use std::time::Duration;

use engine::port::PublishError;
use testkit::patience::within;

use super::outlet::Outlet;
use super::receiving::made;
use super::rig::{message, until};
use super::{Broker, SECRET, fresh};

/// Waits until an independent client has read every number of the range; answers the numbers as they stand.
async fn arrive(broker: &mut impl Broker, object: &str, wanted: Range<usize>) -> Vec<usize> {
    let mut count = wanted.len();
    loop {
        let read = numbers(&broker.read(object, count).await);
        let seen: HashSet<usize> = read.iter().copied().collect();
        assert!(seen.iter().all(|number| wanted.contains(number)), "nothing appears that was not sent: {seen:?}");
        if seen.len() == wanted.len() {
            return read;
        }
        // Some are there twice, so there are more to come.
        count = read.len() + 1;
    }
}

fn numbers(payloads: &[Vec<u8>]) -> Vec<usize> {
    let number = |payload: &Vec<u8>| {
        let json: serde_json::Value = serde_json::from_slice(payload).ok()?;
        json["id"].as_str()?.parse().ok()
    };
    payloads.iter().map(|payload| number(payload).expect("an event of the suite")).collect()
}

pub(super) async fn order(broker: &mut impl Broker) {
    let object = made(broker).await;
    let outlet = broker.output(&object, false);
    let open: Vec<_> = (0..300).map(|number| outlet.publish(number, 0)).collect();
    for confirmation in open {
        within("a confirmation", confirmation).await.expect("the broker takes it");
    }
    assert_eq!(arrive(broker, &object, 0..300).await, (0..300).collect::<Vec<_>>());
    outlet.close().await;
}

/// While the broker cannot be heard nothing is confirmed, and what is confirmed is there.
pub(super) async fn unconfirmed(broker: &mut impl Broker) {
    let object = made(broker).await;
    let outlet = broker.output(&object, false);
    outlet.confirmed(0..1).await;
    broker.network().silence();
    let before = broker.network().traffic().from_clients;
    let confirmation = tokio::spawn(outlet.publish(1, 100_000));
    let left = |traffic: &testkit::proxy::Traffic| traffic.from_clients > before;
    broker.network().sees("the event on its way", left).await;
    assert!(!confirmation.is_finished(), "nobody can have confirmed it");
    broker.network().resume();
    within("a confirmation", confirmation).await.expect("no panic").expect("the broker takes it");
    assert_eq!(arrive(broker, &object, 0..2).await, [0, 1]);
    outlet.close().await;
}

pub(super) async fn drain(broker: &mut impl Broker) {
    let object = made(broker).await;
    let outlet = broker.output(&object, false);
    outlet.confirmed(0..1).await;
    broker.network().delay(Duration::from_millis(30));
    let open: Vec<_> = (1..100).map(|number| tokio::spawn(outlet.publish(number, 0))).collect();
    // They are polled once, which is what an engine has done before it closes an output.
    tokio::task::yield_now().await;
    outlet.close().await;
    for confirmation in open {
        within("a confirmation", confirmation).await.expect("no panic").expect("what was published is sent off");
    }
    arrive(broker, &object, 0..100).await;
}

pub(super) async fn oversize(broker: &mut impl Broker) {
    let object = made(broker).await;
    let outlet = broker.output(&object, false);
    outlet.confirmed(0..1).await;
    match within("an answer", outlet.publish(9, 12 << 20)).await {
        Err(PublishError::Reject { reason }) => assert!(reason.contains(&object), "{reason}"),
        other => panic!("it will never be taken, and this was said: {other:?}"),
    }
    outlet.confirmed(1..3).await;
    arrive(broker, &object, 0..3).await;
    outlet.close().await;
}

pub(super) async fn payloads(broker: &mut impl Broker) {
    let object = made(broker).await;
    let outlet = broker.output(&object, false);
    for (number, size) in [(0, 64 << 10), (1, 1 << 20)] {
        within("a confirmation", outlet.publish(number, size)).await.expect("the broker takes it");
    }
    let read = broker.read(&object, 2).await;
    assert!(read == [message(0, 64 << 10), message(1, 1 << 20)], "payloads arrive as they were sent");
    outlet.close().await;
}

pub(super) async fn missing(broker: &mut impl Broker) {
    let object = fresh();
    let outlet = broker.output(&object, false);
    let failed = within("an answer", outlet.publish(0, 0)).await;
    match &failed {
        Err(PublishError::Retry { error, .. }) => assert!(error.contains(&object), "{error}"),
        other => panic!("nobody has it, and this was said: {other:?}"),
    }
    broker.create(&object).await;
    outlet.confirmed(0..3).await;
    arrive(broker, &object, 0..3).await;
    outlet.close().await;
}

pub(super) async fn credentials(broker: &mut impl Broker) {
    let object = made(broker).await;
    let outlet = broker.output(&object, true);
    let said = outlet.error(broker.refusal()).await;
    assert!(said.contains(&broker.network().address().to_string()), "it says where: {said}");
    match within("an answer", outlet.publish(0, 0)).await {
        Err(PublishError::Retry { error, .. }) => assert!(!error.contains(SECRET) && !said.contains(SECRET), "{error}"),
        other => panic!("nobody is let in, and this was said: {other:?}"),
    }
    assert_eq!(outlet.link.read().connects, 0);
    outlet.leave().await;
}

pub(super) async fn absent(broker: &mut impl Broker) {
    let object = made(broker).await;
    broker.network().leave().await;
    let outlet = broker.output(&object, false);
    let said = outlet.error(&broker.network().address().to_string()).await;
    assert!(said.to_lowercase().contains("refused"), "it says why: {said}");
    let publishing = outlet.confirmed(0..10);
    tokio::join!(publishing, broker.network().come_back());
    arrive(broker, &object, 0..10).await;
    outlet.close().await;
}

pub(super) async fn restart(broker: &mut impl Broker) {
    let object = made(broker).await;
    let outlet = broker.output(&object, false);
    outlet.confirmed(0..20).await;
    arrive(broker, &object, 0..20).await;
    let before = outlet.link.read().connects;
    broker.stop().await;
    if broker.forgets() {
        broker.restart().await;
        back(broker, &outlet, before).await;
        outlet.confirmed(20..40).await;
    } else {
        let (mut publishing, mut done) = (Box::pin(outlet.publishing(20..40)), false);
        {
            // A start bounds itself, and nobody can confirm anything meanwhile.
            let mut starting = Box::pin(broker.restart());
            loop {
                tokio::select! {
                    () = &mut publishing, if !done => done = true,
                    () = &mut starting => break,
                }
            }
        }
        if !done {
            within("every confirmation", publishing).await;
        }
    }
    arrive(broker, &object, 0..40).await;
    outlet.close().await;
}

/// Waits for another connection of an output whose confirmation does not say that an event has arrived.
async fn back(broker: &impl Broker, outlet: &Outlet, connects: u64) {
    if broker.forgets() {
        until("the output to be back", || (outlet.link.read().connects > connects).then_some(())).await;
    }
}

pub(super) async fn slow(broker: &mut impl Broker) {
    let object = made(broker).await;
    broker.network().delay(Duration::from_millis(30));
    let outlet = broker.output(&object, false);
    outlet.confirmed(0..100).await;
    assert_eq!(outlet.link.read().connects, 1, "nobody loses patience");
    arrive(broker, &object, 0..100).await;
    outlet.close().await;
}

pub(super) async fn cut(broker: &mut impl Broker) {
    let object = made(broker).await;
    let outlet = broker.output(&object, false);
    for round in 0..3 {
        if broker.forgets() {
            outlet.confirmed(round * 100..round * 100 + 50).await;
            arrive(broker, &object, 0..round * 100 + 50).await;
            let connects = outlet.link.read().connects;
            broker.network().cut();
            back(broker, &outlet, connects).await;
            outlet.confirmed(round * 100 + 50..round * 100 + 100).await;
            continue;
        }
        let first = outlet.publish(round * 100, 0);
        let before = broker.network().traffic().connections;
        let publishing = outlet.confirmed(round * 100..round * 100 + 100);
        let cutting = async {
            within("a confirmation", first).await.expect("the broker takes it");
            broker.network().cut();
            broker.network().sees("another connection", |traffic| traffic.connections > before).await;
        };
        tokio::join!(publishing, cutting);
    }
    arrive(broker, &object, 0..300).await;
    outlet.close().await;
}

/// The output is on a connection that carries nothing more. Only its own heartbeat or its patience can tell.
pub(super) async fn half_open(broker: &mut impl Broker) {
    let object = made(broker).await;
    let outlet = broker.output(&object, false);
    outlet.confirmed(0..10).await;
    arrive(broker, &object, 0..10).await;
    let before = outlet.link.read().connects;
    broker.network().hang();
    back(broker, &outlet, before).await;
    outlet.confirmed(10..30).await;
    arrive(broker, &object, 0..30).await;
    outlet.close().await;
}
