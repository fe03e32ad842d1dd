//! How an engine ends, and what comes again.

use testkit::rabbitmq::shared;

use super::*;

#[tokio::test]
async fn stopping_under_load_loses_nothing_and_a_classic_queue_repeats_nothing() {
    let broker = shared().await;
    for kind in ["classic", "quorum"] {
        let (peer, queue) = (broker.peer().await, broker.name());
        peer.declare(&queue, kind).await;
        let mut engine = engine(&broker.url(), &queue, &[]);
        engine.start().await;
        let ((), heard) = tokio::join!(send(&peer, &queue, 0..6000), async {
            let mut heard = true;
            for wanted in [500, 2000, 4000] {
                file_has(&engine, wanted..wanted + 1).await;
                heard &= stopped(&mut engine).await;
                engine.start().await;
            }
            heard
        });
        let ids = file_has(&engine, 0..6000).await;
        // A quorum queue may not have taken the last acknowledgements when the channel closed, and gives no sign of it.
        println!("{kind}: {} of 6000 repeated over three stops", repeated(&ids));
        let at_most = if kind == "classic" && heard { 0 } else { 600 };
        assert!(ids.len() == 6000 && repeated(&ids) <= at_most, "{kind}: {}", repeated(&ids));
        drained(&mut engine, &peer, &queue).await;
    }
}

#[tokio::test]
async fn a_killed_engine_finds_everything_when_it_returns() {
    let broker = shared().await;
    for kind in ["classic", "quorum"] {
        let (peer, queue) = (broker.peer().await, broker.name());
        peer.declare(&queue, kind).await;
        let mut engine = engine(&broker.url(), &queue, &[]);
        engine.start().await;
        let ((), ()) = tokio::join!(send(&peer, &queue, 0..6000), async {
            for wanted in [500, 2000, 4000] {
                file_has(&engine, wanted..wanted + 1).await;
                engine.kill().await;
                engine.start().await;
            }
        });
        let ids = file_has(&engine, 0..6000).await;
        println!("{kind}: {} of 6000 repeated over three kills, at most 200 seats each", repeated(&ids));
        assert!(ids.len() == 6000 && repeated(&ids) <= 600, "{kind}: {}", repeated(&ids));
        drained(&mut engine, &peer, &queue).await;
    }
}
