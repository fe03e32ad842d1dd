//! Deliveries that wait on the disk: when they leave their seats, how they come back, and what stands behind them.

use super::*;
use crate::event::Name;
use crate::parked::Yard;
use crate::port::PublishError;

pub(super) const ROOM: u64 = 1 << 30;
pub(super) const HOUR: Duration = Duration::from_secs(3600);

/// A bench that parks, with this much room.
pub(super) fn parks_in(
    bin: Bin,
    room: u64,
    retry: Policy,
    function: Option<Pool>,
    outputs: Vec<Arc<dyn Output>>,
) -> Bench {
    let yard = bin.yard(room);
    let lot = yard.lot("t/r".into(), retry.max_delay, true).unwrap();
    let change = |options: &mut Options| (options.retry, options.lot) = (retry, Some(lot));
    bench_on(bin, change, function, outputs)
}

pub(super) fn parks(retry: Policy, function: Option<Pool>) -> Bench {
    parks_in(Bin::open(), ROOM, retry, function, Vec::new())
}

/// Three attempts, an hour apart.
pub(super) fn hourly() -> Policy {
    Policy { delay: HOUR, max_delay: HOUR, ..policy() }
}

/// An event of a key.
pub(super) fn of(key: &str, id: &str) -> Event {
    event(id).with_extension(Name::new("partitionkey").unwrap(), key)
}

/// Every call's event and attempt.
#[derive(Clone, Default)]
pub(super) struct Log(Arc<Mutex<Vec<(String, u32)>>>);

impl Log {
    /// A pool that says what `answer` does.
    pub(super) fn pool(&self, answer: impl Fn(&str, u32) -> Verdicts + Clone + Send + Sync + 'static) -> Option<Pool> {
        let calls = self.clone();
        pool(judge(move |event, call| {
            calls.note(event, call.attempt);
            answer(event.id(), call.attempt)
        }))
    }

    /// Notes a call.
    pub(super) fn note(&self, event: &Event, attempt: u32) {
        self.0.lock().push((event.id().to_string(), attempt));
    }

    pub(super) fn of(&self, prefix: &str) -> Vec<(String, u32)> {
        self.0.lock().iter().filter(|(id, _)| id.starts_with(prefix)).cloned().collect()
    }
}

pub(super) fn calls(of: &[(&str, u32)]) -> Vec<(String, u32)> {
    of.iter().map(|(id, attempt)| ((*id).to_owned(), *attempt)).collect()
}

impl Bench {
    pub(super) async fn send_all(&mut self, events: Vec<Event>) {
        let batch = self.desk.arrivals(events).await;
        self.feed.send(batch);
    }

    /// Waits until the books say so. Time goes on meanwhile only where nothing else happens.
    pub(super) async fn until(&self, is_so: impl Fn(&Books) -> bool) -> Books {
        let mut step = Duration::from_millis(1);
        loop {
            let books = self.books();
            if is_so(&books) {
                return books;
            }
            tokio::time::sleep(step).await;
            step = (step + step / 64).min(10 * SECOND);
        }
    }

    /// Ends the line as a crash does, and opens the disk again as it was left.
    pub(super) async fn crashed(mut self) -> Bin {
        self.task.abort();
        self.bin.task.abort();
        let _ = (self.task.await, (&mut self.bin.task).await);
        self.bin.store.close().await.unwrap();
        self.bin.found()
    }
}

#[tokio::test]
async fn a_dead_letter_says_where_its_message_stood_whatever_it_has_been_through() {
    let log = Log::default();
    let pool = log.pool(|id, _| if id == "2" { one(Verdict::Reject { reason: "no".to_owned() }) } else { again() });
    let mut bench = parks(hourly(), pool);
    let batch = bench.desk.arrivals_at("orders/3", vec![(17, event("1")), (18, event("2"))]).await;
    bench.feed.send(batch);
    bench.until(|books| books.parked == 1 && books.dead_lettered[1] == 1).await;
    assert_eq!(bench.bin.records()[0]["position"], "orders/3/18");
    let bench = parks_in(bench.crashed().await, ROOM, hourly(), pool_of(&log), Vec::new());
    tokio::time::pause();
    bench.until(|books| books.dead_lettered[0] == 1).await;
    assert_eq!(bench.bin.records()[1]["position"], "orders/3/17", "its row knows it");
    assert_eq!(bench.bin.records()[1]["event"]["dlqposition"], "orders/3/17");
}

/// A pool whose calls all fail.
fn pool_of(log: &Log) -> Option<Pool> {
    log.pool(|_, _| again())
}

#[tokio::test]
async fn a_delivery_that_waits_leaves_its_seat_and_comes_back_with_its_attempts() {
    let log = Log::default();
    let mut bench = parks(hourly(), log.pool(|_, attempt| if attempt < 3 { again() } else { done() }));
    bench.send_all(vec![event("1")]).await;
    // No time is skipped: the next attempt is an hour away.
    assert_eq!(bench.desk.settled(1).await, [Outcome::Ack], "it does not wait in its seat");
    let books = bench.until(|books| books.parked == 1).await;
    assert_eq!(books, Books { matched: 1, parked: 1, failed_attempts: 1, ..Books::default() });
    assert_eq!(bench.reading.last_error().as_deref(), Some("not now"));
    let begun = Instant::now();
    tokio::time::pause();
    let books = bench.until(|books| books.done == 1).await;
    assert_eq!(books, Books { matched: 1, done: 1, failed_attempts: 2, ..Books::default() });
    assert_eq!(log.of(""), calls(&[("1", 1), ("1", 2), ("1", 3)]));
    assert!(begun.elapsed() > HOUR);
    bench.feed.is_empty().await;
    bench.bin.store.close().await.unwrap();
    assert_eq!(bench.bin.yard(ROOM).usage().rows, 0, "what has ended is gone");
}

#[tokio::test(start_paused = true)]
async fn one_that_is_spent_becomes_a_dead_letter_and_its_row_goes_with_it() {
    let log = Log::default();
    let mut bench = parks(policy(), log.pool(|_, _| again()));
    bench.send_all(vec![event("1").with_data(b"\xff{"[..].into(), None)]).await;
    assert_eq!(bench.desk.settled(1).await, [Outcome::Ack]);
    let books = bench.until(|books| books.dead_lettered[0] == 1).await;
    assert_eq!(books, Books { matched: 1, dead_lettered: [1, 0, 0, 0], failed_attempts: 3, ..Books::default() });
    let records = bench.bin.records();
    assert_eq!((&records[0]["attempts"], &records[0]["event"]["data_base64"]), (&3.into(), &"/3s=".into()));
    assert_ne!(records[0]["firstTime"], serde_json::Value::Null);
    assert_eq!(bench.bin.yard(ROOM).usage().rows, 0, "in one transaction");
}

/// As many keys fail as the source has seats.
#[tokio::test]
async fn keys_that_fail_leave_the_seats_to_the_others() {
    let log = Log::default();
    let mut bench = parks(hourly(), log.pool(|id, _| if id.starts_with("poison") { again() } else { done() }));
    let poison = (0..64).map(|number| of(&format!("p{number}"), &format!("poison {number}"))).collect();
    bench.send_all(poison).await;
    assert_eq!(bench.desk.settled(64).await.len(), 64, "each leaves its seat");
    for round in 0..10 {
        // Those that stand behind poison leave their seats too.
        let good = (0..48).map(|number| of(&format!("k{number}"), &format!("good {round} {number}")));
        let behind = (0..16).map(|number| of(&format!("p{number}"), &format!("behind {round} {number}")));
        bench.send_all(good.chain(behind).collect()).await;
        assert_eq!(bench.desk.settled(64).await.len(), 64);
    }
    // No time was skipped: nobody has waited for the next attempt of a key that fails.
    let books = bench.until(|books| books.parked == 64 + 160).await;
    assert_eq!((books.done, books.in_flight), (480, 0), "{books:?}");
    assert_eq!(log.of("good").len(), 480);
    assert_eq!(log.of("behind"), [], "no attempt is spent behind a key that fails");
    tokio::time::pause();
    let books = bench.until(|books| books.parked + books.in_flight == 0).await;
    assert_eq!((books.done, books.dead_lettered[0]), (640, 64));
    assert_eq!(log.of("poison").len(), 3 * 64);
    for number in 0..16 {
        let behind = log.of("behind").into_iter().filter(|(id, _)| id.ends_with(&format!(" {number}")));
        let expected: Vec<_> = (0..10).map(|round| (format!("behind {round} {number}"), 1)).collect();
        assert_eq!(behind.collect::<Vec<_>>(), expected, "in their order");
    }
}

#[tokio::test]
async fn where_there_is_no_room_a_delivery_waits_in_its_seat_and_what_is_behind_it_too() {
    let log = Log::default();
    let answer = |id: &str, attempt| if attempt == 1 && !id.starts_with("good") { again() } else { done() };
    let mut bench = parks_in(Bin::open(), 1, hourly(), log.pool(answer), Vec::new());
    bench.send_all(vec![event("x"), of("a", "a1")]).await;
    assert_eq!(bench.desk.settled(1).await, [Outcome::Ack], "the first has room however large it is");
    bench.send_all(vec![of("a", "a2"), of("b", "good")]).await;
    assert_eq!(bench.desk.settled(1).await, [Outcome::Ack], "the other key goes on");
    let books = bench.until(|books| books.parked == 1 && books.done == 1).await;
    assert_eq!(books.in_flight, 2, "{books:?}");
    assert_eq!(log.of("a2"), [], "it has its turn when the first has ended");
    tokio::time::pause();
    bench.until(|books| books.done == 4).await;
    assert_eq!(bench.desk.settled(2).await, [Outcome::Ack; 2]);
    assert_eq!(log.of("a"), calls(&[("a1", 1), ("a1", 2), ("a2", 1), ("a2", 2)]));
}

#[tokio::test(start_paused = true)]
async fn only_results_that_are_not_confirmed_are_published_again() {
    let (fails, failing) = recorder(|_| Say::Now(Err(PublishError::Retry { after: None, error: "away".to_owned() })));
    let (works, working) = recorder(|_| Say::Now(Ok(())));
    let log = Log::default();
    let function = log.pool(|_, _| one(Verdict::Done(vec![event("r1"), event("r2")])));
    let mut bench = parks_in(Bin::open(), ROOM, policy(), function, vec![fails, works]);
    bench.send_all(vec![event("1")]).await;
    assert_eq!(bench.desk.settled(1).await, [Outcome::Ack]);
    let books = bench.until(|books| books.dead_lettered[0] == 1).await;
    assert_eq!(books, Books { matched: 1, dead_lettered: [1, 0, 0, 0], failed_attempts: 3, ..Books::default() });
    assert_eq!((log.of("").len(), working.ids().len(), failing.ids().len()), (1, 2, 6));
}

#[tokio::test]
async fn a_killed_engine_loses_none_and_counts_on() {
    let log = Log::default();
    let mut bench = parks(hourly(), log.pool(|_, _| again()));
    let keyed = [of("a", "a1"), of("a", "a2"), of("b", "b1"), event("x")];
    bench.send_all(keyed.to_vec()).await;
    assert_eq!(bench.desk.settled(4).await.len(), 4);
    bench.until(|books| books.parked == 4).await;
    let bin = bench.crashed().await;
    let second = Log::default();
    let mut bench =
        parks_in(bin, ROOM, hourly(), second.pool(|_, attempt| if attempt < 3 { again() } else { done() }), Vec::new());
    let books = bench.books();
    assert_eq!(books, Books { recovered: 4, parked: 4, ..Books::default() });
    bench.send_all(vec![of("a", "a3"), of("c", "c1")]).await;
    assert_eq!(bench.desk.settled(2).await.len(), 2);
    tokio::time::pause();
    let books = bench.until(|books| books.done == 6).await;
    assert_eq!((books.recovered, books.matched, books.parked), (4, 2, 0));
    let a = calls(&[("a1", 2), ("a1", 3), ("a2", 1), ("a2", 2), ("a2", 3), ("a3", 1), ("a3", 2), ("a3", 3)]);
    assert_eq!(second.of("a"), a, "in their order, and the first with the attempts that it had");
    assert_eq!((second.of("b"), second.of("x")), (calls(&[("b1", 2), ("b1", 3)]), calls(&[("x", 2), ("x", 3)])));
}

#[tokio::test(start_paused = true)]
async fn one_that_runs_when_the_engine_is_killed_runs_again_before_those_behind_it() {
    let (begun, mut begins) = tokio::sync::watch::channel(0);
    let hangs = Arc::new(Calls(move |_, call: Call| -> BoxFuture<'static, Verdicts> {
        if call.attempt == 1 {
            return Box::pin(async { again() });
        }
        begun.send_modify(|begun| *begun += 1);
        Box::pin(std::future::pending())
    }));
    let mut bench = parks(policy(), pool(hangs));
    bench.send_all(vec![of("a", "a1"), of("a", "a2")]).await;
    assert_eq!(bench.desk.settled(2).await.len(), 2);
    begins.wait_for(|begun| *begun == 1).await.unwrap();
    let bin = bench.crashed().await;
    let log = Log::default();
    let bench = parks_in(bin, ROOM, policy(), log.pool(|_, _| done()), Vec::new());
    bench.until(|books| books.done == 2).await;
    assert_eq!(log.of(""), calls(&[("a1", 2), ("a2", 1)]));
}

#[tokio::test(start_paused = true)]
async fn followers_whose_head_has_ended_have_their_turn_after_a_start() {
    let stuck = Arc::new(Calls(move |event: Event, call: Call| -> BoxFuture<'static, Verdicts> {
        match (event.id().as_str(), call.attempt) {
            ("a1", 1) => Box::pin(async { again() }),
            ("a1", _) => Box::pin(async { done() }),
            _ => Box::pin(std::future::pending()),
        }
    }));
    let mut bench = parks_in(Bin::open(), ROOM, Policy { max_attempts: 9, ..policy() }, pool(stuck), Vec::new());
    bench.send_all(vec![of("a", "a1"), of("a", "a2"), of("a", "a3")]).await;
    assert_eq!(bench.desk.settled(3).await.len(), 3);
    bench.until(|books| books.done == 1).await;
    let bin = bench.crashed().await;
    let log = Log::default();
    let bench = parks_in(bin, ROOM, policy(), log.pool(|_, _| done()), Vec::new());
    let recovered = bench.books().recovered;
    bench.until(|books| books.done == recovered).await;
    let ran: Vec<_> = log.of("").into_iter().map(|(id, _)| id).collect();
    assert!(ran == ["a2", "a3"] || ran == ["a1", "a2", "a3"], "{ran:?}");
}

#[tokio::test]
async fn after_a_start_nothing_waits_longer_than_the_longest_delay() {
    let log = Log::default();
    let long = Policy { delay: 1000 * HOUR, max_delay: 1000 * HOUR, ..policy() };
    let mut bench = parks(long, log.pool(|_, _| again()));
    bench.send_all(vec![event("1")]).await;
    bench.desk.settled(1).await;
    bench.until(|books| books.parked == 1).await;
    let bin = bench.crashed().await;
    let bench = parks_in(bin, ROOM, hourly(), log.pool(|_, _| done()), Vec::new());
    tokio::time::pause();
    let begun = Instant::now();
    bench.until(|books| books.done == 1).await;
    assert!(begun.elapsed() <= 2 * HOUR);
}

#[tokio::test(start_paused = true)]
async fn once_the_engine_ends_nothing_comes_back_and_nothing_is_lost() {
    let log = Log::default();
    let mut bench = parks(policy(), log.pool(|_, attempt| if attempt == 1 { again() } else { done() }));
    bench.send_all(vec![of("a", "1"), of("a", "2"), event("3")]).await;
    bench.desk.settled(3).await;
    bench.feed.is_empty().await;
    tokio::time::sleep(HOUR).await;
    let before = bench.books();
    assert_eq!((before.parked + before.done, before.in_flight), (3, 0));
    assert!(before.parked > 0);
    assert_eq!(bench.feed.hand_back().await, 0, "nothing is left with its source");
    let parked = bench.books().parked;
    let bin = bench.crashed().await;
    assert_eq!(bin.yard(ROOM).usage().rows, parked);
}

#[tokio::test(start_paused = true)]
async fn what_is_out_at_the_end_of_the_grace_time_stays_parked() {
    let (begun, mut begins) = tokio::sync::watch::channel(false);
    let hangs = Arc::new(Calls(move |_, call: Call| -> BoxFuture<'static, Verdicts> {
        if call.attempt == 1 {
            return Box::pin(async { again() });
        }
        begun.send_replace(true);
        Box::pin(std::future::pending())
    }));
    let mut bench = parks(policy(), pool(hangs));
    bench.send_all(vec![event("1")]).await;
    bench.desk.settled(1).await;
    begins.wait_for(|begun| *begun).await.unwrap();
    assert_eq!(bench.feed.hand_back().await, 0);
    assert_eq!(bench.books(), Books { matched: 1, parked: 1, failed_attempts: 1, ..Books::default() });
}

#[tokio::test]
async fn more_than_may_be_out_at_once_all_have_their_turn() {
    let log = Log::default();
    let mut bench = parks(hourly(), log.pool(|_, attempt| if attempt == 1 { again() } else { done() }));
    for round in 0..20 {
        bench.send_all((0..64).map(|number| event(&format!("{round} {number}"))).collect()).await;
        bench.desk.settled(64).await;
    }
    tokio::time::pause();
    let books = bench.until(|books| books.done == 1280).await;
    assert_eq!((books.parked, books.failed_attempts), (0, 1280));
    assert_eq!(log.of("").len(), 2 * 1280);
}

/// More than the calendar has in memory, before and after a crash.
#[tokio::test]
async fn what_is_far_comes_page_by_page_and_all_of_it() {
    const COUNT: u64 = 140 * 64;
    let log = Log::default();
    let retry = Policy { max_attempts: u32::MAX, ..hourly() };
    let mut bench = parks(retry, log.pool(|_, _| again()));
    for round in 0..140 {
        bench.send_all((0..64).map(|number| event(&format!("{round} {number}"))).collect()).await;
        bench.desk.settled(64).await;
    }
    bench.until(|books| books.parked == COUNT).await;
    // Some come back in this life, and wait again behind those that are far.
    tokio::time::pause();
    let books = bench.until(|books| books.failed_attempts >= 3 * COUNT / 2).await;
    assert_eq!(books.parked + books.in_flight, COUNT);
    let bin = bench.crashed().await;
    let bench = parks_in(bin, ROOM, hourly(), log.pool(|_, _| done()), Vec::new());
    assert_eq!(bench.books().recovered, COUNT);
    let books = bench.until(|books| books.done == COUNT).await;
    assert_eq!((books.parked, books.failed_attempts), (0, 0));
    bench.feed.is_empty().await;
    bench.bin.store.close().await.unwrap();
    assert_eq!(bench.bin.yard(ROOM).usage().rows, 0);
}

#[tokio::test]
async fn a_result_whose_output_is_gone_makes_a_dead_letter() {
    let (fails, _) = recorder(|_| Say::Now(Err(PublishError::Retry { after: None, error: "away".to_owned() })));
    let log = Log::default();
    let function = || log.pool(|_, _| one(Verdict::Done(vec![event("r1")])));
    let mut bench = parks_in(Bin::open(), ROOM, hourly(), function(), vec![fails]);
    bench.send_all(vec![event("1")]).await;
    bench.desk.settled(1).await;
    bench.until(|books| books.parked == 1).await;
    let bin = bench.crashed().await;
    tokio::time::pause();
    let bench = parks_in(bin, ROOM, hourly(), function(), Vec::new());
    let books = bench.until(|books| books.dead_lettered[1] == 1).await;
    assert_eq!((books.recovered, books.parked), (1, 0));
    let message = "output 'o0', which has not confirmed a result, is none of the rule any more";
    assert_eq!(bench.bin.records()[0]["message"], message);
}

#[tokio::test]
async fn what_is_parked_of_other_rules_is_counted_and_left_alone() {
    let log = Log::default();
    let mut bench = parks(hourly(), log.pool(|_, _| again()));
    bench.send_all(vec![of("a", "a1"), of("a", "a2"), event("x")]).await;
    bench.desk.settled(3).await;
    bench.until(|books| books.parked == 3).await;
    let bin = bench.crashed().await;
    let yard: Yard = bin.yard(ROOM);
    assert_eq!(yard.strangers(&["t/r".into()]).unwrap(), []);
    assert_eq!(yard.strangers(&["t/s".into(), "a/b".into()]).unwrap(), [("t/r".into(), 3)]);
    assert_eq!(yard.lot("t/s".into(), HOUR, true).unwrap().waiting(), 0);
    assert_eq!(yard.lot("t/r".into(), HOUR, true).unwrap().waiting(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_fails_for_good_leaves_deliveries_in_their_seats() {
    let log = Log::default();
    let mut bench = parks(policy(), log.pool(|_, attempt| if attempt < 3 { again() } else { done() }));
    bench.bin.platter.refuse_syncs();
    bench.send_all(vec![event("1")]).await;
    bench.until(|_| bench.reading.last_error().is_some_and(|error| error.contains("stay where they are"))).await;
    assert_eq!((bench.desk.settled_now(), bench.books().in_flight), (vec![], 1));
    bench.send_all(vec![event("2")]).await;
    assert_eq!(bench.desk.settled(1).await, [Outcome::Ack], "as without a folder");
    assert_eq!(log.of("2"), calls(&[("2", 1), ("2", 2), ("2", 3)]));
}
