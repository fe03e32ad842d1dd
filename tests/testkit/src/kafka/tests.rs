//! The harness against the broker itself: readiness, restarts, passwords and TLS, all judged by kcat.

use super::*;
use crate::kcat::Kcat;

#[tokio::test]
async fn the_shared_broker_keeps_the_topics_of_tests_apart() {
    let broker = shared().await;
    assert_eq!(shared().await.address(), broker.address());
    let (one, two) = (broker.topic(1, &[]).await, broker.topic(2, &[("cleanup.policy", "compact")]).await);
    assert_ne!(one, two);
    let kcat = Kcat::new(broker.address());
    kcat.produce(&one, &["-k", "key", "-H", "a=b", "-H", "a=c"], &["first", "second"]).await;
    let records = kcat.consume(&one).await;
    assert_eq!(records.len(), 2);
    assert_eq!((records[1].offset, records[1].payload.as_deref()), (1, Some("second")));
    assert_eq!(records[0].key.as_deref(), Some("key"));
    assert_eq!(records[0].headers, [("a".to_owned(), "b".to_owned()), ("a".to_owned(), "c".to_owned())]);
    assert!(kcat.consume(&two).await.is_empty());
}

#[tokio::test]
async fn what_was_confirmed_survives_a_kill() {
    let mut broker = Kafka::start(Config::new()).await;
    broker.create_topic("kept", 1, &[]).await;
    let kcat = Kcat::new(broker.address());
    kcat.produce("kept", &[""; 0], &["before"]).await;
    broker.kill().await;
    broker.restart().await;
    kcat.produce("kept", &[""; 0], &["after"]).await;
    let payloads: Vec<_> = kcat.consume("kept").await.into_iter().filter_map(|record| record.payload).collect();
    assert_eq!(payloads, ["before", "after"]);
}

#[tokio::test]
async fn a_password_and_a_token_let_their_user_in() {
    let broker = Kafka::start(Config::new().user("fleet", "secret")).await;
    let plain = Kcat::new(broker.address())
        .property("security.protocol=sasl_plaintext")
        .property("sasl.mechanism=PLAIN")
        .property("sasl.username=fleet")
        .property("sasl.password=secret");
    plain.produce("mechanisms", &[""; 0], &["PLAIN"]).await;
    let unsigned = Kcat::new(broker.address())
        .property("security.protocol=sasl_plaintext")
        .property("sasl.mechanism=OAUTHBEARER")
        .property("enable.sasl.oauthbearer.unsecure.jwt=true")
        .property("sasl.oauthbearer.config=principal=fleet");
    unsigned.produce("mechanisms", &[""; 0], &["OAUTHBEARER"]).await;
    assert_eq!(unsigned.consume("mechanisms").await.len(), 2);
}

#[tokio::test]
async fn mutual_tls_lets_the_right_client_in() {
    let broker = Kafka::start(Config::new().mutual_tls()).await;
    let certificates = broker.certificates().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        std::fs::write(folder.path().join(name), text).unwrap();
        folder.path().join(name).display().to_string()
    };
    let kcat = Kcat::new(broker.address())
        .property("security.protocol=ssl")
        .property(&format!("ssl.ca.location={}", file("ca.pem", &certificates.authority)))
        .property(&format!("ssl.certificate.location={}", file("client.pem", &certificates.client)))
        .property(&format!("ssl.key.location={}", file("client.key", &certificates.client_key)));
    kcat.produce("secured", &[""; 0], &["message"]).await;
    assert_eq!(kcat.consume("secured").await.len(), 1);
}

#[tokio::test]
#[should_panic(expected = "kafka ended with")]
async fn a_broken_configuration_fails_with_its_log() {
    Kafka::start(Config::new().line("num.partitions=none")).await;
}
