//! Both ends of a spool at work: who is told when, and who waits for whom.

mod accepted;
mod published;

use std::time::SystemTime;

use tokio::task::JoinHandle;

use super::*;
use crate::delivery::{Inbox, Intake, Ledger, Seat, Settlements};
use crate::fake::{Bin, event, undecodable};
use crate::port::{Clock, Shutdown, Source, SourceError, Stop, Trigger};
use crate::spool::{Feeder, Gauge, OnFull, Policy, Spool};
use crate::store::testing::Platter;
use crate::store::{ClockHandle, Quota, Schema, Settings, Spec, Stamp, Store};

/// A clock that is set by hand, in milliseconds.
#[derive(Clone, Default)]
struct Hand(Arc<Mutex<u64>>);

impl Clock for Hand {
    fn now(&self) -> SystemTime {
        Stamp(*self.0.lock()).time()
    }
}

/// A spool between a source that the test is and a rule that the test is.
struct Mill {
    store: Store,
    desk: Desk,
    gauge: Gauge,
    clerk: JoinHandle<Result<(), Error>>,
    intake: Option<Intake>,
    settlements: Settlements,
    ledger: Ledger,
    /// What the rule was given and has not settled.
    given: Arc<Mutex<Vec<(Event, Receipt)>>>,
    feeder: Option<Feeder>,
    bin: Bin,
}

struct Hold(Arc<Mutex<Vec<(Event, Receipt)>>>);

impl Route for Hold {
    fn route(&mut self, event: Event, receipt: Receipt) {
        self.0.lock().push((event, receipt));
    }
    fn undecodable(&mut self, message: Undecodable, _: Receipt) {
        panic!("a spool holds events only, and not {message:?}");
    }
    fn flush(&mut self) {}
}

impl Mill {
    fn on(platter: &Platter, policy: Policy, clock: &Hand) -> Mill {
        Mill::with(platter, policy, clock, Settings::default())
    }

    fn with(platter: &Platter, policy: Policy, clock: &Hand, settings: Settings) -> Mill {
        let specs = vec![Spec { name: "spool/fleet".into(), quota: Quota::default() }];
        let store = platter.store(Schema::SPOOL, specs, settings).unwrap();
        let table = store.table("spool/fleet").unwrap();
        let clock = ClockHandle(Arc::new(clock.clone()));
        let (inlet, outlet) = Spool::open(&store, table, policy, clock).unwrap().split();
        let (desk, gauge, bin) = (Desk::new(inlet), outlet.gauge(), Bin::open());
        let clerk = tokio::spawn({
            let desk = desk.clone();
            async move { desk.serve().await }
        });
        let ledger = Ledger::default();
        let landing = desk.landing("fleet".into(), bin.postbox.clone());
        let (intake, settlements) = Inbox::new(8, ledger.clone(), Box::new(landing)).split();
        let (given, feeder) = (Arc::default(), Some(Feeder::new(outlet, "s")));
        Mill { store, desk, gauge, clerk, intake: Some(intake), settlements, ledger, given, feeder, bin }
    }

    /// Lets the spool deliver into `seats` seats.
    fn feed(&mut self, seats: usize) -> Feeding {
        let inbox = Inbox::durable(seats, Ledger::default(), Box::new(Hold(Arc::clone(&self.given))));
        let (stop, shutdown) = Shutdown::channel();
        let mut feeder = self.feeder.take().unwrap();
        let run = tokio::spawn(async move { feeder.run(inbox, shutdown).await.map_err(|error| error.to_string()) });
        Feeding { stop, run }
    }

    /// The run of the source ends.
    fn end(&mut self) {
        drop(self.intake.take());
        let (_, nobody) = Inbox::new(0, Ledger::default(), Box::new(Hold(Arc::default()))).split();
        drop(std::mem::replace(&mut self.settlements, nobody));
    }

    /// The run of the source ends, and another begins.
    fn again(&mut self) {
        self.end();
        let landing = self.desk.landing("fleet".into(), self.bin.postbox.clone());
        let (intake, settlements) = Inbox::new(8, self.ledger.clone(), Box::new(landing)).split();
        (self.intake, self.settlements) = (Some(intake), settlements);
    }

    /// Delivers these to the spool, as many at a time as there are seats.
    async fn send(&mut self, ids: std::ops::Range<usize>) {
        let mut ids = ids.peekable();
        while ids.peek().is_some() {
            let mut seats = self.intake.as_mut().unwrap().reserve(usize::MAX).await.unwrap();
            while !seats.is_empty()
                && let Some(id) = ids.next()
            {
                seats.deliver(event(&id.to_string())).unwrap();
            }
            drop(seats);
            if ids.peek().is_some() {
                self.told(1).await;
            }
        }
    }

    /// Waits until at least so many more were settled.
    async fn told(&mut self, least: usize) -> Vec<Outcome> {
        let mut told: Vec<(Seat, Outcome)> = Vec::new();
        while told.len() < least {
            assert!(self.settlements.next(&mut told).await);
        }
        told.into_iter().map(|(_, outcome)| outcome).collect()
    }

    /// Waits until the rule holds so many, and answers their ids.
    async fn given(&self, count: usize) -> Vec<String> {
        until(|| self.given.lock().len() >= count).await;
        self.given.lock().iter().map(|(event, _)| event.id().to_string()).collect()
    }

    /// Settles everything that the rule holds; answers their ids.
    fn settle(&self, outcome: Outcome) -> Vec<String> {
        let given = std::mem::take(&mut *self.given.lock());
        let one = |(event, receipt): (Event, Receipt)| {
            receipt.settle(outcome);
            event.id().to_string()
        };
        given.into_iter().map(one).collect()
    }
}

struct Feeding {
    stop: Trigger,
    run: JoinHandle<Result<(), String>>,
}

/// Looks again and again: what is waited for happens on the store's own thread.
async fn until(mut there: impl FnMut() -> bool) {
    let waiting = async {
        while !there() {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(180), waiting).await.expect("it comes to that");
}

fn ids(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|id| id.to_string()).collect()
}

const ACK: Outcome = Outcome::Ack;
const RETRY: Outcome = Outcome::Retry { after: std::time::Duration::ZERO };

#[tokio::test]
async fn a_source_is_told_when_its_events_are_on_the_disk_and_not_when_they_are_done() {
    let mut mill = Mill::on(&Platter::new(Vec::new()), Policy::default(), &Hand::default());
    mill.send(0..20).await;
    until(|| mill.gauge.read().books.stored == 20).await;
    while mill.ledger.read().settled < 20 {
        assert!(mill.told(1).await.iter().all(|outcome| *outcome == ACK));
    }
    let feeding = mill.feed(6);
    assert_eq!(mill.given(6).await, ids(0..6), "as many as there are seats, in their order");
    let mut done = Vec::new();
    while done.len() < 20 {
        done.extend(mill.settle(ACK));
        tokio::task::yield_now().await;
    }
    assert_eq!(done, ids(0..20));
    until(|| mill.gauge.read().books.settled == 20).await;
    let reading = mill.gauge.read();
    assert!(reading.books.balanced() && reading.oldest.is_none() && reading.bytes == 0, "{reading:?}");
    feeding.stop.stop(Stop::Keep);
    feeding.run.await.unwrap().unwrap();
}

#[tokio::test]
async fn what_finds_no_room_keeps_its_seat_until_there_is_some() {
    let policy = Policy { max_bytes: 200, ..Policy::default() };
    let mut mill = Mill::on(&Platter::new(Vec::new()), policy, &Hand::default());
    mill.send(0..8).await;
    let fitting = mill.told(1).await.len();
    until(|| mill.gauge.read().books.stored == fitting as u64).await;
    assert!(fitting < 8, "a spool of 200 bytes takes no eight events");
    assert_eq!(mill.ledger.read().in_flight as usize, 8 - fitting, "the others wait in their seats");
    let _feeding = mill.feed(100);
    let mut done = Vec::new();
    let mut told = fitting;
    while told < 8 {
        mill.given(1).await;
        done.extend(mill.settle(ACK));
        told += mill.told(1).await.len();
    }
    until(|| !mill.given.lock().is_empty()).await;
    done.extend(mill.settle(ACK));
    assert!(ids(0..8).starts_with(&done), "the order is that of the source: {done:?}");
    assert!(mill.gauge.read().books.balanced());
}

#[tokio::test]
async fn what_a_source_cannot_hold_any_longer_is_handed_back_and_the_rest_keeps_its_place() {
    let policy = Policy { max_bytes: 200, ..Policy::default() };
    let mut mill = Mill::on(&Platter::new(Vec::new()), policy, &Hand::default());
    let mut seats = mill.intake.as_mut().unwrap().reserve(8).await.unwrap();
    let taken: Vec<Seat> = (0..8).map(|id| seats.deliver(event(&id.to_string())).unwrap()).collect();
    drop(seats);
    let fitting = mill.told(1).await.len();
    assert!(fitting < 7, "two at least have no room");
    mill.settlements.recall(&taken[6..7]);
    assert_eq!(mill.told(1).await, [RETRY]);
    let _feeding = mill.feed(100);
    let mut done = Vec::new();
    while done.len() < 7 {
        mill.given(1).await;
        done.extend(mill.settle(ACK));
    }
    assert_eq!(done, ["0", "1", "2", "3", "4", "5", "7"]);
}

#[tokio::test]
async fn what_is_recalled_makes_way_for_what_stands_behind_it() {
    let policy = Policy { max_bytes: 1_000, ..Policy::default() };
    let mut mill = Mill::on(&Platter::new(Vec::new()), policy, &Hand::default());
    let mut seats = mill.intake.as_mut().unwrap().reserve(3).await.unwrap();
    seats.deliver(event("0")).unwrap();
    let large = seats.deliver(event("large").with_data(vec![0; 2_000].into(), None)).unwrap();
    seats.deliver(event("2")).unwrap();
    drop(seats);
    assert_eq!(mill.told(1).await, [ACK]);
    assert!(mill.gauge.read().alone > Some(2_000));
    mill.settlements.recall(&[large]);
    let mut told = mill.told(2).await;
    told.sort();
    assert_eq!(told, [ACK, RETRY]);
    assert_eq!((mill.gauge.read().alone, mill.gauge.read().books.stored), (None, 2));
}

#[tokio::test]
async fn what_a_run_left_without_room_is_not_kept_beside_what_the_next_run_brings() {
    let policy = Policy { max_bytes: 200, ..Policy::default() };
    let mut mill = Mill::on(&Platter::new(Vec::new()), policy, &Hand::default());
    mill.send(0..8).await;
    let fitting = mill.told(1).await.len();
    until(|| mill.gauge.read().books.stored == fitting as u64).await;
    mill.again();
    assert_eq!(mill.ledger.read().handed_back as usize, 8 - fitting, "they are with the source");
    mill.send(8..16).await;
    let _feeding = mill.feed(100);
    let mut done = Vec::new();
    while done.len() < fitting + 8 {
        mill.given(1).await;
        done.extend(mill.settle(ACK));
    }
    assert_eq!(done, [ids(0..fitting), ids(8..16)].concat());
}

#[tokio::test]
async fn nobody_waits_for_room_for_what_an_ended_run_has_left() {
    let policy = Policy { max_bytes: 200, ..Policy::default() };
    let mut mill = Mill::on(&Platter::new(Vec::new()), policy, &Hand::default());
    mill.send(0..8).await;
    let fitting = mill.told(1).await.len();
    until(|| mill.gauge.read().books.stored == fitting as u64).await;
    mill.end();
    tokio::time::timeout(std::time::Duration::from_secs(180), mill.desk.is_empty()).await.expect("nothing is left");
    assert_eq!(mill.desk.hand_back(), 0, "it was counted as handed back when its run ended");
}

#[tokio::test]
async fn a_policy_that_drops_holds_nobody_up() {
    for on_full in [OnFull::DropOldest, OnFull::DropNewest] {
        let policy = Policy { max_bytes: 200, on_full, ..Policy::default() };
        let mut mill = Mill::on(&Platter::new(Vec::new()), policy, &Hand::default());
        mill.send(0..100).await;
        while mill.ledger.read().settled < 100 {
            assert!(mill.told(1).await.iter().all(|outcome| *outcome == ACK));
        }
        let books = mill.gauge.read().books;
        let dropped = books.dropped.oldest + books.dropped.newest;
        assert!(books.balanced() && books.stored + dropped == 100 && books.stored > 0, "{on_full:?}: {books:?}");
        let _feeding = mill.feed(100);
        let left = mill.given(usize::try_from(books.stored).unwrap()).await;
        let wanted = if on_full == OnFull::DropOldest { ids(100 - left.len()..100) } else { ids(0..left.len()) };
        assert_eq!(left, wanted, "{on_full:?}");
    }
}

#[tokio::test]
async fn the_aged_make_room_where_nobody_takes_them() {
    let clock = Hand::default();
    let age = std::time::Duration::from_millis(100);
    let policy = Policy { max_bytes: 200, max_age: Some(age), ..Policy::default() };
    let mut mill = Mill::on(&Platter::new(Vec::new()), policy, &clock);
    mill.send(0..8).await;
    let mut told = mill.told(1).await.len();
    assert!(told < 8);
    while told < 8 {
        *clock.0.lock() += 101;
        told += mill.told(1).await.len();
    }
    let books = mill.gauge.read().books;
    assert!(books.balanced() && books.dropped.expired > 0 && books.dropped.oldest == 0, "{books:?}");
}

#[tokio::test]
async fn a_full_disk_holds_the_source_and_lets_it_go_again() {
    let platter = Platter::new(Vec::new());
    let mut mill = Mill::on(&platter, Policy::default(), &Hand::default());
    mill.send(0..8).await;
    while mill.ledger.read().settled < 8 {
        mill.told(1).await;
    }
    platter.fits(0);
    mill.send(8..16).await;
    until(|| mill.store.read().full).await;
    assert_eq!((mill.ledger.read().settled, mill.ledger.read().in_flight), (8, 8), "nothing is acknowledged");
    let feeding = mill.feed(100);
    assert_eq!(mill.given(8).await, ids(0..8), "and what is safe is delivered all the while");
    platter.fits(u64::MAX);
    while mill.ledger.read().settled < 16 {
        mill.told(1).await;
    }
    assert_eq!(mill.given(16).await, ids(0..16));
    mill.settle(ACK);
    feeding.stop.stop(Stop::Keep);
    feeding.run.await.unwrap().unwrap();
}

#[tokio::test]
async fn what_the_store_has_no_room_for_waits_in_order() {
    let platter = Platter::new(Vec::new());
    // One batch may wait beside the one that is being written.
    let settings = Settings { queue_bytes: 1, ..Settings::default() };
    let mut mill = Mill::with(&platter, Policy::default(), &Hand::default(), settings);
    platter.fits(0);
    mill.send(0..1).await;
    until(|| mill.store.read().full).await;
    for id in 1..8 {
        mill.send(id..id + 1).await;
    }
    assert_eq!(mill.gauge.read().books.stored, 8);
    tokio::task::yield_now().await;
    assert_eq!(mill.ledger.read().settled, 0);
    platter.fits(u64::MAX);
    while mill.ledger.read().settled < 8 {
        mill.told(1).await;
    }
    let _feeding = mill.feed(100);
    assert_eq!(mill.given(8).await, ids(0..8));
}

#[tokio::test]
async fn a_store_that_ends_keeps_every_receipt_until_somebody_hands_back() {
    let platter = Platter::new(Vec::new());
    let mut mill = Mill::on(&platter, Policy::default(), &Hand::default());
    platter.refuse_syncs();
    mill.send(0..4).await;
    let ended = (&mut mill.clerk).await.unwrap().unwrap_err();
    assert!(matches!(ended, Error::Ended { .. }), "{ended}");
    mill.send(4..8).await;
    assert_eq!(mill.ledger.read().in_flight, 8, "silence is no acknowledgement");
    assert_eq!(mill.desk.hand_back(), 8);
    assert_eq!(mill.told(8).await, [RETRY; 8]);
    mill.desk.is_empty().await;
    mill.send(8..9).await;
    assert_eq!(mill.told(1).await, [RETRY], "from then on nothing is kept");
    let feeding = mill.feed(8);
    let error = feeding.run.await.unwrap().unwrap_err();
    assert!(error.contains("takes no more writes"), "{error}");
}

#[tokio::test]
async fn a_store_that_ends_while_nothing_is_on_its_way_is_said_to_have_ended() {
    let mut mill =
        Mill::on(&Platter::new(Vec::new()), Policy { max_bytes: 200, ..Policy::default() }, &Hand::default());
    mill.send(0..8).await;
    let fitting = mill.told(1).await.len();
    assert_eq!(mill.ledger.read().in_flight as usize, 8 - fitting);
    mill.store.close().await.unwrap();
    let ended = tokio::time::timeout(std::time::Duration::from_secs(180), mill.clerk).await.expect("it is told");
    assert!(matches!(ended.unwrap(), Err(Error::Ended { .. })));
    assert_eq!(mill.desk.hand_back(), 8 - fitting);
}

#[tokio::test]
async fn what_is_handed_back_stays_and_comes_again_after_a_start() {
    let platter = Platter::new(Vec::new());
    let mut mill = Mill::on(&platter, Policy::default(), &Hand::default());
    mill.send(0..8).await;
    let feeding = mill.feed(5);
    assert_eq!(mill.given(5).await, ids(0..5));
    feeding.stop.stop(Stop::Keep);
    let kept = mill.given.lock().split_off(2);
    assert_eq!(mill.settle(ACK), ids(0..2));
    kept.into_iter().for_each(|(_, receipt)| receipt.settle(RETRY));
    feeding.run.await.unwrap().unwrap();
    mill.desk.is_empty().await;
    let books = mill.gauge.read().books;
    assert_eq!((books.settled, books.handed_back, books.in_flight, books.stored), (2, 3, 0, 3));
    assert!(books.balanced());
    drop(mill.intake.take());
    mill.clerk.abort();
    mill.store.close().await.unwrap();

    let mut mill = Mill::on(&platter, Policy::default(), &Hand::default());
    let _feeding = mill.feed(100);
    assert_eq!(mill.given(6).await, ids(2..8));
}

#[tokio::test]
async fn a_message_that_is_no_event_is_kept_beside_the_spool() {
    let mut mill = Mill::on(&Platter::new(Vec::new()), Policy::default(), &Hand::default());
    let mut seats = mill.intake.as_mut().unwrap().reserve(2).await.unwrap();
    seats.reject(undecodable("oh")).unwrap();
    seats.deliver(event("0")).unwrap();
    drop(seats);
    let mut told = Vec::new();
    while told.len() < 2 {
        told.extend(mill.told(1).await);
    }
    told.sort();
    assert_eq!(told, [ACK, Outcome::Reject]);
    assert_eq!((mill.gauge.read().books.appended, mill.bin.records().len()), (1, 1));
}

#[tokio::test]
async fn one_event_that_is_never_done_costs_no_memory_and_is_the_oldest() {
    let clock = Hand::default();
    let mut mill = Mill::on(&Platter::new(Vec::new()), Policy::default(), &clock);
    *clock.0.lock() = 7;
    mill.send(0..1).await;
    let _feeding = mill.feed(4);
    mill.given(1).await;
    let stuck = mill.given.lock().remove(0);
    for round in 0..300_usize {
        *clock.0.lock() = 8 + round as u64;
        mill.send(round + 1..round + 2).await;
        mill.given(1).await;
        mill.settle(ACK);
        mill.told(1).await;
    }
    until(|| mill.gauge.read().books.settled == 300).await;
    assert_eq!(mill.gauge.read().oldest, Some(Stamp(7)));
    stuck.1.settle(ACK);
    until(|| mill.gauge.read().books.settled == 301).await;
    assert_eq!(mill.gauge.read().oldest, None);
}

#[tokio::test]
async fn a_run_that_broke_down_is_not_followed_by_one_that_delivers_beside_it() {
    let mut mill = Mill::on(&Platter::new(Vec::new()), Policy::default(), &Hand::default());
    mill.send(0..3).await;
    let mut feeder = mill.feeder.take().unwrap();
    let inbox = || Inbox::durable(2, Ledger::default(), Box::new(Hold(Arc::clone(&mill.given))));
    let (_stop, shutdown) = Shutdown::channel();
    tokio::select! {
        ended = feeder.run(inbox(), shutdown) => panic!("{ended:?}"),
        given = mill.given(2) => assert_eq!(given, ids(0..2)),
    }
    let stands = mill.given.lock().iter().map(|(_, receipt)| receipt.position().unwrap().text()).collect::<Vec<_>>();
    assert_eq!(stands, ["spool:s/0", "spool:s/1"]);
    let (_stop, shutdown) = Shutdown::channel();
    let ended = feeder.run(inbox(), shutdown).await;
    assert!(matches!(&ended, Err(SourceError::Fatal(text, _)) if text.starts_with("2 events")), "{ended:?}");
    assert_eq!(mill.gauge.read().books.handed_back, 2);
}
