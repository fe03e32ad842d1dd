//! What a source wants back: it goes at once unless somebody works on it, and nobody works on what has gone.

use std::collections::HashMap;

use futures_util::FutureExt;
use tokio::sync::watch;

use super::*;
use crate::invoke::Turns;
use crate::pool::Options as PoolOptions;
use crate::port::PublishError;

const BACK: Outcome = Outcome::Retry { after: Duration::ZERO };

/// How many calls are there now, and were there ever.
#[derive(Clone, Default)]
struct Count {
    now: Arc<AtomicU32>,
    ever: Arc<AtomicU32>,
}

impl Count {
    fn begin(&self) -> Guard {
        self.now.fetch_add(1, Ordering::SeqCst);
        self.ever.fetch_add(1, Ordering::SeqCst);
        Guard(Arc::clone(&self.now))
    }
    fn read(&self) -> (u32, u32) {
        (self.now.load(Ordering::SeqCst), self.ever.load(Ordering::SeqCst))
    }
}

/// A call that is there until it is dropped.
struct Guard(Arc<AtomicU32>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A function whose calls end when the gate opens.
fn gated() -> (Arc<dyn Function>, Count, watch::Sender<bool>) {
    let (open, opened) = watch::channel(false);
    let calls = Count::default();
    let counted = calls.clone();
    let function = Calls(move |_, _: Call| -> BoxFuture<'static, Verdicts> {
        let (mut opened, guard) = (opened.clone(), counted.begin());
        Box::pin(async move {
            let _ = opened.wait_for(|open| *open).await;
            drop(guard);
            done()
        })
    });
    (Arc::new(function), calls, open)
}

impl Bench {
    fn recall(&mut self, numbers: impl IntoIterator<Item = usize>) {
        let recall = self.desk.recall(numbers);
        self.feed.recall(recall);
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_runs_is_dropped_before_its_event_goes_back_and_the_others_go_on() {
    let (function, calls, open) = gated();
    let mut bench = bench(Some(running(options(function, 2, 2))), Vec::new());
    bench.send(&["1", "2"]).await;
    settle_down().await;
    assert_eq!(calls.read(), (2, 2));
    bench.recall([0]);
    assert_eq!(bench.desk.settled(1).await, [BACK]);
    assert_eq!(calls.read(), (1, 2), "its call is gone, its neighbour's is not");
    let error = bench.reading.last_error().expect("it was an attempt");
    assert!(error.contains("function 'f'") && error.contains("called off"), "{error}");
    open.send_replace(true);
    assert_eq!(bench.desk.settled(1).await, [Outcome::Ack]);
    assert_eq!(bench.books(), Books { matched: 2, done: 1, handed_back: 1, failed_attempts: 1, ..Books::default() });
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_worker_goes_back_without_a_call() {
    let (function, calls, open) = gated();
    let mut bench = bench(Some(running(options(function, 1, 1))), Vec::new());
    bench.send(&["1", "2", "3", "4"]).await;
    settle_down().await;
    bench.recall([1, 3]);
    assert_eq!(bench.desk.settled(2).await, [BACK; 2]);
    assert_eq!(calls.read(), (1, 1));
    // And what has just come, before the pool has heard of it.
    let batch = bench.desk.arrivals([event("5")]).await;
    bench.feed.send(batch);
    bench.recall([4]);
    assert_eq!(bench.desk.settled(1).await, [BACK]);
    open.send_replace(true);
    assert_eq!(bench.desk.settled(2).await, [Outcome::Ack; 2]);
    assert_eq!(calls.read(), (0, 2));
    assert_eq!(bench.books(), Books { matched: 5, done: 2, handed_back: 3, ..Books::default() });
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_its_next_attempt_goes_back_at_once() {
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    let function = judge(move |_, _| {
        counted.fetch_add(1, Ordering::SeqCst);
        again()
    });
    let mut bench = bench(pool(function), Vec::new());
    bench.send(&["1", "2"]).await;
    settle_down().await;
    let begun = Instant::now();
    bench.recall([0]);
    assert_eq!(bench.desk.settled(1).await, [BACK]);
    assert_eq!((begun.elapsed(), calls.load(Ordering::SeqCst)), (Duration::ZERO, 2));
    assert_eq!(bench.desk.settled(1).await, [Outcome::Ack], "the other one is given up in its own time");
    settle_down().await;
    let books =
        Books { matched: 2, dead_lettered: [1, 0, 0, 0], handed_back: 1, failed_attempts: 4, ..Books::default() };
    assert_eq!((bench.books(), calls.load(Ordering::SeqCst)), (books, 4));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_answers_in_the_same_moment_counts() {
    let (function, calls, open) = gated();
    let mut bench = bench(Some(running(options(function, 1, 1))), Vec::new());
    bench.send(&["1"]).await;
    settle_down().await;
    open.send_replace(true);
    bench.recall([0]);
    assert_eq!(bench.desk.settled(1).await, [Outcome::Ack]);
    assert_eq!(calls.read(), (0, 1));
    // What has settled is not there to be asked for, and who has its seat next is not meant.
    bench.recall([0]);
    bench.send(&["2"]).await;
    assert_eq!(bench.desk.settled(1).await, [Outcome::Ack]);
    assert_eq!(bench.books(), Books { matched: 2, done: 2, ..Books::default() });
}

#[tokio::test(start_paused = true)]
async fn the_last_attempt_that_is_called_off_gives_the_event_up() {
    let (function, calls, _open) = gated();
    let attempts = Arc::new(AtomicU32::new(0));
    let fails = Arc::clone(&attempts);
    let function = Arc::new(Calls(move |event, call: Call| -> BoxFuture<'static, Verdicts> {
        fails.store(call.attempt, Ordering::SeqCst);
        if call.attempt < 3 {
            return async { again() }.boxed();
        }
        let inner = Arc::clone(&function);
        async move { inner.start().await.unwrap().call(&[event], &call).await }.boxed()
    }));
    let mut bench = bench(pool(function), Vec::new());
    bench.send(&["1"]).await;
    while attempts.load(Ordering::SeqCst) < 3 {
        advance(SECOND).await;
        settle_down().await;
    }
    bench.recall([0]);
    assert_eq!(bench.desk.settled(1).await, [Outcome::Ack]);
    let records = bench.bin.records();
    assert_eq!((records.len(), &records[0]["reason"], &records[0]["attempts"]), (1, &"exhausted".into(), &3.into()));
    assert_eq!(calls.read(), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn results_on_their_way_cannot_be_called_back_but_are_not_tried_again() {
    for (answer, wanted) in
        [(Ok(()), Outcome::Ack), (Err(PublishError::Retry { after: None, error: "away".to_owned() }), BACK)]
    {
        let (confirm, confirmed) = watch::channel(false);
        let (output, seen) = recorder(move |_| {
            let (mut confirmed, answer) = (confirmed.clone(), answer.clone());
            Say::Later(
                async move {
                    let _ = confirmed.wait_for(|confirmed| *confirmed).await;
                    answer
                }
                .boxed(),
            )
        });
        let mut bench = bench(pool(judge(|_, _| one(Verdict::Done(vec![event("a")])))), vec![output]);
        bench.send(&["1"]).await;
        settle_down().await;
        bench.recall([0]);
        settle_down().await;
        assert_eq!(bench.desk.settled_now(), []);
        confirm.send_replace(true);
        assert_eq!(bench.desk.settled(1).await, [wanted]);
        assert_eq!(seen.ids().len(), 1);
        bench.books();
    }
}

#[tokio::test(start_paused = true)]
async fn results_that_wait_to_be_published_again_do_not_hold_their_event() {
    let (output, seen) = recorder(|_| Say::Now(Err(PublishError::Retry { after: None, error: "away".to_owned() })));
    let mut bench = bench(None, vec![output]);
    bench.send(&["1"]).await;
    settle_down().await;
    bench.recall([0]);
    assert_eq!(bench.desk.settled(1).await, [BACK]);
    assert_eq!(seen.ids().len(), 1);
    assert_eq!(bench.books(), Books { matched: 1, handed_back: 1, failed_attempts: 1, ..Books::default() });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_function_that_blocks_its_thread_keeps_its_event_and_those_that_wait_for_a_turn_go_back() {
    let (release, released) = std::sync::mpsc::channel::<()>();
    let (entered, entries) = std::sync::mpsc::channel::<()>();
    let (released, entered) = (Arc::new(Mutex::new(released)), Arc::new(Mutex::new(entered)));
    let blocking = judge(move |_, _| {
        let _ = entered.lock().send(());
        let _ = released.lock().recv();
        done()
    });
    let turns = Arc::new(Turns::new(1));
    let pool = running(PoolOptions { turns: Arc::clone(&turns), ..options(blocking, 2, 2) });
    let mut bench = bench(Some(pool), Vec::new());
    bench.send(&["1", "2"]).await;
    tokio::task::spawn_blocking(move || entries.recv()).await.unwrap().unwrap();
    let second = bench.desk.recall([0, 1]);
    bench.feed.recall(second);
    // One of them blocks the only turn, and the other has not begun.
    assert_eq!(bench.desk.settled(1).await, [BACK]);
    assert!(
        bench.desk.settled_now().is_empty() && turns.taken() == 1,
        "nobody can take an event from a blocked thread"
    );
    drop(release);
    assert_eq!(bench.desk.settled(1).await, [Outcome::Ack], "it was done once, and says so");
}

/// Random events on real threads, some of which are wanted back at random moments: each is done once or given back, and
/// none is given back while its call is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_given_back_while_it_runs_and_nothing_is_forgotten() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let states: Arc<Mutex<HashMap<Text, i32>>> = Arc::default();
    let seen = Arc::clone(&states);
    let function = Arc::new(Calls(move |event: Event, _: Call| -> BoxFuture<'static, Verdicts> {
        let (seen, id) = (Arc::clone(&seen), event.id().clone());
        *seen.lock().entry(id.clone()).or_default() += 1;
        let guard = scopeguard(move || *seen.lock().get_mut(&id).unwrap() -= 1);
        let steps = fastrand::u32(..4);
        async move {
            for _ in 0..steps {
                match fastrand::u32(..3) {
                    0 => std::thread::yield_now(),
                    1 => tokio::task::yield_now().await,
                    _ => tokio::time::sleep(Duration::from_micros(fastrand::u64(..300))).await,
                }
            }
            drop(guard);
            done()
        }
        .boxed()
    }));
    let pool = running(PoolOptions { concurrency: 2, turns: Arc::new(Turns::new(2)), ..options(function, 1, 3) });
    for round in 0..200 {
        let mut bench = bench(Some(pool.clone()), Vec::new());
        let ids: Vec<String> = (0..40).map(|number| format!("{round}.{number}")).collect();
        bench.send(&ids.iter().map(String::as_str).collect::<Vec<_>>()).await;
        let (mut acked, mut back) = (0, 0);
        for _ in 0..3 {
            let wanted: Vec<_> = (0..ids.len()).filter(|_| random.u32(..3) == 0).collect();
            bench.recall(wanted);
            tokio::task::yield_now().await;
            for outcome in bench.desk.settled_now() {
                if outcome == BACK { back += 1 } else { acked += 1 }
            }
        }
        while acked + back < ids.len() {
            bench
                .desk
                .more()
                .await
                .into_iter()
                .for_each(|outcome| if outcome == BACK { back += 1 } else { acked += 1 });
        }
        assert!(states.lock().values().all(|calls| *calls == 0), "a call outlived its event");
        // They are written at the end of a turn.
        while bench.books().in_flight > 0 {
            tokio::task::yield_now().await;
        }
        let books = bench.books();
        assert_eq!((books.done, books.handed_back), (acked as u64, back as u64), "{books:?}");
    }
    assert_eq!(pool.read().queued, 0);
}

/// Runs a closure when it is dropped.
fn scopeguard(end: impl FnMut() + Send + 'static) -> impl Drop + Send {
    struct End<F: FnMut()>(F);
    impl<F: FnMut()> Drop for End<F> {
        fn drop(&mut self) {
            (self.0)();
        }
    }
    End(end)
}
