//! The report of a run and the judgement in it: was everything that was sent counted, and does the conservation law hold.
//!
//! Decision: two ledgers that share nothing are held against each other, what the simulator handed out and what the engine
//! says of itself. The metrics are read before the engine ends, the books after, when nothing may be in flight any more.

use std::collections::BTreeMap;
use std::time::Duration;

use engine::event::Text;
use engine::supervisor::{RuleStatus, SourceStatus, SpoolStatus, Status};
use serde::Serialize;

use super::driver::Progress;
use super::figures::Fleet;
use super::history::Point;
use super::simulator::Options;
use super::view::{count, span};

/// What a run left behind.
pub(super) struct Remains {
    pub(super) options: Options,
    pub(super) work: Duration,
    /// From the first message until everything was settled.
    pub(super) elapsed: Duration,
    /// Somebody asked it to stop.
    pub(super) interrupted: bool,
    pub(super) progress: Progress,
    /// What the metrics said when everything was settled.
    pub(super) fleet: Fleet,
    /// The books of the drained engine.
    pub(super) status: Status,
    pub(super) peak_workers: usize,
    pub(super) started_workers: u64,
    pub(super) timeline: Vec<Point>,
}

/// What is printed with `--json`.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    cycle: String,
    vehicles: u32,
    rate: f64,
    speed_up: f64,
    faults: String,
    seed: u64,
    work_ms: f64,
    interrupted: bool,
    elapsed_s: f64,
    /// Deliveries that were done with, per second of the run.
    events_per_second: f64,
    distance_m: f64,
    max_speed_kmh: f64,
    idle_share: f64,
    /// What the function made of what it got, by result.
    samples: BTreeMap<String, u64>,
    sent: Progress,
    conserved: bool,
    sources: BTreeMap<Text, SourceBooks>,
    spools: BTreeMap<Text, SpoolStatus>,
    rules: BTreeMap<Text, RuleBooks>,
    peak_workers: usize,
    started_workers: u64,
    /// True samples that the metrics do not show.
    lost: u64,
    /// Everything that is not as it should be, in sentences.
    problems: Vec<String>,
    timeline: Vec<Point>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SourceBooks {
    received: u64,
    settled: u64,
    rejected: u64,
    handed_back: u64,
    in_flight: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RuleBooks {
    matched: u64,
    recovered: u64,
    replayed: u64,
    looped: u64,
    done: u64,
    dead_lettered: u64,
    dead_letters: BTreeMap<&'static str, u64>,
    dropped: BTreeMap<&'static str, u64>,
    handed_back: u64,
    parked: u64,
    in_flight: u64,
}

impl From<&SourceStatus> for SourceBooks {
    fn from(status: &SourceStatus) -> SourceBooks {
        let SourceStatus { received, settled, rejected, handed_back, in_flight, .. } = *status;
        SourceBooks { received, settled, rejected, handed_back, in_flight }
    }
}

impl From<&RuleStatus> for RuleBooks {
    fn from(status: &RuleStatus) -> RuleBooks {
        let RuleStatus { matched, recovered, replayed, looped, done, .. } = *status;
        let RuleStatus { dead_lettered, handed_back, parked, in_flight, .. } = *status;
        let RuleStatus { dead_letters, dropped, .. } = status.clone();
        RuleBooks {
            matched,
            recovered,
            replayed,
            looped,
            done,
            dead_lettered,
            dead_letters,
            dropped,
            handed_back,
            parked,
            in_flight,
        }
    }
}

impl SourceBooks {
    fn balance(&self) -> bool {
        self.received == self.settled + self.rejected + self.handed_back + self.in_flight
    }
}

fn balance(spool: &SpoolStatus) -> bool {
    let dropped: u64 = spool.dropped.values().sum();
    let known = spool.settled + dropped + spool.handed_back + spool.in_flight + spool.stored;
    spool.appended + spool.recovered == known
}

impl RuleBooks {
    fn balance(&self) -> bool {
        let dropped: u64 = self.dropped.values().sum();
        let came = self.matched + self.recovered + self.replayed + self.looped;
        came == self.done + self.dead_lettered + dropped + self.handed_back + self.parked + self.in_flight
    }

    fn died(&self, reason: &str) -> u64 {
        self.dead_letters.get(reason).copied().unwrap_or_default()
    }
}

impl Report {
    /// Judges what a run left behind.
    pub(super) fn new(remains: Remains) -> Report {
        let Remains { options, progress, fleet, status, elapsed, .. } = remains;
        let sources: BTreeMap<_, _> =
            status.sources.iter().map(|(name, status)| (name.clone(), status.into())).collect();
        let rules: BTreeMap<_, _> = status.rules.iter().map(|(name, status)| (name.clone(), status.into())).collect();
        let handled: u64 = rules
            .values()
            .map(|rule: &RuleBooks| rule.done + rule.dead_lettered + rule.dropped.values().sum::<u64>())
            .sum();
        let mut report = Report {
            cycle: options.cycle.to_string(),
            vehicles: options.vehicles,
            rate: options.rate,
            speed_up: options.speed_up,
            faults: options.faults.to_string(),
            seed: options.seed,
            work_ms: remains.work.as_secs_f64() * 1e3,
            interrupted: remains.interrupted,
            elapsed_s: elapsed.as_secs_f64(),
            events_per_second: handled as f64 / elapsed.as_secs_f64().max(0.001),
            distance_m: fleet.distance_m,
            max_speed_kmh: fleet.max_speed_kmh,
            idle_share: fleet.idle_share,
            lost: progress.ledger.samples.saturating_sub(fleet.counted()),
            samples: fleet.samples,
            conserved: sources.values().all(SourceBooks::balance)
                && status.spools.values().all(balance)
                && rules.values().all(RuleBooks::balance),
            sent: progress,
            sources,
            spools: status.spools,
            rules,
            peak_workers: remains.peak_workers,
            started_workers: remains.started_workers,
            problems: Vec::new(),
            timeline: remains.timeline,
        };
        report.problems = report.find_problems();
        report
    }

    fn find_problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut number = |count: u64, sentence: &str| {
            if count > 0 {
                problems.push(format!("{count} {sentence}"));
            }
        };
        number(self.lost, "true samples were lost: the metrics do not show them");
        number(self.sent.ledger.messages - self.sent.confirmed, "messages were never confirmed by the broker");
        let of_rules = |count: fn(&RuleBooks) -> u64| self.rules.values().map(count).sum::<u64>();
        number(of_rules(|rule| rule.died("exhausted")), "deliveries were given up after their last attempt");
        number(of_rules(|rule| rule.handed_back), "deliveries were handed back to the broker unfinished");
        number(of_rules(|rule| rule.in_flight), "deliveries were still in flight when the engine had ended");
        let in_spools = self.spools.values().map(|spool| spool.stored + spool.in_flight + spool.handed_back).sum();
        number(in_spools, "events were still in the spool when the engine had ended");
        let undecoded: u64 = self.sources.values().map(|source| source.rejected).sum();
        let rejected = of_rules(|rule| rule.died("rejected")) + undecoded;
        let unnoticed = self.sent.ledger.malformed.saturating_sub(rejected);
        number(unnoticed, "malformed payloads were sent but not rejected");
        for (name, _) in self.sources.iter().filter(|(_, books)| !books.balance()) {
            problems.push(format!("the conservation law does not hold for source '{name}'"));
        }
        for (name, _) in self.spools.iter().filter(|(_, spool)| !balance(spool)) {
            problems.push(format!("the conservation law does not hold for the spool of source '{name}'"));
        }
        for (name, _) in self.rules.iter().filter(|(_, books)| !books.balance()) {
            problems.push(format!("the conservation law does not hold for rule '{name}'"));
        }
        problems
    }

    /// Everything that is not as it should be, in one sentence; `None` when all is well.
    pub(super) fn verdict(&self) -> Option<String> {
        (!self.problems.is_empty()).then(|| self.problems.join("; "))
    }

    /// The report for people.
    pub(super) fn text(&self) -> String {
        let sent = &self.sent.ledger;
        let rejected: u64 = self.rules.values().map(|rule| rule.died("rejected")).sum();
        let received: u64 = self.sources.values().map(|source| source.received).sum();
        let done: u64 = self.rules.values().map(|rule| rule.done).sum();
        format!(
            "{} {} on {} in {}: {} m driven, at most {:.1} km/h, {:.1} % of the time at rest\n\
             sent       {} messages: {} samples, {} duplicates, {} malformed; {} were sent again\n\
             engine     {} received, {} done, {} rejected; {:.0} events/s, up to {} workers\n\
             conserved  {}; {} samples lost",
            self.vehicles,
            if self.vehicles == 1 { "vehicle" } else { "vehicles" },
            self.cycle,
            span(Duration::from_secs_f64(self.elapsed_s)),
            count(self.distance_m.round() as u64),
            self.max_speed_kmh,
            self.idle_share * 100.0,
            count(sent.messages),
            count(sent.samples),
            count(sent.duplicates),
            count(sent.malformed),
            count(self.sent.resent),
            count(received),
            count(done),
            count(rejected),
            self.events_per_second,
            self.peak_workers,
            if self.conserved { "yes" } else { "no" },
            count(self.lost),
        )
    }
}

#[cfg(test)]
mod tests;
