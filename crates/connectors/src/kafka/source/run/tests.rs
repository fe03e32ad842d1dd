//! One run, step by step, against librdkafka's own mock of a cluster.

use engine::config::{AckPoint, Check, EventTemplate, Spanned};
use engine::delivery::{Ledger, Receipt, Route, Undecodable};
use engine::event::{Event, Name};
use engine::metric::Link;
use engine::port::Stop;
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use super::*;
use crate::kafka::access::Reports;
use crate::kafka::source::Initial;
use crate::kafka::topics::Topics;
use crate::normalise::{Origin, Template};

/// An engine that settles everything at once.
struct Done;

impl Route for Done {
    fn route(&mut self, _: Event, receipt: Receipt) {
        receipt.settle(Outcome::Ack);
    }
    fn undecodable(&mut self, message: Undecodable, _: Receipt) {
        panic!("{message:?}");
    }
    fn flush(&mut self) {}
}

fn ingredients(servers: &str) -> Ingredients {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", servers)
        .set("group.id", "g")
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.offset.store", "false");
    let (mut check, servers) = (Check::default(), servers.to_owned());
    let topics = Topics::check(&[Spanned::new("orders".into(), Default::default())], None, &mut check);
    let origin = Origin { whole: "topic", r#type: "t", source: "/{topic}" };
    let captures = [Name::new("kafkakey").unwrap()];
    Ingredients {
        config,
        reports: Arc::new(move || Reports::new("orders".into(), servers.clone(), Link::default(), None)),
        topics,
        template: Template::compile(&EventTemplate::default(), &captures, &origin, &mut check),
        ack: AckPoint::Processed,
        initial: Initial::Earliest,
        before: None,
        max_uncommitted: 100,
        limit: 1000,
    }
}

/// A member of a group that reads `orders`.
fn member(made_of: &Ingredients) -> Arc<Member> {
    let member: Member = made_of.config.create_with_context(Client::new((made_of.reports)())).unwrap();
    member.subscribe(&["orders"]).unwrap();
    Arc::new(member)
}

/// Turns a run step by step until something has happened.
async fn until(run: &mut Run<'_>, happened: impl Fn(&Run<'_>) -> bool) {
    while !happened(run) {
        let message = next(&mut run.stream, run.member.context()).await;
        run.arrived(message).unwrap();
        run.hear();
        run.move_on();
    }
}

#[tokio::test]
async fn what_waits_for_a_seat_goes_with_its_partition() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("orders", 1, 1).unwrap();
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", cluster.bootstrap_servers()).create().unwrap();
    producer.send(BaseRecord::<(), _>::to("orders").payload("1")).map_err(|(cause, _)| cause).unwrap();
    producer.flush(Duration::from_secs(180)).unwrap();
    let made_of = ingredients(&cluster.bootstrap_servers());
    let member = member(&made_of);
    let mut run = Run::new(&made_of, &member, Inbox::new(1, Ledger::default(), Box::new(Done)));
    until(&mut run, |run| !run.staged.is_empty()).await;
    let mine: Vec<_> = run.assignment.iter().map(|part| (part.topic.to_string(), part.number)).collect();
    assert!(run.waiting.is_some() && mine.contains(&("orders".to_owned(), 0)), "{mine:?}");
    run.give_back(&vec![("orders".to_owned(), 1)]);
    assert_eq!(run.staged.len(), 1, "another partition's loss is not this one's");
    // Lost, and given again: what was read before must not be the first of what is read now.
    run.give_back(&mine);
    run.assignment.add("orders", 0, Vec::new());
    assert!(run.staged.is_empty() && run.waiting.is_none());
    run.leave();
}

#[tokio::test]
async fn a_member_that_owes_the_group_an_answer_can_be_closed() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("orders", 2, 1).unwrap();
    let made_of = ingredients(&cluster.bootstrap_servers());
    let first = member(&made_of);
    let mut run = Run::new(&made_of, &first, Inbox::new(1, Ledger::default(), Box::new(Done)));
    until(&mut run, |run| run.assignment.iter().count() == 2).await;
    // With something in flight of each partition, the one that the second wants is not given back at once.
    for number in [0, 1] {
        let slot = run.assignment.find("orders", number).unwrap();
        run.assignment.delivered(slot, 0);
    }
    let second = member(&made_of);
    let other = Run::new(&made_of, &second, Inbox::new(1, Ledger::default(), Box::new(Done)));
    let (trigger, shutdown) = Shutdown::channel();
    let (asked, ()) = tokio::join!(other.serve(shutdown), async {
        until(&mut run, |run| matches!(run.moving, Some(Moving::Going(..)))).await;
        run.leave();
        trigger.stop(Stop::Keep);
    });
    asked.unwrap();
    drop(run);
    let closed = tokio::task::spawn_blocking(move || drop((first, second)));
    tokio::time::timeout(Duration::from_secs(180), closed).await.expect("this waits for ever").unwrap();
}

#[tokio::test]
async fn what_is_no_event_keeps_its_headers_and_its_payload_up_to_the_limit() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("orders", 1, 1).unwrap();
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", cluster.bootstrap_servers()).create().unwrap();
    let payload = vec![b'x'; 200 << 10];
    let headers = OwnedHeaders::new()
        .insert(Header { key: "ce_specversion", value: Some("1.0") })
        .insert(Header { key: "ce_id", value: Some(&b"\xff"[..]) })
        .insert(Header::<&str> { key: "gone", value: None });
    let record = BaseRecord::<(), _>::to("orders").payload(&payload).headers(headers);
    producer.send(record).map_err(|(cause, _)| cause).unwrap();
    producer.flush(Duration::from_secs(180)).unwrap();
    let mut made_of = ingredients(&cluster.bootstrap_servers());
    let other = made_of.clone();
    made_of.limit = payload.len();
    let member = member(&made_of);
    let mut run = Run::new(&made_of, &member, Inbox::new(1, Ledger::default(), Box::new(Done)));
    until(&mut run, |run| !run.staged.is_empty()).await;
    let slot = run.assignment.find("orders", 0).unwrap();
    let (partition, message) = (run.assignment.get(slot).unwrap(), &run.staged[0]);
    let kept = message::event(&made_of, partition, message).unwrap_err();
    assert!(kept.raw == payload && kept.reason.contains("ce_id"), "{}", kept.reason);
    let headers = ("headers".into(), "ce_specversion: 1.0\nce_id: \\xff\ngone".into());
    assert_eq!(kept.facts.last(), Some(&headers));
    let kept = message::event(&other, partition, message).unwrap_err();
    assert_eq!(kept.raw.len(), 64 << 10, "{}", kept.reason);
    assert!(kept.reason.contains("65536 of them are kept") && kept.facts.contains(&headers), "{}", kept.reason);
    run.leave();
}
