//! What is said about options, and what becomes of events behind a broker that answers as it is told. A real one is in the
//! integration tests.

mod broker;

use engine::event::Name;
use engine::metric::{Connection, Page};
use tokio::task::JoinHandle;

use super::*;
use crate::tests::{complaints, event, open, publish, setup};
use broker::{Broker, Peer, soon};

/// CONNACK properties.
const RECEIVE_MAXIMUM_2: &[u8] = &[0x21, 0, 2];
const PACKET_OF_100: &[u8] = &[0x27, 0, 0, 0, 100];

fn with(more: &str) -> String {
    format!(r#"{{"url":"mqtt://localhost"{more}}}"#)
}

/// An output to a broker; `more` are further options.
struct Bench {
    output: std::sync::Arc<dyn Output>,
    link: engine::metric::Link,
}

impl Bench {
    fn open(broker: &Broker, more: &str) -> Bench {
        let setup = setup("alerts", &Page::default());
        let given = format!(r#"{{"url":"mqtt://{}","topic":"alerts/{{subject}}"{more}}}"#, broker.address());
        let output = open(&Mqtt, &given, &setup).unwrap();
        Bench { output: output.into(), link: setup.link }
    }

    /// Publishes an event with this subject, in the order of calls.
    fn publish(&self, subject: &str) -> JoinHandle<Result<(), PublishError>> {
        let event = event("t", "x").with_subject(subject.into());
        tokio::spawn(engine::port::confirmed(self.output.as_ref(), &event))
    }

    /// Ends the output, once it has heard that it was welcome.
    async fn closes(self, peers: Vec<Peer>) {
        soon(self.link.connects()).await;
        let closing = async { assert_eq!(self.output.close().await, Ok(())) };
        let hearing = async {
            for peer in peers {
                peer.hears_goodbye().await;
            }
        };
        soon(async { tokio::join!(closing, hearing) }).await;
        assert_eq!(self.link.read().connection, Connection::Stopped);
    }
}

async fn ended(publishing: JoinHandle<Result<(), PublishError>>) -> Result<(), PublishError> {
    soon(publishing).await.unwrap()
}

#[test]
fn everything_that_may_be_written_is_accepted() {
    assert_eq!(complaints(&Mqtt, &with(r#","topic":"alerts/{type}""#)), [""; 0]);
    let all = r#"{"url":"mqtts://${env:BROKER}","topic":"alerts","qos":0,"retain":true,"version":"3.1.1",
        "mode":"structured","clientId":"mill","connections":1,"window":10,"timeout":"5s","keepAlive":"0s","user":"u",
        "password":"${env:P}","tls":{"ca":"ca.pem"}}"#;
    assert_eq!(complaints(&Mqtt, all), [""; 0]);
}

#[test]
fn every_mistake_is_said() {
    for (more, part) in [
        (r#","topic":"""#, "the topic is empty"),
        (r#","topic":"a/+/b""#, "cannot hold a wildcard"),
        (r#","topic":"a/{type}/#""#, "cannot hold a wildcard"),
        (r#","topic":"a\u0000""#, "null character"),
        (r#","topic":"a/{Type}""#, "no attribute name"),
        (r#","topic":"a/{type""#, "never closed"),
        (r#","topic":"a","qos":2"#, "qos 2 is not offered"),
        (r#","topic":"a","qos":3"#, "there is no qos 3"),
        (r#","topic":"a","version":"3.1.1","mode":"binary""#, "MQTT 3.1.1 has no properties"),
        (r#","topic":"a","clientId":"""#, "client id is empty"),
        (r#","topic":"a","connections":0"#, "'connections' is 0"),
        (r#","topic":"a","window":70000"#, "'window' is 70000"),
        (r#","topic":"a","timeout":"10ms""#, "'timeout' is out of bounds"),
        (r#","topic":"a","keepAlive":"20h""#, "keepAlive is longer"),
        (r#","topic":"a","password":"p""#, "a password, but no user"),
        (r#","topic":"a","tls":{}"#, "url is one without TLS"),
    ] {
        let said = complaints(&Mqtt, &with(more));
        assert!(said.len() == 1 && said[0].contains(part), "{more}: {said:?}");
    }
}

#[test]
fn what_it_promises_depends_on_the_quality_of_service() {
    let plan = |more: &str| {
        let options = crate::tests::options(&Mqtt, &with(more));
        Mqtt.check(options, &mut Check::default()).unwrap()
    };
    let sure = plan(r#","topic":"a""#);
    assert!(sure.durable() && sure.limits().is_empty());
    let lossy = plan(r#","topic":"a","qos":0"#);
    assert!(!lossy.durable() && lossy.limits()[0].contains("at most once"));
    assert!(plan(r#","topic":"a","version":"3.1.1""#).limits()[0].contains("no reasons"));
}

#[tokio::test]
async fn an_event_is_done_when_the_broker_says_so_whatever_the_order() {
    let broker = Broker::start().await;
    let bench = Bench::open(&broker, r#","retain":true"#);
    let mut peer = broker.welcome(&[]).await;
    let greeting = String::from_utf8_lossy(&peer.greeting).into_owned();
    assert!(greeting.ends_with("tidemill_alerts-one") && peer.greeting[7] == 2, "clean: {greeting:?}");
    let (first, second) = (bench.publish("1"), bench.publish("2"));
    let messages = [peer.message().await, peer.message().await];
    assert_eq!(messages.clone().map(|message| message.topic), ["alerts/1", "alerts/2"]);
    assert_eq!(
        messages.clone().map(|message| message.first),
        [0x33, 0x33],
        "quality of service 1, retained, no repetition"
    );
    peer.answer(messages[1].packet, 0x10).await;
    assert_eq!(ended(second).await, Ok(()), "nobody has subscribed, which is no failure");
    assert!(!first.is_finished());
    peer.confirm(messages[0].packet).await;
    assert_eq!(ended(first).await, Ok(()));
    bench.closes(vec![peer]).await;
}

#[tokio::test]
async fn a_refusal_is_told_apart_and_the_connection_stays() {
    let broker = Broker::start().await;
    let bench = Bench::open(&broker, "");
    let mut peer = broker.welcome(&[]).await;
    for (reason, for_good) in [(0x87, false), (0x97, false), (0x90, true), (0x99, true)] {
        let publishing = bench.publish("1");
        let message = peer.message().await;
        peer.answer(message.packet, reason).await;
        let outcome = ended(publishing).await;
        assert_eq!(matches!(outcome, Err(PublishError::Reject { .. })), for_good, "{outcome:?}");
        assert!(outcome.is_err() && bench.link.read().last_error.unwrap().contains(&format!("0x{reason:02x}")));
    }
    bench.closes(vec![peer]).await;
}

#[tokio::test]
async fn more_connections_only_where_the_receive_maximum_binds() {
    let broker = Broker::start().await;
    let bench = Bench::open(&broker, r#","connections":2"#);
    let mut first = broker.welcome(RECEIVE_MAXIMUM_2).await;
    let publishing: Vec<_> = (0..5).map(|number| bench.publish(&number.to_string())).collect();
    let mut second = broker.welcome(RECEIVE_MAXIMUM_2).await;
    assert!(second.greeting.ends_with(b"tidemill_alerts-one-1"));
    let mut seen = Vec::new();
    for peer in [&mut first, &mut second] {
        for _ in 0..2 {
            seen.push(peer.message().await);
        }
    }
    assert!(broker.is_left_alone().await, "two is all there may be");
    // The fifth has waited for a place, and takes the first that is free.
    second.confirm(seen[2].packet).await;
    let fifth = second.message().await;
    assert_eq!((fifth.topic.as_str(), fifth.packet), ("alerts/4", 3));
    for packet in [seen[3].packet, fifth.packet] {
        second.confirm(packet).await;
    }
    for message in &seen[..2] {
        first.confirm(message.packet).await;
    }
    for one in publishing {
        assert_eq!(ended(one).await, Ok(()));
    }
    bench.closes(vec![first, second]).await;
}

#[tokio::test]
async fn one_connection_is_enough_for_a_broker_without_limits() {
    let broker = Broker::start().await;
    let bench = Bench::open(&broker, "");
    let mut peer = broker.welcome(&[]).await;
    let publishing: Vec<_> = (0..500).map(|number| bench.publish(&number.to_string())).collect();
    for _ in 0..500 {
        let message = peer.message().await;
        peer.confirm(message.packet).await;
    }
    for one in publishing {
        assert_eq!(ended(one).await, Ok(()));
    }
    assert!(broker.is_left_alone().await);
    bench.closes(vec![peer]).await;
}

#[tokio::test]
async fn what_a_lost_connection_leaves_goes_first_on_the_next_one() {
    let broker = Broker::start().await;
    let bench = Bench::open(&broker, "");
    let mut peer = broker.welcome(&[]).await;
    let publishing: Vec<_> = ["1", "2", "3"].map(|subject| bench.publish(subject)).into();
    let message = peer.message().await;
    peer.message().await;
    peer.message().await;
    peer.confirm(message.packet).await;
    let mut publishing = publishing.into_iter();
    assert_eq!(ended(publishing.next().unwrap()).await, Ok(()));
    drop(peer);
    let mut peer = broker.welcome(&[]).await;
    let last = bench.publish("4");
    let mut again = Vec::new();
    for _ in 0..3 {
        let message = peer.message().await;
        peer.confirm(message.packet).await;
        assert_eq!(message.first, 0x32, "another session knows of no repetition");
        again.push(message.topic);
    }
    assert_eq!(again, ["alerts/2", "alerts/3", "alerts/4"]);
    for one in publishing.chain([last]) {
        assert_eq!(ended(one).await, Ok(()));
    }
    bench.closes(vec![peer]).await;
}

#[tokio::test]
async fn a_message_that_ends_every_connection_does_so_three_times() {
    let broker = Broker::start().await;
    let bench = Bench::open(&broker, "");
    let poison = bench.publish("poison");
    for _ in 0..3 {
        assert!(!poison.is_finished());
        broker.welcome(&[]).await.message().await;
    }
    let Err(PublishError::Retry { error, .. }) = ended(poison).await else { panic!("confirmed") };
    assert!(error.contains("as 3 connections did with 'alerts/poison' on its way"), "{error}");
    let peer = broker.welcome(&[]).await;
    bench.closes(vec![peer]).await;
}

#[tokio::test]
async fn a_broker_that_says_why_it_ends_the_connection_needs_no_second_one() {
    let broker = Broker::start().await;
    let bench = Bench::open(&broker, "");
    let mut peer = broker.welcome(&[]).await;
    let (poison, beside) = (bench.publish("poison"), bench.publish("beside"));
    peer.message().await;
    peer.message().await;
    // Packet too large, although it never said how large.
    peer.goodbye(0x95).await;
    for publishing in [poison, beside] {
        let Err(PublishError::Retry { error, .. }) = ended(publishing).await else { panic!("confirmed") };
        assert!(error.contains("ended the connection: packet too large"), "{error}");
    }
    let peer = broker.welcome(&[]).await;
    bench.closes(vec![peer]).await;
}

#[tokio::test]
async fn a_message_that_is_too_large_is_never_sent() {
    let broker = Broker::start().await;
    let bench = Bench::open(&broker, r#","mode":"structured""#);
    let peer = broker.welcome(PACKET_OF_100).await;
    let large =
        event("t", "x").with_subject("1".into()).with_extension(Name::new("pad").unwrap(), "x".repeat(90).as_str());
    let Err(PublishError::Reject { reason }) = soon(publish(bench.output.as_ref(), &large)).await else {
        panic!("taken")
    };
    assert!(reason.contains("takes packets of 100 bytes at most, and 'alerts/1' has "), "{reason}");
    peer.goodbye(0x8b).await;
    let mut peer = broker.welcome(&[]).await;
    let fits = bench.publish("2");
    let message = peer.message().await;
    assert_eq!(message.topic, "alerts/2");
    peer.confirm(message.packet).await;
    assert_eq!(ended(fits).await, Ok(()));
    bench.closes(vec![peer]).await;
}

#[tokio::test]
async fn what_a_broker_does_not_take_at_all_is_said_and_nothing_is_published() {
    for (more, properties, part) in
        [("", &[0x24, 0][..], "takes only qos 0"), (r#","retain":true"#, &[0x25, 0][..], "keeps no retained messages")]
    {
        let broker = Broker::start().await;
        let bench = Bench::open(&broker, &format!(r#"{more},"timeout":"5s""#));
        let waits = bench.publish("1");
        broker.welcome(properties).await.hears_goodbye().await;
        let Err(PublishError::Retry { error, .. }) = ended(waits).await else { panic!("published") };
        assert!(error.contains("did not confirm 'alerts/1' within 5s") && error.contains(part), "{error}");
        assert_eq!(bench.link.read().connection, Connection::Disconnected);
    }
}

#[tokio::test]
async fn quality_of_service_0_is_done_when_it_has_left() {
    let broker = Broker::start().await;
    let bench = Bench::open(&broker, r#","qos":0"#);
    // A receive maximum does not bind what nobody confirms.
    let mut peer = broker.welcome(RECEIVE_MAXIMUM_2).await;
    for one in ["1", "2", "3", "4"].map(|subject| bench.publish(subject)) {
        assert_eq!(ended(one).await, Ok(()));
    }
    for topic in ["alerts/1", "alerts/2", "alerts/3", "alerts/4"] {
        let message = peer.message().await;
        assert_eq!((message.topic.as_str(), message.first), (topic, 0x30));
    }
    bench.closes(vec![peer]).await;
}

#[tokio::test]
async fn a_broker_that_confirms_nothing_any_more_is_left() {
    let broker = Broker::start().await;
    let bench = Bench::open(&broker, r#","timeout":"5s","connections":1"#);
    let mut peer = broker.welcome(RECEIVE_MAXIMUM_2).await;
    let waiting = ["1", "2", "3"].map(|subject| bench.publish(subject));
    peer.message().await;
    for one in waiting {
        assert!(matches!(ended(one).await, Err(PublishError::Retry { .. })));
    }
    let mut other = broker.welcome(RECEIVE_MAXIMUM_2).await;
    assert!(bench.link.read().last_error.unwrap().contains("has confirmed nothing for so long"));
    let one = bench.publish("4");
    let message = other.message().await;
    other.confirm(message.packet).await;
    assert_eq!(ended(one).await, Ok(()));
    bench.closes(vec![other]).await;
}

#[tokio::test]
async fn three_one_one_has_no_properties() {
    let broker = Broker::start().await;
    let bench = Bench::open(&broker, r#","version":"3.1.1""#);
    let mut peer = broker.accept().await;
    assert_eq!((peer.greeting[6], peer.greeting[7]), (4, 2), "version 4, clean");
    peer.write(0x20, &[0, 0]).await;
    let one = bench.publish("1");
    let message = peer.message().await;
    assert!(message.rest.starts_with(b"{\"specversion\""), "{message:?}");
    peer.confirm(message.packet).await;
    assert_eq!(ended(one).await, Ok(()));
    bench.closes(vec![peer]).await;
}

#[tokio::test]
async fn after_the_end_nothing_is_published() {
    let broker = Broker::start().await;
    let bench = Bench::open(&broker, "");
    let output = std::sync::Arc::clone(&bench.output);
    let peer = broker.welcome(&[]).await;
    bench.closes(vec![peer]).await;
    let Err(PublishError::Retry { error, .. }) =
        publish(output.as_ref(), &event("t", "x").with_subject("1".into())).await
    else {
        panic!("published to nobody")
    };
    assert!(error.contains("is closed"), "{error}");
}
