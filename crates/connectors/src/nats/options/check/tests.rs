//! What `check` says about options, and what a plan promises.

use std::time::Duration;

use engine::config::{Diagnostic, EventTemplate, Span};
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

fn check_with(more: &Value, common: &SourceCommon) -> (Option<Plan>, Vec<Diagnostic>) {
    let mut typed = json!({ "url": "nats://localhost", "subjects": ["v1.{fleet}.{vehicle}.telemetry"] });
    typed.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let options: Options = serde_json::from_value(typed).unwrap();
    let mut check = Check::default();
    let plan = plan(&options, common, &mut check);
    (plan, check.finish())
}

fn problems(more: &Value) -> Vec<String> {
    let (plan, found) = check_with(more, &common());
    assert_eq!(plan.is_some(), found.is_empty());
    assert!(found.iter().all(|problem| problem.help.is_some()), "{found:?}");
    found.into_iter().map(|problem| problem.message).collect()
}

fn acknowledged(more: &Value, ack: AckPoint) -> (Option<Plan>, Vec<Diagnostic>) {
    check_with(more, &SourceCommon { ack: Some(Spanned::new(ack, Span::default())), ..common() })
}

#[test]
fn an_output_reaches_a_subject_that_it_subscribes_to() {
    let entrance = |more: Value, to: Option<&str>| {
        let (plan, _) = check_with(&more, &common());
        plan.unwrap().entrance(&Sending { to, patience: Duration::from_secs(5) })
    };
    let core = entrance(json!({ "queueGroup": "mill" }), Some("v1.demo.veh-1.telemetry")).unwrap();
    let subject = ("subject", json!("v1.demo.veh-1.telemetry"));
    assert_eq!(core.own, [subject, ("jetstream", json!(false)), ("timeout", json!("5000ms"))]);
    assert!(core.shared.contains(&"credentials") && core.place == "subject 'v1.demo.veh-1.telemetry'");
    let stream = json!({ "subjects": ["a"], "stream": "FLEET", "durable": "mill" });
    assert_eq!(entrance(stream, None).unwrap().own[1], ("jetstream", json!(true)));
    let said = entrance(json!({ "queueGroup": "mill" }), None).unwrap_err();
    assert!(said.contains("--to has to name a subject that matches v1.*.*.telemetry"), "{said}");
}

#[test]
fn everything_that_may_be_written_is_accepted() {
    assert_eq!(problems(&json!({ "queueGroup": "mill" })), [""; 0]);
    let all = json!({
        "url": "tls://${env:NATS}:4222,tls://b", "stream": "FLEET", "durable": "mill", "domain": "edge",
        "create": {
            "retention": "workQueue", "storage": "memory", "replicas": 3, "maxAge": "1h", "maxBytes": "1GiB",
            "deliver": "new", "ackWait": "10s", "maxAckPending": 200,
        },
        "credentials": "/etc/nats/mill.creds", "keepAlive": "5s",
        "tls": { "ca": "ca.pem", "cert": "c.pem", "key": "k.pem", "serverName": "broker" },
    });
    assert_eq!(problems(&all), [""; 0]);
}

#[test]
fn every_mistake_is_said() {
    let durable = |more: Value| {
        let mut all = json!({ "stream": "FLEET", "durable": "mill" });
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    };
    for (more, part) in [
        (json!({ "url": "http://h" }), "scheme 'http'"),
        (json!({ "url": "nats://${vault:h}" }), "'${' begins a reference"),
        (json!({ "subjects": [] }), "no subjects"),
        (json!({ "subjects": ["a..b"] }), "cannot be empty"),
        (json!({ "subjects": ["{a}.x", "{b}.x"] }), "the same subjects as one before"),
        (json!({ "stream": "FLEET" }), "no durable consumer"),
        (json!({ "keepAlive": "10ms" }), "'keepAlive' is out of bounds"),
        (json!({ "keepAlive": "2h" }), "'keepAlive' is out of bounds"),
        (json!({ "durable": "mill" }), "no stream"),
        (json!({ "create": {} }), "for JetStream"),
        (json!({ "domain": "edge" }), "for JetStream"),
        (json!({ "queueGroup": "a b" }), "'queueGroup' cannot hold ' '"),
        (durable(json!({ "queueGroup": "g" })), "no queue group"),
        (durable(json!({ "stream": "a.b" })), "'stream' cannot hold '.'"),
        (durable(json!({ "durable": "" })), "'durable' is empty"),
        (durable(json!({ "create": { "ackWait": "100ms" } })), "ackWait is too short"),
        (durable(json!({ "create": { "maxAckPending": 99 } })), "maxAckPending 99 is below the 100 seats"),
        (durable(json!({ "create": { "replicas": 9 } })), "'replicas' is 9"),
        (json!({ "password": "p" }), "no user"),
        (json!({ "user": "u", "token": "t" }), "token is written beside user"),
        (json!({ "tls": {} }), "url is one without TLS"),
    ] {
        let found = problems(&more);
        assert!(found.len() == 1 && found[0].contains(part), "{more}: {found:?}");
    }
}

#[test]
fn a_subject_must_capture_what_events_need() {
    let key = Spanned { value: "{vehicle}".to_owned(), ..Spanned::default() };
    let event = EventTemplate { partitionkey: Some(key), ..EventTemplate::default() };
    let subjects = json!({ "subjects": ["v1.{vehicle}.>", "v2.{fleet}.>"] });
    let (_, found) = check_with(&subjects, &SourceCommon { event, ..common() });
    assert!(found.len() == 1 && found[0].message.contains("does not capture '{vehicle}'"), "{found:?}");
}

#[test]
fn core_is_sent_once_and_jetstream_delivers_at_least_once() {
    let core = check_with(&json!({}), &common()).0.unwrap().facts();
    assert_eq!((core.ack, core.redelivers), (AckPoint::Spooled, false));
    assert!(core.limits[0].contains("at most once"));
    let durable = json!({ "stream": "FLEET", "durable": "mill" });
    let stream = check_with(&durable, &common()).0.unwrap().facts();
    assert_eq!((stream.ack, stream.redelivers, stream.captures.len()), (AckPoint::Processed, true, 2));
    let early = acknowledged(&durable, AckPoint::Received).0.unwrap().facts();
    assert_eq!((early.ack, early.redelivers), (AckPoint::Received, false));
    let kept = acknowledged(&durable, AckPoint::Spooled).0.unwrap().facts();
    assert_eq!((kept.ack, kept.redelivers), (AckPoint::Spooled, true));
    assert_eq!(acknowledged(&json!({}), AckPoint::Received).0.unwrap().facts().ack, AckPoint::Received);
    let (plan, found) = acknowledged(&json!({}), AckPoint::Processed);
    assert!(plan.is_none() && found[0].message.contains("no acknowledgements"), "{found:?}");
}

#[test]
fn nothing_secret_is_shown() {
    let (_, found) = check_with(&json!({ "url": "nats://u:s3cret@h", "token": "t0ken${" }), &common());
    assert_eq!(found.len(), 2);
    assert!(found.iter().all(|problem| !format!("{problem:?}").contains("s3cret")));
    assert!(found.iter().all(|problem| !format!("{problem:?}").contains("t0ken")));
}
