//! A line against fakes: what is repeated and what is not, when a receipt settles, and that the books always balance.

mod age;
mod circuits;
mod copies;
mod lanes;
mod limits;
mod lives;
mod model;
mod notices;
mod parking;
mod publishing;
mod recall;
mod renewal;
mod room;
mod seats;
mod stop;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, advance};

use super::*;
use crate::account::Name;
use crate::circuit::Way;
use crate::dead_letter::{Reason, Selection, Targets};
use crate::delivery::Outcome;
use crate::fake::{Bin, Calls, Desk, Say, again, done, event, judge, one, options, recorder, running, settle_down};
use crate::pool::Pool;
use crate::port::{BoxFuture, Call, Function, Output, Verdicts};
use crate::retry::{Backoff, Policy};
use crate::store::Quota;

const SECOND: Duration = Duration::from_secs(1);

/// A line, its source's desk and its dead letters.
struct Bench {
    desk: Desk,
    bin: Bin,
    feed: Feed,
    reading: Reading,
    task: tokio::task::JoinHandle<()>,
}

/// Three attempts, a second apart.
fn policy() -> Policy {
    Policy { max_attempts: 3, backoff: Backoff::Constant, delay: SECOND, jitter: 0.0, ..Policy::default() }
}

fn bench(function: Option<Pool>, outputs: Vec<Arc<dyn Output>>) -> Bench {
    bench_with(|_| (), function, outputs)
}

/// A bench whose line is made of something else.
fn bench_with(change: impl FnOnce(&mut Options), function: Option<Pool>, outputs: Vec<Arc<dyn Output>>) -> Bench {
    bench_on(Bin::open(), change, function, outputs)
}

/// Outputs called `o0`...
fn named_all(outputs: Vec<Arc<dyn Output>>) -> Vec<Named> {
    outputs.into_iter().enumerate().map(|(at, output)| (format!("o{at}").into(), output)).collect()
}

/// The same with these dead letters.
fn bench_on(
    bin: Bin,
    change: impl FnOnce(&mut Options),
    function: Option<Pool>,
    outputs: Vec<Arc<dyn Output>>,
) -> Bench {
    let mut options = plain(&bin, function, outputs);
    change(&mut options);
    let (feed, reading, line) = Line::new(options);
    let task = tokio::spawn(line.run());
    Bench { desk: Desk::new(64), bin, feed, reading, task }
}

/// What a line is made of that does what is written nowhere.
fn plain(bin: &Bin, function: Option<Pool>, outputs: Vec<Arc<dyn Output>>) -> Options {
    Options {
        rule: "t/r".into(),
        function: function.map(|pool| ("f".into(), pool)),
        outputs: Outlets::new(named_all(outputs), Vec::new()),
        ordered: true,
        way: Way::default(),
        max_in_flight: usize::MAX,
        max_seats: usize::MAX,
        rate: None,
        weight: Weight::MIN,
        retry: policy(),
        timeout: 2 * SECOND,
        postbox: bin.postbox.clone(),
        lot: None,
        pace: Arc::default(),
        pen: bin.account.pen(Name { name: "t/r".into(), ..Name::default() }),
    }
}

impl Bench {
    async fn send(&mut self, ids: &[&str]) {
        let batch = self.desk.arrivals(ids.iter().map(|id| event(id))).await;
        self.feed.send(batch);
    }

    fn books(&self) -> Books {
        let books = self.reading.books();
        assert!(books.balance(), "{books:?}");
        assert!(self.desk.ledger.read().balance());
        books
    }
}

fn pool(function: Arc<dyn Function>) -> Option<Pool> {
    Some(running(options(function, 1, 1)))
}

#[tokio::test(start_paused = true)]
async fn a_delivery_is_done_when_its_function_says_so() {
    let mut bench = bench(pool(judge(|_, _| done())), Vec::new());
    bench.send(&["1", "2"]).await;
    assert_eq!(bench.desk.settled(2).await, [Outcome::Ack; 2]);
    assert_eq!(bench.books(), Books { matched: 2, done: 2, ..Books::default() });
    assert_eq!(bench.reading.last_error(), None);
}

#[tokio::test(start_paused = true)]
async fn failures_are_repeated_as_the_policy_says_with_attempts_counted() {
    let attempts = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&attempts);
    let function = judge(move |_, call| {
        seen.lock().push((call.attempt, Instant::now()));
        if call.attempt < 3 { again() } else { done() }
    });
    let mut bench = bench(pool(function), Vec::new());
    let begun = Instant::now();
    bench.send(&["1"]).await;
    assert_eq!(bench.desk.settled(1).await, [Outcome::Ack]);
    let seen: Vec<_> = attempts.lock().iter().map(|(attempt, at)| (*attempt, *at - begun)).collect();
    assert_eq!(seen.iter().map(|(attempt, _)| *attempt).collect::<Vec<_>>(), [1, 2, 3]);
    // The timer ticks in milliseconds.
    assert_eq!(seen.iter().map(|(_, at)| at.as_secs()).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(bench.books(), Books { matched: 1, done: 1, failed_attempts: 2, ..Books::default() });
    assert_eq!(bench.reading.last_error().as_deref(), Some("not now"));
}

#[tokio::test(start_paused = true)]
async fn every_way_to_fail_is_an_attempt() {
    let at = Arc::new(AtomicU32::new(0));
    let function = Arc::new(Calls(move |_, _| -> BoxFuture<'static, Verdicts> {
        match at.fetch_add(1, Ordering::SeqCst) {
            0 => panic!("at once"),
            1 => Box::pin(std::future::pending()),
            _ => Box::pin(async { Verdicts::new() }),
        }
    }));
    let mut bench = bench(pool(function), Vec::new());
    bench.send(&["1"]).await;
    assert_eq!(bench.desk.settled(1).await, [Outcome::Ack]);
    settle_down().await;
    assert_eq!(
        bench.books(),
        Books { matched: 1, dead_lettered: [1, 0, 0, 0], failed_attempts: 3, ..Books::default() }
    );
    let records = bench.bin.records();
    assert_eq!((records.len(), &records[0]["reason"], &records[0]["attempts"]), (1, &"exhausted".into(), &3.into()));
    assert_eq!((&records[0]["code"], &records[0]["redrives"]), (&"silent".into(), &0.into()));
    let message = "function 'f': the function answered without a verdict for this event";
    assert_eq!((&records[0]["message"], &records[0]["event"]["id"]), (&message.into(), &"1".into()));
}

#[tokio::test(start_paused = true)]
async fn a_wish_for_a_later_retry_is_obeyed_within_bounds() {
    let times = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&times);
    let function = judge(move |_, call| {
        seen.lock().push(Instant::now());
        match call.attempt {
            1 => one(Verdict::Retry { after: Some(4 * SECOND), error: "later".to_owned() }),
            2 => one(Verdict::Retry { after: Some(3600 * SECOND), error: "much later".to_owned() }),
            _ => done(),
        }
    });
    let mut bench = bench(pool(function), Vec::new());
    bench.send(&["1"]).await;
    bench.desk.settled(1).await;
    let times = times.lock();
    let gaps: Vec<_> = times.windows(2).map(|pair| (pair[1] - pair[0]).as_secs()).collect();
    assert_eq!(gaps, [4, 5], "5 s is the policy's longest delay");
}

#[tokio::test(start_paused = true)]
async fn a_rejected_delivery_is_on_record_before_its_receipt_settles() {
    let function = judge(|_, _| one(Verdict::Reject { reason: "it is broken".to_owned() }));
    let mut bench = bench(pool(function), Vec::new());
    bench.send(&["1"]).await;
    assert_eq!(bench.desk.settled(1).await, [Outcome::Ack]);
    let records = bench.bin.records();
    assert_eq!((&records[0]["reason"], &records[0]["attempts"]), (&"rejected".into(), &1.into()));
    assert_eq!((&records[0]["rule"], &records[0]["function"]), (&"t/r".into(), &"f".into()));
    settle_down().await;
    assert_eq!(bench.books(), Books { matched: 1, dead_lettered: [0, 1, 0, 0], ..Books::default() });
}

#[tokio::test(start_paused = true)]
async fn without_its_record_a_delivery_stays_in_flight() {
    let function = judge(|_, _| one(Verdict::Reject { reason: "it is broken".to_owned() }));
    let mut bench = bench(pool(function), Vec::new());
    bench.bin.task.abort();
    bench.send(&["1"]).await;
    settle_down().await;
    advance(60 * SECOND).await;
    settle_down().await;
    assert_eq!(bench.desk.settled_now(), []);
    assert_eq!(bench.books(), Books { matched: 1, in_flight: 1, ..Books::default() });
    assert_eq!(bench.feed.hand_back().await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_rule_with_too_many_dead_letters_begins_nothing_new_until_there_is_room() {
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    let function = judge(move |event, _| {
        counted.fetch_add(1, Ordering::SeqCst);
        if event.id() == "bad" { one(Verdict::Reject { reason: "it is bad".to_owned() }) } else { done() }
    });
    let bin = Bin::with(Quota { max_bytes: Some(1), ..Quota::default() });
    let mut other = bench(pool(judge(|_, _| done())), Vec::new());
    let mut bench = bench_on(bin, |_| (), pool(function), Vec::new());
    bench.send(&["bad"]).await;
    assert_eq!(bench.desk.settled(1).await, [Outcome::Ack], "dying waits for no quota");
    bench.send(&["1", "2", "3"]).await;
    other.send(&["1"]).await;
    assert_eq!(other.desk.settled(1).await, [Outcome::Ack]);
    settle_down().await;
    assert_eq!((calls.load(Ordering::SeqCst), bench.books().in_flight), (1, 3));
    assert!(bench.reading.last_error().unwrap().contains("deadLetters.maxBytes"));
    // A source that wants one back has it at once.
    let recall = bench.desk.recall([2]);
    bench.feed.recall(recall);
    assert_eq!(bench.desk.settled(1).await, [Outcome::Retry { after: Duration::ZERO }]);
    assert_eq!(bench.bin.archive.purge(&Selection::default()).await.unwrap(), 1);
    assert_eq!(bench.desk.settled(2).await, [Outcome::Ack; 2]);
    settle_down().await;
    assert_eq!(calls.load(Ordering::SeqCst), 3);
    let dead_lettered = [0, 1, 0, 0];
    assert_eq!(bench.books(), Books { matched: 4, done: 2, dead_lettered, handed_back: 1, ..Books::default() });
}

#[tokio::test(start_paused = true)]
async fn a_follower_of_one_that_was_too_many_waits_like_what_is_new() {
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    let function = judge(move |event, _| match (event.id().as_str(), counted.fetch_add(1, Ordering::SeqCst)) {
        ("bad", _) => one(Verdict::Reject { reason: "it is bad".to_owned() }),
        _ => done(),
    });
    let bin = Bin::with(Quota { max_bytes: Some(1), ..Quota::default() });
    let mut bench = bench_on(bin, |_| (), pool(function), Vec::new());
    let key = crate::event::Name::new("partitionkey").unwrap();
    let keyed = ["bad", "follower"].map(|id| event(id).with_extension(key.clone(), "k"));
    let batch = bench.desk.arrivals(keyed).await;
    bench.feed.send(batch);
    assert_eq!(bench.desk.settled(1).await, [Outcome::Ack]);
    settle_down().await;
    assert_eq!((calls.load(Ordering::SeqCst), bench.books().in_flight), (1, 1));
    assert_eq!(bench.bin.archive.purge(&Selection::default()).await.unwrap(), 1);
    assert_eq!(bench.desk.settled(1).await, [Outcome::Ack]);
    settle_down().await;
    assert_eq!(bench.books(), Books { matched: 2, done: 1, dead_lettered: [0, 1, 0, 0], ..Books::default() });
}

#[tokio::test(start_paused = true)]
async fn a_delivery_that_nobody_wants_is_counted_and_not_kept() {
    let mut bench = bench(pool(judge(|_, _| one(Verdict::Drop))), Vec::new());
    bench.send(&["1"]).await;
    assert_eq!(bench.desk.settled(1).await, [Outcome::Ack]);
    assert_eq!(bench.books(), Books { matched: 1, dropped: [1, 0, 0], ..Books::default() });
    assert_eq!(bench.bin.records(), Vec::<serde_json::Value>::new());
}

#[tokio::test(start_paused = true)]
async fn a_rule_without_anything_to_do_is_done() {
    let mut bench = bench(None, Vec::new());
    bench.send(&["1"]).await;
    assert_eq!(bench.desk.settled(1).await, [Outcome::Ack]);
    assert_eq!(bench.books(), Books { matched: 1, done: 1, ..Books::default() });
}

#[tokio::test(start_paused = true)]
async fn what_is_handed_back_goes_to_its_source_and_late_answers_are_ignored() {
    let (output, seen) = recorder(|_| Say::Now(Ok(())));
    let (answer, answered) = tokio::sync::watch::channel(false);
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    let function = Arc::new(Calls(move |_, _: Call| -> BoxFuture<'static, Verdicts> {
        let mut answered = answered.clone();
        counted.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            let _ = answered.wait_for(|answered| *answered).await;
            one(Verdict::Done(vec![event("late")]))
        })
    }));
    let pool = running(options(function, 2, 2));
    let mut bench = bench(Some(pool.clone()), vec![output]);
    bench.send(&["1", "2", "3"]).await;
    settle_down().await;
    assert_eq!((calls.load(Ordering::SeqCst), bench.books().in_flight), (2, 3));
    assert_eq!(bench.feed.hand_back().await, 3);
    let retry = Outcome::Retry { after: Duration::ZERO };
    assert_eq!(bench.desk.settled(3).await, [retry; 3]);
    answer.send_replace(true);
    settle_down().await;
    assert_eq!(bench.books(), Books { matched: 3, handed_back: 3, ..Books::default() });
    assert_eq!(seen.ids(), Vec::<Text>::new());
    // Whoever comes later is told at once.
    assert_eq!(bench.feed.hand_back().await, 0);
    bench.send(&["4"]).await;
    assert_eq!(bench.desk.settled(1).await, [retry]);
    assert_eq!(pool.read().busy, 0);
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_does_not_end_the_next_owner_of_its_slot() {
    let mut table = delivery::Table::default();
    let mut desk = Desk::new(2);
    let mut arrivals = desk.arrivals([event("1"), event("2")]).await;
    let (second, first) = (arrivals.remove(1), arrivals.remove(0));
    let old = table.insert(first, 0);
    assert!(table.settle(old, Outcome::Ack, |_| ()).is_some());
    let new = table.insert(second, 0);
    assert!(table.get(old).is_none() && table.settle(old, Outcome::Ack, |_| ()).is_none());
    assert_eq!((table.len(), table.get(new).is_some()), (1, true));
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_dropped_is_a_failed_attempt() {
    #[expect(clippy::disallowed_methods, reason = "it is what a line holds")]
    let (answers, mut answered) = mpsc::unbounded_channel();
    let caller = Arc::new(Caller::new("t/r".into(), SECOND, Weight::MIN, answers));
    let key = Key { slot: 0, serial: 7 };
    drop(Job { event: event("1"), attempt: 1, caller, since: 0, key, answered: false });
    let Some(Message::Finished(batch)) = answered.recv().await else { panic!("nothing came") };
    assert_eq!((batch.len(), batch[0].key, &batch[0].verdict), (1, key, &Err(Failure::Lost)));
}
