//! The end: in order, within the grace time, and in bounded time whatever does not cooperate.

use tokio::time::Instant;

use super::*;

#[tokio::test(start_paused = true)]
async fn what_fits_the_grace_time_is_finished_acknowledged_and_not_repeated() {
    let (function, open) = gated();
    let mut parts = Parts::new(function);
    let pipe = parts.source();
    parts.outputs = vec![Some(Closing::Well)];
    let engine = Arc::new(parts.start().await.unwrap());
    pipe.send(&["a", "b", "c"]).await;
    settle_down().await;
    let draining = Arc::clone(&engine);
    let drained = tokio::spawn(async move { draining.drain(10 * SECOND).await });
    settle_down().await;
    pipe.send(&["too late"]).await;
    settle_down().await;
    assert!(engine.status().draining && !engine.ready());
    assert_eq!((engine.status().sources["s0"].in_flight, *pipe.ended.lock()), (3, None));
    assert!(!parts.log.all().contains(&"close o0".to_owned()), "outputs are needed until the last delivery");
    open.send_replace(true);
    assert_eq!(drained.await.unwrap(), Drained::default());
    assert_eq!(pipe.told(), ["a", "b", "c"].map(|id| (id.to_owned(), Outcome::Ack)));
    assert_eq!(*pipe.ended.lock(), Some(Stop::Keep));
    assert_eq!(parts.log.all().last().unwrap(), "close o0");
    let status = engine.status();
    check(&status);
    assert_eq!((status.sources["s0"].received, status.rules["t/r"].done, status.pools["f"].workers), (3, 3, 0));
    assert_eq!(status.sources["s0"].connection, crate::metric::Connection::Stopped);
}

#[tokio::test(start_paused = true)]
async fn what_does_not_fit_is_handed_back_and_counted() {
    let (function, _open) = gated();
    let mut parts = Parts::new(function);
    let pipe = parts.source();
    let engine = parts.start().await.unwrap();
    pipe.send(&["a", "b", "c"]).await;
    settle_down().await;
    let begun = Instant::now();
    assert_eq!(engine.drain(5 * SECOND).await, Drained { handed_back: 3, ..Drained::default() });
    assert!(begun.elapsed() >= 5 * SECOND && begun.elapsed() <= 10 * SECOND, "{:?}", begun.elapsed());
    assert_eq!(pipe.told(), ["a", "b", "c"].map(|id| (id.to_owned(), RETRY)));
    assert_eq!(*pipe.ended.lock(), Some(Stop::Keep), "the source heard of it before it ended");
    let status = engine.status();
    check(&status);
    assert_eq!((status.sources["s0"].handed_back, status.rules["t/r"].handed_back), (3, 3));
    assert_eq!(status.pools["f"].workers, 0, "calls that did not end are dropped");
}

#[tokio::test(start_paused = true)]
async fn a_source_that_does_not_listen_ends_too() {
    let mut parts = Parts::new(judge(|_, _| done()));
    let pipe = parts.source();
    parts.sources[0].as_mut().unwrap().deaf = true;
    let engine = parts.start().await.unwrap();
    pipe.send(&["a"]).await;
    settle_down().await;
    let begun = Instant::now();
    assert_eq!(engine.drain(SECOND).await, Drained { unended: 1, ..Drained::default() });
    assert!(begun.elapsed() <= 10 * SECOND);
    assert!(pipe.messages.is_closed());
    check(&engine.status());
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_by_hand_has_the_grace_time_too() {
    let (function, open) = gated();
    let mut parts = Parts::new(function);
    let _pipe = parts.source();
    let engine = Arc::new(parts.start().await.unwrap());
    let sender = Arc::clone(&engine);
    let sent = tokio::spawn(async move { sender.send("s0", event("by hand")).await });
    settle_down().await;
    let draining = Arc::clone(&engine);
    let drained = tokio::spawn(async move { draining.drain(10 * SECOND).await });
    settle_down().await;
    assert_eq!(
        engine.send("s0", event("too late")).await.unwrap_err().to_string().split(';').next(),
        Some("no source 's0' is running")
    );
    open.send_replace(true);
    assert_eq!(sent.await.unwrap(), Ok(()));
    assert_eq!(drained.await.unwrap(), Drained::default());
    check(&engine.status());
    assert!(
        engine.live().sources.iter().all(|source| source.route.strong_count() == 0),
        "nothing holds the postbox any more"
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_by_hand_is_bounded_even_if_nobody_waits_for_it() {
    let (function, open) = gated();
    let mut parts = Parts::new(function);
    let _pipe = parts.source();
    let engine = Arc::new(parts.start().await.unwrap());
    for _ in 0..send::SENDS_MAX {
        let impatient = tokio::time::timeout(Duration::from_millis(1), engine.send("s0", event("by hand")));
        assert!(impatient.await.is_err());
    }
    assert_eq!(engine.send("s0", event("one more")).await, Err(SendError::Full));
    open.send_replace(true);
    settle_down().await;
    assert_eq!(engine.send("s0", event("again")).await, Ok(()));
    assert_eq!(engine.drain(SECOND).await, Drained::default());
}

#[tokio::test(start_paused = true)]
async fn what_was_handed_back_is_not_begun_any_more() {
    let (calls, counted) = (Arc::new(std::sync::atomic::AtomicUsize::new(0)), Arc::new(tokio::sync::Notify::new()));
    let (counter, open) = (Arc::clone(&calls), Arc::clone(&counted));
    let mut parts = Parts::new(Arc::new(Calls(move |_: Event, _: Call| -> BoxFuture<'static, Verdicts> {
        counter.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let open = Arc::clone(&open);
        Box::pin(async move {
            open.notified().await;
            done()
        })
    })));
    let pipe = parts.source();
    let engine = parts.start().await.unwrap();
    pipe.send(&["a", "b", "c", "d"]).await;
    settle_down().await;
    let draining = engine.drain(Duration::ZERO);
    tokio::pin!(draining);
    let drained = tokio::select! {
        drained = &mut draining => drained,
        () = async { loop { counted.notify_waiters(); tokio::task::yield_now().await; } } => unreachable!(),
    };
    assert_eq!(drained, Drained { handed_back: 4, ..Drained::default() });
    assert_eq!(calls.load(std::sync::atomic::Ordering::SeqCst), 2, "one for each worker, before the end");
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_is_dropped_takes_its_workers_with_it() {
    let function = judge(|_, _| done());
    let mut parts = Parts::new(Arc::clone(&function) as Arc<dyn Function>);
    let pipe = parts.source();
    let engine = parts.start().await.unwrap();
    pipe.send(&["a"]).await;
    settle_down().await;
    assert_eq!(engine.status().pools["f"].workers, 1);
    drop((engine, parts));
    settle_down().await;
    assert_eq!(Arc::strong_count(&function), 1);
}

#[tokio::test(start_paused = true)]
async fn outputs_that_do_not_close_are_counted_and_hold_nobody_up() {
    let mut parts = Parts::new(judge(|_, _| done()));
    parts.outputs = [Closing::Never, Closing::Badly, Closing::Panic, Closing::Well].map(Some).to_vec();
    let engine = parts.start().await.unwrap();
    let begun = Instant::now();
    assert_eq!(engine.drain(SECOND).await, Drained { unclosed: 3, ..Drained::default() });
    assert!(begun.elapsed() <= 10 * SECOND);
    let closed = parts.log.all().iter().filter(|line| line.starts_with("close")).count();
    assert_eq!(closed, 4);
}

#[tokio::test(start_paused = true)]
async fn outputs_have_what_is_left_of_the_grace_time_to_close() {
    for (grace, unclosed, least) in [(20, 0, 5), (4, 1, 4), (1, 1, 2)] {
        let mut parts = Parts::new(judge(|_, _| done()));
        parts.outputs = vec![Some(Closing::Slowly)];
        let engine = parts.start().await.unwrap();
        let begun = Instant::now();
        assert_eq!(engine.drain(grace * SECOND).await, Drained { unclosed, ..Drained::default() }, "{grace} s");
        // The thread of the dead letters may need a moment more, which a paused clock makes a long one.
        let whole = begun.elapsed();
        assert!(whole >= least * SECOND && whole <= (least + 5) * SECOND, "{whole:?} with {grace} s of grace");
    }
}

#[tokio::test(start_paused = true)]
async fn an_engine_drains_once_however_often_it_is_asked() {
    let mut parts = Parts::new(judge(|_, _| done()));
    let pipe = parts.source();
    let engine = parts.start().await.unwrap();
    pipe.send(&["a"]).await;
    let (first, second) = tokio::join!(engine.drain(SECOND), engine.drain(SECOND));
    assert_eq!((first.handed_back, second.handed_back), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn one_source_leaves_while_the_others_go_on() {
    let (function, open) = gated();
    let mut parts = Parts::new(function);
    let (leaving, staying) = (parts.source(), parts.source());
    let engine = Arc::new(parts.start().await.unwrap());
    leaving.send(&["a"]).await;
    settle_down().await;
    let leave = Arc::clone(&engine);
    let left = tokio::spawn(async move { leave.leave("s0").await });
    settle_down().await;
    assert!(!left.is_finished(), "what is in flight is finished first");
    staying.send(&["b"]).await;
    open.send_replace(true);
    left.await.unwrap().unwrap();
    assert_eq!((*leaving.ended.lock(), *staying.ended.lock()), (Some(Stop::Leave), None));
    assert_eq!(leaving.told(), [("a".to_owned(), Outcome::Ack)]);
    staying.send(&["c"]).await;
    settle_down().await;
    assert_eq!(staying.told(), ["b", "c"].map(|id| (id.to_owned(), Outcome::Ack)));
    let error = engine.leave("s0").await.unwrap_err();
    assert_eq!(error.to_string(), "no source 's0' is running; the running ones are: s1");
    assert!(engine.ready(), "whoever has left on purpose is not missed");
    check(&engine.status());
    assert_eq!(engine.drain(SECOND).await.handed_back, 0);
    assert_eq!(*staying.ended.lock(), Some(Stop::Keep));
}

#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_a_source_that_is_leaving() {
    let (function, open) = gated();
    let mut parts = Parts::new(function);
    let pipe = parts.source();
    let engine = Arc::new(parts.start().await.unwrap());
    pipe.send(&["a"]).await;
    settle_down().await;
    // Whoever asked does not wait any more; the request stands.
    assert!(tokio::time::timeout(SECOND, engine.leave("s0")).await.is_err());
    let draining = Arc::clone(&engine);
    let drained = tokio::spawn(async move { draining.drain(10 * SECOND).await });
    settle_down().await;
    open.send_replace(true);
    assert_eq!(drained.await.unwrap().handed_back, 0);
    assert_eq!((pipe.told(), *pipe.ended.lock()), (vec![("a".to_owned(), Outcome::Ack)], Some(Stop::Leave)));
}

#[tokio::test(start_paused = true)]
async fn leaving_an_engine_that_ends_says_that_the_session_is_kept() {
    let (function, open) = gated();
    let mut parts = Parts::new(function);
    let pipe = parts.source();
    let engine = Arc::new(parts.start().await.unwrap());
    pipe.send(&["a"]).await;
    settle_down().await;
    let draining = Arc::clone(&engine);
    let drained = tokio::spawn(async move { draining.drain(10 * SECOND).await });
    settle_down().await;
    let error = engine.leave("s0").await.unwrap_err();
    assert!(error.to_string().ends_with("the engine is ending and keeps its sessions; start it again, then leave"));
    open.send_replace(true);
    drained.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_function_that_blocks_for_ever_does_not_keep_the_engine_from_ending() {
    for housing in [Housing::Here, Housing::Threads(1)] {
        ends_beside_a_blocked_function(housing).await;
    }
}

async fn ends_beside_a_blocked_function(housing: Housing) {
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = Arc::new(Mutex::new(released));
    let entered = Arc::new(tokio::sync::Notify::new());
    let told = Arc::clone(&entered);
    let mut parts = Parts::new(judge(move |_, _| {
        told.notify_one();
        let _ = released.lock().recv();
        done()
    }));
    parts.housing = housing;
    let pipe = parts.source();
    let engine = parts.start().await.unwrap();
    // Twice as many as there are seats: the rest waits at the broker.
    let ids: Vec<_> = (0..16).map(|number| number.to_string()).collect();
    pipe.send(&ids.iter().map(String::as_str).collect::<Vec<_>>()).await;
    entered.notified().await;
    while engine.status().rules["t/r"].in_flight < 8 {
        tokio::task::yield_now().await;
    }
    check(&engine.status());
    assert_eq!(engine.drain(Duration::ZERO).await, Drained { handed_back: 8, ..Drained::default() });
    assert_eq!(pipe.told().iter().filter(|(_, outcome)| *outcome == RETRY).count(), 8);
    assert_eq!(*pipe.ended.lock(), Some(Stop::Keep));
    let status = engine.status();
    check(&status);
    assert_eq!((status.sources["s0"].received, status.sources["s0"].handed_back), (8, 8));
    drop(release);
}
