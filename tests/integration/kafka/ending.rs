//! How an engine ends, and what its group is told before.

use std::time::Duration;

use testkit::kafka;
use tokio::time::Instant;

use super::*;

#[tokio::test]
async fn stopping_under_load_repeats_nothing() {
    let broker = kafka::shared().await;
    let topic = broker.topic(4, &[]).await;
    let kcat = Kcat::new(broker.address());
    let mut engine = engine(broker.address(), &topic, &["group: stopping"]);
    engine.start().await;
    let ((), ()) = tokio::join!(
        async {
            for part in 0..10 {
                send(&kcat, &topic, part * 1000..(part + 1) * 1000).await;
            }
        },
        async {
            for wanted in [500, 4000, 7000] {
                file_has(&engine, wanted..wanted + 1).await;
                assert!(engine.terminate().await.success());
                engine.start().await;
            }
        }
    );
    let ids = file_has(&engine, 0..10_000).await;
    assert_eq!((ids.len(), repeated(&ids)), (10_000, 0));
    assert!(engine.terminate().await.success());
}

/// How old a commit can be: one each second, of what was stored up to a tenth of a second before, on a busy machine.
const COMMITTED: Duration = Duration::from_millis(1500);

/// Waits for an event, and answers how many have settled so shortly before that they may not be committed.
async fn settled_lately(engine: &Tidemill, wanted: usize) -> usize {
    let mut samples = vec![(Instant::now(), 0)];
    within("an event in the file", async {
        while !ids(engine).contains_key(&wanted.to_string()) {
            let settled = engine.status().await["sources"]["orders"]["settled"].as_u64().unwrap_or_default();
            samples.push((Instant::now(), usize::try_from(settled).expect("a small number")));
            tokio::time::sleep(RETRY).await;
        }
    })
    .await;
    let before = samples.iter().rev().find(|(at, _)| at.elapsed() >= COMMITTED).map_or(0, |(_, settled)| *settled);
    samples.last().map_or(0, |(_, settled)| settled - before)
}

#[tokio::test]
async fn a_killed_engine_finds_everything_and_repeats_a_bounded_number() {
    let broker = kafka::shared().await;
    let topic = broker.topic(4, &[]).await;
    let kcat = Kcat::new(broker.address());
    let mut engine = engine(broker.address(), &topic, &["group: killed", "maxUncommitted: 100"]);
    engine.start().await;
    let ((), most) = tokio::join!(
        async {
            for part in 0..40 {
                send(&kcat, &topic, part * 500..(part + 1) * 500).await;
            }
        },
        async {
            let mut most = 0;
            for wanted in [4000, 9000, 14_000] {
                // What settled after the last commit, what had finished behind something slow, and what was in flight.
                most += settled_lately(&engine, wanted).await + 4 * 100 + 2 * 200;
                engine.kill().await;
                engine.start().await;
            }
            most
        }
    );
    let ids = file_has(&engine, 0..20_000).await;
    println!("{} of 20000 events repeated by 3 kills; {most} at most", repeated(&ids));
    assert_eq!(ids.len(), 20_000);
    assert!(repeated(&ids) <= most, "{} repeated, {most} at most", repeated(&ids));
    assert!(engine.terminate().await.success());
}
