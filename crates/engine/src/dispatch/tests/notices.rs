//! What is told of deliveries that end well: after everything else, until it is confirmed, and by itself.

use futures_util::FutureExt;

use super::parking::{HOUR, ROOM, hourly};
use super::*;
use crate::event::Event;
use crate::fake::Seen;
use crate::notice::SUCCEEDED;
use crate::port::PublishError;

/// An output that says so of results and of notices.
fn output(
    answer: impl Fn(bool) -> Result<(), PublishError> + Send + Sync + 'static,
    now: bool,
) -> (Arc<dyn Output>, Seen) {
    recorder(move |event| {
        let answer = answer(event.r#type() == SUCCEEDED);
        if now { Say::Now(answer) } else { Say::Later(std::future::ready(answer).boxed()) }
    })
}

fn taking() -> (Arc<dyn Output>, Seen) {
    output(|_| Ok(()), true)
}

/// One that fails this often before it takes anything.
fn failing(times: u32, now: bool) -> (Arc<dyn Output>, Seen) {
    let left = AtomicU32::new(times);
    let fails = move || left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
    output(
        move |_| if fails() { Err(PublishError::Retry { after: None, error: "away".to_owned() }) } else { Ok(()) },
        now,
    )
}

/// A bench whose last output is told.
fn tells(function: Option<Pool>, outputs: Vec<Arc<dyn Output>>) -> Bench {
    bench_with(|options| options.outputs = telling(outputs), function, Vec::new())
}

/// These outputs, the last of which is told.
fn telling(outputs: Vec<Arc<dyn Output>>) -> Outlets {
    let mut results = named_all(outputs);
    let told = results.pop().into_iter().collect();
    Outlets::new(results, told)
}

fn counting(results: &'static [&'static str]) -> (Option<Pool>, Arc<AtomicU32>) {
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    let function = judge(move |_, _| {
        counted.fetch_add(1, Ordering::SeqCst);
        one(Verdict::Done(results.iter().map(|id| event(id)).collect()))
    });
    (pool(function), calls)
}

fn results(notice: &Event) -> Vec<String> {
    let data: serde_json::Value = serde_json::from_slice(notice.data().unwrap()).unwrap();
    data["results"].as_array().unwrap().iter().map(|result| result["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_notice_follows_the_results_and_has_them_in_it() {
    for ids in [&["a", "b"][..], &[]] {
        let ((pool, _), (first, results_seen), (told, seen)) = (counting(ids), taking(), taking());
        let mut bench = tells(pool, vec![first, told]);
        bench.send(&["1"]).await;
        assert_eq!(bench.desk.settled(1).await, [Outcome::Ack]);
        assert_eq!(results_seen.ids(), *ids, "it goes nowhere else");
        let notices = seen.events();
        assert_eq!((notices.len(), notices[0].r#type().as_str()), (1, SUCCEEDED));
        assert_eq!(results(&notices[0]), *ids);
        assert_eq!(notices[0].extension("function").map(|name| name.text().into_owned()).as_deref(), Some("f"));
        assert_eq!(bench.books(), Books { matched: 1, done: 1, ..Books::default() });
    }
}

#[tokio::test(start_paused = true)]
async fn a_rule_without_a_function_tells_of_the_event_that_it_forwarded() {
    let ((first, forwarded), (told, seen)) = (taking(), taking());
    let mut bench = tells(None, vec![first, told]);
    bench.send(&["1"]).await;
    assert_eq!(bench.desk.settled(1).await, [Outcome::Ack]);
    assert_eq!((forwarded.ids().len(), results(&seen.events()[0])), (1, vec!["1".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn whoever_is_not_told_holds_the_delivery_open_and_nothing_else_is_repeated() {
    for now in [true, false] {
        let ((pool, calls), (first, results_seen), (told, seen)) = (counting(&["a"]), taking(), failing(2, now));
        let mut bench = tells(pool, vec![first, told]);
        bench.send(&["1"]).await;
        assert_eq!(bench.desk.settled(1).await, [Outcome::Ack]);
        assert_eq!((calls.load(Ordering::SeqCst), results_seen.ids().len(), seen.ids().len()), (1, 1, 3));
        let ids = seen.ids();
        assert!(ids.iter().all(|id| *id == ids[0]), "it is the same notice: {ids:?}");
        assert_eq!(bench.books(), Books { matched: 1, done: 1, failed_attempts: 2, ..Books::default() });
        assert_eq!(bench.reading.last_error().as_deref(), Some("output 'o1': away"));
    }
}

#[tokio::test(start_paused = true)]
async fn results_that_fail_first_keep_their_notice_and_each_has_its_own_attempts() {
    // Two failures each: with attempts in common, the third attempt would be the last.
    let ((pool, calls), (first, results_seen), (told, seen)) = (counting(&["a"]), failing(2, true), failing(2, true));
    let mut bench = tells(pool, vec![first, told]);
    bench.send(&["1"]).await;
    assert_eq!(bench.desk.settled(1).await, [Outcome::Ack]);
    assert_eq!((calls.load(Ordering::SeqCst), results_seen.ids().len(), seen.ids().len()), (1, 3, 3));
    assert_eq!(results(&seen.events()[0]), ["a"]);
    assert_eq!(bench.books(), Books { matched: 1, done: 1, failed_attempts: 4, ..Books::default() });
}

#[tokio::test(start_paused = true)]
async fn a_notice_that_nobody_takes_is_a_dead_letter() {
    let ((pool, _), (told, seen)) = (counting(&[]), failing(u32::MAX, true));
    let mut bench = tells(pool, vec![told]);
    bench.send(&["1"]).await;
    assert_eq!(bench.desk.settled(1).await, [Outcome::Ack]);
    assert_eq!(seen.ids().len(), 3);
    let records = bench.bin.records();
    assert_eq!((&records[0]["event"]["id"], &records[0]["message"]), (&"1".into(), &"output 'o0': away".into()));
    assert_eq!(bench.books().dead_lettered, [1, 0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn nobody_is_told_of_what_did_not_end_well() {
    for verdict in [Verdict::Drop, Verdict::Reject { reason: "no".to_owned() }] {
        let (told, seen) = taking();
        let mut bench = tells(pool(judge(move |_, _| one(verdict.clone()))), vec![told]);
        bench.send(&["1"]).await;
        assert_eq!(bench.desk.settled(1).await, [Outcome::Ack]);
        assert_eq!(seen.ids().len(), 0);
    }
}

/// A bench that parks, whose last output is told.
fn parks_telling(bin: Bin, function: Option<Pool>, outputs: Vec<Arc<dyn Output>>) -> Bench {
    let lot = bin.yard(ROOM).lot("t/r".into(), HOUR, true).unwrap();
    let change = |options: &mut Options| {
        (options.retry, options.lot, options.outputs) = (hourly(), Some(lot), telling(outputs));
    };
    bench_on(bin, change, function, Vec::new())
}

#[tokio::test]
async fn a_notice_outlives_a_crash_wherever_its_delivery_was() {
    for results_fail in [true, false] {
        let ((pool, calls), (told, _)) = (counting(&["a"]), failing(u32::from(!results_fail), true));
        let (first, _) = failing(u32::from(results_fail), true);
        let mut bench = parks_telling(Bin::open(), pool, vec![first, told]);
        bench.send(&["1"]).await;
        assert_eq!(bench.desk.settled(1).await, [Outcome::Ack], "it is on the disk");
        let bin = bench.crashed().await;
        let ((pool, _), (first, results_seen), (told, seen)) = (counting(&["b"]), taking(), taking());
        let bench = parks_telling(bin, pool, vec![first, told]);
        tokio::time::pause();
        let books = bench.until(|books| books.done == 1).await;
        assert_eq!((books.recovered, calls.load(Ordering::SeqCst)), (1, 1));
        assert_eq!(results_seen.ids().len(), usize::from(results_fail), "only what was not confirmed");
        assert_eq!(seen.events().iter().map(results).collect::<Vec<_>>(), [["a"]]);
        tokio::time::resume();
    }
}
