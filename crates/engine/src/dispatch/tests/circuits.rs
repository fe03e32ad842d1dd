//! Circuits on a rule's way: what opens them, that waiting is no attempt, and that everything comes in order afterwards.

mod chance;

use std::sync::atomic::AtomicBool;

use super::parking::{HOUR, Log, ROOM, calls, of, parks_in};
use super::*;
use crate::circuit::{Circuit, Settings, State};
use crate::fake::Seen;
use crate::port::PublishError;

/// Three failures open it, for an hour.
fn circuit() -> Circuit {
    Circuit::new("it".into(), Settings { consecutive_failures: 3, open_for: HOUR, probes: 1 })
}

fn to_function(circuit: &Circuit) -> Way {
    Way { function: Some(circuit.clone()), outputs: Vec::new() }
}

fn to_output(circuit: &Circuit) -> Way {
    Way { function: None, outputs: vec![Some(circuit.clone())] }
}

/// A hundred attempts, a second apart.
fn patient() -> Policy {
    Policy { max_attempts: 100, ..policy() }
}

/// A bench that parks.
fn parks_on(way: Way, function: Option<Pool>, outputs: Vec<Arc<dyn Output>>) -> Bench {
    let bin = Bin::open();
    let lot = bin.yard(ROOM).lot("t/r".into(), SECOND, true).unwrap();
    let change = |options: &mut Options| (options.retry, options.lot, options.way) = (patient(), Some(lot), way);
    bench_on(bin, change, function, outputs)
}

/// Fails until it is mended.
fn broken(log: &Log) -> (Option<Pool>, Arc<AtomicBool>) {
    let mended = Arc::<AtomicBool>::default();
    let seen = Arc::clone(&mended);
    (log.pool(move |_, _| if seen.load(Ordering::SeqCst) { done() } else { again() }), mended)
}

/// An output that is away until it is mended, and what it was asked for.
fn away() -> (Arc<dyn Output>, Seen, Arc<AtomicBool>) {
    let mended = Arc::<AtomicBool>::default();
    let seen = Arc::clone(&mended);
    let (output, asked) = recorder(move |_| match seen.load(Ordering::SeqCst) {
        true => Say::Now(Ok(())),
        false => Say::Now(Err(PublishError::Retry { after: None, error: "away".to_owned() })),
    });
    (output, asked, mended)
}

/// Waits until the circuit is so.
async fn becomes(circuit: &Circuit, state: State) {
    while circuit.read().state != state {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

// Where something has to be on the disk before the circuit lets anything through again, the clock is not paused until it is: it
// runs ahead while a test waits for the disk.

#[tokio::test]
async fn what_comes_while_it_is_open_is_put_aside_with_no_attempt_and_in_order() {
    let (log, circuit) = (Log::default(), circuit());
    let (function, mended) = broken(&log);
    let mut bench = parks_on(to_function(&circuit), function, Vec::new());
    bench.send_all(vec![event("x1"), event("x2"), event("x3")]).await;
    assert_eq!(bench.desk.settled(3).await, [Outcome::Ack; 3]);
    becomes(&circuit, State::Open).await;
    bench.send_all(vec![of("a", "a1"), of("a", "a2"), of("b", "b1"), event("y")]).await;
    assert_eq!(bench.desk.settled(4).await, [Outcome::Ack; 4], "they hold no seat");
    tokio::time::pause();
    let opened = Instant::now();
    tokio::time::sleep(HOUR / 2).await;
    let books = bench.books();
    assert_eq!(books, Books { matched: 7, parked: 7, failed_attempts: 3, ..Books::default() });
    assert_eq!(log.of("").len(), 3, "nothing begins, whatever is due");
    bench.until(|books| books.failed_attempts == 4).await;
    assert_eq!((circuit.read().state, circuit.read().opened), (State::Open, 2), "one has tried");
    bench.until(|books| books.failed_attempts == 5).await;
    assert!(opened.elapsed() > HOUR);
    mended.store(true, Ordering::SeqCst);
    let books = bench.until(|books| books.done == 7).await;
    assert_eq!(books, Books { matched: 7, done: 7, failed_attempts: 5, ..Books::default() });
    assert_eq!((circuit.read().state, circuit.read().opened), (State::Closed, 3));
    assert_eq!(log.of("").len(), 12, "five failures and seven that were done");
    assert_eq!(log.of("a").last(), Some(&("a2".to_owned(), 1)), "behind the first, and once");
    for id in ["x1", "x2", "x3", "y", "a1", "a2", "b1"] {
        let attempts: Vec<u32> = log.of(id).into_iter().map(|(_, attempt)| attempt).collect();
        assert_eq!(attempts, (1..=attempts.len() as u32).collect::<Vec<_>>(), "{id}");
    }
    bench.feed.is_empty().await;
    bench.bin.store.close().await.unwrap();
    assert_eq!(bench.bin.yard(ROOM).usage().rows, 0);
}

#[tokio::test(start_paused = true)]
async fn without_a_disk_they_wait_in_their_seats_and_go_on_when_it_closes() {
    let (log, circuit) = (Log::default(), circuit());
    let (function, mended) = broken(&log);
    let change = |options: &mut Options| (options.retry, options.way) = (patient(), to_function(&circuit));
    let mut bench = bench_with(change, function, Vec::new());
    bench.send(&["1", "2", "3"]).await;
    becomes(&circuit, State::Open).await;
    let opened = Instant::now();
    bench.send_all(vec![of("a", "a1"), of("a", "a2")]).await;
    mended.store(true, Ordering::SeqCst);
    tokio::time::sleep(HOUR / 2).await;
    assert_eq!((log.of("").len(), bench.books().in_flight), (3, 5));
    assert_eq!(bench.desk.settled(5).await, [Outcome::Ack; 5]);
    assert!(opened.elapsed() > HOUR - SECOND, "the times of their attempts begin nothing");
    assert_eq!(log.of("a"), calls(&[("a1", 1), ("a2", 1)]));
    settle_down().await;
    assert_eq!(bench.books(), Books { matched: 5, done: 5, failed_attempts: 3, ..Books::default() });
}

#[tokio::test]
async fn results_wait_for_their_output_and_the_function_is_not_called_again() {
    let (log, circuit) = (Log::default(), circuit());
    let function = log.pool(|_, _| one(Verdict::Done(vec![event("r"), event("s")])));
    let (output, asked, mended) = away();
    let mut bench = parks_on(to_output(&circuit), function, vec![output]);
    bench.send_all((0..8).map(|number| of(&number.to_string(), &number.to_string())).collect()).await;
    assert_eq!(bench.desk.settled(8).await, [Outcome::Ack; 8]);
    bench.until(|books| books.parked == 8).await;
    let before = log.of("").len();
    assert_eq!(asked.ids().len(), 4, "two results of two events, and then nothing");
    bench.send_all(vec![event("late")]).await;
    assert_eq!(bench.desk.settled(1).await, [Outcome::Ack]);
    mended.store(true, Ordering::SeqCst);
    tokio::time::pause();
    let books = bench.until(|books| books.done == 9).await;
    assert_eq!(books, Books { matched: 9, done: 9, failed_attempts: 2, ..Books::default() });
    assert_eq!(log.of("").len(), 9, "each was called once, {before} of them before");
    assert_eq!((asked.ids().len(), circuit.read().state), (4 + 18, State::Closed));
}

#[tokio::test(start_paused = true)]
async fn a_confirmation_that_comes_later_counts_as_one_that_comes_at_once() {
    let circuit = circuit();
    let (mended, count) = (Arc::<AtomicBool>::default(), Arc::<AtomicU32>::default());
    let (seen, counted) = (Arc::clone(&mended), Arc::clone(&count));
    let (output, _) = recorder(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        let error = PublishError::Retry { after: None, error: "away".to_owned() };
        let outcome = if seen.load(Ordering::SeqCst) { Ok(()) } else { Err(error) };
        Say::Later(Box::pin(async move {
            tokio::time::sleep(SECOND).await;
            outcome
        }))
    });
    let mut bench = parks_on(to_output(&circuit), None, vec![output]);
    bench.send(&["1", "2", "3", "4"]).await;
    becomes(&circuit, State::Open).await;
    assert_eq!(count.load(Ordering::SeqCst), 4, "all had begun");
    mended.store(true, Ordering::SeqCst);
    let books = bench.until(|books| books.done == 4).await;
    assert_eq!((books.failed_attempts, count.load(Ordering::SeqCst), circuit.read().opened), (4, 8, 1));
}

#[tokio::test(start_paused = true)]
async fn what_an_event_is_to_blame_for_opens_nothing_and_closes_nothing() {
    let (log, circuit) = (Log::default(), circuit());
    let function = log.pool(|id, attempt| match id {
        "refused" => one(Verdict::Reject { reason: "no".to_owned() }),
        "away" if attempt < 4 => again(),
        _ => done(),
    });
    let mut bench = parks_on(to_function(&circuit), function, Vec::new());
    bench.send(&["refused", "refused", "refused", "refused"]).await;
    bench.until(|books| books.dead_lettered[1] == 4).await;
    assert_eq!((circuit.read().state, circuit.read().consecutive_failures), (State::Closed, 0));
    bench.send(&["away"]).await;
    becomes(&circuit, State::Open).await;
    bench.send(&["refused", "refused"]).await;
    let books = bench.until(|books| books.done == 1 && books.dead_lettered[1] == 6).await;
    assert_eq!((books.failed_attempts, circuit.read().opened), (3, 1));
}

#[tokio::test]
async fn rules_that_share_it_are_held_together_and_go_on_together() {
    let circuit = circuit();
    let (one_log, other_log) = (Log::default(), Log::default());
    let (function, mended) = broken(&one_log);
    let mut one = parks_on(to_function(&circuit), function, Vec::new());
    let mut other = parks_on(to_function(&circuit), other_log.pool(|_, _| done()), Vec::new());
    one.send(&["1", "2", "3"]).await;
    assert_eq!(one.desk.settled(3).await, [Outcome::Ack; 3]);
    becomes(&circuit, State::Open).await;
    other.send(&["4"]).await;
    assert_eq!(other.desk.settled(1).await, [Outcome::Ack]);
    assert_eq!((other_log.of("").len(), other.until(|books| books.parked == 1).await.in_flight), (0, 0));
    mended.store(true, Ordering::SeqCst);
    tokio::time::pause();
    other.until(|books| books.done == 1).await;
    let books = one.until(|books| books.done == 3).await;
    assert_eq!((books.failed_attempts, circuit.read().opened), (3, 1), "one has tried for both");
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_is_called_off_lets_another_one_try() {
    let circuit = circuit();
    let count = Arc::new(AtomicU32::new(0));
    let function = Arc::new(Calls(move |_, _: Call| -> BoxFuture<'static, Verdicts> {
        match count.fetch_add(1, Ordering::SeqCst) {
            0..3 => Box::pin(async { again() }),
            3 => Box::pin(std::future::pending()),
            _ => Box::pin(async { done() }),
        }
    }));
    let change = |options: &mut Options| {
        (options.retry, options.way, options.timeout) = (patient(), to_function(&circuit), 100 * HOUR);
    };
    let mut bench = bench_with(change, pool(function), Vec::new());
    bench.send(&["1", "2", "3"]).await;
    becomes(&circuit, State::HalfOpen).await;
    settle_down().await;
    bench.send(&["4"]).await;
    tokio::time::sleep(2 * HOUR).await;
    assert_eq!(bench.books(), Books { matched: 4, in_flight: 4, failed_attempts: 3, ..Books::default() });
    let recall = bench.desk.recall(0..3);
    bench.feed.recall(recall);
    bench.until(|books| books.done == 1).await;
    assert_eq!((circuit.read().state, circuit.read().opened), (State::Closed, 1));
}

#[tokio::test]
async fn what_is_put_aside_outlives_the_engine_with_its_attempts() {
    let (log, circuit) = (Log::default(), circuit());
    let mut bench = parks_on(to_function(&circuit), broken(&log).0, Vec::new());
    bench.send_all(vec![of("a", "a1"), of("b", "b1"), of("c", "c1")]).await;
    bench.desk.settled(3).await;
    becomes(&circuit, State::Open).await;
    bench.send_all(vec![of("a", "a2")]).await;
    bench.desk.settled(1).await;
    bench.until(|books| books.parked == 4).await;
    let bin = bench.crashed().await;
    let log = Log::default();
    // What a circuit has learnt is forgotten.
    let bench = parks_in(bin, ROOM, patient(), log.pool(|_, _| done()), Vec::new());
    bench.until(|books| books.done == 4).await;
    assert_eq!(log.of("a"), calls(&[("a1", 2), ("a2", 1)]));
}
