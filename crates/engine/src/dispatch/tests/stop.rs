//! Keys and rules that are paused: what waits meanwhile, that others go on, and how what waits goes on.

use std::sync::atomic::AtomicBool;

use super::parking::{HOUR, Log, ROOM, calls, of, parks_in};
use super::*;
use crate::parked::Pause;
use crate::retry::Exhausted;

/// Three attempts, a second apart, and then a pause.
fn pausing(exhausted: Exhausted) -> Policy {
    Policy { exhausted, ..policy() }
}

fn pauses(bench: &Bench) -> Vec<Pause> {
    bench.bin.yard(ROOM).pauses("t/r", 10).unwrap()
}

/// What is paused, once the line says that something is.
async fn paused(bench: &Bench) -> Paused {
    bench.until(|_| bench.reading.paused() != Paused::default()).await;
    bench.reading.paused()
}

fn letters(bench: &Bench) -> Vec<(String, u64)> {
    let letter = |record: &serde_json::Value| {
        assert_eq!((&record["reason"], &record["message"]), (&"exhausted".into(), &"not now".into()));
        (record["event"]["id"].as_str().unwrap().to_owned(), record["attempts"].as_u64().unwrap())
    };
    bench.bin.records().iter().map(letter).collect()
}

/// Fails for this id, until it is mended.
fn poison(log: &Log, id: &'static str) -> (Option<Pool>, Arc<AtomicBool>) {
    let mended = Arc::<AtomicBool>::default();
    let seen = Arc::clone(&mended);
    (log.pool(move |event, _| if event == id && !seen.load(Ordering::SeqCst) { again() } else { done() }), mended)
}

#[tokio::test(start_paused = true)]
async fn a_key_is_paused_and_the_others_go_on() {
    let log = Log::default();
    let (function, mended) = poison(&log, "a1");
    let mut bench = parks_in(Bin::open(), ROOM, pausing(Exhausted::PauseKey), function, Vec::new());
    bench.send_all(vec![of("a", "a1"), of("a", "a2"), of("b", "b1"), event("x")]).await;
    assert_eq!(bench.desk.settled(4).await, [Outcome::Ack; 4]);
    let found = paused(&bench).await;
    assert_eq!((found.rule, found.keys), (None, 1));
    assert!(found.oldest.is_some());
    bench.send_all(vec![of("a", "a3"), of("b", "b2")]).await;
    assert_eq!(bench.desk.settled(2).await, [Outcome::Ack; 2]);
    let books = bench.until(|books| books.done == 3 && books.parked == 3).await;
    assert_eq!(books, Books { matched: 6, done: 3, parked: 3, failed_attempts: 3, ..Books::default() });
    tokio::time::sleep(HOUR).await;
    assert_eq!(log.of("a"), calls(&[("a1", 1), ("a1", 2), ("a1", 3)]), "nobody tries it again");
    let shown = pauses(&bench);
    assert_eq!((shown.len(), shown[0].key.as_deref()), (1, Some("a")));
    assert_eq!((shown[0].cause.attempts, shown[0].cause.message.as_str()), (3, "not now"));
    let sentence = "key 'a' is paused after 3 attempts: not now; 'tidemill resume t/r' lets it go on";
    assert_eq!(bench.reading.last_error().as_deref(), Some(sentence));
    assert_eq!(bench.feed.resume(Some("b".into()), false).await, Err(NotPaused::Key));
    // In vain, with a whole set of attempts.
    assert_eq!(bench.feed.resume(Some("a".into()), false).await, Ok(Resumed { rule: false, keys: 1 }));
    bench.until(|books| books.failed_attempts == 6).await;
    assert_eq!(paused(&bench).await.keys, 1);
    mended.store(true, Ordering::SeqCst);
    assert_eq!(bench.feed.resume(None, false).await, Ok(Resumed { rule: false, keys: 1 }));
    bench.until(|books| books.done == 6).await;
    let again = [("a1", 1), ("a1", 2), ("a1", 3), ("a1", 1), ("a1", 2), ("a1", 3), ("a1", 1), ("a2", 1), ("a3", 1)];
    assert_eq!(log.of("a"), calls(&again));
    assert_eq!((bench.reading.paused(), pauses(&bench)), (Paused::default(), vec![]));
    assert_eq!(bench.feed.resume(None, true).await, Err(NotPaused::Nothing));
    bench.feed.is_empty().await;
    bench.bin.store.close().await.unwrap();
    assert_eq!(bench.bin.yard(ROOM).usage().rows, 0);
}

#[tokio::test(start_paused = true)]
async fn a_pause_outlives_the_engine_and_its_head_can_be_skipped() {
    let log = Log::default();
    let retry = pausing(Exhausted::PauseKey);
    let mut bench = parks_in(Bin::open(), ROOM, retry.clone(), poison(&log, "a1").0, Vec::new());
    bench.send_all(vec![of("a", "a1"), of("a", "a2")]).await;
    bench.desk.settled(2).await;
    paused(&bench).await;
    let since = pauses(&bench)[0].since;
    let bin = bench.crashed().await;
    let log = Log::default();
    // What is paused stays so, whatever the rule says by now.
    let mut bench = parks_in(bin, ROOM, policy(), poison(&log, "a1").0, Vec::new());
    assert_eq!(bench.reading.paused(), Paused { rule: None, keys: 1, oldest: Some(since) });
    bench.send_all(vec![of("a", "a3"), of("b", "b1")]).await;
    bench.desk.settled(2).await;
    bench.until(|books| books.done == 1 && books.parked == 3).await;
    assert_eq!(log.of("a"), []);
    assert_eq!(bench.feed.resume(Some("a".into()), true).await, Ok(Resumed { rule: false, keys: 1 }));
    let books = bench.until(|books| books.done == 3).await;
    assert_eq!((books.dead_lettered, books.parked), ([1, 0, 0, 0], 0));
    assert_eq!(log.of("a"), calls(&[("a2", 1), ("a3", 1)]), "in their order, and the first is not tried");
    assert_eq!((letters(&bench), pauses(&bench)), (vec![("a1".to_owned(), 3)], vec![]));
}

#[tokio::test(start_paused = true)]
async fn what_has_no_key_and_what_is_refused_pauses_none() {
    let log = Log::default();
    let function = log.pool(|id, _| match id {
        "refused" => one(Verdict::Reject { reason: "no".to_owned() }),
        "x" => again(),
        _ => done(),
    });
    let mut bench = parks_in(Bin::open(), ROOM, pausing(Exhausted::PauseKey), function, Vec::new());
    bench.send_all(vec![event("x"), of("a", "refused"), of("a", "a2")]).await;
    bench.desk.settled(3).await;
    let books = bench.until(|books| books.done == 1 && books.dead_lettered == [1, 1, 0, 0]).await;
    assert_eq!((books.parked, bench.reading.paused()), (0, Paused::default()));
}

#[tokio::test(start_paused = true)]
async fn what_is_dropped_is_counted_and_leaves_nothing_behind() {
    let log = Log::default();
    let mut bench = parks_in(Bin::open(), ROOM, pausing(Exhausted::Drop), log.pool(|_, _| again()), Vec::new());
    bench.send_all(vec![of("a", "a1"), of("a", "a2")]).await;
    bench.desk.settled(2).await;
    let books = bench.until(|books| books.dropped == [0, 2, 0]).await;
    assert_eq!(books, Books { matched: 2, dropped: [0, 2, 0], failed_attempts: 6, ..Books::default() });
    assert_eq!(bench.bin.records(), Vec::<serde_json::Value>::new());
    bench.feed.is_empty().await;
    bench.bin.store.close().await.unwrap();
    assert_eq!(bench.bin.yard(ROOM).usage().rows, 0);
}

#[tokio::test(start_paused = true)]
async fn a_rule_is_paused_and_what_comes_for_it_is_put_aside_over_a_crash() {
    let log = Log::default();
    let retry = pausing(Exhausted::PauseRule);
    let mut bench = parks_in(Bin::open(), ROOM, retry.clone(), poison(&log, "x").0, Vec::new());
    bench.send_all(vec![event("x")]).await;
    bench.desk.settled(1).await;
    let found = paused(&bench).await;
    assert_eq!((found.rule.is_some(), found.keys, found.oldest), (true, 0, found.rule));
    bench.send_all(vec![of("a", "a1"), event("y"), of("a", "a2")]).await;
    assert_eq!(bench.desk.settled(3).await, [Outcome::Ack; 3], "they hold no seat");
    let books = bench.until(|books| books.parked == 4).await;
    assert_eq!(books, Books { matched: 4, parked: 4, failed_attempts: 3, ..Books::default() });
    let bin = bench.crashed().await;
    let second = Log::default();
    let (function, mended) = poison(&second, "x");
    let mut bench = parks_in(bin, ROOM, retry.clone(), function, Vec::new());
    assert_eq!(bench.reading.paused(), found);
    bench.send_all(vec![of("a", "a3")]).await;
    assert_eq!(bench.desk.settled(1).await, [Outcome::Ack]);
    tokio::time::sleep(HOUR).await;
    assert_eq!((second.of(""), bench.books().parked), (vec![], 5));
    let shown = pauses(&bench);
    assert_eq!((shown.len(), &shown[0].key, shown[0].cause.attempts), (1, &None, 3));
    mended.store(true, Ordering::SeqCst);
    assert_eq!(bench.feed.resume(None, false).await, Ok(Resumed { rule: true, keys: 0 }));
    bench.until(|books| books.done == 5).await;
    assert_eq!(second.of("x"), calls(&[("x", 1)]), "counted from the beginning");
    assert_eq!(second.of("a"), calls(&[("a1", 1), ("a2", 1), ("a3", 1)]));
}

#[tokio::test(start_paused = true)]
async fn what_a_rule_was_paused_for_can_be_skipped() {
    let log = Log::default();
    let mut bench = parks_in(Bin::open(), ROOM, pausing(Exhausted::PauseRule), poison(&log, "a1").0, Vec::new());
    bench.send_all(vec![of("a", "a1"), of("a", "a2")]).await;
    bench.desk.settled(2).await;
    paused(&bench).await;
    bench.until(|books| books.parked == 2).await;
    assert_eq!(bench.feed.resume(None, true).await, Ok(Resumed { rule: true, keys: 0 }));
    // It stays so where the engine dies before the letter is there.
    let bin = bench.crashed().await;
    let second = Log::default();
    let bench = parks_in(bin, ROOM, pausing(Exhausted::PauseRule), poison(&second, "a1").0, Vec::new());
    bench.until(|books| books.parked + books.in_flight == 0).await;
    assert_eq!((bench.reading.paused(), letters(&bench)), (Paused::default(), vec![("a1".to_owned(), 3)]));
    assert_eq!((log.of("a1"), second.of("a1")), (calls(&[("a1", 1), ("a1", 2), ("a1", 3)]), vec![]));
    // Whatever of it the first life had come to.
    assert!(!log.of("a2").is_empty() || !second.of("a2").is_empty());
}

#[tokio::test(start_paused = true)]
async fn somebody_pauses_a_rule_and_lets_it_go_on() {
    let log = Log::default();
    let mut bench = parks_in(Bin::open(), ROOM, policy(), log.pool(|_, _| done()), Vec::new());
    bench.feed.pause().await;
    bench.feed.pause().await;
    assert_eq!(pauses(&bench)[0].cause.message, "somebody has paused it", "it is on the disk");
    bench.send_all(vec![of("a", "a1"), event("x"), of("a", "a2")]).await;
    assert_eq!(bench.desk.settled(3).await, [Outcome::Ack; 3]);
    bench.until(|books| books.parked == 3).await;
    assert_eq!(bench.feed.resume(None, true).await, Err(NotPaused::ByHand));
    assert_eq!(bench.feed.resume(Some("a".into()), false).await, Err(NotPaused::Key));
    assert_eq!(bench.feed.resume(None, false).await, Ok(Resumed { rule: true, keys: 0 }));
    assert_eq!(pauses(&bench), []);
    bench.until(|books| books.done == 3).await;
    assert_eq!(log.of("a"), calls(&[("a1", 1), ("a2", 1)]));
}

#[tokio::test]
async fn a_paused_rule_for_which_there_is_no_room_holds_its_source_back() {
    let log = Log::default();
    let mut bench = parks_in(Bin::open(), 1, policy(), log.pool(|_, _| done()), Vec::new());
    bench.feed.pause().await;
    bench.send_all(vec![event("x")]).await;
    assert_eq!(bench.desk.settled(1).await, [Outcome::Ack], "the first has room however large it is");
    bench.send_all(vec![of("a", "a1"), of("a", "a2"), event("y")]).await;
    let books = bench.until(|books| books.matched == 4).await;
    assert_eq!((books.parked, books.in_flight, bench.desk.settled_now()), (1, 3, vec![]));
    bench.feed.resume(None, false).await.unwrap();
    assert_eq!(bench.desk.settled(3).await, [Outcome::Ack; 3]);
    bench.until(|books| books.done == 4).await;
    assert_eq!(log.of("a"), calls(&[("a1", 1), ("a2", 1)]));
}

#[tokio::test(start_paused = true)]
async fn a_paused_key_for_which_there_is_no_room_waits_in_its_seat() {
    let log = Log::default();
    let function = log.pool(|id, _| if id == "a2" || id == "b2" { done() } else { again() });
    let retry = Policy { max_attempts: 1, ..pausing(Exhausted::PauseKey) };
    let mut bench = parks_in(Bin::open(), 1, retry, function, Vec::new());
    bench.send_all(vec![of("room", "r1")]).await;
    assert_eq!(bench.desk.settled(1).await, [Outcome::Ack], "the first has room however large it is");
    bench.send_all(vec![of("a", "a1"), of("a", "a2"), of("b", "b1"), of("b", "b2")]).await;
    bench.until(|books| books.failed_attempts == 3).await;
    tokio::time::sleep(HOUR).await;
    assert_eq!((bench.books().in_flight, bench.desk.settled_now()), (4, vec![]));
    assert!(bench.reading.last_error().unwrap().contains("no room for it on the disk: not now"));
    assert_eq!(bench.feed.resume(Some("a".into()), false).await, Ok(Resumed { rule: false, keys: 1 }));
    bench.until(|books| books.failed_attempts == 4).await;
    assert_eq!(bench.feed.resume(Some("b".into()), true).await, Ok(Resumed { rule: false, keys: 1 }));
    assert_eq!(bench.desk.settled(2).await, [Outcome::Ack; 2]);
    let books = bench.until(|books| books.done == 1).await;
    assert_eq!((books.dead_lettered, log.of("b")), ([1, 0, 0, 0], calls(&[("b1", 1), ("b2", 1)])));
    // As soon as there is room the other one leaves its seat; what stands behind it finds none.
    assert_eq!(bench.feed.resume(Some("room".into()), true).await, Ok(Resumed { rule: false, keys: 1 }));
    assert_eq!(bench.desk.settled(1).await, [Outcome::Ack]);
    let books = bench.until(|books| books.parked == 1 && bench.reading.paused().keys == 1).await;
    assert_eq!((books.in_flight, books.dead_lettered), (1, [2, 0, 0, 0]));
    assert_eq!(log.of("a"), calls(&[("a1", 1), ("a1", 1)]));
}
