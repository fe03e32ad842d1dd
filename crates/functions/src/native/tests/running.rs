//! A native function in a running engine: its verdicts, its panics and its state, as a rule sees them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use engine::config::AckPoint;
use engine::config::guarantee::Order;
use engine::config::plan::{self, Plan};
use engine::delivery::{Inbox, Outcome};
use engine::event::{Event, Text};
use engine::pool::Limits;
use engine::port::{BoxFuture, Call, Confirm, Offer, Output, Shutdown, Source, SourceError, SystemClock};
use engine::registry::{FunctionKind, OpenError, OutputPlan, Setup, SourceFacts, SourcePlan};
use engine::retry::{Hold, Policy};
use engine::supervisor::{Engine, Host, Housing};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::super::{Error, Registry, Worker, stateful};

/// Does what an event's id says, and answers which of this worker's calls it was.
#[derive(Default)]
struct Obedient(u64);

impl Worker for Obedient {
    async fn call(&mut self, event: Event, call: &Call) -> Result<Vec<Event>, Error> {
        self.0 += 1;
        match event.id().as_str() {
            "reject" => Err(Error::reject("told to")),
            "drop" => Err(Error::Drop),
            "retry" if call.attempt == 1 => Err(Error::retry("told to")),
            "panic" if call.attempt == 1 => panic!("told to"),
            _ => Ok(vec![Event::new(format!("call-{}", self.0).into(), "/s".into(), event.id().clone())?]),
        }
    }
}

/// Hands over one event for each id, and says when all have settled.
struct Once {
    ids: &'static [&'static str],
    settled: Mutex<Option<oneshot::Sender<Vec<Outcome>>>>,
}

impl SourcePlan for Once {
    fn facts(&self) -> SourceFacts {
        SourceFacts {
            ack: AckPoint::Processed,
            redelivers: false,
            keyed: false,
            in_order: false,
            captures: vec![],
            limits: vec![],
        }
    }

    fn open(&self, _: Setup) -> Result<Box<dyn Source>, OpenError> {
        Ok(Box::new(Once { ids: self.ids, settled: Mutex::new(self.settled.lock().take()) }))
    }
}

impl Source for Once {
    fn run<'a>(&'a mut self, inbox: Inbox, mut stop: Shutdown) -> BoxFuture<'a, Result<(), SourceError>> {
        Box::pin(async move {
            let (mut intake, mut settlements) = inbox.split();
            let mut seats = intake.reserve(self.ids.len()).await.unwrap();
            for id in self.ids {
                seats.deliver(Event::new((*id).into(), "/s".into(), "t".into()).unwrap()).unwrap();
            }
            drop(seats);
            let mut pairs = Vec::new();
            while pairs.len() < self.ids.len() && settlements.next(&mut pairs).await {}
            let outcomes = pairs.into_iter().map(|(_, outcome)| outcome).collect();
            self.settled.get_mut().take().unwrap().send(outcomes).unwrap();
            drop(intake);
            stop.requested().await;
            Ok(())
        })
    }
}

/// Keeps the type and id of each result.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<(Text, Text)>>>);

impl OutputPlan for Kept {
    fn durable(&self) -> bool {
        false
    }

    fn open(&self, _: Setup) -> Result<Box<dyn Output>, OpenError> {
        Ok(Box::new(self.clone()))
    }
}

impl Output for Kept {
    fn publish(&self, event: &Event, _: Offer<'_>) -> Confirm {
        self.0.lock().push((event.r#type().clone(), event.id().clone()));
        Confirm::Now(Ok(()))
    }
}

fn host(state: &Path) -> Host {
    Host {
        instance: "test".into(),
        state: state.to_owned(),
        clock: Arc::new(SystemClock),
        turns: 1,
        housing: Housing::Here,
        idle_after: Duration::from_secs(60),
    }
}

/// A rule that calls the function and writes to the output.
fn rule() -> plan::Rule {
    plan::Rule {
        name: "rule".into(),
        filter: None,
        function: Some(0),
        outputs: vec![0],
        order: Order::None,
        max_in_flight: usize::MAX,
        max_seats: usize::MAX,
        rate: None,
        weight: engine::dispatch::Weight::MIN,
        timeout: Duration::from_secs(30),
        // The source waits for every attempt, so what it was told says that all is done.
        retry: Policy { delay: Duration::from_millis(1), hold: Hold::Source, ..Policy::default() },
        dead_letter: None,
        is_fed_back: false,
        on_success: Vec::new(),
        on_failure: Vec::new(),
    }
}

#[tokio::test]
async fn a_rule_sees_every_verdict_and_survives_a_panic() {
    let (settled, all_settled) = oneshot::channel();
    let ids = &["1", "panic", "reject", "retry", "drop", "2"];
    let kept = Kept::default();
    let function = Registry::default().with("obedient", stateful(Obedient::default));
    let plan = function.check(super::written("obedient"), &mut engine::config::Check::default()).unwrap();
    let plan = Plan {
        name: "native".into(),
        sources: vec![plan::Source {
            name: "once".into(),
            seats: ids.len(),
            spool: None,
            dead_letter: None,
            plan: Box::new(Once { ids, settled: Mutex::new(Some(settled)) }),
        }],
        functions: vec![plan::Function {
            name: "obedient".into(),
            workers: Limits { min: 1, max: 1 },
            concurrency: 1,
            circuit: None,
            plan,
        }],
        outputs: vec![plan::Output { name: "kept".into(), circuit: None, plan: Box::new(kept.clone()) }],
        triggers: vec![plan::Trigger {
            name: "trigger".into(),
            sources: vec![0],
            filter: None,
            unmatched: plan::Unmatched::Drop,
            dead_letter: None,
            rules: vec![rule()],
        }],
        state: plan::State::default(),
        wording: plan::Wording::default(),
        renamed: Vec::new(),
    };
    let state = tempfile::tempdir().unwrap();
    let engine = Engine::start(plan, host(state.path())).await.unwrap();
    assert_eq!(all_settled.await.unwrap(), [Outcome::Ack; 6]);
    let status = engine.status();
    let rule = &status.rules["trigger/rule"];
    assert_eq!((rule.matched, rule.done, rule.failed_attempts), (6, 4, 2));
    let given_up = (rule.dead_letters.get("rejected"), rule.dead_lettered + rule.dropped["function"]);
    assert_eq!(given_up, (Some(&1), 2), "{rule:?}");
    let mut results = kept.0.lock().clone();
    results.sort_unstable_by_key(|(_, call)| call.clone());
    let (done, calls): (Vec<_>, Vec<_>) = results.into_iter().unzip();
    // Six first attempts and two second ones by one worker, whose state outlived the panic.
    assert_eq!(calls.last().unwrap(), "call-8");
    assert_eq!(done.len(), 4);
    for id in ["1", "2", "panic", "retry"] {
        assert!(done.contains(&id.into()), "{id}");
    }
    assert_eq!(engine.drain(Duration::from_secs(60)).await.handed_back, 0);
}
