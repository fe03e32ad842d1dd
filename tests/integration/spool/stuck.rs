//! A rule that is stuck costs its broker nothing, and what waits comes in order.

use testkit::client::{Publisher, Settings};

use super::*;

#[tokio::test]
async fn a_stuck_rule_leaves_nothing_at_the_broker_and_what_waited_comes_in_order() {
    const COUNT: usize = 150;
    let broker = Mosquitto::start(Config::profile()).await;
    let network = Recorder::start(broker.address()).await;
    let sink = port::free();
    // One seat: nothing overtakes anything.
    let mut engine = Tidemill::new(PROGRAM, &yaml(&mqtt(network.address(), 1), sink, ""));
    engine.start().await;
    let publisher = Publisher::connect(Settings::new(broker.address(), "vehicles")).await;
    for number in 0..COUNT {
        publisher.send(&number.to_string(), "telemetry", message(number, 0)).await;
    }
    assert_eq!(publisher.close().await.confirmed.len(), COUNT);
    network.sees("every message acknowledged", |record| record.acknowledged_ids().len() == COUNT).await;
    let full = engine.status_where("all in the spool", |status| status["sources"]["fleet"]["settled"] == COUNT).await;
    assert_balanced(&full);
    assert_eq!((&spool(&full)["inFlight"], &spool(&full)["stored"]), (&1.into(), &(COUNT - 1).into()));
    assert!(spool(&full)["bytes"].as_u64() > Some(1000) && spool(&full)["oldestAgeSeconds"].is_number(), "{full}");
    assert!(engine.get("/metrics").await.body.contains("tidemill_spool_stored{source=\"fleet\"} 149\n"));

    // A stop finds the rule as stuck as ever: everything is durable, so that it is a good end.
    engine.process().ask();
    engine.process().line("the drain", |line| line.contains("draining")).await;
    engine.process().ask();
    let ended = engine.process().wait().await;
    assert_eq!(ended.code(), Some(0), "{:?}", engine.process().lines().all());

    engine.start().await;
    let recovered = engine.status().await;
    assert_eq!(spool(&recovered)["recovered"], COUNT, "{recovered}");
    let inbox = Inbox::open_at(sink).await;
    let wanted: Vec<String> = (0..COUNT).map(|number| number.to_string()).collect();
    assert_eq!(posted(&inbox, &wanted).await, wanted, "in order, and each once");
    assert_balanced(&idle(&engine).await);
    assert_eq!(network.record().deliveries(), COUNT, "the broker had nothing to send again");
    assert_eq!(engine.terminate().await.code(), Some(0));
}
