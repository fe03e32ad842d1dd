//! Who is let in, and by what: certificates, WebSocket.

use testkit::client::Settings;
use testkit::mosquitto::{Config, Mosquitto};

use super::*;

/// Sends one message and waits for it in the file.
async fn passes(engine: &Tidemill, settings: Settings) {
    let publisher = Publisher::connect(settings).await;
    send(&publisher, 0..1).await;
    let fates = publisher.close().await;
    assert_eq!(file_has(engine, &fates.confirmed).await.len(), 1);
}

#[tokio::test]
async fn tls_needs_the_authority_and_mutual_tls_a_certificate_too() {
    let broker = Mosquitto::start(Config::profile().mutual_tls()).await;
    let certificates = broker.certificates().expect("the broker speaks TLS");
    let folder = tempfile::tempdir().expect("a folder");
    certificates.write(folder.path());
    let file = |name: &str| folder.path().join(name).display().to_string();
    let (ca, cert, key) = (file("authority.pem"), file("client.pem"), file("client.key"));

    let mut stranger = engine(&broker.url(), &[]);
    stranger.start_degraded().await;
    assert!(error(&stranger, SOURCE, "TLS handshake").await.contains("tls.ca"));
    stranger.terminate().await;

    let tls = format!("tls: {{ ca: {ca}, cert: {cert}, key: {key} }}");
    let mut engine = engine(&broker.url(), &[&tls]);
    engine.start().await;
    let identity = Some((certificates.client.as_str(), certificates.client_key.as_str()));
    let settings = Settings::new(broker.address(), "vehicles").tls(&certificates.authority, identity);
    passes(&engine, settings).await;
    assert!(engine.terminate().await.success());
}

#[tokio::test]
async fn websockets_carry_the_same() {
    let address = testkit::port::free();
    let listener = format!("listener {} 127.0.0.1", address.port());
    let broker = Mosquitto::start(Config::profile().line(&listener).line("protocol websockets")).await;
    let mut engine = engine(&format!("ws://{address}"), &[]);
    engine.start().await;
    passes(&engine, Settings::new(broker.address(), "vehicles")).await;
    assert!(engine.terminate().await.success());
}
