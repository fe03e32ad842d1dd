//! A rule's share of the seats: what comes beyond it leaves its seat, and everything still runs once and in its order.

use tokio::sync::watch;

use super::parking::{HOUR, Log, ROOM, calls, of, parks_in};
use super::*;

const SHARE: usize = 8;

/// A function that answers once the gate is open, as `answer` says.
fn gated(
    log: &Log,
    answer: impl Fn(&str, u32) -> Verdicts + Clone + Send + Sync + 'static,
) -> (Option<Pool>, watch::Sender<bool>) {
    let (open, opened) = watch::channel(false);
    let log = log.clone();
    let function = Calls(move |event: Event, call: Call| -> BoxFuture<'static, Verdicts> {
        let (mut opened, log, answer) = (opened.clone(), log.clone(), answer.clone());
        Box::pin(async move {
            log.note(&event, call.attempt);
            let _ = opened.wait_for(|open| *open).await;
            answer(event.id(), call.attempt)
        })
    });
    (pool(Arc::new(function)), open)
}

/// A bench whose rule may have so many seats, on this disk.
fn shares_on(bin: Bin, max_seats: usize, function: Option<Pool>) -> Bench {
    let lot = bin.yard(ROOM).lot("t/r".into(), HOUR, true).unwrap();
    let change = |options: &mut Options| {
        (options.lot, options.max_seats, options.max_in_flight) = (Some(lot), max_seats, 1);
        options.timeout = 1000 * HOUR;
    };
    bench_on(bin, change, function, Vec::new())
}

fn keyed(key: &str, numbers: std::ops::Range<u32>) -> Vec<Event> {
    numbers.map(|number| of(key, &format!("{key}{number:02}"))).collect()
}

/// The first attempts of these events.
fn firsts(key: &str, numbers: std::ops::Range<u32>) -> Vec<(String, u32)> {
    numbers.map(|number| (format!("{key}{number:02}"), 1)).collect()
}

fn held(bench: &Bench) -> Option<Text> {
    bench.reading.held().words()
}

#[tokio::test(start_paused = true)]
async fn what_comes_beyond_the_share_leaves_its_seat_and_runs_in_its_turn() {
    let log = Log::default();
    let (function, open) = gated(&log, |_, _| done());
    let mut bench = shares_on(Bin::open(), SHARE, function);
    bench.send_all((0..20).map(|number| event(&format!("x{number:02}"))).collect()).await;
    assert_eq!(bench.desk.settled(20 - SHARE).await, [Outcome::Ack; 20 - SHARE], "the others keep their seats");
    // What is put aside comes back at once, and waits for its turn without a seat.
    bench.until(|books| books.parked == 0).await;
    assert_eq!((held(&bench).as_deref(), bench.books().in_flight, log.of("").len()), (Some("maxSeats"), 20, 1));
    assert_eq!(bench.desk.settled_now(), []);
    open.send_replace(true);
    assert_eq!(bench.desk.settled(SHARE).await, [Outcome::Ack; SHARE]);
    let books = bench.until(|books| books.done == 20).await;
    assert_eq!(books, Books { matched: 20, done: 20, ..Books::default() });
    assert_eq!(log.of(""), firsts("x", 0..20));
    assert_eq!(held(&bench), None);
    bench.feed.is_empty().await;
    bench.bin.store.close().await.unwrap();
    assert_eq!(bench.bin.yard(ROOM).usage().rows, 0);
}

#[tokio::test(start_paused = true)]
async fn what_stands_behind_one_that_runs_leaves_its_seat_too() {
    let log = Log::default();
    let (function, open) = gated(&log, |_, _| done());
    let mut bench = shares_on(Bin::open(), SHARE, function);
    bench.send_all(keyed("a", 0..20)).await;
    // Those that had a seat as well: their order says so.
    assert_eq!(bench.desk.settled(19).await, [Outcome::Ack; 19]);
    bench.send_all(keyed("a", 20..30)).await;
    assert_eq!(bench.desk.settled(10).await, [Outcome::Ack; 10], "the lane is on the disk");
    let books = bench.until(|books| books.parked == 29).await;
    assert_eq!((books.in_flight, bench.desk.settled_now()), (1, vec![]), "the head has its seat");
    assert_eq!(bench.bin.yard(ROOM).usage().rows, 30, "and a row");
    open.send_replace(true);
    assert_eq!(bench.desk.settled(1).await, [Outcome::Ack]);
    let books = bench.until(|books| books.done == 30).await;
    assert_eq!(books, Books { matched: 30, done: 30, ..Books::default() });
    assert_eq!(log.of(""), firsts("a", 0..30));
    bench.feed.is_empty().await;
    bench.bin.store.close().await.unwrap();
    assert_eq!(bench.bin.yard(ROOM).usage().rows, 0);
}

#[tokio::test(start_paused = true)]
async fn a_head_that_was_written_down_fails_and_stays_first() {
    let log = Log::default();
    let (function, open) = gated(&log, |id, attempt| if id == "a00" && attempt < 3 { again() } else { done() });
    let mut bench = shares_on(Bin::open(), 2, function);
    bench.send_all(keyed("a", 0..5)).await;
    assert_eq!(bench.desk.settled(4).await, [Outcome::Ack; 4]);
    open.send_replace(true);
    assert_eq!(bench.desk.settled(1).await, [Outcome::Ack], "once it waits on the disk");
    let books = bench.until(|books| books.done == 5).await;
    assert_eq!(books, Books { matched: 5, done: 5, failed_attempts: 2, ..Books::default() });
    assert_eq!(log.of(""), [calls(&[("a00", 1), ("a00", 2), ("a00", 3)]), firsts("a", 1..5)].concat());
}

#[tokio::test(start_paused = true)]
async fn a_head_that_was_written_down_is_given_up_with_its_row() {
    let log = Log::default();
    let (function, open) = gated(&log, |id, _| match id {
        "a00" => one(Verdict::Reject { reason: "no".to_owned() }),
        _ => done(),
    });
    let mut bench = shares_on(Bin::open(), 2, function);
    bench.send_all(keyed("a", 0..4)).await;
    assert_eq!(bench.desk.settled(3).await, [Outcome::Ack; 3]);
    open.send_replace(true);
    let books = bench.until(|books| books.done == 3).await;
    assert_eq!((books.dead_lettered, log.of("")), ([0, 1, 0, 0], firsts("a", 0..4)));
    bench.feed.is_empty().await;
    bench.bin.store.close().await.unwrap();
    assert_eq!(bench.bin.yard(ROOM).usage().rows, 0);
}

#[tokio::test(start_paused = true)]
async fn a_crash_leaves_a_key_in_its_order_with_the_interrupted_attempt_to_be_made_again() {
    let log = Log::default();
    let (function, _open) = gated(&log, |_, _| done());
    let mut bench = shares_on(Bin::open(), 1, function);
    bench.send_all(keyed("a", 0..4)).await;
    assert_eq!(bench.desk.settled(3).await, [Outcome::Ack; 3]);
    bench.until(|books| books.parked == 3 && books.in_flight == 1).await;
    let bin = bench.crashed().await;
    let log = Log::default();
    let bench = parks_in(bin, ROOM, policy(), log.pool(|_, _| done()), Vec::new());
    assert_eq!(bench.books().recovered, 4);
    bench.until(|books| books.done == 4).await;
    assert_eq!(log.of(""), firsts("a", 0..4));
}

#[tokio::test(start_paused = true)]
async fn it_takes_seats_again_once_a_quarter_of_them_is_free() {
    let log = Log::default();
    let (function, open) = gated(&log, |_, _| done());
    let mut bench = shares_on(Bin::open(), SHARE, function);
    bench.send_all((0..9).map(|number| event(&format!("x{number}"))).collect()).await;
    assert_eq!(bench.desk.settled(1).await, [Outcome::Ack]);
    assert_eq!(held(&bench).as_deref(), Some("maxSeats"));
    open.send_replace(true);
    bench.until(|books| books.done == 9).await;
    assert_eq!(held(&bench), None);
    open.send_replace(false);
    bench.desk.settled(8).await;
    bench.send_all((0..8).map(|number| event(&format!("y{number}"))).collect()).await;
    bench.until(|books| books.in_flight == 8).await;
    assert_eq!((held(&bench), bench.books().parked, bench.desk.settled_now()), (None, 0, vec![]), "all have seats");
}

#[tokio::test(start_paused = true)]
async fn without_a_disk_there_is_no_share() {
    let log = Log::default();
    let (function, open) = gated(&log, |_, _| done());
    let change = |options: &mut Options| (options.max_seats, options.timeout) = (2, HOUR);
    let mut bench = bench_with(change, function, Vec::new());
    bench.send_all(keyed("a", 0..10)).await;
    settle_down().await;
    assert_eq!((bench.books().in_flight, bench.desk.settled_now(), held(&bench)), (10, vec![], None));
    open.send_replace(true);
    assert_eq!(bench.desk.settled(10).await, [Outcome::Ack; 10]);
    assert_eq!(log.of(""), firsts("a", 0..10));
}
