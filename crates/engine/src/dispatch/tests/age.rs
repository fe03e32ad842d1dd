//! Deliveries that are too old: wherever they wait, none is tried beyond its age, and none waits for nothing.

use super::parking::{HOUR, Log, ROOM, calls, hourly, of, parks_in};
use super::*;
use crate::fake::Hand;
use crate::retry::Hold;

const MINUTE: Duration = Duration::from_secs(60);

/// Three attempts, an hour apart, within an hour and a half.
fn aging() -> Policy {
    Policy { max_age: Some(90 * MINUTE), ..hourly() }
}

fn letters(bench: &Bench) -> Vec<(String, String, u64, String)> {
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let letter = |record: &serde_json::Value| {
        (
            text(&record["event"]["id"]),
            text(&record["reason"]),
            record["attempts"].as_u64().unwrap(),
            text(&record["message"]),
        )
    };
    bench.bin.records().iter().map(letter).collect()
}

fn expired(id: &str, attempts: u64, why: &str) -> (String, String, u64, String) {
    (id.to_owned(), "expired".to_owned(), attempts, format!("it is older than 90m ('maxAge'){why}"))
}

#[tokio::test]
async fn what_is_parked_ends_when_it_would_be_tried_and_so_does_what_stands_behind_it() {
    let (log, wall) = (Log::default(), Hand::default());
    let function = log.pool(|id, _| if id.starts_with("good") { done() } else { again() });
    let mut bench = parks_in(wall.bin(), ROOM, aging(), function, Vec::new());
    bench.send_all(vec![of("a", "a1"), of("a", "a2")]).await;
    bench.desk.settled(2).await;
    wall.pass(HOUR);
    bench.send_all(vec![of("a", "good")]).await;
    bench.desk.settled(1).await;
    wall.pass(HOUR / 2);
    tokio::time::pause();
    let books = bench.until(|books| books.done == 1).await;
    assert_eq!(
        books,
        Books { matched: 3, done: 1, dead_lettered: [0, 0, 2, 0], failed_attempts: 1, ..Books::default() }
    );
    assert_eq!(log.of(""), calls(&[("a1", 1), ("good", 1)]));
    assert_eq!(letters(&bench), [expired("a1", 1, ": not now"), expired("a2", 0, " and was never tried")]);
}

#[tokio::test]
async fn a_row_keeps_the_time_of_its_receipt_over_a_crash() {
    let (log, wall) = (Log::default(), Hand::default());
    let mut bench = parks_in(wall.bin(), ROOM, hourly(), log.pool(|_, _| again()), Vec::new());
    bench.send_all(vec![event("1")]).await;
    bench.desk.settled(1).await;
    wall.pass(HOUR);
    let bin = bench.crashed().await;
    wall.pass(HOUR / 2);
    tokio::time::pause();
    let bench = parks_in(bin, ROOM, aging(), log.pool(|_, _| again()), Vec::new());
    bench.until(|books| books.dead_lettered == [0, 0, 1, 0]).await;
    assert_eq!((log.of(""), letters(&bench)), (calls(&[("1", 1)]), vec![expired("1", 1, ": not now")]));
}

#[tokio::test]
async fn nothing_waits_for_an_attempt_that_it_will_not_have() {
    let (log, wall) = (Log::default(), Hand::default());
    let mut bench = parks_in(wall.bin(), ROOM, aging(), log.pool(|_, _| again()), Vec::new());
    let mut old = event("1");
    old.received_at(wall.stamp());
    wall.pass(HOUR);
    bench.send_all(vec![old]).await;
    bench.desk.settled(1).await;
    let bin = bench.crashed().await;
    tokio::time::pause();
    let lot = bin.yard(ROOM).lot("t/r".into(), HOUR, true).unwrap();
    assert_eq!(lot.due(), Some(Instant::now() + 30 * MINUTE), "and not in an hour");
}

#[tokio::test]
async fn what_waits_in_its_seat_ends_at_its_age() {
    let (log, wall) = (Log::default(), Hand::default());
    let retry = Policy { hold: Hold::Source, ..aging() };
    let change = |options: &mut Options| options.retry = retry;
    let mut bench = bench_on(wall.bin(), change, log.pool(|_, _| again()), Vec::new());
    bench.send(&["1"]).await;
    bench.until(|books| books.failed_attempts == 1).await;
    wall.pass(90 * MINUTE);
    tokio::time::pause();
    assert_eq!(bench.desk.settled(1).await, [Outcome::Ack]);
    assert_eq!(letters(&bench), [expired("1", 1, ": not now")]);
}

#[tokio::test]
async fn what_waits_for_room_is_looked_at_when_its_turn_comes() {
    let (log, wall) = (Log::default(), Hand::default());
    let (answer, answered) = tokio::sync::watch::channel(false);
    let (begun, mut begins) = tokio::sync::watch::channel(false);
    let seen = log.clone();
    let slow = Arc::new(Calls(move |event: Event, call: Call| -> BoxFuture<'static, Verdicts> {
        seen.note(&event, call.attempt);
        begun.send_replace(true);
        let mut answered = answered.clone();
        Box::pin(async move {
            let _ = answered.wait_for(|answered| *answered).await;
            done()
        })
    }));
    let change = |options: &mut Options| {
        (options.retry, options.max_in_flight, options.timeout) = (aging(), 1, HOUR);
    };
    let mut bench = bench_on(wall.bin(), change, pool(slow), Vec::new());
    bench.send(&["1", "2"]).await;
    begins.wait_for(|begun| *begun).await.unwrap();
    wall.pass(2 * HOUR);
    bench.send(&["3"]).await;
    answer.send_replace(true);
    assert_eq!(bench.desk.settled(3).await, [Outcome::Ack; 3]);
    bench.until(|books| books.done == 2 && books.dead_lettered == [0, 0, 1, 0]).await;
    assert_eq!(letters(&bench), [expired("2", 0, " and was never tried")], "the first had begun in time");
    assert_eq!(log.of(""), calls(&[("1", 1), ("3", 1)]));
}

#[tokio::test]
async fn what_has_waited_in_a_spool_is_as_old_as_it_was_there() {
    let (log, wall) = (Log::default(), Hand::default());
    let mut bench = parks_in(wall.bin(), ROOM, aging(), log.pool(|_, _| done()), Vec::new());
    let [mut old, mut new] = [event("old"), event("new")];
    old.received_at(wall.stamp());
    wall.pass(MINUTE);
    new.received_at(wall.stamp());
    wall.pass(89 * MINUTE);
    bench.send_all(vec![old, new]).await;
    assert_eq!(bench.desk.settled(2).await, [Outcome::Ack; 2]);
    bench.until(|books| books.done == 1 && books.dead_lettered == [0, 0, 1, 0]).await;
    assert_eq!((log.of(""), letters(&bench)), (calls(&[("new", 1)]), vec![expired("old", 0, " and was never tried")]));
}
