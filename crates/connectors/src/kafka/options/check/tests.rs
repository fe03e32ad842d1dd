//! Every option that can be wrong, and what is then said.

use engine::config::EventTemplate;
use engine::registry::{Sending, SourcePlan as _};

use super::*;

fn checked(json: &str, ack: Option<AckPoint>) -> (Option<Plan>, Vec<String>) {
    let options: Options = serde_json::from_str(json).unwrap();
    let common = SourceCommon {
        name: Spanned::new("orders".into(), Default::default()),
        ack: ack.map(|ack| Spanned::new(ack, Default::default())),
        event: EventTemplate::default(),
        seats: 100,
    };
    let mut check = Check::default();
    let plan = plan(&options, &common, &mut check);
    (plan, check.finish().into_iter().map(|problem| problem.message).collect())
}

fn said(more: &str) -> String {
    let (plan, said) = checked(&format!(r#"{{"brokers":["localhost:9092"],"topics":["orders"]{more}}}"#), None);
    assert_eq!(plan.is_none(), !said.is_empty(), "{more}: {said:?}");
    said.join("; ")
}

#[test]
fn what_is_not_written_has_a_default() {
    let (plan, _) = checked(r#"{"brokers":["localhost:9092"],"topics":["orders"]}"#, None);
    let plan = plan.unwrap();
    assert_eq!((plan.group.as_str(), plan.max_uncommitted), ("tidemill-orders", 1000));
    assert_eq!((plan.initial, plan.ack, plan.committed_only), (Initial::Earliest, AckPoint::Processed, true));
    assert_eq!((plan.limit, plan.prefetch, plan.session), (16 << 20, 4 << 20, Duration::from_secs(10)));
}

#[test]
fn an_output_reaches_a_topic_that_it_asks_for() {
    let entrance = |topics: &str, to: Option<&str>| {
        let plan = checked(&format!(r#"{{"brokers":["localhost:9092"],{topics}}}"#), None).0.unwrap();
        plan.entrance(&Sending { to, patience: Duration::from_secs(5) })
    };
    let only = entrance(r#""topics":["orders"]"#, None).unwrap();
    assert_eq!(only.own, [("topic", "orders".into()), ("timeout", "5000ms".into())]);
    assert_eq!((only.shared, only.place.as_str()), (&["brokers", "tls", "sasl"][..], "topic 'orders'"));
    let pattern = r#""topicPattern":"orders-(?<tenant>[a-z]+)""#;
    assert_eq!(entrance(pattern, Some("orders-acme")).unwrap().place, "topic 'orders-acme'");
    for (topics, to, part) in [
        (r#""topics":["orders.{tenant}"]"#, None, "--to has to name a topic that matches orders.*"),
        (r#""topics":["orders"]"#, Some("other"), "does not receive from topic 'other'"),
        (pattern, Some("other"), "does not receive from topic 'other'"),
        (pattern, None, "that topicPattern matches"),
    ] {
        let said = entrance(topics, to).unwrap_err();
        assert!(said.contains(part), "{said}");
    }
}

#[test]
fn initial_offsets_are_words_or_times() {
    for (typed, initial) in [
        ("earliest", Initial::Earliest),
        ("latest", Initial::Latest),
        ("1970-01-01T00:00:01.5Z", Initial::Since(1500)),
        ("1970-01-01T01:00:00+01:00", Initial::Since(0)),
    ] {
        let json = format!(r#"{{"brokers":["a:1"],"topics":["t"],"initialOffset":"{typed}"}}"#);
        assert_eq!(checked(&json, None).0.unwrap().initial, initial, "{typed}");
    }
    let wrong = serde_json::from_str::<Options>(r#"{"brokers":["a:1"],"topics":["t"],"initialOffset":"newest"}"#);
    assert!(wrong.unwrap_err().to_string().contains("write earliest, latest, or a time"));
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    assert_eq!(said(""), "");
    let all = said(r#","group":"","maxUncommitted":0,"prefetch":"1KiB","maxMessageSize":"2GiB","sessionTimeout":"1s""#);
    for part in ["the group is empty", "'maxUncommitted'", "'prefetch'", "'maxMessageSize'", "'sessionTimeout'"] {
        assert!(all.contains(part), "{part}: {all}");
    }
    assert!(said(r#","group":"a\u0000""#).contains("null character"));
    assert!(said(r#","topicPattern":"(""#).contains("no regular expression"));
}

#[test]
fn there_is_something_to_read() {
    assert!(checked(r#"{"brokers":["a:1"]}"#, None).1[0].contains("no topics"));
    assert!(checked(r#"{"brokers":["a:1"],"topics":[]}"#, None).1[0].contains("no topics"));
    assert_eq!(checked(r#"{"brokers":["a:1"],"topicPattern":"^a"}"#, None).1, [""; 0]);
}

#[test]
fn a_message_is_acknowledged_where_the_file_says() {
    for ack in [AckPoint::Received, AckPoint::Spooled, AckPoint::Processed] {
        let facts = checked(r#"{"brokers":["a:1"],"topics":["t"]}"#, Some(ack)).0.unwrap().facts();
        assert_eq!((facts.ack, facts.redelivers), (ack, ack != AckPoint::Received));
    }
}

#[test]
fn librdkafka_knows_every_property() {
    use engine::registry::SourcePlan;
    let (plan, _) = checked(r#"{"brokers":["a:1"],"topics":["t"],"initialOffset":"latest"}"#, None);
    let plan = plan.unwrap();
    assert!(
        plan.facts().redelivers
            && plan.facts().limits.iter().any(|limit| limit.contains("latest") && limit.contains("first joined"))
    );
    let setup = engine::registry::Setup {
        name: "orders".into(),
        instance: "i-1".into(),
        seats: 100,
        state: None,
        clock: std::sync::Arc::new(engine::port::SystemClock),
        link: engine::metric::Link::default(),
        page: engine::metric::Page::default(),
    };
    // Making a client reads every property and connects to nothing by itself.
    assert!(plan.group(&setup).is_ok());
    for prefetch in ["64KiB", "1GiB"] {
        let (plan, _) = checked(&format!(r#"{{"brokers":["a:1"],"topics":["t"],"prefetch":"{prefetch}"}}"#), None);
        assert!(plan.unwrap().group(&setup).is_ok(), "{prefetch}");
    }
    assert!(plan.open(setup).is_ok());
}
