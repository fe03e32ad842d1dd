//! The picture of one scene at sizes that terminals have.

use super::super::figures::Fleet;
use super::super::simulator::Ledger;
use super::*;

fn picture(width: usize, height: usize) -> String {
    let history: Vec<Point> = (0..60)
        .map(|at| {
            let rush = (f64::from(at) / 60.0 * std::f64::consts::PI).sin();
            let (workers, in_flight) = ((rush * 8.0).round() as usize, (rush * rush * 1_000.0) as u64);
            Point { at_s: f64::from(at), events_per_second: rush * 1_440.0, workers, in_flight }
        })
        .collect();
    let ledger = Ledger {
        messages: 45_678,
        duplicates: 228,
        late: 91,
        out_of_order: 90,
        backfilled: 12,
        malformed: 45,
        ..Ledger::default()
    };
    let progress = Progress { ledger, ..Progress::default() };
    let fleet = Fleet { online: 97, moving: 61, distance_m: 1_234_567.0, ..Fleet::default() };
    let reading =
        Reading { fleet, done: 45_600, given_up: 45, workers: 3, busy: 2, in_flight: 33, ..Reading::default() };
    let scene = Scene {
        title: "tidemill demo: 100 vehicles, tide, 144 times as fast, mild faults, seed 1",
        places: "mqtt://127.0.0.1:40123   http://127.0.0.1:7411/metrics",
        elapsed: Duration::from_secs(75),
        clock: "09:00",
        phase: Phase::Driving,
        progress: &progress,
        reading: &reading,
        rate: 1_431.7,
        delay: [Some(0.0024), Some(12.34)],
        history: &history,
    };
    let lines = draw(&scene, width, height);
    assert!(lines.len() <= height && lines.iter().all(|(_, line)| line.chars().count() <= width));
    let text: Vec<&str> = lines.iter().map(|(_, line)| line.trim_end()).collect();
    text.join("\n") + "\n\n" + &line(&scene) + "\n"
}

#[test]
fn a_usual_terminal_shows_figures_and_three_charts() {
    assert_eq!(picture(80, 24), include_str!("80x24.txt"));
}

#[test]
fn a_small_terminal_shows_what_fits() {
    let text = picture(40, 5);
    assert_eq!(text.lines().next(), Some("tidemill demo: 100 vehicles, tide, 144 t"));
    assert!(text.lines().nth(3).is_some_and(|line| line.starts_with("driving, 09:00: 97 online")), "{text}");
    for (width, height) in [(0, 0), (1, 1), (80, 12), (80, 13), (200, 80)] {
        picture(width, height);
    }
}

#[test]
fn a_fleet_that_is_late_says_so() {
    assert_eq!(
        [0, 999, 1_000, 90_000].map(|ms| behind(Duration::from_millis(ms))),
        ["", "", " 00:01 behind", " 01:30 behind"]
    );
}

#[test]
fn numbers_are_written_for_people() {
    assert_eq!([0, 999, 1_000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
    assert_eq!([0.0, 49.0, 12_345.0, 1_234_567.0].map(kilometres), ["0.0", "0.0", "12.3", "1,234.6"]);
    let delays = [None, Some(0.0004), Some(0.25), Some(0.9996), Some(12.34), Some(600.0)];
    assert_eq!(delays.map(seconds), ["-", "0 ms", "250 ms", "1.0 s", "12.3 s", "10 min"]);
    assert_eq!(
        [59, 75, 3_600, 36_061].map(|s| span(Duration::from_secs(s))),
        ["00:59", "01:15", "1:00:00", "10:01:01"]
    );
}
