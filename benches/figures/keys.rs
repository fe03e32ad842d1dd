//! Order by key beside the best that order leaves: how long 10,000 messages of one partition take, whose work is random, beside
//! a greedy schedule of the very same work.
//!
//! Every message is there from the start and has 0 to 5 ms of waiting to do, 100 at once at most, one of each key at a time. The
//! function measures each call. The schedule has these durations and no costs of its own: whenever one of its hundred places is
//! free, it begins the earliest message whose key is idle. What the engine takes more is its hops, its timers' lateness between
//! two calls of a key, and the seats that it looks ahead by.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use engine::config::plan::{self, Plan};
use engine::event::{Event, Name};
use engine::pool::Limits;
use engine::port::{BoxFuture, Call, Function, StartError, SystemClock, Verdict, Verdicts, Worker};
use engine::registry::{FunctionPlan, OpenError, Setup};
use engine::supervisor::{Engine, Host, Housing};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use crate::memory::Memory;
use crate::tax;

const MESSAGES: usize = 10_000;
/// Calls at once.
const WIDE: usize = 100;
/// The longest call in microseconds.
const LONGEST: u64 = 5_000;

/// The median of five runs: how much longer than the greedy schedule the engine takes, with so many keys and seats.
pub(crate) async fn take(keys: usize, seats: usize) -> f64 {
    let mut ratios = Vec::new();
    for seed in 0..5 {
        let messages = messages(keys, seed);
        let key_of: Vec<usize> = messages.iter().map(|(key, _)| *key).collect();
        let (took, calls) = run(messages, seats).await;
        let best = makespan(&key_of, &calls);
        eprintln!("{keys} keys, {seats} seats, seed {seed}: {took:?}, greedy {best:?}");
        ratios.push(took.as_secs_f64() / best.as_secs_f64());
    }
    ratios.sort_by(f64::total_cmp);
    ratios[2]
}

/// Keys, and how long each message's call waits.
fn messages(keys: usize, seed: u64) -> Vec<(usize, Duration)> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..MESSAGES).map(|_| (random.usize(..keys), Duration::from_micros(random.u64(..LONGEST)))).collect()
}

/// How long the engine takes, and how long each call was.
async fn run(messages: Vec<(usize, Duration)>, seats: usize) -> (Duration, Vec<Duration>) {
    let folder = tempfile::tempdir().expect("a folder for the state");
    let partition = Name::new("partitionkey").expect("a name");
    let event = |(number, (key, _)): (usize, &(usize, Duration))| {
        let event = Event::new(number.to_string().into(), "/bench".into(), "t".into()).expect("an event");
        event.with_extension(partition.clone(), key.to_string().as_str())
    };
    let (memory, done) = Memory::new(messages.iter().enumerate().map(event).collect());
    let waits: Vec<Duration> = messages.into_iter().map(|(_, wait)| wait).collect();
    let work = Work { calls: Arc::new(Mutex::new(vec![Duration::ZERO; waits.len()])), waits: waits.into() };
    let host = Host {
        instance: "bench".into(),
        state: folder.path().to_owned(),
        clock: Arc::new(SystemClock),
        turns: usize::MAX,
        housing: Housing::Threads(1),
        idle_after: Duration::from_secs(60),
    };
    let engine = Engine::start(plan(memory, work.clone(), seats), host).await.expect("it starts");
    let took = done.await.expect("the source ended");
    assert_eq!(engine.drain(Duration::from_secs(5)).await.handed_back, 0);
    let calls = work.calls.lock().clone();
    (took, calls)
}

fn plan(memory: Memory, work: Work, seats: usize) -> Plan {
    Plan {
        name: "keys".into(),
        sources: vec![plan::Source {
            name: "memory".into(),
            seats,
            spool: None,
            dead_letter: None,
            plan: Box::new(memory),
        }],
        functions: vec![plan::Function {
            name: "work".into(),
            workers: Limits { min: 1, max: 1 },
            concurrency: WIDE,
            circuit: None,
            plan: Box::new(work),
        }],
        outputs: Vec::new(),
        triggers: vec![plan::Trigger {
            name: "t".into(),
            sources: vec![0],
            filter: None,
            unmatched: plan::Unmatched::Drop,
            dead_letter: None,
            rules: vec![plan::Rule { outputs: Vec::new(), ..tax::rule("keys", engine::config::guarantee::Order::Key) }],
        }],
        state: plan::State::default(),
        wording: plan::Wording::default(),
        renamed: Vec::new(),
    }
}

/// A function that waits and measures, and its own plan.
#[derive(Clone)]
struct Work {
    waits: Arc<[Duration]>,
    calls: Arc<Mutex<Vec<Duration>>>,
}

impl FunctionPlan for Work {
    fn open(&self, _: Setup) -> Result<Box<dyn Function>, OpenError> {
        Ok(Box::new(self.clone()))
    }
}

impl Function for Work {
    fn start(&self) -> BoxFuture<'_, Result<Box<dyn Worker>, StartError>> {
        Box::pin(std::future::ready(Ok(Box::new(self.clone()) as Box<dyn Worker>)))
    }
}

impl Worker for Work {
    fn call<'a>(&'a self, events: &'a [Event], _: &'a Call) -> BoxFuture<'a, Verdicts> {
        Box::pin(async move {
            let mut verdicts = Verdicts::new();
            for event in events {
                let began = Instant::now();
                let number: usize = event.id().parse().expect("a number");
                sleep(self.waits[number]).await;
                self.calls.lock()[number] = began.elapsed();
                verdicts.push(Verdict::Done(Vec::new()));
            }
            verdicts
        })
    }
}

/// How long the greedy schedule takes for calls of these keys.
fn makespan(keys: &[usize], calls: &[Duration]) -> Duration {
    let mut lanes: HashMap<usize, VecDeque<usize>> = HashMap::new();
    keys.iter().enumerate().for_each(|(number, key)| lanes.entry(*key).or_default().push_back(number));
    let mut ready: BinaryHeap<Reverse<usize>> =
        lanes.values_mut().filter_map(VecDeque::pop_front).map(Reverse).collect();
    let (mut running, mut now) = (BinaryHeap::new(), Duration::ZERO);
    loop {
        while running.len() < WIDE
            && let Some(Reverse(number)) = ready.pop()
        {
            running.push(Reverse((now + calls[number], number)));
        }
        let Some(Reverse((end, number))) = running.pop() else { return now };
        now = end;
        ready.extend(lanes.get_mut(&keys[number]).and_then(VecDeque::pop_front).map(Reverse));
    }
}
