//! Results on their way to outputs: only what is not confirmed is published again.

use futures_util::FutureExt;

use super::*;
use crate::event::{Event, Name, Trace};
use crate::fake::Seen;
use crate::port::PublishError;

fn later() -> PublishError {
    PublishError::Retry { after: None, error: "the far side is away".to_owned() }
}

fn never() -> PublishError {
    PublishError::Reject { reason: "too large".to_owned() }
}

/// An output that refuses the event called `id` this many times.
fn refusing(id: &'static str, times: u32, error: PublishError, now: bool) -> (Arc<dyn Output>, Seen) {
    let left = AtomicU32::new(times);
    recorder(move |event| {
        let refuses = event.id() == id
            && left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        let answer = if refuses { Err(error.clone()) } else { Ok(()) };
        if now { Say::Now(answer) } else { Say::Later(std::future::ready(answer).boxed()) }
    })
}

/// A function that answers with these results, and how often it was called.
fn producing(ids: &'static [&'static str]) -> (Option<Pool>, Arc<AtomicU32>) {
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    let function = judge(move |_, _| {
        counted.fetch_add(1, Ordering::SeqCst);
        one(Verdict::Done(ids.iter().map(|id| event(id)).collect()))
    });
    (pool(function), calls)
}

#[tokio::test(start_paused = true)]
async fn a_refused_result_is_published_again_and_nothing_else_is_repeated() {
    for now in [true, false] {
        let (pool, calls) = producing(&["a", "b"]);
        let (good, good_seen) = recorder(|_| Say::Now(Ok(())));
        let (bad, bad_seen) = refusing("b", 2, later(), now);
        let mut bench = bench(pool, vec![good, bad]);
        bench.send(&["1"]).await;
        assert_eq!(bench.desk.settled(1).await, [Outcome::Ack]);
        assert_eq!(calls.load(Ordering::SeqCst), 1, "the call is not repeated");
        assert_eq!(good_seen.ids(), ["a", "b"]);
        assert_eq!(bad_seen.ids(), ["a", "b", "b", "b"]);
        assert_eq!(bench.books(), Books { matched: 1, done: 1, failed_attempts: 2, ..Books::default() });
        assert_eq!(bench.reading.last_error().as_deref(), Some("output 'o1': the far side is away"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_result_goes_on_with_the_trace_of_its_event() {
    const ORIGIN: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const HOP: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let own = || Name::new(Trace::PARENT).unwrap();
    let traces = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&traces);
    let (output, _) = recorder(move |event: &Event| {
        let said = event.extension(Trace::PARENT).map(|value| value.text().into_owned());
        noted.lock().push((said, event.trace().map(|trace| trace.parent().to_owned())));
        Say::Now(Ok(()))
    });
    let function = judge(move |same, _| {
        let other = event("b").with_extension(own(), HOP);
        one(Verdict::Done(vec![event("a"), other, same.clone()]))
    });
    let mut bench = bench(pool(function), vec![output]);
    let mut traced = event("1").with_extension(own(), ORIGIN);
    traced.carried_by(Trace::read(HOP, None).unwrap());
    let batch = bench.desk.arrivals([traced, event("2")]).await;
    bench.feed.send(batch);
    assert_eq!(bench.desk.settled(2).await, [Outcome::Ack; 2]);
    let (origin, hop) = (Some(ORIGIN.to_owned()), Some(HOP.to_owned()));
    let [kept, other, none] = [(origin, hop.clone()), (hop.clone(), hop), (None, None)];
    assert_eq!(*traces.lock(), [kept.clone(), other.clone(), kept, none.clone(), other, none]);
}

#[tokio::test(start_paused = true)]
async fn attempts_to_publish_are_counted_by_themselves() {
    let attempts = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&attempts);
    let function = judge(move |_, call| {
        counted.store(call.attempt, Ordering::SeqCst);
        if call.attempt < 3 { again() } else { one(Verdict::Done(vec![event("a")])) }
    });
    let (output, seen) = refusing("a", 2, later(), true);
    let mut bench = bench(pool(function), vec![output]);
    bench.send(&["1"]).await;
    assert_eq!(bench.desk.settled(1).await, [Outcome::Ack]);
    assert_eq!((attempts.load(Ordering::SeqCst), seen.ids().len()), (3, 3));
    assert_eq!(bench.books(), Books { matched: 1, done: 1, failed_attempts: 4, ..Books::default() });
}

#[tokio::test(start_paused = true)]
async fn an_output_that_stays_away_exhausts_the_delivery() {
    let (pool, calls) = producing(&["a"]);
    let (output, seen) = refusing("a", u32::MAX, later(), false);
    let mut bench = bench(pool, vec![output]);
    bench.send(&["1"]).await;
    assert_eq!(bench.desk.settled(1).await, [Outcome::Ack]);
    assert_eq!((calls.load(Ordering::SeqCst), seen.ids().len()), (1, 3));
    let records = bench.bin.records();
    assert_eq!((&records[0]["reason"], &records[0]["attempts"]), (&"exhausted".into(), &3.into()));
    assert_eq!(records[0]["event"]["id"], "1", "the event itself is kept, not the result");
    assert_eq!(bench.books().dead_lettered, [1, 0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_result_that_will_never_be_accepted_ends_the_delivery() {
    let (pool, _) = producing(&["a", "b"]);
    let (away, away_seen) = refusing("a", 1, later(), false);
    let (picky, picky_seen) = refusing("b", 1, never(), true);
    let mut bench = bench(pool, vec![away, picky]);
    bench.send(&["1"]).await;
    assert_eq!(bench.desk.settled(1).await, [Outcome::Ack]);
    assert_eq!(bench.books(), Books { matched: 1, dead_lettered: [0, 1, 0, 0], ..Books::default() });
    assert_eq!(bench.bin.records()[0]["message"], "output 'o1': too large");
    assert_eq!((away_seen.ids().len(), picky_seen.ids().len()), (2, 2), "what is final outranks what may pass");
}

#[tokio::test(start_paused = true)]
async fn the_receipt_waits_for_the_last_confirmation() {
    let (confirm, confirmed) = tokio::sync::watch::channel(0_usize);
    let (output, seen) = recorder(move |event| {
        let (mut confirmed, wanted) = (confirmed.clone(), event.id().parse::<usize>().unwrap());
        Say::Later(
            async move { confirmed.wait_for(|count| *count >= wanted).await.map(|_| ()).map_err(|_| never()) }.boxed(),
        )
    });
    let (pool, _) = producing(&["1", "2"]);
    let mut bench = bench(pool, vec![output]);
    bench.send(&["x"]).await;
    settle_down().await;
    assert_eq!(seen.ids(), ["1", "2"]);
    confirm.send_replace(1);
    settle_down().await;
    assert_eq!((bench.desk.settled_now(), bench.books().in_flight), (vec![], 1));
    confirm.send_replace(2);
    assert_eq!(bench.desk.settled(1).await, [Outcome::Ack]);
    assert_eq!(bench.books(), Books { matched: 1, done: 1, ..Books::default() });
}

#[tokio::test(start_paused = true)]
async fn a_rule_without_a_function_forwards_the_event_to_every_output() {
    let (first, first_seen) = recorder(|_| Say::Now(Ok(())));
    let (second, second_seen) = refusing("1", 1, later(), true);
    let mut bench = bench(None, vec![first, second]);
    bench.send(&["1", "2"]).await;
    assert_eq!(bench.desk.settled(2).await, [Outcome::Ack; 2]);
    assert_eq!(first_seen.ids(), ["1", "2"]);
    assert_eq!(second_seen.ids(), ["1", "2", "1"]);
    assert_eq!(bench.books(), Books { matched: 2, done: 2, failed_attempts: 1, ..Books::default() });
}

#[tokio::test(start_paused = true)]
async fn a_binding_that_panics_fails_its_event_only() {
    let (rude, _) = recorder(|event| match event.id().as_str() {
        "now" => panic!("oh"),
        "later" => Say::Later(Box::pin(async { panic!("oh later") })),
        _ => Say::Now(Ok(())),
    });
    let mut bench = bench(None, vec![rude]);
    bench.send(&["now", "later", "fine"]).await;
    assert_eq!(bench.desk.settled(3).await, [Outcome::Ack; 3]);
    assert_eq!(
        bench.books(),
        Books { matched: 3, done: 1, dead_lettered: [2, 0, 0, 0], failed_attempts: 6, ..Books::default() }
    );
    let messages: Vec<_> = bench.bin.records().iter().map(|record| record["message"].to_string()).collect();
    assert_eq!(messages, ["\"output 'o0': it panicked: oh\"", "\"output 'o0': it gave up without an answer\""]);
}

#[tokio::test(start_paused = true)]
async fn what_was_being_published_is_handed_back_and_its_confirmation_ignored() {
    let (confirm, confirmed) = tokio::sync::watch::channel(false);
    let (output, seen) = recorder(move |_| {
        let mut confirmed = confirmed.clone();
        Say::Later(async move { confirmed.wait_for(|done| *done).await.map(|_| ()).map_err(|_| never()) }.boxed())
    });
    let mut bench = bench(None, vec![output]);
    bench.send(&["1"]).await;
    settle_down().await;
    assert_eq!(seen.ids(), ["1"]);
    assert_eq!(bench.feed.hand_back().await, 1);
    confirm.send_replace(true);
    settle_down().await;
    assert_eq!(bench.desk.settled(1).await, [Outcome::Retry { after: Duration::ZERO }]);
    assert_eq!(bench.books(), Books { matched: 1, handed_back: 1, ..Books::default() });
}
