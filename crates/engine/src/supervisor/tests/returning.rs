//! Engines whose rules send results back into the router. Time is not paused: the state file has a thread of its own.

use super::*;
use crate::event::Value;
use crate::filter::Filter;
use crate::router::returns;
use crate::spool::Policy as Bounds;

async fn until(mut there: impl FnMut() -> bool) {
    let waiting = async {
        while !there() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(180 * SECOND, waiting).await.expect("it comes to that");
}

/// A function that makes `a` of what is called `fake`, and calls whatever else it sees.
fn maker(seen: &Arc<Mutex<Vec<Event>>>) -> Arc<dyn Function> {
    let seen = Arc::clone(seen);
    judge(move |event, _| {
        seen.lock().push(event.clone());
        let of = |kind: &str| Event::new(format!("{}-{kind}", event.id()).into(), "/made".into(), kind.into()).unwrap();
        let results = if event.r#type() == "fake" { vec![of("a"), of("b")] } else { Vec::new() };
        crate::fake::one(crate::port::Verdict::Done(results))
    })
}

/// A rule that calls the function with what comes back.
fn again(name: &str) -> plan::Rule {
    plan::Rule {
        name: name.into(),
        filter: None,
        is_fed_back: true,
        outputs: Vec::new(),
        function: Some(0),
        order: Order::Key,
        max_in_flight: usize::MAX,
        max_seats: usize::MAX,
        rate: None,
        weight: crate::dispatch::Weight::MIN,
        timeout: 30 * SECOND,
        retry: Policy::default(),
        dead_letter: None,
        on_success: Vec::new(),
        on_failure: Vec::new(),
    }
}

impl Parts {
    /// A plan whose rule `t/r` publishes to the router, and whose rule `back/again` takes events of the type `a` from there.
    fn returning(&mut self, circle: bool) -> Plan {
        let mut plan = self.plan();
        let (source, output) = (plan.sources.len(), plan.outputs.len());
        let router = Box::new(returns::Plan);
        let spool = Some(Bounds::default());
        plan.sources.push(plan::Source {
            name: returns::NAME.into(),
            seats: 4,
            spool,
            dead_letter: None,
            plan: router,
        });
        plan.outputs.push(plan::Output { name: returns::NAME.into(), circuit: None, plan: Box::new(returns::Plan) });
        plan.triggers[0].rules[0].outputs.push(output);
        let rule = plan::Rule {
            filter: (!circle).then(|| Filter::exact([(crate::event::Attribute::Type, "a")]).unwrap()),
            outputs: if circle { vec![output] } else { (0..output).collect() },
            ..again("again")
        };
        plan.triggers.push(plan::Trigger {
            name: "back".into(),
            sources: vec![source],
            filter: None,
            unmatched: plan::Unmatched::Drop,
            dead_letter: None,
            rules: vec![rule],
        });
        plan
    }
}

#[tokio::test]
async fn results_are_new_events_for_the_triggers_that_take_them() {
    let seen = Arc::default();
    let mut parts = Parts::new(maker(&seen));
    let pipe = parts.source();
    let plan = parts.returning(false);
    let engine = Engine::start(plan, parts.host()).await.unwrap();
    engine.becomes_ready().await;
    pipe.send(&["1", "2", "3"]).await;
    until(|| engine.status().rules["back/again"].done == 3).await;
    until(|| engine.status().spools["router"].settled == 6).await;
    let status = engine.status();
    check(&status);
    let (first, again) = (&status.rules["t/r"], &status.rules["back/again"]);
    assert_eq!((first.matched, first.looped, first.done), (3, 0, 3));
    assert_eq!((again.matched, again.looped, again.filtered), (0, 3, 3), "those of another type are nobody's");
    assert_eq!((status.triggers["back"].offered, status.triggers["back"].unmatched), (6, 3));
    assert_eq!(status.spools["router"].appended, 6);
    assert!(!status.sources.contains_key("router"), "nothing is received there");
    let made: Vec<Event> = seen.lock().iter().filter(|event| event.r#type() == "a").cloned().collect();
    let attribute = |event: &Event, name: &str| event.extension(name).cloned();
    assert_eq!(made.len(), 3);
    for event in &made {
        let parent = event.id().strip_suffix("-a").unwrap();
        assert_eq!(attribute(event, "causationid"), Some(Value::String(parent.into())));
        assert_eq!(attribute(event, "tidemillhops"), Some(Value::Integer(1)));
    }
    assert_eq!(engine.drain(60 * SECOND).await, Drained::default());
}

#[tokio::test]
async fn a_circle_ends_as_dead_letters_that_say_so() {
    // Every event makes another one of the same kind.
    let calls = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&calls);
    let function = judge(move |event, _| {
        *counted.lock() += 1;
        let next = Event::new(format!("{}+", event.id()).into(), "/made".into(), "a".into()).unwrap();
        crate::fake::one(crate::port::Verdict::Done(vec![next]))
    });
    let mut parts = Parts::new(function);
    let pipe = parts.source();
    let plan = parts.returning(true);
    let engine = Engine::start(plan, parts.host()).await.unwrap();
    pipe.send(&["1"]).await;
    until(|| engine.status().rules["back/again"].dead_lettered == 1).await;
    let status = engine.status();
    check(&status);
    assert_eq!((status.rules["back/again"].looped, *calls.lock()), (16, 17));
    let letters = engine.dead_letters().page(&Selection::default(), None, 10).unwrap().letters;
    let (_, letter) = &letters[0];
    assert_eq!(letter.reason, crate::dead_letter::Reason::Rejected);
    assert!(letter.message.starts_with("output 'router': the event has come back 16 times"), "{}", letter.message);
    assert_eq!(engine.drain(60 * SECOND).await, Drained::default());
}

#[tokio::test]
async fn what_has_come_back_and_is_not_done_is_delivered_after_a_restart() {
    let (stuck, open) = gated();
    let mut parts = Parts::new(stuck);
    let pipe = parts.source();
    let mut plan = parts.returning(false);
    // Events themselves go back.
    plan.triggers[0].rules[0].function = None;
    plan.triggers[1].rules[0].filter = None;
    let engine = Engine::start(plan, parts.host()).await.unwrap();
    pipe.send(&["1", "2", "3", "4", "5", "6", "7"]).await;
    until(|| pipe.told().len() == 7).await;
    until(|| engine.status().rules["back/again"].in_flight == 4).await;
    check(&engine.status());
    assert_eq!(engine.drain(Duration::from_millis(50)).await, Drained::default(), "what is left is on the disk");
    check(&engine.status());
    drop(open);

    let seen = Arc::default();
    parts.function = Some(maker(&seen));
    let _pipe = parts.source();
    let mut plan = parts.returning(false);
    plan.triggers[1].rules[0].filter = None;
    let engine = Engine::start(plan, parts.host()).await.unwrap();
    until(|| engine.status().rules["back/again"].done == 7).await;
    check(&engine.status());
    assert_eq!(engine.status().rules["back/again"].looped, 7);
    let mut ids: Vec<String> = seen.lock().iter().map(|event: &Event| event.id().to_string()).collect();
    ids.sort();
    assert_eq!(ids, ["1", "2", "3", "4", "5", "6", "7"]);
    assert_eq!(engine.drain(60 * SECOND).await, Drained::default());
}

#[tokio::test]
async fn a_reload_joins_other_rules_to_the_router_and_refuses_its_coming_and_going() {
    let seen = Arc::default();
    let mut parts = Parts::new(maker(&seen));
    let pipe = parts.source();
    let plan = parts.returning(false);
    let engine = Engine::start(plan, parts.host()).await.unwrap();
    pipe.send(&["1"]).await;
    until(|| engine.status().rules["back/again"].done == 1).await;

    let _other = parts.source();
    let mut plan = parts.returning(false);
    plan.triggers[1].rules[0].filter = None;
    let sources = plan.triggers[1].sources.clone();
    plan.triggers.push(plan::Trigger {
        name: "too".into(),
        sources,
        filter: None,
        unmatched: plan::Unmatched::Drop,
        dead_letter: None,
        rules: vec![again("more")],
    });
    engine.reload(plan).await.unwrap();
    pipe.send(&["2"]).await;
    until(|| engine.status().rules["too/more"].done == 2).await;
    let status = engine.status();
    check(&status);
    assert_eq!((status.rules["back/again"].looped, status.rules["too/more"].looped), (3, 2));
    until(|| engine.status().spools["router"].settled == 4).await;

    let _third = parts.source();
    let refused = engine.reload(parts.plan()).await.unwrap_err().to_string();
    assert!(refused.contains("no result goes back into the router any more: restart to apply"), "{refused}");
    assert_eq!(engine.drain(60 * SECOND).await, Drained::default());

    let _fourth = parts.source();
    let engine = Engine::start(parts.plan(), parts.host()).await.unwrap();
    let _fifth = parts.source();
    let refused = engine.reload(parts.returning(false)).await.unwrap_err().to_string();
    assert!(refused.contains("results go back into the router for the first time: restart to apply"), "{refused}");
    assert_eq!(engine.drain(60 * SECOND).await, Drained::default());
}
