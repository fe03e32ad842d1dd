//! Which nominal times are due at a moment, and which were missed. Pure: the moment is an argument.
//!
//! A nominal time is dealt with once. The agenda remembers the last moment up to which everything is, and a clock that is
//! set back by less than a day brings nothing a second time. What is more than a minute late, because the machine slept, its
//! clock was set forward, the source was paused or no seat was free, was missed.

use super::schedule::Schedule;

/// What is later than this was missed, in seconds.
pub(super) const LATE: i64 = 60;
/// A clock that is set back by more than this begins anew, in seconds.
const ANEW: i64 = 86_400;
/// Missed times are counted no further.
const COUNTED: u64 = 1000;

/// What becomes of what was missed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Missed {
    /// It is counted.
    #[default]
    Skip,
    /// The last of it is run.
    Run,
}

/// Why there is a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    Scheduled,
    Missed,
    Manual,
}

impl Reason {
    /// As the event's extension says it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Reason::Scheduled => "scheduled",
            Reason::Missed => "missed",
            Reason::Manual => "manual",
        }
    }
}

/// What is due.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Due {
    /// Nominal times to run, in order.
    pub(super) runs: Vec<(i64, Reason)>,
    /// How many were missed and are not run.
    pub(super) skipped: u64,
}

/// Schedules and how far they are dealt with.
#[derive(Clone, Debug)]
pub(super) struct Agenda {
    schedules: Vec<Schedule>,
    missed: Missed,
    /// Every nominal time up to this one is dealt with.
    until: i64,
}

impl Agenda {
    /// An agenda whose nominal times up to `until` are dealt with.
    pub(super) fn new(schedules: Vec<Schedule>, missed: Missed, until: i64) -> Agenda {
        Agenda { schedules, missed, until }
    }

    /// Takes what is due at `now`.
    pub(super) fn due(&mut self, now: i64) -> Due {
        let mut due = Due::default();
        if self.until - now > ANEW {
            self.until = now;
        }
        if now - LATE > self.until {
            let count = self.times(now - LATE).take(COUNTED as usize).count() as u64;
            let last = self.schedules.iter().filter_map(|schedule| schedule.last(now - LATE)).max();
            // A last time may be unknown, such as one that stands for a named time that was left out.
            let last = last.filter(|last| *last > self.until).or_else(|| self.times(now - LATE).last());
            match (self.missed, last) {
                (Missed::Run, Some(last)) => {
                    due.runs.push((last, Reason::Missed));
                    due.skipped = count.saturating_sub(1);
                }
                _ => due.skipped = count,
            }
            self.until = now - LATE;
        }
        due.runs.extend(self.times(now).map(|time| (time, Reason::Scheduled)));
        self.until = self.until.max(now);
        due
    }

    /// The next nominal time that is not dealt with.
    pub(super) fn next(&self) -> Option<i64> {
        self.after(self.until)
    }

    fn after(&self, time: i64) -> Option<i64> {
        self.schedules.iter().filter_map(|schedule| schedule.next(time)).min()
    }

    /// Every nominal time that is not dealt with, up to and including `end`.
    fn times(&self, end: i64) -> impl Iterator<Item = i64> + '_ {
        std::iter::successors(self.next(), |time| self.after(*time)).take_while(move |time| *time <= end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agenda(schedules: &[&str], missed: Missed, until: i64) -> Agenda {
        let schedules = schedules.iter().map(|text| Schedule::parse(text, chrono_tz::UTC).unwrap());
        Agenda::new(schedules.collect(), missed, until)
    }

    fn scheduled(times: &[i64]) -> Due {
        Due { runs: times.iter().map(|time| (*time, Reason::Scheduled)).collect(), skipped: 0 }
    }

    #[test]
    fn each_time_is_due_once() {
        let mut agenda = agenda(&["@every 10s"], Missed::Skip, 5);
        assert_eq!(agenda.next(), Some(10));
        assert_eq!(agenda.due(9), Due::default());
        assert_eq!(agenda.due(10), scheduled(&[10]));
        assert_eq!(agenda.due(10), Due::default());
        assert_eq!(agenda.due(35), scheduled(&[20, 30]));
        assert_eq!(agenda.next(), Some(40));
    }

    #[test]
    fn several_schedules_are_one_list_of_times() {
        let mut agenda = agenda(&["@every 10s", "@every 15s"], Missed::Skip, 0);
        assert_eq!(agenda.due(31), scheduled(&[10, 15, 20, 30]));
    }

    #[test]
    fn what_was_missed_is_counted_or_run_once() {
        let mut skips = agenda(&["@every 10s"], Missed::Skip, 0);
        assert_eq!(
            skips.due(165),
            Due { runs: [110, 120, 130, 140, 150, 160].map(|t| (t, Reason::Scheduled)).into(), skipped: 10 }
        );
        let mut runs = agenda(&["@every 1h"], Missed::Run, 0);
        assert_eq!(runs.due(36_100), Due { runs: vec![(36_000, Reason::Missed)], skipped: 9 });
        assert_eq!(runs.due(36_100), Due::default());
        assert_eq!(runs.next(), Some(39_600));
        let mut long = agenda(&["@every 1s"], Missed::Run, 0);
        let due = long.due(10_000_000);
        assert_eq!((due.runs[0], due.runs.len(), due.skipped), ((9_999_940, Reason::Missed), 61, 999));
    }

    #[test]
    fn nothing_was_missed_where_nothing_was_due() {
        let mut agenda = agenda(&["@every 1h"], Missed::Run, 3600);
        assert_eq!(agenda.due(7100), Due::default());
        assert_eq!(agenda.due(7210), scheduled(&[7200]));
    }

    #[test]
    fn a_clock_that_is_set_back_repeats_nothing() {
        let mut agenda = agenda(&["@every 1h"], Missed::Run, 0);
        assert_eq!(agenda.due(3600), scheduled(&[3600]));
        assert_eq!(agenda.due(3500), Due::default());
        assert_eq!(agenda.due(3600), Due::default());
        assert_eq!(agenda.due(7200), scheduled(&[7200]));
        // Unless it is set back so far that waiting for it would be worse.
        assert_eq!(agenda.due(7200 - 86_401), Due::default());
        assert_eq!(agenda.next(), Some(7200 - 86_400));
    }

    #[test]
    fn a_named_time_that_the_clock_left_out_is_missed_too() {
        let schedule = Schedule::parse("30 2 29 3 *", chrono_tz::Europe::Berlin).unwrap();
        let left_out = schedule.next(1_774_700_000).unwrap();
        let mut agenda = Agenda::new(vec![schedule], Missed::Run, left_out - 10);
        assert_eq!(agenda.due(left_out + 5000).runs, [(left_out, Reason::Missed)]);
    }
}
