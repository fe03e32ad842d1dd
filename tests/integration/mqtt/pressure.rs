//! Messages that are too large or no events, among messages that are.

use testkit::mosquitto::{Config, Mosquitto};

use super::*;

#[tokio::test]
async fn what_cannot_be_an_event_is_kept_aside_and_the_rest_goes_on() {
    for version in ["version: 5", "version: 3.1.1"] {
        let broker = Mosquitto::start(Config::profile()).await;
        let mut engine = engine(&broker.url(), &["maxPacketSize: 64KiB", version]);
        engine.start().await;
        let publisher = publisher(&broker).await;
        send(&publisher, 0..50).await;
        let topic = "v1/demo/veh-1/telemetry";
        publisher.send("large", topic, vec![b'x'; 300_000]).await;
        publisher.send("no-id", topic, "{\"other\":1}").await;
        publisher.send("no-json", topic, "\u{0}\u{1}").await;
        send(&publisher, 50..100).await;
        let fates = publisher.close().await;
        assert_eq!(fates.confirmed.len(), 103);
        let wanted: Vec<String> = (0..100).map(|number| number.to_string()).collect();
        file_has(&engine, &wanted).await;
        let status =
            engine.status_where("three rejected messages", |status| status["sources"]["fleet"]["rejected"] == 3).await;
        assert_balanced(&status);
        let rejects = dead_letters(&engine).await;
        assert_eq!(rejects.lines().count(), 3);
        assert!(rejects.contains("maxPacketSize") && rejects.contains("event.id"), "{version}");
        assert!(engine.terminate().await.success());
    }
}
