//! The spool against a naive model, over crashes, small bounds and every policy.

mod failing;
mod room;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use parking_lot::Mutex;

use super::*;
use crate::port::Clock;
use crate::store::testing::Platter;
use crate::store::{Batch, OnFull as Quotas, Quota, Schema, Settings, Spec};

const NAME: &str = "spool/fleet";

/// A clock that is set by hand, in milliseconds.
#[derive(Clone, Default)]
struct Hand(Arc<Mutex<u64>>);

impl Clock for Hand {
    fn now(&self) -> SystemTime {
        Stamp(*self.0.lock()).time()
    }
}

fn store_on(platter: &Platter) -> Store {
    store_with(platter, Settings::default())
}

fn store_with(platter: &Platter, settings: Settings) -> Store {
    let quota = Quota { on_full: Quotas::Block, ..Quota::default() };
    platter.store(Schema::SPOOL, vec![Spec { name: NAME.into(), quota }], settings).unwrap()
}

/// The bytes of this event in a spool.
fn size(number: u64) -> u64 {
    let mut bytes = Vec::new();
    entry::write(&event(number), "origin", &mut bytes);
    8 + 12 + bytes.len() as u64
}

/// Looks again and again: what is waited for happens on the store's own thread.
async fn until(mut there: impl FnMut() -> bool) {
    let waiting = async {
        while !there() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(180), waiting).await.expect("it comes to that");
}

fn open(store: &Store, policy: Policy, clock: &Hand) -> (Inlet, Outlet) {
    let clock = ClockHandle(Arc::new(clock.clone()));
    Spool::open(store, store.table(NAME).unwrap(), policy, clock).unwrap().split()
}

fn event(number: u64) -> Event {
    let mut random = fastrand::Rng::with_seed(number);
    let length = random.usize(..400);
    let data: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(length).collect();
    Event::new(format!("id-{number}").into(), "/fleet".into(), "t".into()).unwrap().with_data(Bytes::from(data), None)
}

async fn appended(inlet: &mut Inlet, numbers: std::ops::Range<u64>) {
    let last = numbers.end;
    for number in numbers {
        assert_eq!(inlet.append(event(number), "origin"), Append::Accepted(number));
    }
    inlet.flush().await.unwrap();
    while inlet.confirmed().await.unwrap() < last {}
}

async fn taken(outlet: &mut Outlet, count: usize) -> Vec<u64> {
    let mut entries = Vec::new();
    while entries.len() < count {
        outlet.next(count - entries.len(), &mut entries).await.unwrap();
    }
    assert!(entries.iter().all(|entry| entry.event == event(entry.sequence) && entry.origin == "origin"));
    entries.into_iter().map(|entry| entry.sequence).collect()
}

#[tokio::test]
async fn order_is_the_same_near_and_far() {
    let platter = Platter::new(Vec::new());
    let store = store_on(&platter);
    // A few events fit into memory, and most do not.
    let (mut inlet, mut outlet) = open(&store, Policy { memory: 2_000, ..Policy::default() }, &Hand::default());
    appended(&mut inlet, 0..3_000).await;
    assert_eq!(taken(&mut outlet, 1_000).await, (0..1_000).collect::<Vec<_>>());
    appended(&mut inlet, 3_000..3_100).await;
    assert_eq!(taken(&mut outlet, 2_100).await, (1_000..3_100).collect::<Vec<_>>());
    // Level again: what is confirmed now comes from memory.
    appended(&mut inlet, 3_100..3_101).await;
    assert_eq!(taken(&mut outlet, 1).await, [3_100]);
    let books = outlet.books();
    assert_eq!((books.in_flight, books.stored), (3_101, 0));
    assert!(books.balanced());
}

#[tokio::test]
async fn what_was_not_settled_comes_again_in_order() {
    let platter = Platter::new(Vec::new());
    let store = store_on(&platter);
    let (mut inlet, mut outlet) = open(&store, Policy::default(), &Hand::default());
    appended(&mut inlet, 0..10).await;
    taken(&mut outlet, 8).await;
    outlet.settle(&[3, 1, 2, 6, 99]).unwrap();
    outlet.hand_back(&[0, 99]);
    let books = outlet.books();
    let expected = Books { appended: 10, settled: 4, handed_back: 1, in_flight: 3, stored: 2, ..Books::default() };
    assert_eq!(books, expected);
    assert!(books.balanced());
    drop((inlet, outlet));
    store.close().await.unwrap();

    let store = store_on(&platter);
    let (mut inlet, mut outlet) = open(&store, Policy::default(), &Hand::default());
    assert_eq!(outlet.books(), Books { recovered: 6, stored: 6, ..Books::default() });
    assert_eq!(inlet.append(event(10), "origin"), Append::Accepted(10), "a sequence is never used twice");
    inlet.flush().await.unwrap();
    assert_eq!(taken(&mut outlet, 7).await, [0, 4, 5, 7, 8, 9, 10]);
    outlet.settle(&[0, 4, 5, 7, 8, 9, 10]).unwrap();
    drop((inlet, outlet));
    store.close().await.unwrap();
    let (mut inlet, outlet) = open(&store_on(&platter), Policy::default(), &Hand::default());
    assert_eq!(outlet.books(), Books::default());
    assert_eq!(inlet.append(event(11), "origin"), Append::Accepted(11), "not even when nothing is left");
}

#[tokio::test]
async fn a_full_spool_does_as_it_was_told() {
    let room: u64 = (0..3).map(size).sum();
    let policy = |on_full| Policy { max_bytes: room, on_full, ..Policy::default() };

    let store = store_on(&Platter::new(Vec::new()));
    let (mut inlet, mut outlet) = open(&store, policy(OnFull::Block), &Hand::default());
    appended(&mut inlet, 0..3).await;
    assert_eq!(inlet.append(event(3), "origin"), Append::Full(event(3)));
    let waiting = tokio::spawn(async move {
        inlet.room().await;
        inlet
    });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    taken(&mut outlet, 3).await;
    outlet.settle(&[0, 1, 2]).unwrap();
    let mut inlet = waiting.await.unwrap();
    assert_eq!(inlet.append(event(3), "origin"), Append::Accepted(3));

    let store = store_on(&Platter::new(Vec::new()));
    let (mut inlet, outlet) = open(&store, policy(OnFull::DropNewest), &Hand::default());
    appended(&mut inlet, 0..3).await;
    assert_eq!(inlet.append(event(3), "origin"), Append::Dropped);
    assert_eq!(outlet.books().dropped.newest, 1);
    assert!(outlet.books().balanced());

    let store = store_on(&Platter::new(Vec::new()));
    let (mut inlet, mut outlet) = open(&store, Policy { memory: 1, ..policy(OnFull::DropOldest) }, &Hand::default());
    appended(&mut inlet, 0..3).await;
    assert_eq!(taken(&mut outlet, 1).await, [0]);
    // What is in flight stays; of the others, which lie on the disk only, the oldest goes.
    assert_eq!(inlet.append(event(0), "origin"), Append::Full(event(0)), "it has to be read before it goes");
    inlet.room().await;
    assert_eq!(inlet.append(event(0), "origin"), Append::Accepted(3));
    inlet.flush().await.unwrap();
    let books = outlet.books();
    assert!(books.dropped.oldest >= 1 && books.balanced(), "{books:?}");
    let mut left = Vec::new();
    while left.len() < books.stored as usize {
        outlet.next(10, &mut left).await.unwrap();
    }
    let left: Vec<u64> = left.iter().map(|entry| entry.sequence).collect();
    assert_eq!(left, (1 + books.dropped.oldest..4).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_aged_are_dropped_when_their_turn_comes() {
    let store = store_on(&Platter::new(Vec::new()));
    let clock = Hand::default();
    let policy = Policy { max_age: Some(Duration::from_millis(100)), ..Policy::default() };
    let (mut inlet, mut outlet) = open(&store, policy, &clock);
    for number in 0..4 {
        *clock.0.lock() = number * 50;
        appended(&mut inlet, number..number + 1).await;
    }
    assert_eq!(outlet.oldest(), Some(Stamp(0)));
    *clock.0.lock() = 200;
    assert_eq!(taken(&mut outlet, 2).await, [2, 3]);
    assert_eq!(outlet.books().dropped.expired, 2);
    assert!(outlet.books().balanced());
}

#[tokio::test]
async fn an_event_knows_when_it_was_received_whether_it_comes_from_memory_or_from_the_disk() {
    let (store, clock) = (store_on(&Platter::new(Vec::new())), Hand::default());
    let (mut inlet, mut outlet) = open(&store, Policy { memory: 1, ..Policy::default() }, &clock);
    for number in 0..4 {
        *clock.0.lock() = 7 + number;
        appended(&mut inlet, number..number + 1).await;
    }
    let mut entries = Vec::new();
    while entries.len() < 4 {
        outlet.next(10, &mut entries).await.unwrap();
    }
    let received: Vec<_> = entries.iter().map(|entry| entry.event.received()).collect();
    assert_eq!(received, [7, 8, 9, 10].map(|at| Some(Stamp(at))).to_vec());
    assert_eq!(entries[0].event, event(0), "it is the same event, whenever it came");
}

#[tokio::test]
async fn events_that_vanished_are_missed() {
    let store = store_on(&Platter::new(Vec::new()));
    let (mut inlet, mut outlet) = open(&store, Policy { memory: 1, ..Policy::default() }, &Hand::default());
    appended(&mut inlet, 0..5).await;
    let mut theft = Batch::default();
    theft.delete(store.table(NAME).unwrap(), &3_u64.to_be_bytes());
    let ticket = store.free(&mut theft).unwrap();
    store.confirmations().reach(ticket).await.unwrap();
    assert_eq!(taken(&mut outlet, 1).await, [0]);
    let error = outlet.next(10, &mut Vec::new()).await.unwrap_err().to_string();
    assert!(error.contains("1 events that it should hold are not there"), "{error}");
}

#[tokio::test]
async fn a_store_that_ends_is_no_end_of_waiting() {
    let store = store_on(&Platter::new(Vec::new()));
    let (mut inlet, mut outlet) = open(&store, Policy::default(), &Hand::default());
    appended(&mut inlet, 0..1).await;
    taken(&mut outlet, 1).await;
    store.close().await.unwrap();
    assert!(outlet.settle(&[0]).is_err());
    inlet.append(event(1), "origin");
    assert!(inlet.flush().await.is_err());
}

/// What the model knows of one spool.
#[derive(Default)]
struct Model {
    events: BTreeMap<u64, u64>,
    confirmed: u64,
    settled: std::collections::BTreeSet<u64>,
    dropped: u64,
}

/// Waits until everything is confirmed that was flushed; answers the next sequence.
async fn all_confirmed(inlet: &mut Inlet) -> u64 {
    let sent = inlet.shared.state.lock().next();
    while inlet.confirmed_below() < sent {
        inlet.confirmed().await.unwrap();
    }
    sent
}

/// One life: random steps, each followed by a look at the books; then the power goes or the store is closed.
async fn life(dice: &mut fastrand::Rng, platter: &Platter, policy: Policy, model: &mut Model) {
    let store = store_on(platter);
    let (mut inlet, mut outlet) = open(&store, policy, &Hand::default());
    let recovered = outlet.books().recovered;
    let mut entries: Vec<Entry> = Vec::new();
    let mut open: Vec<u64> = Vec::new();
    let mut last = None;
    for _ in 0..dice.usize(5..60) {
        match dice.u8(..5) {
            0 | 1 => {
                for _ in 0..dice.usize(1..30) {
                    let number = dice.u64(..1_000_000);
                    let mut answer = inlet.append(event(number), "origin");
                    while policy.on_full == OnFull::DropOldest && matches!(answer, Append::Full(_)) {
                        // What is confirmed can go; a page of it may have to be read.
                        inlet.flush().await.unwrap();
                        model.confirmed = model.confirmed.max(all_confirmed(&mut inlet).await);
                        inlet.room().await;
                        answer = inlet.append(event(number), "origin");
                    }
                    if let Append::Accepted(sequence) = answer {
                        // One that was lost with the power before it was confirmed is free again.
                        let before = model.events.insert(sequence, number);
                        assert!(before.is_none() || sequence >= model.confirmed, "{sequence} was used twice");
                    }
                }
                inlet.flush().await.unwrap();
            }
            2 if outlet.books().stored > 0 && dice.bool() => {
                model.confirmed = model.confirmed.max(all_confirmed(&mut inlet).await);
            }
            2 | 3 if outlet.books().stored > 0 => {
                outlet.next(dice.usize(1..40), &mut entries).await.unwrap();
                for entry in entries.drain(..) {
                    assert!(last.replace(entry.sequence) < Some(entry.sequence), "out of order");
                    assert_eq!(entry.event, event(model.events[&entry.sequence]));
                    model.confirmed = model.confirmed.max(entry.sequence + 1);
                    open.push(entry.sequence);
                }
            }
            _ => {
                dice.shuffle(&mut open);
                let settled: Vec<u64> = open.drain(..dice.usize(..=open.len())).collect();
                outlet.settle(&settled).unwrap();
                model.settled.extend(settled);
            }
        }
        let books = outlet.books();
        assert!(books.balanced(), "{books:?}");
        assert_eq!(books.recovered, recovered);
    }
    model.dropped += outlet.books().dropped.oldest;
    if dice.bool() {
        platter.cut();
    }
    drop((inlet, outlet));
    let _ = store.close().await;
}

#[tokio::test]
async fn whatever_happens_nothing_is_lost_twice_used_or_out_of_order() {
    let base = fastrand::u64(..1 << 32);
    for seed in base..base + 60 {
        eprintln!("seed {seed}");
        let mut dice = fastrand::Rng::with_seed(seed);
        let policy = Policy {
            max_bytes: dice.u64(2_000..200_000),
            max_age: None,
            on_full: dice.choice([OnFull::Block, OnFull::DropOldest, OnFull::DropNewest]).unwrap(),
            memory: dice.usize(1..20_000),
        };
        let mut model = Model::default();
        let mut platter = Platter::new(Vec::new());
        for _ in 0..3 {
            life(&mut dice, &platter, policy, &mut model).await;
            platter = Platter::new(platter.found(Some(&mut dice)));
        }
        // What is there in the end: everything confirmed that was neither settled nor dropped, in order.
        let (_inlet, mut outlet) = open(&store_on(&platter), Policy::default(), &Hand::default());
        let mut left = Vec::new();
        while outlet.books().stored > 0 {
            outlet.next(100, &mut left).await.unwrap();
        }
        assert!(left.windows(2).all(|pair| pair[0].sequence < pair[1].sequence));
        assert!(left.iter().all(|entry| entry.event == event(model.events[&entry.sequence])));
        let there = |sequence: &u64| left.binary_search_by_key(sequence, |entry| entry.sequence).is_ok();
        let owed = model.events.range(..model.confirmed).filter(|(sequence, _)| !model.settled.contains(sequence));
        let missing = owed.filter(|(sequence, _)| !there(sequence)).count() as u64;
        assert!(missing <= model.dropped, "seed {seed}: {missing} events are missing, {} dropped", model.dropped);
    }
}
