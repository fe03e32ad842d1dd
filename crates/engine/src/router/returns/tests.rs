//! Rounds are counted, and what goes round is as safe as its parent, however often the power goes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::*;
use crate::account::Name as Who;
use crate::delivery::{Inbox, Intake, Ledger, Outcome, Seat, Settlements};
use crate::dispatch::{Feed, Line, Options, Outlets, Reading, Weight};
use crate::fake::{Bin, Wall, event, judge, one, options, running};
use crate::port::{Shutdown, Verdict};
use crate::retry::{Backoff, Policy};
use crate::router::{Router, Tally, Trigger};
use crate::spool::{Feeder, Gauge, Policy as Bounds, Spool};
use crate::store::testing::Platter;
use crate::store::{ClockHandle, Quota, Schema, Settings, Spec, Store};

#[test]
fn every_round_is_counted_however_it_is_written() {
    let first = returned(event("a"), &event("1"));
    assert_eq!((rounds(&first), first.extension(CAUSE)), (1, Some(&Value::String("1".into()))));
    let second = returned(event("b"), &first);
    assert_eq!(rounds(&second), 2);
    let name = || Name::new(ROUNDS).unwrap();
    assert_eq!(rounds(&returned(event("b"), &event("1").with_extension(name(), "15"))), 16, "as a header has it");
    let odd = event("1").with_extension(name(), "many");
    assert_eq!(rounds(&returned(event("b"), &odd)), u32::MAX, "who writes nonsense goes no further");
}

#[test]
fn an_event_that_goes_on_as_it_is_has_no_cause() {
    let again = returned(event("1"), &event("1"));
    assert_eq!((rounds(&again), again.extension(CAUSE)), (1, None));
}

/// Everybody whom the second rule was called for, in all lives.
type Seen = Arc<Mutex<BTreeSet<String>>>;

/// What each of the rules has parked.
type Bins = Box<[Bin; 2]>;

/// Two rules and the way back between them, until the power goes.
struct Mill {
    store: Store,
    bins: Bins,
    gauge: Gauge,
    rules: [Reading; 2],
    intake: Intake,
    settlements: Settlements,
    tasks: Vec<JoinHandle<()>>,
}

/// A line that calls this function and publishes to `output`.
fn line(
    bin: &Bin,
    rule: &'static str,
    answer: impl Fn(&Event) -> Vec<Event> + Clone + Send + Sync + 'static,
    output: Way,
) -> (Feed, Reading, JoinHandle<()>) {
    let retry = Policy {
        max_attempts: u32::MAX,
        backoff: Backoff::Constant,
        delay: Duration::from_millis(1),
        ..Policy::default()
    };
    let lot = bin.yard(1 << 30).lot(rule.into(), retry.max_delay, true).unwrap();
    let (feed, reading, line) = Line::new(Options {
        rule: rule.into(),
        function: Some(("f".into(), running(options(judge(move |event, _| one(Verdict::Done(answer(event)))), 1, 1)))),
        outputs: Outlets::new(vec![(NAME.into(), Arc::new(output))], Vec::new()),
        ordered: true,
        way: crate::circuit::Way::default(),
        max_in_flight: usize::MAX,
        max_seats: usize::MAX,
        rate: None,
        weight: Weight::MIN,
        retry,
        timeout: Duration::from_secs(600),
        postbox: bin.postbox.clone(),
        lot: Some(lot),
        pace: Arc::default(),
        pen: bin.account.pen(Who::default()),
    });
    (feed, reading, tokio::spawn(line.run()))
}

fn router(source: &str, feed: Feed, bin: &Bin) -> Box<Router> {
    let trigger = Trigger {
        filter: None,
        rules: vec![(None, feed)],
        keeps_unmatched: None,
        tally: Arc::new(Tally::new(1)),
        slots: None,
    };
    Box::new(Router::new(source.into(), vec![trigger], bin.postbox.clone(), bin.account.pen(Who::default())))
}

/// Two results of what comes from outside, of each of those another one, and of that a last one.
fn results(event: &Event) -> Vec<Event> {
    let child = |name: &str| self::event(&format!("{}.{name}", event.id()));
    match event.id().matches('.').count() {
        0 => vec![child("a"), child("b")],
        1 | 2 => vec![child("c")],
        _ => Vec::new(),
    }
}

fn family(id: usize) -> [String; 6] {
    ["a", "b", "a.c", "b.c", "a.c.c", "b.c.c"].map(|name| format!("{id}.{name}"))
}

impl Mill {
    /// Nothing if the power goes meanwhile.
    fn start(platter: &Platter, bins: Bins, bounds: Bounds, seen: &Seen) -> Result<Mill, Bins> {
        let specs = vec![Spec { name: "spool/router".into(), quota: Quota::default() }];
        let Ok(store) = platter.store(Schema::SPOOL, specs, Settings::default()) else { return Err(bins) };
        let table = store.table("spool/router").unwrap();
        let Ok(spool) = Spool::open(&store, table, bounds, ClockHandle(Arc::new(Wall))) else { return Err(bins) };
        let (inlet, outlet) = spool.split();
        let (desk, gauge) = (Desk::new(inlet), outlet.gauge());
        let (first, first_reading, first_task) = line(&bins[0], "t/first", results, Way::patient(desk.clone()));
        let seen = Arc::clone(seen);
        let note = move |event: &Event| {
            seen.lock().insert(event.id().to_string());
            results(event)
        };
        let (second, second_reading, second_task) = line(&bins[1], "t/second", note, Way::hasty(desk.clone()));
        let inbox = Inbox::durable(8, Ledger::default(), router(NAME, second, &bins[1]));
        let feeding = tokio::spawn(async move {
            let (_stop, shutdown) = Shutdown::channel();
            drop(Feeder::new(outlet, NAME).run(inbox, shutdown).await);
        });
        let clerk = tokio::spawn(async move { drop(desk.serve().await) });
        let (intake, settlements) = Inbox::new(16, Ledger::default(), router("s", first, &bins[0])).split();
        let tasks = vec![first_task, second_task, feeding, clerk];
        Ok(Mill { store, bins, gauge, rules: [first_reading, second_reading], intake, settlements, tasks })
    }

    /// Whether nothing is left to do.
    fn rests(&self) -> bool {
        let busy = |reading: &Reading| reading.books().in_flight + reading.books().parked > 0;
        // The spool first: what it has not given out is in no line.
        let books = self.gauge.read().books;
        books.stored + books.in_flight == 0 && !self.rules.iter().any(busy)
    }

    /// Sends these until the power goes or everything is done; forgets those that are settled.
    async fn run(&mut self, platter: &Platter, owed: &mut BTreeSet<usize>) {
        let mut waiting: Vec<usize> = owed.iter().copied().collect();
        let mut sent: BTreeMap<usize, usize> = BTreeMap::new();
        let mut pairs: Vec<(Seat, Outcome)> = Vec::new();
        while !(platter.is_lost() || owed.is_empty() && self.rests()) {
            tokio::select! {
                biased;
                _ = self.settlements.next(&mut pairs) => for (seat, outcome) in pairs.drain(..) {
                    assert_eq!(outcome, Outcome::Ack);
                    owed.remove(&sent.remove(&seat.index()).unwrap());
                },
                Ok(mut seats) = self.intake.reserve(4), if !waiting.is_empty() => {
                    while let Some(id) = waiting.pop() {
                        match seats.deliver(event(&id.to_string())) {
                            Ok(seat) => drop(sent.insert(seat.index(), id)),
                            Err(_) => {
                                waiting.push(id);
                                break;
                            }
                        }
                    }
                }
                () = sleep(Duration::from_millis(1)) => {}
            }
        }
    }

    /// What is found after a crash.
    async fn crash(self) -> Bins {
        for reading in &self.rules {
            let books = reading.books();
            assert!(books.balance(), "{books:?}");
        }
        let [_, second] = self.rules.map(|reading| reading.books());
        assert_eq!(second.matched, 0, "whatever comes back is counted as that");
        for task in self.tasks {
            task.abort();
            drop(task.await);
        }
        drop((self.intake, self.settlements));
        drop(self.store.close().await);
        let [first, second] = *self.bins;
        Box::new([reopened(first).await, reopened(second).await])
    }
}

/// What is parked outlives the crash as it is on the disk.
async fn reopened(mut bin: Bin) -> Bin {
    bin.task.abort();
    drop((&mut bin.task).await);
    bin.store.close().await.unwrap();
    bin.found()
}

#[tokio::test]
async fn nothing_that_comes_back_is_lost_however_often_the_power_goes() {
    const PARENTS: usize = 40;
    let base = fastrand::u64(..1 << 32);
    let mut cut = 0;
    for seed in base..base + 12 {
        println!("seed {seed}");
        let mut dice = fastrand::Rng::with_seed(seed);
        // Now and then so little that results find no room.
        let bounds = Bounds { max_bytes: [1 << 20, 800][dice.usize(..2)], ..Bounds::default() };
        let (mut platter, mut bins) = (Platter::new(Vec::new()), Bins::new([Bin::open(), Bin::open()]));
        let (seen, mut owed) = (Seen::default(), (0..PARENTS).collect::<BTreeSet<usize>>());
        for life in 0..4 {
            let last = life == 3;
            if !last {
                platter.light(dice.u64(20..600));
            }
            match Mill::start(&platter, bins, bounds, &seen) {
                Ok(mut mill) => {
                    let over = mill.run(&platter, &mut owed);
                    timeout(Duration::from_secs(300), over)
                        .await
                        .unwrap_or_else(|_| panic!("seed {seed}: it is stuck"));
                    cut += u32::from(platter.is_lost());
                    platter.cut();
                    bins = mill.crash().await;
                }
                Err(same) => bins = same,
            }
            platter = Platter::new(platter.found(Some(&mut dice)));
        }
        assert!(owed.is_empty(), "seed {seed}: {owed:?} are not settled");
        let wanted: BTreeSet<String> = (0..PARENTS).flat_map(family).collect();
        let seen = seen.lock();
        let missing: Vec<_> = wanted.difference(&seen).collect();
        assert!(missing.is_empty(), "seed {seed}: {missing:?} never came back");
        assert_eq!(seen.len(), wanted.len(), "seed {seed}: and nothing else did");
    }
    assert!(cut > 0, "seeds from {base}: the power never went while something was done");
}
