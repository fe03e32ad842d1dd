//! The harness against the broker itself: readiness, restarts, limits, passwords and TLS.

use super::*;
use crate::client::{Acks, Subscriber};
use crate::packet::publish as publish_packet;
use crate::patience::within;

async fn publish(publisher: &Publisher, ids: std::ops::Range<usize>) {
    for id in ids {
        publisher.send(&id.to_string(), "a/b", id.to_string()).await;
    }
}

#[tokio::test]
async fn it_answers_as_soon_as_it_is_started() {
    let broker = Mosquitto::start(Config::new()).await;
    assert_eq!(connack_from(broker.address()).await, Some(0));
    assert_eq!(broker.url(), format!("mqtt://{}", broker.address()));
}

#[tokio::test]
async fn under_the_profile_a_stop_loses_nothing() {
    let mut broker = Mosquitto::start(Config::profile()).await;
    let settings = Settings::new(broker.address(), "engine");
    let away = Subscriber::connect(settings.clone(), &["#"], Acks::AtOnce).await;
    away.close().await;
    let publisher = Publisher::connect(Settings::new(broker.address(), "fleet")).await;
    publish(&publisher, 0..3000).await;
    assert_eq!(publisher.settle().await.confirmed.len(), 3000);
    broker.stop().await;
    broker.restart().await;
    let back = Subscriber::connect(settings, &[], Acks::AtOnce).await;
    assert!(back.session_present());
    back.deliveries(3000).await;
    assert_eq!(back.ids().len(), 3000);
    publisher.connected(2).await;
}

#[tokio::test]
async fn a_killed_broker_has_forgotten_its_sessions() {
    let mut broker = Mosquitto::start(Config::profile()).await;
    let settings = Settings::new(broker.address(), "engine");
    Subscriber::connect(settings.clone(), &["#"], Acks::AtOnce).await.close().await;
    broker.kill().await;
    broker.restart().await;
    let back = Subscriber::connect(settings, &[], Acks::AtOnce).await;
    assert!(!back.session_present());
}

#[tokio::test]
async fn a_withheld_window_is_no_larger_than_the_receive_maximum() {
    let broker = Mosquitto::start(Config::profile()).await;
    let settings = Settings::new(broker.address(), "slow").receive_maximum(100);
    let mut slow = Subscriber::connect(settings, &["#"], Acks::Withheld).await;
    let publisher = Publisher::connect(Settings::new(broker.address(), "fleet")).await;
    publish(&publisher, 0..1000).await;
    publisher.close().await;
    slow.deliveries(100).await;
    assert_eq!(slow.received().len(), 100);
    let mut acknowledged = 0;
    while acknowledged < 1000 {
        slow.deliveries(acknowledged + 1).await;
        acknowledged += slow.acknowledge().await;
    }
    assert_eq!(slow.ids().len(), 1000);
}

#[tokio::test]
async fn a_wrong_password_is_refused() {
    let broker = Mosquitto::start(Config::new().user("fleet", "secret")).await;
    assert_eq!(connack_from(broker.address()).await, Some(5));
    let settings = Settings::new(broker.address(), "a").credentials("fleet", "secret").clean();
    Publisher::connect(settings).await.close().await;
}

#[tokio::test]
async fn tls_and_mutual_tls_let_the_right_clients_in() {
    let broker = Mosquitto::start(Config::new().tls().user("fleet", "secret")).await;
    assert!(broker.url().starts_with("mqtts://"));
    let certificates = broker.certificates().unwrap();
    let settings = Settings::new(broker.address(), "a").credentials("fleet", "secret");
    Publisher::connect(settings.tls(&certificates.authority, None)).await.close().await;

    let mutual = Mosquitto::start(Config::new().mutual_tls()).await;
    let certificates = mutual.certificates().unwrap();
    let identity = Some((certificates.client.as_str(), certificates.client_key.as_str()));
    let settings = Settings::new(mutual.address(), "a").tls(&certificates.authority, identity);
    Publisher::connect(settings).await.close().await;
}

#[tokio::test]
async fn a_line_of_its_configuration_is_obeyed() {
    let broker = Mosquitto::start(Config::new().line("max_packet_size 100")).await;
    let mut stream = TcpStream::connect(broker.address()).await.unwrap();
    stream.write_all(&connect(Version::V311, "large")).await.unwrap();
    let mut connack = [0; 4];
    stream.read_exact(&mut connack).await.unwrap();
    assert_eq!(connack, [0x20, 2, 0, 0]);
    stream.write_all(&publish_packet(Version::V311, "a", 1, &[b'x'; 200])).await.unwrap();
    let mut answer = Vec::new();
    // Hanging up on unread bytes shows as a reset, after them as an end; both are hanging up.
    let _ = within("the broker to hang up", stream.read_to_end(&mut answer)).await;
    assert!(answer.is_empty(), "a PUBLISH over the limit was answered: {answer:?}");
}

#[tokio::test]
#[should_panic(expected = "mosquitto ended with")]
async fn a_broken_configuration_fails_with_its_log() {
    Mosquitto::start(Config::new().line("no_such_option 1")).await;
}
