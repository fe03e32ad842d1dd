//! Work of rules that a configuration has no more: given up, moved, and never given to anybody else. Time is not paused: the
//! state file has a thread of its own.

use super::*;
use crate::dead_letter::Reason;
use crate::retry::Exhausted;

const HOUR: Duration = Duration::from_secs(3600);

/// Whose first version fails, and any other does not.
fn first_fails() -> Mill {
    Mill::new(|version| judge(move |event, _| if version == 1 { crate::fake::again() } else { by(version, event) }))
}

/// A rule that tries again in an hour.
fn hourly() -> Variant {
    let retry = Policy { max_attempts: 9, delay: HOUR, max_delay: HOUR, jitter: 0.0, ..Policy::default() };
    Variant { retry, ..Variant::default() }
}

/// An event of the one key.
fn keyed(id: &str) -> Event {
    event(id).with_extension(crate::event::Name::new("partitionkey").unwrap(), Text::from("k"))
}

/// An engine with three deliveries of rule `r` parked: two of one key, and one without.
async fn parked(mill: &mut Mill) -> Engine {
    let pipe = mill.pipe("s");
    let engine = mill.start(&hourly()).await;
    for event in [keyed("1"), keyed("2"), event("3")] {
        pipe.messages.send(Message::Event(event)).await.unwrap();
    }
    while engine.status().rules["t/r"].parked < 3 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    engine
}

/// The ids, the rules and the reasons of what was given up.
fn letters(engine: &Engine) -> Vec<(String, Text, Reason)> {
    let page = engine.dead_letters().page(&Selection::default(), None, 100).unwrap();
    let mut letters: Vec<_> = page
        .letters
        .into_iter()
        .map(|(_, letter)| match letter.content {
            crate::dead_letter::Content::Event(event) => {
                (event.id().to_string(), letter.rule.unwrap_or_default(), letter.reason)
            }
            other => panic!("{other:?} is no event"),
        })
        .collect();
    letters.sort();
    letters
}

fn orphans() -> Vec<(String, Text, Reason)> {
    ["1", "2", "3"].map(|id| (id.to_owned(), "t/r".into(), Reason::Orphaned)).to_vec()
}

/// The same rule by another name, whose function does not fail.
fn other_name() -> Variant {
    let rules = BTreeMap::from([("q", (vec!["a"], None))]);
    Variant { function: 2, rules, retry: Policy { max_delay: Duration::from_millis(1), ..hourly().retry }, ..hourly() }
}

#[tokio::test]
async fn what_is_parked_of_a_rule_that_is_gone_is_given_up_and_never_given_to_another() {
    let mut mill = first_fails();
    let engine = parked(&mut mill).await;
    mill.reload(&engine, &other_name()).await;
    nothing_leaves(&engine).await;
    assert_eq!(letters(&engine), orphans());
    let status = engine.status();
    check(&status);
    assert_eq!((status.rules["t/q"].recovered, status.parked.stored, status.parked.bytes), (0, 0, 0));
    // When it is back it has none of it, but what was given up can be replayed.
    mill.reload(&engine, &Variant { function: 2, ..hourly() }).await;
    let replayed = engine.replay(&Selection::default(), Span::default(), Drive::default()).await.unwrap();
    assert_eq!(replayed.replayed, 3);
    assert_eq!(mill.published(), pairs(&[("1@2", "a1"), ("2@2", "a1"), ("3@2", "a1")]));
    assert_eq!(engine.drain(60 * SECOND).await, Drained::default());
}

#[tokio::test]
async fn so_it_is_when_the_engine_starts_without_the_rule() {
    let mut mill = first_fails();
    parked(&mut mill).await.drain(60 * SECOND).await;
    mill.pipe("s");
    let engine = mill.start(&other_name()).await;
    assert_eq!(letters(&engine), orphans());
    let status = engine.status();
    assert_eq!((status.rules["t/q"].recovered, status.parked.stored), (0, 0));
    assert!(status.stores["deliveries"].left.is_empty());
    engine.drain(60 * SECOND).await;
}

#[tokio::test]
async fn a_rule_that_says_what_it_was_called_goes_on_with_its_work() {
    let mut mill = first_fails();
    parked(&mut mill).await.drain(60 * SECOND).await;
    mill.pipe("s");
    let mut plan = mill.plan(&other_name());
    plan.renamed = vec![("t/r".into(), "t/q".into())];
    let engine = Engine::start(plan, mill.parts.host()).await.unwrap();
    while engine.status().rules["t/q"].done < 3 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let status = engine.status();
    check(&status);
    assert_eq!((status.rules["t/q"].recovered, status.dead_letters.stored), (3, 0));
    let order: Vec<_> = mill.published.lock().iter().map(|(id, _)| id.to_string()).filter(|id| id != "3@2").collect();
    assert_eq!(order, ["1@2", "2@2"], "those of one key in their order");
    assert_eq!(engine.drain(60 * SECOND).await, Drained::default());
}

#[tokio::test]
async fn a_rule_cannot_be_renamed_while_it_runs() {
    let mut mill = first_fails();
    let engine = parked(&mut mill).await;
    let mut plan = mill.plan(&other_name());
    plan.renamed = vec![("t/r".into(), "t/q".into())];
    let sentence = engine.reload(plan).await.unwrap_err().to_string();
    assert!(sentence.starts_with("rule 't/q' is renamed from 't/r': restart to apply"), "{sentence}");
    engine.drain(60 * SECOND).await;
}

#[tokio::test]
async fn a_paused_key_leaves_with_its_rule_or_goes_with_its_new_name() {
    let retry = Policy { max_attempts: 1, exhausted: Exhausted::PauseKey, ..Policy::default() };
    let pauses = |name| {
        let rules = BTreeMap::from([(name, (vec!["a"], None))]);
        Variant { rules, retry: retry.clone(), ..Variant::default() }
    };
    let mut mill = first_fails();
    let pipe = mill.pipe("s");
    let engine = mill.start(&pauses("r")).await;
    pipe.messages.send(Message::Event(keyed("1"))).await.unwrap();
    pipe.messages.send(Message::Event(keyed("2"))).await.unwrap();
    let paused = |engine: &Engine, rule: &str| {
        let status = engine.status();
        status.rules.get(rule).map(|rule| (rule.paused_keys, rule.parked))
    };
    while paused(&engine, "t/r") != Some((1, 2)) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    engine.drain(60 * SECOND).await;
    mill.pipe("s");
    let mut plan = mill.plan(&Variant { function: 2, ..pauses("q") });
    plan.renamed = vec![("t/r".into(), "t/q".into())];
    let engine = Engine::start(plan, mill.parts.host()).await.unwrap();
    while paused(&engine, "t/q") != Some((1, 2)) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(mill.published().is_empty(), "it is paused under its new name");

    mill.reload(&engine, &Variant { function: 2, ..pauses("p") }).await;
    nothing_leaves(&engine).await;
    let gone = ["1", "2"].map(|id| (id.to_owned(), Text::from("t/q"), Reason::Orphaned));
    assert_eq!(letters(&engine), gone);
    mill.reload(&engine, &Variant { function: 2, ..pauses("q") }).await;
    assert_eq!(paused(&engine, "t/q"), Some((0, 0)));
    let replayed = engine.replay(&Selection::default(), Span::default(), Drive::default()).await.unwrap();
    assert_eq!((replayed.replayed, mill.published()), (2, pairs(&[("1@2", "a1"), ("2@2", "a1")])));
    check(&engine.status());
    assert_eq!(engine.drain(60 * SECOND).await, Drained::default());
}
