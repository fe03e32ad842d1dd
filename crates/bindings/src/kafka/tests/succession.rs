//! A producer that fails for good, as librdkafka's does when brokers have lost what they knew of it, and its successor.

use std::time::Duration;

use engine::port::Confirmations;
use rdkafka::mocking::MockCluster;
use rdkafka::types::RDKafkaApiKey;

use super::*;

/// How many numbers each producer of these tests may hold.
const ROOM: usize = 10;

/// A producer with little room and one key, so that everything is in one partition in its order.
fn producer(cluster: &MockCluster<'_, DefaultProducerContext>, setup: &Setup) -> Arc<Producer> {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", cluster.bootstrap_servers())
        .set("queue.buffering.max.messages", ROOM.to_string())
        .set("enable.idempotence", "true")
        .set("statistics.interval.ms", "100");
    let reports = Reports::new("alerts".into(), cluster.bootstrap_servers(), setup.link.clone(), None);
    let mut check = Check::default();
    let typed = |text: &str| engine::config::Spanned::new(text.to_owned(), Default::default());
    let form = Form {
        topic: crate::message::Template::compile(&typed("alerts"), &mut check),
        key: crate::message::Template::compile(&typed("same"), &mut check),
        mode: crate::message::Mode::Binary,
    };
    Producer::start(&config, reports, form).unwrap_or_else(|error| panic!("{error}"))
}

/// Publishes numbers and answers what became of each, in their order.
async fn send(producer: &Producer, numbers: std::ops::Range<usize>) -> Vec<(usize, Result<(), PublishError>)> {
    let mut confirmations = Confirmations::default();
    for number in numbers {
        let confirm = producer.publish(&event("low", number.to_string()), confirmations.offer());
        let Confirm::Later(promise) = confirm else { panic!("known before it was sent") };
        confirmations.expect(&promise, number);
    }
    let mut answers = Vec::new();
    let all = async {
        while !confirmations.is_empty() {
            confirmations.next(&mut answers).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), all).await.expect("this waits for ever");
    answers.sort_by_key(|(number, _)| *number);
    answers
}

async fn closed(producer: Arc<Producer>, patience: Duration) -> Result<(), PublishError> {
    tokio::task::spawn_blocking(move || producer.close(patience)).await.unwrap()
}

async fn payloads(cluster: &MockCluster<'_, DefaultProducerContext>, count: usize) -> Vec<usize> {
    let messages = consume(cluster, "alerts", count).await;
    let text = |message: &OwnedMessage| String::from_utf8_lossy(message.payload().unwrap()).into_owned();
    messages.iter().map(|message| text(message).parse().unwrap()).collect()
}

#[tokio::test]
async fn what_was_on_its_way_fails_and_what_waited_is_sent_in_order_by_the_next_one() {
    let cluster = cluster();
    cluster.create_topic("alerts", 1, 1).unwrap();
    let setup = setup("alerts", &Page::default());
    let producer = producer(&cluster, &setup);
    let mut wanted = Vec::new();
    for round in 0..3 {
        cluster
            .request_errors(RDKafkaApiKey::Produce, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER]);
        let answers = send(&producer, 0..200).await;
        let failed = answers.iter().take_while(|(_, outcome)| outcome.is_err()).count();
        assert!((1..=ROOM).contains(&failed), "round {round}: {failed} failed");
        for (_, outcome) in &answers[..failed] {
            let Err(PublishError::Retry { error, .. }) = outcome else { panic!("{outcome:?}") };
            assert!(error.contains("topic 'alerts'") && error.contains("may have been written"), "{error}");
        }
        assert!(answers[failed..].iter().all(|(_, outcome)| outcome.is_ok()), "those that waited lost nothing");
        let link = setup.link.read();
        let said = link.last_error.unwrap();
        assert!(said.contains("the producer failed for good") && said.contains("another one takes over"), "{said}");
        // Their rule tries those that failed again.
        assert!(send(&producer, 0..failed).await.iter().all(|(_, outcome)| outcome.is_ok()));
        wanted.extend((failed..200).chain(0..failed));
    }
    assert_eq!(payloads(&cluster, wanted.len()).await, wanted);
    let connected = async {
        while setup.link.read().connection != Connection::Connected {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), connected).await.expect("the last one is up");
    assert_eq!(closed(producer, Duration::from_secs(20)).await, Ok(()));
    assert_eq!(setup.link.read().connection, Connection::Stopped);
}

#[tokio::test]
async fn a_user_who_may_not_write_is_told_what_is_missing_and_not_asked_again_at_once() {
    let cluster = cluster();
    cluster.request_errors(
        RDKafkaApiKey::InitProducerId,
        &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED; 9],
    );
    let setup = setup("alerts", &Page::default());
    let producer = producer(&cluster, &setup);
    let answers = send(&producer, 0..5).await;
    assert!(answers.iter().all(|(_, outcome)| matches!(outcome, Err(PublishError::Retry { .. }))), "{answers:?}");
    let told = async {
        while setup.link.read().connection != Connection::Disconnected {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), told).await.expect("it is said");
    let said = setup.link.read().last_error.unwrap();
    assert!(said.contains("IdempotentWrite") && said.contains(&cluster.bootstrap_servers()), "{said}");
    // Until the next one is due, events wait, and the end is not held up by them.
    let mut confirmations = Confirmations::default();
    let Confirm::Later(promise) = producer.publish(&event("low", "5"), confirmations.offer()) else { panic!() };
    confirmations.expect(&promise, 5);
    let Err(PublishError::Retry { error, .. }) = closed(producer, Duration::from_millis(50)).await else { panic!() };
    assert!(error.contains("1 events were not confirmed"), "{error}");
}
