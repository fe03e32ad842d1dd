//! An independent reader of the text format, and the property that what is shown reads back as what was sent.

use std::collections::BTreeMap;

use engine::metric::Page;
use proptest::prelude::*;

use super::super::bucket::Buckets;
use super::super::store::{Limits, Store};
use super::super::{Board, Bundle};

/// One family as a reader sees it.
#[derive(Debug, Default)]
pub(super) struct Family {
    kind: String,
    /// Line name and labels, in the order of the page, and the value.
    pub(super) lines: BTreeMap<(String, Vec<(String, String)>), f64>,
}

/// Reads a page, and panics at whatever the format forbids.
pub(super) fn read(page: &str) -> BTreeMap<String, Family> {
    let mut families = BTreeMap::<String, Family>::new();
    let mut current = String::new();
    for line in page.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            current = help.split_once(' ').unwrap().0.to_owned();
            assert!(families.insert(current.clone(), Family::default()).is_none(), "HELP twice: {line}");
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            let family = families.get_mut(name).unwrap();
            assert!(name == current && family.kind.is_empty() && family.lines.is_empty(), "{line}");
            kind.clone_into(&mut family.kind);
        } else {
            let family = families.get_mut(&current).unwrap();
            let (name, labels, value) = sample(line);
            let own = match family.kind.as_str() {
                "histogram" => ["_bucket", "_sum", "_count"].iter().any(|suffix| name == format!("{current}{suffix}")),
                _ => name == current,
            };
            assert!(own, "'{line}' stands in family '{current}'");
            assert!(family.lines.insert((name, labels), value).is_none(), "twice: {line}");
        }
    }
    families
}

fn sample(line: &str) -> (String, Vec<(String, String)>, f64) {
    let (name, mut rest) = line.split_at(line.find([' ', '{']).unwrap());
    let mut labels = Vec::new();
    while let Some(next) = rest.strip_prefix(['{', ',']) {
        let (label, value) = next.split_once("=\"").unwrap();
        let mut characters = value.char_indices();
        let mut text = String::new();
        let end = loop {
            match characters.next().unwrap() {
                (at, '"') => break at,
                (_, '\\') => text.push(match characters.next().unwrap().1 {
                    'n' => '\n',
                    other @ ('"' | '\\') => other,
                    other => panic!("\\{other} in {line}"),
                }),
                (_, other) => text.push(other),
            }
        };
        labels.push((label.to_owned(), text));
        rest = &value[end + 1..];
    }
    let value = rest.trim_start_matches('}').strip_prefix(' ').unwrap();
    (name.to_owned(), labels, value.parse().unwrap())
}

/// What the property sends: family, label value, value.
type Sent = (usize, String, i32);

const FAMILIES: [(&str, &str, &str); 5] = [
    ("p_total", "counter", "set"),
    ("p_set", "gauge", "set"),
    ("p_add", "gauge", "add"),
    ("p_max", "gauge", "max"),
    ("p_meters", "histogram", "set"),
];
const BOUNDS: [f64; 3] = [-10.0, 0.0, 50.0];

fn sent() -> impl Strategy<Value = Sent> {
    let label = prop_oneof![Just(String::new()), "[ab\"\\\\\n,}=é]{1,4}"];
    (0..FAMILIES.len(), label, -100_i32..100)
        .prop_map(|(family, label, value)| (family, label, if family == 0 { value.abs() } else { value }))
}

fn document(event: &[Sent], wrong: bool) -> Vec<u8> {
    let mut samples: Vec<_> = event
        .iter()
        .map(|(family, label, value)| {
            let (name, kind, merge) = FAMILIES[*family];
            serde_json::json!({"name": name, "kind": kind, "merge": merge, "value": value, "labels": {"l": label}})
        })
        .collect();
    if wrong {
        samples.push(serde_json::json!({"name": "p_total", "kind": "gauge", "value": 1}));
    }
    serde_json::to_vec(&serde_json::json!({ "samples": samples })).unwrap()
}

/// What the totals must be, kept in the plainest way.
fn expected(events: &[(Vec<Sent>, bool)]) -> BTreeMap<(String, Vec<(String, String)>), f64> {
    let mut lines = BTreeMap::new();
    for (family, label, value) in events.iter().filter(|(_, wrong)| !wrong).flat_map(|(event, _)| event) {
        let (name, kind, merge) = FAMILIES[*family];
        let labels: Vec<_> =
            Some(("l".to_owned(), label.clone())).into_iter().filter(|(_, value)| !value.is_empty()).collect();
        let value = f64::from(*value);
        if kind == "histogram" {
            for bound in BOUNDS.into_iter().chain([f64::INFINITY]) {
                let le = if bound.is_infinite() { "+Inf".to_owned() } else { bound.to_string() };
                let mut labels = labels.clone();
                labels.push(("le".to_owned(), le));
                *lines.entry((format!("{name}_bucket"), labels)).or_insert(0.0) += f64::from(u8::from(value <= bound));
            }
            *lines.entry((format!("{name}_sum"), labels.clone())).or_insert(0.0) += value;
            *lines.entry((format!("{name}_count"), labels)).or_insert(0.0) += 1.0;
            continue;
        }
        let entry = lines.entry((name.to_owned(), labels));
        let line = entry.or_insert(if merge == "max" { f64::NEG_INFINITY } else { 0.0 });
        *line = match (kind, merge) {
            ("counter", _) | (_, "add") => *line + value,
            (_, "max") => line.max(value),
            _ => value,
        };
    }
    lines
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_is_shown_reads_back_as_what_was_sent(
        events in proptest::collection::vec((proptest::collection::vec(sent(), 1..6), prop::bool::weighted(0.2)), 0..30),
    ) {
        let page = Page::default();
        let buckets = Buckets([("p_meters".to_owned(), BOUNDS.into())].into());
        let limits = Limits { max_series: usize::MAX, buckets, pushed: false };
        let store = Store::new("metrics".into(), limits, page.shared::<Board>());
        let mut known = false;
        let mut settled = Vec::new();
        for (event, wrong) in events {
            // The sample that makes an event wrong is only wrong once the counter is there.
            let counts = known || event.iter().any(|(family, ..)| *family == 0);
            let wrong = wrong && counts;
            let data = document(&event, wrong);
            prop_assert_eq!(store.apply(&Bundle::read(&data).unwrap()).is_err(), wrong);
            known = known || (!wrong && counts);
            settled.push((event, wrong));
        }
        let read: BTreeMap<_, _> = read(&page.render()).into_values().flat_map(|family| family.lines).collect();
        prop_assert_eq!(read, expected(&settled));
    }
}
