//! One schedule: five or six fields of cron in a time zone, or `@every` with a length of time.
//!
//! Where a clock is set back, a time that is named once, such as `30 2 * * *`, comes once, when it first does; steps and
//! ranges, such as `*/5 * * * *`, go on through both hours. Where a clock is set forward, a named time that is left out
//! comes as soon as the clock goes on, and steps go on from there. These are Vixie cron's rules.

use chrono::{DateTime, TimeZone, Utc};
use chrono_tz::Tz;
use croner::parser::{CronParser, Seconds, Year};
use engine::config::Period;

/// A schedule, compiled.
#[derive(Clone, Debug)]
pub(super) enum Schedule {
    /// Fields of cron. Boxed, for it holds a table for each.
    Fields(Box<croner::Cron>, Tz),
    /// Every so many seconds since the beginning of 1970.
    Every(i64),
}

/// What is wrong with a schedule, in bytes from its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Flaw {
    pub(super) at: usize,
    pub(super) len: usize,
    pub(super) message: String,
    pub(super) help: &'static str,
}

const FIELDS: [&str; 6] = ["second", "minute", "hour", "day of the month", "month", "day of the week"];
const NICKNAMES: [&str; 7] = ["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"];
const EXAMPLE: &str =
    "write five or six fields such as \"0 */5 * * * *\", or @every 30s, @hourly, @daily, @weekly, @monthly";

impl Schedule {
    /// Reads a schedule.
    ///
    /// # Errors
    /// The first [`Flaw`].
    pub(super) fn parse(text: &str, zone: Tz) -> Result<Schedule, Flaw> {
        let start = text.len() - text.trim_start().len();
        let trimmed = text.trim();
        let whole = |message: String| Flaw { at: start, len: trimmed.len(), message, help: EXAMPLE };
        if let Some(period) = trimmed.strip_prefix("@every") {
            return every(period.trim()).map_err(whole);
        }
        if trimmed.starts_with('@') {
            if !NICKNAMES.iter().any(|known| known.eq_ignore_ascii_case(trimmed)) {
                return Err(whole(format!("there is no schedule '{trimmed}'")));
            }
            return compile(trimmed, zone).map_err(whole);
        }
        let fields: Vec<&str> = trimmed.split_whitespace().collect();
        if !(5..=6).contains(&fields.len()) {
            return Err(whole(format!("a schedule has five or six fields, and this has {}", fields.len())));
        }
        let schedule = compile(trimmed, zone).map_err(|_| field(text, &fields, zone))?;
        // From some day on, whichever it is: what does not come in the years after it never comes.
        match schedule.next(1_767_225_600) {
            Some(_) => Ok(schedule),
            None => Err(whole("this time never comes".to_owned())),
        }
    }

    /// The first nominal time after `after`, both in seconds since the beginning of 1970.
    pub(super) fn next(&self, after: i64) -> Option<i64> {
        match self {
            Schedule::Every(seconds) => Some((after.div_euclid(*seconds) + 1) * seconds),
            Schedule::Fields(cron, zone) => {
                cron.find_next_occurrence(&at(after, *zone)?, false).ok().map(|next| next.timestamp())
            }
        }
    }

    /// The last nominal time up to and including `until`.
    pub(super) fn last(&self, until: i64) -> Option<i64> {
        match self {
            Schedule::Every(seconds) => Some(until.div_euclid(*seconds) * seconds),
            Schedule::Fields(cron, zone) => {
                cron.find_previous_occurrence(&at(until, *zone)?, true).ok().map(|last| last.timestamp())
            }
        }
    }
}

fn at(seconds: i64, zone: Tz) -> Option<DateTime<Tz>> {
    Utc.timestamp_opt(seconds, 0).single().map(|time| time.with_timezone(&zone))
}

fn every(period: &str) -> Result<Schedule, String> {
    let period = Period::parse(period)?.0;
    match i64::try_from(period.as_secs()) {
        Ok(seconds) if seconds > 0 && period.subsec_nanos() == 0 && seconds <= 366 * 86_400 => {
            Ok(Schedule::Every(seconds))
        }
        _ => Err("@every counts whole seconds, from 1s to 366d".to_owned()),
    }
}

fn compile(text: &str, zone: Tz) -> Result<Schedule, String> {
    let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Optional).build();
    parser.parse(text).map(|cron| Schedule::Fields(Box::new(cron), zone)).map_err(|cause| cause.to_string())
}

/// Which field is the wrong one: the first that is wrong when all others say nothing.
fn field(text: &str, fields: &[&str], zone: Tz) -> Flaw {
    let names = &FIELDS[FIELDS.len() - fields.len()..];
    let mut from = 0;
    for (place, written) in fields.iter().enumerate() {
        let at = text[from..].find(written).map_or(from, |found| from + found);
        from = at + written.len();
        let mut alone = vec!["*"; fields.len()];
        alone[place] = written;
        if compile(&alone.join(" "), zone).is_err() {
            let message = format!("'{written}' cannot be the {}", names[place]);
            return Flaw { at, len: written.len(), message, help: help(names[place]) };
        }
    }
    let at = text.len() - text.trim_start().len();
    Flaw { at, len: text.trim().len(), message: "these fields do not go together".to_owned(), help: EXAMPLE }
}

fn help(name: &str) -> &'static str {
    match name {
        "second" | "minute" => "write 0 to 59, *, a range 1-5, a list 1,2 or a step */5",
        "hour" => "write 0 to 23, *, a range 9-17, a list 6,18 or a step */2",
        "day of the month" => "write 1 to 31, *, L for the last one or 15W for the weekday nearest to it",
        "month" => "write 1 to 12 or JAN to DEC, *, a range, a list or a step",
        _ => "write 0 to 7 or SUN to SAT, *, MON#1 for the first Monday or FRIL for the last Friday",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(text: &str) -> i64 {
        DateTime::parse_from_rfc3339(text).unwrap().timestamp()
    }

    /// The next `count` nominal times after `after`, as they stand on the wall.
    fn times(schedule: &str, zone: Tz, after: &str, count: usize) -> Vec<String> {
        let schedule = Schedule::parse(schedule, zone).unwrap();
        let mut at_last = seconds(after);
        let mut times = Vec::new();
        while times.len() < count {
            at_last = schedule.next(at_last).unwrap();
            times.push(at(at_last, zone).unwrap().format("%m-%d %H:%M:%S%:z").to_string());
        }
        times
    }

    const BERLIN: Tz = chrono_tz::Europe::Berlin;

    #[test]
    fn five_and_six_fields_and_names() {
        for (schedule, expected) in [
            ("0 */5 * * * *", ["11-21 10:05:00+01:00", "11-21 10:10:00+01:00"]),
            ("*/5 * * * *", ["11-21 10:05:00+01:00", "11-21 10:10:00+01:00"]),
            ("30 8 * * MON", ["11-23 08:30:00+01:00", "11-30 08:30:00+01:00"]),
            ("@daily", ["11-22 00:00:00+01:00", "11-23 00:00:00+01:00"]),
            ("@every 90m", ["11-21 10:00:30+01:00", "11-21 11:30:30+01:00"]),
        ] {
            let after = "2026-11-21T10:00:29+01:00";
            let times = times(schedule, BERLIN, after, 2);
            match schedule {
                // Not from when it starts, but from 1970 on.
                "@every 90m" => assert_eq!(times, ["11-21 11:30:00+01:00", "11-21 13:00:00+01:00"]),
                _ => assert_eq!(times, expected, "{schedule}"),
            }
        }
    }

    #[test]
    fn a_leap_day_comes_every_four_years() {
        let schedule = Schedule::parse("0 0 29 2 *", chrono_tz::UTC).unwrap();
        let first = schedule.next(seconds("2026-01-01T00:00:00Z")).unwrap();
        assert_eq!(first, seconds("2028-02-29T00:00:00Z"));
        assert_eq!(schedule.next(first).unwrap(), seconds("2032-02-29T00:00:00Z"));
        assert_eq!(schedule.last(seconds("2031-01-01T00:00:00Z")), Some(first));
    }

    #[test]
    fn a_named_time_comes_once_where_the_clock_is_set_back() {
        let after = "2026-10-24T12:00:00+02:00";
        assert_eq!(times("30 2 * * *", BERLIN, after, 2), ["10-25 02:30:00+02:00", "10-26 02:30:00+01:00"]);
        let steps = times("*/30 * * * *", BERLIN, "2026-10-25T01:45:00+02:00", 5);
        assert_eq!(
            steps,
            [
                "10-25 02:00:00+02:00",
                "10-25 02:30:00+02:00",
                "10-25 02:00:00+01:00",
                "10-25 02:30:00+01:00",
                "10-25 03:00:00+01:00"
            ]
        );
    }

    #[test]
    fn a_named_time_that_is_left_out_comes_when_the_clock_goes_on() {
        let after = "2026-03-28T12:00:00+01:00";
        assert_eq!(times("30 2 * * *", BERLIN, after, 2), ["03-29 03:00:00+02:00", "03-30 02:30:00+02:00"]);
        let steps = times("*/30 * * * *", BERLIN, "2026-03-29T01:15:00+01:00", 3);
        assert_eq!(steps, ["03-29 01:30:00+01:00", "03-29 03:00:00+02:00", "03-29 03:30:00+02:00"]);
    }

    #[test]
    fn every_counts_the_same_whoever_asks() {
        let schedule = Schedule::parse("@every 30s", chrono_tz::UTC).unwrap();
        assert_eq!((schedule.next(29), schedule.next(30), schedule.next(31)), (Some(30), Some(60), Some(60)));
        assert_eq!((schedule.last(29), schedule.last(30)), (Some(0), Some(30)));
        let mut at = 12_345;
        for _ in 0..100_000 {
            at = schedule.next(at).unwrap();
        }
        assert_eq!(at, 12_360 + 99_999 * 30);
    }

    #[test]
    fn a_flaw_is_where_it_is() {
        for (text, at, len, part) in [
            ("0 */5 * * 13 *", 10, 2, "'13' cannot be the month"),
            ("61 * * * *", 0, 2, "'61' cannot be the minute"),
            ("0 0 25 * * *", 4, 2, "'25' cannot be the hour"),
            ("  * * * * FUN", 10, 3, "'FUN' cannot be the day of the week"),
            ("* * 32 * *", 4, 2, "'32' cannot be the day of the month"),
            ("a b", 0, 3, "this has 2"),
            ("* * * * * * 2026", 0, 16, "this has 7"),
            ("", 0, 0, "this has 0"),
            ("@often", 0, 6, "there is no schedule '@often'"),
            ("@every", 0, 6, "'' is no duration"),
            ("@every 500ms", 0, 12, "whole seconds"),
            ("@every 0s", 0, 9, "whole seconds"),
            ("0 0 30 2 *", 0, 10, "never comes"),
        ] {
            let flaw = Schedule::parse(text, chrono_tz::UTC).unwrap_err();
            assert_eq!((flaw.at, flaw.len), (at, len), "{text}: {flaw:?}");
            assert!(flaw.message.contains(part), "{text}: {flaw:?}");
        }
    }
}
