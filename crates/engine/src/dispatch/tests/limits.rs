//! How many deliveries of a rule are under way at once.

use std::sync::atomic::AtomicUsize;

use super::*;
use crate::event::Name;
use crate::fake::Say;
use crate::port::PublishError;

/// How many calls there are now, and were there at most.
#[derive(Clone, Default)]
struct Crowd(Arc<(AtomicUsize, AtomicUsize)>);

impl Crowd {
    fn enter(&self) {
        let now = self.0.0.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.1.fetch_max(now, Ordering::SeqCst);
    }
    fn leave(&self) {
        self.0.0.fetch_sub(1, Ordering::SeqCst);
    }
    fn most(&self) -> usize {
        self.0.1.load(Ordering::SeqCst)
    }
}

/// A pool of eight whose calls take a second each.
fn eight(crowd: &Crowd, answer: fn(&Event, u32) -> Verdicts) -> Option<Pool> {
    let crowd = crowd.clone();
    let function = Calls(move |event: Event, call: Call| -> BoxFuture<'static, Verdicts> {
        let crowd = crowd.clone();
        Box::pin(async move {
            crowd.enter();
            tokio::time::sleep(SECOND).await;
            crowd.leave();
            answer(&event, call.attempt)
        })
    });
    Some(running(options(Arc::new(function), 8, 8)))
}

#[tokio::test(start_paused = true)]
async fn no_more_than_the_limit_are_called_at_once_and_all_are_in_the_end() {
    let crowd = Crowd::default();
    let mut bench = bench_with(|options| options.max_in_flight = 3, eight(&crowd, |_, _| done()), Vec::new());
    bench.send(&["1", "2", "3", "4", "5", "6", "7"]).await;
    let begun = Instant::now();
    assert_eq!(bench.desk.settled(7).await, [Outcome::Ack; 7]);
    assert_eq!((crowd.most(), begun.elapsed().as_secs()), (3, 3), "three at a time, in three rounds");
    assert_eq!(bench.books(), Books { matched: 7, done: 7, ..Books::default() });
}

#[tokio::test(start_paused = true)]
async fn one_that_waits_for_another_attempt_leaves_its_room_to_others() {
    let crowd = Crowd::default();
    let answer = |event: &Event, attempt| if event.id() == "late" && attempt < 3 { again() } else { done() };
    let mut bench = bench_with(|options| options.max_in_flight = 1, eight(&crowd, answer), Vec::new());
    bench.send(&["late", "1", "2"]).await;
    let begun = Instant::now();
    assert_eq!(bench.desk.settled(3).await, [Outcome::Ack; 3]);
    assert_eq!(crowd.most(), 1);
    // It, the two that wait for room, it again, and once more after a second's pause.
    assert_eq!(begun.elapsed().as_secs(), 6);
}

#[tokio::test(start_paused = true)]
async fn what_an_output_has_not_confirmed_takes_room_and_what_is_given_up_does_not() {
    let (open, opened) = tokio::sync::watch::channel(false);
    let (output, seen) = recorder(move |event| {
        if event.id() == "never" {
            return Say::Now(Err(PublishError::Reject { reason: "no".to_owned() }));
        }
        let mut opened = opened.clone();
        Say::Later(Box::pin(async move {
            let _ = opened.wait_for(|open| *open).await;
            Ok(())
        }))
    });
    let mut bench = bench_with(|options| options.max_in_flight = 2, None, vec![output]);
    bench.send(&["never", "1", "2", "3"]).await;
    assert_eq!(bench.desk.settled(1).await, [Outcome::Ack], "the one that is refused is on record");
    settle_down().await;
    assert_eq!(seen.ids(), ["never", "1", "2"], "two are not confirmed");
    open.send_replace(true);
    assert_eq!(bench.desk.settled(3).await, [Outcome::Ack; 3]);
    assert_eq!(bench.books(), Books { matched: 4, done: 3, dead_lettered: [0, 1, 0, 0], ..Books::default() });
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_room_goes_back_when_its_source_wants_it_and_the_order_stands() {
    let crowd = Crowd::default();
    let mut bench = bench_with(|options| options.max_in_flight = 1, eight(&crowd, |_, _| done()), Vec::new());
    let key = Name::new("partitionkey").unwrap();
    let events = [("a", "1"), ("b", "2"), ("a", "3"), ("b", "4")];
    let events = events.map(|(of, id)| event(id).with_extension(key.clone(), of));
    let batch = bench.desk.arrivals(events).await;
    bench.feed.send(batch);
    settle_down().await;
    let recall = bench.desk.recall([1]);
    bench.feed.recall(recall);
    assert_eq!(bench.desk.settled(1).await, [Outcome::Retry { after: Duration::ZERO }]);
    let begun = Instant::now();
    assert_eq!(bench.desk.settled(3).await, [Outcome::Ack; 3]);
    assert_eq!((crowd.most(), begun.elapsed().as_secs()), (1, 3));
    assert_eq!(bench.books(), Books { matched: 4, done: 3, handed_back: 1, ..Books::default() });
}

#[tokio::test(start_paused = true)]
async fn a_rate_spreads_calls_and_publishes_and_a_rest_allows_a_burst() {
    let begun = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&begun);
    let function = judge(move |event, call| {
        noted.lock().push(Instant::now());
        if event.id() == "twice" && call.attempt == 1 { again() } else { done() }
    });
    let burst = 2.try_into().unwrap();
    let rate = Rate { period: Duration::from_millis(200), burst };
    let start = Instant::now();
    let mut bench = bench_with(|options| options.rate = Some(rate), pool(function), Vec::new());
    bench.send(&["twice", "1", "2", "3", "4"]).await;
    assert_eq!(bench.desk.settled(5).await, [Outcome::Ack; 5]);
    advance(Duration::from_secs(5)).await;
    bench.send(&["5", "6", "7"]).await;
    assert_eq!(bench.desk.settled(3).await, [Outcome::Ack; 3]);
    let at: Vec<_> = begun.lock().drain(..).map(|at| (at - start).as_millis() / 100).collect();
    // The second attempt is due after a second, when there was a rest of two periods.
    assert_eq!(at, [0, 0, 2, 4, 6, 10, 60, 60, 62]);
    assert_eq!(bench.books(), Books { matched: 8, done: 8, failed_attempts: 1, ..Books::default() });
}
