//! The live view: what a terminal of a given size shows of a run, as lines of text.
//!
//! Decision: drawing is a pure function of a [`Scene`], so that a test can hold it against a picture; [`super::screen`]
//! is all that knows of a terminal.

use std::time::Duration;

use super::chart;
use super::driver::Progress;
use super::figures::Reading;
use super::history::Point;

/// A fleet that is as far behind its timetable is worth a word.
const LATE: Duration = Duration::from_secs(1);

/// Everything that is shown at one moment.
pub(super) struct Scene<'a> {
    /// What was asked for, in one line.
    pub(super) title: &'a str,
    /// Where the embedded broker and the metrics are.
    pub(super) places: &'a str,
    /// Since the fleet began.
    pub(super) elapsed: Duration,
    /// The simulated time of day or of the cycle.
    pub(super) clock: &'a str,
    /// What the run is doing.
    pub(super) phase: Phase,
    pub(super) progress: &'a Progress,
    pub(super) reading: &'a Reading,
    /// Events per second of late.
    pub(super) rate: f64,
    /// Median and 99th percentile of the delay of late, in seconds.
    pub(super) delay: [Option<f64>; 2],
    pub(super) history: &'a [Point],
}

/// What a run is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Vehicles drive.
    Driving,
    /// Nothing more is sent, and what was sent is being settled.
    Settling,
}

impl Phase {
    fn words(self) -> &'static str {
        match self {
            Phase::Driving => "driving",
            Phase::Settling => "settling what was sent",
        }
    }
}

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    Bold,
    Faint,
    Green,
    Yellow,
    Cyan,
}

/// The lines of a picture, no more than `height` and none wider than `width`.
pub(super) fn draw(scene: &Scene<'_>, width: usize, height: usize) -> Vec<(Style, String)> {
    let mut lines = vec![
        (Style::Bold, ends(scene.title, &span(scene.elapsed), width)),
        (Style::Faint, ends(scene.places, "Ctrl-C ends it", width)),
        (Style::Plain, String::new()),
    ];
    lines.extend(figures(scene).map(|line| (Style::Plain, line)));
    let room = height.saturating_sub(lines.len() + 7);
    let (load, rest) = (room.div_ceil(2), room / 4);
    let values = |value: fn(&Point) -> f64| scene.history.iter().map(value).collect::<Vec<f64>>();
    let mut chart = |style, name, values: &[f64], height: usize| {
        if height == 0 {
            return;
        }
        let top = values.iter().copied().fold(0.0, f64::max);
        lines.push((Style::Plain, String::new()));
        lines.push((Style::Faint, ends(name, &format!("up to {}", count(top.round() as u64)), width)));
        lines.extend(chart::lines(values, width, height, top.max(1.0)).into_iter().map(|line| (style, line)));
    };
    chart(Style::Green, "events per second", &values(|point| point.events_per_second), load);
    chart(Style::Cyan, "workers", &values(|point| point.workers as f64), rest);
    chart(Style::Yellow, "messages in flight", &values(|point| point.in_flight as f64), rest);
    if !scene.history.is_empty() && room > 0 {
        lines.push((Style::Faint, ends("start", "now", width.min(scene.history.len().max(12)))));
    }
    lines.truncate(height);
    lines.into_iter().map(|(style, line)| (style, line.chars().take(width).collect())).collect()
}

/// The lines of figures.
fn figures(scene: &Scene<'_>) -> impl Iterator<Item = String> {
    let Reading { fleet, .. } = scene.reading;
    let [median, tail] = scene.delay.map(seconds);
    [
        format!(
            "{}{}, {}: {} online, {} moving, {} km driven",
            scene.phase.words(),
            behind(scene.progress.behind),
            scene.clock,
            count(fleet.online),
            count(fleet.moving),
            kilometres(fleet.distance_m)
        ),
        format!(
            "{} events/s, {} done, {} given up   workers {}, {} busy   in flight {}",
            count(scene.rate.round() as u64),
            count(scene.reading.done),
            count(scene.reading.given_up),
            scene.reading.workers,
            scene.reading.busy,
            count(scene.reading.in_flight)
        ),
        format!("delay from vehicle to metrics: half within {median}, 99 % within {tail}"),
        faults(scene.progress),
    ]
    .into_iter()
}

/// Says so when messages are sent later than they should be.
fn behind(late: Duration) -> String {
    if late < LATE { String::new() } else { format!(" {} behind", span(late)) }
}

fn faults(progress: &Progress) -> String {
    let ledger = &progress.ledger;
    format!(
        "sent {}: {} twice, {} late, {} overtaken, {} back-filled, {} malformed",
        count(ledger.messages),
        count(ledger.duplicates),
        count(ledger.late),
        count(ledger.out_of_order),
        count(ledger.backfilled),
        count(ledger.malformed)
    )
}

/// One line for those who read no pictures.
pub(super) fn line(scene: &Scene<'_>) -> String {
    let Reading { fleet, workers, in_flight, done, given_up, .. } = scene.reading;
    let [median, tail] = scene.delay.map(seconds);
    let (rate, clock) = (scene.rate.round(), scene.clock);
    format!(
        "{}{} {clock} online {} events/s {rate} done {done} given-up {given_up} workers {workers} in-flight {in_flight} \
         delay-p50 {median} delay-p99 {tail} distance-m {:.0}",
        span(scene.elapsed),
        behind(scene.progress.behind),
        fleet.online,
        fleet.distance_m
    )
}

/// Two texts at the two ends of a line; the right one gives way.
fn ends(left: &str, right: &str, width: usize) -> String {
    let gap = width.saturating_sub(left.chars().count() + right.chars().count());
    if gap == 0 { left.to_owned() } else { format!("{left}{}{right}", " ".repeat(gap)) }
}

/// A whole number in groups of three.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn kilometres(metres: f64) -> String {
    let tenths = (metres / 100.0).round() as u64;
    format!("{}.{}", count(tenths / 10), tenths % 10)
}

/// A delay as people say it.
pub(super) fn seconds(delay: Option<f64>) -> String {
    match delay {
        None => "-".to_owned(),
        Some(delay) if delay < 0.9995 => format!("{:.0} ms", delay * 1e3),
        Some(delay) if delay < 99.95 => format!("{delay:.1} s"),
        Some(delay) => format!("{:.0} min", delay / 60.0),
    }
}

/// Minutes and seconds, with hours where there are any.
pub(super) fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes:02}:{seconds:02}") }
}

#[cfg(test)]
mod tests;
