//! Dead letters on their way again: to their own rule, removed once that has settled, and counted.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::fake::one;
use crate::port::Verdict;

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
        let piece = engine.replay(&Selection::default(), span, dry_run).await.unwrap();
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
    assert!(matches!(engine.replay(&Selection::default(), Span::default(), false).await, Err(ReplayError::Ending)));
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
    let found = engine.replay(&Selection::default(), Span::default(), true).await.unwrap();
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
    let replay = tokio::spawn(async move { replaying.replay(&Selection::default(), Span::default(), false).await });
    until(|| engine.status().rules["t/r"].replayed == 1).await;
    let second = engine.replay(&Selection::default(), Span::default(), false).await;
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
