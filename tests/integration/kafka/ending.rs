//! How an engine ends, and what its group is told before.

use testkit::kafka;
use testkit::patience::until;

use super::*;

#[tokio::test]
async fn stopping_under_load_repeats_nothing() {
    let broker = kafka::shared().await;
    let topic = broker.topic(4, &[]).await;
    let kcat = Kcat::new(broker.address());
    let mut engine = engine(broker.address(), &topic, &["group: stopping"]);
    engine.start().await;
    let ((), heard) = tokio::join!(
        async {
            for part in 0..10 {
                send(&kcat, &topic, part * 1000..(part + 1) * 1000).await;
            }
        },
        async {
            let mut heard = true;
            for wanted in [500, 4000, 7000] {
                file_has(&engine, wanted..wanted + 1).await;
                heard &= stopped(&mut engine).await;
                engine.start().await;
            }
            heard
        }
    );
    let ids = file_has(&engine, 0..10_000).await;
    let heard = stopped(&mut engine).await && heard;
    assert_eq!(ids.len(), 10_000);
    assert!(repeated(&ids) == 0 || !heard, "{} repeated", repeated(&ids));
}

/// Kills the engine once its group has committed as many events as are wanted, and answers how many more than those it had
/// finished by then: what comes back. Nothing here depends on how fast the machine is.
async fn kill_at(engine: &mut Tidemill, broker: SocketAddr, topic: &str, wanted: i64) -> usize {
    let committed = async || kafka::committed(broker, "killed", topic, 4).await;
    until("a commit of what has settled", async || (committed().await >= wanted).then_some(())).await;
    engine.kill().await;
    let committed = usize::try_from(committed().await).expect("a small number");
    let finished = ids(engine).len();
    finished.checked_sub(committed).expect("only what is in the file was committed")
}

#[tokio::test]
async fn a_killed_engine_finds_everything_and_repeats_what_it_had_not_committed() {
    let broker = kafka::shared().await;
    let topic = broker.topic(4, &[]).await;
    let kcat = Kcat::new(broker.address());
    let mut engine = engine(broker.address(), &topic, &["group: killed", "maxUncommitted: 100"]);
    engine.start().await;
    let ((), (most, heard)) = tokio::join!(
        async {
            for part in 0..40 {
                send(&kcat, &topic, part * 500..(part + 1) * 500).await;
            }
        },
        async {
            let (mut most, mut heard) = (0, true);
            for wanted in [4000, 9000, 14_000] {
                most += kill_at(&mut engine, broker.address(), &topic, wanted).await;
                heard &= !said_again(&mut engine);
                engine.start().await;
            }
            (most, heard)
        }
    );
    let ids = file_has(&engine, 0..20_000).await;
    println!("{} of 20000 events repeated by 3 kills; {most} at most", repeated(&ids));
    assert_eq!(ids.len(), 20_000);
    let heard = stopped(&mut engine).await && heard;
    assert!(repeated(&ids) <= most || !heard, "{} repeated, {most} at most", repeated(&ids));
}
