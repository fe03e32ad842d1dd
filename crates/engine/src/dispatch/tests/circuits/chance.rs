//! A function that fails by chance and in spells, behind a circuit, against a naive model: nothing begins while it is open, one
//! at a time tries it, every attempt is counted and none is spent by waiting, those of one key end in their order, and the books
//! balance whenever somebody looks.

use std::collections::BTreeMap;

use super::*;
use crate::retry::Room;

const EVENTS: usize = 40;

/// One call: which event, the attempt, when, and whether it failed.
#[derive(Clone, Copy, Debug)]
struct Made {
    number: usize,
    attempt: u32,
    at: Instant,
    failed: bool,
}

/// What a circuit does, as simply as it can be said.
#[derive(Default)]
struct Naive {
    failures: u32,
    opened: u64,
    /// When it opened last, and until when it is open.
    open: Option<(Instant, Instant)>,
}

impl Naive {
    /// Takes a call; whether it was allowed.
    fn takes(&mut self, call: Made, settings: Settings) -> bool {
        let opens = match self.open {
            // They were handed to the pool together.
            Some((opened, _)) if call.at == opened && self.failures >= settings.consecutive_failures => return true,
            Some((_, until)) if call.at < until => return false,
            Some(_) if !call.failed => {
                self.open = None;
                self.failures = 0;
                false
            }
            Some(_) => {
                // Nothing else may begin at that moment.
                self.failures = 0;
                true
            }
            None => {
                self.failures = if call.failed { self.failures + 1 } else { 0 };
                self.failures >= settings.consecutive_failures
            }
        };
        if opens {
            self.opened += 1;
            self.open = Some((call.at, call.at + settings.open_for));
        }
        true
    }
}

/// One run; answers how often the circuit opened.
async fn run(seed: u64) -> u64 {
    let mut dice = fastrand::Rng::with_seed(seed);
    let settings = Settings {
        consecutive_failures: dice.u32(1..5),
        open_for: Duration::from_millis(dice.u64(500..60_000)),
        probes: 1,
    };
    let circuit = Circuit::new("it".into(), settings);
    let retry = Policy { max_attempts: *dice.choice(&[3, 1000]).unwrap(), ..policy() };
    let room = Room { rule: *dice.choice(&[5, u64::MAX]).unwrap(), key: *dice.choice(&[2, u32::MAX]).unwrap() };
    let (made, spell) = (Arc::<Mutex<Vec<Made>>>::default(), Arc::<AtomicBool>::default());
    let (seen, ill, chance) = (Arc::clone(&made), Arc::clone(&spell), Arc::new(Mutex::new(dice.fork())));
    let function = judge(move |event, call| {
        let failed = chance.lock().u8(..10) < if ill.load(Ordering::SeqCst) { 9 } else { 1 };
        let number = event.id().parse().unwrap();
        seen.lock().push(Made { number, attempt: call.attempt, at: Instant::now(), failed });
        if failed { again() } else { done() }
    });
    let (bin, limit) = (Bin::open(), *dice.choice(&[1, 3, usize::MAX]).unwrap());
    let lot = dice.bool().then(|| bin.yard(ROOM).lot("t/r".into(), SECOND, true).unwrap());
    let attempts = retry.max_attempts;
    let change = |options: &mut Options| {
        (options.retry, options.lot, options.max_in_flight) = (Policy { room, ..retry }, lot, limit);
        options.way = to_function(&circuit);
    };
    let mut bench = bench_on(bin, change, pool(function), Vec::new());
    let keys: Vec<Option<u8>> = (0..EVENTS).map(|_| (dice.u8(..4) > 0).then(|| dice.u8(..4))).collect();
    let mut sent = 0;
    while sent < EVENTS {
        let batch = sent..EVENTS.min(sent + dice.usize(1..8));
        sent = batch.end;
        let one = |number: usize| match keys[number] {
            Some(key) => of(&key.to_string(), &number.to_string()),
            None => event(&number.to_string()),
        };
        bench.send_all(batch.map(one).collect()).await;
        spell.store(dice.bool(), Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(dice.u64(..20_000))).await;
        bench.books();
    }
    spell.store(false, Ordering::SeqCst);
    let books = bench.until(|books| books.done + books.dead_lettered[0] == EVENTS as u64).await;
    let made = made.lock();
    let mut naive = Naive::default();
    let mut last: BTreeMap<usize, (u32, bool)> = BTreeMap::new();
    let mut turn: BTreeMap<u8, usize> = BTreeMap::new();
    for call in made.iter() {
        assert!(naive.takes(*call, settings), "seed {seed}: {call:?} although it is open, {settings:?}");
        let before = last.insert(call.number, (call.attempt, call.failed));
        assert_eq!(before.map_or(0, |(attempt, _)| attempt) + 1, call.attempt, "seed {seed}: {call:?}");
        if let Some(key) = keys[call.number] {
            let first = turn.entry(key).or_insert(call.number);
            assert!(*first <= call.number, "seed {seed}: {call:?} after event {first} of its key");
            *first = call.number;
        }
    }
    let dead = last.values().filter(|(_, failed)| *failed).count() as u64;
    assert!(last.values().all(|(attempt, failed)| !failed || *attempt == attempts), "seed {seed}: {last:?}");
    let failed = made.iter().filter(|call| call.failed).count() as u64;
    let expected = [EVENTS as u64 - dead, dead, failed];
    assert_eq!([books.done, books.dead_lettered[0], books.failed_attempts], expected, "seed {seed}");
    assert_eq!((last.len(), circuit.read().opened), (EVENTS, naive.opened), "seed {seed}");
    naive.opened
}

#[test]
fn whatever_fails_when_waiting_is_no_attempt_and_keys_keep_their_order() {
    let base = fastrand::u64(..1 << 40);
    println!("seeds from {base}");
    let mut opened = 0;
    for seed in base..base + 24 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        opened += runtime.block_on(run(seed));
    }
    assert!(opened > 12, "seeds from {base}: it hardly ever opened");
}
