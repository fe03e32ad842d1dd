//! The samples of one event, read without copying.
//!
//! The format is [`engine::metric::sample`]'s. It is read here by types of our own because a map of borrowed strings
//! would copy every label, and because labels are wanted sorted and without the empty ones, which mean the same as absent
//! ones.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use engine::json::Scanner;
use engine::metric::sample::{Kind, Merge};
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use smallvec::SmallVec;

/// How many samples an event usually has at most.
const USUAL: usize = 8;

/// The data of one event.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Bundle<'a> {
    #[serde(borrow)]
    pub(super) samples: Vec<Sample<'a>>,
}

/// One sample of one series.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sample<'a> {
    #[serde(borrow)]
    pub(super) name: Str<'a>,
    pub(super) kind: Kind,
    pub(super) value: f64,
    #[serde(default)]
    pub(super) merge: Merge,
    #[serde(borrow, default)]
    pub(super) labels: Labels<'a>,
    #[serde(borrow, default)]
    pub(super) help: Option<Str<'a>>,
    #[serde(borrow, default)]
    pub(super) unit: Option<Str<'a>>,
}

/// A string that is only copied if it is written with escapes.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Str<'a>(pub(super) Cow<'a, str>);

/// Label names and values, sorted by name, no name twice, no value empty.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Labels<'a>(pub(super) SmallVec<[(Str<'a>, Str<'a>); 4]>);

impl<'a> Bundle<'a> {
    /// Reads and checks everything that needs no knowledge of earlier samples.
    ///
    /// # Errors
    /// A sentence for whoever wrote the function.
    pub(super) fn read(data: &'a [u8]) -> Result<Bundle<'a>, String> {
        let bundle = match Bundle::usual(data) {
            Some(bundle) => bundle,
            None => serde_json::from_slice(data)
                .map_err(|error| format!("the event's data is no document of samples: {error}"))?,
        };
        if bundle.samples.is_empty() {
            return Err("the event has no samples; send at least one, or no event".to_owned());
        }
        bundle.samples.iter().try_for_each(Sample::check)?;
        Ok(bundle)
    }
}

impl<'a> Bundle<'a> {
    /// Reads what functions usually send; `None` for everything else, wrong or not.
    fn usual(data: &'a [u8]) -> Option<Bundle<'a>> {
        let mut scanner = Scanner::new(std::str::from_utf8(data).ok()?);
        scanner.eat(b'{')?;
        (scanner.string()? == "samples").then_some(())?;
        scanner.eat(b':')?;
        scanner.eat(b'[')?;
        let mut samples = Vec::with_capacity(USUAL);
        loop {
            samples.push(Sample::usual(&mut scanner)?);
            if !scanner.more(b']')? {
                break;
            }
        }
        scanner.eat(b'}')?;
        scanner.end().then_some(Bundle { samples })
    }
}

impl<'a> Sample<'a> {
    fn usual(scanner: &mut Scanner<'a>) -> Option<Sample<'a>> {
        let (mut name, mut kind, mut value, mut merge) = (None, None, None, None);
        let (mut labels, mut help, mut unit) = (None, None, None);
        scanner.eat(b'{')?;
        loop {
            let key = scanner.string()?;
            scanner.eat(b':')?;
            let twice = match key {
                "name" => name.replace(scanner.string()?).is_some(),
                "kind" => kind.replace(kind_of(scanner.string()?)?).is_some(),
                "value" => value.replace(number(scanner.number()?)?).is_some(),
                "merge" => merge.replace(merge_of(scanner.string()?)?).is_some(),
                "labels" => labels.replace(Labels::usual(scanner)?).is_some(),
                "help" => help.replace(scanner.string()?).is_some(),
                "unit" => unit.replace(scanner.string()?).is_some(),
                _ => return None,
            };
            if twice {
                return None;
            }
            if !scanner.more(b'}')? {
                break;
            }
        }
        let borrowed = |text: &'a str| Str(Cow::Borrowed(text));
        Some(Sample {
            name: borrowed(name?),
            kind: kind?,
            value: value?,
            merge: merge.unwrap_or_default(),
            labels: labels.unwrap_or_default(),
            help: help.map(borrowed),
            unit: unit.map(borrowed),
        })
    }
}

fn kind_of(word: &str) -> Option<Kind> {
    Some(match word {
        "counter" => Kind::Counter,
        "gauge" => Kind::Gauge,
        "histogram" => Kind::Histogram,
        _ => return None,
    })
}

fn merge_of(word: &str) -> Option<Merge> {
    Some(match word {
        "set" => Merge::Set,
        "add" => Merge::Add,
        "max" => Merge::Max,
        "min" => Merge::Min,
        _ => return None,
    })
}

/// A finite number; one digit is what nearly every counter grows by.
fn number(text: &str) -> Option<f64> {
    match text.as_bytes() {
        [digit @ b'0'..=b'9'] => Some(f64::from(digit - b'0')),
        _ => text.parse().ok().filter(|value: &f64| value.is_finite()),
    }
}

impl<'a> Labels<'a> {
    /// In the order of their names, as they usually are.
    fn usual(scanner: &mut Scanner<'a>) -> Option<Labels<'a>> {
        let mut labels = SmallVec::<[(Str<'a>, Str<'a>); 4]>::new();
        let mut last = None;
        scanner.eat(b'{')?;
        loop {
            let name = scanner.string()?;
            if last.is_some_and(|last| last >= name) {
                return None;
            }
            last = Some(name);
            scanner.eat(b':')?;
            let value = scanner.string()?;
            if !value.is_empty() {
                labels.push((Str(Cow::Borrowed(name)), Str(Cow::Borrowed(value))));
            }
            if !scanner.more(b'}')? {
                return Some(Labels(labels));
            }
        }
    }
}

impl Sample<'_> {
    fn check(&self) -> Result<(), String> {
        let Sample { name, kind, value, merge, .. } = self;
        if !value.is_finite() {
            return Err(format!("the value of '{name}' is {value}; send finite numbers only"));
        }
        if *kind == Kind::Counter && *value < 0.0 {
            return Err(format!("counter '{name}' cannot fall by {value}; send increments, or make it a gauge"));
        }
        if *kind != Kind::Gauge && !merge.is_set() {
            return Err(format!("'{name}' has a merge, which only gauges have; remove it"));
        }
        Ok(())
    }
}

impl std::ops::Deref for Str<'_> {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Str<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Str<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Str<'a>, D::Error> {
        struct Borrow;
        impl<'de> Visitor<'de> for Borrow {
            type Value = Str<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Str<'de>, E> {
                Ok(Str(Cow::Borrowed(text)))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Str<'de>, E> {
                Ok(Str(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Borrow)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Labels<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Labels<'a>, D::Error> {
        struct Pairs<'a>(PhantomData<&'a str>);
        impl<'de: 'a, 'a> Visitor<'de> for Pairs<'a> {
            type Value = Labels<'a>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of label names and values, all strings")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Labels<'a>, A::Error> {
                let mut labels = SmallVec::<[(Str<'a>, Str<'a>); 4]>::new();
                while let Some(pair) = map.next_entry::<Str<'a>, Str<'a>>()? {
                    labels.push(pair);
                }
                if !labels.is_sorted_by(|(a, _), (b, _)| a < b) {
                    labels.sort_unstable();
                    if let Some(twice) = labels.windows(2).find(|pair| matches!(pair, [(a, _), (b, _)] if a == b)) {
                        let name = twice.first().map(|(name, _)| name.to_string()).unwrap_or_default();
                        return Err(A::Error::custom(format!("label '{name}' is given twice")));
                    }
                }
                labels.retain(|(_, value)| !value.is_empty());
                Ok(Labels(labels))
            }
        }
        deserializer.deserialize_map(Pairs(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use engine::metric::sample;
    use proptest::prelude::*;

    use super::*;

    fn refused(data: &str) -> String {
        Bundle::read(data.as_bytes()).unwrap_err()
    }

    #[test]
    fn nothing_is_copied_without_need() {
        let data =
            br#"{"samples":[{"name":"a","kind":"gauge","value":1,"labels":{"b":"c","a":"x\ny","e":""},"help":"h"}]}"#;
        let bundle = Bundle::read(data).unwrap();
        let sample = &bundle.samples[0];
        let labels: Vec<_> = sample.labels.0.iter().map(|(name, value)| (&**name, &**value)).collect();
        assert_eq!(labels, [("a", "x\ny"), ("b", "c")]);
        assert!(matches!(sample.help, Some(Str(Cow::Borrowed("h")))));
        assert!(matches!(sample.labels.0[1].1, Str(Cow::Borrowed("c"))));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (samples, complaint) in [
            ("", "has no samples"),
            (r#"{"name":"a","kind":"counter","value":-1}"#, "counter 'a' cannot fall by -1"),
            (r#"{"name":"a","kind":"counter","value":1,"merge":"max"}"#, "'a' has a merge"),
            (r#"{"name":"a","kind":"histogram","value":1,"merge":"add"}"#, "'a' has a merge"),
            (r#"{"name":"a","kind":"summary","value":1}"#, "unknown variant `summary`"),
            (r#"{"name":"a","kind":"gauge","value":"1"}"#, "invalid type: string"),
            (r#"{"name":"a","kind":"gauge","value":null}"#, "invalid type: null"),
            (r#"{"name":"a","kind":"gauge","value":1e999}"#, "number out of range"),
            (r#"{"name":"a","kind":"gauge"}"#, "missing field `value`"),
            (r#"{"name":"a","kind":"gauge","value":1,"lables":{}}"#, "unknown field `lables`"),
            (r#"{"name":"a","kind":"gauge","value":1,"labels":{"x":1}}"#, "invalid type: integer"),
            (r#"{"name":"a","kind":"gauge","value":1,"labels":{"x":"1","y":"1","x":"2"}}"#, "label 'x' is given twice"),
        ] {
            let reason = refused(&format!("{{\"samples\":[{samples}]}}"));
            assert!(reason.contains(complaint), "{samples}: {reason}");
        }
        assert!(refused("not JSON").contains("no document of samples"));
        let infinite = Sample {
            name: Str("a".into()),
            kind: Kind::Gauge,
            value: f64::NAN,
            merge: Merge::Set,
            labels: Labels::default(),
            help: None,
            unit: None,
        };
        assert_eq!(infinite.check(), Err("the value of 'a' is NaN; send finite numbers only".to_owned()));
    }

    /// What a function usually sends.
    const USUALLY: &str = r#"{"samples":[{"name":"a_total","kind":"counter","value":1,"labels":{"b":"","c":"d"}},{"name":"e","kind":"gauge","value":-2.5e1,"merge":"max","help":"h","unit":"u"}]}"#;

    #[test]
    fn what_functions_usually_send_takes_the_quick_road() {
        assert!(Bundle::usual(USUALLY.as_bytes()).is_some());
        for other in [USUALLY.replace("\"h\"", "\"\\n\""), USUALLY.replace("\"c\":", "\"B\":")] {
            assert!(Bundle::usual(other.as_bytes()).is_none() && Bundle::read(other.as_bytes()).is_ok(), "{other}");
        }
    }

    proptest! {
        /// Whatever the quick road accepts, the other accepts, too, and reads the same.
        #[test]
        fn both_roads_lead_to_the_same_end(
            edits in proptest::collection::vec((0..USUALLY.len(), "[-0-9.eE\",:{} a-z\\\\]{0,3}", 0..4_usize), 0..3),
        ) {
            let mut text = USUALLY.to_owned();
            for (at, new, drop) in edits {
                let at = at.min(text.len());
                text.replace_range(at..(at + drop).min(text.len()), &new);
            }
            if let Some(quick) = Bundle::usual(text.as_bytes()) {
                let mut read: Bundle<'_> = serde_json::from_str(&text).map_err(|error| {
                    TestCaseError::fail(format!("{text}: {error}"))
                })?;
                for (read, quick) in read.samples.iter_mut().zip(&quick.samples) {
                    prop_assert!((read.value - quick.value).abs() <= quick.value.abs() * f64::EPSILON);
                    read.value = quick.value;
                }
                prop_assert_eq!(format!("{read:?}"), format!("{quick:?}"));
            }
        }

        /// What the engine's own type writes is read here as the same.
        #[test]
        fn the_engines_samples_are_understood(
            name in "\\PC{1,12}",
            kind in prop_oneof![Just(Kind::Counter), Just(Kind::Gauge), Just(Kind::Histogram)],
            value in 0.0_f64..1e300,
            labels in proptest::collection::btree_map("\\PC{0,8}", "\\PC{1,8}", 0..6),
            help in proptest::option::of("\\PC{0,20}"),
        ) {
            let labels: BTreeMap<Cow<'_, str>, Cow<'_, str>> =
                labels.iter().map(|(name, value)| (name.into(), value.into())).collect();
            let sample = sample::Sample {
                name: name.into(), kind, value, merge: Merge::Set, labels,
                help: help.map(Cow::from), unit: Some("meters".into()),
            };
            let data = serde_json::to_vec(&sample::Samples { samples: vec![sample.clone()] }).unwrap();
            let bundle = Bundle::read(&data).unwrap();
            let read = &bundle.samples[0];
            prop_assert_eq!(&*read.name, &*sample.name);
            prop_assert_eq!(read.kind, sample.kind);
            // The reader may be off by the last bit, which saves half of a number's cost.
            prop_assert!((read.value - sample.value).abs() <= sample.value * f64::EPSILON);
            prop_assert_eq!(read.help.as_deref(), sample.help.as_deref());
            prop_assert_eq!(read.unit.as_deref(), sample.unit.as_deref());
            let labels: Vec<_> = read.labels.0.iter().map(|(name, value)| (&**name, &**value)).collect();
            let wanted: Vec<_> = sample.labels.iter().map(|(name, value)| (&**name, &**value)).collect();
            prop_assert_eq!(labels, wanted);
        }
    }
}
