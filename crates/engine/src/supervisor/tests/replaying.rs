//! Dead letters on their way again: to their own rule, removed once that has settled, and counted.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::dead_letter::{EditError, ImportError, Imported, Reason};
use crate::event::Attribute;
use crate::fake::one;
use crate::filter::Filter;
use crate::port::Verdict;
use crate::store::Stamp;

/// A function that refuses everything as long as it is told to.
fn moody() -> (Arc<dyn Function>, Arc<AtomicBool>) {
    let well = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&well);
    let function = judge(move |event, _| match told.load(Ordering::SeqCst) {
        true => one(Verdict::Done(vec![event.clone()])),
        false => one(Verdict::Reject { reason: "not today".to_owned() }),
    });
    (function, well)
}

async fn until(is_so: impl Fn() -> bool) {
    while !is_so() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Replays everything, piece by piece.
async fn all(engine: &Engine, dry_run: bool) -> Vec<Replayed> {
    let (mut pieces, mut span) = (Vec::new(), Span::default());
    loop {
        let piece = engine.replay(&Selection::default(), span, Drive { dry_run, ..Drive::default() }).await.unwrap();
        let next = piece.next.as_ref().map(|next| next.parse().unwrap());
        span = Span { after: next, upto: piece.upto.as_ref().map(|upto| upto.parse().unwrap()) };
        pieces.push(piece);
        if next.is_none() {
            return pieces;
        }
    }
}

fn sum(pieces: &[Replayed]) -> u64 {
    pieces.iter().map(|piece| piece.replayed).sum()
}

#[tokio::test]
async fn what_is_replayed_is_done_removed_and_counted_and_what_fails_again_says_how_often() {
    const COUNT: u64 = 150;
    let (function, well) = moody();
    let mut parts = Parts::new(function);
    parts.outputs = vec![Some(Closing::Well)];
    let pipe = parts.source();
    let engine = parts.start().await.unwrap();
    assert_eq!(all(&engine, false).await, [Replayed::default()], "there is nothing yet");
    for number in 0..COUNT {
        pipe.send(&[&number.to_string()]).await;
    }
    pipe.messages.send(Message::Raw(undecodable("oh"))).await.unwrap();
    until(|| engine.status().dead_letters.stored == COUNT + 1).await;
    assert_eq!(sum(&all(&engine, true).await), COUNT);
    assert_eq!(
        (engine.status().dead_letters.stored, engine.status().rules["t/r"].replayed),
        (COUNT + 1, 0),
        "it was dry"
    );

    let pieces = all(&engine, false).await;
    assert!(pieces.len() > 2 && sum(&pieces) == COUNT, "what fails again is not replayed again: {pieces:?}");
    assert_eq!(pieces.iter().filter_map(|piece| piece.skipped.get("undecodable")).sum::<u64>(), 1);
    until(|| engine.status().rules["t/r"].in_flight == 0).await;
    let status = engine.status();
    check(&status);
    let rule = &status.rules["t/r"];
    assert_eq!((rule.matched, rule.replayed, rule.dead_lettered, rule.done), (COUNT, COUNT, 2 * COUNT, 0));
    assert_eq!(status.dead_letters.stored, COUNT + 1);
    let page = engine.dead_letters().page(&Selection::read([("reason", "rejected")]).unwrap(), None, 1000).unwrap();
    assert!(page.letters.iter().all(|(_, letter)| letter.redrives == 1));

    well.store(true, Ordering::SeqCst);
    assert_eq!(sum(&all(&engine, false).await), COUNT);
    until(|| engine.status().rules["t/r"].in_flight == 0).await;
    let status = engine.status();
    check(&status);
    assert_eq!(
        (status.rules["t/r"].done, status.rules["t/r"].replayed, status.dead_letters.stored),
        (COUNT, 2 * COUNT, 1)
    );
    assert_eq!(engine.drain(60 * SECOND).await, Drained::default());
    assert!(matches!(
        engine.replay(&Selection::default(), Span::default(), Drive::default()).await,
        Err(ReplayError::Ending)
    ));
}

#[tokio::test]
async fn what_was_tried_too_often_or_has_no_rule_any_more_stays() {
    let (function, _) = moody();
    let mut parts = Parts::new(function);
    let pipe = parts.source();
    let engine = parts.start().await.unwrap();
    pipe.send(&["a"]).await;
    until(|| engine.status().dead_letters.stored == 1).await;
    for round in 1..=REDRIVES_MAX {
        assert_eq!(sum(&all(&engine, false).await), 1, "round {round}");
    }
    let last = all(&engine, false).await;
    assert_eq!((last[0].replayed, last[0].skipped["redrives"]), (0, 1));
    assert_eq!(engine.drain(60 * SECOND).await, Drained::default());
    drop((engine, pipe));
    let (function, _) = moody();
    parts.function = Some(function);
    let _pipe = parts.source();
    let mut plan = parts.plan();
    plan.triggers[0].name = "other".into();
    let engine = Engine::start(plan, parts.host()).await.unwrap();
    let found = engine
        .replay(&Selection::default(), Span::default(), Drive { dry_run: true, ..Drive::default() })
        .await
        .unwrap();
    assert!(found.replayed == 0 && found.skipped.len() == 1, "{found:?}");
    assert_eq!(engine.status().dead_letters.stored, 1);
    assert_eq!(engine.drain(60 * SECOND).await, Drained::default());
}

#[tokio::test]
async fn a_replay_that_the_end_interrupts_keeps_its_letter_and_two_at_once_are_refused() {
    let (calls, open) = (Arc::new(AtomicBool::new(false)), watch::channel(false).0);
    let (first, opened) = (Arc::clone(&calls), open.subscribe());
    let function = Calls(move |_: Event, _: Call| -> BoxFuture<'static, Verdicts> {
        let again = first.swap(true, Ordering::SeqCst);
        let mut opened = opened.clone();
        Box::pin(async move {
            if again {
                let _ = opened.wait_for(|open| *open).await;
            }
            one(Verdict::Reject { reason: "no".to_owned() })
        })
    });
    let mut parts = Parts::new(Arc::new(function));
    let pipe = parts.source();
    let engine = Arc::new(parts.start().await.unwrap());
    pipe.send(&["a"]).await;
    until(|| engine.status().dead_letters.stored == 1).await;
    let replaying = Arc::clone(&engine);
    let replay =
        tokio::spawn(async move { replaying.replay(&Selection::default(), Span::default(), Drive::default()).await });
    until(|| engine.status().rules["t/r"].replayed == 1).await;
    let second = engine.replay(&Selection::default(), Span::default(), Drive::default()).await;
    assert!(matches!(second, Err(ReplayError::Busy)), "{second:?}");
    assert_eq!(
        engine.drain(Duration::ZERO).await,
        Drained::default(),
        "it is on the disk, so nobody else has to bring it"
    );
    let replayed = replay.await.unwrap().unwrap();
    assert_eq!((replayed.replayed, replayed.handed_back), (0, 1));
    check(&engine.status());
    drop(open);
    drop((engine, pipe));
    let _pipe = parts.source();
    let engine = parts.start().await.unwrap();
    assert_eq!(engine.status().dead_letters.stored, 1, "it is there after the next start");
    assert_eq!(engine.drain(60 * SECOND).await, Drained::default());
}

#[tokio::test(start_paused = true)]
async fn what_goes_through_the_router_goes_to_every_rule_that_matches_and_no_faster_than_it_may() {
    const COUNT: u64 = 10;
    let (function, well) = moody();
    let mut parts = Parts::new(function);
    parts.outputs = vec![Some(Closing::Well)];
    let pipe = parts.source();
    let mut plan = parts.plan();
    let rule = |name: &str, filter: Option<Filter>| plan::Rule {
        name: name.into(),
        filter,
        function: None,
        outputs: vec![0],
        order: Order::Key,
        max_in_flight: usize::MAX,
        max_seats: usize::MAX,
        rate: None,
        weight: crate::dispatch::Weight::MIN,
        timeout: SECOND,
        retry: Policy::default(),
        dead_letter: None,
        is_fed_back: false,
        on_success: Vec::new(),
        on_failure: Vec::new(),
    };
    let other = Filter::exact([(Attribute::named("type").unwrap(), "other")]).unwrap();
    plan.triggers[0].rules.extend([rule("copies", None), rule("others", Some(other))]);
    let engine = Engine::start(plan, parts.host()).await.unwrap();
    for number in 0..COUNT {
        pipe.send(&[&number.to_string()]).await;
    }
    until(|| engine.status().dead_letters.stored == COUNT).await;
    until(|| engine.status().rules["t/copies"].done == COUNT).await;
    well.store(true, Ordering::SeqCst);
    let drive = Drive { through: Through::Router, rate: Some(2.0), dry_run: false };
    let (began, mut span, mut replayed) = (Instant::now(), Span::default(), 0);
    loop {
        let piece = engine.replay(&Selection::default(), span, drive).await.unwrap();
        replayed += piece.replayed;
        let Some(next) = piece.next else { break };
        span = Span { after: next.parse().ok(), upto: piece.upto.and_then(|upto| upto.parse().ok()) };
    }
    assert!(began.elapsed() >= 4 * SECOND, "two in a second: {:?}", began.elapsed());
    let status = engine.status();
    check(&status);
    assert_eq!((replayed, status.dead_letters.stored), (COUNT, 0));
    let replays = ["t/r", "t/copies", "t/others"].map(|rule| status.rules[rule].replayed);
    assert_eq!(replays, [COUNT, COUNT, 0]);
    assert_eq!(engine.drain(60 * SECOND).await, Drained::default());
}

#[tokio::test]
async fn what_no_rule_took_goes_to_those_that_take_it_now() {
    let mut parts = Parts::new(judge(|event, _| one(Verdict::Done(vec![event.clone()]))));
    let pipe = parts.source();
    let mut plan = parts.plan();
    plan.triggers[0].unmatched = plan::Unmatched::DeadLetter;
    plan.triggers[0].rules[0].filter = Some(Filter::exact([(Attribute::named("id").unwrap(), "a")]).unwrap());
    let engine = Engine::start(plan, parts.host()).await.unwrap();
    pipe.send(&["a", "b", "c"]).await;
    until(|| engine.status().dead_letters.stored == 2).await;
    until(|| engine.status().sources["s0"].settled == 3).await;
    check(&engine.status());
    assert_eq!(all(&engine, false).await[0].skipped["unmatched"], 2, "they still match none");
    assert_eq!(engine.drain(60 * SECOND).await, Drained::default());
    drop((engine, pipe));

    let _pipe = parts.source();
    let mut plan = parts.plan();
    plan.triggers[0].rules[0].filter = Some(Filter::exact([(Attribute::named("id").unwrap(), "b")]).unwrap());
    let engine = Engine::start(plan, parts.host()).await.unwrap();
    let pieces = all(&engine, false).await;
    assert_eq!((sum(&pieces), pieces[0].skipped["unmatched"]), (1, 1));
    let status = engine.status();
    check(&status);
    assert_eq!((status.rules["t/r"].replayed, status.dead_letters.stored), (1, 1));
    assert_eq!(engine.drain(60 * SECOND).await, Drained::default());
    drop(engine);

    let _pipe = parts.source();
    let mut plan = parts.plan();
    plan.triggers[0].name = "other".into();
    let engine = Engine::start(plan, parts.host()).await.unwrap();
    assert_eq!(all(&engine, false).await[0].skipped["rule"], 1, "its trigger is gone");
    assert_eq!(engine.drain(60 * SECOND).await, Drained::default());
}

#[tokio::test]
async fn what_is_edited_is_what_is_replayed_and_what_is_brought_twice_is_there_once() {
    let (function, well) = moody();
    let mut parts = Parts::new(function);
    parts.outputs = vec![Some(Closing::Well)];
    let pipe = parts.source();
    let engine = parts.start().await.unwrap();
    pipe.send(&["a"]).await;
    pipe.messages.send(Message::Raw(undecodable("oh"))).await.unwrap();
    until(|| engine.status().dead_letters.stored == 2).await;
    let page = engine.dead_letters().page(&Selection::default(), None, 10).unwrap();
    let place = |reason| page.letters.iter().find(|(_, letter)| letter.reason == reason).unwrap().0;
    let (dead, mud) = (place(Reason::Rejected), place(Reason::Undecodable));
    let mut export = Vec::new();
    for (id, letter) in &page.letters {
        letter.write_json(*id, &mut export);
        export.extend_from_slice(b"\n\n");
    }
    let export = String::from_utf8(export).unwrap();

    assert_eq!(engine.edit(dead, 0, event("b")).await.unwrap(), 1);
    assert!(matches!(engine.edit(dead, 0, event("c")).await, Err(EditError::Changed(id)) if id == dead));
    assert!(matches!(engine.edit(mud, 0, event("c")).await, Err(EditError::Raw(_))));
    let nobody = "01hf7yat3v77".parse().unwrap();
    assert!(matches!(engine.edit(nobody, 0, event("c")).await, Err(EditError::Unknown(_))));
    let busy = engine.tending.read().await;
    assert!(matches!(engine.edit(dead, 1, event("c")).await, Err(EditError::Busy)));
    drop(busy);

    let ids = page.letters.iter().map(|(id, _)| ("id", id.to_string())).collect::<Vec<_>>();
    let both = Selection::read(ids.iter().map(|(name, id)| (*name, id.as_str()))).unwrap();
    assert_eq!(
        engine.dead_letters().import(&export, Stamp(u64::MAX)).await.unwrap(),
        Imported { imported: 0, duplicates: 2 }
    );
    well.store(true, Ordering::SeqCst);
    assert_eq!(sum(&all(&engine, false).await), 1);
    assert_eq!(parts.log.all().iter().filter(|line| line.starts_with("publish")).collect::<Vec<_>>(), ["publish b"]);

    assert_eq!(engine.purge(&Selection::default()).await.unwrap(), 1);
    assert_eq!(
        engine.dead_letters().import(&export, Stamp(u64::MAX)).await.unwrap(),
        Imported { imported: 2, duplicates: 0 }
    );
    assert_eq!(engine.dead_letters().page(&both, None, 10).unwrap(), page, "as they were, under their names");
    let torn = format!("{export}{{}}");
    let torn = engine.dead_letters().import(&torn, Stamp(u64::MAX)).await;
    assert!(matches!(torn, Err(ImportError::Line { line: 5, .. })), "{torn:?}");
    assert!(matches!(engine.import(&export).await, Err(ImportError::Future(_))), "the clock stands still");
    pipe.send(&["d"]).await;
    until(|| engine.status().rules["t/r"].done == 2).await;
    assert_eq!(engine.drain(60 * SECOND).await, Drained::default());
}
