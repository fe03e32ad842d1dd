//! The protocol with a Pushgateway, against a listener that records what it is sent.

use std::sync::Arc;

use engine::config::Secret;
use engine::metric::{Connection, Page};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

use super::*;
use crate::prometheus::Prometheus;
use crate::tests::{event, open, publish, setup};

/// One request: its first line, its head, its body.
#[derive(Debug)]
struct Request {
    line: String,
    head: String,
    body: String,
}

/// Answers every request with the current status and passes it on.
async fn gateway() -> (String, mpsc::Receiver<Request>, watch::Sender<&'static str>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (requests, received) = mpsc::channel(100);
    let (status, current) = watch::channel("200 OK");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, requests.clone(), current.clone()));
        }
    });
    (address, received, status)
}

async fn serve(mut stream: TcpStream, requests: mpsc::Sender<Request>, status: watch::Receiver<&'static str>) {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.to_lowercase().lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                let answer = format!("HTTP/1.1 {}\r\ncontent-length: 6\r\n\r\nsecret", *status.borrow());
                stream.write_all(answer.as_bytes()).await.unwrap();
                let line = head.lines().next().unwrap().to_owned();
                let request = Request { line, head: head.to_lowercase(), body: body.to_owned() };
                let Ok(()) = requests.send(request).await else { return };
                bytes.clear();
                continue;
            }
        }
        let Ok(1..) = stream.read_buf(&mut bytes).await else { return };
    }
}

fn target(url: String) -> Target {
    Target { url: Secret::new(url), interval: Duration::from_millis(5), job: "fleet".to_owned() }
}

#[tokio::test]
async fn the_whole_group_is_put_and_deleted_at_the_end() {
    let (address, mut requests, _status) = gateway().await;
    let page = Page::default();
    let setup = setup("metrics", &page);
    let options =
        format!(r#"{{"push":{{"url":"http://ann:p%40ss@{address}/base/","interval":"100ms","job":"fleet"}}}}"#);
    let output = open(&Prometheus, &options, &setup).unwrap();
    let first = requests.recv().await.unwrap();
    assert_eq!(first.line, "PUT /base/metrics/job/fleet/instance/one HTTP/1.1");
    assert!(first.head.contains("authorization: basic yw5uonbac3m="), "{}", first.head);
    assert_eq!(first.body, "");
    let samples = r#"{"samples":[{"name":"x_total","kind":"counter","value":2,"help":"X."}]}"#;
    publish(&*output, &event(engine::metric::sample::EVENT_TYPE, samples)).await.unwrap();
    let later = loop {
        let request = requests.recv().await.unwrap();
        if !request.body.is_empty() {
            break request;
        }
    };
    assert_eq!(later.body, "# HELP x_total X.\n# TYPE x_total counter\nx_total 2\n");
    assert_eq!(setup.link.read().connection, Connection::Connected);
    let refused = r#"{"samples":[{"name":"y","kind":"gauge","value":2,"labels":{"job":"x"}}]}"#;
    publish(&*output, &event(engine::metric::sample::EVENT_TYPE, refused)).await.unwrap_err();
    output.close().await.unwrap();
    output.close().await.unwrap();
    requests.close();
    let mut last = later;
    while let Some(request) = requests.recv().await {
        last = request;
    }
    assert_eq!(last.line, "DELETE /base/metrics/job/fleet/instance/one HTTP/1.1");
    assert_eq!(setup.link.read().connection, Connection::Stopped);
}

#[tokio::test]
async fn a_gateway_that_refuses_is_tried_again() {
    let (address, mut requests, status) = gateway().await;
    status.send("400 Bad Request").unwrap();
    let setup = setup("metrics", &Page::default());
    let pusher = Pusher::start(&target(format!("http://ann:hush@{address}")), &setup, Box::new(String::new)).unwrap();
    requests.recv().await.unwrap();
    requests.recv().await.unwrap();
    let reading = setup.link.read();
    assert_eq!(reading.connection, Connection::Disconnected);
    let error = reading.last_error.unwrap();
    let told = format!(
        "cannot push to 'http://{address}/metrics/job/fleet/instance/one': it answered 400 Bad Request: secret"
    );
    assert_eq!(error, told);
    status.send("202 Accepted").unwrap();
    while setup.link.read().connection != Connection::Connected {
        requests.recv().await.unwrap();
        tokio::task::yield_now().await;
    }
    status.send("500 Internal Server Error").unwrap();
    let error = pusher.close().await.unwrap_err().to_string();
    assert!(error.contains("cannot delete the group") && !error.contains("hush"), "{error}");
}

#[tokio::test]
async fn a_gateway_that_is_away_is_no_error_at_the_start() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let setup = setup("metrics", &Page::default());
    let pusher = Pusher::start(&target(format!("http://ann:hush@{address}")), &setup, Box::new(String::new)).unwrap();
    let error = pusher.close().await.unwrap_err().to_string();
    assert!(error.contains("onnection refused") && !error.contains("hush"), "{error}");
    let error = setup.link.read().last_error.unwrap();
    assert!(error.contains(&format!("cannot push to 'http://{address}/")) && !error.contains("hush"), "{error}");
}

#[tokio::test]
async fn one_group_has_one_output() {
    let (address, _requests, _status) = gateway().await;
    let page = Page::default();
    let options = |job: &str| format!(r#"{{"push":{{"url":"http://{address}","job":"{job}"}}}}"#);
    let _first = open(&Prometheus, &options("a"), &setup("first", &page)).unwrap();
    let error = open(&Prometheus, &options("a"), &setup("second", &page)).err().unwrap().to_string();
    assert!(error.contains("outputs 'first' and 'second' push to the same group"), "{error}");
    let _other = open(&Prometheus, &options("b"), &setup("second", &page)).unwrap();
}

#[tokio::test]
async fn urls_that_cannot_be_used_are_refused_without_showing_them() {
    let setup = setup("metrics", &Page::default());
    for url in ["ann:hush@host", "ftp://ann:hush@host", "http://ann:hush@:x", "${env:TIDEMILL_NO_SUCH}"] {
        let error = Pusher::start(&target(url.to_owned()), &setup, Box::new(String::new)).unwrap_err().to_string();
        assert!(!error.contains("hush"), "{error}");
    }
}

#[test]
fn groups_are_spelled_as_the_gateway_reads_them() {
    for (url, job, instance, path) in [
        ("http://h:9091", "a b", "é", "/metrics/job/a%20b/instance/%C3%A9"),
        ("https://h/x/?q#f", "j", "a/b", "/x/metrics/job/j/instance@base64/YS9i"),
        ("http://h", "j", "", "/metrics/job/j/instance@base64/="),
    ] {
        assert_eq!(group(url, job, instance).unwrap().path(), path);
    }
}

#[test]
fn failures_wait_longer_but_not_for_ever() {
    let second = Duration::from_secs(1);
    assert_eq!(pause(second, 0, 0.9), second);
    assert_eq!(pause(second, 2, 0.5), 4 * second);
    assert_eq!(pause(second, 1_000, 0.5), PAUSE_MAX);
    assert_eq!(pause(100 * second, 3, 0.5), 100 * second);
    assert_eq!(pause(second, 1, 0.0), Duration::from_millis(1600));
}

#[tokio::test]
async fn a_push_that_is_dropped_leaves_the_group() {
    let (address, mut requests, _status) = gateway().await;
    let alive = Arc::new(());
    let held = Arc::clone(&alive);
    let body = move || {
        let _ = &held;
        String::new()
    };
    let setup = setup("metrics", &Page::default());
    let pusher = Pusher::start(&target(format!("http://{address}")), &setup, Box::new(body)).unwrap();
    requests.recv().await.unwrap();
    drop(pusher);
    while Arc::strong_count(&alive) > 1 {
        tokio::task::yield_now().await;
    }
    requests.close();
    while let Some(request) = requests.recv().await {
        assert!(request.line.starts_with("PUT "), "{request:?}");
    }
}
