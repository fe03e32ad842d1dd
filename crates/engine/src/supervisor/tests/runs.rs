//! Runs of one source: started again after a back-off, given up, and asked to leave in between.

use tokio::time::Instant;

use super::*;
use crate::metric::Connection;

async fn runs(pipe: &mut Pipe, count: usize) {
    pipe.runs.wait_for(|runs| *runs >= count).await.unwrap();
}

fn failing(sentence: &str) -> Message {
    Message::Fail(SourceError::Restart(sentence.to_owned(), None))
}

#[tokio::test(start_paused = true)]
async fn a_source_that_fails_or_panics_is_started_again_after_a_growing_pause() {
    let mut parts = Parts::new(judge(|_, _| done()));
    let mut pipe = parts.source();
    let engine = parts.start().await.unwrap();
    let mut pauses = Vec::new();
    for run in 1..=5 {
        runs(&mut pipe, run).await;
        let begun = Instant::now();
        pipe.messages.send(if run % 2 == 0 { Message::Panic } else { failing("no route") }).await.unwrap();
        runs(&mut pipe, run + 1).await;
        pauses.push(begun.elapsed().as_millis());
        let error = engine.status().sources["s0"].last_error.clone();
        assert_eq!(error.as_deref(), Some(if run % 2 == 0 { "it panicked: told to" } else { "no route" }));
    }
    // Doubling from 200 ms with up to half taken off, and a tick of the timer.
    for (pause, longest) in pauses.iter().zip([200, 400, 800, 1600, 3200]) {
        assert!((longest / 2..=longest + 1).contains(pause), "{pauses:?}");
    }
    tokio::time::advance(61 * SECOND).await;
    let begun = Instant::now();
    pipe.messages.send(failing("again")).await.unwrap();
    runs(&mut pipe, 7).await;
    assert!(begun.elapsed().as_millis() <= 201, "a run that lasted is a fresh start");
    assert_eq!(engine.status().sources["s0"].connection, Connection::Connected);
    engine.drain(SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn what_was_in_flight_when_a_run_ended_stays_with_the_broker() {
    let (function, open) = gated();
    let mut parts = Parts::new(function);
    let mut pipe = parts.source();
    let engine = parts.start().await.unwrap();
    pipe.send(&["a", "b"]).await;
    settle_down().await;
    pipe.messages.send(failing("lost")).await.unwrap();
    runs(&mut pipe, 2).await;
    let status = engine.status();
    check(&status);
    assert_eq!((status.sources["s0"].handed_back, status.sources["s0"].in_flight), (2, 0));
    assert_eq!(status.rules["t/r"].in_flight, 2);
    // The broker delivers one of them again, in a seat that the old run had used.
    pipe.send(&["a"]).await;
    settle_down().await;
    open.send_replace(true);
    settle_down().await;
    assert_eq!(pipe.told(), [("a".to_owned(), Outcome::Ack)], "the old receipts mean nothing to the new run");
    let status = engine.status();
    check(&status);
    assert_eq!((status.sources["s0"].received, status.sources["s0"].settled, status.rules["t/r"].done), (3, 1, 3));
    assert_eq!(engine.drain(60 * SECOND).await.handed_back, 0);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_cannot_be_helped_is_given_up_and_the_engine_goes_on() {
    let mut parts = Parts::new(judge(|_, _| done()));
    let (broken, fine) = (parts.source(), parts.source());
    let engine = parts.start().await.unwrap();
    settle_down().await;
    assert!(engine.ready());
    broken.messages.send(Message::Fail(SourceError::Fatal("the password is wrong".to_owned(), None))).await.unwrap();
    settle_down().await;
    tokio::time::advance(600 * SECOND).await;
    settle_down().await;
    assert_eq!(*broken.runs.borrow(), 1);
    let status = engine.status();
    let source = &status.sources["s0"];
    assert_eq!((source.connection, source.last_error.as_deref()), (Connection::Stopped, Some("the password is wrong")));
    assert!(!engine.ready());
    fine.send(&["a"]).await;
    settle_down().await;
    assert_eq!(fine.told(), [("a".to_owned(), Outcome::Ack)]);
    let error = engine.leave("s0").await.unwrap_err();
    assert_eq!(error.to_string(), "no source 's0' is running; the running ones are: s1");
    assert_eq!(engine.drain(60 * SECOND).await, Drained::default());
}

#[tokio::test(start_paused = true)]
async fn a_source_that_waits_to_be_started_again_runs_once_more_to_leave() {
    let mut parts = Parts::new(judge(|_, _| done()));
    let mut pipe = parts.source();
    let engine = parts.start().await.unwrap();
    pipe.messages.send(failing("lost")).await.unwrap();
    settle_down().await;
    engine.leave("s0").await.unwrap();
    runs(&mut pipe, 2).await;
    assert_eq!(*pipe.ended.lock(), Some(Stop::Leave));
    engine.drain(SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn a_source_that_waits_to_be_started_again_does_not_hold_up_the_end() {
    let mut parts = Parts::new(judge(|_, _| done()));
    let pipe = parts.source();
    let engine = parts.start().await.unwrap();
    pipe.messages.send(failing("lost")).await.unwrap();
    settle_down().await;
    let begun = Instant::now();
    engine.live().sources[0].run.stop.stop(Stop::Keep);
    engine.live().sources[0].run.ended().await.unwrap();
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert_eq!(engine.drain(60 * SECOND).await, Drained::default());
    assert_eq!(*pipe.runs.borrow(), 1);
}

/// A source whose way to leave fails.
struct Stubborn;

impl Source for Stubborn {
    fn run<'a>(
        &'a mut self,
        inbox: crate::delivery::Inbox,
        mut stop: crate::port::Shutdown,
    ) -> BoxFuture<'a, Result<(), SourceError>> {
        Box::pin(async move {
            let _inbox = inbox;
            stop.requested().await;
            Err(SourceError::Restart("the broker did not answer".to_owned(), None))
        })
    }
}

struct StubbornPlan;

impl SourcePlan for StubbornPlan {
    fn facts(&self) -> SourceFacts {
        let ack = AckPoint::Processed;
        SourceFacts { ack, redelivers: true, keyed: false, in_order: false, captures: Vec::new(), limits: Vec::new() }
    }

    fn open(&self, _setup: Setup) -> Result<Box<dyn Source>, OpenError> {
        Ok(Box::new(Stubborn))
    }
}

#[tokio::test(start_paused = true)]
async fn leaving_says_when_the_session_may_remain() {
    let mut parts = Parts::new(judge(|_, _| done()));
    let mut plan = parts.plan();
    plan.sources.push(plan::Source {
        name: "fleet".into(),
        seats: 1,
        spool: None,
        dead_letter: None,
        plan: Box::new(StubbornPlan),
    });
    let engine = Engine::start(plan, parts.host()).await.unwrap();
    let error = engine.leave("fleet").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "source 'fleet' ended, but its session may remain at the broker: the broker did not answer"
    );
    engine.drain(SECOND).await;
}
