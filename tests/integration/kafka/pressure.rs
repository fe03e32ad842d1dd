//! Messages that cannot be events, and engines that are full.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use testkit::{kafka, port};

use super::*;

#[tokio::test]
async fn what_cannot_be_an_event_is_kept_and_stalls_nothing() {
    let broker = kafka::shared().await;
    let topic = broker.topic(1, &[("max.message.bytes", "5000000")]).await;
    let kcat = Kcat::new(broker.address());
    let core = ["-H", "ce_specversion=1.0", "-H", "ce_type=t", "-H", "ce_source=/s"];
    kcat.produce(&topic, &core, &["no id"]).await;
    kcat.produce(&topic, &["-H", "content-type=application/cloudevents+json"], &["{"]).await;
    kcat.produce(&topic, &["-H", "content-type=a/b", "-H", "content-type=a/c"], &["two"]).await;
    let bytes = |bytes| OsStr::from_bytes(bytes);
    kcat.produce(&topic, &[bytes(b"-H"), bytes(b"content-type=\xff")], &["no UTF-8"]).await;
    kcat.produce(&topic, &[bytes(b"-H"), bytes(b"\xff=1")], &["no name"]).await;
    kcat.produce_bytes(&topic, &[], &vec![b'x'; 3_000_000]).await;
    kcat.produce_bytes(&topic, &[], &[b'{'; 100]).await;
    let large = format!("{{\"id\":\"1\",\"fill\":\"{}\"}}", "y".repeat(900_000));
    kcat.produce_bytes(&topic, &["-k", "k"], large.as_bytes()).await;
    kcat.produce(&topic, &PLAIN, &["{\"id\":\"0\"}"]).await;

    let mut engine = engine(broker.address(), &topic, &["group: refused", "maxMessageSize: 2MiB"]);
    engine.start().await;
    file_has(&engine, 0..2).await;
    let status = engine.status_where("every reject", |status| status["sources"]["orders"]["rejected"] == 7).await;
    assert_balanced(&status);
    engine.status_where("no lag", |status| status["sources"]["orders"]["lag"] == 0).await;
    let rejects = dead_letters(&engine).await;
    for part in [
        "attribute 'id' is missing",
        "not a CloudEvent in JSON",
        "'content-type' appears twice",
        "header 'content-type' cannot be read: it is not UTF-8 from byte 0 on",
        "the name of a header is not UTF-8",
        "the payload has 3000000 bytes, which is more than maxMessageSize (2097152); 65536 of them are kept",
        "which event.id names",
        topic.as_str(),
    ] {
        assert!(rejects.contains(part), "{part} is not in\n{rejects:.3000}");
    }
    let heard = stopped(&mut engine).await;
    engine.start().await;
    send(&kcat, &topic, 5..6).await;
    let ids = file_has(&engine, 5..6).await;
    assert!(engine.terminate().await.success());
    assert!(repeated(&ids) == 0 || !heard, "what was refused had been committed");
}

#[tokio::test]
async fn a_full_engine_waits_stays_in_its_group_and_goes_on() {
    let broker = kafka::shared().await;
    let topic = broker.topic(4, &[]).await;
    let kcat = Kcat::new(broker.address());
    let gone = port::free();
    let output = format!("{{ kafka: {{ brokers: [\"{gone}\"], topic: copies, timeout: 1s }} }}");
    let options = ["group: full"];
    let full =
        |instance: &str| into(broker.address(), &topic, &options, &output).variable("TIDEMILL_INSTANCE", instance);
    let (mut one, mut two) = (full("one"), full("two"));
    one.start().await;
    send(&kcat, &topic, 0..2000).await;
    let full = |status: &Value| {
        let source = &status["sources"]["orders"];
        // One message waits for a seat, and is neither at the broker nor received.
        source["inFlight"] == 200 && source["received"] == 200 && source["lag"] == 1799
    };
    one.status_where("an engine that is full", full).await;
    // It answers the group although it takes nothing: the second member gets its share.
    two.start().await;
    two.status_where("a share", |status| status["sources"]["orders"]["inFlight"].as_u64() > Some(0)).await;
    assert_balanced(&one.status().await);

    let config = kafka::Config::new().line("auto.create.topics.enable=false").behind(gone, gone);
    let target = kafka::Kafka::start(config).await;
    target.create_topic("copies", 4, &[]).await;
    let copies = Kcat::new(target.address());
    within("every event in the other cluster", async {
        loop {
            let copied = copies.consume("copies").await;
            let ids: std::collections::HashSet<_> = copied.iter().filter_map(|record| record.payload.clone()).collect();
            if ids.len() == 2000 {
                return;
            }
        }
    })
    .await;
    for engine in [&mut one, &mut two] {
        engine.status_where("no lag", |status| status["sources"]["orders"]["lag"] == 0).await;
        assert!(engine.terminate().await.success());
    }
}
