//! Who is let in: passwords, tokens, nkeys, certificates.

use super::*;

/// A pair of keys that only these tests know.
const SEED: &str = "SUAAAAICAMCAKBQHBAEQUCYMBUHA6EARCIJRIFIWC4MBSGQ3DQOR4H776Y";
const PUBLIC: &str = "UAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3RLKK";

/// Publishes on a core subject until the event is in the file.
async fn passes(engine: &Tidemill, server: &Nats) {
    let mut peer = server.peer().await;
    peer.publish("v1.demo.veh-1.telemetry", b"", b"{\"id\":\"1\"}").await;
    peer.flush().await;
    file_has(engine, 1..2).await;
}

#[tokio::test]
async fn a_password_opens_the_door_and_a_wrong_one_says_so_without_showing_it() {
    let server = Nats::start(Config::new().user("mill", "right")).await;
    let options = ["user: mill", "password: \"${env:MILL_PASSWORD}\""];
    let mut refused = engine(&server.url(), &options).variable("MILL_PASSWORD", "s3cret");
    refused.start_degraded().await;
    let said = error(&refused, SOURCE, "refused the connection").await;
    assert!(said.contains("Authorization Violation") && said.contains("correct user and password"), "{said}");
    assert!(!said.contains("s3cret"), "{said}");
    assert!(refused.terminate().await.success());
    let log = refused.process().lines().all().join("\n");
    assert!(!log.contains("s3cret"), "{log}");

    let mut engine = engine(&server.url(), &options).variable("MILL_PASSWORD", "right");
    engine.start().await;
    passes(&engine, &server).await;
    assert!(engine.terminate().await.success());
}

#[tokio::test]
async fn a_token_and_an_nkey_open_it_too() {
    let server = Nats::start(Config::new().authorization("token: t0ken")).await;
    let mut by_token = engine(&server.url(), &["token: t0ken"]);
    by_token.start().await;
    assert!(by_token.terminate().await.success());

    let server = Nats::start(Config::new().authorization(&format!("users: [{{ nkey: {PUBLIC} }}]"))).await;
    let mut by_nkey = engine(&server.url(), &["nkey: \"${env:MILL_SEED}\""]).variable("MILL_SEED", SEED);
    by_nkey.start().await;
    assert!(by_nkey.terminate().await.success());
    let mut stranger = engine(&server.url(), &[]);
    stranger.start_degraded().await;
    error(&stranger, SOURCE, "refused the connection").await;
    assert!(stranger.terminate().await.success());
}

#[tokio::test]
async fn tls_needs_the_authority_and_mutual_tls_a_certificate_too() {
    let server = Nats::start(Config::new().mutual_tls()).await;
    let certificates = server.certificates().expect("the server speaks TLS");
    let folder = tempfile::tempdir().expect("a folder");
    certificates.write(folder.path());
    let file = |name: &str| folder.path().join(name).display().to_string();
    let (ca, cert, key) = (file("authority.pem"), file("client.pem"), file("client.key"));

    let mut stranger = engine(&server.url(), &[]);
    stranger.start_degraded().await;
    assert!(error(&stranger, SOURCE, "TLS handshake").await.contains("tls.ca"));
    assert!(stranger.terminate().await.success());
    let mut plain = engine(&server.url().replace("tls://", "nats://"), &[]);
    plain.start_degraded().await;
    error(&plain, SOURCE, "requires TLS").await;
    assert!(plain.terminate().await.success());

    let tls = format!("tls: {{ ca: {ca}, cert: {cert}, key: {key} }}");
    let mut durable = DURABLE.to_vec();
    durable.push(&tls);
    let mut engine = engine(&server.url(), &durable);
    engine.start().await;
    assert!(engine.terminate().await.success());
}
