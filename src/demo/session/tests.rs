//! When a run is over, and what is said of late.

use super::super::figures::Fleet;
use super::super::simulator::Ledger;
use super::*;

fn sent(samples: u64, malformed: u64) -> Progress {
    let ledger = Ledger { messages: samples + malformed, samples, malformed, ..Ledger::default() };
    Progress { ledger, confirmed: samples + malformed, finished: true, ..Progress::default() }
}

fn read(counted: u64, given_up: u64) -> Reading {
    let fleet = Fleet { samples: [("ok".to_owned(), counted)].into(), ..Fleet::default() };
    Reading { fleet, received: counted + given_up, done: counted, given_up, workers: 2, ..Reading::default() }
}

fn memory() -> Memory {
    let began = Instant::now();
    Memory {
        began,
        lately: VecDeque::from([(began, Reading::default())]),
        history: History::default(),
        peak_workers: 0,
        moved: ((0, 0, 0), began),
    }
}

#[test]
fn a_run_is_settled_when_everything_sent_is_counted() {
    assert!(is_settled(&sent(100, 5), &read(100, 5)));
    assert!(is_settled(&sent(100, 5), &read(102, 7)));
    assert!(!is_settled(&sent(100, 5), &read(99, 6)));
    assert!(!is_settled(&sent(100, 5), &read(101, 4)));
    assert!(!is_settled(&sent(100, 5), &Reading { in_flight: 1, ..read(100, 5) }));
    assert!(!is_settled(&Progress { finished: false, ..sent(100, 5) }, &read(100, 5)));
}

#[tokio::test(start_paused = true)]
async fn a_run_is_given_up_when_something_is_owed_and_nothing_moves() {
    let (mut memory, mut progress) = (memory(), sent(100, 0));
    progress.finished = false;
    let later = || tokio::time::advance(PATIENCE + TICK);
    // A silent night owes nothing.
    assert!(!memory.is_stuck(&progress, &read(100, 0), false));
    later().await;
    assert!(!memory.is_stuck(&progress, &read(100, 0), false));
    assert!(memory.is_stuck(&progress, &read(100, 0), true));
    assert!(!memory.is_stuck(&progress, &read(101, 0), true));
    later().await;
    progress.ledger.messages += 1;
    assert!(memory.is_stuck(&progress, &read(101, 0), false));
}

#[tokio::test(start_paused = true)]
async fn rates_are_those_of_late_and_peaks_those_of_the_whole_run() {
    let mut memory = memory();
    for tick in 1..=40_u64 {
        tokio::time::advance(TICK).await;
        memory.note(Reading { workers: 40 - tick as usize, ..read(tick * tick, 0) });
    }
    // 1600 - 33 * 33 events in seven ticks.
    assert_eq!(memory.rate(), 511.0 / 1.75);
    assert_eq!(memory.peak_workers, 39);
    let last = memory.history.points().last().copied().unwrap();
    assert_eq!(last, Point { at_s: 10.0, events_per_second: 79.0 * 4.0, workers: 0, in_flight: 0 });
}

#[test]
fn the_clock_is_that_of_the_day_or_of_the_cycle() {
    let tidal = Options { cycle: Choice::Tide, speed_up: 144.0, ..Options::default() };
    assert_eq!(clock(&tidal, Duration::ZERO), "06:00");
    assert_eq!(clock(&tidal, Duration::from_secs(500)), "02:00");
    let lone = Options { speed_up: 200.0, ..Options::default() };
    assert_eq!(clock(&lone, Duration::from_secs(5)), "16:40");
}
