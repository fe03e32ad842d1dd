//! How many may wait on the disk: what is beyond that keeps its seat, and nothing that waits already is held up by it.

use super::parking::{HOUR, Log, ROOM, calls, hourly, of, parks_in};
use super::*;
use crate::retry::{Exhausted, Room};

fn bounded(rule: u64, key: u32) -> Policy {
    Policy { room: Room { rule, key }, ..hourly() }
}

#[tokio::test]
async fn beyond_so_many_rows_a_delivery_keeps_its_seat_and_the_others_go_on() {
    let log = Log::default();
    let function = log.pool(|id, attempt| if id.starts_with("bad") && attempt < 3 { again() } else { done() });
    let mut bench = parks_in(Bin::open(), ROOM, bounded(2, u32::MAX), function, Vec::new());
    bench.send_all(vec![event("bad 1"), event("bad 2")]).await;
    assert_eq!(bench.desk.settled(2).await, [Outcome::Ack; 2]);
    bench.send_all(vec![event("bad 3"), event("good")]).await;
    let books = bench.until(|books| books.done == 1 && books.failed_attempts == 3).await;
    assert_eq!((books.parked, books.in_flight, bench.desk.settled_now()), (2, 1, vec![Outcome::Ack]));
    tokio::time::pause();
    let books = bench.until(|books| books.done == 4).await;
    assert_eq!((books.parked, books.failed_attempts), (0, 6), "their own rows are written again");
}

#[tokio::test]
async fn beyond_so_many_of_a_key_its_followers_keep_their_seats() {
    let log = Log::default();
    let function = log.pool(|id, attempt| if id == "a1" && attempt < 3 { again() } else { done() });
    let mut bench = parks_in(Bin::open(), ROOM, bounded(u64::MAX, 2), function, Vec::new());
    bench.send_all(vec![of("a", "a1"), of("a", "a2"), of("a", "a3"), of("a", "a4"), of("b", "b1")]).await;
    assert_eq!(bench.desk.settled(3).await, [Outcome::Ack; 3], "the first, the second, and that of the other key");
    let books = bench.until(|books| books.parked == 2 && books.done == 1).await;
    assert_eq!(books.in_flight, 2);
    let bin = bench.crashed().await;
    // As many as that are left of an earlier run count, too.
    let function = log.pool(|id, attempt| if id == "a1" && attempt < 3 { again() } else { done() });
    let mut bench = parks_in(bin, ROOM, bounded(u64::MAX, 2), function, Vec::new());
    bench.send_all(vec![of("a", "a5")]).await;
    let books = bench.until(|books| books.matched == 1).await;
    assert_eq!((books.in_flight, bench.desk.settled_now()), (1, vec![]));
    tokio::time::pause();
    assert_eq!(bench.desk.settled(1).await, [Outcome::Ack]);
    bench.until(|books| books.done == 3).await;
    assert_eq!(log.of("a"), calls(&[("a1", 1), ("a1", 2), ("a1", 3), ("a2", 1), ("a5", 1)]));
}

#[tokio::test(start_paused = true)]
async fn what_stands_behind_a_paused_key_finds_the_room_that_another_one_leaves() {
    let log = Log::default();
    let function = log.pool(|id, _| if id == "a1" || id == "b1" { again() } else { done() });
    let retry = Policy { max_attempts: 1, exhausted: Exhausted::PauseKey, ..bounded(3, u32::MAX) };
    let mut bench = parks_in(Bin::open(), ROOM, retry, function, Vec::new());
    bench.send_all(vec![of("b", "b1"), of("b", "b2")]).await;
    assert_eq!(bench.desk.settled(2).await, [Outcome::Ack; 2]);
    bench.until(|_| bench.reading.paused().keys == 1).await;
    bench.send_all(vec![of("a", "a1"), of("a", "a2"), of("a", "a3")]).await;
    assert_eq!(bench.desk.settled(1).await, [Outcome::Ack], "room for the head and for nobody else");
    tokio::time::sleep(HOUR).await;
    assert_eq!((bench.books().in_flight, bench.desk.settled_now()), (2, vec![]));
    bench.feed.resume(Some("b".into()), true).await.unwrap();
    assert_eq!(bench.desk.settled(2).await, [Outcome::Ack; 2], "though nothing of its own key has moved");
    let books = bench.until(|books| books.parked == 3).await;
    assert_eq!((books.in_flight, books.done, log.of("a")), (0, 1, calls(&[("a1", 1)])));
}
