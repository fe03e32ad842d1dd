//! A broker that is stopped, one that is killed, and a connection that is cut, each in the middle of a stream.

use testkit::client::{Acks, Settings, Subscriber};
use testkit::mosquitto::{Config, Mosquitto};
use testkit::recorder::{Record, Recorder};

use super::*;

#[tokio::test]
async fn everything_confirmed_is_in_the_file_after_a_broker_was_stopped_under_load() {
    let mut broker = Mosquitto::start(Config::profile()).await;
    let mut engine = engine(&broker.url(), &[]);
    engine.start().await;
    let publisher = publisher(&broker).await;
    let (_, ()) = tokio::join!(send(&publisher, 0..20_000), async {
        file_has(&engine, &["4000".to_owned()]).await;
        broker.stop().await;
        broker.restart().await;
    });
    let fates = publisher.close().await;
    assert_eq!(fates.unconfirmed, [], "a publisher with a session loses none");
    let ids = file_has(&engine, &fates.confirmed).await;
    assert_eq!(ids.len(), 20_000);
    let status = idle(&engine).await;
    assert_balanced(&status);
    assert!(engine.terminate().await.success());
}

#[tokio::test]
async fn what_was_acknowledged_is_in_the_file_after_a_broker_was_killed_under_load() {
    let mut broker = Mosquitto::start(Config::profile()).await;
    let recorder = Recorder::start(broker.address()).await;
    let mut engine = engine(&format!("mqtt://{}", recorder.address()), &[]);
    engine.start().await;
    let control = Settings::new(broker.address(), "control");
    let control = Subscriber::connect(control, &["v1/+/+/telemetry"], Acks::AtOnce).await;
    let publisher = publisher(&broker).await;
    let (_, ()) = tokio::join!(send(&publisher, 0..10_000), async {
        file_has(&engine, &["2000".to_owned()]).await;
        broker.kill().await;
        broker.restart().await;
    });
    let fates = publisher.close().await;
    let status = idle(&engine).await;
    assert_balanced(&status);
    let ids = file_has(&engine, recorder.record().acknowledged_ids()).await;
    // What was delivered and had no seat yet is left to the broker, which does not remember it: it is said, beside what a bare
    // client lost.
    let missing = fates.confirmed.iter().filter(|id| !ids.contains_key(*id)).count();
    let bare = control.ids();
    let bare = fates.confirmed.iter().filter(|id| !bare.contains(*id)).count();
    println!("a killed broker forgot {missing} confirmed messages for the engine, {bare} for a bare client");
    assert!(engine.terminate().await.success());
}

#[tokio::test]
async fn the_books_balance_in_every_answer_while_connections_are_cut() {
    let broker = Mosquitto::start(Config::profile()).await;
    let recorder = Recorder::start(broker.address()).await;
    let mut engine = engine(&format!("mqtt://{}", recorder.address()), &["ackOrder: received"]);
    engine.start().await;
    let publisher = publisher(&broker).await;
    let (_, ()) = tokio::join!(send(&publisher, 0..6000), async {
        for cut in 1..=5_u64 {
            // Each cut is to meet a connection of its own.
            let is_it = |record: &Record| record.connections() >= cut && record.deliveries() as u64 >= cut * 1000;
            recorder.sees("a connection and a thousand more deliveries", is_it).await;
            recorder.network().cut();
            let status = engine.status().await;
            assert_balanced(&status);
        }
    });
    let fates = publisher.close().await;
    assert_eq!(file_has(&engine, &fates.confirmed).await.len(), 6000);
    recorder.sees("the last connection", |record| record.connections() >= 6).await;
    assert!(engine.terminate().await.success());
}
