//! What stands under `prometheus:`, and its check.

use std::collections::BTreeMap;
use std::time::Duration;

use engine::config::{Check, Period, Secret, Spanned};
use schemars::JsonSchema;
use serde::Deserialize;

use super::bucket::{self, Buckets};
use super::name;
use super::store::Limits;
use crate::push;

/// Keeps metrics and shows them at `/metrics`. Takes events of type `io.tidemill.metrics.samples.v1`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Options {
    /// A series without a sample for this long is removed; a counter that comes back begins at zero, which
    /// Prometheus' `rate` understands. 10m unless given; 0s keeps every series for ever.
    pub ttl: Option<Spanned<Period>>,
    /// How many series there may be, where a label set of a histogram counts as one. 10000 unless given. Samples that
    /// would begin one more are refused and counted.
    pub max_series: Option<Spanned<u32>>,
    /// Upper bounds of a histogram's buckets by the name of its family, ascending. Others get usual ones for their unit.
    #[serde(default)]
    pub buckets: BTreeMap<Spanned<String>, Spanned<Vec<f64>>>,
    /// Also pushes every series to a Prometheus Pushgateway.
    pub push: Option<Spanned<Push>>,
}

/// Where and how often to push. Each push replaces the whole group, so series that expire here vanish there; a clean stop
/// deletes the group.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Push {
    /// Such as `http://localhost:9091`; a user and a password may stand in it.
    pub url: Spanned<Secret>,
    /// 15s unless given.
    pub interval: Option<Spanned<Period>>,
    /// The group's `job`, `tidemill` unless given; its `instance` is this engine's instance id.
    pub job: Option<Spanned<String>>,
}

/// What the options mean.
#[derive(Clone, Debug)]
pub(super) struct Meaning {
    /// `None` for ever.
    pub(super) ttl: Option<Duration>,
    pub(super) limits: Limits,
    pub(super) push: Option<Target>,
}

/// A Pushgateway.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// Its address, perhaps with a user and a password.
    pub(crate) url: Secret,
    /// How often everything is sent.
    pub(crate) interval: Duration,
    /// The group's `job`.
    pub(crate) job: String,
}

const TTL: Duration = Duration::from_secs(600);
const TTL_MIN: Duration = Duration::from_secs(1);
const MAX_SERIES: u32 = 10_000;
const INTERVAL: Duration = Duration::from_secs(15);
const INTERVAL_MIN: Duration = Duration::from_millis(100);

impl Options {
    pub(super) fn meaning(self, check: &mut Check) -> Meaning {
        let ttl = self.ttl.map_or(TTL, |ttl| {
            if !ttl.0.is_zero() && ttl.0 < TTL_MIN {
                check.error(ttl.span, "the ttl is too short", "write at least 1s, or 0s to keep every series");
            }
            ttl.0
        });
        let max_series = self.max_series.map_or(MAX_SERIES, |max| {
            if max.value == 0 {
                check.error(max.span, "maxSeries is zero, which refuses every sample", "write at least 1");
            }
            max.value
        });
        let mut buckets = BTreeMap::new();
        for (family, bounds) in self.buckets {
            if !name::is_family(&family.value) {
                let message = format!("'{}' is no metric name", family.value);
                check.error(family.span, message, "use letters, digits and underscores");
            }
            match bucket::checked(&bounds.value) {
                Ok(bounds) => drop(buckets.insert(family.value, bounds)),
                Err(message) => {
                    check.error(
                        bounds.span,
                        message,
                        "write finite upper bounds in ascending order, such as [0.1, 1, 10]",
                    );
                }
            }
        }
        let push = self.push.and_then(|push| push.value.target(push.span, check));
        Meaning {
            ttl: Some(ttl).filter(|ttl| !ttl.is_zero()),
            limits: Limits {
                max_series: usize::try_from(max_series).unwrap_or(usize::MAX),
                buckets: Buckets(buckets),
                pushed: push.is_some(),
            },
            push,
        }
    }
}

impl Push {
    fn target(self, span: engine::config::Span, check: &mut Check) -> Option<Target> {
        if !push::AVAILABLE {
            check.error(
                span,
                "this binary cannot push metrics; it was built without the feature prometheus-push",
                "remove 'push' and let Prometheus scrape /metrics, or build with --features prometheus-push",
            );
            return None;
        }
        if let Err(error) = self.url.check() {
            check.error(self.url.span, error.to_string(), "write ${env:NAME} or ${file:path}");
        }
        let web = |url: &str| url.starts_with("http://") || url.starts_with("https://");
        if self.url.literal().is_some_and(|url| !web(url)) {
            check.error(
                self.url.span,
                "the pushgateway's url has no scheme that can be pushed to",
                "write http://HOST:9091 or https://HOST",
            );
        }
        let interval = self.interval.map_or(INTERVAL, |interval| {
            if interval.0 < INTERVAL_MIN {
                check.error(interval.span, "the interval is too short", "write at least 100ms; 15s is usual");
            }
            interval.0
        });
        let job = self.job.map_or_else(
            || "tidemill".to_owned(),
            |job| {
                if job.is_empty() || job.contains('/') {
                    check.error(job.span, "the job cannot be part of a pushgateway's path", "write a name without '/'");
                }
                job.value
            },
        );
        Some(Target { url: self.url.value, interval, job })
    }
}
