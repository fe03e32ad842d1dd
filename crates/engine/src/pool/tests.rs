//! The size of a pool, and who gets which job.

mod queue;
mod threads;
mod waiting;

use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{advance, timeout};

use super::*;
use crate::dispatch::testing::Client;
use crate::event::Event;
use crate::fake::{Calls, Starts, done, judge, options, running, settle_down};
use crate::port::{BoxFuture, Call, StartError, Verdicts, Worker};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// A function whose calls end when the gate opens, and how many of them are under way.
fn gated() -> (Arc<dyn Function>, watch::Sender<bool>, Arc<AtomicUsize>) {
    let (open, opened) = watch::channel(false);
    let running = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&running);
    let function = Calls(move |_: Event, _: Call| -> BoxFuture<'static, Verdicts> {
        let (mut opened, counted) = (opened.clone(), Arc::clone(&counted));
        Box::pin(async move {
            counted.fetch_add(1, Ordering::SeqCst);
            let _ = opened.wait_for(|open| *open).await;
            counted.fetch_sub(1, Ordering::SeqCst);
            done()
        })
    });
    (Arc::new(function), open, running)
}

fn sizes(pool: &Pool) -> (usize, usize, usize) {
    let reading = pool.read();
    (reading.workers, reading.busy, reading.queued)
}

#[tokio::test(start_paused = true)]
async fn the_minimum_is_there_without_work_and_stays() {
    let pool = running(options(judge(|_, _| done()), 2, 4));
    settle_down().await;
    assert_eq!(sizes(&pool), (2, 0, 0));
    advance(HOUR).await;
    settle_down().await;
    assert_eq!(sizes(&pool), (2, 0, 0));
    assert_eq!(pool.read().started, 2);
}

#[tokio::test(start_paused = true)]
async fn an_arrival_wakes_a_pool_at_zero_at_once() {
    let (pool, mut client) = (running(options(judge(|_, _| done()), 0, 1)), Client::new(SECOND));
    settle_down().await;
    assert_eq!(sizes(&pool), (0, 0, 0));
    let begun = Instant::now();
    pool.submit(&mut client.jobs(["a"]));
    assert_eq!(client.answers().await, [(1, Ok(crate::port::Verdict::Done(Vec::new())))]);
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn while_events_wait_workers_start_up_to_the_maximum_at_once() {
    let (function, open, running_calls) = gated();
    let (pool, mut client) = (running(options(function, 0, 3)), Client::new(HOUR));
    let begun = Instant::now();
    pool.submit(&mut client.jobs(["a", "b", "c", "d", "e"]));
    settle_down().await;
    assert_eq!((sizes(&pool), running_calls.load(Ordering::SeqCst)), ((3, 3, 2), 3));
    assert_eq!(begun.elapsed(), Duration::ZERO, "nobody waited for a sweep");
    open.send_replace(true);
    client.numbers(5).await;
    settle_down().await;
    assert_eq!(sizes(&pool), (3, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn an_idle_worker_is_used_before_another_is_started() {
    let (pool, mut client) = (running(options(judge(|_, _| done()), 1, 8)), Client::new(SECOND));
    settle_down().await;
    for _ in 0..20 {
        pool.submit(&mut client.jobs(["a"]));
        client.answers().await;
        settle_down().await;
    }
    assert_eq!(pool.read().started, 1);
}

#[tokio::test(start_paused = true)]
async fn a_worker_runs_as_many_calls_at_once_as_its_concurrency() {
    let (function, open, calls) = gated();
    let pool = running(Options { concurrency: 3, ..options(function, 1, 1) });
    let mut client = Client::new(HOUR);
    pool.submit(&mut client.jobs(["a", "b", "c", "d", "e"]));
    settle_down().await;
    assert_eq!((sizes(&pool), calls.load(Ordering::SeqCst)), ((1, 1, 2), 3));
    open.send_replace(true);
    client.numbers(5).await;
}

#[tokio::test(start_paused = true)]
async fn a_pool_is_resized_while_it_runs() {
    let (function, open, calls) = gated();
    let (pool, mut client) = (running(options(function, 0, 1)), Client::new(HOUR));
    pool.submit(&mut client.jobs(["a", "b", "c", "d", "e", "f"]));
    settle_down().await;
    assert_eq!(sizes(&pool), (1, 1, 5));
    pool.resize(Limits { min: 2, max: 4 });
    settle_down().await;
    assert_eq!((sizes(&pool), calls.load(Ordering::SeqCst)), ((4, 4, 2), 4));
    pool.resize(Limits { min: 0, max: 1 });
    settle_down().await;
    assert_eq!((pool.read().workers, calls.load(Ordering::SeqCst)), (1, 4), "those above finish what they hold");
    open.send_replace(true);
    client.numbers(6).await;
    settle_down().await;
    assert_eq!((sizes(&pool), calls.load(Ordering::SeqCst)), ((1, 0, 0), 0));
}

#[tokio::test(start_paused = true)]
async fn a_minimum_above_the_maximum_starts_nobody_in_vain() {
    let pool = running(options(judge(|_, _| done()), 5, 2));
    settle_down().await;
    assert_eq!((sizes(&pool), pool.read().started), ((2, 0, 0), 2));
}

#[tokio::test(start_paused = true)]
async fn idle_workers_stop_down_to_the_minimum_and_busy_ones_stay() {
    let (function, open, calls) = gated();
    let (pool, mut client) = (running(options(function, 1, 4)), Client::new(HOUR));
    pool.submit(&mut client.jobs(["a", "b", "c", "d"]));
    settle_down().await;
    open.send_replace(true);
    client.numbers(4).await;
    open.send_replace(false);
    pool.submit(&mut client.jobs(["e", "f"]));
    advance(MINUTE - SECOND).await;
    settle_down().await;
    assert_eq!(sizes(&pool), (4, 2, 0), "not idle for long enough");
    advance(MINUTE / 6 + SECOND).await;
    settle_down().await;
    assert_eq!((sizes(&pool), calls.load(Ordering::SeqCst)), ((2, 2, 0), 2), "never with an event in hand");
    open.send_replace(true);
    client.numbers(2).await;
    advance(2 * MINUTE).await;
    settle_down().await;
    assert_eq!(sizes(&pool), (1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_job_that_arrives_while_the_last_worker_retires_is_served() {
    // Every moment around the sweep that ends the worker, from before the keeper looks until the worker is gone.
    for moment in 0..40 {
        let (pool, mut client) = (running(options(judge(|_, _| done()), 0, 1)), Client::new(SECOND));
        pool.submit(&mut client.jobs(["a"]));
        client.answers().await;
        settle_down().await;
        advance(MINUTE + MINUTE / 6).await;
        for _ in 0..moment {
            tokio::task::yield_now().await;
        }
        pool.submit(&mut client.jobs(["b"]));
        let answered = timeout(Duration::from_millis(1), client.answers()).await;
        assert!(answered.is_ok(), "forgotten {moment} steps after the sweep: {:?}", pool.read());
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_does_not_start_is_visible_and_tried_again_with_back_off() {
    let attempts = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&attempts);
    let start = Starts(move || -> BoxFuture<'static, Result<Box<dyn Worker>, StartError>> {
        let mut seen = seen.lock();
        seen.push(Instant::now());
        match seen.len() {
            1..=4 => Box::pin(async { Err(StartError { message: "no such file".to_owned(), cause: None }) }),
            5 => panic!("at once"),
            6 => Box::pin(async { panic!("later") }),
            _ => Box::pin(async {
                Ok(Box::new(Calls(|_, _| -> BoxFuture<'static, Verdicts> { Box::pin(async { done() }) })) as _)
            }),
        }
    });
    let (pool, mut client) = (running(options(Arc::new(start), 0, 1)), Client::new(SECOND));
    pool.submit(&mut client.jobs(["a"]));
    settle_down().await;
    assert_eq!(pool.read().start_error.as_deref(), Some("no such file"));
    assert_eq!(sizes(&pool), (0, 0, 1), "the job waits");
    client.answers().await;
    assert_eq!((pool.read().start_error, pool.read().started), (None, 1));
    let times = attempts.lock();
    let gaps: Vec<_> = times.windows(2).map(|pair| (pair[1] - pair[0]).as_millis()).collect();
    // Doubling from 100 ms with up to a quarter taken off, and a tick of the timer.
    for (gap, longest) in gaps.iter().zip([100, 200, 400, 800, 1600, 3200]) {
        assert!((longest * 3 / 4..=longest + 1).contains(gap), "{gaps:?}");
    }
    assert_eq!(gaps.len(), 6);
}

/// A function whose first start never ends and whose others are there at once; and how many were begun.
fn first_start_hangs() -> (Arc<dyn Function>, Arc<AtomicUsize>) {
    let begun = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&begun);
    let start = Starts(move || -> BoxFuture<'static, Result<Box<dyn Worker>, StartError>> {
        if counted.fetch_add(1, Ordering::SeqCst) == 0 {
            return Box::pin(std::future::pending());
        }
        Box::pin(async {
            Ok(Box::new(Calls(|_, _| -> BoxFuture<'static, Verdicts> { Box::pin(async { done() }) })) as _)
        })
    });
    (Arc::new(start), begun)
}

#[tokio::test(start_paused = true)]
async fn a_start_that_hangs_holds_up_neither_the_next_nor_retirement() {
    let (function, begun) = first_start_hangs();
    let (pool, mut client) = (running(options(function, 0, 2)), Client::new(SECOND));
    pool.submit(&mut client.jobs(["a", "b"]));
    assert_eq!(client.numbers(2).await, [1, 2]);
    assert_eq!((sizes(&pool), begun.load(Ordering::SeqCst)), ((1, 0, 0), 2));
    advance(2 * MINUTE).await;
    settle_down().await;
    assert_eq!(sizes(&pool), (0, 0, 0), "the idle one went");
}

#[tokio::test(start_paused = true)]
async fn a_single_event_waits_for_a_start_that_hangs_no_longer_than_its_patience() {
    let (function, begun) = first_start_hangs();
    let (pool, mut client) = (running(options(function, 0, 2)), Client::new(SECOND));
    pool.submit(&mut client.jobs(["a"]));
    settle_down().await;
    assert_eq!((sizes(&pool), begun.load(Ordering::SeqCst)), ((0, 0, 1), 1), "one event, one start");
    assert_eq!(client.numbers(1).await, [1]);
    assert_eq!(begun.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn no_more_workers_start_at_once_than_the_pool_has_room_for() {
    let begun = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&begun);
    let start = Starts(move || -> BoxFuture<'static, Result<Box<dyn Worker>, StartError>> {
        counted.fetch_add(1, Ordering::SeqCst);
        Box::pin(std::future::pending())
    });
    let (pool, mut client) = (running(options(Arc::new(start), 1, 3)), Client::new(SECOND));
    settle_down().await;
    assert_eq!(begun.load(Ordering::SeqCst), 1, "the minimum");
    pool.submit(&mut client.jobs(["x"; 10]));
    advance(HOUR).await;
    settle_down().await;
    assert_eq!((sizes(&pool), begun.load(Ordering::SeqCst)), ((0, 0, 10), 3));
}

#[test]
fn the_pause_between_starts_is_capped() {
    for failures in [8, 20, u32::MAX] {
        let pause = starts::pause(failures);
        assert!(pause <= starts::PAUSE_MAX && pause >= starts::PAUSE_MAX / 2, "{pause:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_panics_when_it_is_dropped_does_not_count_any_more() {
    struct Rude;
    impl Worker for Rude {
        fn call<'a>(&'a self, _: &'a [Event], _: &'a Call) -> BoxFuture<'a, Verdicts> {
            Box::pin(async { done() })
        }
    }
    impl Drop for Rude {
        fn drop(&mut self) {
            panic!("while dropped");
        }
    }
    let start = Starts(|| -> BoxFuture<'static, Result<Box<dyn Worker>, StartError>> {
        Box::pin(async { Ok(Box::new(Rude) as _) })
    });
    let (pool, mut client) = (running(options(Arc::new(start), 0, 1)), Client::new(SECOND));
    for started in 1..4 {
        pool.submit(&mut client.jobs(["a"]));
        client.answers().await;
        settle_down().await;
        assert_eq!((sizes(&pool), pool.read().started), ((1, 0, 0), started));
        advance(2 * MINUTE).await;
        settle_down().await;
        assert_eq!(sizes(&pool), (0, 0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_taken_behind_a_call_that_waits_is_served_by_others_and_first() {
    let (open, opened) = watch::channel(false);
    let function = Calls(move |event: Event, _: Call| -> BoxFuture<'static, Verdicts> {
        let mut opened = opened.clone();
        Box::pin(async move {
            if event.id() == "slow" {
                let _ = opened.wait_for(|open| *open).await;
            }
            done()
        })
    });
    let (pool, mut client) = (running(options(Arc::new(function), 2, 2)), Client::new(HOUR));
    settle_down().await;
    // The function was quick so far, so that a worker takes many at once.
    pool.0.queue.served(1_000.0, false);
    pool.submit(&mut client.jobs(["slow", "a", "b", "c", "d", "e", "f", "g"]));
    assert_eq!(client.numbers(7).await, [2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(sizes(&pool), (2, 1, 0));
    open.send_replace(true);
    assert_eq!(client.numbers(1).await, [1]);
}

#[tokio::test(start_paused = true)]
async fn two_rules_that_share_a_function_are_served_in_turn() {
    let order = Arc::new(Mutex::new(String::new()));
    let seen = Arc::clone(&order);
    let pool = running(options(
        judge(move |event, _| {
            seen.lock().push_str(event.id());
            done()
        }),
        0,
        1,
    ));
    let (mut one, mut other) = (Client::new(SECOND), Client::new(SECOND));
    pool.submit(&mut one.jobs(["a", "b", "c"]));
    pool.submit(&mut other.jobs(["X", "Y"]));
    pool.submit(&mut one.jobs(["d", "e"]));
    assert_eq!((one.numbers(5).await, other.numbers(2).await), (vec![1, 2, 3, 4, 5], vec![1, 2]));
    assert_eq!(*order.lock(), "aXbYcde");
}

#[tokio::test(start_paused = true)]
async fn a_closed_pool_ends_with_empty_hands() {
    let (function, open, calls) = gated();
    let (pool, mut client) = (running(options(function, 2, 2)), Client::new(HOUR));
    pool.submit(&mut client.jobs(["a"]));
    settle_down().await;
    pool.close();
    let waiting = pool.clone();
    let mut ended = tokio::spawn(async move { waiting.ended().await });
    settle_down().await;
    assert!(!ended.is_finished() && client.is_silent());
    open.send_replace(true);
    assert_eq!(client.numbers(1).await, [1]);
    (&mut ended).await.unwrap();
    assert_eq!((sizes(&pool), calls.load(Ordering::SeqCst)), ((0, 0, 0), 0));
}

#[tokio::test(start_paused = true)]
async fn calls_that_do_not_end_are_dropped_when_nobody_waits_for_them_any_more() {
    let (function, _open, _) = gated();
    let (pool, mut client) = (running(options(function, 1, 1)), Client::new(HOUR));
    pool.submit(&mut client.jobs(["a"]));
    settle_down().await;
    pool.close();
    assert!(timeout(SECOND, pool.ended()).await.is_err());
    assert_eq!(client.answers().await, [(1, Err(crate::invoke::Failure::Lost))]);
    assert_eq!(sizes(&pool), (0, 0, 0));
}
