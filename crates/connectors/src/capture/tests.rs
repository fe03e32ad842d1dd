//! What filters accept, where they complain, and that matching agrees with a plain reading of each standard.

use proptest::prelude::*;

use super::*;

/// Levels between slashes, as MQTT has them.
static LEVELS: Syntax = Syntax {
    whole: "topic",
    filter: "topic filter",
    part: "level",
    separator: '/',
    one: '+',
    rest: '#',
    rest_of_none: true,
    empty_parts: true,
    spaces: true,
    reserved: Some('$'),
    longest: 65_535,
    example: "v1/{fleet}/{vehicle}/telemetry",
};

/// Tokens between dots, as NATS has them.
static TOKENS: Syntax = Syntax {
    whole: "subject",
    filter: "subject",
    part: "token",
    separator: '.',
    one: '*',
    rest: '>',
    rest_of_none: false,
    empty_parts: false,
    spaces: false,
    reserved: None,
    longest: 4096,
    example: "v1.{fleet}.{vehicle}.telemetry",
};

fn level(text: &str) -> Filter {
    Filter::parse(&LEVELS, text).unwrap_or_else(|flaw| panic!("{text}: {flaw:?}"))
}

fn token(text: &str) -> Filter {
    Filter::parse(&TOKENS, text).unwrap_or_else(|flaw| panic!("{text}: {flaw:?}"))
}

fn wire(text: &str) -> String {
    level(text).wire().to_owned()
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
        let flaw = Filter::parse(&LEVELS, text).unwrap_err();
        assert_eq!((flaw.at, flaw.len), (at, len), "{text}: {flaw:?}");
        assert!(flaw.message.contains(part), "{text}: {flaw:?}");
        assert!(!flaw.help.is_empty());
    }
    assert!(Filter::parse(&LEVELS, &"x".repeat(LEVELS.longest + 1)).is_err());
}

#[test]
fn each_filter_fills_its_own_names() {
    let topics = Filters::new(vec![level("v1/{fleet}/{vehicle}/telemetry"), level("v2/{vehicle}/#")]);
    let names: Vec<_> = topics.names().iter().map(Name::as_str).collect();
    assert_eq!(names, ["fleet", "vehicle"]);
    assert_eq!(topics.capture("v1/demo/veh-1/telemetry").unwrap().as_slice(), [Some("demo"), Some("veh-1")]);
    assert_eq!(topics.capture("v2/veh-1").unwrap().as_slice(), [None, Some("veh-1")]);
    assert_eq!(topics.capture("v2//x/y").unwrap().as_slice(), [None, Some("")]);
    assert_eq!(topics.capture("v3/veh-1"), None);
    assert!(topics.wire().eq(["v1/+/+/telemetry", "v2/+/#"]));
}

#[test]
fn leading_wildcards_stay_out_of_the_brokers_own_topics() {
    for text in ["#", "+/x", "{a}/x"] {
        assert_eq!(Filters::new(vec![level(text)]).capture("$SYS/x"), None, "{text}");
    }
    assert!(Filters::new(vec![level("$SYS/#")]).capture("$SYS/x").is_some());
}

#[test]
fn subjects_have_tokens_that_are_never_empty() {
    assert_eq!(token("v1.{fleet}.*.{signal}").wire(), "v1.*.*.*");
    assert_eq!(token("v1.>").wire(), "v1.>");
    assert_eq!(token("a/b.$x+#").wire(), "a/b.$x+#", "what other protocols write means nothing here");
    for (text, at, len, part) in [
        ("", 0, 0, "empty"),
        (".a", 0, 1, "cannot be empty"),
        ("a..b", 1, 1, "cannot be empty"),
        ("a.b.", 3, 1, "cannot be empty"),
        ("v1.>.x", 3, 1, "last token"),
        ("v1.a*", 4, 1, "whole token"),
        ("v1.a>", 4, 1, "whole token"),
        ("v1.a b", 4, 1, "white space"),
        ("v1.{a}{b}", 3, 6, "whole token"),
        ("v1.{a}.{a}", 7, 3, "captured twice"),
    ] {
        let flaw = Filter::parse(&TOKENS, text).unwrap_err();
        assert_eq!((flaw.at, flaw.len), (at, len), "{text}: {flaw:?}");
        assert!(flaw.message.contains(part) && !flaw.help.is_empty(), "{text}: {flaw:?}");
    }
}

#[test]
fn the_rest_of_a_subject_is_at_least_one_token() {
    let subjects = Filters::new(vec![token("v1.{vehicle}.>")]);
    assert_eq!(subjects.capture("v1.veh-1"), None);
    assert_eq!(subjects.capture("v1.veh-1.a.b").unwrap().as_slice(), [Some("veh-1")]);
    let several = Filters::new(vec![token("a.*"), token("a.>"), token("b")]);
    assert_eq!(["a.x", "a.x.y", "b", "c"].map(|text| several.first(text)), [Some(0), Some(1), Some(2), None]);
    assert!(Filters::new(vec![token(">")]).capture("$JS.API").is_some(), "no subject is out of reach");
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
        let topics = Filters::new(vec![level(&filter)]);
        prop_assert_eq!(topics.capture(&topic).is_some(), matches(&filter, &topic));
    }

    #[test]
    fn captured_levels_rebuild_the_topic(levels in prop::collection::vec("[a-z0-9 é]{0,6}", 1..6)) {
        let filter = (0..levels.len()).map(|n| format!("{{c{n}}}")).collect::<Vec<_>>().join("/");
        let topic = levels.join("/");
        let topics = Filters::new(vec![level(&filter)]);
        let captured = topics.capture(&topic).unwrap();
        let rebuilt: Vec<_> = captured.iter().map(|level| level.unwrap().to_owned()).collect();
        prop_assert_eq!(rebuilt, levels);
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "[a{}+#/$\u{0}é]{0,12}") {
        if let Err(flaw) = Filter::parse(&LEVELS, &text) {
            prop_assert!(flaw.at + flaw.len <= text.len().max(1), "{:?}", flaw);
        }
    }
}
