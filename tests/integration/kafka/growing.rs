//! Topics that grow, and groups that begin at the end of what is there: `initialOffset: latest` skips what was written before
//! the group, and nothing that was written after.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use testkit::kafka;
use testkit::patience::LIMIT;

use super::*;

/// Adds partitions to a topic until it has so many, and puts numbers into the last of them, before anybody can know.
async fn grow(broker: SocketAddr, topic: &str, partitions: i32, numbers: std::ops::Range<usize>) {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker.to_string());
    let admin: AdminClient<DefaultClientContext> = config.create().expect("a client");
    let wanted = NewPartitions::new(topic, usize::try_from(partitions).expect("a few"));
    let grown = admin.create_partitions(&[wanted], &AdminOptions::new()).await.expect("an answer");
    assert!(grown.iter().all(Result::is_ok), "{grown:?}");
    let topic = topic.to_owned();
    let sent = tokio::task::spawn_blocking(move || {
        let producer: BaseProducer = config.create().expect("a producer");
        let known = || {
            let metadata = producer.client().fetch_metadata(Some(&topic), LIMIT).expect("an answer");
            let there = metadata.topics()[0].partitions();
            there.len() == usize::try_from(partitions).expect("a few") && there.iter().all(|part| part.leader() >= 0)
        };
        while !known() {
            producer.poll(Duration::from_millis(50));
        }
        for number in numbers {
            let payload = format!("{{\"id\":\"{number}\"}}");
            let record = BaseRecord::<(), _>::to(&topic).partition(partitions - 1).payload(&payload);
            producer.send(record).map_err(|(cause, _)| cause).expect("room");
        }
        producer.flush(LIMIT).expect("everything is confirmed");
    });
    sent.await.expect("they are sent");
}

#[tokio::test]
async fn partitions_that_are_made_later_are_read_from_their_beginning() {
    let broker = kafka::shared().await;
    let kcat = Kcat::new(broker.address());
    let topic = broker.topic(1, &[]).await;
    send(&kcat, &topic, 0..10).await;
    let group = format!("group: {topic}");
    let mut engine = engine(broker.address(), &topic, &[&group, "initialOffset: latest"]);
    engine.start().await;
    grow(broker.address(), &topic, 2, 10..30).await;
    file_has(&engine, 10..30).await;
    // While nobody runs, too: the group has been there before them.
    let heard = stopped(&mut engine).await;
    grow(broker.address(), &topic, 3, 30..50).await;
    engine.start().await;
    let ids = file_has(&engine, 10..50).await;
    assert_eq!(ids.len(), 40, "what was there before the group is skipped");
    let heard = stopped(&mut engine).await && heard;
    assert!(repeated(&ids) == 0 || !heard, "{ids:?}");
}

#[tokio::test]
async fn members_that_begin_a_group_together_read_none_of_what_was_there() {
    let broker = kafka::shared().await;
    let kcat = Kcat::new(broker.address());
    let topic = broker.topic(8, &[]).await;
    send(&kcat, &topic, 0..200).await;
    let group = format!("group: {topic}");
    let options = [group.as_str(), "initialOffset: latest"];
    let [mut one, mut two] = [(), ()].map(|()| engine(broker.address(), &topic, &options));
    tokio::join!(one.start(), two.start());
    send(&kcat, &topic, 1000..1200).await;
    let ids = files_have(&[&one, &two], 1000..1200).await;
    let early: Vec<_> = ids.keys().filter(|id| id.len() < 4).collect();
    assert!(early.is_empty(), "{early:?}");
    for engine in [&mut one, &mut two] {
        assert!(engine.terminate().await.success());
    }
}
