//! Pools on real threads: races between retiring and arriving, and functions that block their threads.

use super::*;
use crate::invoke::Turns;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_job_is_forgotten_while_workers_come_and_go() {
    // Every sweep ends every idle worker.
    let pool = running(Options { idle_after: Duration::ZERO, ..options(judge(|_, _| done()), 0, 3) });
    let mut client = Client::new(MINUTE);
    for round in 0..3_000 {
        let count = round % 3 + 1;
        pool.submit(&mut client.jobs(vec!["x"; count]));
        client.numbers(count).await;
    }
    assert_eq!(pool.read().queued, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_job_is_forgotten_while_the_bounds_change() {
    let pool = running(options(judge(|_, _| done()), 0, 4));
    let resized = pool.clone();
    let mut client = Client::new(MINUTE);
    let resizing = tokio::spawn(async move {
        for round in 0..2_000 {
            resized.resize(Limits { min: round % 3, max: round % 4 + 1 });
            tokio::task::yield_now().await;
        }
    });
    for _ in 0..1_000 {
        pool.submit(&mut client.jobs(["x"; 5]));
        client.numbers(5).await;
    }
    resizing.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_function_that_blocks_for_ever_leaves_the_other_functions_alone() {
    let turns = Arc::new(Turns::new(2));
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = Arc::new(Mutex::new(released));
    let entered = Arc::new(tokio::sync::Notify::new());
    let (gate, told) = (Arc::clone(&released), Arc::clone(&entered));
    let blocking = judge(move |_, _| {
        told.notify_one();
        let _ = gate.lock().recv();
        done()
    });
    let stuck = running(Options { turns: Arc::clone(&turns), ..options(blocking, 0, 1) });
    let mut victims = Client::new(MINUTE);
    stuck.submit(&mut victims.jobs(["x"; 10]));
    entered.notified().await;
    let quick = running(Options { turns: Arc::clone(&turns), ..options(judge(|_, _| done()), 0, 2) });
    let mut client = Client::new(MINUTE);
    for _ in 0..500 {
        pool_round(&quick, &mut client, 4).await;
    }
    assert!(victims.is_silent());
    assert_eq!(stuck.read().busy, 1);
    drop(release);
    assert_eq!(victims.numbers(10).await.len(), 10);
}

async fn pool_round(pool: &Pool, client: &mut Client, count: usize) {
    pool.submit(&mut client.jobs(vec!["x"; count]));
    assert_eq!(client.numbers(count).await.len(), count);
}
