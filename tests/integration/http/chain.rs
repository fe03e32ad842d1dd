//! One engine posts to the next: what arrives is what was sent, and a next one that is away is waited for.

use serde_json::Value;
use testkit::certificates::Certificates;
use testkit::patience::within;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

/// An engine that posts on what is posted to it.
fn forwarder(address: SocketAddr, next: SocketAddr, options: &str) -> Tidemill {
    let yaml = format!(
        "sources:
  hook: {{ http: {{ listen: \"{address}\" }}, ack: processed }}
outputs:
  next: {{ http: {{ url: \"http://{next}/\", {options} }} }}
triggers:
  hooks:
    source: hook
    rules:
      forward: {{ output: next, retry: {{ hold: source, maxAttempts: 1000, backoffDelay: 20ms, maxDelay: 500ms }} }}
"
    );
    Tidemill::new(PROGRAM, &yaml)
}

/// Posts bytes that are no text, with every kind of attribute.
async fn post_bytes(address: SocketAddr, body: &[u8]) {
    let mut request = format!(
        "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\
         content-type: application/octet-stream\r\nce-specversion: 1.0\r\nce-id: a%20b%E2%82%AC\r\nce-type: t\r\n\
         ce-source: /test\r\nce-time: 2026-11-21T06:58:00.120Z\r\nce-unknown: kept%25\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend(body);
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&request).await.unwrap();
    let mut answer = String::new();
    within("the answer", stream.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
}

#[tokio::test]
async fn a_payload_is_the_same_behind_two_engines_in_either_mode() {
    for mode in ["binary", "structured"] {
        let (first, second) = (port::free(), port::free());
        let mut far = engine(second, 10, &[]);
        let mut near = forwarder(first, second, &format!("mode: {mode}"));
        far.start().await;
        near.start().await;
        let odd = "{\"b\": 1.10,  \"a\":[12345678901234567890123], \"é\":\"\\u00e9\"}";
        assert_eq!(post(first, "json", odd).await.unwrap().status, 202);
        post_bytes(first, b"\xff\x00\x80").await;
        let content = std::fs::read_to_string(far.folder().join("events.jsonl")).unwrap();
        assert!(content.contains(&format!("\"data\":{odd}")), "{mode}: {content}");
        let events = events(&far);
        let binary = events.iter().find(|event| event["id"] == "a b€").expect("the second event");
        assert_eq!(binary["data_base64"], "/wCA", "{mode}");
        assert_eq!((&binary["unknown"], &binary["time"]), (&"kept%".into(), &"2026-11-21T06:58:00.120Z".into()));
        assert_eq!(events.len(), 2);
        assert_eq!(near.terminate().await.code(), Some(0));
        assert_eq!(far.terminate().await.code(), Some(0));
    }
}

#[tokio::test]
async fn a_next_engine_that_is_away_is_waited_for() {
    let (first, second) = (port::free(), port::free());
    let mut far = engine(second, 10, &[]);
    let mut near = forwarder(first, second, "timeout: 10s");
    near.start().await;
    let posted = tokio::spawn(async move { post(first, "patient", "{}").await });
    let failed = |status: &Value| status["rules"]["hooks/forward"]["failedAttempts"].as_u64() > Some(1);
    let status = near.status_where("failed attempts", failed).await;
    let said = status["outputs"]["next"]["lastError"].as_str().unwrap();
    assert!(said.contains(&format!("no answer from http://{second}")), "{said}");
    assert!(!posted.is_finished());
    far.start().await;
    assert_eq!(within("the answer", posted).await.unwrap().unwrap().status, 202);
    file_has(&far, ["patient"]).await;
    assert_eq!(near.terminate().await.code(), Some(0));
    assert_eq!(far.terminate().await.code(), Some(0));
}

#[tokio::test]
async fn certificates_say_who_posts_and_who_receives() {
    let certificates = Certificates::generate();
    let (first, second) = (port::free(), port::free());
    let mut far = engine(second, 10, &["tls: { cert: server.pem, key: server.key, clientCa: authority.pem }"]);
    let yaml = |tls: &str| {
        format!(
            "sources:
  hook: {{ http: {{ listen: \"{first}\" }}, ack: processed }}
outputs:
  next: {{ http: {{ url: \"https://localhost:{}/\", timeout: 60s, tls: {{ {tls} }} }} }}
triggers:
  hooks:
    source: hook
    rules:
      forward: {{ output: next, retry: {{ hold: source, maxAttempts: 2, backoffDelay: 20ms }} }}
",
            second.port()
        )
    };
    let mut near = Tidemill::new(PROGRAM, &yaml("ca: authority.pem"));
    certificates.write(far.folder());
    certificates.write(near.folder());
    far.start().await;
    near.start().await;
    // Without a certificate of its own it is not let in, and says so until the rule gives up.
    assert_eq!(post(first, "stranger", "{}").await.unwrap().status, 202);
    let status = near.status().await;
    assert_eq!(status["rules"]["hooks/forward"]["deadLetters"]["exhausted"], 1);
    assert!(status["outputs"]["next"]["lastError"].as_str().unwrap().contains("no answer from https://localhost:"));
    assert_eq!(near.terminate().await.code(), Some(0));

    near.write("tidemill.yaml", &yaml("ca: authority.pem, cert: client.pem, key: client.key"));
    near.start().await;
    assert_eq!(post(first, "known", "{}").await.unwrap().status, 202);
    assert_eq!(kept(&far), HashSet::from(["known".to_owned()]));
    assert_eq!(near.terminate().await.code(), Some(0));
    assert_eq!(far.terminate().await.code(), Some(0));
}
