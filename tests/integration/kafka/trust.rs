//! Who is let in: passwords, tokens and certificates, on the way in and on the way out.

use testkit::kafka::{Config, Kafka};

use super::*;

/// An engine from one topic to another with these lines on both sides.
fn copier(broker: &Kafka, security: &str) -> Tidemill {
    let output =
        format!("{{ kafka: {{ brokers: [\"{}\"], topic: copies, timeout: 2s, {security} }} }}", broker.address());
    into(broker.address(), "orders", &[security], &output)
}

/// Sends one message and waits for its copy.
async fn passes(kcat: &Kcat, count: usize) {
    send(kcat, "orders", count..count + 1).await;
    within("a copy", async {
        while kcat.consume("copies").await.len() <= count {
            tokio::time::sleep(RETRY).await;
        }
    })
    .await;
}

/// A token that nobody has signed, which the brokers of tests take.
fn token() -> String {
    // The header {"alg":"none"}, and claims for the user mill from 2001 to 2286, in base 64.
    let claims = "eyJzdWIiOiJtaWxsIiwiaWF0Ijo5ODAwMDAwMDAsImV4cCI6OTk5OTk5OTk5OX0";
    format!("eyJhbGciOiJub25lIn0.{claims}.")
}

#[tokio::test]
async fn a_password_or_a_token_opens_the_door_and_a_wrong_one_says_so_without_showing_it() {
    let broker = Kafka::start(Config::new().user("mill", "right")).await;
    let kcat = Kcat::new(broker.address())
        .property("security.protocol=sasl_plaintext")
        .property("sasl.mechanism=PLAIN")
        .property("sasl.username=mill")
        .property("sasl.password=right");
    broker.create_topic("orders", 4, &[]).await;
    broker.create_topic("copies", 4, &[]).await;
    let security = "sasl: { mechanism: PLAIN, user: mill, password: \"${env:MILL_PASSWORD}\" }";
    let mut stranger = copier(&broker, security).variable("MILL_PASSWORD", "s3cret");
    stranger.start_degraded().await;
    for path in [SOURCE, "/outputs/events"] {
        let said = error(&stranger, path, "check sasl.mechanism").await;
        assert!(!said.contains("s3cret") && said.contains(&broker.address().to_string()), "{said}");
    }
    stranger.terminate().await;

    let mut known = copier(&broker, security).variable("MILL_PASSWORD", "right");
    known.start().await;
    passes(&kcat, 0).await;
    assert!(known.terminate().await.success());

    for (count, hash) in [(1, "256"), (2, "512")] {
        let mechanism = format!("SCRAM-SHA-{hash}");
        let scram = security.replace("PLAIN", &mechanism);
        if hash == "256" {
            let mut stranger = copier(&broker, &scram).variable("MILL_PASSWORD", "s3cret");
            stranger.start_degraded().await;
            let said = error(&stranger, SOURCE, "check sasl.mechanism").await;
            assert!(!said.contains("s3cret"), "{said}");
            stranger.terminate().await;
        }
        let mut known = copier(&broker, &scram).variable("MILL_PASSWORD", "right");
        known.start().await;
        passes(&kcat, count).await;
        assert!(known.terminate().await.success());
    }

    let mut bearer = copier(&broker, "sasl: { mechanism: OAUTHBEARER, token: \"${file:token}\" }");
    bearer.write("token", &token());
    bearer.start().await;
    passes(&kcat, 3).await;
    assert!(bearer.terminate().await.success());
}

#[tokio::test]
async fn tls_needs_the_authority_and_mutual_tls_a_certificate_too() {
    let broker = Kafka::start(Config::new().mutual_tls()).await;
    let certificates = broker.certificates().expect("the broker speaks TLS");
    let folder = tempfile::tempdir().expect("a folder");
    certificates.write(folder.path());
    let file = |name: &str| folder.path().join(name).display().to_string();
    let (ca, cert, key) = (file("authority.pem"), file("client.pem"), file("client.key"));
    let kcat = Kcat::new(broker.address())
        .property("security.protocol=ssl")
        .property(&format!("ssl.ca.location={ca}"))
        .property(&format!("ssl.certificate.location={cert}"))
        .property(&format!("ssl.key.location={key}"));
    broker.create_topic("orders", 4, &[]).await;
    broker.create_topic("copies", 4, &[]).await;

    let mut stranger = copier(&broker, "tls: {}");
    stranger.start_degraded().await;
    let said = error(&stranger, SOURCE, "check tls.ca").await;
    assert!(said.contains("certificate verify failed"), "{said}");
    stranger.terminate().await;

    let mut known = copier(&broker, &format!("tls: {{ ca: {ca}, cert: {cert}, key: {key} }}"));
    known.start().await;
    passes(&kcat, 0).await;
    assert!(known.terminate().await.success());
}
