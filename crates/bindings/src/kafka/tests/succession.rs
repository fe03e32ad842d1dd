//! A producer that fails for good, as librdkafka's does when brokers have lost what they knew of it, and its successor.

use rdkafka::types::RDKafkaApiKey;

use super::*;

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
    tokio::time::timeout(LONG, connected).await.expect("the last one is up");
    assert_eq!(closed(producer, LONG).await, Ok(()));
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
    tokio::time::timeout(LONG, told).await.expect("it is said");
    let said = setup.link.read().last_error.unwrap();
    assert!(said.contains("IdempotentWrite") && said.contains(&cluster.bootstrap_servers()), "{said}");
    // Until the next one is due, events wait, and the end is not held up by them.
    let mut confirmations = Confirmations::default();
    let Confirm::Later(promise) = producer.publish(&event("low", "5"), confirmations.offer()) else { panic!() };
    confirmations.expect(&promise, 5);
    let Err(PublishError::Retry { error, .. }) = closed(producer, Duration::from_millis(50)).await else { panic!() };
    assert!(error.contains("1 events were not confirmed"), "{error}");
}
