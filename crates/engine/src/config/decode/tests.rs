//! What the rounds find out, and that they end.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::*;
use crate::config::parse::{Budget, parse};
use crate::config::{Many, Secret, Spanned};

fn read<T: DeserializeOwned>(text: &str) -> (Option<T>, Vec<String>) {
    let mut check = Check::default();
    let node = parse(0, text, &mut Budget::default(), &mut check).unwrap();
    let owner = Node { id: 0, span: Span::default(), value: Value::Scalar { text: "root".to_owned(), plain: true } };
    let value = decode(&node, &owner, &mut check);
    (value, check.finish().into_iter().map(|diagnostic| diagnostic.message).collect())
}

#[derive(Debug, PartialEq, Deserialize)]
enum Way {
    Unit,
    Newtype(u8),
    Struct { a: u8 },
    Tuple(u8, u8),
}

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "fields are only read from text")]
struct Strict {
    number: u8,
    text: String,
    flag: bool,
    list: Vec<u8>,
    map: BTreeMap<String, u8>,
    way: Way,
    inner: Inner,
    period: crate::config::Period,
}

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "fields are only read from text")]
struct Inner {
    wanted: u8,
    optional: Option<u8>,
}

#[test]
fn every_missing_key_is_named_whatever_it_should_hold() {
    let (value, problems) = read::<Strict>("{}");
    assert!(value.is_none());
    let keys = ["number", "text", "flag", "list", "map", "way", "inner", "period"];
    let wanted: Vec<String> = keys.iter().map(|key| format!("'root' lacks the key '{key}'")).collect();
    assert_eq!(problems, wanted);
}

#[test]
fn what_is_wrong_is_not_missing_too() {
    let (value, mut problems) = read::<Strict>(
        "number: x\ntext: [1]\nflag: 1\nlist: 1\nmap: [1]\nway: Unt\ninner: { wanted: y, other: 1 }\nperiod: 5",
    );
    assert!(value.is_none());
    problems.sort();
    assert_eq!(
        problems,
        [
            "'5' is no duration",
            "'flag' must be true or false, not a number",
            "'list' must be a list, not a number",
            "'map' must be a map, not a list",
            "'number' must be a whole number from 0 to 255, not text",
            "'text' must be text, not a list",
            "'wanted' must be a whole number from 0 to 255, not text",
            "unknown key 'other' in 'inner'",
            "unknown value 'Unt' of 'way'",
        ]
    );
}

#[test]
fn a_value_survives_a_wrong_part_that_it_can_do_without() {
    let (value, problems) = read::<Inner>("wanted: 1\noptional: many\nunknown: 2");
    assert_eq!(value.unwrap().wanted, 1);
    assert_eq!(problems.len(), 2);
}

#[test]
fn plain_text_becomes_whatever_is_wanted() {
    assert_eq!(read::<String>("5").0.as_deref(), Some("5"));
    assert_eq!(read::<String>("true").0.as_deref(), Some("true"));
    assert_eq!(read::<String>("~").1, ["'root' must be text, not nothing"]);
    assert_eq!(read::<String>("'~'").0.as_deref(), Some("~"));
    assert_eq!(read::<u8>("'5'").1, ["'root' must be a whole number from 0 to 255, not text"]);
    assert_eq!(read::<u8>("1.0").1, ["'root' must be a whole number from 0 to 255, not 1.0"]);
    assert_eq!(read::<f64>("5").0, Some(5.0));
    assert_eq!(read::<Option<u8>>("~").0, Some(None));
    assert_eq!(read::<BTreeMap<String, u8>>("5: 1\ntrue: 2").0.unwrap().len(), 2);
}

#[test]
fn enums_are_chosen_by_text_or_by_one_key() {
    assert_eq!(read::<Way>("Unit").0, Some(Way::Unit));
    assert_eq!(read::<Way>("Unit:").0, Some(Way::Unit));
    assert_eq!(read::<Way>("Newtype: 3").0, Some(Way::Newtype(3)));
    assert_eq!(read::<Way>("Struct: { a: 3 }").0, Some(Way::Struct { a: 3 }));
    assert_eq!(read::<Way>("Tuple: [1, 2]").0, Some(Way::Tuple(1, 2)));
    assert_eq!(read::<Way>("{ Unit: , Newtype: 3 }").1.len(), 1);
    assert_eq!(read::<Way>("[Unit]").1.len(), 1);
    assert_eq!(read::<Way>("Unit: 3").1, ["'Unit' must be nothing, not a number"]);
    assert_eq!(read::<Way>("Struct: { a: 3, b: 4 }").1, ["unknown key 'b' in 'Struct'"]);
}

#[test]
fn places_point_into_the_text() {
    let text = "a: \"x/y\"\nb: [c, d]\n";
    let value: BTreeMap<Spanned<String>, Many<Spanned<String>>> = read(text).0.unwrap();
    let shown = |span: Span| &text[span.start as usize..span.end as usize];
    let spans: Vec<&str> = value
        .iter()
        .flat_map(|(key, many)| std::iter::once(shown(key.span)).chain(many.0.iter().map(|item| shown(item.span))))
        .collect();
    assert_eq!(spans, ["a", "x/y", "b", "c", "d"]);
}

#[test]
fn secrets_are_hidden_wherever_they_stand() {
    let text = "a: [s1, \"s2\"]";
    let mut check = Check::default();
    let node = parse(0, text, &mut Budget::default(), &mut check).unwrap();
    let value: Option<BTreeMap<String, Vec<Secret>>> = decode(&node, &node, &mut check);
    assert_eq!(value.unwrap()["a"][0].literal(), Some("s1"));
    let hidden: Vec<&str> =
        check.hidden().into_iter().map(|span| &text[span.start as usize..span.end as usize]).collect();
    assert_eq!(hidden, ["s1", "s2"]);
}

#[test]
fn the_number_of_rounds_is_bounded() {
    let text: String = (0..1000).map(|at| format!("k{at}: x\n")).collect();
    let (value, problems) = read::<BTreeMap<String, u8>>(&text);
    assert!(value.is_none());
    assert_eq!(problems.len(), PROBLEMS_MAX);
}
