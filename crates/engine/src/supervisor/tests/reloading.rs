//! Another configuration while events are on their way: nothing is lost, nothing is done twice, and what stays is left alone.

use std::collections::BTreeMap;

use super::*;
use crate::config::Written;
use crate::fake::one;
use crate::filter::Filter;
use crate::port::Verdict;

mod chance;
mod orphans;

/// What was published: the event, and the output with its version.
type Published = Arc<Mutex<Vec<(Text, Text)>>>;

/// What differs from one configuration to the next. Numbers are versions.
#[derive(Clone, Debug)]
struct Variant {
    function: u32,
    workers: usize,
    outputs: BTreeMap<&'static str, u32>,
    /// Sources by their versions; `s` is always there.
    source: u32,
    others: Vec<&'static str>,
    /// Rules, each with the outputs that it publishes to and the `subject` that it wants.
    rules: BTreeMap<&'static str, (Vec<&'static str>, Option<&'static str>)>,
    retry: Policy,
    order: Order,
}

impl Default for Variant {
    fn default() -> Variant {
        Variant {
            function: 1,
            workers: 2,
            outputs: BTreeMap::from([("a", 1)]),
            source: 1,
            others: Vec::new(),
            rules: BTreeMap::from([("r", (vec!["a"], None))]),
            retry: Policy::default(),
            order: Order::Key,
        }
    }
}

/// An engine over one source, whose function and outputs say by which version of them an event went.
struct Mill {
    parts: Parts,
    /// By name, those that have not been opened.
    sources: BTreeMap<&'static str, Vec<Memory>>,
    published: Published,
    function: Arc<dyn Fn(u32) -> Arc<dyn Function>>,
}

/// An output that notes what it gets.
struct Noted(Text, Published, Log);

impl Output for Noted {
    fn publish(&self, event: &Event, _: Offer<'_>) -> Confirm {
        self.1.lock().push((event.id().clone(), self.0.clone()));
        Confirm::Now(Ok(()))
    }

    fn close(&self) -> BoxFuture<'_, Result<(), PublishError>> {
        self.2.say(format!("close {}", self.0));
        Box::pin(std::future::ready(Ok(())))
    }
}

struct NotedIs(u32, Published, Log);

impl OutputPlan for NotedIs {
    fn durable(&self) -> bool {
        true
    }

    fn open(&self, setup: Setup) -> Result<Box<dyn Output>, OpenError> {
        if self.0 == 0 {
            return Err(missing());
        }
        let name = Text::from(format!("{}{}", setup.name, self.0));
        self.2.say(format!("open {name}"));
        Ok(Box::new(Noted(name, Arc::clone(&self.1), self.2.clone())))
    }
}

/// A result that says which version made it.
fn by(version: u32, event: &Event) -> Verdicts {
    one(Verdict::Done(vec![crate::fake::event(&format!("{}@{version}", event.id()))]))
}

impl Mill {
    fn new(function: impl Fn(u32) -> Arc<dyn Function> + 'static) -> Mill {
        let parts = Parts::new(function(1));
        Mill { parts, sources: BTreeMap::new(), published: Published::default(), function: Arc::new(function) }
    }

    /// One more run of this source.
    fn pipe(&mut self, name: &'static str) -> Pipe {
        let (pipe, memory) = Memory::new();
        self.sources.entry(name).or_default().insert(0, memory);
        pipe
    }

    fn plan(&mut self, variant: &Variant) -> Plan {
        let log = self.parts.log.clone();
        let names = || ["s"].into_iter().chain(variant.others.iter().copied());
        let sources = names().map(|name| {
            let memory = self.sources.get_mut(name).and_then(Vec::pop);
            let plan = Box::new(Spare(Mutex::new(memory), log.clone(), self.parts.spool));
            plan::Source { name: name.into(), seats: 8, spool: self.parts.spool, dead_letter: None, plan }
        });
        let sources: Vec<_> = sources.collect();
        let output = |(name, version): (&&'static str, &u32)| plan::Output {
            name: (*name).into(),
            circuit: None,
            plan: Box::new(NotedIs(*version, Arc::clone(&self.published), log.clone())),
        };
        let place = |name: &&'static str| variant.outputs.keys().position(|known| known == name).unwrap();
        let rule =
            |(name, (outputs, subject)): (&&'static str, &(Vec<&'static str>, Option<&'static str>))| plan::Rule {
                name: (*name).into(),
                filter: subject.map(|subject| Filter::exact([(crate::event::Attribute::Subject, subject)]).unwrap()),
                function: Some(0),
                outputs: outputs.iter().map(place).collect(),
                order: variant.order,
                max_in_flight: usize::MAX,
                max_seats: usize::MAX,
                rate: None,
                weight: crate::dispatch::Weight::MIN,
                timeout: 30 * SECOND,
                retry: variant.retry.clone(),
                dead_letter: None,
                is_fed_back: false,
                on_success: Vec::new(),
                on_failure: Vec::new(),
            };
        let worded = |name: &str, version: u32| (Text::from(name), version.to_string());
        let source = |name: &'static str| worded(name, if name == "s" { variant.source } else { 1 });
        Plan {
            name: "test".into(),
            functions: vec![plan::Function {
                name: "f".into(),
                workers: Limits { min: 0, max: variant.workers },
                concurrency: 1,
                circuit: None,
                plan: Box::new(FunctionIs((self.function)(variant.function), log.clone())),
            }],
            outputs: variant.outputs.iter().map(output).collect(),
            triggers: vec![plan::Trigger {
                name: "t".into(),
                sources: (0..sources.len()).collect(),
                filter: None,
                dead_letter: None,
                unmatched: plan::Unmatched::default(),
                rules: variant.rules.iter().map(rule).collect(),
            }],
            sources,
            state: plan::State::default(),
            renamed: Vec::new(),
            wording: plan::Wording {
                sources: names().map(source).collect::<Written>(),
                functions: [worded("f", variant.function)].into_iter().collect(),
                outputs: variant.outputs.iter().map(|(name, version)| worded(name, *version)).collect(),
            },
        }
    }

    async fn start(&mut self, variant: &Variant) -> Engine {
        let plan = self.plan(variant);
        Engine::start(plan, self.parts.host()).await.unwrap()
    }

    async fn reload(&mut self, engine: &Engine, variant: &Variant) -> Reloaded {
        let plan = self.plan(variant);
        engine.reload(plan).await.unwrap()
    }

    async fn refused(&mut self, engine: &Engine, variant: &Variant) -> String {
        let plan = self.plan(variant);
        let before = engine.configuration();
        let sentence = engine.reload(plan).await.unwrap_err().to_string();
        let after = engine.configuration();
        assert_eq!((after.generation, after.failures), (before.generation, before.failures + 1));
        let last = after.last_reload.unwrap();
        assert_eq!((last.result, last.error.as_ref()), (ReloadResult::Failed, Some(&sentence)));
        sentence
    }

    /// What was published so far, in order of the events.
    fn published(&self) -> Vec<(String, String)> {
        let mut published: Vec<_> =
            self.published.lock().iter().map(|(id, output)| (id.to_string(), output.to_string())).collect();
        published.sort();
        published
    }

    /// Waits until so many were published.
    async fn until_published(&self, count: usize) {
        while self.published.lock().len() < count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// A source that may be opened only as long as there is a run of it left.
struct Spare(Mutex<Option<Memory>>, Log, Option<crate::spool::Policy>);

impl SourcePlan for Spare {
    fn facts(&self) -> SourceFacts {
        let ack = if self.2.is_some() { AckPoint::Spooled } else { AckPoint::Processed };
        SourceFacts { ack, redelivers: true, keyed: true, in_order: true, captures: Vec::new(), limits: Vec::new() }
    }

    fn open(&self, setup: Setup) -> Result<Box<dyn Source>, OpenError> {
        self.1.say(format!("open {}", setup.name));
        let source = self.0.lock().take().ok_or_else(missing)?;
        Ok(Box::new(source.with_link(setup.link)))
    }
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(one, other)| (one.to_string(), other.to_string())).collect()
}

/// Waits until nothing of an earlier configuration is left.
async fn nothing_leaves(engine: &Engine) {
    loop {
        let live = engine.live();
        let leaving = &live.leaving;
        if leaving.sources.is_empty()
            && leaving.rules.is_empty()
            && leaving.pools.is_empty()
            && leaving.outputs.is_empty()
        {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// A function of every version whose calls wait for the gate of their version.
fn gates() -> (impl Fn(u32) -> Arc<dyn Function> + 'static, watch::Sender<u32>) {
    let (open, opened) = watch::channel(0);
    let function = move |version: u32| -> Arc<dyn Function> {
        let opened = opened.clone();
        Arc::new(Calls(move |event: Event, _: Call| -> BoxFuture<'static, Verdicts> {
            let mut opened = opened.clone();
            Box::pin(async move {
                let _ = opened.wait_for(|open| *open >= version).await;
                by(version, &event)
            })
        }))
    };
    (function, open)
}

#[tokio::test(start_paused = true)]
async fn what_has_begun_ends_as_it_began_and_what_follows_is_new() {
    let (function, gate) = gates();
    let mut mill = Mill::new(function);
    let pipe = mill.pipe("s");
    let first = Variant { workers: 1, ..Variant::default() };
    let engine = mill.start(&first).await;
    pipe.send(&["1", "2", "3"]).await;
    settle_down().await;
    // One is called; two wait in the queue of the old workers, and begin with the new ones.
    let second = Variant { function: 2, outputs: BTreeMap::from([("a", 2), ("b", 1)]), ..first.clone() };
    let mut second = second;
    second.rules = BTreeMap::from([("r", (vec!["a", "b"], None))]);
    let reloaded = mill.reload(&engine, &second).await;
    assert_eq!((reloaded.generation, reloaded.result), (2, ReloadResult::Reloaded));
    assert_eq!(reloaded.change.sources.unchanged, ["s"]);
    assert_eq!(
        (&reloaded.change.outputs.added, &reloaded.change.outputs.changed),
        (&vec!["b".into()], &vec!["a".into()])
    );
    assert_eq!(
        (&reloaded.change.functions.changed, &reloaded.change.rules.changed),
        (&vec!["f".into()], &vec!["t/r".into()])
    );
    pipe.send(&["4"]).await;
    settle_down().await;
    assert_eq!(engine.status().rules["t/r"].in_flight, 4);
    gate.send_replace(2);
    mill.until_published(7).await;
    let expected =
        [("1@1", "a1"), ("2@2", "a2"), ("2@2", "b1"), ("3@2", "a2"), ("3@2", "b1"), ("4@2", "a2"), ("4@2", "b1")];
    assert_eq!(mill.published(), pairs(&expected));
    nothing_leaves(&engine).await;
    assert_eq!(mill.parts.log.all(), ["open a1", "open f", "open s", "open a2", "open b1", "open f", "close a1"]);
    assert_eq!(*pipe.runs.borrow(), 1, "the source has gone on");
    let status = engine.status();
    check(&status);
    assert_eq!((status.rules["t/r"].done, status.rules["t/r"].failed_attempts), (4, 0));
    assert_eq!(engine.drain(60 * SECOND).await, Drained::default());
    assert_eq!(pipe.told(), ["1", "2", "3", "4"].map(|id| (id.to_owned(), Outcome::Ack)));
}

#[tokio::test(start_paused = true)]
async fn a_call_under_way_keeps_its_output_open_until_it_has_published() {
    let (function, gate) = gates();
    let mut mill = Mill::new(function);
    let pipe = mill.pipe("s");
    let first = Variant::default();
    let engine = mill.start(&first).await;
    pipe.send(&["1"]).await;
    settle_down().await;
    let second = Variant {
        outputs: BTreeMap::from([("b", 1)]),
        rules: BTreeMap::from([("r", (vec!["b"], None))]),
        ..first.clone()
    };
    mill.reload(&engine, &second).await;
    settle_down().await;
    assert!(!mill.parts.log.all().contains(&"close a1".to_owned()));
    assert!(!engine.status().outputs.contains_key("a"));
    gate.send_replace(1);
    nothing_leaves(&engine).await;
    assert_eq!(mill.published(), pairs(&[("1@1", "a1")]));
    assert_eq!(mill.parts.log.all().last().unwrap(), "close a1");
    engine.drain(60 * SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn what_means_the_same_changes_nothing_and_what_cannot_be_opened_keeps_the_old() {
    let (function, gate) = gates();
    gate.send_replace(9);
    let mut mill = Mill::new(function);
    let pipe = mill.pipe("s");
    let first = Variant::default();
    let engine = mill.start(&first).await;
    let same = mill.reload(&engine, &first).await;
    assert_eq!(
        (same.generation, same.result, same.change.rules.unchanged),
        (1, ReloadResult::Unchanged, vec!["t/r".into()])
    );

    let outputs = BTreeMap::from([("a", 2), ("b", 0)]);
    let sentence = mill.refused(&engine, &Variant { outputs, ..first.clone() }).await;
    assert_eq!(sentence, "output 'b': no such secret; the old configuration goes on");
    assert_eq!(mill.parts.log.all()[3..], ["open a2", "close a2"], "what was opened is closed");
    // A source that cannot be opened is found before the outputs that are there have changed places.
    let sentence = mill.refused(&engine, &Variant { source: 2, ..first.clone() }).await;
    assert_eq!(sentence, "source 's': no such secret; the old configuration goes on");
    pipe.send(&["1"]).await;
    mill.until_published(1).await;
    assert_eq!(mill.published(), pairs(&[("1@1", "a1")]));
    let mut plan = mill.plan(&first);
    plan.state.parked += 1;
    let sentence = engine.reload(plan).await.unwrap_err().to_string();
    assert_eq!(sentence, "'state' changed: restart to apply; the old configuration goes on");
    let none = Variant { order: Order::None, ..first.clone() };
    mill.reload(&engine, &none).await;
    let sentence = mill.refused(&engine, &first).await;
    assert!(sentence.starts_with("rule 't/r' kept no order"), "{sentence}");
    engine.reload_refused("wrong".to_owned());
    let known = engine.configuration();
    assert_eq!((known.generation, known.failures), (2, 5));
    assert_eq!(known.last_reload.unwrap().result, ReloadResult::Invalid);
    let page = engine.metrics(true);
    assert!(
        page.contains("\ntidemill_config_generation{} 2\n") && page.contains("_reload_failures_total{} 5\n"),
        "{page}"
    );
    engine.drain(60 * SECOND).await;
    let plan = mill.plan(&first);
    assert!(matches!(engine.reload(plan).await, Err(ReloadError::Ending)));
}

#[tokio::test(start_paused = true)]
async fn rules_come_and_go_with_their_counts() {
    let (function, gate) = gates();
    let mut mill = Mill::new(function);
    let pipe = mill.pipe("s");
    let first = Variant::default();
    let engine = mill.start(&first).await;
    pipe.send(&["1"]).await;
    settle_down().await;
    let mut second = first.clone();
    second.rules = BTreeMap::from([("r", (vec!["a"], Some("nobody"))), ("q", (vec!["a"], None))]);
    let change = mill.reload(&engine, &second).await.change;
    assert_eq!((change.rules.added, change.rules.changed), (vec!["t/q".into()], vec!["t/r".into()]));
    pipe.send(&["2"]).await;
    settle_down().await;
    let status = engine.status();
    assert_eq!((status.rules["t/r"].matched, status.rules["t/r"].filtered), (1, 1));
    assert_eq!((status.rules["t/q"].matched, status.rules["t/q"].filtered), (1, 0));

    // A rule that goes ends what it has, and is seen for as long.
    let mut third = second.clone();
    third.rules.remove("r");
    assert_eq!(mill.reload(&engine, &third).await.change.rules.removed, ["t/r"]);
    settle_down().await;
    check(&engine.status());
    assert_eq!(engine.status().rules["t/r"].in_flight, 1);
    let sentence = mill.refused(&engine, &second).await;
    assert!(sentence.starts_with("rule 't/r' of an earlier configuration has not ended yet"), "{sentence}");
    gate.send_replace(1);
    nothing_leaves(&engine).await;
    assert!(!engine.status().rules.contains_key("t/r"));
    mill.until_published(2).await;
    assert_eq!(mill.published(), pairs(&[("1@1", "a1"), ("2@1", "a1")]));
    mill.reload(&engine, &second).await;
    assert_eq!(engine.status().rules["t/r"].matched, 0, "it begins anew");
    assert_eq!(engine.drain(60 * SECOND).await, Drained::default());
}

#[tokio::test(start_paused = true)]
async fn a_source_that_changes_is_drained_and_begins_anew() {
    let (function, gate) = gates();
    let mut mill = Mill::new(function);
    let old = mill.pipe("s");
    let first = Variant::default();
    let engine = mill.start(&first).await;
    old.send(&["1"]).await;
    settle_down().await;
    let new = mill.pipe("s");
    let (other, second) = (mill.pipe("x"), Variant { source: 2, others: vec!["x"], ..first.clone() });
    let change = mill.reload(&engine, &second).await.change;
    assert_eq!((change.sources.changed, change.sources.added), (vec!["s".into()], vec!["x".into()]));
    other.send(&["2"]).await;
    settle_down().await;
    assert_eq!((*new.runs.borrow(), *other.runs.borrow()), (0, 1), "the old one has not acknowledged everything");
    gate.send_replace(1);
    mill.until_published(2).await;
    while *new.runs.borrow() == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(*old.ended.lock(), Some(Stop::Keep));
    assert_eq!(old.told(), [("1".to_owned(), Outcome::Ack)]);
    new.send(&["3"]).await;
    mill.until_published(3).await;
    nothing_leaves(&engine).await;
    let status = engine.status();
    check(&status);
    assert_eq!((status.sources["s"].received, status.sources["s"].settled), (2, 2), "its books go on");

    let change = mill.reload(&engine, &Variant { others: Vec::new(), ..second.clone() }).await.change;
    assert_eq!(change.sources.removed, ["x"]);
    nothing_leaves(&engine).await;
    assert_eq!(*other.ended.lock(), Some(Stop::Keep));
    assert_eq!(engine.status().sources.keys().collect::<Vec<_>>(), ["s"]);
    assert_eq!(engine.drain(60 * SECOND).await, Drained::default());
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_ends_waits_for_what_is_leaving() {
    let (function, gate) = gates();
    let mut mill = Mill::new(function);
    let (pipe, first) = (mill.pipe("s"), Variant::default());
    let engine = Arc::new(mill.start(&first).await);
    pipe.send(&["1"]).await;
    settle_down().await;
    let mut second = first.clone();
    second.rules = BTreeMap::from([("q", (vec!["a"], None))]);
    mill.reload(&engine, &second).await;
    let draining = tokio::spawn({
        let engine = Arc::clone(&engine);
        async move { engine.drain(10 * SECOND).await }
    });
    settle_down().await;
    assert!(!draining.is_finished());
    gate.send_replace(1);
    assert_eq!(draining.await.unwrap(), Drained::default());
    assert_eq!(mill.published(), pairs(&[("1@1", "a1")]));
    assert_eq!(pipe.told(), [("1".to_owned(), Outcome::Ack)]);
}
