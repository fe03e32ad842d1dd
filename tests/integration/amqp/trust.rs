//! Who is let in: certificates that log in by themselves, and virtual hosts.

use testkit::rabbitmq::{Config, RabbitMq, shared};

use super::*;

#[tokio::test]
async fn a_virtual_host_that_is_not_there_is_named() {
    let broker = shared().await;
    let (peer, queue) = (broker.peer().await, broker.name());
    peer.declare(&queue, "classic").await;
    let login = ["user: guest", "password: \"${env:MILL_PASSWORD}\""];
    let mut lost = engine(&format!("{}/nowhere", broker.url()), &queue, &login).variable("MILL_PASSWORD", "guest");
    lost.start_degraded().await;
    assert!(error(&lost, SOURCE, "virtual host").await.contains("/nowhere"));
    lost.terminate().await;

    let mut guest = engine(&broker.url(), &queue, &login).variable("MILL_PASSWORD", "guest");
    guest.start().await;
    send(&peer, &queue, 0..1).await;
    file_has(&guest, 0..1).await;
    drained(&mut guest, &peer, &queue).await;
}

#[tokio::test]
async fn a_certificate_logs_in_by_itself_for_sources_and_outputs() {
    let broker = RabbitMq::start(Config::new().mutual_tls()).await;
    let certificates = broker.certificates().expect("the broker speaks TLS");
    let folder = tempfile::tempdir().expect("a folder");
    certificates.write(folder.path());
    let file = |name: &str| folder.path().join(name).display().to_string();
    let (ca, cert, key) = (file("authority.pem"), file("client.pem"), file("client.key"));

    let mut stranger = engine(&broker.url(), "in", &[]);
    stranger.start_degraded().await;
    assert!(error(&stranger, SOURCE, "TLS handshake").await.contains("tls.ca"));
    stranger.terminate().await;

    let peer = broker.peer().await;
    for queue in ["in", "out"] {
        peer.declare(queue, "classic").await;
    }
    let tls = format!("tls: {{ ca: {ca}, cert: {cert}, key: {key} }}");
    let output = format!("{{ amqp: {{ url: \"{}\", routingKey: out, {tls} }} }}", broker.url());
    let mut engine = into(&broker.url(), "in", &[&tls], &output);
    engine.start().await;
    send(&peer, "in", 7..8).await;
    assert_eq!(peer.take("out").await.payload, b"{\"id\":\"7\"}");
    assert!(broker.control(&["list_connections", "user", "auth_mechanism"]).await.contains("EXTERNAL"));
    drained(&mut engine, &peer, "in").await;
}
