//! What `check` says about options, and what a plan promises.

use engine::config::{AckPoint, Diagnostic, EventTemplate};
use engine::registry::{Sending, SourcePlan as _};
use serde_json::{Value, json};

use super::*;

fn common() -> SourceCommon {
    SourceCommon {
        name: Spanned { value: "fleet".into(), ..Spanned::default() },
        ack: None,
        event: EventTemplate::default(),
        seats: 100,
    }
}

fn options(more: &Value) -> Options {
    let mut typed = json!({ "url": "mqtt://localhost", "topics": ["v1/{fleet}/{vehicle}/telemetry"] });
    typed.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    serde_json::from_value(typed).unwrap()
}

fn check_with(more: &Value, common: &SourceCommon) -> (Option<Plan>, Vec<Diagnostic>) {
    let mut check = Check::default();
    let plan = plan(&options(more), common, &mut check);
    (plan, check.finish())
}

fn problems(more: &Value) -> Vec<String> {
    let (plan, found) = check_with(more, &common());
    assert_eq!(plan.is_some(), found.is_empty());
    assert!(found.iter().all(|problem| problem.help.is_some()), "{found:?}");
    found.into_iter().map(|problem| problem.message).collect()
}

#[test]
fn an_output_reaches_a_topic_that_it_subscribes_to() {
    let entrance = |topics: Value, to: Option<&str>| {
        let (plan, _) = check_with(&json!({ "topics": topics }), &common());
        plan.unwrap().entrance(&Sending { to, patience: Duration::from_millis(1500) })
    };
    let fixed = entrance(json!(["a/{{b"]), None).unwrap();
    assert_eq!(fixed.own, [("topic", json!("a/{{b")), ("timeout", json!("1500ms"))]);
    assert_eq!((fixed.place.as_str(), fixed.shared.len()), ("topic 'a/{b'", 6));
    let named = entrance(json!(["v1/{fleet}/telemetry", "b/#"]), Some("b/c/d")).unwrap();
    assert_eq!(named.own[0], ("topic", json!("b/c/d")));
    for (topics, to, part) in [
        (json!(["v1/{fleet}/telemetry"]), None, "--to has to name a topic that matches v1/+/telemetry"),
        (json!(["a", "b"]), None, "matches one of a, b"),
        (json!(["a", "b"]), Some("c"), "does not receive from topic 'c'"),
        (json!(["a/#"]), Some("a/+"), "holds a wildcard"),
    ] {
        let said = entrance(topics, to).unwrap_err();
        assert!(said.contains(part), "{said}");
    }
}

#[test]
fn everything_that_may_be_written_is_accepted() {
    assert_eq!(problems(&json!({})), [""; 0]);
    let all = json!({
        "url": "mqtts://${env:BROKER}:8883", "qos": 0, "clientId": "c", "version": "3.1.1", "shareGroup": "g",
        "sessionExpiry": "2h", "keepAlive": "10s", "maxPacketSize": "64KiB", "ackOrder": "received",
        "user": "u", "password": "${env:PASSWORD}",
        "tls": { "ca": "ca.pem", "cert": "c.pem", "key": "k.pem", "serverName": "broker" },
    });
    assert_eq!(problems(&all), [""; 0]);
}

#[test]
fn every_mistake_is_said() {
    for (more, part) in [
        (json!({ "qos": 2 }), "qos 2 is not offered"),
        (json!({ "qos": 7 }), "there is no qos 7"),
        (json!({ "url": "http://h" }), "scheme 'http'"),
        (json!({ "url": "mqtt://${vault:h}" }), "'${' begins a reference"),
        (json!({ "topics": [] }), "no topics"),
        (json!({ "topics": ["a/#/b"] }), "'#' must be the last level"),
        (json!({ "topics": ["{a}/x", "{b}/x"] }), "the same topics as one before"),
        (json!({ "clientId": "a\u{0}b" }), "null character"),
        (json!({ "clientId": "" }), "client id is empty"),
        (json!({ "shareGroup": "a/b" }), "cannot hold '/'"),
        (json!({ "shareGroup": "" }), "share group is empty"),
        (json!({ "keepAlive": "1d" }), "keepAlive is longer"),
        (json!({ "maxPacketSize": "1B" }), "packet size"),
        (json!({ "password": "p" }), "a password, but no user"),
        (json!({ "user": "${x}" }), "'${' begins a reference"),
        (json!({ "user": "a\u{0}" }), "null character"),
        (json!({ "tls": {} }), "tls is set, but url"),
        (json!({ "url": "mqtts://h", "tls": { "cert": "c" } }), "cert has no key"),
        (json!({ "url": "mqtts://h", "tls": { "key": "k" } }), "key has no cert"),
    ] {
        let found = problems(&more);
        assert!(found.len() == 1 && found[0].contains(part), "{more}: {found:?}");
    }
}

#[test]
fn what_cannot_be_read_is_refused_by_the_reader() {
    for (more, part) in [
        (json!({ "version": 4 }), "MQTT version '4' is not spoken; write 5 or 3.1.1"),
        (json!({ "version": 3.1 }), "MQTT version '3.1' is not spoken"),
        (json!({ "clientID": "c" }), "unknown field `clientID`"),
        (json!({ "tls": { "CA": "c" } }), "unknown field `CA`"),
    ] {
        let mut typed = json!({ "url": "mqtt://h", "topics": ["a"] });
        typed.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let error = serde_json::from_value::<Options>(typed).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    assert!(problems(&json!({ "version": 5 })).is_empty() && problems(&json!({ "version": "5" })).is_empty());
}

#[test]
fn a_bad_character_is_pointed_at() {
    let mut options = options(&json!({}));
    let span = engine::config::Span { file: 1, start: 40, end: 47 };
    options.topics.value[0] = Spanned::new("v1/a+/x".to_owned(), span);
    let mut check = Check::default();
    assert!(plan(&options, &common(), &mut check).is_none());
    let found = check.finish();
    assert_eq!(found[0].span, Some(span.part(4, 1)));
}

#[test]
fn every_topic_has_what_every_event_needs() {
    let mut common = common();
    common.event.partitionkey = Some(Spanned { value: "{vehicle}".to_owned(), ..Spanned::default() });
    let (_, found) = check_with(&json!({ "topics": ["a/{vehicle}", "b/{other}"] }), &common);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].message, "this topic does not capture '{vehicle}', which event: uses");
    assert!(check_with(&json!({ "topics": ["a/{vehicle}", "b/{vehicle}/{other}"] }), &common).1.is_empty());
}

#[test]
fn what_the_broker_sends_again_is_spooled_unless_the_file_says_otherwise() {
    let facts = |more: &Value, ack: Option<AckPoint>| {
        let mut common = common();
        common.ack = ack.map(|ack| Spanned::new(ack, engine::config::Span::default()));
        check_with(more, &common).0.unwrap().facts()
    };
    assert_eq!(facts(&json!({}), None).ack, AckPoint::Spooled);
    assert_eq!(facts(&json!({ "qos": 0 }), None).ack, AckPoint::Processed);
    for ack in [AckPoint::Processed, AckPoint::Spooled] {
        let (sent_again, lost) = (facts(&json!({}), Some(ack)), facts(&json!({ "qos": 0 }), Some(ack)));
        assert_eq!((sent_again.ack, sent_again.redelivers), (ack, true));
        assert_eq!((lost.ack, lost.redelivers), (ack, false));
    }
}

#[test]
fn facts_tell_the_limits() {
    let facts = |more: &Value| check_with(more, &common()).0.unwrap().facts();
    let five = facts(&json!({}));
    assert!(five.redelivers && five.keyed && five.ack == AckPoint::Spooled);
    assert_eq!(five.captures, ["fleet", "vehicle"]);
    let said =
        |facts: &engine::registry::SourceFacts, part: &str| facts.limits.iter().any(|limit| limit.contains(part));
    assert!(said(&five, "max_queued_messages") && said(&five, "for 1d while") && !said(&five, "retained"));
    assert!(said(&facts(&json!({ "shareGroup": "g" })), "retained"));
    assert!(said(&facts(&json!({ "version": "3.1.1" })), "stops reading"));
    let lossy = facts(&json!({ "qos": 0 }));
    assert!(!lossy.redelivers && said(&lossy, "is lost"));
    assert!(!facts(&json!({ "sessionExpiry": "0s" })).redelivers);
    let mut common = common();
    common.ack = Some(Spanned::new(AckPoint::Received, engine::config::Span::default()));
    assert!(!check_with(&json!({}), &common).0.unwrap().facts().redelivers);
}

#[test]
fn nothing_secret_is_shown() {
    let options = options(&json!({ "url": "mqtt://h", "user": "u5er", "password": "s3cret" }));
    let shown = format!("{options:?}");
    assert!(!shown.contains("u5er") && !shown.contains("s3cret"), "{shown}");
}
