//! What `check` says about options, and what a plan promises.

use std::time::Duration;

use engine::config::{AckPoint, EventTemplate};
use engine::registry::{Sending, SourcePlan as _};
use serde_json::{Value, json};

use super::*;
use crate::amqp::table::Argument;

fn common() -> SourceCommon {
    SourceCommon {
        name: Spanned { value: "fleet".into(), ..Spanned::default() },
        ack: None,
        event: EventTemplate::default(),
        seats: 100,
    }
}

fn options(more: &Value) -> Options {
    let mut typed = json!({ "url": "amqp://localhost", "queue": "telemetry" });
    typed.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    serde_json::from_value(typed).unwrap()
}

fn problems(more: &Value, common: &SourceCommon) -> Vec<String> {
    let mut check = Check::default();
    let plan = plan(&options(more), common, &mut check);
    let found = check.finish();
    assert_eq!(plan.is_some(), found.is_empty());
    assert!(found.iter().all(|problem| problem.help.is_some()), "{found:?}");
    found.into_iter().map(|problem| problem.message).collect()
}

#[test]
fn an_output_reaches_the_queue_through_the_brokers_own_exchange() {
    let entrance = |more: Value, to: Option<&str>| {
        let plan = plan(&options(&more), &common(), &mut Check::default());
        plan.unwrap().entrance(&Sending { to, patience: Duration::from_secs(5) })
    };
    let open = entrance(json!({}), None).unwrap();
    assert_eq!(open.own, [("exchange", json!("")), ("routingKey", json!("telemetry")), ("timeout", json!("5000ms"))]);
    assert_eq!((open.shared, open.place.as_str()), (&["url", "user", "password", "tls"][..], "queue 'telemetry'"));
    assert!(entrance(json!({ "routingKeys": ["#"] }), None).is_ok());
    let said = entrance(json!({ "routingKeys": ["v1.{fleet}"] }), None).unwrap_err();
    assert!(said.contains("routing key 'telemetry', which it refuses (routingKeys: v1.*)"), "{said}");
    assert!(entrance(json!({}), Some("telemetry")).unwrap_err().contains("leave --to out"));
}

#[test]
fn everything_that_may_be_written_is_accepted() {
    assert_eq!(problems(&json!({}), &common()), [""; 0]);
    let all = json!({
        "url": "amqps://${env:RABBITMQ}:5671/fleet", "queue": "q",
        "declare": { "type": "quorum", "durable": true, "arguments": { "x-delivery-limit": 5, "x-single-active-consumer": true } },
        "routingKeys": ["v1.{fleet}.*.telemetry", "v2.{fleet}.#"], "consumerTimeout": "1h", "maxMessageSize": "1MiB",
        "user": "u", "password": "${env:PASSWORD}",
        "tls": { "ca": "ca.pem", "cert": "c.pem", "key": "k.pem", "serverName": "broker" },
    });
    assert_eq!(problems(&all, &common()), [""; 0]);
}

#[test]
fn every_mistake_is_said() {
    for (more, part) in [
        (json!({ "url": "mqtt://h" }), "scheme 'mqtt'"),
        (json!({ "url": "amqp://${vault:h}" }), "'${' begins a reference"),
        (json!({ "queue": "" }), "no name"),
        (json!({ "queue": "q".repeat(256) }), "longer than 255"),
        (json!({ "queue": "amq.gen-1", "declare": {} }), "the broker's own"),
        (json!({ "declare": { "type": "quorum", "durable": false } }), "always durable"),
        (json!({ "declare": { "arguments": { "x-queue-type": "quorum" } } }), "a key of its own"),
        (json!({ "declare": { "arguments": { "": 1 } } }), "1 to 255 bytes"),
        (json!({ "routingKeys": [] }), "no routing keys"),
        (json!({ "routingKeys": ["a.#.b"] }), "'#' must be the last word"),
        (json!({ "consumerTimeout": "0s" }), "out of bounds"),
        (json!({ "maxMessageSize": "0B" }), "'maxMessageSize' is 0"),
        (json!({ "password": "p" }), "a password, but no user"),
        (json!({ "tls": {} }), "tls is set, but url"),
    ] {
        let found = problems(&more, &common());
        assert!(found.len() == 1 && found[0].contains(part), "{more}: {found:?}");
    }
}

#[test]
fn a_template_can_use_only_what_routing_keys_capture() {
    let using = |pattern: &str| {
        let source = Some(Spanned { value: pattern.to_owned(), ..Spanned::default() });
        SourceCommon { event: EventTemplate { source, ..EventTemplate::default() }, ..common() }
    };
    assert_eq!(problems(&json!({}), &using("/{routingKey}")), [""; 0]);
    assert!(!problems(&json!({}), &using("/{fleet}")).is_empty());
    let keys = json!({ "routingKeys": ["{fleet}.a", "b.*"] });
    assert!(problems(&keys, &using("/{fleet}"))[0].contains("does not capture '{fleet}'"));
}

#[test]
fn a_classic_queue_names_no_type_and_a_quorum_queue_does() {
    let declared = |more: Value| queue(&options(&more), &mut Check::default()).declare;
    assert_eq!(declared(json!({})), None);
    let classic = declared(json!({ "declare": {} })).unwrap();
    assert_eq!((classic.durable, classic.arguments), (true, vec![]));
    let quorum = declared(json!({ "declare": { "type": "quorum", "arguments": { "x-overflow": "reject-publish" } } }));
    let text = |key: &str, text: &str| (key.to_owned(), Argument::Text(text.to_owned()));
    let wanted = vec![text("x-overflow", "reject-publish"), text("x-queue-type", "quorum")];
    assert_eq!(quorum.unwrap().arguments, wanted);
}

#[test]
fn a_lease_is_what_was_written_of_it_less_what_it_takes_to_give_back() {
    let lease = |more: Value, ack: AckPoint| {
        let common = SourceCommon { ack: Some(Spanned::new(ack, Default::default())), ..common() };
        plan(&options(&more), &common, &mut Check::default()).unwrap().lease().map(|lease| lease.value)
    };
    let written = json!({ "consumerTimeout": "10s" });
    assert_eq!(lease(written.clone(), AckPoint::Processed), Some(Duration::from_secs(9)));
    assert_eq!(lease(json!({}), AckPoint::Processed), None);
    assert_eq!(lease(written, AckPoint::Received), None, "what is acknowledged at once is nobody's to take back");
}

#[test]
fn a_plan_says_what_it_cannot_promise() {
    let facts = |ack: Option<AckPoint>| {
        let common = SourceCommon { ack: ack.map(|value| Spanned::new(value, Default::default())), ..common() };
        plan(&options(&json!({})), &common, &mut Check::default()).unwrap().facts()
    };
    assert_eq!(facts(None).ack, AckPoint::Processed);
    let spooled = facts(Some(AckPoint::Spooled));
    assert_eq!((spooled.ack, spooled.redelivers), (AckPoint::Spooled, true));
    let processed = facts(None);
    assert!(processed.redelivers && processed.keyed && processed.captures.is_empty());
    assert!(processed.limits.iter().any(|limit| limit.contains("consumer_timeout")));
    let received = facts(Some(AckPoint::Received));
    assert!(!received.redelivers && received.limits.iter().any(|limit| limit.contains("is lost")));
}
