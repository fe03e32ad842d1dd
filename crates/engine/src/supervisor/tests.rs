//! Whole engines over fakes: how they start, what they say of themselves, and how they end.

mod audit;
mod ending;
mod homes;
mod reloading;
mod replaying;
mod returning;
mod runs;
mod spooled;
mod status;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::*;
use crate::config::AckPoint;
use crate::config::guarantee::Order;
use crate::config::plan::{self, Plan};
use crate::dead_letter::Selection;
use crate::delivery::Outcome;
use crate::event::Event;
use crate::fake::{Calls, Memory, Message, Pipe, Wall, done, event, judge, settle_down, undecodable};
use crate::pool::Limits;
use crate::port::{
    BoxFuture, Call, Confirm, Function, Offer, Output, PublishError, Source, SourceError, Stop, Verdicts, Worker,
};
use crate::registry::{FunctionPlan, OutputPlan, Setup, SourceFacts, SourcePlan};
use crate::retry::Policy;

const SECOND: Duration = Duration::from_secs(1);

/// What happened, in order.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn say(&self, what: impl Into<String>) {
        self.0.lock().push(what.into());
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().clone()
    }
}

fn missing() -> OpenError {
    OpenError { message: "no such secret".to_owned(), cause: None }
}

/// A source that is there once; without one, opening fails.
struct SourceIs(Mutex<Option<Memory>>, Log);

impl SourcePlan for SourceIs {
    fn facts(&self) -> SourceFacts {
        let ack = AckPoint::Processed;
        SourceFacts { ack, redelivers: true, keyed: false, in_order: false, captures: Vec::new(), limits: Vec::new() }
    }

    fn open(&self, setup: Setup) -> Result<Box<dyn Source>, OpenError> {
        self.1.say(format!("open {}", setup.name));
        let source = self.0.lock().take().ok_or_else(missing)?;
        Ok(Box::new(source.with_link(setup.link)))
    }
}

struct FunctionIs(Arc<dyn Function>, Log);

impl FunctionPlan for FunctionIs {
    fn open(&self, setup: Setup) -> Result<Box<dyn Function>, OpenError> {
        self.1.say(format!("open {}", setup.name));
        Ok(Box::new(Shared(Arc::clone(&self.0))))
    }
}

struct Shared(Arc<dyn Function>);

impl Function for Shared {
    fn start(&self) -> BoxFuture<'_, Result<Box<dyn Worker>, crate::port::StartError>> {
        self.0.start()
    }
}

/// How an output ends.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Closing {
    Well,
    Badly,
    /// After five seconds.
    Slowly,
    Never,
    Panic,
}

/// An output that logs; it confirms everything.
#[derive(Clone)]
struct Logged(Closing, Log, Text);

impl Output for Logged {
    fn publish(&self, event: &Event, _: Offer<'_>) -> Confirm {
        self.1.say(format!("publish {}", event.id()));
        Confirm::Now(Ok(()))
    }

    fn close(&self) -> BoxFuture<'_, Result<(), PublishError>> {
        self.1.say(format!("close {}", self.2));
        match self.0 {
            Closing::Well => Box::pin(std::future::ready(Ok(()))),
            Closing::Badly => {
                Box::pin(std::future::ready(Err(PublishError::Reject { reason: "half is lost".to_owned() })))
            }
            Closing::Slowly => Box::pin(async {
                tokio::time::sleep(5 * SECOND).await;
                Ok(())
            }),
            Closing::Never => Box::pin(std::future::pending()),
            Closing::Panic => panic!("told to"),
        }
    }
}

struct OutputIs(Option<Closing>, Log);

impl OutputPlan for OutputIs {
    fn durable(&self) -> bool {
        false
    }

    fn open(&self, setup: Setup) -> Result<Box<dyn Output>, OpenError> {
        self.1.say(format!("open {}", setup.name));
        let closing = self.0.ok_or_else(missing)?;
        Ok(Box::new(Logged(closing, self.1.clone(), setup.name)))
    }
}

/// The parts of an engine: sources `s0`..., one function `f`, outputs `o0`..., one trigger `t` over all sources with one
/// rule `r` over all outputs.
pub(super) struct Parts {
    folder: tempfile::TempDir,
    log: Log,
    sources: Vec<Option<Memory>>,
    function: Option<Arc<dyn Function>>,
    pub(super) outputs: Vec<Option<Closing>>,
    /// How the spool of every source keeps its bounds, where they have one.
    pub(super) spool: Option<crate::spool::Policy>,
    housing: Housing,
}

impl Parts {
    pub(super) fn new(function: Arc<dyn Function>) -> Parts {
        Parts {
            folder: tempfile::tempdir().unwrap(),
            log: Log::default(),
            sources: Vec::new(),
            function: Some(function),
            outputs: Vec::new(),
            spool: None,
            housing: Housing::Here,
        }
    }

    pub(super) fn source(&mut self) -> Pipe {
        let (pipe, source) = Memory::new();
        self.sources.push(Some(source));
        pipe
    }

    pub(super) fn plan(&mut self) -> Plan {
        let log = &self.log;
        let sources = self.sources.drain(..).enumerate().map(|(at, source)| plan::Source {
            name: format!("s{at}").into(),
            seats: 8,
            spool: self.spool,
            dead_letter: None,
            plan: Box::new(SourceIs(Mutex::new(source), log.clone())),
        });
        let sources: Vec<_> = sources.collect();
        let outputs = self.outputs.iter().enumerate().map(|(at, closing)| plan::Output {
            name: format!("o{at}").into(),
            circuit: None,
            plan: Box::new(OutputIs(*closing, log.clone())),
        });
        let function = self.function.as_ref().map(|function| plan::Function {
            name: "f".into(),
            workers: Limits { min: 0, max: 2 },
            concurrency: 1,
            circuit: None,
            plan: Box::new(FunctionIs(Arc::clone(function), log.clone())),
        });
        let rule = plan::Rule {
            name: "r".into(),
            filter: None,
            function: function.as_ref().map(|_| 0),
            outputs: (0..self.outputs.len()).collect(),
            order: Order::Key,
            max_in_flight: usize::MAX,
            max_seats: usize::MAX,
            rate: None,
            weight: crate::dispatch::Weight::MIN,
            timeout: 30 * SECOND,
            retry: Policy::default(),
            dead_letter: None,
            is_fed_back: false,
            on_success: Vec::new(),
            on_failure: Vec::new(),
        };
        let sources_of_trigger = (0..sources.len()).collect();
        let trigger = plan::Trigger {
            name: "t".into(),
            sources: sources_of_trigger,
            filter: None,
            unmatched: plan::Unmatched::Drop,
            dead_letter: None,
            rules: vec![rule],
        };
        Plan {
            name: "test".into(),
            sources,
            functions: function.into_iter().collect(),
            outputs: outputs.collect(),
            triggers: vec![trigger],
            state: plan::State::default(),
            wording: plan::Wording::default(),
            renamed: Vec::new(),
        }
    }

    pub(super) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    pub(super) fn host(&self) -> Host {
        Host {
            instance: "i".into(),
            state: self.folder.path().to_path_buf(),
            clock: Arc::new(Wall),
            turns: 2,
            housing: self.housing,
            idle_after: 60 * SECOND,
        }
    }

    pub(super) async fn start(&mut self) -> Result<Engine, StartError> {
        let plan = self.plan();
        Engine::start(plan, self.host()).await
    }
}

impl Pipe {
    pub(super) async fn send(&self, ids: &[&str]) {
        for id in ids {
            self.messages.send(Message::Event(event(id))).await.unwrap();
        }
    }

    /// What the source was told, sorted by id.
    fn told(&self) -> Vec<(String, Outcome)> {
        let mut told: Vec<_> = self.told.lock().iter().map(|(id, outcome)| (id.to_string(), *outcome)).collect();
        told.sort();
        told
    }
}

/// A function whose calls end when the gate opens.
pub(super) fn gated() -> (Arc<dyn Function>, watch::Sender<bool>) {
    let (open, opened) = watch::channel(false);
    let function = Calls(move |_: Event, _: Call| -> BoxFuture<'static, Verdicts> {
        let mut opened = opened.clone();
        Box::pin(async move {
            let _ = opened.wait_for(|open| *open).await;
            done()
        })
    });
    (Arc::new(function), open)
}

/// Every identity of the conservation law.
fn check(status: &Status) {
    for (name, source) in &status.sources {
        let ended = source.settled + source.rejected + source.handed_back + source.in_flight;
        assert_eq!(source.received, ended, "source {name}: {source:?}");
        assert!(source.in_flight <= source.seats as u64);
    }
    for (name, rule) in &status.rules {
        let begun = rule.matched + rule.recovered + rule.replayed + rule.looped;
        let dropped: u64 = rule.dropped.values().sum();
        let ended = rule.done + rule.dead_lettered + dropped + rule.handed_back + rule.parked + rule.in_flight;
        assert_eq!(begun, ended, "rule {name}: {rule:?}");
    }
    for (name, spool) in &status.spools {
        let dropped: u64 = spool.dropped.values().sum();
        let ended = spool.settled + dropped + spool.handed_back + spool.in_flight + spool.stored;
        assert_eq!(spool.appended + spool.recovered, ended, "spool {name}: {spool:?}");
        assert!(spool.in_flight <= spool.seats as u64);
    }
}

const RETRY: Outcome = Outcome::Retry { after: Duration::ZERO };

#[tokio::test(start_paused = true)]
async fn whoever_hands_on_is_opened_after_whoever_takes() {
    let mut parts = Parts::new(judge(|_, _| done()));
    let (_one, _two) = (parts.source(), parts.source());
    parts.outputs = vec![Some(Closing::Well); 2];
    let engine = parts.start().await.unwrap();
    assert_eq!(parts.log.all(), ["open o0", "open o1", "open f", "open s0", "open s1"]);
    engine.drain(SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn a_failing_start_leaves_nothing_running() {
    let mut parts = Parts::new(judge(|_, _| done()));
    let pipe = parts.source();
    parts.sources.push(None);
    parts.outputs = vec![Some(Closing::Well), Some(Closing::Never)];
    let error = parts.start().await.err().unwrap();
    assert_eq!(error.to_string(), "source 's1': no such secret");
    let log = parts.log.all();
    assert_eq!(log[..5], ["open o0", "open o1", "open f", "open s0", "open s1"]);
    assert_eq!(log[5..].len(), 2, "what was opened is closed: {log:?}");
    assert_eq!(*pipe.runs.borrow(), 0);
    assert!(pipe.messages.is_closed(), "the first source is dropped");

    parts.outputs = vec![Some(Closing::Well), None];
    let error = parts.start().await.err().unwrap();
    assert_eq!(error.to_string(), "output 'o1': no such secret");
    assert_eq!(parts.log.all().last().unwrap(), "close o0");

    // Nothing holds the state files any more.
    parts.outputs.clear();
    let engine = parts.start().await.unwrap();
    assert!(matches!(parts.start().await, Err(StartError { kind: "state", .. })), "a second engine is refused");
    engine.drain(SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn an_event_goes_all_the_way_and_is_counted_everywhere() {
    let mut parts = Parts::new(judge(|event, _| match event.id().as_str() {
        "bad" => crate::fake::one(crate::port::Verdict::Reject { reason: "bad".to_owned() }),
        id => crate::fake::one(crate::port::Verdict::Done(vec![crate::fake::event(&format!("{id}!"))])),
    }));
    let pipe = parts.source();
    parts.outputs = vec![Some(Closing::Well)];
    let engine = parts.start().await.unwrap();
    pipe.send(&["a", "bad", "b"]).await;
    pipe.messages.send(Message::Raw(undecodable("oh"))).await.unwrap();
    while pipe.told.lock().len() < 4 {
        tokio::task::yield_now().await;
    }
    settle_down().await;
    let outcomes = [("a", Outcome::Ack), ("b", Outcome::Ack), ("bad", Outcome::Ack), ("raw", Outcome::Reject)];
    assert_eq!(pipe.told(), outcomes.map(|(id, outcome)| (id.to_owned(), outcome)));
    let status = engine.status();
    check(&status);
    let (source, rule) = (&status.sources["s0"], &status.rules["t/r"]);
    assert_eq!((source.received, source.settled, source.rejected, source.in_flight), (4, 3, 1, 0));
    assert_eq!((rule.matched, rule.done, rule.dead_lettered, rule.filtered), (3, 2, 1, 0));
    assert_eq!((rule.dead_letters["rejected"], rule.dropped["function"]), (1, 0));
    assert_eq!((status.triggers["t"].offered, status.triggers["t"].unmatched), (3, 0));
    assert_eq!(status.pools["f"].queued, 0);
    assert!(engine.ready());
    assert_eq!((status.dead_letters.stored, status.dead_letters.full), (2, false));
    let page = engine.dead_letters().page(&Selection::default(), None, 10).unwrap();
    let reasons: Vec<_> = page.letters.iter().map(|(_, letter)| letter.reason.name()).collect();
    assert!(reasons.contains(&"rejected") && reasons.contains(&"undecodable"), "{reasons:?}");
    assert_eq!(engine.drain(60 * SECOND).await, Drained::default());
    assert_eq!(parts.log.all()[3..], ["publish a!", "publish b!", "close o0"]);
    assert!(!engine.ready());
}
