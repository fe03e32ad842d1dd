//! A greeting that is refused, and heartbeats, over a stream in memory and on paused time.

use tokio::io::{DuplexStream, duplex};

use super::*;
use crate::amqp::address::Address;
use crate::amqp::posting::{Answer, Posting};
use crate::amqp::wire::tests::frame;

const START: &[u8] = b"\0\x0a\0\x0a\0\x09\0\0\0\0\0\0\0\x0ePLAIN AMQPLAIN\0\0\0\0";
const TUNE: &[u8] = b"\0\x0a\0\x1e\0\0\0\x02\0\0\0\x3c";

fn terms(login: Option<(&str, &str)>) -> Terms {
    Terms {
        address: Address::parse("amqp://h/fleet").unwrap(),
        trust: None,
        login: login.map(|(user, password)| (user.to_owned(), password.to_owned())),
    }
}

fn pair() -> (Connection, DuplexStream) {
    let (ours, theirs) = duplex(1 << 20);
    (Connection::over(Box::new(ours)), theirs)
}

fn close(code: u16, text: &str) -> Vec<u8> {
    let mut payload = vec![0, 10, 0, 50];
    payload.extend(code.to_be_bytes());
    payload.push(text.len() as u8);
    payload.extend(text.as_bytes());
    payload.extend([0; 4]);
    frame(1, 0, &payload)
}

/// Logs in to a broker that says all of this at once.
async fn login(login: Option<(&str, &str)>, says: &[Vec<u8>]) -> (Result<(), Fault>, Connection, DuplexStream) {
    let (mut connection, mut broker) = pair();
    broker.write_all(&says.concat()).await.unwrap();
    let done = connection.login(&terms(login), &"mill".into()).await;
    (done, connection, broker)
}

#[tokio::test(start_paused = true)]
async fn a_login_says_who_it_is_and_where_it_wants_to_go() {
    let says = [frame(1, 0, START), frame(1, 0, TUNE), frame(1, 0, b"\0\x0a\0\x29\0")];
    let (done, mut connection, mut broker) = login(Some(("mill", "s3cret")), &says).await;
    assert!(done.is_ok(), "{done:?}");
    // What was asked last had its answer before it left.
    connection.exchange(true).await.unwrap();
    assert_eq!(connection.heartbeat, Duration::from_secs(20), "the shorter of both");
    let mut sent = vec![0; 64 << 10];
    let read = broker.read(&mut sent).await.unwrap();
    let sent = String::from_utf8_lossy(&sent[..read]).into_owned();
    assert!(sent.starts_with("AMQP\0\0\u{9}\u{1}"));
    for part in ["\u{5}PLAIN\0\0\0\u{c}\0mill\0s3cret", "\u{5}fleet", "connection_name", "consumer_cancel_notify"] {
        assert!(sent.contains(part), "{part}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_says_what_to_change() {
    let refused =
        async |login_as: Option<(&str, &str)>, says: &[Vec<u8>]| login(login_as, says).await.0.unwrap_err().to_string();
    let user = Some(("mill", "s3cret"));
    let said = refused(user, &[frame(1, 0, START), close(403, "ACCESS_REFUSED - Login was refused")]).await;
    assert!(said.contains("correct user and password") && !said.contains("s3cret"), "{said}");
    let said = refused(user, &[frame(1, 0, START), frame(1, 0, TUNE), close(530, "NOT_ALLOWED - vhost")]).await;
    assert!(said.contains("virtual host"), "{said}");
    let said = refused(None, &[frame(1, 0, START)]).await;
    assert!(said.contains("EXTERNAL") && said.contains("PLAIN AMQPLAIN"), "{said}");
    let small = b"\0\x0a\0\x1e\0\0\0\0\x10\0\0\x3c";
    assert!(refused(user, &[frame(1, 0, START), frame(1, 0, small)]).await.contains("frame_max"));
}

#[tokio::test(start_paused = true)]
async fn a_silent_connection_is_kept_alive_and_given_up_when_the_other_side_is_silent() {
    let (mut connection, mut broker) = pair();
    connection.heartbeat = Duration::from_secs(20);
    let start = Instant::now();
    let fault = loop {
        if let Err(fault) = connection.exchange(true).await {
            break fault;
        }
    };
    assert!(matches!(fault, Fault::Silent(_)));
    assert_eq!(start.elapsed(), Duration::from_secs(40));
    let mut beats = vec![0; 64];
    let read = broker.read(&mut beats).await.unwrap();
    assert_eq!(beats[..read], frame(8, 0, b"").repeat(3), "after 10, 20 and 30 s");
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_not_read_is_not_given_up() {
    let (mut connection, mut broker) = pair();
    connection.heartbeat = Duration::from_secs(20);
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(200) {
        assert!(connection.exchange(false).await.is_ok());
    }
    broker.write_all(&frame(8, 0, b"")).await.unwrap();
    assert!(connection.exchange(true).await.is_ok(), "it is heard as soon as it is listened to");
    assert!(matches!(connection.next(), Ok(None)));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_the_broker_closes_says_why() {
    let (mut connection, mut broker) = pair();
    broker.write_all(&close(320, "CONNECTION_FORCED - broker forced connection closure")).await.unwrap();
    connection.exchange(true).await.unwrap();
    let Err(Fault::Ended(text)) = connection.next() else { panic!("it goes on") };
    assert!(text.contains("CONNECTION_FORCED"));
    drop(broker);
    assert!(matches!(connection.exchange(true).await, Err(Fault::Lost(_) | Fault::Closed)));
}

#[tokio::test(start_paused = true)]
async fn whoever_publishes_hears_that_the_flow_is_stopped() {
    let (connection, mut broker) = pair();
    let mut posting = Posting::over(connection, &"alerts".into());
    broker.write_all(&[frame(1, 1, b"\0\x14\0\x14\0"), frame(1, 1, b"\0\x14\0\x14\x01")].concat()).await.unwrap();
    posting.exchange().await.unwrap();
    assert!(matches!(posting.answer(), Ok(Some(Answer::Blocked(Some(_))))));
    assert!(matches!(posting.answer(), Ok(Some(Answer::Blocked(None)))));
    assert!(posting.unsent() > 0, "both are answered");
}
