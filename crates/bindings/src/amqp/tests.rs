//! What is said about options, and about a broker that is not there. The wire is judged by independent clients in the
//! integration tests.

mod broker;
mod closing;

use engine::metric::Page;

use super::*;
use crate::tests::{complaints, event, open, publish, setup};

fn with(more: &str) -> String {
    format!(r#"{{"url":"amqp://localhost"{more}}}"#)
}

#[test]
fn everything_that_may_be_written_is_accepted() {
    assert_eq!(complaints(&Amqp, &with(r#","routingKey":"alerts""#)), [""; 0]);
    let all = r#"{"url":"amqps://${env:RABBITMQ}/fleet","exchange":"alerts","routingKey":"","mode":"structured","window":10,
        "timeout":"5s","maxMessageSize":"1MiB","user":"u","password":"${env:P}","tls":{"ca":"ca.pem"}}"#;
    assert_eq!(complaints(&Amqp, all), [""; 0]);
}

#[test]
fn every_mistake_is_said() {
    for (more, part) in [
        (r#","routingKey":"""#.to_owned(), "needs a routing key"),
        (r#","routingKey":"a.{Type}""#.to_owned(), "no attribute name"),
        (format!(r#","routingKey":"{}""#, "a".repeat(256)), "routing key is longer"),
        (format!(r#","routingKey":"a","exchange":"{}""#, "a".repeat(256)), "exchange's name is longer"),
        (r#","routingKey":"a","window":0"#.to_owned(), "'window' is 0"),
        (r#","routingKey":"a","timeout":"10ms""#.to_owned(), "'timeout' is out of bounds"),
        (r#","routingKey":"a","maxMessageSize":"0B""#.to_owned(), "'maxMessageSize' is 0"),
        (r#","routingKey":"a","password":"p""#.to_owned(), "a password, but no user"),
        (r#","routingKey":"a","tls":{}"#.to_owned(), "url is one without TLS"),
    ] {
        let said = complaints(&Amqp, &with(&more));
        assert!(said.len() == 1 && said[0].contains(part), "{more}: {said:?}");
    }
}

#[tokio::test]
async fn an_event_that_waited_in_vain_says_why_and_nothing_is_left_behind() {
    // A port that is taken, so that nobody else listens there either.
    let taken = tokio::net::TcpSocket::new_v4().unwrap();
    taken.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = taken.local_addr().unwrap().port();
    let given = format!(r#"{{"url":"amqp://127.0.0.1:{port}","routingKey":"alerts","timeout":"1s"}}"#);
    let setup = setup("alerts", &Page::default());
    let output = open(&Amqp, &given, &setup).unwrap();
    while setup.link.read().last_error.is_none() {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    let Err(PublishError::Retry { error, .. }) = publish(output.as_ref(), &event("t", "x")).await else {
        panic!("confirmed by nobody")
    };
    assert!(error.contains("did not confirm 'alerts' within 1s") && error.contains("cannot be reached"), "{error}");
    let refused = publish(output.as_ref(), &event("t", vec![0; 17 << 20])).await;
    assert!(matches!(refused, Err(PublishError::Reject { .. })));
    assert_eq!(output.close().await, Ok(()));
    let Err(PublishError::Retry { error, .. }) = publish(output.as_ref(), &event("t", "x")).await else {
        panic!("published to nobody")
    };
    assert!(error.contains("is closed"), "{error}");
}
