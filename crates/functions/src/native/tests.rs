//! Native functions through the ports that the engine calls them by.

mod running;

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use engine::config::{Check, Span, Spanned};
use engine::event::Event;
use engine::metric::{Link, Page};
use engine::port::{self, Call, Function, SystemClock, Verdict};
use engine::registry::{FunctionKind, OpenError, Setup};
use tokio::sync::Barrier;
use tokio::task::yield_now;
use tokio::time::Instant;

use super::{Answer, Error, Registry, Worker, stateful, stateless};

fn event(id: &str) -> Event {
    Event::new(id.into(), "/s".into(), "t".into()).unwrap()
}

fn call() -> Call {
    Call { rule: "trigger/rule".into(), attempt: 3, deadline: Instant::now() }
}

fn setup(name: &str) -> Setup {
    Setup {
        name: name.into(),
        instance: "test".into(),
        seats: 0,
        state: None,
        clock: Arc::new(SystemClock),
        link: Link::default(),
        page: Page::default(),
    }
}

/// A name as a file holds it.
fn written(name: &str) -> Spanned<String> {
    Spanned::new(name.into(), Span::default())
}

/// Finds a function by its name as a configuration does.
fn open(registry: &Registry, name: &str) -> Box<dyn Function> {
    let mut check = Check::default();
    let plan = registry.check(written(name), &mut check).unwrap();
    plan.open(setup(name)).unwrap()
}

async fn start(registry: &Registry, name: &str) -> Box<dyn port::Worker> {
    open(registry, name).start().await.unwrap()
}

async fn verdicts(worker: &dyn port::Worker, ids: &[&str]) -> Vec<Verdict> {
    let events: Vec<_> = ids.iter().map(|id| event(id)).collect();
    worker.call(&events, &call()).await.into_vec()
}

/// Answers how many events this worker has seen, as the id of its result.
#[derive(Default)]
struct Count(u64);

impl Worker for Count {
    async fn call(&mut self, event: Event, _call: &Call) -> Result<Vec<Event>, Error> {
        let seen = self.0;
        // Somebody else's turn, if calls could overlap.
        yield_now().await;
        match event.id().as_str() {
            "panic" => panic!("the function's own words"),
            "wait" => std::future::pending().await,
            _ => {}
        }
        self.0 = seen + 1;
        Ok(vec![Event::clone(&super::tests::event(&self.0.to_string()))])
    }
}

fn counted(count: u64) -> Verdict {
    Verdict::Done(vec![Event::clone(&event(&count.to_string()))])
}

#[tokio::test]
async fn an_async_fn_is_a_function() {
    async fn twice(event: Event, call: Call) -> Result<Vec<Event>, Error> {
        assert_eq!((call.rule.as_str(), call.attempt), ("trigger/rule", 3));
        Ok(vec![event.clone(), event])
    }
    let registry = Registry::default().with("twice", stateless(twice));
    let worker = start(&registry, "twice").await;
    let [one, two] = ["1", "2"].map(|id| Verdict::Done(vec![event(id); 2]));
    assert_eq!(verdicts(worker.as_ref(), &["1", "2"]).await, [one, two]);
}

#[tokio::test]
async fn whatever_a_function_returns_means_a_verdict() {
    async fn verdict<A: Answer + Clone + Sync + 'static>(answer: A) -> Verdict {
        let answering = stateless(move |_, _| std::future::ready(answer.clone()));
        let worker = answering.start().await.unwrap();
        verdicts(worker.as_ref(), &["1"]).await.remove(0)
    }
    let result = Event::clone(&event("2"));
    assert_eq!(verdict(()).await, Verdict::Done(vec![]));
    assert_eq!(verdict(None::<Event>).await, Verdict::Done(vec![]));
    assert_eq!(verdict(Some(result.clone())).await, Verdict::Done(vec![result.clone()]));
    assert_eq!(verdict(result.clone()).await, Verdict::Done(vec![result.clone()]));
    assert_eq!(verdict(vec![result.clone(); 3]).await, Verdict::Done(vec![result.clone(); 3]));
    assert_eq!(verdict(Verdict::Drop).await, Verdict::Drop);
    assert_eq!(verdict(Ok::<_, Error>(result.clone())).await, Verdict::Done(vec![result]));
    let failed = |error: Error| verdict(Err::<(), _>(error));
    assert_eq!(failed(Error::Drop).await, Verdict::Drop);
    assert_eq!(failed(Error::reject("no data")).await, Verdict::Reject { reason: "no data".into() });
    assert_eq!(failed(Error::retry("busy")).await, Verdict::Retry { after: None, error: "busy".into() });
    let after = Some(Duration::from_secs(2));
    let delayed = Error::retry_after(Duration::from_secs(2), "busy");
    assert_eq!(failed(delayed).await, Verdict::Retry { after, error: "busy".into() });
}

/// An error with a cause, which it may or may not print itself.
#[derive(Clone, Debug)]
struct Failed(&'static str, Option<Box<Failed>>);

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl StdError for Failed {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.1.as_deref().map(|cause| cause as _)
    }
}

#[test]
fn a_question_mark_on_any_error_tries_again_and_names_the_causes() {
    fn fails(error: Failed) -> Result<(), Error> {
        Err(error)?;
        Ok(())
    }
    let cause = Some(Box::new(Failed("connection refused", None)));
    let retry = |text: &str| Err(Error::Retry { after: None, error: text.into() });
    assert_eq!(fails(Failed("no answer", cause.clone())), retry("no answer: connection refused"));
    assert_eq!(fails(Failed("no answer: connection refused", cause)), retry("no answer: connection refused"));
}

#[tokio::test]
async fn calls_of_a_stateless_worker_overlap() {
    let barrier = Arc::new(Barrier::new(2));
    let meet = stateless(move |_, _| {
        let barrier = Arc::clone(&barrier);
        async move {
            barrier.wait().await;
        }
    });
    let worker = meet.start().await.unwrap();
    let (one, two) = tokio::join!(verdicts(worker.as_ref(), &["1"]), verdicts(worker.as_ref(), &["2"]));
    assert_eq!([one, two].concat(), [Verdict::Done(vec![]), Verdict::Done(vec![])]);
}

#[tokio::test]
async fn state_is_kept_across_calls_and_is_each_workers_own() {
    let registry = Registry::default().with("count", stateful(Count::default));
    let function = open(&registry, "count");
    let (one, two) = (function.start().await.unwrap(), function.start().await.unwrap());
    assert_eq!(verdicts(one.as_ref(), &["a", "b"]).await, [counted(1), counted(2)]);
    assert_eq!(verdicts(one.as_ref(), &["c"]).await, [counted(3)]);
    assert_eq!(verdicts(two.as_ref(), &["d"]).await, [counted(1)]);
}

#[tokio::test]
async fn calls_of_a_stateful_worker_run_one_after_the_other() {
    let worker = stateful(Count::default).start().await.unwrap();
    let call = || verdicts(worker.as_ref(), &["x", "x"]);
    let (one, two, three) = tokio::join!(call(), call(), call());
    assert_eq!([one, two, three].concat(), [1, 2, 3, 4, 5, 6].map(counted));
}

/// Answers the total of all workers that share it.
struct Share(Arc<AtomicU64>);

impl Worker for Share {
    async fn call(&mut self, _event: Event, _call: &Call) -> Result<Vec<Event>, Error> {
        let total = self.0.fetch_add(1, Ordering::Relaxed) + 1;
        Ok(vec![Event::clone(&event(&total.to_string()))])
    }
}

#[tokio::test]
async fn workers_share_what_their_factory_holds() {
    let total = Arc::new(AtomicU64::new(0));
    let everywhere = stateful(move || Share(Arc::clone(&total)));
    let per_function = |_: Setup| {
        let total = Arc::new(AtomicU64::new(0));
        Ok(stateful(move || Share(Arc::clone(&total))))
    };
    let registry = Registry::default().with("everywhere", everywhere).with("per-function", per_function);
    for (name, last) in [("everywhere", counted(3)), ("per-function", counted(1))] {
        let (one, other) = (open(&registry, name), open(&registry, name));
        let workers = [one.start().await.unwrap(), one.start().await.unwrap(), other.start().await.unwrap()];
        let mut seen = Vec::new();
        for worker in &workers {
            seen.extend(verdicts(worker.as_ref(), &["x"]).await);
        }
        assert_eq!(seen, [counted(1), counted(2), last], "{name}");
    }
}

#[tokio::test]
async fn a_closure_over_the_setup_sees_its_name_and_can_refuse() {
    let choosy = |setup: Setup| match setup.state {
        Some(_) => Ok(stateful(Count::default)),
        None => Err(OpenError { message: format!("'{}' needs a state folder; set `state`", setup.name), cause: None }),
    };
    let registry = Registry::default().with("choosy", choosy);
    let plan = registry.check(written("choosy"), &mut Check::default()).unwrap();
    let Err(error) = plan.open(setup("mine")) else { panic!("opened") };
    assert_eq!(error.to_string(), "'mine' needs a state folder; set `state`");
}

/// Runs a call on a task of its own, as a stand-in for the engine, which contains its panics.
fn contained(worker: &Arc<dyn port::Worker>, id: &str) -> impl Future<Output = Result<Vec<Verdict>, String>> {
    let (worker, id) = (Arc::clone(worker), id.to_owned());
    let task = tokio::spawn(async move { verdicts(worker.as_ref(), &[&id]).await });
    async move { task.await.map_err(|error| *error.into_panic().downcast_ref::<&str>().unwrap()).map_err(str::to_owned) }
}

#[tokio::test]
async fn a_panic_passes_through_and_leaves_the_worker_usable() {
    let worker: Arc<dyn port::Worker> = stateful(Count::default).start().await.unwrap().into();
    assert_eq!(contained(&worker, "x").await, Ok(vec![counted(1)]));
    assert_eq!(contained(&worker, "panic").await, Err("the function's own words".into()));
    assert_eq!(contained(&worker, "x").await, Ok(vec![counted(2)]));
    let early = stateless(|_, _| -> std::future::Ready<()> { panic!("before the future") });
    let worker: Arc<dyn port::Worker> = early.start().await.unwrap().into();
    assert_eq!(contained(&worker, "x").await, Err("before the future".into()));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_given_up_frees_the_worker() {
    let worker = stateful(Count::default).start().await.unwrap();
    let stuck = verdicts(worker.as_ref(), &["wait"]);
    assert!(tokio::time::timeout(Duration::from_secs(1), stuck).await.is_err());
    assert_eq!(verdicts(worker.as_ref(), &["x"]).await, [counted(1)]);
}

#[test]
fn an_unknown_name_is_refused_with_the_known_ones() {
    let problem = |registry: &Registry, name: &str| {
        let mut check = Check::default();
        let span = Span { file: 0, start: 7, end: 12 };
        assert!(registry.check(Spanned::new(name.into(), span), &mut check).is_none());
        let found = check.finish().remove(0);
        assert_eq!(found.span, Some(span));
        (found.message, found.help.unwrap())
    };
    let registry =
        Registry::default().with("shout", stateless(async |_, _| ())).with("count", stateful(Count::default));
    assert_eq!(
        problem(&registry, "Shuot"),
        ("there is no native function 'Shuot'".into(), "did you mean 'shout'? this binary has: count, shout".into())
    );
    let (message, help) = problem(&registry, &"whisper\u{1b}".repeat(20));
    assert!(message.starts_with(r"there is no native function 'whisper\u{1b}whisper") && message.len() < 150);
    assert_eq!(help, "this binary has: count, shout");
    assert_eq!(
        problem(&Registry::default(), "shout").1,
        "this binary has no native functions; register one in its main"
    );
}

#[tokio::test]
async fn a_name_given_twice_is_the_last_functions() {
    let registry = Registry::default().with("f", stateless(async |_, _| ())).with("f", stateful(Count::default));
    assert_eq!(format!("{registry:?}"), r#"{"f"}"#);
    assert_eq!(verdicts(start(&registry, "f").await.as_ref(), &["x"]).await, [counted(1)]);
}
