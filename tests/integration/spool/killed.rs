//! An engine that is killed at moments from a seed: what its broker saw acknowledged arrives all the same.

use testkit::client::{Publisher, Settings};

use super::*;

/// Repeats the moments of an earlier run.
const SEED: &str = "TIDEMILL_SPOOL_SEED";
const COUNT: usize = 4000;
const KILLS: usize = 6;

#[tokio::test]
async fn whatever_was_acknowledged_arrives_whenever_the_engine_is_killed() {
    let seed = std::env::var(SEED).ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    println!("{SEED}={seed}");
    let mut dice = fastrand::Rng::with_seed(seed);
    let mut moments: Vec<usize> = (0..KILLS).map(|_| dice.usize(1..COUNT)).collect();
    moments.sort_unstable();
    let broker = Mosquitto::start(Config::profile()).await;
    let network = Recorder::start(broker.address()).await;
    let inbox = Inbox::open().await;
    let mut engine = Tidemill::new(PROGRAM, &yaml(&mqtt(network.address(), 50), inbox.address(), ""));
    engine.start().await;
    let publisher = Publisher::connect(Settings::new(broker.address(), "vehicles")).await;
    let sending = async {
        for number in 0..COUNT {
            publisher.send(&number.to_string(), "telemetry", message(number, 100)).await;
        }
    };
    let killing = async {
        for moment in &moments {
            network.sees("enough acknowledgements", |record| record.acknowledged_ids().len() >= *moment).await;
            engine.kill().await;
            engine.start().await;
        }
    };
    tokio::join!(sending, killing);
    let confirmed = publisher.close().await.confirmed;
    assert_eq!(confirmed.len(), COUNT);
    let acknowledged = network.record().acknowledged_ids();
    assert!(acknowledged.len() >= moments[KILLS - 1]);
    posted(&inbox, &acknowledged).await;
    posted(&inbox, &confirmed).await;
    assert_balanced(&idle(&engine).await);
    assert_eq!(engine.terminate().await.code(), Some(0));
}
