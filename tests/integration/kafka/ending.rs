//! How an engine ends, and what its group is told before.

use testkit::kafka;

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
                files_have(&[&engine], wanted..wanted + 1).await;
                assert!(engine.terminate().await.success());
                engine.start().await;
            }
        }
    );
    let ids = files_have(&[&engine], 0..10_000).await;
    assert_eq!((ids.len(), repeated(&ids)), (10_000, 0));
    assert!(engine.terminate().await.success());
}

#[tokio::test]
async fn a_killed_engine_finds_everything_and_repeats_a_bounded_number() {
    let broker = kafka::shared().await;
    let topic = broker.topic(4, &[]).await;
    let kcat = Kcat::new(broker.address());
    let mut engine = engine(broker.address(), &topic, &["group: killed", "maxUncommitted: 100"]);
    engine.start().await;
    let kills = 3;
    let ((), most) = tokio::join!(
        async {
            for part in 0..10 {
                send(&kcat, &topic, part * 800..(part + 1) * 800).await;
            }
        },
        async {
            let mut most = 0;
            for wanted in [500, 3000, 5000] {
                files_have(&[&engine], wanted..wanted + 1).await;
                let settled = engine.status().await["sources"]["orders"]["settled"].as_u64().unwrap_or_default();
                engine.kill().await;
                // What this run has finished is the most that it can have left uncommitted.
                most += usize::try_from(settled).expect("a small number") + 200;
                engine.start().await;
            }
            most
        }
    );
    let ids = files_have(&[&engine], 0..8000).await;
    println!("{} of 8000 events repeated by {kills} kills; {most} at most", repeated(&ids));
    assert_eq!(ids.len(), 8000);
    assert!(repeated(&ids) <= most + kills * 1000, "{} repeated", repeated(&ids));
    assert!(engine.terminate().await.success());
}
