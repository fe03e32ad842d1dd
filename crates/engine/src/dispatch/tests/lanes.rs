//! Order by key: what waits for what, and what does not.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::event::Name;
use crate::fake::Say;
use crate::port::PublishError;

/// An event of a key.
fn of(key: &str, id: &str) -> Event {
    event(id).with_extension(Name::new("partitionkey").unwrap(), key)
}

/// Every call as it began and ended, by key.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn say(&self, what: &str, id: &str) {
        self.0.lock().push(format!("{what} {id}"));
    }
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock())
    }
}

/// A function that takes a second for each event and then says what `answer` does.
fn slow(log: &Log, answer: impl Fn(&str, u32) -> Verdicts + Send + Sync + Clone + 'static) -> Arc<dyn Function> {
    let log = log.clone();
    Arc::new(Calls(move |event: Event, call: Call| -> BoxFuture<'static, Verdicts> {
        let (log, answer) = (log.clone(), answer.clone());
        Box::pin(async move {
            log.say("begin", event.id());
            tokio::time::sleep(SECOND).await;
            log.say("end", event.id());
            answer(event.id(), call.attempt)
        })
    }))
}

impl Bench {
    async fn send_of(&mut self, events: &[(&str, &str)]) {
        let events: Vec<_> =
            events.iter().map(|(key, id)| if key.is_empty() { event(id) } else { of(key, id) }).collect();
        let batch = self.desk.arrivals(events).await;
        self.feed.send(batch);
        settle_down().await;
    }
}

fn four(function: Arc<dyn Function>) -> Option<Pool> {
    Some(running(options(function, 4, 4)))
}

#[tokio::test(start_paused = true)]
async fn events_of_one_key_run_one_after_the_other_and_others_at_once() {
    let log = Log::default();
    let mut bench = bench(four(slow(&log, |_, _| done())), Vec::new());
    bench.send_of(&[("a", "a1"), ("a", "a2"), ("b", "b1"), ("", "x"), ("", "y"), ("a", "a3")]).await;
    let mut begun = log.take();
    begun.sort_unstable();
    assert_eq!(begun, ["begin a1", "begin b1", "begin x", "begin y"], "one of each key, and all without one");
    for (ended, next) in [("end a1", "begin a2"), ("end a2", "begin a3")] {
        advance(SECOND).await;
        settle_down().await;
        let said = log.take();
        let place = |what: &str| said.iter().position(|word| word == what);
        assert!(place(ended).expect("it ends") < place(next).expect("the next begins"), "{said:?}");
    }
    assert_eq!(bench.desk.settled(6).await, [Outcome::Ack; 6]);
    assert_eq!(bench.books(), Books { matched: 6, done: 6, ..Books::default() });
}

#[tokio::test(start_paused = true)]
async fn a_rule_without_order_runs_them_at_once() {
    let log = Log::default();
    let mut bench = bench_with(|options| options.ordered = false, four(slow(&log, |_, _| done())), Vec::new());
    bench.send_of(&[("a", "1"), ("a", "2"), ("a", "3")]).await;
    assert_eq!(log.take().len(), 3);
    assert_eq!(bench.desk.settled(3).await, [Outcome::Ack; 3]);
}

#[tokio::test(start_paused = true)]
async fn a_failing_event_holds_its_own_key_until_it_ends_and_no_other() {
    let log = Log::default();
    let function = slow(&log, |id, _| if id == "poison" { again() } else { done() });
    let mut bench = bench(four(function), Vec::new());
    bench.send_of(&[("a", "poison"), ("a", "behind"), ("b", "1"), ("b", "2"), ("b", "3")]).await;
    let begun = Instant::now();
    assert_eq!(bench.desk.settled(3).await, [Outcome::Ack; 3]);
    assert_eq!(begun.elapsed().as_secs(), 3, "the other key took its own time");
    let before = log.take();
    assert_eq!(bench.desk.settled(2).await, [Outcome::Ack; 2]);
    let said = [before, log.take()].concat();
    let of =
        |word: &str| said.iter().enumerate().filter(|(_, said)| *said == word).map(|(at, _)| at).collect::<Vec<_>>();
    let (tried, behind) = (of("end poison"), of("begin behind"));
    assert!(tried.len() == 3 && behind.len() == 1 && behind[0] > tried[2], "{said:?}");
    let books = Books { matched: 5, done: 4, dead_lettered: [1, 0, 0, 0], failed_attempts: 3, ..Books::default() };
    settle_down().await;
    assert_eq!(bench.books(), books);
}

#[tokio::test(start_paused = true)]
async fn whichever_way_an_event_ends_the_next_of_its_key_has_its_turn() {
    let function = judge(|event, call| match event.id().as_str() {
        "drop" => one(Verdict::Drop),
        "reject" => one(Verdict::Reject { reason: "no".to_owned() }),
        "spent" => again(),
        "later" if call.attempt == 1 => again(),
        "panic" => panic!("at once"),
        _ => one(Verdict::Done(vec![event.clone()])),
    });
    let (output, seen) = recorder(|event| match event.id().as_str() {
        "refused" => Say::Now(Err(PublishError::Reject { reason: "no".to_owned() })),
        "confirmed" => Say::Later(Box::pin(async {
            tokio::time::sleep(SECOND).await;
            Ok(())
        })),
        _ => Say::Now(Ok(())),
    });
    let mut bench = bench(pool(function), vec![output]);
    let ids = ["done", "drop", "reject", "spent", "later", "panic", "refused", "confirmed", "last"];
    bench.send_of(&ids.map(|id| ("k", id))).await;
    assert_eq!(bench.desk.settled(ids.len()).await, [Outcome::Ack; 9]);
    assert_eq!(seen.ids(), ["done", "later", "refused", "confirmed", "last"]);
    bench.send_of(&[("k", "again")]).await;
    assert_eq!(bench.desk.settled(1).await, [Outcome::Ack], "the lane was closed and is opened anew");
}

#[tokio::test(start_paused = true)]
async fn a_long_lane_of_events_that_end_at_once_costs_no_stack() {
    const MANY: usize = 100_000;
    let (output, seen) = recorder(|_| Say::Now(Ok(())));
    let mut bench = bench(None, vec![output]);
    bench.desk = Desk::new(MANY);
    let events: Vec<_> = (0..MANY).map(|number| of("k", &number.to_string())).collect();
    let batch = bench.desk.arrivals(events).await;
    bench.feed.send(batch);
    assert_eq!(bench.desk.settled(MANY).await.len(), MANY);
    assert!(seen.ids().iter().enumerate().all(|(number, id)| *id == number.to_string()), "they came in order");
}

#[tokio::test(start_paused = true)]
async fn what_stands_behind_another_goes_back_at_once_and_its_place_is_skipped() {
    let log = Log::default();
    let mut bench = bench(four(slow(&log, |_, _| done())), Vec::new());
    bench.send_of(&[("a", "1"), ("a", "2"), ("a", "3")]).await;
    let recall = bench.desk.recall([1]);
    bench.feed.recall(recall);
    assert_eq!(bench.desk.settled(1).await, [Outcome::Retry { after: Duration::ZERO }]);
    assert_eq!(bench.desk.settled(2).await, [Outcome::Ack; 2]);
    assert_eq!(log.take(), ["begin 1", "end 1", "begin 3", "end 3"]);
    assert_eq!(bench.books(), Books { matched: 3, done: 2, handed_back: 1, ..Books::default() });
}

/// What the function does with one event in each attempt, and how long that takes.
type Script = Vec<(u64, Option<bool>)>;

fn scripts() -> impl Strategy<Value = Vec<(usize, Script)>> {
    let attempt = (0_u64..40, select(vec![Some(true), Some(true), Some(false), None]));
    prop::collection::vec((0_usize..5, prop::collection::vec(attempt, 3)), 1..60)
}

/// Runs the scripts with so many workers; answers every call as (key, number, attempt, from, to), and how many were at once.
async fn calls_of(scripts: Vec<(usize, Script)>, workers: usize) -> Vec<(usize, usize, u32, Instant, Instant)> {
    let calls = Arc::new(Mutex::new(Vec::new()));
    let (noted, told) = (Arc::clone(&calls), scripts.clone());
    let function = Calls(move |event: Event, call: Call| -> BoxFuture<'static, Verdicts> {
        let number: usize = event.id().parse().unwrap();
        let (key, script) = &told[number];
        let ((millis, verdict), key, noted) = (script[call.attempt as usize - 1], *key, Arc::clone(&noted));
        Box::pin(async move {
            let from = Instant::now();
            tokio::time::sleep(Duration::from_millis(millis)).await;
            noted.lock().push((key, number, call.attempt, from, Instant::now()));
            match verdict {
                Some(true) => done(),
                Some(false) => one(Verdict::Reject { reason: "no".to_owned() }),
                None => again(),
            }
        })
    });
    let mut bench = bench(Some(running(options(Arc::new(function), 0, workers))), Vec::new());
    let count = scripts.len();
    let events = scripts.iter().enumerate().map(|(number, (key, _))| match key {
        0 => event(&number.to_string()),
        key => of(&format!("k{key}"), &number.to_string()),
    });
    let mut arrivals = bench.desk.arrivals(events.collect::<Vec<_>>()).await;
    while !arrivals.is_empty() {
        let rest = arrivals.split_off(arrivals.len().min(7));
        bench.feed.send(std::mem::replace(&mut arrivals, rest));
        advance(Duration::from_millis(10)).await;
    }
    assert_eq!(bench.desk.settled(count).await, vec![Outcome::Ack; count]);
    settle_down().await;
    bench.books();
    let calls = calls.lock();
    calls.clone()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn each_key_is_served_as_if_it_were_alone(scripts in scripts(), workers in 1..5_usize) {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_all().start_paused(true).build().unwrap();
        let mut calls = runtime.block_on(calls_of(scripts.clone(), workers));
        calls.sort_by_key(|(_, _, _, from, to)| (*from, *to));
        let mut by_key: BTreeMap<usize, Vec<_>> = BTreeMap::new();
        for (key, number, attempt, from, to) in calls {
            by_key.entry(key).or_default().push((number, attempt, from, to));
        }
        // Those without a key are bound by nothing.
        by_key.remove(&0);
        for (key, served) in by_key {
            let mut wanted = Vec::new();
            for (number, (_, script)) in scripts.iter().enumerate().filter(|(_, (of, _))| *of == key) {
                let attempts = script.iter().position(|(_, verdict)| verdict.is_some()).map_or(3, |at| at + 1);
                wanted.extend((1..=attempts as u32).map(|attempt| (number, attempt)));
            }
            let order: Vec<_> = served.iter().map(|(number, attempt, ..)| (*number, *attempt)).collect();
            prop_assert_eq!(order, wanted, "key {}", key);
            for pair in served.windows(2) {
                prop_assert!(pair[0].3 <= pair[1].2, "no two of a key at once");
            }
        }
    }
}
