//! What a source delivers again, in the same run and after a crash at any moment: what is parked runs no second time, nor what
//! was done beside it.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::FutureExt;

use super::parking::{HOUR, Log, calls, hourly, of};
use super::*;
use crate::account::Wanted;
use crate::delivery::{
    Inbox, Intake, Ledger, Receipt, Route, Seat, Settlements, Spot, Stream, Taken, Undecodable, print,
};
use crate::event::Text;
use crate::parked::Yard;
use crate::store::testing::Platter;

const RULES: [&str; 2] = ["t/a", "t/b"];

/// Hands every event to each of some lines.
struct Fan(Vec<(Feed, Vec<Arrival>)>);

impl Route for Fan {
    fn route(&mut self, event: Event, receipt: Receipt) {
        for (_, batch) in &mut self.0 {
            batch.push(Arrival { event: event.clone(), receipt: receipt.fork() });
        }
        receipt.settle(Outcome::Ack);
    }
    fn undecodable(&mut self, _: Undecodable, _: Receipt) {}
    fn flush(&mut self) {
        self.0.iter_mut().for_each(|(feed, batch)| feed.send(std::mem::take(batch)));
    }
}

/// Two rules of one source whose messages have numbers, and its broker's side.
struct Mill {
    bin: Bin,
    yard: Yard,
    readings: Vec<Reading>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
    intake: Intake,
    settlements: Settlements,
    stream: Option<Stream>,
}

impl Mill {
    /// The functions are asked with the number of their rule.
    fn on(bin: Bin, retry: &Policy, pools: Vec<Option<Pool>>) -> Mill {
        let yard = bin.yard(1 << 30);
        let (mut readings, mut tasks, mut fan) = (Vec::new(), Vec::new(), Vec::new());
        for (rule, pool) in RULES.iter().zip(pools) {
            let lot = yard.lot((*rule).into(), retry.max_delay, true).unwrap();
            let (feed, reading, line) = Line::new(Options {
                rule: (*rule).into(),
                retry: retry.clone(),
                lot: Some(lot),
                ..plain(&bin, pool, Vec::new())
            });
            tasks.push(tokio::spawn(line.run()));
            readings.push(reading);
            fan.push((feed, Vec::new()));
        }
        let ledger = Ledger::of("s".into(), yard.tracks().clone());
        let (intake, settlements) = Inbox::new(16, ledger, Box::new(Fan(fan))).split();
        Mill { bin, yard, readings, tasks, intake, settlements, stream: None }
    }

    /// Delivers what stands there, as many at a time as there are seats; answers what went where.
    fn deliver(&mut self, events: &mut Vec<(u64, Event)>) -> Vec<(Seat, u64)> {
        let Some(Ok(mut seats)) = self.intake.reserve(events.len().max(1)).now_or_never() else { return Vec::new() };
        let stream = *self.stream.get_or_insert_with(|| seats.stream(&"orders/0".into(), &Text::default()));
        let some = seats.len().min(events.len());
        let one = |(sequence, event)| (seats.deliver_at(event, stream, sequence).unwrap(), sequence);
        events.drain(..some).map(one).collect()
    }

    async fn send(&mut self, events: &[(u64, Event)]) {
        assert_eq!(self.deliver(&mut events.to_vec()).len(), events.len());
    }

    async fn settled(&mut self, count: usize) {
        let mut pairs = Vec::new();
        while pairs.len() < count {
            assert!(self.settlements.next(&mut pairs).await);
        }
        assert!(pairs.iter().all(|(_, outcome)| *outcome == Outcome::Ack), "{pairs:?}");
    }

    fn books(&self, rule: usize) -> Books {
        let books = self.readings[rule].books();
        assert!(books.balance(), "{books:?}");
        books
    }

    async fn until(&self, rule: usize, is_so: impl Fn(&Books) -> bool) -> Books {
        while !is_so(&self.books(rule)) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        self.books(rule)
    }

    /// How far the fork of a rule is taken over.
    fn taken(&self, rule: &str, sequence: u64, event: &Event) -> Option<Taken> {
        let track = self.yard.tracks().track(&"s".into(), &"orders/0".into(), &Text::default());
        Spot { track, sequence }.taken(rule, print(event))
    }

    /// Ends everything as a crash does.
    async fn stop(mut self) -> Bin {
        for task in &mut self.tasks {
            task.abort();
            drop(task.await);
        }
        self.bin.task.abort();
        drop((&mut self.bin.task).await);
        drop(self.bin.store.close().await);
        self.bin
    }

    /// The disk as it is found after a crash in which nothing more was written.
    async fn crashed(self) -> Bin {
        self.stop().await.found()
    }
}

fn duplicate(books: &Books) -> u64 {
    books.dropped[DropReason::Duplicate as usize]
}

#[tokio::test]
async fn a_copy_of_what_is_parked_settles_and_runs_no_second_time_after_a_crash() {
    let (fails, does) = (Log::default(), Log::default());
    let pools = || vec![fails.pool(|_, _| again()), does.pool(|_, _| done())];
    let mut mill = Mill::on(Bin::open(), &hourly(), pools());
    let events = [(5, of("k", "1")), (6, of("k", "2")), (9, of("l", "3"))];
    mill.send(&events).await;
    mill.settled(3).await;
    mill.until(0, |books| books.parked == 3).await;
    mill.until(1, |books| books.done == 3).await;
    let mut mill = Mill::on(mill.crashed().await, &hourly(), pools());
    mill.send(&events).await;
    mill.settled(3).await;
    mill.until(0, |books| duplicate(books) == 3).await;
    mill.until(1, |books| duplicate(books) == 3).await;
    assert_eq!(mill.books(0), Books { matched: 3, recovered: 3, parked: 3, dropped: [0, 0, 3], ..Books::default() });
    assert_eq!(mill.books(1), Books { matched: 3, dropped: [0, 0, 3], ..Books::default() }, "they are done");
    mill.send(&[(10, of("k", "4"))]).await;
    mill.settled(1).await;
    assert_eq!(fails.of(""), calls(&[("1", 1), ("3", 1)]));
    mill.until(1, |books| books.done == 1).await;
    let mut done = does.of("");
    done.sort();
    assert_eq!(done, calls(&[("1", 1), ("2", 1), ("3", 1), ("4", 1)]));
}

#[tokio::test]
async fn a_copy_of_another_event_at_the_same_place_is_none() {
    let log = Log::default();
    let pools = || vec![log.pool(|_, _| again()), None];
    let mut mill = Mill::on(Bin::open(), &hourly(), pools());
    mill.send(&[(5, event("1"))]).await;
    mill.settled(1).await;
    let mut mill = Mill::on(mill.crashed().await, &hourly(), pools());
    mill.send(&[(5, event("2"))]).await;
    mill.settled(1).await;
    assert_eq!((log.of(""), mill.books(0).dropped), (calls(&[("1", 1), ("2", 1)]), [0; 3]));
}

#[tokio::test]
async fn what_has_ended_after_it_was_parked_is_known_until_the_broker_has_accepted() {
    tokio::time::pause();
    let log = Log::default();
    let pools = || vec![log.pool(|_, attempt| if attempt < 2 { again() } else { done() }), None];
    let mut mill = Mill::on(Bin::open(), &policy(), pools());
    let events = [(5, event("1")), (6, event("2"))];
    mill.send(&events).await;
    mill.settled(2).await;
    mill.until(0, |books| books.done == 2).await;
    let mut mill = Mill::on(mill.crashed().await, &policy(), pools());
    assert_eq!(mill.yard.usage().rows, 0, "no row is left");
    mill.send(&events).await;
    mill.settled(2).await;
    assert_eq!(duplicate(&mill.books(0)), 2);
    mill.settlements.accepted(mill.stream.unwrap(), 6);
    let mut mill = Mill::on(mill.crashed().await, &policy(), pools());
    let known = [0, 1].map(|at: usize| mill.taken("t/a", events[at].0, &events[at].1));
    assert_eq!(known, [None, Some(Taken::Over)], "the first never comes again");
    mill.send(&events).await;
    mill.settled(2).await;
    assert_eq!(duplicate(&mill.books(0)), 1, "unless somebody takes the broker back");
}

/// A function that waits for a word before each call ends.
fn waiting(log: &Log, word: &Arc<tokio::sync::Semaphore>) -> Option<Pool> {
    let (log, word) = (log.clone(), Arc::clone(word));
    let function = Calls(move |event: Event, call: Call| -> BoxFuture<'static, Verdicts> {
        log.note(&event, call.attempt);
        let word = Arc::clone(&word);
        Box::pin(async move {
            word.acquire_owned().await.unwrap().forget();
            done()
        })
    });
    Some(running(options(Arc::new(function), 8, 8)))
}

#[tokio::test]
async fn a_sibling_that_is_done_after_the_parking_adds_itself() {
    let (log, word) = (Log::default(), Arc::new(tokio::sync::Semaphore::new(0)));
    let retry = Policy { max_delay: HOUR, ..hourly() };
    let pools = || vec![pool(judge(|_, _| again())), waiting(&log, &word)];
    let mut mill = Mill::on(Bin::open(), &retry, pools());
    let events = [(5, event("1"))];
    mill.send(&events).await;
    mill.until(0, |books| books.parked == 1).await;
    assert_eq!(mill.taken("t/b", 5, &events[0].1), None, "it runs");
    word.add_permits(1);
    mill.settled(1).await;
    mill.until(1, |books| books.done == 1).await;
    let mut mill = Mill::on(mill.crashed().await, &retry, pools());
    assert_eq!(mill.taken("t/b", 5, &events[0].1), Some(Taken::Over));
    mill.send(&events).await;
    mill.settled(1).await;
    assert_eq!((duplicate(&mill.books(0)), duplicate(&mill.books(1))), (1, 1));
    assert_eq!(log.of(""), calls(&[("1", 1)]));
}

#[tokio::test]
async fn a_copy_whose_siblings_are_done_meanwhile_leaves_them_done() {
    let (log, word) = (Log::default(), Arc::new(tokio::sync::Semaphore::new(0)));
    let pools = || vec![pool(judge(|_, _| again())), waiting(&log, &word)];
    let events = [(5, event("1"))];
    let mut mill = Mill::on(Bin::open(), &hourly(), pools());
    mill.send(&events).await;
    mill.until(0, |books| books.parked == 1).await;
    // The sibling is cut off, and runs in the next life.
    let mut mill = Mill::on(mill.crashed().await, &hourly(), pools());
    mill.send(&events).await;
    mill.until(0, |books| duplicate(books) == 1).await;
    // The call of the life before waits, too.
    word.add_permits(2);
    mill.settled(1).await;
    mill.until(1, |books| books.done == 1).await;
    let mut mill = Mill::on(mill.crashed().await, &hourly(), pools());
    mill.send(&events).await;
    mill.settled(1).await;
    assert_eq!((duplicate(&mill.books(1)), log.of("")), (1, calls(&[("1", 1), ("1", 1)])));
}

#[tokio::test]
async fn a_copy_that_comes_while_the_row_is_on_its_way_settles_with_it() {
    let mut mill = Mill::on(Bin::open(), &hourly(), vec![pool(judge(|_, _| again())), None]);
    // Both wait for one key: the copy stands behind the delivery, which is parked.
    let one = of("k", "1");
    mill.send(&[(5, one.clone()), (5, one.clone()), (6, of("k", "2"))]).await;
    mill.settled(3).await;
    let books = mill.until(0, |books| books.parked == 2 && duplicate(books) == 1).await;
    assert_eq!(books, Books { matched: 3, parked: 2, dropped: [0, 0, 1], failed_attempts: 1, ..Books::default() });
    assert_eq!(mill.yard.usage().rows, 2);
}

/// What becomes of one event under each rule: so many attempts fail.
type Fate = (Option<u8>, [u32; 2]);

/// A call: life, rule, number of the event, attempt.
type Told = Arc<Mutex<Vec<(usize, usize, u64, u32)>>>;

/// What is known outside of the engine, over all its lives: a partition of a log, of which the broker knows up to where it is
/// done.
struct World {
    fates: Vec<Fate>,
    dice: fastrand::Rng,
    /// The first that is not committed.
    committed: u64,
    told: Told,
    copies: u64,
}

/// Where a fork is when a life begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stands {
    /// Nowhere but at the broker.
    Away,
    /// In a row, after so many attempts.
    Parked(u32),
    /// It has ended, or a sibling's row says so.
    Over,
}

impl World {
    fn event(&self, number: u64) -> Event {
        let event = event(&number.to_string());
        match self.fates[number as usize].0 {
            Some(key) => {
                event.with_extension(crate::event::Name::new("partitionkey").unwrap(), Text::from(key.to_string()))
            }
            None => event,
        }
    }

    fn pools(&self, life: usize) -> Vec<Option<Pool>> {
        let pool = |rule: usize| {
            let (fates, told) = (self.fates.clone(), Arc::clone(&self.told));
            let function = judge(move |event, call| {
                let number: u64 = event.id().parse().unwrap();
                told.lock().push((life, rule, number, call.attempt));
                if call.attempt <= fates[number as usize].1[rule] { again() } else { done() }
            });
            Some(running(options(function, 2, 2)))
        };
        vec![pool(0), pool(1)]
    }

    /// Where each fork is on the disk.
    fn standing(&self, mill: &Mill) -> BTreeMap<(usize, u64), Stands> {
        let mut standing = BTreeMap::new();
        for number in 0..self.fates.len() as u64 {
            let event = self.event(number);
            let rows = mill.yard.seek(&Wanted { id: event.id().clone(), source: None }).unwrap();
            for (rule, name) in RULES.iter().enumerate() {
                let row = rows.iter().find(|row| row.rule == *name).map(|row| Stands::Parked(row.attempts));
                let over = mill.taken(name, number, &event).map(|_| Stands::Over);
                standing.insert((rule, number), row.or(over).unwrap_or(Stands::Away));
                assert!(rows.iter().filter(|row| row.rule == *name).count() <= 1, "event {number} is parked twice");
            }
        }
        standing
    }

    /// Runs until everything has ended or the power is gone; answers whether everything has.
    async fn live(&mut self, life: usize, bin: Bin, seed: u64) -> bool {
        let mut mill = Mill::on(bin, &Policy { max_delay: SECOND, ..policy() }, self.pools(life));
        let standing = self.standing(&mill);
        let mut waiting: Vec<_> = (self.committed..self.fates.len() as u64).map(|at| (at, self.event(at))).collect();
        let mut seated = BTreeMap::new();
        let mut open: BTreeSet<u64> = waiting.iter().map(|(number, _)| *number).collect();
        let ended = loop {
            let mut pairs = Vec::new();
            let _ = mill.settlements.next(&mut pairs).now_or_never();
            for (seat, outcome) in pairs {
                assert_eq!(outcome, Outcome::Ack);
                open.remove(&seated.remove(&seat).unwrap());
            }
            let here = |books: &Books| books.parked + books.in_flight;
            if open.is_empty() && [0, 1].iter().all(|rule| here(&mill.books(*rule)) == 0) {
                break true;
            }
            if mill.bin.platter.is_lost() {
                break false;
            }
            if self.dice.u8(..6) == 0
                && let Some(stream) = mill.stream
            {
                self.committed = open.first().copied().unwrap_or(self.fates.len() as u64);
                mill.settlements.accepted(stream, self.committed);
            }
            for (seat, number) in mill.deliver(&mut waiting) {
                seated.insert(seat, number);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        self.copies += [0, 1].iter().map(|rule| duplicate(&mill.books(*rule))).sum::<u64>();
        self.judge(life, &standing, seed);
        // The power may go in the last moment.
        let bin = mill.stop().await;
        ended && !bin.platter.is_lost()
    }

    /// Whether the calls of a life are those that what was on the disk asks for.
    fn judge(&self, life: usize, standing: &BTreeMap<(usize, u64), Stands>, seed: u64) {
        let told = self.told.lock();
        for ((rule, number), stands) in standing {
            let of_fork = told.iter().filter(|(at, of, event, _)| (at, of, event) == (&life, rule, number));
            let attempts: Vec<u32> = of_fork.map(|call| call.3).collect();
            let (first, what) = match stands {
                Stands::Over => {
                    assert_eq!(attempts.len(), 0, "seed {seed}: rule {rule} has ended with {number} and runs again");
                    continue;
                }
                Stands::Parked(attempts) => (attempts + 1, "parked"),
                Stands::Away => (1, "away"),
            };
            let next: Vec<u32> = (first..).take(attempts.len()).collect();
            assert_eq!(attempts, next, "seed {seed}, life {life}: event {number} of rule {rule} was {what}");
        }
    }

    /// Whether all of it has come to its end, in order.
    fn judge_all(&self, seed: u64) {
        let told = self.told.lock();
        for rule in 0..RULES.len() {
            let mut ended: BTreeMap<u8, u64> = BTreeMap::new();
            for (number, (key, fails)) in self.fates.iter().enumerate() {
                let last = (fails[rule] + 1).min(3);
                let end = told.iter().position(|call| (call.1, call.2, call.3) == (rule, number as u64, last));
                let end = end.unwrap_or_else(|| panic!("seed {seed}: event {number} of rule {rule} is lost")) as u64;
                if let Some(before) = key.and_then(|key| ended.insert(key, end)) {
                    assert!(before < end, "seed {seed}: event {number} of rule {rule} ends before one of its key");
                }
            }
        }
    }
}

#[test]
fn whenever_the_power_goes_and_wherever_the_broker_stands_nothing_parked_runs_a_second_time() {
    let base = fastrand::u64(..1 << 40);
    println!("seeds from {base}");
    let (mut crashes, mut copies) = (0, 0);
    for seed in base..base + 60 {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_all().start_paused(true).build().unwrap();
        let (lives, met) = runtime.block_on(async {
            let mut dice = fastrand::Rng::with_seed(seed);
            let fails = |dice: &mut fastrand::Rng| if dice.bool() { 0 } else { dice.u32(1..=3) };
            let fate = |_| {
                let key = (dice.u8(..4) > 0).then(|| dice.u8(..4));
                (key, [fails(&mut dice), fails(&mut dice)])
            };
            let fates = (0..40).map(fate).collect();
            let mut world = World { fates, dice: dice.fork(), committed: 0, told: Told::default(), copies: 0 };
            let mut platter = Platter::new(Vec::new());
            let mut lives = 0;
            loop {
                let bin = Bin::on(platter.clone(), Quota::default(), Targets::default()).unwrap();
                if lives < 4 {
                    platter.light(dice.u64(10..400));
                }
                let ended = world.live(lives, bin, seed).await;
                lives += 1;
                if ended {
                    break;
                }
                platter = Platter::new(platter.found(Some(&mut dice)));
            }
            world.judge_all(seed);
            (lives, world.copies)
        });
        crashes += lives - 1;
        copies += met;
    }
    assert!(crashes > 20 && copies > 100, "seeds from {base}: hardly anything went wrong: {crashes}, {copies}");
}
