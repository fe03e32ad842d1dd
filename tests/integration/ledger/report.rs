//! What came of a trial: a line of a table, and the faults in words.

use std::fmt::Write as _;
use std::time::Duration;

use super::place::Place;

/// What came of one pair.
pub(super) struct Report {
    /// Such as `kafka-nats`.
    pub(super) pair: String,
    /// How many events the first broker confirmed.
    pub(super) confirmed: usize,
    /// The kills in their order.
    pub(super) kills: Vec<Kill>,
    /// How long the last may take that waited for the engine to come back.
    pub(super) limit: Duration,
    /// Confirmed events that never arrived.
    pub(super) lost: usize,
    /// Arrivals of what was never sent.
    pub(super) foreign: usize,
    /// Arrivals whose payload was another.
    pub(super) altered: usize,
    /// Arrivals of what had arrived before.
    pub(super) repeated: usize,
    /// Whatever else went wrong.
    pub(super) wrong: Vec<String>,
}

/// One kill and what followed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kill {
    pub(super) place: Place,
    /// From the restart to the first event that was sent after it; nothing when none came.
    pub(super) first: Option<Duration>,
    /// From the restart to the last event that was owed then; nothing when some never came.
    pub(super) last: Option<Duration>,
    /// Whether either took longer than it may.
    pub(super) late: bool,
    /// How many events may have been repeated because of it, by what was not committed.
    pub(super) repeats: usize,
    /// The same by the configuration and the time between two commits.
    pub(super) configured: usize,
}

impl Report {
    /// How many repetitions all kills together explain.
    fn bound(&self) -> usize {
        self.kills.iter().map(|kill| kill.repeats).sum()
    }

    fn worst(&self, of: impl Fn(&Kill) -> Option<Duration>) -> String {
        let times: Option<Vec<_>> = self.kills.iter().map(of).collect();
        let worst = times.and_then(|times| times.into_iter().max());
        worst.map_or_else(|| "-".to_owned(), |worst| format!("{:.1} s", worst.as_secs_f64()))
    }

    /// Its line of the table.
    pub(super) fn line(&self) -> String {
        let mut places: Vec<(&str, usize)> = Vec::new();
        for kill in &self.kills {
            match places.iter_mut().find(|(name, _)| *name == kill.place.name()) {
                Some((_, count)) => *count += 1,
                None => places.push((kill.place.name(), 1)),
            }
        }
        let places: Vec<_> = places.iter().map(|(name, count)| format!("{count} {name}")).collect();
        let late = match self.kills.iter().filter(|kill| kill.late).count() {
            0 => String::new(),
            late => format!(" ({late} late)"),
        };
        format!(
            "| {} | {} | {}{late} | {} | {} of {} s | {} of {} | {} | {} | {} | {} |",
            self.pair,
            self.confirmed,
            places.join(", "),
            self.worst(|kill| kill.first),
            self.worst(|kill| kill.last),
            self.limit.as_secs(),
            self.repeated,
            self.bound(),
            self.kills.iter().map(|kill| kill.configured).sum::<usize>(),
            self.lost,
            self.foreign,
            self.altered,
        )
    }

    /// What must not be, in words.
    pub(super) fn faults(&self) -> Vec<String> {
        let mut faults = self.wrong.clone();
        let mut must = |holds: bool, fault: String| {
            if !holds {
                faults.push(fault);
            }
        };
        must(self.confirmed > 0, "nothing was sent".to_owned());
        must(self.lost == 0, format!("{} confirmed events never arrived", self.lost));
        must(self.foreign == 0, format!("{} arrivals are of nothing that was sent", self.foreign));
        must(self.altered == 0, format!("{} arrivals are not what was sent", self.altered));
        must(self.repeated <= self.bound(), format!("{} repetitions, {} at most", self.repeated, self.bound()));
        for (number, kill) in self.kills.iter().enumerate() {
            let which = format!("kill {} ({})", number + 1, kill.place.name());
            must(kill.first.is_some(), format!("{which}: no new event came"));
            must(kill.last.is_some(), format!("{which}: not all that was owed came"));
        }
        faults.into_iter().map(|fault| format!("{}: {fault}", self.pair)).collect()
    }
}

/// All of them.
pub(super) fn table(reports: &[Report]) -> String {
    let mut table = String::from(
        "| pair | confirmed | kills | first new event, worst | last owed event, worst | repeated, uncommitted | bound by \
         configuration | lost | foreign | altered |\n|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for report in reports {
        let _ = writeln!(table, "{}", report.line());
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let kill = |place, first: u64| Kill {
            place,
            first: Some(Duration::from_millis(first)),
            last: Some(Duration::from_secs(3)),
            late: first > 1000,
            repeats: 10,
            configured: 20,
        };
        Report {
            pair: "a-b".to_owned(),
            confirmed: 100,
            kills: vec![kill(Place::Drain, 1200), kill(Place::Anywhere, 700), kill(Place::Drain, 900)],
            limit: Duration::from_secs(5),
            lost: 0,
            foreign: 0,
            altered: 0,
            repeated: 30,
            wrong: Vec::new(),
        }
    }

    #[test]
    fn a_table_shows_the_worst_and_every_bound() {
        let report = report();
        assert_eq!(
            report.line(),
            "| a-b | 100 | 2 drain, 1 anywhere (1 late) | 1.2 s | 3.0 s of 5 s | 30 of 30 | 60 | 0 | 0 | 0 |"
        );
        assert!(report.faults().is_empty() && table(&[report]).ends_with("| 0 | 0 | 0 |\n"));
    }

    #[test]
    fn every_broken_promise_is_a_fault() {
        let mut broken = report();
        broken.kills[1].first = None;
        broken.kills[2].last = None;
        (broken.lost, broken.foreign, broken.altered, broken.repeated) = (1, 2, 3, 31);
        broken.wrong.push("it ended badly".to_owned());
        assert_eq!(broken.faults().len(), 7, "{:?}", broken.faults());
        assert!(broken.line().contains("| - | - of 5 s | 31 of 30 | 60 | 1 | 2 | 3 |"), "{}", broken.line());
    }
}
