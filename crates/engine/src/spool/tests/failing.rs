//! A spool on a file that cannot be written to, or be read for now: nothing is missed, and nobody waits who need not.

use std::thread;

use tokio::sync::oneshot;

use super::*;
use crate::store::Sync;

#[tokio::test]
async fn what_an_interval_has_confirmed_is_neither_missed_nor_skipped_while_the_disk_is_full() {
    let platter = Platter::new(Vec::new());
    let settings = Settings { sync: Sync::Interval(Duration::from_millis(200)), ..Settings::default() };
    let store = store_with(&platter, settings);
    // All but the first lie on the disk only.
    let (mut inlet, mut outlet) = open(&store, Policy { memory: 1, ..Policy::default() }, &Hand::default());
    platter.fits(0);
    platter.hold();
    appended(&mut inlet, 0..300).await;
    // The end of the interval has found the disk full, and what was confirmed is not in the file that is opened anew.
    until(|| platter.is_waited_for()).await;
    (300..310).for_each(|number| assert_eq!(inlet.append(event(number), "origin"), Append::Accepted(number)));
    inlet.flush().await.unwrap();
    assert_eq!(taken(&mut outlet, 1).await, [0]);
    let drawing = tokio::spawn(async move { taken(&mut outlet, 309).await });
    tokio::task::yield_now().await;
    platter.let_go();
    until(|| drawing.is_finished() || store.read().failures >= 4).await;
    assert!(!drawing.is_finished(), "it waits for what is not there");
    platter.fits(u64::MAX);
    assert_eq!(drawing.await.unwrap(), (1..310).collect::<Vec<_>>());
}

#[tokio::test]
async fn nobody_waits_for_a_file_that_is_being_opened_anew() {
    let platter = Platter::new(Vec::new());
    let store = store_on(&platter);
    let room = (0..5).map(size).sum();
    let policy = Policy { max_bytes: room, memory: 1, on_full: OnFull::DropOldest, ..Policy::default() };
    let (mut inlet, mut outlet) = open(&store, policy, &Hand::default());
    appended(&mut inlet, 0..5).await;
    assert_eq!(taken(&mut outlet, 1).await, [0], "what follows is on the disk only");
    platter.hold();
    platter.fits(0);
    outlet.settle(&[0]).unwrap();
    until(|| platter.is_waited_for()).await;

    let (answer, answered) = oneshot::channel();
    thread::spawn(move || {
        while let Append::Accepted(_) = inlet.append(event(1), "origin") {}
        let _ = answer.send(inlet);
    });
    let gauge = outlet.gauge();
    let mut inlet = tokio::time::timeout(Duration::from_secs(180), answered).await.expect("it does not wait").unwrap();
    assert!(gauge.read().books.balanced());
    inlet.flush().await.unwrap();
    // Both ends ask for the same page, and none of them holds anything meanwhile.
    let drawing = tokio::spawn(async move {
        let mut entries = Vec::new();
        outlet.next(1, &mut entries).await.map(|()| entries[0].sequence)
    });
    let waiting = tokio::spawn(async move { inlet.room().await });
    until(|| store.read().full).await;
    assert!(gauge.read().books.balanced() && !drawing.is_finished() && !waiting.is_finished());
    platter.fits(u64::MAX);
    platter.let_go();
    assert_eq!(drawing.await.unwrap().unwrap(), 1);
    waiting.await.unwrap();
}

#[tokio::test]
async fn a_store_that_ends_is_no_end_of_waiting_for_what_lies_there_only() {
    let store = store_on(&Platter::new(Vec::new()));
    let (mut inlet, mut outlet) = open(&store, Policy { memory: 1, ..Policy::default() }, &Hand::default());
    appended(&mut inlet, 0..5).await;
    taken(&mut outlet, 1).await;
    store.close().await.unwrap();
    let mut entries = Vec::new();
    let next = tokio::time::timeout(Duration::from_secs(180), outlet.next(1, &mut entries)).await;
    assert!(matches!(next.expect("it is said"), Err(Error::Ended { .. })));
}

#[tokio::test]
async fn a_read_that_fails_ends_nothing_though_nobody_writes() {
    const COUNT: u64 = 40;
    let platter = Platter::new(Vec::new());
    let store = store_on(&platter);
    let (mut inlet, _) = open(&store, Policy { memory: 1, ..Policy::default() }, &Hand::default());
    // More than is kept in memory of a file.
    let large = event(0).with_data(Bytes::from(vec![7; 1 << 20]), None);
    for number in 0..COUNT {
        assert_eq!(inlet.append(large.clone(), "origin"), Append::Accepted(number));
    }
    inlet.flush().await.unwrap();
    while inlet.confirmed().await.unwrap() < COUNT {}
    store.close().await.unwrap();
    let store = store_on(&platter);
    let (_inlet, mut outlet) = open(&store, Policy::default(), &Hand::default());
    platter.fail_reads(1);
    let mut entries = Vec::new();
    while entries.len() < COUNT as usize {
        let next = outlet.next(COUNT as usize, &mut entries);
        tokio::time::timeout(Duration::from_secs(180), next).await.expect("it is tried again").unwrap();
    }
    assert!(entries.iter().all(|entry| entry.event == large));
    assert_eq!(store.read().failures, 1);
}

/// Everything comes once and in order, whenever the disk is full and whatever of it lies there only. Answers how many writes
/// failed.
async fn outlasts(seed: u64) -> u64 {
    const COUNT: u64 = 600;
    let mut dice = fastrand::Rng::with_seed(seed);
    let platter = Platter::new(Vec::new());
    let sync = if dice.bool() { Sync::Always } else { Sync::Interval(Duration::from_millis(dice.u64(1..60))) };
    let store = store_with(&platter, Settings { sync, queue_bytes: dice.usize(5_000..200_000), ..Settings::default() });
    let policy = Policy { max_bytes: dice.u64(5_000..200_000), memory: dice.usize(1..5_000), ..Policy::default() };
    let (mut inlet, mut outlet) = open(&store, policy, &Hand::default());
    let mut own = dice.fork();
    let feeding = tokio::spawn(async move {
        for number in 0..COUNT {
            while let Append::Full(_) = inlet.append(event(number), "origin") {
                inlet.flush().await.unwrap();
                inlet.room().await;
            }
            if own.u8(..20) == 0 {
                inlet.flush().await.unwrap();
            }
        }
        inlet.flush().await.unwrap();
        inlet
    });
    let mut own = dice.fork();
    let drawing = tokio::spawn(async move {
        let (mut drawn, mut open) = (Vec::new(), Vec::new());
        while drawn.len() < COUNT as usize {
            // So that much waits now and then.
            tokio::time::sleep(Duration::from_millis(own.u64(..10))).await;
            let mut some = Vec::new();
            outlet.next(own.usize(1..30), &mut some).await.unwrap();
            assert!(some.iter().all(|entry| entry.event == event(entry.sequence)));
            drawn.extend(some.iter().map(|entry| entry.sequence));
            open.extend(some.iter().map(|entry| entry.sequence));
            own.shuffle(&mut open);
            outlet.settle(&open.split_off(own.usize(..open.len()).min(5))).unwrap();
        }
        outlet.settle(&open).unwrap();
        (drawn, outlet)
    });
    while !drawing.is_finished() {
        platter.fits(dice.u64(..platter.length()));
        tokio::time::sleep(Duration::from_millis(dice.u64(..200))).await;
        platter.fits(u64::MAX);
        // The store may not look again for a while.
        until(|| !store.read().full || drawing.is_finished()).await;
        tokio::time::sleep(Duration::from_millis(dice.u64(..20))).await;
    }
    platter.fits(u64::MAX);
    let (drawn, outlet) = drawing.await.unwrap();
    assert_eq!(drawn, (0..COUNT).collect::<Vec<_>>());
    let expected = Books { appended: COUNT, settled: COUNT, ..Books::default() };
    assert_eq!(outlet.books(), expected);
    drop((feeding.await.unwrap(), outlet));
    store.close().await.unwrap();
    let failures = store.read().failures;
    let store = store_on(&Platter::new(platter.found(None)));
    assert_eq!(store.usage(store.table(NAME).unwrap()).rows, 0, "what was settled is gone");
    failures
}

#[tokio::test]
async fn whenever_the_disk_is_full_everything_comes_once_and_in_order() {
    let (base, mut failures) = (fastrand::u64(..1 << 32), 0);
    for seed in base..base + 8 {
        eprintln!("seed {seed}");
        failures +=
            tokio::time::timeout(Duration::from_secs(300), outlasts(seed)).await.expect("it does not stand still");
    }
    assert!(failures > 0, "the disk was never full");
}
