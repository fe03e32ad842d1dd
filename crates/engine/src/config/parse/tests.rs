//! What is read, what is refused, and how little it costs.

use super::*;

fn read(text: &str) -> (Option<Node>, Vec<String>) {
    let mut check = Check::default();
    let node = parse(0, text, &mut Budget::default(), &mut check);
    (node, check.finish().into_iter().map(|diagnostic| diagnostic.message).collect())
}

/// The text that the span of a node covers, for each node of the tree.
fn spans<'t>(node: &Node, text: &'t str, into: &mut Vec<&'t str>) {
    into.push(&text[node.span.start as usize..node.span.end as usize]);
    match &node.value {
        Value::Scalar { .. } => {}
        Value::List(items) => items.iter().for_each(|item| spans(item, text, into)),
        Value::Map(entries) => entries.iter().for_each(|entry| {
            spans(&entry.key, text, into);
            spans(&entry.value, text, into);
        }),
    }
}

#[test]
fn every_key_and_value_has_its_place() {
    let text = "é:\n  \"b\": 'x y'\n  c: [1, {d: 2}]\n\n# end\n";
    let (node, problems) = read(text);
    assert_eq!(problems, [""; 0]);
    let mut found = Vec::new();
    spans(&node.unwrap(), text, &mut found);
    let inner = "b\": 'x y'\n  c: [1, {d: 2}]";
    assert_eq!(found[1], "é");
    assert!(found[2].ends_with(inner), "{:?}", found[2]);
    assert_eq!(found[3..], ["b", "x y", "c", "[1, {d: 2}]", "1", "{d: 2}", "d", "2"]);
}

#[test]
fn an_empty_file_is_an_empty_map() {
    for text in ["", "# only a comment\n", "---\n", "\u{feff}"] {
        let (node, problems) = read(text);
        assert_eq!(problems, [""; 0], "{text:?}");
        assert!(node.unwrap().entries().unwrap().is_empty(), "{text:?}");
    }
}

#[test]
fn aliases_copy_what_they_name() {
    let (node, problems) = read("a: &x {b: 1}\nc: *x\n");
    assert_eq!(problems, [""; 0]);
    let node = node.unwrap();
    let entries = node.entries().unwrap();
    assert_eq!(entries[1].value.entries().unwrap()[0].name(), "b");
}

#[test]
fn a_billion_laughs_are_refused_within_the_budget() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let alias = format!("*a{}", level - 1);
        text += &format!("a{level}: &a{level} [{}]\n", [alias.as_str(); 10].join(", "));
    }
    let mut budget = Budget::default();
    let mut check = Check::default();
    assert!(parse(0, &text, &mut budget, &mut check).is_none());
    let found = check.finish();
    assert!(found[0].message.contains("100000 keys and values"), "{found:?}");
    assert!(budget.next_id < 1000, "{} nodes were made", budget.next_id);
}

#[test]
fn nesting_is_refused_however_it_is_written() {
    let flow = "[".repeat(100_000);
    let maps = "{a: ".repeat(100_000);
    let dashes = "- ".repeat(100_000);
    let lines: String = (0..1000).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
    let chained: String = (0..10)
        .map(|at| {
            let inner = if at == 0 { "x".to_owned() } else { format!("*a{}", at - 1) };
            format!("a{at}: &a{at} {}{inner}{}\n", "[".repeat(10), " ]".repeat(10))
        })
        .collect();
    for text in [flow, maps, dashes, lines, chained] {
        let (node, problems) = read(&text);
        assert!(node.is_none());
        assert!(problems[0].contains("nested more than 64 deep"), "{problems:?}");
    }
}

#[test]
fn broken_files_are_refused_with_a_sentence() {
    for (text, part) in [
        ("a: [1, 2", "this is no YAML"),
        ("a:\n\tb: 1", "tab"),
        ("a: *x", "names nothing"),
        ("a: &x [*x]", "inside the value"),
        ("a: !vault x", "the tag '!vault' means nothing"),
        ("[a]: 1", "a key must be text"),
        ("a: 1\n---\nb: 2", "second document"),
        ("a: 1\na: 2", "'a' is written twice"),
        ("a: \0", "this is no YAML"),
    ] {
        let (_, problems) = read(text);
        assert!(problems.iter().any(|problem| problem.contains(part)), "{text:?}: {problems:?}");
    }
}

#[test]
fn a_tag_can_make_text_of_a_number() {
    let (node, problems) = read("!!str 5");
    assert_eq!(problems, [""; 0]);
    assert_eq!(node.unwrap().sort(), "text");
}
