//! What filters accept, where they complain, and that matching agrees with a plain reading of the standard.

use proptest::prelude::*;

use super::*;

fn wire(text: &str) -> String {
    Filter::parse(text).unwrap_or_else(|flaw| panic!("{text}: {flaw:?}")).wire().to_owned()
}

#[test]
fn captures_become_single_level_wildcards() {
    assert_eq!(wire("v1/{fleet}/{vehicle}/telemetry"), "v1/+/+/telemetry");
    assert_eq!(wire("/a//b/"), "/a//b/");
    assert_eq!(wire("+/{x}/#"), "+/+/#");
    assert_eq!(wire("a{{b}/c"), "a{b}/c");
    assert_eq!(wire("{{a}/c"), "{a}/c");
    assert_eq!(wire("$SYS/broker/#"), "$SYS/broker/#");
}

#[test]
fn a_flaw_names_its_place() {
    for (text, at, len, part) in [
        ("", 0, 0, "empty"),
        ("$share/g/a", 0, 6, "names a share"),
        ("v1/#/x", 3, 1, "last level"),
        ("v1/a+/x", 4, 1, "whole level"),
        ("v1/a#", 4, 1, "whole level"),
        ("v1/veh-{id}/x", 7, 4, "whole level"),
        ("v1/{id}x/x", 3, 5, "whole level"),
        ("v1/{id/x", 3, 3, "never closed"),
        ("v1/{Id}/x", 4, 2, "attribute name"),
        ("v1/{}/x", 4, 1, "attribute name"),
        ("v1/{type}/x", 4, 4, "every event has"),
        ("v1/{a}/{a}", 7, 3, "captured twice"),
        ("a\0b", 1, 1, "null character"),
    ] {
        let flaw = Filter::parse(text).unwrap_err();
        assert_eq!((flaw.at, flaw.len), (at, len), "{text}: {flaw:?}");
        assert!(flaw.message.contains(part), "{text}: {flaw:?}");
        assert!(!flaw.help.is_empty());
    }
    assert!(Filter::parse(&"x".repeat(LONGEST + 1)).is_err());
}

#[test]
fn each_filter_fills_its_own_names() {
    let topics = Topics::new(vec![
        Filter::parse("v1/{fleet}/{vehicle}/telemetry").unwrap(),
        Filter::parse("v2/{vehicle}/#").unwrap(),
    ]);
    let names: Vec<_> = topics.names().iter().map(Name::as_str).collect();
    assert_eq!(names, ["fleet", "vehicle"]);
    assert_eq!(topics.capture("v1/demo/veh-1/telemetry").unwrap().as_slice(), [Some("demo"), Some("veh-1")]);
    assert_eq!(topics.capture("v2/veh-1").unwrap().as_slice(), [None, Some("veh-1")]);
    assert_eq!(topics.capture("v2//x/y").unwrap().as_slice(), [None, Some("")]);
    assert_eq!(topics.capture("v3/veh-1"), None);
    assert_eq!(topics.wire(Some("g")), ["$share/g/v1/+/+/telemetry", "$share/g/v2/+/#"]);
    assert_eq!(topics.wire(None)[1], "v2/+/#");
}

#[test]
fn leading_wildcards_stay_out_of_the_brokers_own_topics() {
    for text in ["#", "+/x", "{a}/x"] {
        assert_eq!(Topics::new(vec![Filter::parse(text).unwrap()]).capture("$SYS/x"), None, "{text}");
    }
    assert!(Topics::new(vec![Filter::parse("$SYS/#").unwrap()]).capture("$SYS/x").is_some());
}

/// The standard read word by word, without captures and without regard to speed.
fn matches(filter: &str, topic: &str) -> bool {
    let (filter, topic): (Vec<_>, Vec<_>) = (filter.split('/').collect(), topic.split('/').collect());
    match filter.split_last() {
        Some((&"#", head)) => {
            topic.len() >= head.len() && head.iter().zip(&topic).all(|(level, text)| *level == "+" || level == text)
        }
        _ => {
            filter.len() == topic.len() && filter.iter().zip(&topic).all(|(level, text)| *level == "+" || level == text)
        }
    }
}

proptest! {
    #[test]
    fn matching_follows_the_standard(filter in "[ab+](/[ab+]){0,3}(/#)?", topic in "[abc]?(/[abc]?){0,4}") {
        let topics = Topics::new(vec![Filter::parse(&filter).unwrap()]);
        prop_assert_eq!(topics.capture(&topic).is_some(), matches(&filter, &topic));
    }

    #[test]
    fn captured_levels_rebuild_the_topic(levels in prop::collection::vec("[a-z0-9 é]{0,6}", 1..6)) {
        let filter = (0..levels.len()).map(|n| format!("{{c{n}}}")).collect::<Vec<_>>().join("/");
        let topic = levels.join("/");
        let topics = Topics::new(vec![Filter::parse(&filter).unwrap()]);
        let captured = topics.capture(&topic).unwrap();
        let rebuilt: Vec<_> = captured.iter().map(|level| level.unwrap().to_owned()).collect();
        prop_assert_eq!(rebuilt, levels);
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "[a{}+#/$\u{0}é]{0,12}") {
        if let Err(flaw) = Filter::parse(&text) {
            prop_assert!(flaw.at + flaw.len <= text.len().max(1), "{:?}", flaw);
        }
    }
}
