//! Random failures and crashes against a naive model: whatever the moment at which the power goes, no delivery is lost, none
//! forgets an attempt that its source does not know of any more, and those of one key end in their order. The same where keys
//! or the rule are paused for what is spent, and somebody lets them go on at any moment; and where the rule has a share of the seats.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::FutureExt;

use super::*;
use crate::delivery::{Inbox, Ledger, Receipt, Route, Seat, Settlements, Undecodable};
use crate::event::Name;
use crate::retry::{Exhausted, Room};
use crate::store::testing::Platter;

const SEATS: usize = 6;
const ATTEMPTS: u32 = 3;
const WAYS: [Exhausted; 4] = [Exhausted::DeadLetter, Exhausted::PauseKey, Exhausted::PauseRule, Exhausted::Drop];

/// What becomes of one event: so many attempts fail, then it is done or refused.
#[derive(Clone, Copy, Debug)]
struct Fate {
    key: Option<u8>,
    fails: u32,
    refused: bool,
}

impl Fate {
    /// Calls in a life without crashes.
    fn calls(self) -> u32 {
        (self.fails + 1).min(ATTEMPTS)
    }

    /// The reason of its dead letter, if it becomes one.
    fn letter(self, exhausted: Exhausted) -> Option<&'static str> {
        if self.fails >= ATTEMPTS {
            (exhausted != Exhausted::Drop).then_some("exhausted")
        } else {
            self.refused.then_some("rejected")
        }
    }
}

fn fates(dice: &mut fastrand::Rng) -> Vec<Fate> {
    let fate = |_| {
        let fails = if dice.u8(..3) > 0 { 0 } else { dice.u32(1..=ATTEMPTS) };
        Fate { key: (dice.u8(..4) > 0).then(|| dice.u8(..4)), fails, refused: dice.u8(..8) == 0 }
    };
    (0..40).map(fate).collect()
}

/// Hands every event straight to a line.
struct Straight(Feed, Vec<Arrival>);

impl Route for Straight {
    fn route(&mut self, event: Event, receipt: Receipt) {
        self.1.push(Arrival { event, receipt });
    }
    fn undecodable(&mut self, _: Undecodable, _: Receipt) {}
    fn flush(&mut self) {
        self.0.send(std::mem::take(&mut self.1));
    }
}

/// What is known outside of the engine, over all its lives.
#[derive(Default)]
struct World {
    fates: Vec<Fate>,
    /// What becomes of what is spent; somebody lets go on what is paused, now with it and now without.
    exhausted: Exhausted,
    /// How many may wait on the disk.
    room: Room,
    /// How many seats the rule may have.
    share: usize,
    /// When that is.
    dice: fastrand::Rng,
    /// What the source has to deliver, in its order.
    open: BTreeSet<usize>,
    /// What was delivered more than once.
    doubled: BTreeSet<usize>,
    /// Every call: life, event, attempt.
    calls: Arc<Mutex<Vec<(usize, usize, u32)>>>,
}

impl World {
    fn pool(&self, life: usize) -> Pool {
        let (fates, calls) = (self.fates.clone(), Arc::clone(&self.calls));
        let function = judge(move |event, call| {
            let number: usize = event.id().parse().unwrap();
            calls.lock().push((life, number, call.attempt));
            let fate = fates[number];
            match call.attempt {
                attempt if attempt <= fate.fails => again(),
                _ if fate.refused => one(Verdict::Reject { reason: "no".to_owned() }),
                _ => done(),
            }
        });
        running(options(function, 2, 2))
    }

    fn event(&self, number: usize) -> Event {
        let event = event(&number.to_string());
        match self.fates[number].key {
            Some(key) => event.with_extension(Name::new("partitionkey").unwrap(), Text::from(key.to_string())),
            None => event,
        }
    }

    /// Runs until everything has ended or the power is gone; answers whether everything has ended.
    async fn live(&mut self, life: usize, bin: Bin, room: u64) -> bool {
        let lot = bin.yard(room).lot("t/r".into(), policy().max_delay, true).unwrap();
        let (pool, retry) = (self.pool(life), Policy { exhausted: self.exhausted, room: self.room, ..policy() });
        let change =
            |options: &mut Options| (options.retry, options.lot, options.max_seats) = (retry, Some(lot), self.share);
        let mut bench = bench_on(bin, change, Some(pool.clone()), Vec::new());
        let inbox = Inbox::new(SEATS, Ledger::default(), Box::new(Straight(bench.feed.clone(), Vec::new())));
        let (mut intake, mut settlements) = inbox.split();
        let mut waiting: Vec<usize> = self.open.iter().rev().copied().collect();
        let mut seated = [usize::MAX; SEATS];
        let mut sent = BTreeSet::new();
        let ended = loop {
            for number in self.heard(&mut settlements, &seated) {
                self.open.remove(&number);
            }
            let books = bench.books();
            if self.open.is_empty() && books.parked + books.in_flight == 0 {
                break true;
            }
            if bench.bin.platter.is_lost() {
                break false;
            }
            if self.pauses() && self.dice.u8(..8) == 0 {
                let (feed, skip) = (bench.feed.clone(), self.dice.bool());
                tokio::spawn(async move { feed.resume(None, skip).await });
            }
            if !waiting.is_empty()
                && let Some(Ok(mut seats)) = intake.reserve(2).now_or_never()
            {
                while !seats.is_empty()
                    && let Some(number) = waiting.pop()
                {
                    seated[seats.deliver(self.event(number)).unwrap().index()] = number;
                    sent.insert(number);
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        for number in self.heard(&mut settlements, &seated) {
            self.open.remove(&number);
        }
        self.doubled.extend(sent.intersection(&self.open));
        bench.task.abort();
        let _ = (&mut bench.task).await;
        pool.close();
        // The power may go in the last moment.
        if !ended || bench.bin.store.close().await.is_err() {
            return false;
        }
        assert_eq!(bench.bin.yard(room).usage().rows, 0, "rows are left of what has ended");
        true
    }

    fn pauses(&self) -> bool {
        matches!(self.exhausted, Exhausted::PauseKey | Exhausted::PauseRule)
    }

    fn heard(&self, settlements: &mut Settlements, seated: &[usize; SEATS]) -> Vec<usize> {
        let mut pairs: Vec<(Seat, Outcome)> = Vec::new();
        let _ = settlements.next(&mut pairs).now_or_never();
        let settled = |(seat, outcome): (Seat, Outcome)| (outcome == Outcome::Ack).then(|| seated[seat.index()]);
        pairs.into_iter().filter_map(settled).collect()
    }

    /// Whether all calls and letters are what they should be after so many lives.
    fn judge(&self, lives: usize, letters: &[serde_json::Value], seed: u64) {
        let calls = self.calls.lock();
        let mut ended: BTreeMap<u8, usize> = BTreeMap::new();
        let mut begun: BTreeMap<usize, (usize, u32)> = BTreeMap::new();
        for &(life, number, attempt) in calls.iter() {
            let fate = self.fates[number];
            if let Some((before, last)) = begun.insert(number, (life, attempt))
                && !self.doubled.contains(&number)
            {
                let anew = u32::from(self.pauses() && last == ATTEMPTS);
                let next = [last + 1, if life > before { last } else { 0 }, anew];
                assert!(next.contains(&attempt), "seed {seed}: event {number} is tried {attempt} after {last}");
            }
            if let Some(key) = fate.key.filter(|_| attempt == fate.calls()) {
                let last = ended.entry(key).or_insert(number);
                let first = calls.iter().filter(|call| call.1 == number && call.2 == attempt).count();
                assert!(number >= *last || first > 1, "seed {seed}: event {number} ends after {last}");
                *last = number.max(*last);
            }
        }
        for (number, fate) in self.fates.iter().enumerate() {
            let tries = calls.iter().filter(|call| call.1 == number).count() as u32;
            assert!(tries >= fate.calls(), "seed {seed}: event {number} is lost");
            let most = if self.pauses() { u32::MAX } else { 2 * fate.calls() * lives as u32 };
            assert!(tries <= most, "seed {seed}: event {number} is called {tries} times");
            let id = number.to_string();
            let of = letters.iter().filter(|letter| letter["event"]["id"] == id.as_str());
            let found: Vec<_> = of.map(|letter| (letter["reason"].as_str(), letter["attempts"].as_u64())).collect();
            match fate.letter(self.exhausted) {
                None => assert_eq!(found, [], "seed {seed}: event {number}"),
                Some(reason) => {
                    let expected = (Some(reason), Some(u64::from(fate.calls())));
                    assert!(!found.is_empty() && found.len() <= lives, "seed {seed}: event {number}: {found:?}");
                    assert!(found.iter().all(|found| *found == expected), "seed {seed}: event {number}: {found:?}");
                }
            }
        }
    }
}

#[test]
fn whenever_the_power_goes_every_delivery_ends_as_it_should() {
    let base = fastrand::u64(..1 << 40);
    println!("seeds from {base}");
    let mut crashes = 0;
    for seed in base..base + 60 {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_all().start_paused(true).build().unwrap();
        crashes += runtime.block_on(async {
            let mut dice = fastrand::Rng::with_seed(seed);
            let fates = fates(&mut dice);
            let exhausted = *dice.choice(&WAYS).unwrap();
            let mut few = |most: u32| if dice.bool() { u32::MAX } else { most };
            let bounds = Room { rule: few(5).into(), key: few(2) };
            let mut world = World {
                open: (0..fates.len()).collect(),
                fates,
                exhausted,
                room: bounds,
                share: *dice.choice(&[1, 3, usize::MAX]).unwrap(),
                dice: dice.fork(),
                ..World::default()
            };
            let room = if dice.bool() { 1 << 20 } else { dice.u64(200..2_000) };
            let mut platter = Platter::new(Vec::new());
            let mut lives = 0;
            loop {
                let bin = Bin::on(platter.clone(), Quota::default(), Targets::default()).unwrap();
                if lives < 4 {
                    platter.light(dice.u64(10..500));
                }
                let ended = world.live(lives, bin, room).await;
                lives += 1;
                if ended {
                    break;
                }
                platter = Platter::new(platter.found(Some(&mut dice)));
            }
            let image = Platter::new(platter.found(None));
            world.judge(lives, &Bin::on(image, Quota::default(), Targets::default()).unwrap().records(), seed);
            lives - 1
        });
    }
    assert!(crashes > 20, "seeds from {base}: hardly anything went wrong");
}
