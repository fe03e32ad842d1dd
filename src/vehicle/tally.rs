//! The pure core of `telemetry-to-metrics`: one observation in, the samples that it changes out.
//!
//! Decision: one report per observation, with only what changed (about five samples); once a second, by the times of
//! arrival, a fleet's report is complete: every counter with at least an increment of zero, every gauge, with help and
//! unit. So series exist from the first event on, stay alive, and gauges that parallel workers reported in the wrong order
//! are put right.
//!
//! Decision: a refused payload has no report of its own, because it is put aside with its reason. It is counted with the
//! next report of its fleet.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::fleet::{Fleet, Fleets};
use super::record::Change;
use super::report::Report;
use super::roster::{MAX_VEHICLES, Roster};
use super::telemetry::{Refused, Sample};

/// Bytes of the longest identity that is remembered; memory is bounded in bytes, not only in vehicles.
const LONGEST_NAME: usize = 256;

/// One telemetry event, unpacked.
#[derive(Clone, Copy, Debug)]
pub struct Observation<'a> {
    /// What identifies the vehicle beyond its fleet, such as the CloudEvents `source`.
    pub identity: &'a str,
    /// The label of its metrics.
    pub fleet: &'a str,
    /// Whom the event is about; a payload that names another vehicle is refused.
    pub vehicle: Option<&'a str>,
    /// The sample in JSON.
    pub payload: &'a [u8],
    /// When it arrived, milliseconds since the Unix epoch.
    pub arrived: i64,
}

/// What is known of all fleets. Shared by every worker; see the module [`crate::vehicle`] for what it promises.
#[derive(Debug)]
pub struct Tally {
    roster: Roster,
    fleets: Fleets,
}

impl Default for Tally {
    fn default() -> Tally {
        Tally::with_room_for(MAX_VEHICLES)
    }
}

impl Tally {
    /// A tally that remembers about so many vehicles.
    #[must_use]
    pub fn with_room_for(vehicles: usize) -> Tally {
        Tally { roster: Roster::new(vehicles), fleets: Fleets::default() }
    }

    /// How many vehicles are remembered.
    #[must_use]
    pub fn vehicles(&self) -> usize {
        self.roster.len()
    }

    /// Adds an observation. Answers the data of one `io.tidemill.metrics.samples.v1` event.
    ///
    /// # Errors
    /// Why the payload is no sample; nothing of it was counted but that it came.
    pub fn observe(&self, observation: &Observation<'_>) -> Result<Vec<u8>, Refused> {
        self.try_observe(observation).inspect_err(|_| {
            self.fleets.of(observation.fleet).pending_invalid.fetch_add(1, Ordering::Relaxed);
        })
    }

    fn try_observe(&self, observation: &Observation<'_>) -> Result<Vec<u8>, Refused> {
        let Observation { identity, fleet: name, vehicle, payload, arrived } = *observation;
        if identity.len() > LONGEST_NAME {
            return Err(Refused::LongName(identity.len()));
        }
        let sample = Sample::read(payload, vehicle)?;
        let fleet = || self.fleets.of(name);
        let (change, fleet) = self.roster.with(identity, fleet, |record| {
            if record.fleet.name != name {
                record.fleet = fleet();
            }
            let change = record.add(&sample, arrived)?;
            Ok((change, Arc::clone(&record.fleet)))
        })?;
        let complete = fleet.is_due(arrived);
        let mut report = Report::new(complete);
        if complete {
            everything(&fleet, self.roster.count(&fleet, arrived), &mut report);
        }
        changes(&fleet, &sample, change, arrived, &mut report);
        Ok(report.finish())
    }
}

/// Writes what one sample changes.
fn changes(fleet: &Fleet, sample: &Sample, change: Change, arrived: i64, report: &mut Report) {
    report.whole(&fleet.samples[change.standing as usize], 1);
    if change.metres > 0 {
        report.whole(&fleet.distance, u64::from(change.metres));
    }
    if change.trip {
        report.whole(&fleet.trips, 1);
    }
    if change.standing.is_new() {
        if let Some(speed) = sample.speed {
            report.whole(if speed > 0.0 { &fleet.moving } else { &fleet.idle }, 1);
            report.number(&fleet.speed, speed);
            if fleet.is_highest(speed) {
                report.number(&fleet.top_speed, speed);
            }
        }
        if let Some(taken) = sample.time {
            // A vehicle's clock may be ahead of ours; a delay below zero would only say so.
            report.number(&fleet.delay, arrived.saturating_sub(taken).max(0) as f64 / 1_000.0);
        }
    }
    for (pending, series) in [(&fleet.pending_invalid, &fleet.invalid), (&fleet.pending_forgotten, &fleet.forgotten)] {
        if pending.load(Ordering::Relaxed) > 0 {
            report.whole(series, pending.swap(0, Ordering::Relaxed));
        }
    }
}

/// Writes every series but the histograms, which have no observation that changes nothing.
fn everything(fleet: &Fleet, (online, moving): (u64, u64), report: &mut Report) {
    let counters = [&fleet.invalid, &fleet.idle, &fleet.moving, &fleet.distance, &fleet.trips, &fleet.forgotten];
    for series in fleet.samples.iter().chain(counters) {
        report.whole(series, 0);
    }
    report.number(&fleet.top_speed, fleet.highest());
    report.whole(&fleet.online_now, online);
    report.whole(&fleet.moving_now, moving);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endless_name_is_refused() {
        let (tally, identity) = (Tally::default(), "x".repeat(257));
        let payload = br#"{"v":1,"vehicle":"v","seq":0,"signals":{"Vehicle.Speed":1}}"#;
        let named = |identity| Observation { identity, fleet: "demo", vehicle: None, payload, arrived: 0 };
        assert!(tally.observe(&named(&identity[1..])).is_ok());
        assert!(matches!(tally.observe(&named(&identity)), Err(Refused::LongName(257))));
        assert_eq!(tally.vehicles(), 1);
    }
}
