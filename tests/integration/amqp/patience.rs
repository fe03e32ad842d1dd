//! A broker that bears no message unacknowledged for longer than a few seconds, and functions that take longer.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use engine::event::Event;
use engine::port::Call;
use engine::supervisor::{Engine, SourceStatus};
use functions::native::stateless;
use parking_lot::Mutex;
use testkit::patience::LIMIT;
use testkit::rabbitmq::{Config, RabbitMq};
use tidemill::Tidemill as Program;

use super::*;
use crate::inside::{self, fleet_where};

/// How often each event was called, and how often it is called now.
#[derive(Clone, Default)]
struct Calls(Arc<Mutex<HashMap<String, (usize, usize)>>>);

impl Calls {
    /// The number of this call, from one, and what is dropped with it.
    fn begin(&self, event: &Event) -> (usize, Running) {
        let id = event.id().to_string();
        let mut calls = self.0.lock();
        let (ever, now) = calls.entry(id.clone()).or_default();
        (*ever, *now) = (*ever + 1, *now + 1);
        (*ever, Running(self.clone(), id))
    }

    /// How often the event was called, and how often it is called now.
    fn of(&self, id: &str) -> (usize, usize) {
        self.0.lock().get(id).copied().unwrap_or_default()
    }
}

/// A call until it is dropped.
struct Running(Calls, String);

impl Drop for Running {
    fn drop(&mut self) {
        if let Some((_, now)) = self.0.0.lock().get_mut(&self.1) {
            *now -= 1;
        }
    }
}

/// A broker that bears it for so many seconds, and looks more often than once a minute.
async fn broker(seconds: usize) -> RabbitMq {
    let config = Config::new().line(&format!("consumer_timeout = {seconds}000"));
    RabbitMq::start(config.advanced("{rabbit, [{channel_tick_interval, 250}]}")).await
}

/// An engine in this process that calls `function` for every message.
async fn run<F, R>(broker: &RabbitMq, queue: &str, patience: &str, function: F, state: &Path) -> Engine
where
    F: Fn(Event, Call) -> R + Send + Sync + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let registry = Program::builtin().native("slow", stateless(function)).into_registry();
    let yaml = format!(
        "sources:
  fleet: {{ amqp: {{ url: '{}', queue: {queue}, consumerTimeout: {patience} }}, event: {{ id: id }}, seats: 20 }}
functions: {{ slow: {{ native: slow, timeout: 1s, workers: {{ max: 2, concurrency: 8 }} }} }}
triggers: {{ telemetry: {{ source: fleet, rules: {{ slow: {{ function: slow }} }} }} }}
",
        broker.url()
    );
    let mut plan = inside::plan(&registry, &yaml);
    // A file that says so is refused. An event that has waited leaves its call as little time, but a test cannot choose how much.
    plan.triggers[0].rules[0].timeout = Duration::from_secs(600);
    inside::start_plan("one", plan, state).await
}

/// Drains the engine, and sees that the broker has nothing left.
async fn ended(engine: Engine, peer: &Peer, queue: &str) {
    assert_eq!(engine.drain(LIMIT).await.handed_back, 0);
    drop(engine);
    within("an empty queue", async {
        while peer.count(queue).await != (0, 0) {
            tokio::time::sleep(RETRY).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_call_that_takes_too_long_is_dropped_and_its_event_comes_again() {
    let broker = broker(120).await;
    tokio::join!(dropped_and_called_again(&broker, "classic"), dropped_and_called_again(&broker, "quorum"));
}

/// The patience is long enough that a machine that stands still lets nobody else's call take too long, and far shorter than
/// the broker's.
async fn dropped_and_called_again(broker: &RabbitMq, kind: &str) {
    let peer = broker.peer().await;
    peer.declare(kind, kind).await;
    let (calls, folder) = (Calls::default(), tempfile::tempdir().expect("a temporary folder"));
    let counted = calls.clone();
    let function = move |event: Event, _| {
        let (number, running) = counted.begin(&event);
        let endless = event.id() == "3" && number == 1;
        async move {
            if endless {
                std::future::pending::<()>().await;
            }
            drop(running);
        }
    };
    let engine = run(broker, kind, "20s", function, folder.path()).await;
    send(&peer, kind, 0..10).await;
    let source = fleet_where(&engine, "everything done", |source| source.settled >= 10).await;
    assert_eq!((source.connects, source.dropped["consumerTimeout"], source.handed_back), (1, 1, 1), "{source:?}");
    let error = source.last_error.clone().unwrap_or_default();
    assert!(error.contains("near consumerTimeout") && !error.contains("twice"), "{error}");
    assert_eq!(calls.of("3"), (2, 0), "the first call was dropped, and the second answered");
    assert!((0..10).filter(|id| *id != 3).all(|id| calls.of(&id.to_string()) == (1, 0)), "nobody else was touched");
    let rule = &engine.status().rules["telemetry/slow"];
    assert_eq!((rule.done, rule.handed_back, rule.failed_attempts), (10, 1, 1), "{rule:?}");
    ended(engine, &peer, kind).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn without_that_the_broker_closes_the_channel() {
    let broker = broker(5).await;
    let peer = broker.peer().await;
    peer.declare("q", "classic").await;
    let (calls, folder) = (Calls::default(), tempfile::tempdir().expect("a temporary folder"));
    let counted = calls.clone();
    let function = move |event: Event, _| {
        let (number, running) = counted.begin(&event);
        async move {
            if number == 1 {
                std::future::pending::<()>().await;
            }
            drop(running);
        }
    };
    let engine = run(&broker, "q", "1h", function, folder.path()).await;
    send(&peer, "q", 0..1).await;
    let source = fleet_where(&engine, "another connection", |source| source.connects >= 2).await;
    let error = source.last_error.unwrap_or_default();
    assert!(error.contains("closed the channel: PRECONDITION_FAILED") && error.contains("timed out"), "{error}");
    fleet_where(&engine, "the second call", |source| source.settled >= 1).await;
    let (ever, now) = calls.of("0");
    assert!(ever >= 2 && now == 1, "the first is still there: {now} of {ever}");
    drop(engine);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_function_that_blocks_its_thread_costs_no_channel_either() {
    let broker = broker(120).await;
    let peer = broker.peer().await;
    peer.declare("q", "classic").await;
    let (calls, folder) = (Calls::default(), tempfile::tempdir().expect("a temporary folder"));
    let (release, blocked) = std::sync::mpsc::channel::<()>();
    let (counted, blocked) = (calls.clone(), Arc::new(Mutex::new(blocked)));
    let function = move |event: Event, _| {
        let (number, running) = counted.begin(&event);
        if number == 1 {
            // It ends when the test drops the other half.
            let _ = blocked.lock().recv();
        }
        async move { drop(running) }
    };
    let engine = run(&broker, "q", "20s", function, folder.path()).await;
    send(&peer, "q", 0..1).await;
    let twice = |source: &SourceStatus| source.last_error.as_ref().is_some_and(|error| error.contains("may run twice"));
    let source = fleet_where(&engine, "the words", twice).await;
    assert_eq!((source.connects, source.dropped["consumerTimeout"]), (1, 1), "{source:?}");
    let source = fleet_where(&engine, "the second call", |source| source.settled >= 1).await;
    assert_eq!((calls.of("0"), source.connects), ((2, 1), 1));
    drop(release);
    fleet_where(&engine, "the first call", |source| source.in_flight == 0).await;
    ended(engine, &peer, "q").await;
}
