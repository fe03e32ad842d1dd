//! Whole engines that are asked what became of events: every end, every place, over restarts, and of nobody's event.

use serde_json::{Value, json};

use super::super::tests::{Closing, Parts, gated};
use super::*;
use crate::event::Event;
use crate::fake::{Message, event, judge, one};
use crate::filter::Filter;
use crate::port::Verdict;
use crate::retry::{Exhausted, Hold, Policy};
use std::time::Duration;

fn wanted(id: &str) -> Wanted {
    Wanted { id: id.into(), source: None }
}

async fn told(engine: &Engine, id: &str) -> Value {
    json!(engine.explain(&wanted(id)).await.unwrap())
}

/// The story of the only rule of the only event.
fn rule(told: &Value) -> &Value {
    assert_eq!(told["events"].as_array().map(Vec::len), Some(1), "{told}");
    assert_eq!(told["events"][0]["rules"].as_array().map(Vec::len), Some(1), "{told}");
    &told["events"][0]["rules"][0]
}

/// Asks until the only rule's state is this one.
async fn until(engine: &Engine, id: &str, is: &str) -> Value {
    loop {
        let told = told(engine, id).await;
        if told["events"][0]["rules"][0]["state"]["is"] == is {
            return told;
        }
        tokio::task::yield_now().await;
    }
}

fn verdict(event: &Event, attempt: u32) -> Verdict {
    let retry = || Verdict::Retry { after: None, error: "not now".to_owned() };
    match (event.id().as_str(), attempt) {
        ("drop", _) => Verdict::Drop,
        ("reject", _) => Verdict::Reject { reason: "never".to_owned() },
        ("recover", 1) | ("exhaust" | "park", _) => retry(),
        _ => Verdict::Done(vec![event.clone(); 2]),
    }
}

fn parts() -> Parts {
    let mut parts = Parts::new(judge(|event, call| one(verdict(event, call.attempt))));
    parts.outputs = vec![Some(Closing::Well); 2];
    parts
}

fn policy(delay: Duration) -> Policy {
    Policy { max_attempts: 2, delay, max_delay: delay, jitter: 0.0, ..Policy::default() }
}

#[tokio::test]
async fn every_end_is_told_with_what_went_wrong_before_and_after_a_restart() {
    let mut parts = parts();
    let pipe = parts.source();
    let mut plan = parts.plan();
    plan.triggers[0].rules[0].retry = policy(Duration::from_millis(1));
    let engine = Engine::start(plan, parts.host()).await.unwrap();
    pipe.send(&["done", "drop", "reject", "recover", "exhaust"]).await;
    let done = until(&engine, "done", "done").await;
    let step = &rule(&done)["steps"][0];
    assert_eq!((&step["what"], &step["results"], &step["outputs"]), (&json!("done"), &json!(2), &json!(["o0", "o1"])));
    assert_eq!(rule(&done)["verdict"], "matched");
    let dropped = until(&engine, "drop", "dropped").await;
    assert_eq!(
        (&rule(&dropped)["state"]["reason"], &rule(&dropped)["steps"][0]["what"]),
        (&json!("function"), &json!("dropped"))
    );
    assert_eq!(rule(&dropped)["steps"].as_array().map(Vec::len), Some(1), "told once");
    let recovered = until(&engine, "recover", "done").await;
    let steps = &rule(&recovered)["steps"];
    assert_eq!(
        (&steps[0]["what"], &steps[0]["error"], &steps[0]["attempt"]),
        (&json!("failed"), &json!("not now"), &json!(1))
    );
    assert!(steps[0]["next"].is_string() && steps[0]["maxAttempts"] == 2, "{steps}");
    assert_eq!(
        (&steps[1]["what"], &steps[1]["calls"], &steps[1]["stage"]),
        (&json!("done"), &json!(2), &json!("publish"))
    );
    let rejected = until(&engine, "reject", "deadLettered").await;
    assert!(rule(&rejected)["state"]["deadLetter"].is_string(), "it is called so once it is one: {rejected}");
    let state = &rule(&rejected)["state"];
    assert_eq!((&state["reason"], &state["error"]), (&json!("rejected"), &json!("never")));
    let letter = state["deadLetter"].as_str().unwrap().to_owned();
    let exhausted = until(&engine, "exhaust", "deadLettered").await;
    let steps = &rule(&exhausted)["steps"];
    let whats: Vec<_> = steps.as_array().unwrap().iter().map(|step| (&step["what"], &step["attempt"])).collect();
    assert_eq!(whats, [(&json!("failed"), &json!(1)), (&json!("deadLettered"), &json!(2))]);
    assert_eq!(exhausted["events"][0]["type"], "fake", "a dead letter is still known whole");
    engine.purge(&Selection::read([("id", letter.as_str())]).unwrap()).await.unwrap();
    let purged = told(&engine, "reject").await;
    assert_eq!(rule(&purged)["state"]["deadLetter"], Value::Null, "{purged}");
    assert_eq!(rule(&purged)["steps"][0]["error"], "never", "why it died is known all the same");
    assert_eq!(engine.drain(Duration::from_secs(5)).await.handed_back, 0);
    drop(engine);

    for (id, before) in [("done", &done), ("drop", &dropped), ("recover", &recovered), ("exhaust", &exhausted)] {
        let after = json!(explain_stopped_in(parts.folder()).await(id));
        assert_eq!(rule(&after)["steps"], rule(before)["steps"], "{id}");
        assert_eq!(rule(&after)["state"]["is"], rule(before)["state"]["is"], "{id}");
    }
    let plan = parts.plan();
    let engine = Engine::start(plan, parts.host()).await.unwrap();
    for (id, before) in [("done", &done), ("recover", &recovered), ("exhaust", &exhausted)] {
        assert_eq!(rule(&told(&engine, id).await)["steps"], rule(before)["steps"], "{id}");
    }
    let nobody = told(&engine, "nobody").await;
    assert_eq!(nobody["events"], json!([]));
    let sentence = nobody["ledger"]["sentence"].as_str().unwrap();
    assert!(sentence.starts_with("the ledger reaches back to ") && sentence.contains("never received"), "{sentence}");
    engine.drain(Duration::from_secs(5)).await;
}

/// Asks a folder, on a thread that may block.
async fn explain_stopped_in(folder: &Path) -> impl Fn(&str) -> Explanation {
    let folder = folder.to_owned();
    move |id| {
        let (folder, id) = (folder.clone(), id.to_owned());
        std::thread::spawn(move || explain_stopped(&folder, &wanted(&id)).unwrap()).join().unwrap()
    }
}

#[tokio::test]
async fn what_is_on_its_way_is_found_where_it_is() {
    let (function, open) = gated();
    let mut parts = Parts::new(function);
    let pipe = parts.source();
    let engine = parts.start().await.unwrap();
    let keyed = |id: &str| event(id).with_extension(crate::event::Name::new("partitionkey").unwrap(), "k");
    for id in ["first", "second"] {
        pipe.messages.send(Message::Event(keyed(id))).await.unwrap();
    }
    let first = until(&engine, "first", "inFlight").await;
    let state = &rule(&first)["state"];
    assert_eq!((&state["does"], &state["attempt"], &state["stage"]), (&json!("called"), &json!(1), &json!("call")));
    let second = until(&engine, "second", "inFlight").await;
    assert_eq!((&rule(&second)["state"]["does"], &rule(&second)["state"]["attempt"]), (&json!("behind"), &json!(1)));
    assert_eq!(first["events"][0]["source"], event("x").source().as_str());
    open.send_replace(true);
    until(&engine, "second", "done").await;
    engine.drain(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn what_waits_for_another_attempt_says_until_when() {
    for hold in [Hold::State, Hold::Source] {
        let mut parts = parts();
        let pipe = parts.source();
        let mut plan = parts.plan();
        plan.triggers[0].rules[0].retry = Policy { hold, ..policy(Duration::from_secs(86_400)) };
        let engine = Engine::start(plan, parts.host()).await.unwrap();
        pipe.send(&["park"]).await;
        let is = if hold == Hold::State { "parked" } else { "inFlight" };
        let waiting = loop {
            let told = until(&engine, "park", is).await;
            if rule(&told)["state"]["does"] == "waiting" {
                break told;
            }
        };
        let state = &rule(&waiting)["state"];
        assert!(state["until"].is_string() && state["attempt"] == 2, "{state}");
        assert_eq!(rule(&waiting)["steps"][0]["what"], "failed");
        // What waits in its seat goes by another clock.
        assert!(hold == Hold::Source || rule(&waiting)["steps"][0]["next"] == state["until"], "{waiting}");
        engine.drain(Duration::ZERO).await;
        drop(engine);
        let after = json!(explain_stopped_in(parts.folder()).await("park"));
        let is = if hold == Hold::State { "parked" } else { "handedBack" };
        assert_eq!(rule(&after)["state"]["is"], is, "{after}");
        assert_eq!(rule(&after)["steps"][0], rule(&waiting)["steps"][0]);
    }
}

#[tokio::test]
async fn what_is_paused_says_since_when_and_why_and_goes_on_as_it_says() {
    for (exhausted, what) in [(Exhausted::PauseRule, "rule"), (Exhausted::PauseKey, "key")] {
        let mut parts = parts();
        let pipe = parts.source();
        let mut plan = parts.plan();
        plan.triggers[0].rules[0].retry = Policy { exhausted, ..policy(Duration::from_millis(1)) };
        plan.triggers[0].rules[0].order = crate::config::guarantee::Order::Key;
        let engine = Engine::start(plan, parts.host()).await.unwrap();
        let keyed = |id: &str| event(id).with_extension(crate::event::Name::new("partitionkey").unwrap(), "k");
        pipe.messages.send(Message::Event(keyed("exhaust"))).await.unwrap();
        let paused = until(&engine, "exhaust", "paused").await;
        let state = &rule(&paused)["state"];
        assert_eq!((&state["does"], &state["error"], &state["attempt"]), (&json!(what), &json!("not now"), &json!(3)));
        let since = state["since"].clone();
        let steps = rule(&paused)["steps"].as_array().unwrap();
        let whats: Vec<_> =
            steps.iter().map(|step| (&step["what"], &step["attempt"], step["next"].is_string())).collect();
        assert_eq!(whats, [(&json!("failed"), &json!(1), true), (&json!("failed"), &json!(2), false)]);
        // What stands behind it is paused with it.
        pipe.messages.send(Message::Event(keyed("done"))).await.unwrap();
        let behind = until(&engine, "done", "paused").await;
        assert_eq!((&rule(&behind)["state"]["does"], &rule(&behind)["state"]["since"]), (&json!(what), &since));
        engine.drain(Duration::from_secs(5)).await;
        drop(engine);
        for id in ["exhaust", "done"] {
            let after = json!(explain_stopped_in(parts.folder()).await(id));
            let state = &rule(&after)["state"];
            assert_eq!(
                (&state["is"], &state["does"], &state["since"]),
                (&json!("paused"), &json!(what), &since),
                "{after}"
            );
            assert_eq!(state["error"], "not now", "why its key or its rule is paused");
        }
        let mut plan = parts.plan();
        plan.triggers[0].rules[0].retry = Policy { exhausted, ..policy(Duration::from_millis(1)) };
        plan.triggers[0].rules[0].order = crate::config::guarantee::Order::Key;
        let engine = Engine::start(plan, parts.host()).await.unwrap();
        engine.resume_rule("t/r", None, true).await.unwrap();
        let skipped = until(&engine, "exhaust", "deadLettered").await;
        assert_eq!(rule(&skipped)["state"]["reason"], "exhausted");
        until(&engine, "done", "done").await;
        engine.drain(Duration::from_secs(5)).await;
    }
}

#[tokio::test]
async fn a_rule_that_somebody_has_paused_says_so() {
    let mut parts = parts();
    let pipe = parts.source();
    let engine = parts.start().await.unwrap();
    engine.pause_rule("t/r").await.unwrap();
    pipe.send(&["done"]).await;
    let paused = until(&engine, "done", "paused").await;
    assert_eq!(rule(&paused)["state"]["does"], "rule");
    engine.drain(Duration::from_secs(5)).await;
    drop(engine);
    let after = json!(explain_stopped_in(parts.folder()).await("done"));
    let state = &rule(&after)["state"];
    assert_eq!(
        (&state["is"], &state["error"], &state["attempt"]),
        (&json!("paused"), &json!("somebody has paused it"), &json!(1))
    );
}

#[tokio::test]
async fn what_is_given_up_for_another_reason_names_it() {
    let mut parts = parts();
    let pipe = parts.source();
    let mut plan = parts.plan();
    plan.triggers[0].unmatched = crate::config::plan::Unmatched::DeadLetter;
    let rule_of = &mut plan.triggers[0].rules[0];
    rule_of.filter = Filter::exact([(crate::event::Attribute::named("type").unwrap(), "fake")]).ok();
    rule_of.retry = Policy { exhausted: Exhausted::Drop, ..policy(Duration::from_millis(1)) };
    let engine = Engine::start(plan, parts.host()).await.unwrap();
    pipe.send(&["exhaust"]).await;
    let dropped = until(&engine, "exhaust", "dropped").await;
    assert_eq!(rule(&dropped)["state"]["reason"], "exhausted");
    let steps = rule(&dropped)["steps"].as_array().unwrap();
    let whats: Vec<_> = steps.iter().map(|step| (&step["what"], &step["attempt"], &step["error"])).collect();
    assert_eq!(
        whats,
        [(&json!("failed"), &json!(1), &json!("not now")), (&json!("dropped"), &json!(2), &json!("not now"))]
    );
    let nobody = Event::new("unwanted".into(), "/s".into(), "else".into()).unwrap();
    pipe.messages.send(Message::Event(nobody)).await.unwrap();
    let kept = loop {
        let told = told(&engine, "unwanted").await;
        if told["events"][0]["rules"][0]["state"]["deadLetter"].is_string() {
            break told;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(kept["events"][0]["unmatched"], Value::Null, "it is kept");
    let verdicts: Vec<_> =
        kept["events"][0]["rules"].as_array().unwrap().iter().map(|rule| (&rule["rule"], &rule["verdict"])).collect();
    assert_eq!(verdicts, [(&json!("t"), &json!("matched")), (&json!("t/r"), &json!("filtered"))]);
    assert_eq!(kept["events"][0]["rules"][0]["state"]["reason"], "unmatched");
    engine.purge(&Selection::default()).await.unwrap();
    let purged = told(&engine, "unwanted").await;
    let state = &purged["events"][0]["rules"][0]["state"];
    assert_eq!(
        (&state["is"], &state["reason"], &state["deadLetter"]),
        (&json!("deadLettered"), &json!("unmatched"), &Value::Null)
    );
    engine.drain(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_filter_that_refused_is_named_while_the_event_is_known_and_told_by_the_rest_later() {
    let mut parts = parts();
    let pipe = parts.source();
    let mut plan = parts.plan();
    let exact = |name: &str, text: &str| Filter::exact([(crate::event::Attribute::named(name).unwrap(), text)]).ok();
    let wants = &plan.triggers[0].rules[0];
    let other = crate::config::plan::Rule {
        name: "other".into(),
        filter: exact("subject", "s"),
        function: wants.function,
        outputs: wants.outputs.clone(),
        order: wants.order,
        max_in_flight: wants.max_in_flight,
        max_seats: usize::MAX,
        rate: None,
        weight: dispatch::Weight::MIN,
        timeout: wants.timeout,
        retry: wants.retry.clone(),
        dead_letter: None,
        is_fed_back: false,
        on_success: Vec::new(),
        on_failure: Vec::new(),
    };
    plan.triggers[0].rules[0].filter = exact("type", "fake");
    plan.triggers[0].rules.push(other);
    let engine = Engine::start(plan, parts.host()).await.unwrap();
    pipe.send(&["reject", "done"]).await;
    let nobody = Event::new("unwanted".into(), "/s".into(), "else".into()).unwrap();
    pipe.messages.send(Message::Event(nobody)).await.unwrap();
    let dead = loop {
        let told = told(&engine, "reject").await;
        if told["events"][0]["rules"][1]["state"]["deadLetter"].is_string() {
            break told;
        }
    };
    let refused = &dead["events"][0]["rules"][0];
    assert_eq!((&refused["rule"], &refused["verdict"]), (&json!("t/other"), &json!("filtered")));
    assert_eq!(refused["because"], "exact subject 's', but it has no subject");
    let done = loop {
        let told = told(&engine, "done").await;
        if told["events"][0]["rules"][1]["state"]["is"] == "done" {
            break told;
        }
    };
    let refused = &done["events"][0]["rules"][0];
    assert_eq!(
        (&refused["rule"], &refused["verdict"], &refused["because"]),
        (&json!("t/other"), &json!("filtered"), &Value::Null)
    );
    let unwanted = loop {
        let told = told(&engine, "unwanted").await;
        if told["events"][0]["unmatched"].is_object() {
            break told;
        }
    };
    assert_eq!(unwanted["events"][0]["unmatched"]["source"], "s0");
    let verdicts: Vec<_> =
        unwanted["events"][0]["rules"].as_array().unwrap().iter().map(|rule| &rule["verdict"]).collect();
    assert_eq!(verdicts, ["filtered", "filtered"]);
    engine.drain(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn an_event_that_waits_in_a_spool_is_found_there() {
    let (function, open) = gated();
    let mut parts = Parts::new(function);
    parts.spool = Some(spool::Policy::default());
    let pipe = parts.source();
    let engine = parts.start().await.unwrap();
    // The spool has eight seats.
    let ids: Vec<String> = (0..20).map(|number| format!("e{number}")).collect();
    for id in &ids {
        pipe.messages.send(Message::Event(event(id))).await.unwrap();
    }
    let waits = loop {
        let told = told(&engine, "e19").await;
        if told["events"][0]["spool"].is_object() {
            break told;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(waits["events"][0]["spool"]["source"], "s0");
    assert_eq!((&rule(&waits)["verdict"], &rule(&waits)["state"]), (&json!("matched"), &Value::Null));
    until(&engine, "e0", "inFlight").await;
    engine.drain(Duration::ZERO).await;
    drop(engine);
    let after = json!(explain_stopped_in(parts.folder()).await("e19"));
    assert_eq!(after["events"][0]["spool"], waits["events"][0]["spool"]);
    open.send_replace(true);
}
