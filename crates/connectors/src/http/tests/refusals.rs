//! What is refused, in which words, and what is kept of it.

use super::*;

/// The answer to one request on a connection of its own.
async fn answer(mill: &Mill, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> harness::Answer {
    let mut client = mill.client().await;
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    client.send(format!("{head}\r\n").as_bytes()).await;
    client.send(body).await;
    client.answer().await
}

#[tokio::test]
async fn another_path_method_or_format_is_refused_before_anything_is_given() {
    let mut mill = Mill::start(r#"{"listen":"127.0.0.1:0","path":"/in","maxBodySize":"1KiB"}"#, 4).await;
    let two_types = [("content-type", "text/plain"), ("content-type", "application/json")];
    for (method, path, headers, body, status) in [
        ("POST", "/", &[][..], &b""[..], 404),
        ("POST", "/in/", &[], b"", 404),
        ("GET", "/in", &[], b"", 405),
        ("PUT", "/in", &[], b"{}", 405),
        ("OPTIONS", "/in", &[("webhook-request-origin", "a")], b"", 405),
        ("POST", "/in", &[("content-type", "application/cloudevents+avro")], b"x", 415),
        ("POST", "/in", &[("content-type", "application/cloudevents-batch+xml")], b"x", 415),
        ("POST", "/in", &[("content-encoding", "gzip")], b"x", 415),
        ("POST", "/in", &two_types, b"x", 400),
        ("POST", "/in", &[("content-type", "text/\u{e9}")], b"x", 400),
    ] {
        let answer = answer(&mill, method, path, headers, body).await;
        assert_eq!(answer.status, status, "{method} {path} {headers:?}: {}", answer.body);
        assert!(answer.body.starts_with("{\"error\":\""), "{}", answer.body);
        assert_eq!(answer.header("allow"), (status == 405).then_some("POST"));
    }
    assert!(mill.has_nothing());
    assert_eq!(mill.books().received, 0);
}

#[tokio::test]
async fn what_claims_to_be_an_event_and_is_none_is_kept_and_answered_when_it_is_safe() {
    let mut mill = Mill::start(r#"{"listen":"127.0.0.1:0"}"#, 4).await;
    let structured = ("content-type", "application/cloudevents+json");
    let batch = ("content-type", "application/cloudevents-batch+json");
    for (headers, body, reason) in [
        (&[("ce-specversion", "1.0"), ("ce-id", "1"), ("authorization", "Bearer s3cret")][..], &b"raw"[..], "source"),
        (&[("ce-specversion", "2.0"), ("ce-id", "1"), ("ce-type", "t"), ("ce-source", "/")], b"", "specversion"),
        (&[structured], b"{\"specversion\":\"1.0\"}", "id"),
        (&[structured], b"\xff\xfe", "utf-8"),
        (&[batch], b"[{\"specversion\":\"1.0\"}]", "id"),
        (&[batch], b"{}", "a batch is a JSON array of events"),
        (&[("ce-specversion", "1.0"), ("ce-id", "%ff")], b"", "header 'ce-id' cannot be read"),
    ] {
        let mut client = mill.client().await;
        client.post("/", headers, body).await;
        let (message, receipt) = mill.undecodable().await;
        assert_eq!(message.raw, body);
        assert!(message.reason.contains(reason), "{}", message.reason);
        assert_eq!(message.facts[0], ("path".into(), "/".into()));
        let kept = message.facts.last().filter(|(name, _)| name == "headers").map(|(_, lines)| lines.to_string());
        let kept = kept.expect("headers are kept");
        assert!(
            headers
                .iter()
                .all(|(name, value)| kept.contains(&format!("{name}: {value}")) != (*name == "authorization"))
        );
        assert!(!kept.contains("s3cret"), "{kept}");
        client.hears_nothing_yet().await;
        receipt.settle(Outcome::Reject);
        let answer = client.answer().await;
        assert_eq!(answer.status, 400);
        assert!(answer.body.contains(reason), "{}", answer.body);
    }
    assert_eq!(mill.books().rejected, 7);
}

#[tokio::test]
async fn a_large_body_is_refused_whatever_its_framing() {
    let mut mill = Mill::start(r#"{"listen":"127.0.0.1:0","maxBodySize":"1KiB"}"#, 4).await;
    let large = vec![b'x'; 300_000];
    let said = answer(&mill, "POST", "/", &[], &large).await;
    assert_eq!((said.status, said.body.as_str()), (413, "{\"error\":\"the body is larger than 1024 bytes\"}"));
    let mut client = mill.client().await;
    client.send(b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n").await;
    for _ in 0..3 {
        client.send(format!("200\r\n{}\r\n", "x".repeat(512)).as_bytes()).await;
    }
    client.send(b"0\r\n\r\n").await;
    assert_eq!(client.answer().await.status, 413);
    let mut exact = mill.client().await;
    exact.post("/", &event("e"), &large[..1024]).await;
    mill.event().await.1.settle(Outcome::Ack);
    assert_eq!(exact.answer().await.status, 202);
    assert!(mill.has_nothing());
}

#[tokio::test]
async fn garbage_ends_its_own_connection_only() {
    let mut mill = Mill::start(r#"{"listen":"127.0.0.1:0"}"#, 4).await;
    let mut good = mill.client().await;
    for garbage in [
        &b"\x16\x03\x01\x02\x00\x01\x00"[..],
        b"POST / HTTP/1.1\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        b"POST / HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\nbad header\r\n\r\n",
        b"POST / HTTP/9.9\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    ] {
        let mut client = mill.client().await;
        client.send(garbage).await;
        assert_eq!(client.answer().await.status, 400, "{:?}", String::from_utf8_lossy(garbage));
        assert!(client.is_closed().await);
    }
    let mut long = mill.client().await;
    long.send(format!("POST / HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "y".repeat(100_000)).as_bytes()).await;
    assert_eq!(long.answer().await.status, 431);
    let mut many = mill.client().await;
    let headers: String = (0..200).map(|n| format!("x-{n}: 1\r\n")).collect();
    many.send(format!("POST / HTTP/1.1\r\nhost: x\r\n{headers}\r\n").as_bytes()).await;
    assert_eq!(many.answer().await.status, 431);
    good.post("/", &event("e"), b"").await;
    mill.event().await.1.settle(Outcome::Ack);
    assert_eq!(good.answer().await.status, 202);
    assert_eq!(mill.books().received, 1);
}

#[tokio::test]
async fn who_shows_no_token_or_signature_gets_nowhere() {
    let options = r#"{"listen":"127.0.0.1:0","auth":{"bearer":"s3cret","hmac":{"secret":"k"}}}"#;
    let mut mill = Mill::start(options, 4).await;
    let token = ("authorization", "Bearer s3cret");
    let signed = ("x-hub-signature-256", "sha256=0a1dcbe2dc8ae9f3e4e0a2d9d9a9a8b1f1a9a3f1ba6e8d1b5c1f7f4d5a6b7c8d");
    for headers in [&[][..], &[token], &[token, signed], &[("authorization", "Bearer s3cre7")]] {
        let answer = answer(&mill, "POST", "/", headers, b"body").await;
        assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some("Bearer")), "{headers:?}");
        assert!(!answer.body.contains("s3cret"));
    }
    assert_eq!(mill.books().received, 0);
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"k");
    let digits: String = ring::hmac::sign(&key, b"body").as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let mut client = mill.client().await;
    client.post("/", &[token, ("x-hub-signature-256", &format!("sha256={digits}"))], b"body").await;
    mill.event().await.1.settle(Outcome::Ack);
    assert_eq!(client.answer().await.status, 202);
}

#[tokio::test]
async fn the_webhook_handshake_is_granted_to_whom_the_file_names() {
    let options =
        r#"{"listen":"127.0.0.1:0","webhook":{"origins":["eventgrid.example"],"rate":120},"auth":{"bearer":"t"}}"#;
    let mill = Mill::start(options, 4).await;
    let asks = |origin| [("webhook-request-origin", origin), ("webhook-request-rate", "1000")];
    let granted = answer(&mill, "OPTIONS", "/", &asks("eventgrid.example"), b"").await;
    assert_eq!(granted.status, 200);
    assert_eq!(granted.header("webhook-allowed-origin"), Some("eventgrid.example"));
    assert_eq!(granted.header("webhook-allowed-rate"), Some("120"));
    assert_eq!(granted.header("allow"), Some("POST, OPTIONS"));
    let refused = answer(&mill, "OPTIONS", "/", &asks("evil.example"), b"").await;
    assert_eq!((refused.status, refused.header("webhook-allowed-origin")), (403, None));
    assert_eq!(answer(&mill, "OPTIONS", "/", &[], b"").await.status, 405);
}
