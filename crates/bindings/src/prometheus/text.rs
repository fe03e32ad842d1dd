//! Prometheus' text format, version 0.0.4.

use std::fmt::Write as _;
use std::sync::Arc;

use engine::metric::sample::Kind;

/// What a family showed at one moment.
pub(super) struct Family {
    pub(super) name: Arc<str>,
    pub(super) kind: Kind,
    pub(super) help: Option<Arc<str>>,
    /// A histogram's upper bounds, ascending, without infinity.
    pub(super) bounds: Arc<[f64]>,
    /// Label text without braces, and the value.
    pub(super) series: Vec<(Arc<str>, Value)>,
}

/// The value of one series.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// A counter's or a gauge's.
    Number(f64),
    /// A histogram's observations per bucket, not added up, the last one beyond every bound; and their sum.
    Histogram {
        /// How many fell into each bucket.
        counts: Box<[u64]>,
        /// Of everything observed.
        sum: f64,
    },
}

/// Stands where nobody sent a help text: promtool wants one in every family.
const NO_HELP: &str = "Sent without a help text.";

/// Writes one family with its series in the order of their labels.
pub(super) fn family(page: &mut String, family: &Family) {
    let kind = match family.kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    };
    header(page, &family.name, kind, family.help.as_deref().unwrap_or(NO_HELP));
    let mut series: Vec<_> = family.series.iter().collect();
    series.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    for (labels, value) in series {
        match value {
            Value::Number(number) => line(page, &family.name, labels, *number),
            Value::Histogram { counts, sum } => histogram(page, family, labels, counts, *sum),
        }
    }
}

fn histogram(page: &mut String, family: &Family, labels: &str, counts: &[u64], sum: f64) {
    let name = &family.name;
    let comma = if labels.is_empty() { "" } else { "," };
    let mut total = 0;
    for (count, bound) in counts.iter().zip(family.bounds.iter().chain([&f64::INFINITY])) {
        total += count;
        push(page, format_args!("{name}_bucket{{{labels}{comma}le=\""));
        number(page, *bound);
        push(page, format_args!("\"}} {total}\n"));
    }
    line(page, &format!("{name}_sum"), labels, sum);
    line(page, &format!("{name}_count"), labels, total as f64);
}

/// Writes the two lines that begin a family.
pub(super) fn header(page: &mut String, name: &str, kind: &str, help: &str) {
    push(page, format_args!("# HELP {name} "));
    for character in help.chars() {
        match character {
            '\\' => page.push_str("\\\\"),
            '\n' => page.push_str("\\n"),
            other => page.push(other),
        }
    }
    push(page, format_args!("\n# TYPE {name} {kind}\n"));
}

/// Writes one line; `labels` without braces.
pub(super) fn line(page: &mut String, name: &str, labels: &str, value: f64) {
    page.push_str(name);
    if !labels.is_empty() {
        push(page, format_args!("{{{labels}}}"));
    }
    page.push(' ');
    number(page, value);
    page.push('\n');
}

/// One label with its value escaped.
pub(super) fn label(name: &str, value: &str) -> String {
    let mut text = format!("{name}=\"");
    for character in value.chars() {
        match character {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
    text.push('"');
    text
}

/// The shortest spelling that reads back as the same number.
fn number(page: &mut String, value: f64) {
    let magnitude = value.abs();
    match value {
        _ if value.is_nan() => page.push_str("NaN"),
        f64::INFINITY => page.push_str("+Inf"),
        f64::NEG_INFINITY => page.push_str("-Inf"),
        _ if magnitude != 0.0 && !(1e-6..1e21).contains(&magnitude) => push(page, format_args!("{value:e}")),
        _ => push(page, format_args!("{value}")),
    }
}

fn push(page: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = page.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_written_as_prometheus_reads_them() {
        let mut page = String::new();
        family(
            &mut page,
            &Family {
                name: "x_total".into(),
                kind: Kind::Counter,
                help: Some("One \\ two\nthree \"four\".".into()),
                bounds: [].into(),
                series: vec![
                    (label("b", "q\"\\\n").into(), Value::Number(1e-7)),
                    (label("a", "é").into(), Value::Number(3.0)),
                    ("".into(), Value::Number(1e300)),
                ],
            },
        );
        family(
            &mut page,
            &Family {
                name: "h_seconds".into(),
                kind: Kind::Histogram,
                help: None,
                bounds: [0.5, 1.0].into(),
                series: vec![
                    ("k=\"v\"".into(), Value::Histogram { counts: [1, 0, 2].into(), sum: 10.25 }),
                    ("".into(), Value::Histogram { counts: [0, 1, 0].into(), sum: -0.0 }),
                ],
            },
        );
        assert_eq!(
            page,
            r#"# HELP x_total One \\ two\nthree "four".
# TYPE x_total counter
x_total 1e300
x_total{a="é"} 3
x_total{b="q\"\\\n"} 0.0000001
# HELP h_seconds Sent without a help text.
# TYPE h_seconds histogram
h_seconds_bucket{le="0.5"} 0
h_seconds_bucket{le="1"} 1
h_seconds_bucket{le="+Inf"} 1
h_seconds_sum -0
h_seconds_count 1
h_seconds_bucket{k="v",le="0.5"} 1
h_seconds_bucket{k="v",le="1"} 1
h_seconds_bucket{k="v",le="+Inf"} 3
h_seconds_sum{k="v"} 10.25
h_seconds_count{k="v"} 3
"#
            .replace("0.0000001", "1e-7")
        );
    }
}
