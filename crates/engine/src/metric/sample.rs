//! The one documented event type that carries metric samples from a function to a metrics output.
//!
//! An event of type [`EVENT_TYPE`] has JSON data `{"samples": [...]}`; see [`Sample`] for one of them. Functions report
//! increments, so that a counter belongs to the output and survives every restart of a worker.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The `type` of an event that carries samples.
pub const EVENT_TYPE: &str = "io.tidemill.metrics.samples.v1";

/// The data of such an event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Samples<'a> {
    /// At least one sample; all of them are applied, or none if one is wrong. A sample that would begin a series beyond
    /// the output's `maxSeries` is not wrong: it alone is refused, and counted.
    #[serde(borrow)]
    pub samples: Vec<Sample<'a>>,
}

/// One sample of one series.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sample<'a> {
    /// The family, such as `fleet_distance_meters_total`.
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    /// What the family is.
    pub kind: Kind,
    /// A counter's increment, a gauge's value, or one observation of a histogram; in `unit`.
    pub value: f64,
    /// How a gauge's value joins the one before.
    #[serde(default, skip_serializing_if = "Merge::is_set")]
    pub merge: Merge,
    /// Label names and values; few and bounded.
    #[serde(borrow, default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
    /// One sentence for people; the first one of a family stays.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub help: Option<Cow<'a, str>>,
    /// The base unit, such as `meters`, also the suffix of the family's name.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Cow<'a, str>>,
}

/// What a family is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Only grows; samples are increments, never negative.
    Counter,
    /// Any value.
    Gauge,
    /// Counted into the output's buckets.
    Histogram,
}

/// How a gauge's sample joins the value before. Samples of parallel workers arrive in any order, so a running maximum
/// has to be merged where it is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Merge {
    /// Replaces it.
    #[default]
    Set,
    /// Is added to it.
    Add,
    /// The greater one stays.
    Max,
    /// The smaller one stays.
    Min,
}

impl Merge {
    /// Whether this is the default.
    #[must_use]
    pub fn is_set(&self) -> bool {
        *self == Merge::Set
    }
}
