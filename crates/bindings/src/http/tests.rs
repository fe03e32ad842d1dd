//! The output before a server made of sentences: what is sent, what each answer means, and what is never connected to.

use std::sync::Arc;

use engine::config::Spanned;
use engine::metric::{Connection, Page};
use engine::port::SystemClock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::*;

/// Nothing here takes long; whoever waits longer waits for ever.
const LONG: Duration = Duration::from_secs(120);

async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(LONG, future).await.expect("this waits for ever")
}

fn event(id: &str) -> Event {
    Event::new(id.into(), "/s".into(), "t".into()).unwrap().with_data("hello".into(), Some("text/plain".into()))
}

fn problems(json: &str) -> Vec<String> {
    let mut check = Check::default();
    let options: Options = serde_json::from_str(json).unwrap();
    let sound = options.meaning(&mut check).is_some();
    let said: Vec<_> = check.finish().into_iter().map(|problem| problem.message).collect();
    assert_eq!(sound, said.is_empty());
    said
}

fn open(json: &str) -> (Result<Box<dyn Output>, OpenError>, Link) {
    let options: Spanned<Options> = serde_json::from_str(json).unwrap();
    let mut check = Check::default();
    let plan = options.value.meaning(&mut check).unwrap_or_else(|| panic!("{:?}", check.finish()));
    let link = Link::default();
    let setup = Setup {
        name: "hook".into(),
        instance: "one".into(),
        seats: 0,
        state: None,
        clock: Arc::new(SystemClock),
        link: link.clone(),
        page: Page::default(),
    };
    assert!(plan.durable());
    (plan.open(setup), link)
}

fn output(json: &str) -> (Box<dyn Output>, Link) {
    let (output, link) = open(json);
    (output.unwrap_or_else(|error| panic!("{error}")), link)
}

fn publish(output: &dyn Output, event: &Event) -> tokio::task::JoinHandle<Result<(), PublishError>> {
    tokio::spawn(engine::port::confirmed(output, event))
}

/// A server without behaviour of its own.
struct Server(TcpListener);

impl Server {
    async fn start() -> Server {
        Server(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    fn url(&self) -> String {
        format!("http://{}", self.0.local_addr().unwrap())
    }

    async fn accept(&self) -> TcpStream {
        soon(self.0.accept()).await.unwrap().0
    }
}

/// The next request on a connection, whose body is five bytes.
async fn request(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\nhello") {
        assert!(soon(stream.read_buf(&mut text)).await.unwrap() > 0, "{}", String::from_utf8_lossy(&text));
    }
    String::from_utf8(text).unwrap()
}

async fn answer(stream: &mut TcpStream, status: &str, headers: &str, body: &str) {
    let text = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len());
    stream.write_all(text.as_bytes()).await.unwrap();
}

#[tokio::test]
async fn an_event_is_done_when_the_far_side_says_so_and_connections_are_used_again() {
    let server = Server::start().await;
    let (output, link) =
        output(&format!(r#"{{"url":"{}/in","auth":{{"bearer":"s3cret"}},"headers":{{"X-Key":"k"}}}}"#, server.url()));
    let first = publish(&*output, &event("e-1"));
    let mut stream = server.accept().await;
    let request_text = request(&mut stream).await;
    for part in [
        "POST /in HTTP/1.1\r\n",
        "ce-id: e-1\r\n",
        "authorization: Bearer s3cret\r\n",
        "x-key: k\r\n",
        "content-type: text/plain\r\n",
    ] {
        assert!(request_text.contains(part), "{part}: {request_text}");
    }
    assert!(!first.is_finished());
    answer(&mut stream, "204 No Content", "", "").await;
    assert_eq!(soon(first).await.unwrap(), Ok(()));
    assert_eq!(link.read().connection, Connection::Connected);
    let second = publish(&*output, &event("e-2"));
    request(&mut stream).await;
    answer(&mut stream, "200 OK", "", "fine").await;
    assert_eq!(soon(second).await.unwrap(), Ok(()));
}

#[tokio::test]
async fn every_answer_has_its_meaning() {
    let server = Server::start().await;
    let (output, _) = output(&format!(r#"{{"url":"{}","statusPolicy":{{"403":"retry"}}}}"#, server.url()));
    let origin = server.url();
    for (status, headers, expected) in [
        ("503 Service Unavailable", "retry-after: 7\r\n", Err((Some(7), "503 Service Unavailable: a\\nb"))),
        ("429 Too Many Requests", "", Err((None, "429 Too Many Requests: a\\nb"))),
        ("403 Forbidden", "", Err((None, "403 Forbidden: a\\nb"))),
        ("302 Found", "location: http://127.0.0.1:1/\r\n", Ok("302 Found: a\\nb")),
        ("400 Bad Request", "", Ok("400 Bad Request: a\\nb")),
    ] {
        let published = publish(&*output, &event("e"));
        let mut stream = server.accept().await;
        request(&mut stream).await;
        answer(&mut stream, status, &format!("{headers}connection: close\r\n"), "a\nb").await;
        let said = |text| format!("{origin} answered {text}");
        assert_eq!(
            soon(published).await.unwrap().unwrap_err(),
            match expected {
                Err((after, text)) => PublishError::Retry { after: after.map(Duration::from_secs), error: said(text) },
                Ok(text) => PublishError::Reject { reason: said(text) },
            }
        );
    }
}

#[tokio::test]
async fn who_is_away_silent_or_cut_off_is_tried_again_and_named_without_the_path() {
    let server = Server::start().await;
    let url = server.url();
    let (output, link) = output(&format!(r#"{{"url":"{url}/s3cret"}}"#));
    let cut = publish(&*output, &event("cut"));
    drop(server.accept().await);
    let PublishError::Retry { error, .. } = soon(cut).await.unwrap().unwrap_err() else { panic!("rejected") };
    assert!(error.starts_with(&format!("no answer from {url}: ")) && !error.contains("s3cret"), "{error}");
    assert_eq!(link.read().connection, Connection::Disconnected);
    let (impatient, its_link) = self::output(&format!(r#"{{"url":"{url}","timeout":"100ms"}}"#));
    let silent = publish(&*impatient, &event("silent"));
    let held = server.accept().await;
    assert!(matches!(soon(silent).await.unwrap(), Err(PublishError::Retry { .. })));
    assert_eq!(its_link.read().connection, Connection::Disconnected);
    drop((held, server));
    let PublishError::Retry { error, .. } = soon(publish(&*output, &event("away"))).await.unwrap().unwrap_err() else {
        panic!("rejected")
    };
    assert!(error.contains("refused") && !error.contains("s3cret"), "{error}");
    output.close().await.unwrap();
    assert_eq!(link.read().connection, Connection::Stopped);
}

#[tokio::test]
async fn no_more_connections_than_asked_for() {
    let server = Server::start().await;
    let (output, _) = output(&format!(r#"{{"url":"{}","maxConnections":2}}"#, server.url()));
    let mut published: Vec<_> = (0..5).map(|n| publish(&*output, &event(&n.to_string()))).collect();
    let (mut one, mut two) = (server.accept().await, server.accept().await);
    for stream in [&mut one, &mut two] {
        request(stream).await;
    }
    assert!(timeout(Duration::from_millis(50), server.0.accept()).await.is_err(), "a third connection");
    for stream in [&mut one, &mut two] {
        answer(stream, "200 OK", "", "").await;
    }
    for stream in [&mut one, &mut two] {
        request(stream).await;
        answer(stream, "200 OK", "", "").await;
    }
    // The fifth comes on either of them.
    let (mut byte, mut other) = ([0; 1], [0; 1]);
    let on_first = tokio::select! {
        _ = one.peek(&mut byte) => true,
        _ = two.peek(&mut other) => false,
    };
    let stream = if on_first { &mut one } else { &mut two };
    request(stream).await;
    answer(stream, "200 OK", "", "").await;
    for published in published.drain(..) {
        assert_eq!(soon(published).await.unwrap(), Ok(()));
    }
}

#[tokio::test]
async fn a_name_that_leads_to_a_refused_address_is_not_connected_to() {
    let server = Server::start().await;
    let port = server.0.local_addr().unwrap().port();
    let (output, _) = output(&format!(r#"{{"url":"http://localhost:{port}/","allowPrivate":false}}"#));
    let PublishError::Retry { error, .. } = soon(publish(&*output, &event("e"))).await.unwrap().unwrap_err() else {
        panic!("rejected")
    };
    assert!(error.contains("'localhost' is ") && error.contains("allowPrivate is false"), "{error}");
    assert!(timeout(Duration::from_millis(20), server.0.accept()).await.is_err());
    // The same name is connected to where that is allowed, so it was the address that was refused.
    let (allowed, _) = self::output(&format!(r#"{{"url":"http://localhost:{port}/"}}"#));
    let published = publish(&*allowed, &event("e"));
    let mut stream = server.accept().await;
    request(&mut stream).await;
    answer(&mut stream, "202 Accepted", "", "").await;
    assert_eq!(soon(published).await.unwrap(), Ok(()));
}

#[tokio::test]
async fn what_is_known_only_when_it_opens_is_checked_then() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("url");
    for (text, part) in [
        ("http://169.254.169.254/s3cret", "metadata"),
        ("gopher://s3cret", "not one of http"),
        ("http://user:s3cret@a/", "credentials"),
    ] {
        std::fs::write(&path, text).unwrap();
        let (output, _) = open(&format!(r#"{{"url":"${{file:{}}}"}}"#, path.display()));
        let Err(error) = output else { panic!("opened {text}") };
        assert!(error.message.starts_with("http.url: "), "{}", error.message);
        assert!(error.message.contains(part), "{}", error.message);
        assert!(!error.message.contains("s3cret"), "{}", error.message);
    }
}

#[test]
fn options_say_what_is_wrong_with_them() {
    assert_eq!(
        problems(
            r#"{"url":"https://a/{partitionkey}","mode":"structured","auth":{"basic":{"user":"u","password":"p"},"hmac":{"secret":"k"}}}"#
        ),
        [""; 0]
    );
    for (rest, part) in [
        (r#""url":"http://169.254.169.254""#, "metadata"),
        (r#""url":"http://127.0.0.1","allowPrivate":false"#, "private address"),
        (r#""url":"http://{id}""#, "choose the host"),
        (r#""url":"${env:}""#, "begins a reference"),
        (r#""url":"http://a","tls":{"ca":"x"}"#, "without TLS"),
        (r#""url":"https://a","tls":{"serverName":"x"}"#, "serverName"),
        (r#""url":"http://a","timeout":"1ms""#, "'timeout' is 1ms"),
        (r#""url":"http://a","maxConnections":0"#, "'maxConnections' is 0"),
        (r#""url":"http://a","statusPolicy":{"4xx":"retry"}"#, "'4xx' is no status"),
        (r#""url":"http://a","statusPolicy":{"99":"retry"}"#, "'99' is no status"),
        (r#""url":"http://a","headers":{"Content-Type":"x"}"#, "is not set here"),
        (r#""url":"http://a","headers":{"Authorization":"x"}"#, "is not set here"),
        (r#""url":"http://a","headers":{"ce-id":"x"}"#, "is not set here"),
        (r#""url":"http://a","headers":{"Traceparent":"x"}"#, "is not set here"),
        (r#""url":"http://a","headers":{"a b":"x"}"#, "name of a header"),
        (r#""url":"http://a","auth":{}"#, "auth shows nothing"),
        (r#""url":"http://a","auth":{"bearer":"t","basic":{"user":"u","password":"p"}}"#, "two ways"),
    ] {
        let said = problems(&format!("{{{rest}}}"));
        assert!(said.len() == 1 && said[0].contains(part), "{rest}: {said:?}");
    }
}
