//! Messages that grow old, on paused time.

use std::sync::Arc;

use bytes::Bytes;
use engine::config::{AckPoint, Check, EventTemplate};
use engine::delivery::{Inbox, Ledger, Outcome, Recall, Recaller, Receipt, Route, Undecodable};
use engine::event::Event;
use engine::metric::Link;
use parking_lot::Mutex;
use tokio::time::advance;

use super::*;
use crate::amqp::access::Terms;
use crate::amqp::address::Address;
use crate::amqp::connection::Connection;
use crate::amqp::message::Assembly;
use crate::amqp::queue::Queue;
use crate::amqp::source::Ingredients;
use crate::amqp::unacked::Unacked;
use crate::amqp::wire::Delivery;
use crate::capture;
use crate::normalise::{Ids, Origin, Template};

const SECOND: Duration = Duration::from_secs(1);

/// Keeps what it is given, and what it is asked for.
#[derive(Clone, Default)]
struct Keep(Arc<Mutex<Vec<Receipt>>>, Arc<Mutex<Vec<Recall>>>);

impl Route for Keep {
    fn route(&mut self, _: Event, receipt: Receipt) {
        self.0.lock().push(receipt);
    }
    fn undecodable(&mut self, message: Undecodable, _: Receipt) {
        panic!("{message:?}");
    }
    fn flush(&mut self) {}
    fn recaller(&self) -> Recaller {
        let wishes = Arc::clone(&self.1);
        Box::new(move |wish| wishes.lock().push(wish.clone()))
    }
}

/// A broker that bears a message for a hundred seconds.
fn ingredients() -> Ingredients {
    let origin = Origin { whole: "routingKey", r#type: "t", source: "/q" };
    Ingredients {
        name: "fleet".into(),
        client: "mill".into(),
        terms: Terms { address: Address::parse("amqp://h").unwrap(), trust: None, login: None },
        queue: Queue { name: "q".to_owned(), declare: None },
        routing_keys: capture::checked(&[], |_| unreachable!("there are none"), &mut Check::default()),
        template: Template::compile(&EventTemplate::default(), &[], &origin, &mut Check::default()),
        ids: Ids::new(1),
        timeout: 100 * SECOND,
        limit: 1000,
        ack: AckPoint::Processed,
        link: Link::default(),
    }
}

fn session() -> Session {
    let (ours, _) = tokio::io::duplex(1);
    let (connection, unacked) = (Connection::over(Box::new(ours)), Unacked::default());
    Session { connection, epoch: 1, unacked, assembly: Assembly::new(1000), looks: false }
}

fn incoming(tag: Tag) -> Incoming {
    let (exchange, routing_key) = (Bytes::new(), Bytes::from_static(b"q"));
    Incoming {
        delivery: Delivery { tag, redelivered: false, exchange, routing_key },
        properties: Bytes::from_static(&[0, 0]),
        payload: Bytes::from_static(b"x"),
        size: 1,
    }
}

/// What was told to the broker since the last time, by method and tag.
fn said(session: &mut Session) -> Vec<String> {
    let (bytes, mut said) = (session.connection.out.split(), Vec::new());
    let mut rest = &bytes[..];
    while let Some(head) = rest.first_chunk::<7>() {
        let size = u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize;
        let (payload, tag) = (&rest[7..7 + size], u64::from_be_bytes(rest[11..19].try_into().unwrap()));
        said.push(match payload[3] {
            80 => format!("ack {tag}"),
            120 => format!("requeue {tag}"),
            other => panic!("method {other}"),
        });
        rest = &rest[size + 8..];
    }
    said
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_handed_back_and_what_runs_when_its_seat_settles() {
    let (mut made_of, mut session, keep) = (ingredients(), session(), Keep::default());
    let link = made_of.link.clone();
    let (mut intake, mut settlements) = Inbox::new(2, Ledger::default(), Box::new(keep.clone())).split();
    let mut run = Run::new(&mut made_of, 2);
    run.follow(Some(&mut session));
    (1..=3).for_each(|tag| run.came(incoming(tag), &mut session).unwrap());
    run.hand_over(intake.reserve(9).await.unwrap(), Some(&mut session));
    let due = Instant::now() + 90 * SECOND;
    assert_eq!(run.late(&session), Some(due));
    advance(90 * SECOND - Duration::from_millis(1)).await;
    run.tick(Instant::now(), Some(&mut session), &mut settlements);
    assert!(said(&mut session).is_empty() && keep.1.lock().is_empty());

    advance(Duration::from_millis(1)).await;
    for _ in 0..2 {
        run.tick(Instant::now(), Some(&mut session), &mut settlements);
    }
    let wish = keep.1.lock().pop().unwrap();
    assert!(keep.1.lock().is_empty() && keep.0.lock().iter().all(|receipt| wish.covers(receipt)), "both, and once");
    assert_eq!((said(&mut session), link.read().dropped["consumerTimeout"]), (vec!["requeue 3".to_owned()], 1));
    assert_eq!(run.late(&session), Some(due + 5 * SECOND), "it has so long to give them back");
    let receipts = std::mem::take(&mut *keep.0.lock());
    let mut receipts = receipts.into_iter();
    // One is done in the same moment.
    receipts.next().unwrap().settle(Outcome::Ack);
    drop(receipts);
    let mut settled = Vec::new();
    assert!(settlements.next(&mut settled).await);
    run.settle(&mut settled, Some(&mut session));
    assert_eq!(said(&mut session), ["requeue 2", "ack 1"]);
    assert_eq!((link.read().dropped["consumerTimeout"], run.late(&session)), (2, None));
    let error = link.read().last_error.unwrap();
    assert!(error.contains("near consumerTimeout (100s)") && !error.contains("twice"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_given_back_in_time_is_handed_back_all_the_same() {
    let (mut made_of, mut session, keep) = (ingredients(), session(), Keep::default());
    let link = made_of.link.clone();
    let (mut intake, mut settlements) = Inbox::new(1, Ledger::default(), Box::new(keep.clone())).split();
    let mut run = Run::new(&mut made_of, 1);
    run.follow(Some(&mut session));
    run.came(incoming(1), &mut session).unwrap();
    run.hand_over(intake.reserve(9).await.unwrap(), Some(&mut session));
    for (seconds, wanted) in [(94, vec![]), (1, vec!["requeue 1".to_owned()]), (9, vec![])] {
        advance(seconds * SECOND).await;
        run.tick(Instant::now(), Some(&mut session), &mut settlements);
        assert_eq!(said(&mut session), wanted);
    }
    assert!(link.read().last_error.unwrap().contains("may run twice"));
    // It finishes after all, which nobody is told: the message is another delivery by now.
    keep.0.lock().pop().unwrap().settle(Outcome::Ack);
    let mut settled = Vec::new();
    assert!(settlements.next(&mut settled).await);
    run.settle(&mut settled, Some(&mut session));
    assert!(said(&mut session).is_empty());
    assert_eq!(link.read().dropped["consumerTimeout"], 1);
}
