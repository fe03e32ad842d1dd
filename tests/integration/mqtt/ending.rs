//! How an engine ends, and what its session holds afterwards.

use testkit::client::{Acks, Settings, Subscriber};
use testkit::mosquitto::{Config, Mosquitto};

use super::*;

#[tokio::test]
async fn stopping_under_load_repeats_nothing() {
    let broker = Mosquitto::start(Config::profile()).await;
    let mut engine = engine(&broker.url(), &[]);
    engine.start().await;
    let publisher = publisher(&broker).await;
    let (_, heard) = tokio::join!(send(&publisher, 0..10_000), async {
        let mut heard = true;
        for wanted in ["1000", "4000", "7000"] {
            file_has(&engine, &[wanted.to_owned()]).await;
            heard &= stopped(&mut engine).await;
            engine.start().await;
        }
        heard
    });
    let fates = publisher.close().await;
    let ids = file_has(&engine, &fates.confirmed).await;
    let heard = stopped(&mut engine).await && heard;
    let repeated: Vec<_> = ids.iter().filter(|(_, count)| **count > 1).collect();
    assert_eq!(ids.len(), 10_000);
    assert!(repeated.is_empty() || !heard, "{repeated:?}");
}

#[tokio::test]
async fn a_killed_engine_finds_everything_when_it_returns() {
    let broker = Mosquitto::start(Config::profile()).await;
    let mut engine = engine(&broker.url(), &["version: 3.1.1"]);
    engine.start().await;
    let publisher = publisher(&broker).await;
    let (_, ()) = tokio::join!(send(&publisher, 0..8000), async {
        for wanted in ["1000", "3000", "5000"] {
            file_has(&engine, &[wanted.to_owned()]).await;
            engine.kill().await;
            engine.start().await;
        }
    });
    let fates = publisher.close().await;
    assert_eq!(file_has(&engine, &fates.confirmed).await.len(), 8000);
    assert!(engine.terminate().await.success());
}

#[tokio::test]
async fn leaving_ends_the_session_and_a_plain_stop_does_not() {
    for version in ["version: 5", "version: 3.1.1"] {
        let broker = Mosquitto::start(Config::profile()).await;
        let mut engine = engine(&broker.url(), &["clientId: mill", version]).variable("TIDEMILL_INSTANCE", "one");
        engine.start().await;
        let publisher = publisher(&broker).await;
        send(&publisher, 0..100).await;
        let sent = publisher.settle().await.confirmed;
        file_has(&engine, &sent).await;
        assert!(engine.terminate().await.success());
        send(&publisher, 100..200).await;
        let kept = publisher.settle().await.confirmed;
        engine.start().await;
        assert_eq!(file_has(&engine, &kept).await.len(), 200, "{version}");

        let answer = engine.post("/v1/sources/fleet/leave", "").await;
        assert!((200..300).contains(&answer.status), "{version}: {}", answer.status);
        assert!(engine.terminate().await.success());
        let next = Settings::new(broker.address(), "mill-one");
        let next = Subscriber::connect(next, &["v1/+/+/telemetry"], Acks::AtOnce).await;
        assert!(!next.session_present(), "{version}");
        publisher.close().await;
    }
}
