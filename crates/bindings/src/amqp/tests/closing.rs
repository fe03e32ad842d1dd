//! Messages that a broker ends a channel or a connection over: each fails by itself, and costs its neighbours a reconnect.

use std::time::Duration;

use engine::event::Event;

use super::broker::{Broker, Reaction};
use super::*;

/// What became of an event.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Done,
    Retry,
    Reject,
}

/// Publishes ten events to queues `0` to `9`, to a broker that reacts so to those to queue `4`; answers what became of each,
/// what was said of the fourth, and how often the output connected.
async fn play(reaction: Reaction, times: usize) -> (Vec<End>, String, usize) {
    let broker = Broker::start(&[("4", reaction, times)]).await;
    let given = format!(r#"{{"url":"amqp://{}","routingKey":"{{subject}}","timeout":"10m"}}"#, broker.address);
    let output = open(&Amqp, &given, &setup("alerts", &Page::default())).unwrap();
    let (mut confirmations, mut answers) = (engine::port::Confirmations::default(), Vec::new());
    for number in 0..10 {
        let event: Event = event("t", "x").with_subject(number.to_string().into());
        let Confirm::Later(promise) = output.publish(&event, confirmations.offer()) else { panic!("nobody knows yet") };
        confirmations.expect(&promise, number);
    }
    let all = async {
        while !confirmations.is_empty() {
            confirmations.next(&mut answers).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(120), all).await.expect("this waits for ever");
    answers.sort_by_key(|(number, _)| *number);
    let said = answers[4].1.as_ref().err().map(ToString::to_string).unwrap_or_default();
    let end = |outcome: &Result<(), PublishError>| match outcome {
        Ok(()) => End::Done,
        Err(PublishError::Retry { .. }) => End::Retry,
        Err(PublishError::Reject { .. }) => End::Reject,
    };
    let ends: Vec<_> = answers.iter().map(|(_, outcome)| end(outcome)).collect();
    let (connections, taken) = broker.seen();
    let done = ends.iter().enumerate().filter(|(_, end)| **end == End::Done);
    let wanted: Vec<_> = done.map(|(number, _)| number.to_string()).collect();
    assert_eq!(taken, wanted, "each once, in order");
    assert_eq!(output.close().await, Ok(()));
    (ends, said, connections)
}

/// Everything done, but for the fourth.
fn but(fourth: End) -> Vec<End> {
    let mut ends: Vec<_> = (0..10).map(|_| End::Done).collect();
    ends[4] = fourth;
    ends
}

#[tokio::test]
async fn a_message_that_the_broker_can_never_take_is_rejected_and_its_neighbours_arrive() {
    for (reaction, part) in [
        (Reaction::Channel(406), "lower maxMessageSize"),
        (Reaction::Connection(501), "ended the connection over what was sent: WHY"),
        (Reaction::Connection(502), "ended the connection over what was sent: WHY"),
    ] {
        let (ends, said, connections) = play(reaction, 9).await;
        assert_eq!((ends, connections), (but(End::Reject), 3), "{reaction:?}: {said}");
        assert!(said.contains(part), "{said}");
    }
}

#[tokio::test]
async fn a_message_that_the_broker_breaks_over_fails_and_may_be_tried_again() {
    for reaction in [Reaction::Connection(541), Reaction::Channel(403)] {
        let (ends, said, connections) = play(reaction, 9).await;
        assert_eq!((ends, connections), (but(End::Retry), 3), "{reaction:?}: {said}");
    }
}

#[tokio::test]
async fn a_connection_that_hangs_up_over_one_message_is_found_out() {
    let (ends, said, connections) = play(Reaction::Hang, 9).await;
    assert_eq!((ends, connections), (but(End::Retry), 4), "{said}");
    assert!(said.contains("nothing but this event on its way"), "{said}");
}

#[tokio::test]
async fn a_connection_that_was_lost_once_or_stopped_costs_no_attempt() {
    for (reaction, times) in [(Reaction::Hang, 1), (Reaction::Connection(320), 3)] {
        let (ends, _, connections) = play(reaction, times).await;
        assert_eq!((ends, connections), (but(End::Done), times + 1), "{reaction:?}");
    }
}
