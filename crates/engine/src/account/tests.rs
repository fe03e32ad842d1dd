//! An account and its files: what is found again, over restarts and after whatever ends a process.

use std::fs;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use proptest::prelude::*;
use tempfile::TempDir;

use super::trouble::tests::trouble;
use super::*;
use crate::dead_letter::Reason;
use crate::fake::event;
use crate::port::Clock;

/// A clock that is set by hand.
struct Set(Mutex<u64>);

impl Clock for Set {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(*self.0.lock())
    }
}

/// A clock that stands at this number of milliseconds.
fn clock(at: u64) -> ClockHandle {
    ClockHandle(Arc::new(Set(Mutex::new(at))))
}

fn name(name: &str) -> Name {
    Name { name: name.into(), outputs: vec!["out".into()], ..Name::default() }
}

fn wanted(id: &str) -> Wanted {
    Wanted { id: id.into(), source: None }
}

fn at(ended: u64) -> Facts {
    Facts { ended, took: 3, last: 2, attempts: 1, calls: 0, results: 1 }
}

fn done(pen: &mut Pen, id: &str, ended: u64) {
    pen.record(&event(id), End::Done, at(ended));
    pen.flush();
}

fn ends(found: &Found) -> Vec<(&str, u64)> {
    found.records.iter().map(|(record, name)| (name.name.as_str(), record.ended().0)).collect()
}

#[test]
fn what_has_ended_is_found_in_memory_in_the_folder_and_after_a_restart() {
    let folder = TempDir::new().unwrap();
    let account = Account::open(folder.path(), 100, clock(1000)).unwrap();
    let (mut one, mut other) = (account.pen(name("t/one")), account.pen(name("t/other")));
    done(&mut one, "a", 1001);
    done(&mut other, "a", 1002);
    done(&mut other, "b", 1003);
    one.trouble(&Trouble { rule: "t/one".into(), ..trouble("a", What::GivenUp(Reason::Exhausted)) }, false);
    let found = account.find(&wanted("a")).unwrap();
    assert_eq!(ends(&found), [("t/one", 1001), ("t/other", 1002)]);
    assert_eq!((found.troubles.len(), found.window.deliveries), (1, 3));
    assert_eq!((found.window.since, found.window.failures_since), (Some(Stamp(1000)), Some(Stamp(1000))));
    assert_eq!(account.find(&wanted("c")).unwrap().records, []);
    assert_eq!(ends(&look(folder.path(), &wanted("a")).unwrap()), ends(&found), "it is in the file by then");
    assert!(account.close());
    let stopped = look(folder.path(), &wanted("a")).unwrap();
    assert_eq!(stopped, found, "an engine that has ended in order leaves no gap");

    // Another run has other numbers for its rules.
    let account = Account::open(folder.path(), 100, clock(2000)).unwrap();
    let mut third = account.pen(name("t/third"));
    done(&mut third, "a", 2001);
    let found = account.find(&wanted("a")).unwrap();
    assert_eq!(ends(&found), [("t/one", 1001), ("t/other", 1002), ("t/third", 2001)]);
    assert_eq!((found.window.gaps, found.window.deliveries), (vec![], 4));
}

#[test]
fn an_id_of_two_sources_is_two_events() {
    let account = Account::in_memory(100, clock(1000));
    let mut pen = account.pen(name("t/r"));
    let other = Event::new("a".into(), "/elsewhere".into(), "t".into()).unwrap();
    pen.record(&event("a"), End::Done, at(1));
    pen.record(&other, End::Unmatched, at(2));
    pen.flush();
    assert_eq!(account.find(&wanted("a")).unwrap().records.len(), 2);
    let one = account.find(&Wanted { source: Some("/elsewhere".into()), ..wanted("a") }).unwrap();
    assert_eq!(ends(&one), [("t/r", 2)]);
    assert_eq!(one.records[0].0.print(), Print::of(&other));
}

#[test]
fn an_account_in_memory_says_how_far_it_reaches() {
    let account = Account::in_memory(1, clock(500));
    let mut pen = account.pen(name("t/r"));
    assert_eq!(account.find(&wanted("a")).unwrap().window.since, Some(Stamp(500)), "since it began");
    for ended in 1000..5000 {
        pen.record(&event("a"), End::Done, at(ended));
    }
    pen.flush();
    let found = account.find(&wanted("a")).unwrap();
    let oldest = found.records[0].0.ended();
    assert!(oldest > Stamp(1000) && found.records.len() < 4000);
    assert_eq!((found.window.since, found.window.failures_since), (Some(oldest), None));
    assert!(found.window.covers(oldest) && !found.window.covers(Stamp(oldest.0 - 1)));
    assert_eq!(account.read().capacity, 1);
    assert!(account.close() && !account.flush());
}

#[test]
fn a_process_that_was_killed_leaves_a_gap_that_is_named() {
    let folder = TempDir::new().unwrap();
    let account = Account::open(folder.path(), 100, clock(1000)).unwrap();
    let mut pen = account.pen(name("t/r"));
    done(&mut pen, "a", 1001);
    pen.trouble(&trouble("a", What::Failed(None)), true);
    account.flush();
    // What a killed process leaves: the files as they are now.
    let left = TempDir::new().unwrap();
    for file in [FILE, FAILURES] {
        fs::copy(folder.path().join(file), left.path().join(file)).unwrap();
    }
    let stopped = look(left.path(), &wanted("a")).unwrap();
    assert_eq!((stopped.records.len(), stopped.troubles.len()), (1, 1));
    assert_eq!(stopped.window.gaps, [(Stamp(1000), Stamp(u64::MAX))]);
    let account = Account::open(left.path(), 100, clock(9000)).unwrap();
    let found = account.find(&wanted("a")).unwrap();
    assert_eq!((found.records.len(), found.troubles.len()), (1, 1));
    assert_eq!(found.window.gaps, [(Stamp(1000), Stamp(9000))]);
    assert!(!found.window.covers(Stamp(5000)) && found.window.covers(Stamp(9001)));
}

#[test]
fn the_files_are_bounded_and_say_how_far_they_reach() {
    let folder = TempDir::new().unwrap();
    let handle = Arc::new(Set(Mutex::new(1000)));
    let account = Account::open(folder.path(), 10_000, ClockHandle(Arc::clone(&handle) as Arc<dyn Clock>)).unwrap();
    let mut pen = account.pen(name("t/r"));
    let long = "x".repeat(500);
    for round in 0..60u64 {
        *handle.0.lock() = 2000 + round;
        for number in 0..1000 {
            pen.record(&event(&format!("{round}-{number}")), End::Done, at(2000 + round));
            pen.trouble(&Trouble { message: long.as_str().into(), ..trouble("x", What::Failed(None)) }, false);
        }
        pen.flush();
        assert!(account.flush());
    }
    let reading = account.read();
    // Two files of each sort, none much longer than as many records as are wanted.
    assert!(reading.bytes < 4 * 10_000 * 32 + 2 * 1_200_000, "{reading:?}");
    assert!(reading.records >= 10_000 && reading.records < 13_000 && reading.error.is_none() && reading.lost == 0);
    let window = account.find(&wanted("59-999")).unwrap().window;
    assert!(window.deliveries >= 10_000 && window.deliveries < 35_000, "{window:?}");
    assert!(window.since > Some(Stamp(2020)) && window.failures_since > Some(Stamp(2050)), "{window:?}");
    account.close();
    // What is gone was before, and what is there was since.
    let since = window.since.unwrap().0 - 2000;
    assert_eq!(look(folder.path(), &wanted("0-0")).unwrap().records, []);
    assert_eq!(look(folder.path(), &wanted(&format!("{}-0", since + 1))).unwrap().records.len(), 1);
    assert_eq!(look(folder.path(), &wanted("59-999")).unwrap().window.deliveries, window.deliveries);
}

#[test]
fn a_disk_that_fails_costs_no_record_of_this_run_and_is_said() {
    let folder = TempDir::new().unwrap();
    let place = folder.path().join("state");
    fs::create_dir(&place).unwrap();
    let account = Account::open(&place, 8_192, clock(1000)).unwrap();
    let mut pen = account.pen(name("t/r"));
    // The next file cannot be begun in a folder that is not there.
    fs::rename(&place, folder.path().join("away")).unwrap();
    for number in 0..9_000 {
        pen.record(&event(&number.to_string()), End::Done, at(1000));
    }
    pen.flush();
    assert!(!account.flush());
    let error = account.read().error.unwrap();
    assert!(error.contains("the ledger cannot be written"), "{error}");
    fs::rename(folder.path().join("away"), &place).unwrap();
    assert!(account.flush(), "it goes on by itself");
    assert_eq!(account.read().error, None);
    let found = account.find(&wanted("8999")).unwrap();
    assert_eq!((found.records.len(), found.window.deliveries, found.window.gaps), (1, 9_000, vec![]));
    // More than there is room for while nothing can be written.
    fs::rename(&place, folder.path().join("away")).unwrap();
    for number in 9_000..40_000 {
        pen.record(&event(&number.to_string()), End::Done, at(1000));
    }
    pen.flush();
    assert!(!account.flush());
    fs::rename(folder.path().join("away"), &place).unwrap();
    assert!(account.flush() && account.close());
    let window = look(&place, &wanted("39999")).unwrap().window;
    assert!(window.gaps == [(Stamp(1000), Stamp(1000))] && window.deliveries < 30_000, "{window:?}");
}

#[test]
fn what_is_no_ledger_is_left_alone() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join(FILE), "a text of somebody else").unwrap();
    let sentence = Account::open(folder.path(), 10, clock(0)).unwrap_err().to_string();
    assert!(sentence.contains("move it away"), "{sentence}");
    assert_eq!(fs::read_to_string(folder.path().join(FILE)).unwrap(), "a text of somebody else");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Beside a list of everything: whatever is asked for is found, in memory and in files, over restarts in order.
    #[test]
    fn every_event_within_the_window_is_found(
        capacity in 1..20_000usize,
        lives in proptest::collection::vec(proptest::collection::vec(1..1000usize, 1..12), 1..4),
        asked in proptest::collection::vec(any::<proptest::sample::Index>(), 10),
    ) {
        let folder = TempDir::new().unwrap();
        let (mut all, mut time) = (Vec::new(), 1000);
        for batches in lives {
            let handle = Arc::new(Set(Mutex::new(time)));
            let account = Account::open(folder.path(), capacity, ClockHandle(Arc::clone(&handle) as Arc<dyn Clock>)).unwrap();
            let mut pen = account.pen(name("t/r"));
            for batch in batches {
                time += 1;
                *handle.0.lock() = time;
                for _ in 0..batch {
                    pen.record(&event(&all.len().to_string()), End::Done, at(time));
                    all.push(time);
                }
                pen.flush();
                account.flush();
            }
            for index in &asked {
                let number = index.index(all.len());
                let found = account.find(&wanted(&number.to_string())).unwrap();
                let since = found.window.since.unwrap();
                prop_assert!(found.window.deliveries as usize >= capacity.min(all.len()), "no fewer than are wanted");
                prop_assert!(found.records.len() <= 1, "none twice");
                if Stamp(all[number]) > since || number + capacity >= all.len() {
                    prop_assert_eq!(ends(&found), vec![("t/r", all[number])]);
                }
            }
            prop_assert!(account.close());
        }
    }
}
