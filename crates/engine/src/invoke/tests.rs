//! Deadlines, contained panics, and turns.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Waker;
use std::time::Duration;

use futures_util::FutureExt;
use smallvec::SmallVec;
use tokio::sync::Notify;
use tokio::time::{Instant, advance, sleep};

use super::*;
use crate::event::Text;
use crate::fake::{Calls, done, event};
use crate::port::Verdict;

const SECOND: Duration = Duration::from_secs(1);

/// One call of `function` with a second's time.
async fn call<F>(function: F, turns: &Turns) -> Result<Verdicts, Failure>
where
    F: Fn(Event, Call) -> BoxFuture<'static, Verdicts> + Send + Sync,
{
    call_within(SECOND, function, turns).await
}

async fn call_within<F>(time: Duration, function: F, turns: &Turns) -> Result<Verdicts, Failure>
where
    F: Fn(Event, Call) -> BoxFuture<'static, Verdicts> + Send + Sync,
{
    let turn = turns.turn().await;
    let call = Call { rule: Text::new_static("t/r"), attempt: 3, deadline: Instant::now() + time };
    invoke(&Calls(function), &[event("1")], &call, time, turn).await
}

/// Says when it is dropped.
struct Canary(Arc<AtomicUsize>);

impl Drop for Canary {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_learns_its_rule_attempt_and_deadline() {
    let begun = Instant::now();
    let turns = Turns::new(1);
    let answer = call(
        move |event, call| {
            assert_eq!((event.id().as_str(), call.rule.as_str(), call.attempt), ("1", "t/r", 3));
            assert_eq!(call.deadline, begun + SECOND);
            async { done() }.boxed()
        },
        &turns,
    );
    assert_eq!(answer.await, Ok(done()));
}

#[tokio::test(start_paused = true)]
async fn at_the_deadline_the_call_is_dropped() {
    let (begun, drops) = (Instant::now(), Arc::new(AtomicUsize::new(0)));
    let canary = Arc::clone(&drops);
    let turns = Turns::new(1);
    let answer = call(
        move |_, _| {
            let canary = Canary(Arc::clone(&canary));
            async move {
                std::future::pending::<()>().await;
                drop(canary);
                done()
            }
            .boxed()
        },
        &turns,
    );
    assert_eq!(answer.await, Err(Failure::Timeout));
    assert_eq!(begun.elapsed(), SECOND);
    assert_eq!(drops.load(Ordering::SeqCst), 1, "dropped with the answer");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_begins_late_has_its_whole_time() {
    let turns = Turns::new(1);
    let turn = turns.turn().await;
    // As behind a call that has blocked its thread: the deadline was set before.
    let call = Call { rule: Text::new_static("t/r"), attempt: 1, deadline: Instant::now() };
    let function = |_, _| -> BoxFuture<'static, Verdicts> {
        async {
            sleep(SECOND / 2).await;
            done()
        }
        .boxed()
    };
    assert_eq!(invoke(&Calls(function), &[event("1")], &call, SECOND, turn).await, Ok(done()));
}

#[tokio::test(start_paused = true)]
async fn an_answer_just_before_the_deadline_counts() {
    let turns = Turns::new(1);
    let answer = call(
        |_, _| {
            async {
                sleep(SECOND - Duration::from_millis(1)).await;
                done()
            }
            .boxed()
        },
        &turns,
    );
    assert_eq!(answer.await, Ok(done()));
}

#[tokio::test(start_paused = true)]
async fn panics_are_contained_wherever_they_happen() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            if !std::thread::panicking() {
                panic!("while dropped");
            }
        }
    }
    let turns = Turns::new(1);
    let before = call(|_, _| panic!("before its future"), &turns).await;
    assert_eq!(before, Err(Failure::Panicked("before its future".into())));
    let first = call(|event, _| async move { panic!("with {}", event.id()) }.boxed(), &turns).await;
    assert_eq!(first, Err(Failure::Panicked("with 1".into())));
    let later = |_, _| -> BoxFuture<'static, Verdicts> {
        async {
            sleep(Duration::from_millis(10)).await;
            std::panic::panic_any(7)
        }
        .boxed()
    };
    assert_eq!(call(later, &turns).await, Err(Failure::Panicked("no message".into())));
    let dropped = |_, _| -> BoxFuture<'static, Verdicts> {
        async {
            let _bomb = Bomb;
            std::future::pending().await
        }
        .boxed()
    };
    assert_eq!(call(dropped, &turns).await, Err(Failure::Panicked("while dropped".into())));
    assert_eq!(turns.taken(), 0, "a turn is given back however its call ends");
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_turn_takes_nothing_from_the_deadline() {
    let turns = Turns::new(1);
    // Somebody blocks in the only turn while another call waits for it, for longer than its timeout.
    let mut calls = Box::pin(call(
        |_, call| {
            async move {
                assert_eq!(call.deadline, Instant::now() + SECOND);
                sleep(SECOND / 2).await;
                done()
            }
            .boxed()
        },
        &turns,
    ));
    let (counter, waker) = Wakes::waker();
    let held = turns.turn().await;
    assert!(calls.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    assert_eq!((turns.taken(), counter.count()), (1, 0));
    advance(10 * SECOND).await;
    drop(held);
    assert_eq!(counter.count(), 1, "whoever waits is woken");
    assert_eq!(calls.await, Ok(done()));
}

#[test]
fn a_call_that_is_polled_again_and_again_waits_once() {
    let turns = Turns::new(1);
    let (counter, waker) = Wakes::waker();
    let held = turns.turn().now_or_never();
    for _ in 0..10 {
        assert!(turns.poll_turn(&Context::from_waker(&waker)).is_pending());
    }
    drop(held);
    assert_eq!(counter.count(), 1);
}

#[test]
fn a_call_that_is_ready_at_once_gives_its_turn_on_and_any_other_gives_it_back() {
    let turns = Turns::new(1);
    let turn = turns.turn().now_or_never().unwrap();
    let call = Call { rule: Text::new_static("t/r"), attempt: 1, deadline: Instant::now() + SECOND };
    let (events, ready) = ([event("1")], Calls(|_, _| async { done() }.boxed()));
    let mut invocation = invoke(&ready, &events, &call, SECOND, turn);
    assert_eq!((&mut invocation).now_or_never(), Some(Ok(done())));
    assert_eq!(turns.taken(), 1);
    let turn = invocation.into_turn().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let _entered = runtime.enter();
    let slow = Calls(|_, _| std::future::pending().boxed());
    let mut invocation = invoke(&slow, &events, &call, SECOND, turn);
    assert_eq!((&mut invocation).now_or_never(), None);
    assert_eq!(turns.taken(), 0, "while it waits, others run");
    assert!(invocation.into_turn().is_none());
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wakes {
    fn waker() -> (Arc<Wakes>, Waker) {
        let wakes = Arc::new(Wakes::default());
        (Arc::clone(&wakes), Waker::from(wakes))
    }

    fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl std::task::Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_more_calls_than_turns_run_at_once_and_every_one_gets_its_turn() {
    let (turns, running, most) =
        (Arc::new(Turns::new(2)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let tasks = (0..64).map(|_| {
        let (turns, running, most) = (Arc::clone(&turns), Arc::clone(&running), Arc::clone(&most));
        tokio::spawn(async move {
            let function = move |_, _| -> BoxFuture<'static, Verdicts> {
                let (running, most) = (Arc::clone(&running), Arc::clone(&most));
                async move {
                    for _ in 0..50 {
                        most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        std::hint::spin_loop();
                        running.fetch_sub(1, Ordering::SeqCst);
                        tokio::task::yield_now().await;
                    }
                    done()
                }
                .boxed()
            };
            call_within(600 * SECOND, function, &turns).await
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        // That is plenty on any machine; whoever is forgotten would not answer at all, for a forgotten call has no timer yet.
        assert_eq!(task.await.unwrap(), Ok(done()));
    }
    assert!(most.load(Ordering::SeqCst) <= 2);
    assert_eq!(turns.taken(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn functions_that_block_their_threads_leave_one_for_everybody_else() {
    let turns = Arc::new(Turns::new(2));
    let entered = Arc::new(Notify::new());
    let (mut blocked, mut releases) = (Vec::new(), Vec::new());
    for _ in 0..6 {
        let (release, released) = std::sync::mpsc::channel::<()>();
        releases.push(release);
        let (turns, entered) = (Arc::clone(&turns), Arc::clone(&entered));
        let released = parking_lot::Mutex::new(released);
        blocked.push(tokio::spawn(async move {
            let function = move |_, _| -> BoxFuture<'static, Verdicts> {
                entered.notify_one();
                // Blocks the thread itself, also in the part before the future.
                let _ = released.lock().recv();
                async { done() }.boxed()
            };
            call(function, &turns).await
        }));
    }
    entered.notified().await;
    // Sources and lines are ordinary tasks: they all run to their end while six functions want to block three threads.
    for number in 0..100 {
        assert_eq!(tokio::spawn(async move { number }).await.unwrap(), number);
    }
    assert!(turns.taken() <= 2);
    drop(releases);
    for task in blocked {
        assert_eq!(task.await.unwrap(), Ok(done()));
    }
}

#[test]
fn failures_say_what_to_do() {
    let none: Verdicts = SmallVec::<[Verdict; 1]>::new();
    assert!(none.is_empty());
    assert_eq!(
        Failure::Timeout.to_string(),
        "no answer within its timeout; make the function faster or raise `timeout`"
    );
    assert_eq!(Failure::Panicked("oh".into()).to_string(), "the function panicked: oh");
}
