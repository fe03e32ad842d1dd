//! Letters on their way to an output: in their order, for as long as it takes, and whatever happens to them meanwhile.

mod notices;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::FutureExt;
use tokio::task::JoinHandle;

use super::super::tests::kill;
use super::super::{By, Content, Post, Selection, Targets};
use super::*;
use crate::delivery::Outcome;
use crate::dispatch::testing::Client;
use crate::event::Value;
use crate::fake::{Bin, Desk, Say, Seen, Wall, event, recorder, undecodable};
use crate::store::testing::Platter;
use crate::store::{OnFull, Quota};

const SECOND: Duration = Duration::from_secs(1);

/// Rules whose letters go to `dead`, and a source whose garbage does.
fn targets() -> Targets {
    let to = |name: &str| HashMap::from([(name.into(), "dead".into())]);
    Targets { rules: to("t/r"), sources: to("s"), ..Targets::default() }
}

fn bin(quota: Quota) -> Bin {
    Bin::on(Platter::new(Vec::new()), quota, targets()).unwrap()
}

/// A forwarder at work.
struct Work {
    reading: Reading,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Work {
    fn start(bin: &Bin, binding: Arc<dyn Output>) -> Work {
        Work::of(bin, (Post::Letters, "dead"), binding)
    }

    fn of(bin: &Bin, (post, output): (Post, &str), binding: Arc<dyn Output>) -> Work {
        let clock = ClockHandle(Arc::new(Wall));
        let forwarder = Forwarder::new((post, output.into()), binding, &bin.archive, clock).unwrap();
        let (reading, stop) = (forwarder.reading(), watch::Sender::new(false));
        let task = tokio::spawn(forwarder.run(stop.subscribe()));
        Work { reading, stop, task }
    }

    async fn end(self) {
        self.stop.send_replace(true);
        self.task.await.unwrap();
    }
}

/// As long as it takes: paused time runs ahead of the thread that writes.
async fn until(is_so: impl Fn() -> bool) {
    while !is_so() {
        sleep(Duration::from_millis(1)).await;
    }
}

fn taking() -> (Arc<dyn Output>, Seen) {
    recorder(|_| Say::Now(Ok(())))
}

fn later() -> PublishError {
    PublishError::Retry { after: None, error: "the far side is away".to_owned() }
}

/// Kills events of these ids, and waits until all are on the disk.
async fn killed(bin: &Bin, client: &mut Client, ids: impl IntoIterator<Item = u64>) {
    let mut owed = 0;
    for id in ids {
        kill(bin, client, event(&id.to_string()));
        owed += 1;
    }
    while owed > 0 {
        owed -= client.kept().await.len();
    }
}

/// How many of the letters that are there are how far.
fn progress(bin: &Bin) -> BTreeMap<&'static str, usize> {
    let page = bin.archive.page(&Selection::default(), None, usize::MAX).unwrap();
    let mut found = BTreeMap::new();
    for (_, letter) in page.letters {
        *found.entry(letter.forward.map_or("nowhere", |forward| forward.progress.name())).or_default() += 1;
    }
    found
}

fn numbers(range: std::ops::Range<u64>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

#[tokio::test]
async fn letters_go_to_their_output_in_the_order_of_dying_and_stay_marked() {
    let (bin, mut client, mut desk) = (bin(Quota::default()), Client::new(SECOND), Desk::new(1));
    killed(&bin, &mut client, 0..100).await;
    assert_eq!((bin.archive.waiting(Post::Letters, "dead"), progress(&bin)), (100, BTreeMap::from([("waiting", 100)])));
    let (output, seen) = taking();
    let work = Work::start(&bin, output);
    until(|| bin.archive.waiting(Post::Letters, "dead") == 0).await;
    killed(&bin, &mut client, 100..150).await;
    let receipt = desk.receipts(1).await.remove(0);
    bin.postbox.undecodable(&"s".into(), undecodable("oh"), receipt);
    assert_eq!(desk.settled(1).await, [Outcome::Reject]);
    until(|| work.reading.counts().forwarded == 151).await;
    work.end().await;
    let events = seen.events();
    let ids: Vec<String> = events.iter().map(|event| event.id().to_string()).collect();
    assert_eq!(ids[..150], numbers(0..150));
    assert_eq!(events[0].extension("dlqreason"), Some(&Value::String("rejected".into())));
    assert_eq!(events[150].r#type(), "org.tidemill.undecodable");
    let facts = events[150].extension("dlqfacts").map(|facts| facts.text().into_owned());
    assert!(facts.is_some_and(|facts| facts.starts_with("{\"")), "{:?}", events[150]);
    assert_eq!((bin.archive.usage().rows, progress(&bin)), (151, BTreeMap::from([("forwarded", 151)])));
    assert!(bin.records()[0]["forward"]["time"].is_string());
    let groups = bin.archive.groups(&Selection::default(), By::Reason).unwrap();
    assert_eq!(groups.iter().map(|group| group.count).collect::<Vec<_>>(), [150, 1]);
}

#[tokio::test(start_paused = true)]
async fn an_output_that_fails_is_tried_until_it_takes_them_and_holds_no_delivery_up() {
    let (bin, mut client) = (bin(Quota::default()), Client::new(SECOND));
    let well = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&well);
    let (output, seen) = recorder(move |_| {
        let answer = if told.load(Ordering::SeqCst) { Ok(()) } else { Err(later()) };
        Say::Later(std::future::ready(answer).boxed())
    });
    let work = Work::start(&bin, output);
    for number in 0..5 {
        killed(&bin, &mut client, [number]).await;
    }
    until(|| work.reading.counts().failed > 20).await;
    let failing = work.reading.counts();
    assert_eq!((failing.last_error.as_deref(), failing.forwarded), (Some("the far side is away"), 0));
    assert!(failing.oldest.is_some() && bin.archive.waiting(Post::Letters, "dead") == 5);
    well.store(true, Ordering::SeqCst);
    until(|| work.reading.counts().forwarded == 5).await;
    until(|| work.reading.counts().last_error.is_none()).await;
    let counts = work.reading.counts();
    assert_eq!((counts.refused, seen.ids().len() as u64), (0, counts.failed + 5));
    assert_eq!(progress(&bin), BTreeMap::from([("forwarded", 5)]));
    work.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_for_good_is_marked_and_holds_nobody_up() {
    let (bin, mut client) = (bin(Quota::default()), Client::new(SECOND));
    killed(&bin, &mut client, 0..4).await;
    let (output, seen) = recorder(|event| match event.id().as_str() {
        "1" => Say::Now(Err(PublishError::Reject { reason: "too large".to_owned() })),
        "2" => panic!("told to"),
        _ => Say::Now(Ok(())),
    });
    let work = Work::start(&bin, output);
    until(|| seen.ids().iter().filter(|id| *id == "2").count() > 3).await;
    killed(&bin, &mut client, [4]).await;
    until(|| work.reading.counts().forwarded == 3).await;
    let counts = work.reading.counts();
    assert_eq!(
        (counts.refused, bin.archive.waiting(Post::Letters, "dead")),
        (1, 1),
        "the one that panics is tried on and on"
    );
    assert_eq!(progress(&bin), BTreeMap::from([("forwarded", 3), ("refused", 1), ("waiting", 1)]));
    assert_eq!(bin.records()[1]["forward"]["error"], "too large");
    work.end().await;
}

#[tokio::test]
async fn what_was_not_confirmed_is_sent_after_a_restart_and_nothing_else_is() {
    let (bin, mut client) = (bin(Quota::default()), Client::new(SECOND));
    killed(&bin, &mut client, 0..10).await;
    let (output, seen) = recorder(|event| match event.id().as_str() {
        "0" | "1" | "2" => Say::Now(Ok(())),
        _ => Say::Later(std::future::pending().boxed()),
    });
    let work = Work::start(&bin, output);
    until(|| seen.ids().len() == 10).await;
    work.task.abort();
    assert!(work.task.await.unwrap_err().is_cancelled());
    let platter = bin.platter.clone();
    bin.archive.close().await.unwrap();
    let Bin { postbox, task, .. } = bin;
    drop(postbox);
    task.await.unwrap();

    let bin = Bin::on(Platter::new(platter.found(None)), Quota::default(), targets()).unwrap();
    assert_eq!(bin.archive.waiting(Post::Letters, "dead"), 10, "nothing was confirmed before it was written down");
    let (output, seen) = taking();
    let work = Work::start(&bin, output);
    until(|| work.reading.counts().forwarded == 10).await;
    work.end().await;
    assert_eq!(seen.ids(), numbers(0..10));
    let (output, seen) = taking();
    let work = Work::start(&bin, output);
    killed(&bin, &mut client, [10]).await;
    until(|| work.reading.counts().forwarded == 1).await;
    work.end().await;
    assert_eq!(seen.ids(), ["10"], "what is forwarded is not sent again");
}

#[tokio::test]
async fn what_is_removed_meanwhile_does_not_come_back() {
    let (bin, mut client) = (bin(Quota::default()), Client::new(SECOND));
    killed(&bin, &mut client, 0..3).await;
    let (open, opened) = watch::channel(false);
    let (output, seen) = recorder(move |_| {
        let mut opened = opened.clone();
        Say::Later(
            async move {
                let _ = opened.wait_for(|open| *open).await;
                Ok(())
            }
            .boxed(),
        )
    });
    let work = Work::start(&bin, output);
    until(|| seen.ids().len() == 3).await;
    assert_eq!(bin.archive.purge(&Selection::default()).await.unwrap(), 3);
    assert_eq!(bin.archive.waiting(Post::Letters, "dead"), 0);
    open.send_replace(true);
    until(|| work.reading.counts().forwarded == 3).await;
    killed(&bin, &mut client, 3..5).await;
    until(|| work.reading.counts().forwarded == 5).await;
    work.end().await;
    assert_eq!(progress(&bin), BTreeMap::from([("forwarded", 2)]));
    let marks = bin.archive.store().table("forwarded").unwrap();
    until(|| bin.archive.store().usage(marks).rows == 2).await;
    assert_eq!(bin.archive.purge(&Selection::default()).await.unwrap(), 2);
    assert_eq!(bin.archive.store().usage(marks).rows, 0, "a mark goes with its letter");
}

#[tokio::test]
async fn what_a_quota_has_removed_waits_no_more() {
    let quota = Quota { max_bytes: Some(2_000), max_age: None, on_full: OnFull::DropOldest };
    let (bin, mut client) = (bin(quota), Client::new(SECOND));
    killed(&bin, &mut client, 0..100).await;
    let left = bin.archive.usage().rows;
    assert!(left < 50, "{left}");
    let (output, seen) = taking();
    let work = Work::start(&bin, output);
    until(|| bin.archive.waiting(Post::Letters, "dead") == 0).await;
    work.end().await;
    assert_eq!(seen.ids(), numbers(100 - left..100));
}

#[tokio::test]
async fn a_letter_that_cannot_be_read_is_refused_and_the_others_go() {
    let (bin, mut client) = (bin(Quota::default()), Client::new(SECOND));
    killed(&bin, &mut client, 0..2).await;
    let first = bin.archive.page(&Selection::default(), None, 1).unwrap().letters.remove(0).0;
    let mut batch = Batch::default();
    batch.put(bin.archive.store().table("deadLetters").unwrap(), &first.key(), Stamp(0), |into| into.push(9));
    let ticket = bin.archive.store().write(&mut batch).await.unwrap();
    bin.archive.store().confirmations().reach(ticket).await.unwrap();
    let (output, seen) = taking();
    let work = Work::start(&bin, output);
    until(|| bin.archive.waiting(Post::Letters, "dead") == 0).await;
    until(|| work.reading.counts().refused == 1).await;
    work.end().await;
    assert_eq!(seen.ids(), ["1"]);
}

#[tokio::test]
async fn an_output_that_nobody_names_any_more_is_known_with_what_waits_for_it() {
    let (bin, mut client) = (bin(Quota::default()), Client::new(SECOND));
    killed(&bin, &mut client, 0..3).await;
    let platter = bin.platter.clone();
    bin.archive.close().await.unwrap();
    let bin = Bin::on(Platter::new(platter.found(None)), Quota::default(), Targets::default()).unwrap();
    assert_eq!(bin.archive.stranded(Post::Letters), [("dead".into(), 3)]);
    let page = bin.archive.page(&Selection::default(), None, 10).unwrap();
    assert!(page.letters.iter().all(|(_, letter)| matches!(letter.content, Content::Event(_))));
    let (output, _) = taking();
    assert!(
        Forwarder::new((Post::Letters, "dead".into()), output, &bin.archive, ClockHandle(Arc::new(Wall))).is_none()
    );
}
