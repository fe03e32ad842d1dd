//! Engines whose sources acknowledge from the spool. Time is not paused: the state file has a thread of its own.

use super::*;
use crate::spool::{OnFull, Policy as Bounds};

impl Parts {
    /// Every source spools within these bounds.
    fn spooled(mut self, bounds: Bounds) -> Parts {
        self.spool = Some(bounds);
        self
    }
}

async fn until(mut there: impl FnMut() -> bool) {
    let waiting = async {
        while !there() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(180 * SECOND, waiting).await.expect("it comes to that");
}

/// Waits until every seat is taken by an event for which the spool has no room.
async fn held(engine: &Engine) {
    until(|| {
        let status = engine.status();
        let (source, spool) = (&status.sources["s0"], &status.spools["s0"]);
        source.in_flight == 8 && source.settled == spool.appended
    })
    .await;
}

fn told(pipe: &Pipe) -> usize {
    pipe.told.lock().len()
}

fn ids(count: usize) -> Vec<String> {
    (0..count).map(|id| format!("{id:03}")).collect()
}

impl Pipe {
    async fn send_all(&self, ids: &[String]) {
        self.send(&ids.iter().map(String::as_str).collect::<Vec<_>>()).await;
    }
}

/// A function that writes down what it was called with.
fn scribe() -> (Arc<dyn Function>, Log) {
    let log = Log::default();
    let written = log.clone();
    let function = judge(move |event, _| {
        written.say(event.id().as_str());
        done()
    });
    (function, log)
}

#[tokio::test]
async fn a_source_is_told_while_its_rule_is_stuck_and_the_rest_comes_after_a_restart() {
    let (function, _open) = gated();
    let mut parts = Parts::new(function).spooled(Bounds::default());
    let pipe = parts.source();
    let engine = parts.start().await.unwrap();
    pipe.send_all(&ids(30)).await;
    until(|| told(&pipe) == 30).await;
    assert!(pipe.told().iter().all(|(_, outcome)| *outcome == Outcome::Ack));
    until(|| engine.status().spools["s0"].in_flight == 8).await;
    let status = engine.status();
    check(&status);
    let (source, spool) = (&status.sources["s0"], &status.spools["s0"]);
    assert_eq!((source.received, source.settled, source.in_flight), (30, 30, 0));
    assert_eq!((spool.appended, spool.stored), (30, 22));
    assert!(spool.bytes > 0 && spool.oldest_age_seconds.is_some(), "{spool:?}");
    assert!(status.stores["spool"].writable && engine.ready());
    assert_eq!(engine.drain(Duration::from_millis(50)).await, Drained::default(), "what is left is on the disk");
    let status = engine.status();
    check(&status);
    assert_eq!((status.spools["s0"].handed_back, status.spools["s0"].stored), (8, 22));
    assert!(!status.stores["spool"].writable);

    let (function, log) = scribe();
    parts.function = Some(function);
    let pipe = parts.source();
    let engine = parts.start().await.unwrap();
    pipe.send(&["new"]).await;
    until(|| log.all().len() == 31).await;
    let mut wanted = ids(30);
    wanted.push("new".to_owned());
    assert_eq!(log.all(), wanted, "in the order in which they were taken in");
    until(|| engine.status().spools["s0"].settled == 31).await;
    assert_eq!(engine.status().spools["s0"].recovered, 30);
    check(&engine.status());
    assert_eq!(engine.drain(60 * SECOND).await, Drained::default());
}

#[tokio::test]
async fn a_full_spool_holds_its_source_and_the_end_hands_back_what_has_no_room() {
    let (function, open) = gated();
    let mut parts = Parts::new(function).spooled(Bounds { max_bytes: 600, ..Bounds::default() });
    let pipe = parts.source();
    let engine = parts.start().await.unwrap();
    pipe.send_all(&ids(100)).await;
    held(&engine).await;
    let before = engine.status();
    check(&before);
    assert_eq!(before.sources["s0"].settled, before.spools["s0"].appended, "only what is in the spool");
    assert!(before.spools["s0"].bytes <= 600);
    open.send_replace(true);
    until(|| told(&pipe) == 100).await;
    open.send_replace(false);
    pipe.send_all(&ids(100)).await;
    held(&engine).await;
    let drained = engine.drain(Duration::from_millis(50)).await;
    assert_eq!(drained, Drained { handed_back: 8, ..Drained::default() }, "these are nowhere but at their broker");
    let status = engine.status();
    check(&status);
    assert_eq!(status.sources["s0"].handed_back, 8);
}

#[tokio::test]
async fn what_finds_room_within_the_grace_time_is_taken_in() {
    let (function, open) = gated();
    let mut parts = Parts::new(function).spooled(Bounds { max_bytes: 600, ..Bounds::default() });
    let pipe = parts.source();
    let engine = Arc::new(parts.start().await.unwrap());
    pipe.send_all(&ids(100)).await;
    held(&engine).await;
    let draining = tokio::spawn({
        let engine = Arc::clone(&engine);
        async move { engine.drain(60 * SECOND).await }
    });
    until(|| engine.is_draining()).await;
    open.send_replace(true);
    assert_eq!(draining.await.unwrap(), Drained::default());
    let status = engine.status();
    check(&status);
    let (source, spool) = (&status.sources["s0"], &status.spools["s0"]);
    assert_eq!((source.handed_back, source.settled), (0, spool.appended));
    assert_eq!(spool.appended, spool.settled + spool.stored);
}

#[tokio::test]
async fn a_spool_that_may_drop_counts_it() {
    for on_full in [OnFull::DropOldest, OnFull::DropNewest] {
        let (function, _open) = gated();
        let mut parts = Parts::new(function).spooled(Bounds { max_bytes: 5_000, on_full, ..Bounds::default() });
        let pipe = parts.source();
        let engine = parts.start().await.unwrap();
        pipe.send_all(&ids(500)).await;
        until(|| told(&pipe) == 500).await;
        let status = engine.status();
        check(&status);
        let reason = if on_full == OnFull::DropOldest { "oldest" } else { "newest" };
        assert!(status.spools["s0"].dropped[reason] > 300, "{:?}", status.spools["s0"]);
        let row = format!("tidemill_spool_dropped_total{{source=\"s0\",reason=\"{reason}\"}}");
        assert!(engine.metrics(true).contains(&row));
        assert_eq!(engine.drain(Duration::ZERO).await, Drained::default());
    }
}

#[tokio::test]
async fn what_a_source_left_is_delivered_when_it_spools_no_more_and_kept_when_it_is_gone() {
    let (function, _open) = gated();
    let mut parts = Parts::new(function).spooled(Bounds::default());
    let pipes = [parts.source(), parts.source()];
    let engine = parts.start().await.unwrap();
    for pipe in &pipes {
        pipe.send_all(&ids(5)).await;
        until(|| told(pipe) == 5).await;
    }
    assert_eq!(engine.drain(Duration::ZERO).await, Drained::default());

    // The first goes on without a spool, and the second is not there any more.
    let (function, log) = scribe();
    (parts.function, parts.spool) = (Some(function), None);
    let pipe = parts.source();
    let engine = parts.start().await.unwrap();
    until(|| log.all().len() == 5).await;
    pipe.send(&["direct"]).await;
    until(|| told(&pipe) == 1).await;
    until(|| engine.status().spools["s0"].settled == 5).await;
    let status = engine.status();
    check(&status);
    assert_eq!((status.spools["s0"].recovered, status.spools["s0"].appended), (5, 0));
    assert_eq!(
        status.stores["spool"].left.iter().map(|(name, events)| (name.as_str(), *events)).collect::<Vec<_>>(),
        [("s1", 5)]
    );
    assert!(engine.metrics(true).contains("tidemill_store_left{store=\"spool\"} 5\n"));
    assert_eq!(engine.drain(60 * SECOND).await, Drained::default());

    let _pipes = [parts.source(), parts.source()];
    let engine = parts.start().await.unwrap();
    until(|| log.all().len() == 11).await;
    assert!(engine.status().stores["spool"].left.is_empty());
    assert_eq!(engine.drain(60 * SECOND).await, Drained::default());
}

#[tokio::test]
async fn a_file_that_cannot_be_read_stops_the_start_and_holds_nothing() {
    let mut parts = Parts::new(judge(|_, _| done())).spooled(Bounds::default());
    std::fs::write(parts.folder.path().join("spool"), [7; 10_000]).unwrap();
    let _pipe = parts.source();
    let error = parts.start().await.err().unwrap().to_string();
    assert!(error.starts_with("state 'spool': ") && error.contains("tidemill state salvage"), "{error}");
    assert!(parts.log.all().is_empty(), "nothing else was opened");
    std::fs::remove_file(parts.folder.path().join("spool")).unwrap();
    parts.sources.push(None);
    assert!(parts.start().await.is_err(), "a source cannot be opened");
    let _pipe = parts.source();
    let engine = parts.start().await.unwrap();
    assert_eq!(engine.drain(60 * SECOND).await, Drained::default());
}

#[tokio::test]
async fn a_spool_that_cannot_be_read_on_is_said_to_be_one_and_goes_on_taking_in() {
    use crate::store::{Batch, Schema, Settings, Spec, Stamp, Store};
    let mut parts = Parts::new(judge(|_, _| done())).spooled(Bounds::default());
    let specs = vec![Spec { name: "spool/s0".into(), quota: crate::store::Quota::default() }];
    let path = parts.folder.path().join("spool");
    let store = Store::open(&path, Schema::SPOOL, specs, Settings::default()).unwrap();
    let mut batch = Batch::default();
    let table = store.table("spool/s0").unwrap();
    batch.put(table, &0_u64.to_be_bytes(), Stamp(0), |value| value.extend_from_slice(b"no event"));
    store.write(&mut batch).await.unwrap();
    store.close().await.unwrap();

    let pipe = parts.source();
    let engine = parts.start().await.unwrap();
    until(|| engine.state_error().is_some()).await;
    let error = engine.state_error().unwrap();
    assert!(error.starts_with("nothing more comes out of the spool of source 's0': a record of table"), "{error}");
    assert!(!engine.ready() && engine.away().is_empty());
    let waiting = tokio::time::timeout(Duration::from_millis(20), engine.becomes_ready()).await;
    assert!(waiting.is_err(), "nobody who waits keeps a thread busy");
    pipe.send(&["a"]).await;
    until(|| told(&pipe) == 1).await;
    let status = engine.status();
    check(&status);
    assert_eq!((status.spools["s0"].recovered, status.spools["s0"].appended, status.spools["s0"].stored), (1, 1, 2));
    assert!(status.spools["s0"].last_error.is_some());
    assert_eq!(engine.drain(60 * SECOND).await, Drained::default());
}

#[tokio::test]
async fn a_plan_without_spools_makes_no_file() {
    let mut parts = Parts::new(judge(|_, _| done()));
    let _pipe = parts.source();
    let engine = parts.start().await.unwrap();
    assert_eq!(engine.status().stores.keys().collect::<Vec<_>>(), ["deliveries"]);
    assert!(engine.status().spools.is_empty());
    assert_eq!(engine.drain(60 * SECOND).await, Drained::default());
    assert!(!parts.folder.path().join("spool").exists());
}

#[tokio::test]
async fn an_event_by_hand_is_taken_over_once_it_is_durable() {
    let (function, _open) = gated();
    let mut parts = Parts::new(function).spooled(Bounds::default());
    let _pipe = parts.source();
    let engine = parts.start().await.unwrap();
    engine.send("s0", event("by hand")).await.unwrap();
    let status = engine.status();
    assert_eq!((status.spools["s0"].appended, status.sources["s0"].received), (1, 0));
    assert_eq!(engine.drain(Duration::ZERO).await, Drained::default());
    let (function, log) = scribe();
    parts.function = Some(function);
    let _pipe = parts.source();
    let engine = parts.start().await.unwrap();
    until(|| log.all() == ["by hand"]).await;
    assert_eq!(engine.drain(60 * SECOND).await, Drained::default());
}

#[tokio::test]
async fn a_pause_holds_the_source_and_its_spool_goes_on() {
    let (function, open) = gated();
    let mut parts = Parts::new(function).spooled(Bounds::default());
    let pipe = parts.source();
    let engine = parts.start().await.unwrap();
    pipe.send_all(&ids(20)).await;
    until(|| told(&pipe) == 20).await;
    engine.pause("s0").unwrap();
    pipe.send(&["held"]).await;
    open.send_replace(true);
    until(|| engine.status().spools["s0"].settled == 20).await;
    let status = engine.status();
    assert!(status.sources["s0"].paused);
    assert_eq!(status.sources["s0"].received, 20);
    engine.resume("s0").unwrap();
    until(|| engine.status().spools["s0"].settled == 21).await;
    assert_eq!(engine.drain(60 * SECOND).await, Drained::default());
}

#[tokio::test]
async fn a_message_that_is_no_event_and_one_that_nobody_wants_are_done_with() {
    let mut parts = Parts::new(judge(|_, _| done())).spooled(Bounds::default());
    let pipe = parts.source();
    let engine = parts.start().await.unwrap();
    pipe.messages.send(Message::Raw(undecodable("oh"))).await.unwrap();
    pipe.send(&["a"]).await;
    until(|| told(&pipe) == 2).await;
    assert_eq!(pipe.told(), [("a".to_owned(), Outcome::Ack), ("raw".to_owned(), Outcome::Reject)]);
    assert_eq!(engine.status().dead_letters.stored, 1);
    assert_eq!(engine.drain(60 * SECOND).await, Drained::default());
}
