//! Who is let in, on the way in and on the way out: passwords, tokens, nkeys, credentials, certificates.

use serde_json::json;
use testkit::nats::Operator;
use testkit::python;

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

/// An engine that publishes on `back` what it receives on `there`, with the same line on both sides.
fn passing(url: &str, identity: &str, jetstream: bool) -> Tidemill {
    let yaml = format!(
        "sources:
  fleet: {{ nats: {{ url: \"{url}\", subjects: [there], {identity} }} }}
outputs:
  back: {{ nats: {{ url: \"{url}\", subject: back, jetstream: {jetstream}, {identity} }} }}
triggers:
  all: {{ source: fleet, rules: {{ pass: {{ output: back }} }} }}
"
    );
    Tidemill::new(PROGRAM, &yaml)
}

/// Sends something there, and waits until it is back.
async fn returns(mut engine: Tidemill, mut peer: Peer) {
    peer.subscribe("back").await;
    engine.start().await;
    peer.publish("there", b"", b"{\"id\":\"1\"}").await;
    let delivery = peer.delivery().await;
    assert_eq!((delivery.subject.as_str(), &*delivery.payload), ("back", &b"{\"id\":\"1\"}"[..]));
    assert!(delivery.headers.contains("ce-natssubject: there"), "{}", delivery.headers);
    assert!(engine.terminate().await.success());
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
async fn an_nkey_and_credentials_open_it_for_an_output_too() {
    let users = format!("users: [{{ nkey: {PUBLIC} }}, {{ user: peer, password: right }}]");
    let server = Nats::start(Config::new().authorization(&users)).await;
    let peer = Peer::connect(server.address(), Some(("peer", "right"))).await;
    let by_nkey = passing(&server.url(), "nkey: \"${env:MILL_SEED}\"", false).variable("MILL_SEED", SEED);
    returns(by_nkey, peer).await;

    let operator = Operator::generate();
    let server = Nats::start(Config::new().line(&operator.lines())).await;
    let by_credentials = |credentials: String| {
        let engine = passing(&server.url(), "credentials: mill.creds", false);
        engine.write("mill.creds", &credentials);
        engine
    };
    let mut stranger = by_credentials(Operator::generate().credentials());
    stranger.start_degraded().await;
    for path in [SOURCE, "/outputs/back"] {
        assert!(error(&stranger, path, "refused the connection").await.contains("credentials"));
    }
    assert!(stranger.terminate().await.success());
    let peer = Peer::connect_as(server.address(), json!({ "jwt": operator.bearer() })).await;
    returns(by_credentials(operator.credentials()), peer).await;
}

/// Publishes there over TLS, and reads what came back into a stream.
const PASSES: &str = r#"
import asyncio, ssl, sys, nats
async def main():
    url, ca, cert, key = sys.argv[1:]
    context = ssl.create_default_context(cafile=ca)
    context.load_cert_chain(cert, key)
    nc = await nats.connect(url, tls=context, connect_timeout=60)
    js = nc.jetstream(timeout=60)
    await js.add_stream(name="OUT", subjects=["back"])
    await nc.publish("there", b'{"id":"1"}')
    message, = await (await js.pull_subscribe("back", "reader", stream="OUT")).fetch(1, timeout=150)
    print("came", message.headers["ce-natssubject"], message.data.decode())
    await nc.close()
asyncio.run(main())
"#;

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

    let mut stranger = passing(&server.url(), "tls: {}", true);
    stranger.start_degraded().await;
    assert!(error(&stranger, "/outputs/back", "TLS").await.contains("tls.ca"));
    assert!(stranger.terminate().await.success());
    let mut passing = passing(&server.url(), &tls, true);
    passing.start().await;
    let mut python = python::run(PASSES, &[&server.url(), &ca, &cert, &key]);
    assert_eq!(python.line("what came back", |line| line.starts_with("came")).await, "came there {\"id\":\"1\"}");
    assert!(python.wait().await.success());
    assert!(passing.terminate().await.success());
}
