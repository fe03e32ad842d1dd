//! Random scripts of verdicts, timeouts, panics and refusals against a naive model of one delivery; the conservation law
//! is checked from within every call and every publish.

use std::collections::{BTreeMap, VecDeque};

use futures_util::FutureExt;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::port::PublishError;

/// What the function does in one attempt.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    Done,
    Retry,
    Reject,
    Drop,
    Panic,
    PanicLater,
    Hang,
    Silent,
}

/// What an output does with one publish.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Reply {
    Confirm,
    Refuse,
    Never,
    Panic,
}

/// One delivery: what each attempt does, and for each pair of result and output what each publish gets.
#[derive(Clone, Debug)]
struct Script {
    calls: Vec<Step>,
    /// By output, by result.
    replies: Vec<Vec<Vec<(Reply, bool)>>>,
}

const OUTPUTS: usize = 2;
const RESULTS: usize = 2;

fn scripts() -> impl Strategy<Value = Vec<Script>> {
    use Step::{Done, Drop, Hang, Panic, PanicLater, Reject, Retry, Silent};
    let step = select(vec![Done, Done, Done, Retry, Reject, Drop, Panic, PanicLater, Hang, Silent]);
    let reply = select(vec![Reply::Confirm, Reply::Confirm, Reply::Confirm, Reply::Refuse, Reply::Never, Reply::Panic]);
    let tries = prop::collection::vec((reply, any::<bool>()), 3);
    let replies = prop::collection::vec(prop::collection::vec(tries, RESULTS), OUTPUTS);
    let script = (prop::collection::vec(step, 3), replies).prop_map(|(calls, replies)| Script { calls, replies });
    prop::collection::vec(script, 1..24)
}

/// What should become of one delivery.
#[derive(Debug, Default, PartialEq)]
struct Expected {
    books: Books,
    calls: u32,
    /// Publishes by output and result.
    publishes: BTreeMap<(usize, usize), u32>,
}

/// The naive model: one delivery alone, its attempts one after the other.
fn model(script: &Script) -> Expected {
    let mut expected = Expected { books: Books { matched: 1, ..Books::default() }, ..Expected::default() };
    for step in &script.calls {
        expected.calls += 1;
        match step {
            Step::Done => return publish(script, expected),
            Step::Reject => return kept(expected, Reason::Rejected),
            Step::Drop => {
                expected.books.dropped[DropReason::Function as usize] = 1;
                return expected;
            }
            Step::Retry | Step::Panic | Step::PanicLater | Step::Hang | Step::Silent => {
                expected.books.failed_attempts += 1;
            }
        }
    }
    kept(expected, Reason::Exhausted)
}

fn publish(script: &Script, mut expected: Expected) -> Expected {
    let mut open: Vec<_> = (0..OUTPUTS).flat_map(|output| (0..RESULTS).map(move |result| (output, result))).collect();
    for _ in 0..policy().max_attempts {
        let mut worst = Reply::Confirm;
        open.retain(|&(output, result)| {
            let count = expected.publishes.entry((output, result)).or_default();
            let (reply, _) = script.replies[output][result][*count as usize];
            *count += 1;
            match reply {
                Reply::Never => worst = Reply::Never,
                Reply::Refuse | Reply::Panic if worst == Reply::Confirm => worst = Reply::Refuse,
                _ => {}
            }
            reply != Reply::Confirm
        });
        match worst {
            Reply::Confirm => {
                expected.books.done = 1;
                return expected;
            }
            Reply::Never => return kept(expected, Reason::Rejected),
            _ => expected.books.failed_attempts += 1,
        }
    }
    kept(expected, Reason::Exhausted)
}

fn kept(mut expected: Expected, reason: Reason) -> Expected {
    expected.books.dead_lettered[reason as usize] = 1;
    expected
}

/// The law, checked from wherever the test's code is called, and how often that was.
#[derive(Clone, Default)]
struct Law(Arc<Mutex<(Option<Reading>, u64)>>);

impl Law {
    fn check(&self) {
        let mut state = self.0.lock();
        if let Some(reading) = &state.0 {
            let books = reading.books();
            assert!(books.balance(), "{books:?}");
            state.1 += 1;
        }
    }
}

fn function(scripts: Vec<Script>, law: Law, calls: Arc<Mutex<Vec<u32>>>) -> Arc<dyn Function> {
    Arc::new(Calls(move |event: Event, call: Call| -> BoxFuture<'static, Verdicts> {
        law.check();
        let number: usize = event.id().parse().unwrap();
        calls.lock()[number] += 1;
        let results = (0..RESULTS).map(|result| crate::fake::event(&format!("{number}.{result}")));
        let done = Verdict::Done(results.collect());
        let verdict = match scripts[number].calls[call.attempt as usize - 1] {
            Step::Done => done,
            Step::Retry => Verdict::Retry { after: None, error: "again".to_owned() },
            Step::Reject => Verdict::Reject { reason: "no".to_owned() },
            Step::Drop => Verdict::Drop,
            Step::Panic => panic!("at once"),
            Step::PanicLater => {
                return async {
                    tokio::task::yield_now().await;
                    panic!("later")
                }
                .boxed();
            }
            Step::Hang => return std::future::pending().boxed(),
            Step::Silent => return std::future::ready(Verdicts::new()).boxed(),
        };
        std::future::ready(one(verdict)).boxed()
    }))
}

type Published = Arc<Mutex<BTreeMap<(usize, Text), VecDeque<(Reply, bool)>>>>;

fn output(at: usize, replies: Published, law: Law) -> Arc<dyn Output> {
    let (output, _) = recorder(move |event| {
        law.check();
        let next = replies.lock().get_mut(&(at, event.id().clone())).and_then(VecDeque::pop_front);
        let (reply, now) = next.expect("nothing is published more often than the model allows");
        let answer = match reply {
            Reply::Confirm => Ok(()),
            Reply::Refuse => Err(PublishError::Retry { after: None, error: "away".to_owned() }),
            Reply::Never => Err(PublishError::Reject { reason: "never".to_owned() }),
            Reply::Panic if now => panic!("at once"),
            Reply::Panic => return Say::Later(async { panic!("later") }.boxed()),
        };
        if now {
            return Say::Now(answer);
        }
        Say::Later(
            async move {
                tokio::time::sleep(Duration::from_millis(5)).await;
                answer
            }
            .boxed(),
        )
    });
    output
}

async fn run(scripts: Vec<Script>, workers: usize) -> (Vec<Expected>, Books, Vec<Outcome>, usize) {
    let (law, calls) = (Law::default(), Arc::new(Mutex::new(vec![0; scripts.len()])));
    let mut replies = BTreeMap::new();
    for (number, script) in scripts.iter().enumerate() {
        for (at, results) in script.replies.iter().enumerate() {
            for (result, tries) in results.iter().enumerate() {
                replies.insert((at, Text::from(format!("{number}.{result}"))), tries.clone().into());
            }
        }
    }
    let replies: Published = Arc::new(Mutex::new(replies));
    let pool = running(options(function(scripts.clone(), law.clone(), Arc::clone(&calls)), 0, workers));
    let outputs = (0..OUTPUTS).map(|at| output(at, Arc::clone(&replies), law.clone())).collect();
    let mut bench = bench(Some(pool), outputs);
    law.0.lock().0 = Some(bench.reading.clone());
    let events: Vec<_> = (0..scripts.len()).map(|number| event(&number.to_string())).collect();
    let mut arrivals = bench.desk.arrivals(events).await;
    while !arrivals.is_empty() {
        let rest = arrivals.split_off(arrivals.len().min(5));
        bench.feed.send(std::mem::replace(&mut arrivals, rest));
        settle_down().await;
    }
    let outcomes = bench.desk.settled(scripts.len()).await;
    settle_down().await;
    assert!(law.0.lock().1 > 0, "the law was never looked at");
    let tries = policy().max_attempts;
    let replies = replies.lock();
    let found = (0..scripts.len()).map(|number| {
        let pairs = (0..OUTPUTS).flat_map(|at| (0..RESULTS).map(move |result| (at, result)));
        let published = pairs.map(|(at, result)| {
            ((at, result), tries - replies[&(at, Text::from(format!("{number}.{result}")))].len() as u32)
        });
        let publishes = published.filter(|(_, count)| *count > 0).collect();
        Expected { calls: calls.lock()[number], publishes, books: Books::default() }
    });
    (found.collect(), bench.books(), outcomes, bench.bin.records().len())
}

fn add(sum: Books, one: &Books) -> Books {
    let dropped = std::array::from_fn(|at| sum.dropped[at] + one.dropped[at]);
    let dead_lettered = std::array::from_fn(|at| sum.dead_lettered[at] + one.dead_lettered[at]);
    Books {
        matched: sum.matched + one.matched,
        done: sum.done + one.done,
        dropped,
        dead_lettered,
        failed_attempts: sum.failed_attempts + one.failed_attempts,
        ..sum
    }
}

proptest! {
    #[test]
    fn every_delivery_ends_as_if_it_were_alone(scripts in scripts(), workers in 1..4_usize) {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_all().start_paused(true).build().unwrap();
        let expected: Vec<_> = scripts.iter().map(model).collect();
        let (found, books, outcomes, records) = runtime.block_on(run(scripts, workers));
        prop_assert_eq!(books, expected.iter().fold(Books::default(), |sum, one| add(sum, &one.books)));
        prop_assert_eq!(outcomes, vec![Outcome::Ack; expected.len()]);
        prop_assert_eq!(records as u64, books.dead_lettered.iter().sum::<u64>(), "what is spent or rejected is kept");
        for (number, (found, expected)) in found.iter().zip(&expected).enumerate() {
            prop_assert_eq!(found.calls, expected.calls, "delivery {}", number);
            prop_assert_eq!(&found.publishes, &expected.publishes, "delivery {}", number);
        }
    }
}
