//! Writing samples: the data of one `io.tidemill.metrics.samples.v1` event.
//!
//! Decision: each series is rendered once through the engine's own [`Sample`], with a gap where the value stands, so the
//! text can never drift from the format, and a report is a handful of copies.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Write;

use engine::metric::sample::{Kind, Merge, Sample};

/// What the series of one name have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Family {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) merge: Merge,
    pub(super) help: &'static str,
    pub(super) unit: Option<&'static str>,
}

/// One series, ready for its values.
#[derive(Debug)]
pub(super) struct Series {
    before: Box<str>,
    after: Box<str>,
    /// The same with help and unit.
    after_described: Box<str>,
}

/// How the value is rendered into the gap.
const GAP: &str = "\"value\":0.0";

impl Series {
    /// The series of a family with these labels.
    pub(super) fn new(family: &Family, labels: &[(&'static str, &str)]) -> Series {
        let bare = Sample {
            name: family.name.into(),
            kind: family.kind,
            value: 0.0,
            merge: family.merge,
            labels: labels
                .iter()
                .map(|(name, value)| (Cow::from(*name), Cow::from(*value)))
                .collect::<BTreeMap<_, _>>(),
            help: None,
            unit: None,
        };
        let (before, after) = around_the_value(&bare);
        let described = Sample { help: Some(family.help.into()), unit: family.unit.map(Cow::from), ..bare };
        let (_, after_described) = around_the_value(&described);
        Series { before, after, after_described }
    }
}

fn around_the_value(sample: &Sample<'_>) -> (Box<str>, Box<str>) {
    // A sample is strings and numbers under fixed names: nothing in it can fail to be written. Quotes within strings are
    // escaped, so the gap is found only where it is meant.
    let text = serde_json::to_string(sample).unwrap_or_default();
    let (before, after) = text.split_once(GAP).unwrap_or_default();
    (format!("{before}\"value\":").into(), after.into())
}

/// The data of one event being written.
#[derive(Debug)]
pub(super) struct Report {
    text: Vec<u8>,
    described: bool,
}

impl Report {
    /// An empty report; `described` adds help and unit to every sample.
    pub(super) fn new(described: bool) -> Report {
        let mut text = Vec::with_capacity(if described { 4_096 } else { 768 });
        text.extend_from_slice(b"{\"samples\":[");
        Report { text, described }
    }

    /// Adds a whole value.
    pub(super) fn whole(&mut self, series: &Series, value: u64) {
        self.text.extend_from_slice(series.before.as_bytes());
        match u8::try_from(value) {
            // Nearly every increment is one digit.
            Ok(digit) if digit < 10 => self.text.push(b'0' + digit),
            // Writing into memory cannot fail.
            _ => drop(write!(self.text, "{value}")),
        }
        self.close(series);
    }

    /// Adds a value, which must be finite.
    pub(super) fn number(&mut self, series: &Series, value: f64) {
        self.text.extend_from_slice(series.before.as_bytes());
        // As above; this is the writer that a reader of JSON reads back to the same bits.
        let _ = serde_json::to_writer(&mut self.text, &value);
        self.close(series);
    }

    /// The whole text.
    pub(super) fn finish(mut self) -> Vec<u8> {
        if self.text.last() == Some(&b',') {
            self.text.pop();
        }
        self.text.extend_from_slice(b"]}");
        self.text
    }

    fn close(&mut self, series: &Series) {
        let after = if self.described { &series.after_described } else { &series.after };
        self.text.extend_from_slice(after.as_bytes());
        self.text.push(b',');
    }
}

#[cfg(test)]
mod tests {
    use engine::metric::sample::Samples;

    use super::*;

    const FAMILY: Family = Family {
        name: "fleet_speed_max_meters_per_second",
        kind: Kind::Gauge,
        merge: Merge::Max,
        help: "Highest.",
        unit: Some("meters_per_second"),
    };

    fn written(described: bool, fleet: &str) -> String {
        let series = Series::new(&FAMILY, &[("fleet", fleet)]);
        let mut report = Report::new(described);
        report.whole(&series, 3);
        report.number(&series, 25.347_222_222_222_22);
        String::from_utf8(report.finish()).unwrap()
    }

    #[test]
    fn a_report_reads_back_as_what_was_meant() {
        for fleet in ["demo", "a \"quoted\" \\ name", "\"value\":0.0", "flotte-é\u{1}"] {
            let text = written(true, fleet);
            let read: Samples<'_> = serde_json::from_str(&text).unwrap();
            let expected = |value| Sample {
                name: FAMILY.name.into(),
                kind: Kind::Gauge,
                value,
                merge: Merge::Max,
                labels: BTreeMap::from([("fleet".into(), fleet.into())]),
                help: Some("Highest.".into()),
                unit: Some("meters_per_second".into()),
            };
            assert_eq!(read.samples, [expected(3.0), expected(25.347_222_222_222_22)]);
        }
    }

    #[test]
    fn without_description_help_and_unit_are_left_out() {
        let text = written(false, "demo");
        assert_eq!(
            text,
            concat!(
                r#"{"samples":[{"name":"fleet_speed_max_meters_per_second","kind":"gauge","value":3,"merge":"max","#,
                r#""labels":{"fleet":"demo"}},{"name":"fleet_speed_max_meters_per_second","kind":"gauge","#,
                r#""value":25.34722222222222,"merge":"max","labels":{"fleet":"demo"}}]}"#,
            )
        );
    }
}
