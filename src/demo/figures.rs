//! What the demo reads off the engine, as anybody outside could: the page behind `/metrics` and the status.
//!
//! Decision: the totals of a report come from the page that Prometheus would scrape, never from the simulator. A demo that
//! reported what it meant to send would prove nothing.

use std::collections::BTreeMap;

use engine::supervisor::{Engine, Status};

/// A page in Prometheus' text format, by name and labels.
pub(super) struct Page<'a>(Vec<Series<'a>>);

struct Series<'a> {
    name: &'a str,
    /// `a="x",b="y"`, without braces.
    labels: &'a str,
    value: f64,
}

impl<'a> Page<'a> {
    /// Reads what a page says; lines that are no samples are passed over.
    pub(super) fn read(text: &'a str) -> Page<'a> {
        let series = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            Some(Series { name, labels: labels.strip_suffix('}')?, value: value.parse().ok()? })
        });
        Page(series.collect())
    }

    /// The series of this name that have this label, such as `state="idle"`; an empty label means all.
    fn values(&self, name: &str, label: &str) -> impl Iterator<Item = f64> {
        let has = move |series: &&Series<'_>| label.is_empty() || series.labels.split(',').any(|found| found == label);
        self.0.iter().filter(move |series| series.name == name).filter(has).map(|series| series.value)
    }

    fn sum(&self, name: &str, label: &str) -> f64 {
        // An empty sum of floats is minus zero, which reads oddly.
        self.values(name, label).sum::<f64>() + 0.0
    }

    /// The sums of the series of this name by the value of one of their labels.
    fn by(&self, name: &str, label: &str) -> BTreeMap<&'a str, f64> {
        let mut sums = BTreeMap::new();
        for series in self.0.iter().filter(|series| series.name == name) {
            let values = series.labels.split(',').filter_map(|pair| pair.split_once('='));
            let Some((_, value)) = values.into_iter().find(|(found, _)| *found == label) else { continue };
            *sums.entry(value.trim_matches('"')).or_default() += series.value;
        }
        sums
    }
}

/// What the metrics say of the fleet.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Fleet {
    pub(super) distance_m: f64,
    pub(super) max_speed_kmh: f64,
    /// Of all driving samples; zero while there are none.
    pub(super) idle_share: f64,
    /// By `result`, such as `ok` and `duplicate`.
    pub(super) samples: BTreeMap<String, u64>,
    pub(super) online: u64,
    pub(super) moving: u64,
    /// Upper bounds in seconds, ascending, and how many samples took at most that long from the vehicle to the metrics.
    pub(super) delays: Vec<(f64, f64)>,
}

impl Fleet {
    /// Reads the families of the function `telemetry-to-metrics`.
    pub(super) fn read(page: &Page<'_>) -> Fleet {
        let driving = |state| page.sum("fleet_driving_samples_total", state);
        let (idle, all) = (driving("state=\"idle\""), driving(""));
        let bounds = page.by("fleet_event_delay_seconds_bucket", "le");
        // Rust reads the `+Inf` of the format as infinity.
        let mut delays: Vec<(f64, f64)> =
            bounds.into_iter().filter_map(|(bound, count)| Some((bound.parse().ok()?, count))).collect();
        delays.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        let samples = page.by("fleet_samples_total", "result");
        Fleet {
            distance_m: page.sum("fleet_distance_meters_total", ""),
            max_speed_kmh: page.values("fleet_speed_max_meters_per_second", "").fold(0.0, f64::max) * 3.6,
            idle_share: if all > 0.0 { idle / all } else { 0.0 },
            samples: samples.into_iter().map(|(result, count)| (result.to_owned(), count as u64)).collect(),
            online: page.sum("fleet_vehicles_online", "") as u64,
            moving: page.sum("fleet_vehicles_moving", "") as u64,
            delays,
        }
    }

    /// How many different samples have been counted: all but duplicates and what was no sample.
    pub(super) fn counted(&self) -> u64 {
        let again = ["duplicate", "invalid"];
        self.samples.iter().filter(|(result, _)| !again.contains(&result.as_str())).map(|(_, count)| count).sum()
    }
}

/// The delay in seconds that this share of the samples between two readings did not exceed, by linear interpolation within
/// a bucket as Prometheus does it; `None` if there were no samples.
pub(super) fn quantile(share: f64, before: &[(f64, f64)], after: &[(f64, f64)]) -> Option<f64> {
    let earlier = |bound: f64| before.iter().find(|(found, _)| *found == bound).map_or(0.0, |(_, count)| *count);
    let between: Vec<(f64, f64)> = after.iter().map(|(bound, count)| (*bound, count - earlier(*bound))).collect();
    let (_, all) = between.last().filter(|(_, all)| *all > 0.0)?;
    let rank = share * all;
    let (mut low, mut below) = (0.0, 0.0);
    for (bound, count) in &between {
        if *count >= rank && count > &below {
            // Beyond the last bound nothing more is known.
            return Some(if bound.is_finite() { low + (bound - low) * (rank - below) / (count - below) } else { low });
        }
        (low, below) = (*bound, *count);
    }
    None
}

/// One reading of a running engine.
#[derive(Clone, Debug, Default)]
pub(super) struct Reading {
    pub(super) fleet: Fleet,
    pub(super) received: u64,
    pub(super) done: u64,
    /// Deliveries given up, whatever the reason, and messages that could not be decoded.
    pub(super) given_up: u64,
    /// Messages and events of spools, or deliveries, that are not settled, whichever are more.
    pub(super) in_flight: u64,
    pub(super) workers: usize,
    pub(super) busy: usize,
    pub(super) started: u64,
}

impl Reading {
    /// Reads an engine now.
    pub(super) fn of(engine: &Engine) -> Reading {
        // The status before the page: what the status calls settled is then in the page.
        let status = engine.status();
        let page = engine.metrics(false);
        Reading::from(&status, Fleet::read(&Page::read(&page)))
    }

    /// How many have come to an end, well or not.
    pub(super) fn handled(&self) -> u64 {
        self.done + self.given_up
    }

    /// What a status and the fleet's metrics say.
    fn from(status: &Status, fleet: Fleet) -> Reading {
        let sources = || status.sources.values();
        let rules = || status.rules.values();
        let pools = || status.pools.values();
        let at_sources: u64 = sources().map(|source| source.in_flight).sum();
        let in_spools: u64 = status.spools.values().map(|spool| spool.stored + spool.in_flight).sum();
        Reading {
            fleet,
            received: sources().map(|source| source.received).sum(),
            done: rules().map(|rule| rule.done).sum(),
            given_up: rules().map(|rule| rule.dead_lettered + rule.dropped.values().sum::<u64>()).sum::<u64>()
                + sources().map(|source| source.rejected).sum::<u64>(),
            in_flight: (at_sources + in_spools).max(rules().map(|rule| rule.in_flight).sum()),
            workers: pools().map(|pool| pool.workers).sum(),
            busy: pools().map(|pool| pool.busy).sum(),
            started: pools().map(|pool| pool.started).sum(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "\
# HELP fleet_distance_meters_total Distance driven, {all} \"fleets\".
# TYPE fleet_distance_meters_total counter
fleet_distance_meters_total{fleet=\"a\"} 1.5
fleet_distance_meters_total{fleet=\"b, c}\"} 2e3
fleet_driving_samples_total{fleet=\"a\",state=\"idle\"} 3
fleet_driving_samples_total{fleet=\"a\",state=\"moving\"} 7
fleet_driving_samples_total{fleet=\"b\",state=\"idle\"} 2
fleet_speed_max_meters_per_second{fleet=\"a\"} 10
fleet_speed_max_meters_per_second{fleet=\"b\"} 25
fleet_samples_total{fleet=\"a\",result=\"ok\"} 10
fleet_samples_total{fleet=\"b\",result=\"ok\"} 1
fleet_samples_total{fleet=\"a\",result=\"late\"} 2
fleet_samples_total{fleet=\"a\",result=\"duplicate\"} 4
fleet_samples_total{fleet=\"a\",result=\"invalid\"} 5
fleet_vehicles_online{fleet=\"a\"} 6
fleet_vehicles_moving 4
fleet_event_delay_seconds_bucket{fleet=\"a\",le=\"0.005\"} 10
fleet_event_delay_seconds_bucket{fleet=\"a\",le=\"10\"} 20
fleet_event_delay_seconds_bucket{fleet=\"a\",le=\"2\"} 20
fleet_event_delay_seconds_bucket{fleet=\"a\",le=\"+Inf\"} 21
fleet_event_delay_seconds_sum{fleet=\"a\"} 12

not a line
fleet_distance_meters_total{fleet=\"d\"} many
";

    #[test]
    fn totals_are_summed_over_fleets() {
        let fleet = Fleet::read(&Page::read(PAGE));
        assert_eq!((fleet.distance_m, fleet.max_speed_kmh), (2001.5, 90.0));
        assert_eq!(fleet.idle_share, 5.0 / 12.0);
        assert_eq!((fleet.online, fleet.moving, fleet.counted()), (6, 4, 13));
        assert_eq!(fleet.samples["ok"], 11);
        assert_eq!(fleet.delays, [(0.005, 10.0), (2.0, 20.0), (10.0, 20.0), (f64::INFINITY, 21.0)]);
    }

    #[test]
    fn an_empty_page_is_all_zeros() {
        let fleet = Fleet::read(&Page::read(""));
        assert_eq!(fleet, Fleet::default());
        assert!(fleet.distance_m.is_sign_positive());
    }

    #[test]
    fn quantiles_are_those_of_what_came_between_two_readings() {
        let before = [(0.1, 100.0), (1.0, 100.0), (f64::INFINITY, 100.0)];
        let after = [(0.1, 150.0), (1.0, 200.0), (f64::INFINITY, 201.0)];
        let at = |share| quantile(share, &before, &after);
        assert!((at(0.25).unwrap() - 0.0505).abs() < 1e-9, "{:?}", at(0.25));
        assert!((at(0.75).unwrap() - 0.5635).abs() < 1e-9, "{:?}", at(0.75));
        assert_eq!(at(1.0), Some(1.0));
        assert_eq!(quantile(0.5, &after, &after), None);
        assert_eq!(quantile(0.5, &[], &[]), None);
        assert!(quantile(0.5, &[], &after).is_some());
    }
}
